// The 49 messages of RFC 4475, and messages based on RFC 5118, at parser level.

import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { SipMessage, SipRequest } from './message.ts';
import { parseDatagram } from './parser.ts';
import { StreamParser } from './stream-parser.ts';
import type { ParseOutcome } from './message-head.ts';
import { parseNameAddress } from './name-address.ts';
import { parseUri } from './uri.ts';
import { parseVia } from './via.ts';

const FOLDER = new URL('../../../../test/vectors/rfc4475/', import.meta.url);

/**
 * A: accepted. R: refused, with the status of the response. D: refused without a response. L: the RFC allows either; we
 * refuse all of these except baddate (we do not use Date).
 */
const EXPECTED: Record<
  string,
  readonly ['A'] | readonly ['R', number, ...unknown[]] | readonly ['D']
> = {
  wsinv: ['A'],
  intmeth: ['A'],
  esc01: ['A'],
  escnull: ['A'],
  esc02: ['A'],
  lwsdisp: ['A'],
  longreq: ['A'],
  dblreq: ['A'],
  semiuri: ['A'],
  transports: ['A'],
  mpart01: ['A'],
  unreason: ['A'],
  noreason: ['A'],
  badinv01: ['R', 400],
  clerr: ['R', 400],
  ncl: ['R', 400],
  scalar02: ['R', 400],
  scalarlg: ['D'],
  quotbal: ['R', 400],
  ltgtruri: ['R', 400, 'L'],
  lwsruri: ['R', 400, 'L'],
  lwsstart: ['R', 400, 'L'],
  trws: ['R', 400, 'L'],
  escruri: ['R', 400, 'L'],
  baddate: ['A'],
  regbadct: ['R', 400, 'L'],
  badaspec: ['R', 400, 'L'],
  baddn: ['R', 400, 'L'],
  badvers: ['R', 505],
  mismatch01: ['R', 400],
  mismatch02: ['R', 400],
  bigcode: ['D'],
  badbranch: ['A'],
  insuf: ['R', 400],
  unkscm: ['A'],
  novelsc: ['A'],
  unksm2: ['A'],
  bext01: ['A'],
  invut: ['A'],
  regaut01: ['A'],
  multi01: ['R', 400],
  mcl01: ['R', 400],
  bcast: ['A'],
  zeromf: ['A'],
  cparam01: ['A'],
  cparam02: ['A'],
  regescrt: ['A'],
  sdp01: ['A'],
  inv2543: ['A'],
};

function load(name: string): Buffer {
  return readFileSync(new URL(`${name}.dat`, FOLDER));
}

function accepted(name: string): SipMessage {
  const outcome = parseDatagram(load(name));
  if (outcome.message === undefined) throw outcome.fault;
  return outcome.message;
}

function acceptedRequest(name: string): SipRequest {
  const message = accepted(name);
  if (message.kind !== 'request') throw new Error(`${name} is no request`);
  return message;
}

/** A message as a plain object. */
const flat = (message: SipMessage | undefined) =>
  message && {
    ...message,
    headers: [...message.headers],
    body: Buffer.from(message.body).toString('hex'),
  };

/** An outcome as a plain object, for comparison. */
function plain(outcome: ParseOutcome): unknown {
  if (outcome.message !== undefined) return flat(outcome.message);
  const { code, field, statusCode } = outcome.fault;
  return { code, field, statusCode, partial: flat(outcome.partial) };
}

/** The result of a stream parser for these chunks. */
const run = (...chunks: Uint8Array[]) => {
  const seen: unknown[] = [];
  const parser = new StreamParser({
    onOutcome: (outcome) => seen.push(plain(outcome)),
    onKeepAlive: () => seen.push('keep-alive'),
  });
  for (const chunk of chunks) parser.push(chunk);
  return { seen, failed: parser.failed, pending: parser.pendingBytes };
};

