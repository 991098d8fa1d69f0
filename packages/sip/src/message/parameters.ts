// `;name=value` after a header value: generic-param (RFC 3261 §25.1).

import { isToken, quote, skipQuoted, skipSpace, skipToken, syntaxError, unquote } from './scan.ts';

/**
 * Parameters in order of appearance. Names are lower-case, a flag (`;lr`) has the value `''`, and quotes and escapes
 * are removed. If a name is repeated, the first one counts.
 */
export type Parameters = ReadonlyMap<string, string>;

/** No parameters. */
export const NO_PARAMETERS: Parameters = new Map();

/**
 * Scans `*( SEMI generic-param )` from `at` to the end of the text and stores the parameters in `out`, if given.
 *
 * @throws SipError `SYNTAX` naming `field`.
 */
export function scanParameters(
  text: string,
  from: number,
  field: string,
  out?: Map<string, string>,
): void {
  let at = skipSpace(text, from);
  while (at < text.length) {
    if (text.charCodeAt(at) !== 0x3b)
      throw syntaxError(field, 'Unexpected character before a parameter');
    const nameFrom = skipSpace(text, at + 1);
    const nameTo = skipToken(text, nameFrom);
    if (nameTo === nameFrom) throw syntaxError(field, 'Parameter without a name');
    at = skipSpace(text, nameTo);
    let valueFrom = at;
    let valueTo = at;
    let quoted = false;
    if (at < text.length && text.charCodeAt(at) === 0x3d) {
      valueFrom = skipSpace(text, at + 1);
      if (text.charCodeAt(valueFrom) === 0x22) {
        quoted = true;
        valueTo = skipQuoted(text, valueFrom);
        if (valueTo < 0) throw syntaxError(field, 'Unterminated quoted string');
      } else {
        valueTo = skipParameterValue(text, valueFrom);
      }
      at = skipSpace(text, valueTo);
    }
    if (out !== undefined) {
      const name = text.slice(nameFrom, nameTo).toLowerCase();
      if (!out.has(name)) {
        out.set(name, quoted ? unquote(text, valueFrom, valueTo) : text.slice(valueFrom, valueTo));
      }
    }
  }
}

/**
 * Skips an unquoted value. Accepts more than `token / host`: RFC 5118 §4.5 has `received=2001:db8::9:255` without
 * brackets in a Via, and proxies put `/`, `@` and `=` into tags and branches.
 */
function skipParameterValue(text: string, from: number): number {
  let at = from;
  for (; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code <= 0x20 || code === 0x7f) break;
    if (code === 0x3b || code === 0x2c || code === 0x22 || code === 0x3c || code === 0x3e) break;
  }
  return at;
}

/** Each parameter with its `;`, quoted where necessary. @throws SipError `SYNTAX` for a name that is not a token */
export function formatParameters(parameters: Parameters): string {
  let text = '';
  for (const [name, value] of parameters) {
    if (!isToken(name)) throw syntaxError(name, 'Parameter name is not a token');
    if (value === '') text += `;${name}`;
    else
      text +=
        skipParameterValue(value, 0) === value.length
          ? `;${name}=${value}`
          : `;${name}=${quote(value)}`;
  }
  return text;
}
