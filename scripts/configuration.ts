// Writes docs/reference/configuration.md from the schema of the configuration (--write), or checks that it is up to date.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CONFIG_SCHEMA, variableOf } from '../packages/server/src/config/read.ts';
import type { FieldSchema } from '../packages/server/src/config/read.ts';

const path = fileURLToPath(new URL('../docs/reference/configuration.md', import.meta.url));

function kindOf(schema: FieldSchema): string {
  if (schema.enum) return schema.enum.map((word) => `\`${String(word)}\``).join(', ');
  if (schema.type === 'array') return schema.items?.properties ? 'list' : 'list of texts';
  if (schema.type === 'string') return 'text';
  if (schema.type === 'object') return 'object';
  return schema.type ?? 'number';
}

/** What stands between backticks is shown as it is. */
const cell = (text: string): string =>
  text
    .replaceAll('|', '\\|')
    .replaceAll(/(`[^`]*`)|<([^>`]+)>/g, (_all, code, word) => code ?? `&lt;${word}&gt;`);

/** A table of the values of a section; sections within it, and what lists hold, get tables of their own. */
function section(
  title: string,
  schema: FieldSchema,
  names: readonly string[],
  inList: boolean,
): string[] {
  const properties = Object.entries(schema.properties ?? {});
  const values = properties.filter(([, field]) => !field.properties);
  const lines = [`## ${title}`, '', ...(schema.description ? [cell(schema.description), ''] : [])];
  if (values.length > 0) {
    lines.push(
      inList
        ? '| field | kind | what it is | default |'
        : '| field | kind | what it is | default | variable |',
      inList ? '|---|---|---|---|' : '|---|---|---|---|---|',
    );
    for (const [name, field] of values) {
      const isRequired = schema.required?.includes(name) ?? false;
      const fallback = field.fallback ?? (isRequired ? '(required)' : '–');
      const row = [`\`${name}\``, kindOf(field), field.description ?? '', fallback];
      if (!inList) row.push(`\`${variableOf([...names, name])}\``);
      lines.push(`| ${row.map(cell).join(' | ')} |`);
    }
    lines.push('');
  }
  for (const [name, field] of properties) {
    const inner = [...names, name];
    const { items, additionalProperties: members } = field;
    if (field.properties) lines.push(...section(inner.join('.'), field, inner, inList));
    else if (items?.properties) lines.push(...section(`${inner.join('.')}[]`, items, inner, true));
    else if (typeof members === 'object' && members.properties)
      lines.push(...section(`${inner.join('.')}.*`, members, inner, true));
  }
  return lines;
}

const text = [
  '# Configuration',
  '',
  'Generated from `packages/server/src/config/schema.ts` by `npm run configuration`; do not edit.',
  '',
  'A YAML or JSON file, named by `--config` or `SIPCAST_CONFIG`. Every field may also be given by the variable beside it (lists',
  'separated by commas, everything else that is no plain value as JSON) and by `--set field=value`; the variable has precedence',
  'over the file, and options of the command line over both. `sipcast config check <file>` tells what is wrong, with line and column.',
  'A name that is none of these is a mistake in the file and behind `--set`; a variable of such a name is left alone.',
  '',
  ...section('Top level', CONFIG_SCHEMA, [], false),
].join('\n');

if (process.argv.includes('--write')) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
} else if (readFileSync(path, 'utf8') !== text) {
  console.error('docs/reference/configuration.md is out of date: npm run configuration');
  process.exit(1);
}
