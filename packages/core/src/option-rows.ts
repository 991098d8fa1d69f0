// Options as tables: one row says what an option is, its bounds and its default. Validation, the schema of configuration
// files, `--help` and the reference page derive from the rows.

import { GatewayError } from './errors.ts';

/** Longest time that a timer of Node.js takes. */
const MAX_TIMER_MS = 0x7fff_ffff;

interface RowBase {
  /** One sentence: what the option does. */
  readonly about: string;
  /** What holds without it, in words. */
  readonly fallback?: string;
  readonly isRequired?: boolean;
  /** Name of the command-line flag without its dashes. */
  readonly flag?: string;
  /** `file`: only in configuration files, e.g. the path of a certificate. `code`: only in code, e.g. a function. */
  readonly only?: 'file' | 'code';
  /** The code that uses the option checks it, with its own errors; {@link checkOptions} skips it. */
  readonly isCheckedByUser?: boolean;
}

/** A text that is not empty. */
export interface TextRow extends RowBase {
  readonly kind: 'text';
  readonly pattern?: RegExp;
  /** Completes "must …" when the value does not match. */
  readonly problem?: string;
}

/** A number; whole unless `isFractional`. Names end in the unit, e.g. `Ms`, `Bytes`. */
export interface CountRow extends RowBase {
  readonly kind: 'count';
  readonly least: number;
  readonly most: number;
  readonly isFractional?: boolean;
  /** A word that may stand instead of the number. */
  readonly orWord?: string;
}

/** `true` or `false`. */
export interface FlagRow extends RowBase {
  readonly kind: 'flag';
}

/** One of some words or numbers. */
export interface WordRow extends RowBase {
  readonly kind: 'word';
  readonly words: readonly (string | number)[];
}

/** A list of texts, or of some words. In code a single text may stand for a list of one where `orOne` says so. */
export interface TextsRow extends RowBase {
  readonly kind: 'texts';
  readonly words?: readonly string[];
  readonly least?: number;
  readonly orOne?: boolean;
  /** Each text must match, or be a port: 1–65535. */
  readonly ports?: RegExp;
  /** Completes "must …" for a text or port that does not. */
  readonly problem?: string;
}

/** Options that belong together. */
export interface SectionRow extends RowBase {
  readonly kind: 'section';
  readonly rows: OptionRows;
  /** In code `false` switches the whole off; in files its field `enabled` does. */
  readonly orFalse?: boolean;
  /** In code a number within these bounds stands for the whole. */
  readonly orNumber?: { readonly least: number; readonly most: number };
}

/** A list of sections. */
export interface ListRow extends RowBase {
  readonly kind: 'list';
  readonly of: OptionRows;
}

/** Sections or texts by free names. */
export interface RecordRow extends RowBase {
  readonly kind: 'record';
  readonly of: OptionRows | 'text' | 'any';
}

/** A value that has a check of its own. */
export interface CheckedRow extends RowBase {
  readonly kind: 'checked';
  /** Completes "must …" when the value is wrong; undefined when it is right. */
  readonly check: (value: unknown) => string | undefined;
}

/** One option. */
export type OptionRow =
  | TextRow
  | CountRow
  | FlagRow
  | WordRow
  | TextsRow
  | SectionRow
  | ListRow
  | RecordRow
  | CheckedRow;

/** A table of options, by name. */
export interface OptionRows {
  readonly [name: string]: OptionRow;
}

/** More about a row than its sentence and default. */
type More<R extends RowBase> = Partial<Omit<R, 'kind' | 'about' | 'fallback'>>;

const base = (about: string, fallback: string | undefined) => ({
  about,
  ...(fallback !== undefined && { fallback }),
});

/** A text that is not empty. */
function text<const M extends More<TextRow>>(about: string, fallback?: string, more?: M) {
  return { kind: 'text', ...base(about, fallback), ...(more as M) } as const;
}

/** A whole number. */
function count<const M extends More<CountRow>>(about: string, fallback?: string, more?: M) {
  const bounds = { least: 0, most: 1_000_000_000 };
  return { kind: 'count', ...base(about, fallback), ...bounds, ...(more as M) } as const;
}

