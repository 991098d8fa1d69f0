// Character classes and scanners of RFC 3261 §25.1, shared by the parsers of URIs, headers and digests. All scan once,
// by index, without backtracking.

import { SipError } from '../errors.ts';

const TOKEN = 1;
const HOST = 2;
const HEX = 4;

const CLASSES: Uint8Array = (() => {
  const table = new Uint8Array(128);
  const add = (characters: string, bit: number) => {
    for (let i = 0; i < characters.length; i++) {
      const code = characters.charCodeAt(i);
      table[code] = (table[code] ?? 0) | bit;
    }
  };
  const digits = '0123456789';
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
  add(`${digits}${letters}-.!%*_+\`'~`, TOKEN);
  // RFC 3261 has no underscore in host names, but devices and Windows networks use it.
  add(`${digits}${letters}-._`, HOST);
  add(`${digits}ABCDEFabcdef`, HEX);
  return table;
})();

/** Whether the code is a `token` character. */
function isTokenCode(code: number): boolean {
  return code < 128 && ((CLASSES[code] ?? 0) & TOKEN) !== 0;
}

/** Whether the code may appear in a host name or IPv4 address (underscore included). */
export function isHostCode(code: number): boolean {
  return code < 128 && ((CLASSES[code] ?? 0) & HOST) !== 0;
}

/** Whether the code is a hexadecimal digit. */
export function isHexCode(code: number): boolean {
  return code < 128 && ((CLASSES[code] ?? 0) & HEX) !== 0;
}

/** Whether the whole text is one `token`. */
export function isToken(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (!isTokenCode(text.charCodeAt(i))) return false;
  return text.length > 0;
}

/** Whether the code is SP or HT. */
export function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

/** A grammar error: `SYNTAX`, answered with 400 in a request. */
export function syntaxError(field: string, message: string): SipError {
  return new SipError('SYNTAX', message, { field, statusCode: 400 });
}

/** Index of the first character at or after `at` that is neither SP nor HT. */
export function skipSpace(text: string, at: number): number {
  let i = at;
  for (; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code !== 0x20 && code !== 0x09) break;
  }
  return i;
}

/** Index after the token that begins at `at`, or `at` if there is no token. */
export function skipToken(text: string, at: number): number {
  let i = at;
  while (i < text.length && isTokenCode(text.charCodeAt(i))) i++;
  return i;
}

/** Index after the closing quote of the string that opens at the given index, or -1 if it is unterminated. */
export function skipQuoted(text: string, at: number): number {
  for (let i = at + 1; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x5c) i++;
    else if (code === 0x22) return i + 1;
  }
  return -1;
}

/** The value of the quoted string in `[from, to)`, which includes the quotes; escapes are removed. */
export function unquote(text: string, from: number, to: number): string {
  const inner = text.slice(from + 1, to - 1);
  if (!inner.includes('\\')) return inner;
  let value = '';
  let start = 0;
  for (let i = inner.indexOf('\\'); i >= 0; i = inner.indexOf('\\', i + 2)) {
    value += inner.slice(start, i);
    start = i + 1;
  }
  return value + inner.slice(start);
}

/** The text as a quoted string, with `"` and `\` escaped. */
export function quote(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&')}"`;
}

/**
 * The decimal digits in `[from, to)` as a number. -1 if the range is empty, contains another character, or the value
 * exceeds `maximum` (which must be below 2^49).
 */
export function decimal(text: string, from: number, to: number, maximum: number): number {
  if (from >= to) return -1;
  let value = 0;
  for (let i = from; i < to; i++) {
    const digit = text.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
    if (value > maximum) return -1;
  }
  return value;
}
