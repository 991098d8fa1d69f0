// Reads a configuration: a YAML or JSON file, environment variables over it, flags over both. What is wrong is told with its
// place: line and column of the file, or the name of the variable or flag.

import { isMap, LineCounter, parseDocument } from 'yaml';
import type { Document } from 'yaml';
import { z } from 'zod';
import { CONFIG } from './schema.ts';
import type { Config } from './schema.ts';
import { printable } from '../printable.ts';

/** A value that stands for one field: of a variable or a flag. */
export interface ConfigOverride {
  /** How it is called where it was given, e.g. `SIPCAST_HTTP_PORT` or `--port`. */
  readonly source: string;
  readonly path: readonly string[];
  /** As written; it is read by the kind of the field. */
  readonly value: string;
}

/** What a configuration is read from. */
export interface ConfigSources {
  readonly file?: { readonly name: string; readonly text: string } | undefined;
  /** The later ones win. */
  readonly overrides?: readonly ConfigOverride[];
}

/** One thing that is wrong. */
export interface ConfigProblem {
  /** E.g. `sipcast.yaml:3:9`, or the name of a variable or flag. */
  readonly place: string;
  /** E.g. `http.port`; empty for the file as a whole. */
  readonly field: string;
  readonly message: string;
}

/** Of a file that is something else altogether, each line may be wrong: so many say it. */
const MAX_TOLD = 20;
const MAX_LINE_LENGTH = 1024;

/** A configuration that cannot be used; the message has a line for each problem, up to twenty, and one for the rest. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    const lines = problems.slice(0, MAX_TOLD).map(lineOf);
    if (problems.length > MAX_TOLD) lines.push(`and ${problems.length - MAX_TOLD} problems more`);
    super(lines.join('\n'));
    this.problems = problems;
  }
}

/** A configuration, and where each of its fields was given. */
export interface ReadConfig {
  readonly config: Config;
  /** The place of a field, e.g. `sipcast.yaml:3:9`; of the nearest one around it where it has none of its own. */
  placeOf(path: readonly (string | number)[]): string;
}

/** A part of a JSON schema, as far as it is looked at. */
export interface FieldSchema {
  readonly type?: string;
  readonly description?: string;
  readonly fallback?: string;
  readonly flag?: string;
  readonly enum?: readonly unknown[];
  readonly properties?: Readonly<Record<string, FieldSchema>>;
  readonly required?: readonly string[];
  readonly items?: FieldSchema;
  readonly additionalProperties?: FieldSchema | boolean;
}

/** The schema of everything. */
export const CONFIG_SCHEMA = z.toJSONSchema(CONFIG, { io: 'input' }) as FieldSchema;

/** Aliases in YAML may multiply: more than these are an attack or a mistake. */
const MAX_ALIASES = 100;