/** Milliseconds, as a timer takes them. */
function time<const M extends More<CountRow>>(about: string, fallback?: string, more?: M) {
  const bounds = { least: 0, most: MAX_TIMER_MS };
  return { kind: 'count', ...base(about, fallback), ...bounds, ...(more as M) } as const;
}

/** A time of at least a millisecond, fractions allowed. */
function timer<const M extends More<CountRow>>(about: string, fallback?: string, more?: M) {
  const bounds = { least: 1, most: MAX_TIMER_MS, isFractional: true };
  return { kind: 'count', ...base(about, fallback), ...bounds, ...(more as M) } as const;
}

/** A port to listen on; 0: any free one. */
function port<const M extends More<CountRow>>(about: string, fallback?: string, more?: M) {
  const bounds = { least: 0, most: 65_535 };
  return { kind: 'count', ...base(about, fallback), ...bounds, ...(more as M) } as const;
}

/** `true` or `false`. */
function flag<const M extends More<FlagRow>>(about: string, fallback?: string, more?: M) {
  return { kind: 'flag', ...base(about, fallback), ...(more as M) } as const;
}

/** One of some words. */
function word<
  const W extends readonly (string | number)[],
  const M extends More<Omit<WordRow, 'words'>>,
>(words: W, about: string, fallback?: string, more?: M) {
  return { kind: 'word', words, ...base(about, fallback), ...(more as M) } as const;
}

/** A list of texts. */
function texts<const M extends More<TextsRow>>(about: string, fallback?: string, more?: M) {
  return { kind: 'texts', ...base(about, fallback), ...(more as M) } as const;
}

/** Options that belong together. */
function section<const R extends object, const M extends More<Omit<SectionRow, 'rows'>>>(
  about: string,
  rows: R,
  more?: M,
) {
  return { kind: 'section', about, rows, ...(more as M) } as const;
}

/** A list of sections. */
// No constraint by `OptionRows`: its index signature would enter the inferred types.
function list<const R extends object, const M extends More<Omit<ListRow, 'of'>>>(
  about: string,
  of: R,
  more?: M,
) {
  return { kind: 'list', about, of, ...(more as M) } as const;
}

/** Sections, texts or anything, by free names. */
function record<
  const R extends object | 'text' | 'any',
  const M extends More<Omit<RecordRow, 'of'>>,
>(about: string, of: R, more?: M) {
  return { kind: 'record', about, of, ...(more as M) } as const;
}

/** A value with a check of its own. */
function checked<const M extends More<Omit<CheckedRow, 'check'>>>(
  about: string,
  check: CheckedRow['check'],
  more?: M & { readonly fallback?: string },
) {
  return { kind: 'checked', about, check, ...(more as M) } as const;
}

/** Makes rows: `option.text('What it is.', 'its default')`. */
export const option = {
  text,
  count,
  time,
  timer,
  port,
  flag,
  word,
  texts,
  section,
  list,
  record,
  checked,
} as const;

/**
 * Checks given options against their table. Names that the table does not hold are left alone; options that are undefined
 * count as not given.
 *
 * @param prefix - Path of the table, e.g. `rtmp.`.
 * @throws GatewayError `INVALID_ARGUMENT` naming the option, e.g. `rtmp.stallTimeoutMs`.
 */
export function checkOptions(rows: OptionRows, given: object, prefix = ''): void {
  for (const [name, row] of Object.entries(rows)) {
    const field = prefix + name;
    const value = (given as Readonly<Record<string, unknown>>)[name];
    if (row.isCheckedByUser === true || row.only === 'file') continue;
    if (value === undefined && row.isRequired !== true) continue;
    const problem = problemOf(row, value, field);
    if (problem !== undefined)
      throw new GatewayError('INVALID_ARGUMENT', `${field} must ${problem}`, { field });
  }
}

