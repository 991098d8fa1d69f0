// Reads a configuration: a YAML or JSON file, overridden by environment variables, overridden by flags. Problems are
// reported with their place: line and column of the file, or the name of the variable or flag.

import { isMap, LineCounter, parseDocument } from 'yaml';
import type { Document } from 'yaml';
import { z } from 'zod';
import { CONFIG } from './schema.ts';
import type { Config } from './schema.ts';
import { printable } from '../printable.ts';

/** A value for one field, from a variable or a flag. */
export interface ConfigOverride {
  /** Its name there, e.g. `SIPCAST_HTTP_PORT` or `--port`. */
  readonly source: string;
  readonly path: readonly string[];
  /** As written; converted by the type of the field. */
  readonly value: string;
}

/** The sources of a configuration. */
export interface ConfigSources {
  readonly file?: { readonly name: string; readonly text: string } | undefined;
  /** Later ones take precedence. */
  readonly overrides?: readonly ConfigOverride[];
}

/** One problem in a configuration. */
export interface ConfigProblem {
  /** E.g. `sipcast.yaml:3:9`, or the name of a variable or flag. */
  readonly place: string;
  /** E.g. `http.port`; empty for the file as a whole. */
  readonly field: string;
  readonly message: string;
}

/** A completely different kind of file could cause a problem per line; only this many are reported. */
const MAX_TOLD = 20;
const MAX_LINE_LENGTH = 1024;

/** An invalid configuration. The message has a line for each of the first twenty problems, and one for the rest. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    const lines = problems.slice(0, MAX_TOLD).map(lineOf);
    if (problems.length > MAX_TOLD) lines.push(`and ${problems.length - MAX_TOLD} more problems`);
    super(lines.join('\n'));
    this.problems = problems;
  }
}

/** A configuration and the place of each of its fields. */
export interface ReadConfig {
  readonly config: Config;
  /** The place of a field, e.g. `sipcast.yaml:3:9`, or of its nearest enclosing field. */
  placeOf(path: readonly (string | number)[]): string;
}

/** The part of a JSON schema that is used. */
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

/** The schema of the whole configuration. */
export const CONFIG_SCHEMA = z.toJSONSchema(CONFIG, { io: 'input' }) as FieldSchema;

/** YAML aliases can multiply; more than these are an attack or a mistake. */
const MAX_ALIASES = 100;

/** @throws ConfigError */
export function readConfig({ file, overrides = [] }: ConfigSources): ReadConfig {
  const lines = new LineCounter();
  const document = parseDocument(file?.text ?? '', {
    lineCounter: lines,
    prettyErrors: false,
    // Anything it warns about, e.g. a list as a key, is reported below.
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
      // The place of the field itself, or of a part of it.
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

/** Fields set by variables: `SIPCAST_HTTP_PORT` for `http.port`, and so on. */
export function environmentOverrides(
  environment: Readonly<Record<string, string | undefined>>,
): readonly ConfigOverride[] {
  return fieldsOf(CONFIG_SCHEMA).flatMap(({ path }) => {
    const source = variableOf(path);
    const value = environment[source];
    return value === undefined || value === '' ? [] : [{ source, path, value }];
  });
}

/** The variable name of a field. */
export function variableOf(path: readonly string[]): string {
  const words = path.map((name) => name.replaceAll(/([a-z])([A-Z])/g, '$1_$2').toUpperCase());
  return `SIPCAST_${words.join('_')}`;
}

/** A command-line flag that sets one field. */
export interface ConfigFlag {
  /** Without dashes. */
  readonly name: string;
  readonly path: readonly string[];
  readonly description: string;
  readonly fallback: string | undefined;
  /** Its value in `--help`: the allowed words, or the kind of value. */
  readonly value: string;
}

/** The flags of all fields that have one, in table order. */
export function configFlags(): readonly ConfigFlag[] {
  return fieldsOf(CONFIG_SCHEMA).flatMap(({ path, schema }) => {
    const { flag, description = '', fallback, type } = schema;
    if (flag === undefined) return [];
    const value = schema.enum?.join('|') ?? (type === 'integer' ? 'number' : 'text');
    return [{ name: flag, path, description, fallback, value }];
  });
}

/** All fields that hold a value, in order. */
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
    // Always an own property, whatever its name.
    Object.defineProperty(parent, name, { value: next, ...PLAIN });
    parent = next as Record<string, unknown>;
  }
  Object.defineProperty(parent, path.at(-1) ?? '', {
    value: valueOf(value, schemaAt(path)),
    ...PLAIN,
  });
}

const PLAIN = { writable: true, enumerable: true, configurable: true } as const;

/** A value that does not fit stays a string; the schema then reports the problem. */
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

/** Offset of a field's key or, in a list, of its value. */
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
  // One line each, whatever keys the file contains.
  const text = `${where}: ${field === '' || field === where ? '' : `${field}: `}${message}`;
  return printable(text, MAX_LINE_LENGTH);
}