describe('RFC 4475', () => {
  it('covers each of the 49 files', () => {
    const files = readdirSync(FOLDER)
      .filter((file) => file.endsWith('.dat'))
      .map((file) => file.slice(0, -4));
    expect(files.length).toBe(49);
    expect(files.toSorted()).toEqual(Object.keys(EXPECTED).toSorted());
  });

  it.each(Object.entries(EXPECTED))('%s is treated as %j', (name, expected) => {
    const outcome = parseDatagram(load(name));
    if (expected[0] === 'A') {
      expect(
        outcome.message,
        outcome.message === undefined ? outcome.fault.message : '',
      ).toBeDefined();
      return;
    }
    expect(outcome.message).toBeUndefined();
    if (outcome.message !== undefined) return;
    if (expected[0] === 'D') {
      expect(outcome.partial).toBeUndefined();
      return;
    }
    expect(outcome.fault.statusCode).toBe(expected[1]);
    expect(outcome.partial).toBeDefined();
    for (const via of outcome.partial?.headers.getAll('via') ?? []) {
      expect(() => parseVia(via)).not.toThrow();
    }
  });

  it('3.1.1.1 wsinv: white space, folds, compact forms and lists', () => {
    const { headers, uri, body } = acceptedRequest('wsinv');
    expect(uri).toBe('sip:vivekg@chair-dnrc.example.com;unknownparam');
    expect(headers.getAll('via').map((via) => parseVia(via))).toEqual([
      { transport: 'UDP', host: '192.0.2.2', parameters: new Map([['branch', '390skdjuw']]) },
      {
        transport: 'TCP',
        host: 'spindle.example.com',
        parameters: new Map([['branch', 'z9hG4bK9ikj8']]),
      },
      {
        transport: 'UDP',
        host: '192.168.255.111',
        parameters: new Map([['branch', 'z9hG4bK30239']]),
      },
    ]);
    expect(parseNameAddress(headers.get('from') ?? '')).toEqual({
      displayName: 'J Rosenberg \\"',
      uri: 'sip:jdrosen@example.com',
      parameters: new Map([['tag', '98asjd8']]),
    });
    expect(parseNameAddress(headers.get('to') ?? '').parameters.get('tag')).toBe('1918181833n');
    expect(headers.get('cseq')).toBe('0009 INVITE');
    expect(headers.get('subject')).toBe('');
    expect(headers.get('newfangledheader')).toBe('newfangled value continued newfangled value');
    expect(headers.getAll('unknownheaderwithunusualvalue')).toEqual([';;,,;;,;']);
    expect(parseNameAddress(headers.get('contact') ?? '')).toEqual({
      displayName: 'Quoted string ""',
      uri: 'sip:jdrosen@example.com',
      parameters: new Map([
        ['newparam', 'newvalue'],
        ['secondparam', ''],
        ['q', '0.33'],
      ]),
    });
    expect(body.length).toBe(150);
  });

  it('3.1.1.2 intmeth: every character, UTF-8 and NUL where they are legal', () => {
    const { method, uri, headers } = acceptedRequest('intmeth');
    expect(method).toBe("!interesting-Method0123456789_*+`.%indeed'~");
    const parsed = parseUri(uri);
    expect(parsed.user).toBe("1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*");
    expect(parsed.password).toBe("&it+has=1,weird!*pas$wo~d_too.(doesn't-it)");
    expect(parseNameAddress(headers.get('to') ?? '').displayName).toBe('BEL:\x07 NUL:\0 DEL:\x7f');
    const from = parseNameAddress(headers.get('from') ?? '');
    expect(from.displayName).toBe("token1~` token2'+_ token3*%!.-");
    expect(from.parameters.get("fromparam''~+*_!.-%")).toBe('работающий');
    expect(headers.get("extensionHeader-!.%*+_`'~")).toBe('\ufeff大停電');
  });

  it('3.1.1.3 to 3.1.1.5: escapes are removed once, and only in URIs', () => {
    const contact = parseNameAddress(acceptedRequest('esc01').headers.get('contact') ?? '');
    const uri = parseUri(contact.uri);
    expect(uri.user).toBe('caller');
    expect([...uri.parameters]).toEqual([
      ['lr', ''],
      ['name', 'value%41'],
    ]);
    const nulls = acceptedRequest('escnull').headers.getAll('contact');
    expect(nulls.map((value) => parseUri(parseNameAddress(value).uri).user)).toEqual([
      '\0',
      '\0\0',
    ]);
    const { method, headers } = acceptedRequest('esc02');
    expect(method).toBe('RE%47IST%45R');
    expect(headers.getAll('contact').length).toBe(2);
  });

  it('3.1.1.8 dblreq: octets after the body are ignored', () => {
    expect(acceptedRequest('dblreq').method).toBe('REGISTER');
    expect(acceptedRequest('dblreq').body.length).toBe(0);
  });

  it('3.1.1.9 semiuri: a semicolon in the user part', () => {
    expect(parseUri(acceptedRequest('semiuri').uri)).toMatchObject({
      user: 'user;par=u@example.net',
      host: 'example.com',
    });
    expect(acceptedRequest('semiuri').headers.getAll('accept').length).toBe(6);
  });

  it('3.1.1.11 to 3.1.1.13: binary body, UTF-8 reason, empty reason', () => {
    expect(acceptedRequest('mpart01').body.length).toBe(553);
    const unreason = accepted('unreason');
    expect(unreason).toMatchObject({
      statusCode: 200,
      reasonPhrase: '= 2**3 * 5**2 но сто девяносто девять - простое',
    });
    expect(accepted('noreason')).toMatchObject({ statusCode: 100, reasonPhrase: '' });
  });

  it('3.1.2.11 escruri: headers in the Request-URI never become header fields', () => {
    const outcome = parseDatagram(load('escruri'));
    expect(outcome.message).toBeUndefined();
    if (outcome.message === undefined) expect(outcome.partial?.headers.has('route')).toBe(false);
  });

  it('3.3.2 and 3.3.3: another scheme is left to the user agent, which answers 416', () => {
    for (const name of ['unkscm', 'novelsc']) {
      expect(() => parseUri(acceptedRequest(name).uri)).toThrowError(
        expect.objectContaining({ code: 'UNSUPPORTED_SCHEME', statusCode: 416 }),
      );
    }
  });

  it.each(Object.keys(EXPECTED))(
    '%s gives the same result on a stream, however it is cut',
    (name) => {
      const octets = load(name);
      const whole = run(octets);
      for (let cut = 1; cut < octets.length; cut++) {
        expect(run(octets.subarray(0, cut), octets.subarray(cut))).toEqual(whole);
      }
      expect(run(...Array.from(octets, (octet) => Uint8Array.of(octet)))).toEqual(whole);
    },
  );

  it.each(['ncl', 'mcl01'])('%s ends the stream', (name) => {
    const faults: ParseOutcome[] = [];
    const parser = new StreamParser({
      onOutcome: (outcome) => faults.push(outcome),
      onKeepAlive: () => undefined,
    });
    parser.push(load(name));
    parser.push(load('zeromf'));
    expect(parser.failed).toBe(true);
    expect(faults.length).toBe(1);
    expect(faults[0]).toMatchObject({ fault: { code: 'BAD_CONTENT_LENGTH', statusCode: 400 } });
    expect(faults[0]).toHaveProperty('partial.method');
  });

  it('clerr: a stream waits for the rest of the body', () => {
    const parser = new StreamParser({
      onOutcome: () => expect.unreachable(),
      onKeepAlive: () => undefined,
    });
    parser.push(load('clerr'));
    expect(parser.failed).toBe(false);
    expect(parser.midMessage).toBe(true);
  });
});

