// Salvages addresses in responses that violate the grammar. Requests from strangers are parsed strictly. A response
// answers our own request, and dropping it would leave the call hanging.

import { checkNameAddress } from './name-address.ts';
import { checkUri } from './uri.ts';

/**
 * Builds an address that parses from one that does not: the URI between `<` and `>`, and the tag after it. Seen in the
 * field: OpenSIPS topology hiding writes `<sip:192.0.2.1;thinfo="…=">`, Cisco `Room, Big <sip:…>`, others `""name""
 * <sip:…>`.
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
 * A Route or Record-Route without angle brackets. All of it is the URI, including `;lr`, which the grammar would read
 * as a header parameter. Some proxies of the early 2000s still write this.
 */
export function withBrackets(value: string): string {
  const isBare = /^\s*sips?:[^<>"]+$/i.test(value);
  return isBare ? `<${value.trim()}>` : value;
}

function bareUri(value: string): string | undefined {
  return /\bsips?:[^\s;,<>"]+/i.exec(value)?.[0];
}

/** The URI with illegal characters escaped, or else without its parameters. */
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
    // The caller falls back to something else.
    return false;
  }
}
