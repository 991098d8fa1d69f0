// Addresses of responses that do not follow the grammar: what is needed of them is read from what can be read. Requests of
// strangers stay strict; a response answers a request of our own, and dropping it would leave the call without an end.

import { checkNameAddress } from './name-address.ts';
import { checkUri } from './uri.ts';

/**
 * An address that parses, made of one that does not: the URI between `<` and `>`, and the tag behind it. Seen in the field:
 * OpenSIPS topology hiding writes `<sip:192.0.2.1;thinfo="…=">`, Cisco `Room, Big <sip:…>`, others `""name"" <sip:…>`.
 *
 * @returns undefined when no URI can be found.
 */
export function salvageNameAddress(value: string): string | undefined {
  const open = value.search(/<\s*[a-z][a-z0-9+.-]*:/i);
  const close = open < 0 ? -1 : value.indexOf('>', open);
  const text = open >= 0 ? value.slice(open + 1, close < 0 ? value.length : close) : bareUri(value);
  const uri = text === undefined ? undefined : salvageUri(text.trim());
  if (uri === undefined) return undefined;
  const tag = /;\s*tag\s*=\s*"?([^\s;,"<>=]+)/i.exec(close < 0 ? value : value.slice(close + 1));
  const salvaged = `<${uri}>${tag?.[1] === undefined ? '' : `;tag=${tag[1]}`}`;
  return parses(() => checkNameAddress(salvaged, 'address')) ? salvaged : undefined;
}

/**
 * A Route or Record-Route without angle brackets: all of it is the URI, `;lr` included, which the grammar would take for a
 * parameter of the header. Some proxies of the early 2000s still do that.
 */
export function withBrackets(value: string): string {
  const isBare = /^\s*sips?:[^<>"]+$/i.test(value);
  return isBare ? `<${value.trim()}>` : value;
}

function bareUri(value: string): string | undefined {
  return /\bsips?:[^\s;,<>"]+/i.exec(value)?.[0];
}

/** The URI with what may not stand in it escaped, else without its parameters. */
function salvageUri(text: string): string | undefined {
  const escaped = text
    .replaceAll(/%(?![0-9a-f]{2})/gi, '%25')
    .replaceAll(
      /[\s"<>]/g,
      (one) => `%${one.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
    );
  const host = escaped.indexOf('@') + 1;
  const parameters = escaped.slice(host).search(/[;?]/);
  const plain = parameters < 0 ? escaped : escaped.slice(0, host + parameters);
  return [escaped, plain].find((one) => parses(() => checkUri(one, 0, one.length, 'address')));
}

function parses(check: () => unknown): boolean {
  try {
    check();
    return true;
  } catch {
    // The caller has another way.
    return false;
  }
}
