// The schema of configuration files, derived from the option tables.

import type { OptionRow, OptionRows, ValuesOf } from '@sipcast/core/options';
import { z } from 'zod';
import { CONFIG_ROWS } from './rows.ts';

/** A parsed configuration. */
export type Config = ValuesOf<typeof CONFIG_ROWS>;

/** The whole configuration. */
export const CONFIG = sectionOf(CONFIG_ROWS) as unknown as z.ZodType<Config>;

/** The options of a table that files may contain; any other name is an error. */
function sectionOf(rows: OptionRows): z.ZodObject {
  const shape: Record<string, z.ZodType> = {};
  for (const [name, row] of Object.entries(rows)) {
    if (row.only === 'code') continue;
    const { about: description, fallback, isRequired, flag } = row;
    const schema = valueOf(row).meta({
      description,
      ...(fallback !== undefined && { fallback }),
      ...(flag !== undefined && { flag }),
    });
    shape[name] = isRequired === true ? schema : schema.optional();
  }
  return z.strictObject(shape);
}

function valueOf(row: OptionRow): z.ZodType {
  switch (row.kind) {
    case 'text': {
      const { pattern, problem = 'have another form' } = row;
      return pattern ? z.string().regex(pattern, `must ${problem}`) : z.string().min(1);
    }
    case 'count': {
      const number = row.isFractional === true && row.most > 2 ** 53 ? z.number() : z.int();
      const bounded = number.min(row.least).max(Math.min(row.most, Number.MAX_SAFE_INTEGER));
      return row.orWord === undefined ? bounded : z.union([bounded, z.literal(row.orWord)]);
    }
    case 'flag':
      return z.boolean();
    case 'word':
      return wordOf(row.words);
    case 'texts': {
      const { words, ports, least = 0, problem = 'have another form' } = row;
      if (ports) return z.array(portOr(ports, `must ${problem}`)).min(least);
      return z.array(words ? z.enum([...words]) : z.string().min(1)).min(least);
    }
    case 'section':
      return sectionOf(
        row.orFalse === true
          ? {
              enabled: { kind: 'flag', about: 'false switches it off.', fallback: 'true' },
              ...row.rows,
            }
          : row.rows,
      );
    case 'list':
      return z.array(sectionOf(row.of));
    case 'record':
      return z.record(z.string(), recordOf(row.of));
    case 'checked':
      break;
  }
  const { check } = row;
  return z.unknown().superRefine((value, context) => {
    const problem = check(value);
    if (problem !== undefined) context.addIssue({ code: 'custom', message: `must ${problem}` });
  });
}

function portOr(pattern: RegExp, problem: string): z.ZodType {
  const number = z.int().min(1, problem).max(65_535, problem);
  return z.union([number, z.string().regex(pattern, problem)], problem);
}

function wordOf(words: readonly (string | number)[]): z.ZodType {
  const texts = words.filter((one) => typeof one === 'string');
  if (texts.length === words.length) return z.enum(texts);
  const literals = words.map((one) => z.literal(one));
  return z.union(literals, `must be ${words.join(' or ')}`);
}

function recordOf(of: OptionRows | 'text' | 'any'): z.ZodType {
  return of === 'text' ? z.string() : of === 'any' ? z.unknown() : sectionOf(of);
}