describe('RFC 4475 in a stream', () => {
  /** The result for a stream: its messages and faults, and what it still waits for at the end. */
  const outcomeOf = (pieces: readonly Uint8Array[]): unknown[] => {
    const seen: unknown[] = [];
    const parser = new StreamParser({
      onOutcome: (outcome) =>
        seen.push(
          outcome.message === undefined
            ? [outcome.fault.code, outcome.fault.statusCode]
            : [outcome.message.kind, [...outcome.message.headers], outcome.message.body.length],
        ),
      onKeepAlive: () => seen.push('keep-alive'),
    });
    for (const piece of pieces) if (!parser.failed) parser.push(piece);
    return [...seen, parser.failed, parser.midMessage];
  };

  it.each(readdirSync(FOLDER).filter((name) => name.endsWith('.dat')))(
    '%s gives the same result at every cut, and octet by octet',
    (file) => {
      const octets = readFileSync(new URL(file, FOLDER));
      const whole = outcomeOf([octets]);
      for (let cut = 1; cut < octets.length; cut++)
        expect(outcomeOf([octets.subarray(0, cut), octets.subarray(cut)]), `at ${cut}`).toEqual(
          whole,
        );
      expect(outcomeOf([...octets].map((octet) => Uint8Array.of(octet)))).toEqual(whole);
    },
  );
});