/** @throws ConfigError */
export function readConfig({ file, overrides = [] }: ConfigSources): ReadConfig {
  const lines = new LineCounter();
  const document = parseDocument(file?.text ?? '', {
    lineCounter: lines,
    prettyErrors: false,
    // What it warns of, e.g. a list as a key, is found wrong below.
    logLevel: 'error',
  });
  const name = file?.name ?? '';
  const at = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${name}:${line}:${col}`;
  };
  if (document.errors.length > 0) {
    const problems = document.errors.map(({ pos, message }) => ({
      place: at(pos[0]),
      field: '',
      message,
    }));
    throw new ConfigError(problems);
  }
  const tree = valuesOf(document, name);
  const given = new Map<string, string>();
  for (const override of typeof tree === 'object' ? overrides : []) {
    place(tree, override);
    given.set(override.path.join('.'), override.source);
  }
  const placeOf = (path: readonly (string | number)[]): string => {
    for (let length = path.length; length > 0; length--) {
      const field = path.slice(0, length).join('.');
      // Its own, or that of a part of it.
      for (const [key, source] of given)
        if (key === field || key.startsWith(`${field}.`)) return source;
      const offset = offsetOf(document, path.slice(0, length));
      if (offset !== undefined) return at(offset);
    }
    return name === '' ? 'configuration' : at(0);
  };
  const result = CONFIG.safeParse(tree);
  if (result.success) return { config: result.data, placeOf };
  throw new ConfigError(result.error.issues.flatMap((issue) => problemsOf(issue, placeOf)));
}

function valuesOf(document: Document, name: string): Record<string, unknown> {
  try {
    return (document.toJS({ maxAliasCount: MAX_ALIASES }) ?? {}) as Record<string, unknown>;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new ConfigError([{ place: name, field: '', message }]);
  }
}

/** `SIPCAST_HTTP_PORT` for `http.port`, and so on: fields that are given by variables. */
export function environmentOverrides(
  environment: Readonly<Record<string, string | undefined>>,
): readonly ConfigOverride[] {
  return fieldsOf(CONFIG_SCHEMA).flatMap(({ path }) => {
    const source = variableOf(path);
    const value = environment[source];
    return value === undefined || value === '' ? [] : [{ source, path, value }];
  });
}

/** Name of the variable of a field. */
export function variableOf(path: readonly string[]): string {
  const words = path.map((name) => name.replaceAll(/([a-z])([A-Z])/g, '$1_$2').toUpperCase());
  return `SIPCAST_${words.join('_')}`;
}

/** A command-line flag that stands for one field. */
export interface ConfigFlag {
  /** Without dashes. */
  readonly name: string;
  readonly path: readonly string[];
  readonly description: string;
  readonly fallback: string | undefined;
  /** What goes behind it, for `--help`: the words to choose from, or the kind of value. */
  readonly value: string;
}

/** The flags of all fields that have one, in the order of the table. */
export function configFlags(): readonly ConfigFlag[] {
  return fieldsOf(CONFIG_SCHEMA).flatMap(({ path, schema }) => {
    const { flag, description = '', fallback, type } = schema;
    if (flag === undefined) return [];
    const value = schema.enum?.join('|') ?? (type === 'integer' ? 'number' : 'text');
    return [{ name: flag, path, description, fallback, value }];
  });
}

/** Every field that holds a value of its own, in order. */
export function fieldsOf(
  schema: FieldSchema,
  path: readonly string[] = [],
): readonly { readonly path: readonly string[]; readonly schema: FieldSchema }[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, field]) =>
    field.properties
      ? fieldsOf(field, [...path, name])
      : [{ path: [...path, name], schema: field }],
  );
}

function schemaAt(path: readonly string[]): FieldSchema | undefined {
  let schema: FieldSchema | undefined = CONFIG_SCHEMA;
  for (const name of path) schema = schema?.properties?.[name];
  return schema;
}

function place(tree: Record<string, unknown>, { path, value }: ConfigOverride): void {
  let parent = tree;
  for (const name of path.slice(0, -1)) {
    const child = Object.hasOwn(parent, name) ? parent[name] : undefined;
    const next = typeof child === 'object' && child !== null ? child : {};
    // An own property, whatever its name is.
    Object.defineProperty(parent, name, { value: next, ...PLAIN });
    parent = next as Record<string, unknown>;
  }
  Object.defineProperty(parent, path.at(-1) ?? '', {
    value: valueOf(value, schemaAt(path)),
    ...PLAIN,
  });
}

const PLAIN = { writable: true, enumerable: true, configurable: true } as const;

/** What does not fit stays a text: the schema then says what is wrong. */
function valueOf(text: string, schema: FieldSchema | undefined): unknown {
  switch (schema?.type ?? 'any') {
    case 'string':
      return text;
    case 'boolean':
      return text === 'true' ? true : text === 'false' ? false : text;
    case 'integer':
    case 'number':
      return /^-?\d+(?:\.\d+)?$/.test(text) ? Number(text) : text;
    case 'array':
      if (!text.trimStart().startsWith('[')) return text.split(',').map((one) => one.trim());
      break;
    default:
  }
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

function problemsOf(
  issue: z.core.$ZodIssue,
  placeOf: (path: readonly (string | number)[]) => string,
): readonly ConfigProblem[] {
  const path = issue.path.map((part) => (typeof part === 'number' ? part : String(part)));
  const problem = (names: readonly (string | number)[], message: string): ConfigProblem => ({
    place: placeOf(names),
    field: names.join('.'),
    message,
  });
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => problem([...path, key], 'There is no such option'));
  const isMissing = issue.message.endsWith(' received undefined');
  return [problem(path, isMissing ? 'is missing' : issue.message)];
}

/** Where the key of a field stands, or, in a list, its value. */
function offsetOf(document: Document, path: readonly (string | number)[]): number | undefined {
  const parent: unknown =
    path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true);
  const last = path.at(-1);
  if (isMap(parent)) {
    const pair = parent.items.find(({ key }) => String(key) === String(last));
    return (pair?.key as { range?: readonly [number] } | undefined)?.range?.[0];
  }
  const node = document.getIn(path, true) as { range?: readonly [number] } | undefined;
  return node?.range?.[0];
}

function lineOf({ place: where, field, message }: ConfigProblem): string {
  // One line each, whatever the file has for keys.
  const text = `${where}: ${field === '' || field === where ? '' : `${field}: `}${message}`;
  return printable(text, MAX_LINE_LENGTH);
}
