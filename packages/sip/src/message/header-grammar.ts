// The grammar of each known header (RFC 3261 §20, §25.1), and splitting of comma-separated lists (§7.3.1).

import { canonicalHeaderName } from './message.ts';
import { isSpace, skipQuoted } from './scan.ts';

/** How the value of a header is split and checked when a message is parsed. */
type HeaderRule =
  | 'via'
  | 'from-to'
  | 'call-id'
  | 'cseq'
  | 'content-length'
  | 'max-forwards'
  | 'address-list'
  | 'list'
  | 'text';

/** A known header, with its canonical name. */
export interface KnownHeader {
  readonly name: string;
  readonly rule: HeaderRule;
}

const RULES: ReadonlyMap<string, HeaderRule> = new Map<string, HeaderRule>([
  ['via', 'via'],
  ['from', 'from-to'],
  ['to', 'from-to'],
  ['call-id', 'call-id'],
  ['cseq', 'cseq'],
  ['content-length', 'content-length'],
  ['max-forwards', 'max-forwards'],
  ['contact', 'address-list'],
  ['route', 'address-list'],
  ['record-route', 'address-list'],
  // Headers whose grammar is a comma-separated list: RFC 3261 §20 and the RFCs that added them.
  ...[
    'accept accept-contact accept-encoding accept-language alert-info allow allow-events call-info content-encoding',
    'content-language diversion error-info geolocation history-info in-reply-to p-asserted-identity p-associated-uri',
    'p-preferred-identity path permission-missing proxy-require reason recv-info reject-contact request-disposition',
    'require security-client security-server security-verify service-route supported trigger-consent unsupported warning',
  ]
    .join(' ')
    .split(' ')
    .map((name): [string, HeaderRule] => [name, 'list']),
]);

/** Keyed by the spelling on the wire, so that common names cost one lookup. Fixed after loading. */
const BY_SPELLING: ReadonlyMap<string, KnownHeader> = (() => {
  const known = new Map<string, KnownHeader>();
  const names = [
    ...RULES.keys(),
    ...'content-type content-disposition user-agent server subject date expires min-expires organization'.split(
      ' ',
    ),
    ...'www-authenticate proxy-authenticate authorization proxy-authorization authentication-info'.split(
      ' ',
    ),
    ...'session-expires min-se refer-to referred-by event subscription-state retry-after timestamp'.split(
      ' ',
    ),
  ];
  for (const name of names) {
    const header = { name, rule: RULES.get(name) ?? 'text' } as const;
    known.set(name, header);
    known.set(
      name.replace(/(?:^|-)[a-z]/g, (letter) => letter.toUpperCase()),
      header,
    );
  }
  for (const letter of 'abcdefghijklmnopqrstuvwxyz') {
    const name = canonicalHeaderName(letter);
    const header = { name, rule: RULES.get(name) ?? 'text' } as const;
    known.set(letter, header);
    known.set(letter.toUpperCase(), header);
  }
  for (const spelling of ['Call-ID', 'CSeq', 'WWW-Authenticate', 'Min-SE']) {
    const name = spelling.toLowerCase();
    known.set(spelling, { name, rule: RULES.get(name) ?? 'text' });
  }
  return known;
})();

/** The header with this spelling: compact form, usual form, or any other. */
export function knownHeader(spelling: string): KnownHeader {
  const known = BY_SPELLING.get(spelling);
  if (known !== undefined) return known;
  const name = canonicalHeaderName(spelling);
  return { name, rule: RULES.get(name) ?? 'text' };
}

/**
 * Elements of a comma-separated list, trimmed of SP and HT. Commas inside quotes and angle brackets do not separate.
 */
export function splitList(value: string): readonly string[] {
  if (!value.includes(',')) return [value];
  const elements: string[] = [];
  let start = 0;
  let at = 0;
  while (at < value.length) {
    const code = value.charCodeAt(at);
    if (code === 0x22 || code === 0x3c) {
      const end = code === 0x22 ? skipQuoted(value, at) : value.indexOf('>', at) + 1;
      if (end <= 0) break;
      at = end;
      continue;
    }
    if (code === 0x2c) {
      elements.push(trimmed(value, start, at));
      start = at + 1;
    }
    at++;
  }
  elements.push(trimmed(value, start, value.length));
  return elements;
}

function trimmed(text: string, from: number, to: number): string {
  let start = from;
  let end = to;
  while (start < end && isSpace(text.charCodeAt(start))) start++;
  while (end > start && isSpace(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}