const register = (uri: string, via: string, extra = '') =>
  Buffer.from(
    `REGISTER ${uri} SIP/2.0\r\nTo: sip:user@example.com\r\nFrom: sip:user@example.com;tag=81x2\r\nVia: ${via}\r\n` +
      `Call-ID: SSG9559905523997077@hlau_4100\r\nMax-Forwards: 70\r\nContact: "Caller" <sip:caller@[2001:db8::1]>\r\n` +
      `CSeq: 98176 REGISTER\r\n${extra}Content-Length: 0\r\n\r\n`,
  );

describe('RFC 5118', () => {
  const VIA = 'SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-111';

  it.each([
    ['4.1 IPv6 reference', 'sip:[2001:db8::10]', VIA, undefined],
    ['4.2 no brackets', 'sip:2001:db8::10', VIA, 400],
    ['4.3 port inside the brackets', 'sip:[2001:db8::10:5070]', VIA, undefined],
    ['4.4 port outside', 'sip:[2001:db8::10]:5070', VIA, undefined],
    [
      '4.5 received with brackets',
      'sip:[2001:db8::10]',
      `${VIA};received=[2001:db8::9:255]`,
      undefined,
    ],
    [
      '4.5 received without brackets',
      'sip:[2001:db8::10]',
      `${VIA};received=2001:db8::9:255`,
      undefined,
    ],
    [
      '4.9 IPv4-mapped',
      'sip:[::ffff:192.0.2.10]:19823',
      'SIP/2.0/UDP [::ffff:192.0.2.2]:19823;branch=z9hG4bKbh19',
      undefined,
    ],
    ['4.10 three colons', 'sip:[2001:db8:::192.0.2.1]', VIA, undefined],
  ])('%s', (_, uri, via, status) => {
    const outcome = parseDatagram(register(uri, via));
    if (status === undefined) expect(outcome.message).toBeDefined();
    else
      expect(outcome).toMatchObject({
        fault: { statusCode: status },
        partial: { method: 'REGISTER' },
      });
  });

  it('4.3: the port inside the brackets is part of the address', () => {
    expect(parseUri('sip:[2001:db8::10:5070]')).toMatchObject({ host: '2001:db8::10:5070' });
    expect(parseUri('sip:[2001:db8::10]:5070')).toMatchObject({ host: '2001:db8::10', port: 5070 });
    expect(parseVia(`${VIA};received=[2001:db8::9:255]`).parameters.get('received')).toBe(
      '[2001:db8::9:255]',
    );
    expect(parseVia(`${VIA};received=2001:db8::9:255`).parameters.get('received')).toBe(
      '2001:db8::9:255',
    );
  });

  it('4.7: families may be mixed between headers', () => {
    const extra = 'Record-Route: <sip:192.0.2.1;lr>, <sip:[2001:db8::1];lr>\r\n';
    const outcome = parseDatagram(register('sip:[2001:db8::10]', VIA, extra));
    expect(outcome.message?.headers.getAll('record-route')).toEqual([
      '<sip:192.0.2.1;lr>',
      '<sip:[2001:db8::1];lr>',
    ]);
  });
});
