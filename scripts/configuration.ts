// Writes docs/reference/configuration.md from the configuration schema (--write), or checks that it is up to date.
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

/** Text between backticks is kept verbatim. */
const cell = (text: string): string =>
  text
    .replaceAll('|', '\\|')
    .replaceAll(/(`[^`]*`)|<([^>`]+)>/g, (_all, code, word) => code ?? `&lt;${word}&gt;`);

/** A table of the values of a section. Nested sections and list items get their own tables. */
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
        ? '| field | type | description | default |'
        : '| field | type | description | default | variable |',
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
  'A YAML or JSON file, named by `--config` or `SIPCAST_CONFIG`. Every field can also be set by the variable in its row (lists',
  'separated by commas, other structured values as JSON) and by `--set field=value`. Variables override',
  'the file, and command-line options override both. `sipcast config check <file>` reports problems with line and column.',
  'An unknown name is an error in the file and in `--set`; a variable with an unknown name is ignored.',
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
