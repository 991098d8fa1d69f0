import { expect, it } from 'vitest';
import { printable } from './printable.ts';

it('escapes and shortens external text', () => {
  expect(printable('a\u0000\u007f\u0085\u2028\u202eb')).toBe(
    String.raw`a\x00\x7f\x85\u2028\u202eb`,
  );
  expect(printable('Jürgen ☎')).toBe('Jürgen ☎');
  expect(printable('x'.repeat(1000))).toBe(`${'x'.repeat(256)}…`);
  expect(printable('x'.repeat(9), 8)).toBe(`${'x'.repeat(8)}…`);
});
