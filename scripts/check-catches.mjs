// No exception may be dropped without a word: an empty handler must hold a comment `// Ignored: <why>`, which says who reports
// the failure or why nobody needs to know.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';

const files = readdirSync('packages')
  .flatMap((name) => [join('packages', name, 'src'), join('packages', name, 'console')])
  .flatMap(sourcesIn)
  .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts'));
const silent = [];

/** @param {string} folder @returns {string[]} */
function sourcesIn(folder) {
  if (!existsSync(folder)) return [];
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  return names.map((name) => join(folder, name));
}

/** @param {ts.Node} node @returns whether it does nothing: an empty block, or a bare value. */
function doesNothing(node) {
  if (ts.isBlock(node)) return node.statements.length === 0;
  return ts.isIdentifier(node)
    ? node.text === 'undefined'
    : node.kind === ts.SyntaxKind.NullKeyword;
}

for (const file of files) {
  const text = readFileSync(file, 'utf8');
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
  /** @param {ts.Node} handler */
  const check = (handler) => {
    if (!doesNothing(handler) || /\/\/ Ignored: \S/.test(handler.getFullText())) return;
    const { line } = source.getLineAndCharacterOfPosition(handler.getStart());
    silent.push(`${file}:${line + 1}`);
  };
  /** @param {ts.Node} node */
  const visit = (node) => {
    if (ts.isCatchClause(node)) check(node.block);
    if (ts.isCallExpression(node) && ts.isPropertyAccessExpression(node.expression)) {
      const { text: called } = node.expression.name;
      const handler = node.arguments[['catch', 'then'].indexOf(called)];
      if (handler && (ts.isArrowFunction(handler) || ts.isFunctionExpression(handler)))
        check(handler.body);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
}

for (const place of silent) console.error(`${place} drops an error without a word`);
console.log(`${files.length} files, ${silent.length} silent handlers`);
process.exitCode = silent.length === 0 ? 0 : 1;