/** Completes "must …"; undefined when the value is right. */
function problemOf(row: OptionRow, value: unknown, field: string): string | undefined {
  switch (row.kind) {
    case 'text':
      return textProblem(row, value);
    case 'count':
      return countProblem(row, value);
    case 'flag':
      return typeof value === 'boolean' ? undefined : 'be true or false';
    case 'word':
      return row.words.some((one) => one === value) ? undefined : `be ${either(row.words)}`;
    case 'texts':
      return textsProblem(row, value);
    case 'section':
      return sectionProblem(row, value, field);
    case 'list':
      if (!Array.isArray(value)) return 'be a list';
      for (const [index, one] of value.entries()) {
        if (!isObject(one)) return 'be a list of objects';
        checkOptions(row.of, one, `${field}.${index}.`);
      }
      return undefined;
    case 'record':
      return isObject(value) ? undefined : 'be an object';
    case 'checked':
      break;
  }
  return row.check(value);
}

function sectionProblem({ rows, orFalse, orNumber }: SectionRow, value: unknown, field: string) {
  if (orFalse === true && value === false) return undefined;
  if (orNumber && typeof value === 'number')
    return countProblem({ kind: 'count', about: '', isFractional: true, ...orNumber }, value);
  if (!isObject(value)) {
    if (orNumber) return `be a number or { ${Object.keys(rows).join(', ')} }`;
    return orFalse === true ? 'be false or an object' : 'be an object';
  }
  checkOptions(rows, value, `${field}.`);
  return undefined;
}

function textProblem({ pattern, problem = 'have another form' }: TextRow, value: unknown) {
  if (typeof value !== 'string' || (value === '' && pattern === undefined))
    return pattern === undefined ? 'be a text that is not empty' : problem;
  return pattern === undefined || pattern.test(value) ? undefined : problem;
}

function countProblem({ least, most, isFractional, orWord }: CountRow, value: unknown) {
  if (orWord !== undefined && value === orWord) return undefined;
  const or = orWord === undefined ? '' : ` or ${orWord}`;
  if (isFractional !== true && !Number.isInteger(value)) return `be an integer${or}`;
  const isWithin = typeof value === 'number' && value >= least && value <= most;
  return isWithin ? undefined : `be a number from ${least} to ${most}${or}`;
}

function textsProblem({ words, least = 0, orOne }: TextsRow, value: unknown) {
  const all = orOne === true && typeof value === 'string' ? [value] : value;
  if (words !== undefined) {
    const isRight =
      Array.isArray(all) && all.length >= least && all.every((one) => words.includes(one));
    return isRight ? undefined : `name at least one of ${words.join(', ')}, and nothing else`;
  }
  const isList = Array.isArray(all) && all.every((one) => typeof one === 'string' && one !== '');
  return isList && all.length >= least ? undefined : 'be a list of texts';
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function either(words: readonly (string | number)[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}

/** Value of an option as a configuration file holds it. */
export type ValueOf<R> = R extends { readonly kind: 'text' }
  ? string
  : R extends { readonly kind: 'count' }
    ? number | (R extends { readonly orWord: infer W } ? W : never)
    : R extends { readonly kind: 'flag' }
      ? boolean
      : R extends { readonly kind: 'word'; readonly words: readonly (infer W)[] }
        ? W
        : R extends { readonly kind: 'texts'; readonly words: readonly (infer W)[] }
          ? readonly W[]
          : R extends { readonly kind: 'texts'; readonly ports: RegExp }
            ? readonly (string | number)[]
            : R extends { readonly kind: 'texts' }
              ? readonly string[]
              : R extends { readonly kind: 'section'; readonly rows: infer O }
                ? ValuesOf<O> &
                    (R extends { readonly orFalse: true } ? { enabled?: boolean } : unknown)
                : R extends { readonly kind: 'list'; readonly of: infer O }
                  ? readonly ValuesOf<O>[]
                  : R extends { readonly kind: 'record'; readonly of: infer O }
                    ? Readonly<Record<string, RecordValue<O>>>
                    : unknown;
type RecordValue<O> = O extends 'text' ? string : O extends 'any' ? unknown : ValuesOf<O>;

/** Values of a table as a configuration file holds them. */
export type ValuesOf<O> = {
  readonly [K in keyof O as O[K] extends { readonly only: 'code' }
    ? never
    : O[K] extends { readonly isRequired: true }
      ? K
      : never]: ValueOf<O[K]>;
} & {
  readonly [K in keyof O as O[K] extends { readonly only: 'code' } | { readonly isRequired: true }
    ? never
    : K]?: ValueOf<O[K]>;
};
