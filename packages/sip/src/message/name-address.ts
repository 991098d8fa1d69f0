// name-addr and addr-spec: the values of From, To, Contact, Route and Record-Route (RFC 3261 §20, §25.1).

import { formatParameters, type Parameters, scanParameters } from './parameters.ts';
import { quote, skipQuoted, skipSpace, syntaxError, unquote } from './scan.ts';
import { checkUri } from './uri.ts';

/** The value of From, To, Contact, Route or Record-Route. */
export interface NameAddress {
  /** Without quotes and escapes. */
  readonly displayName?: string;
  /** As on the wire, without angle brackets. */
  readonly uri: string;
  /** Parameters of the header, not those of the URI. */
  readonly parameters: Parameters;
}

/** Offsets of the parts of a name-addr or addr-spec. */
interface NameAddressLayout {
  readonly nameTo: number;
  readonly quoted: boolean;
  readonly uriFrom: number;
  readonly uriTo: number;
  readonly parametersFrom: number;
}

function locateNameAddress(text: string, field: string): NameAddressLayout {
  const quoted = text.charCodeAt(0) === 0x22;
  let nameTo = 0;
  let open: number;
  if (quoted) {
    nameTo = skipQuoted(text, 0);
    if (nameTo < 0) throw syntaxError(field, 'Unterminated quoted string');
    open = skipSpace(text, nameTo);
    if (text.charCodeAt(open) !== 0x3c) throw syntaxError(field, 'Display name without an address');
  } else {
    open = text.indexOf('<');
    const semicolon = text.indexOf(';');
    // `sip:user@host;x="<"`: an angle bracket inside a parameter does not open an address.
    if (semicolon >= 0 && semicolon < open) open = -1;
    for (let i = 0; i < open; i++) {
      const code = text.charCodeAt(i);
      // RFC 4475 §3.1.2.15: refuse a comma in an unquoted display name. Other characters outside `token` are harmless,
      // and devices send them.
      if (
        code === 0x22 ||
        code === 0x2c ||
        code === 0x5c ||
        code === 0x3e ||
        (code < 0x20 && code !== 0x09)
      ) {
        throw syntaxError(field, 'Display name needs quotes');
      }
      if (code !== 0x20 && code !== 0x09) nameTo = i + 1;
    }
  }
  if (open >= 0) {
    const close = text.indexOf('>', open);
    if (close < 0) throw syntaxError(field, 'Address without closing angle bracket');
    return { nameTo, quoted, uriFrom: open + 1, uriTo: close, parametersFrom: close + 1 };
  }
  // RFC 3261 §20: without angle brackets, `;` starts the header's parameters, and `,` and `?` must not appear.
  let uriTo = 0;
  for (; uriTo < text.length; uriTo++) {
    const code = text.charCodeAt(uriTo);
    if (code === 0x3b || code === 0x20 || code === 0x09) break;
    if (code === 0x3f || code === 0x2c) throw syntaxError(field, 'Address needs angle brackets');
  }
  return { nameTo: 0, quoted: false, uriFrom: 0, uriTo, parametersFrom: uriTo };
}

/**
 * Validates without allocating strings, and checks the URI as well. @throws SipError `SYNTAX` (naming `field`) where
 * `parseNameAddress` would
 */
export function checkNameAddress(text: string, field: string): void {
  const at = locateNameAddress(text, field);
  checkUri(text, at.uriFrom, at.uriTo, field);
  scanParameters(text, at.parametersFrom, field);
}

/**
 * Parses `"Display" <uri>;parameters` or `uri;parameters`. The URI may be of any scheme.
 *
 * @throws SipError `SYNTAX`.
 */
export function parseNameAddress(text: string): NameAddress {
  const trimmed = trimSpace(text);
  const at = locateNameAddress(trimmed, 'address');
  checkUri(trimmed, at.uriFrom, at.uriTo, 'address');
  const parameters = new Map<string, string>();
  scanParameters(trimmed, at.parametersFrom, 'address', parameters);
  const uri = trimmed.slice(at.uriFrom, at.uriTo);
  if (at.nameTo === 0) return { uri, parameters };
  const displayName = at.quoted ? unquote(trimmed, 0, at.nameTo) : trimmed.slice(0, at.nameTo);
  return { displayName, uri, parameters };
}

/**
 * The header value, always with angle brackets and a quoted display name.
 *
 * @throws SipError `SYNTAX` if the URI contains white space or delimiters, or a parameter name is not a token.
 */
export function formatNameAddress(address: NameAddress): string {
  checkUri(address.uri, 0, address.uri.length, 'uri');
  const name = address.displayName === undefined ? '' : `${quote(address.displayName)} `;
  return `${name}<${address.uri}>${formatParameters(address.parameters)}`;
}

/** The text trimmed of SP and HT; other white space is kept. */
function trimSpace(text: string): string {
  const from = skipSpace(text, 0);
  let to = text.length;
  while (to > from && (text.charCodeAt(to - 1) === 0x20 || text.charCodeAt(to - 1) === 0x09)) to--;
  return from === 0 && to === text.length ? text : text.slice(from, to);
}
