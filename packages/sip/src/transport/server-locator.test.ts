import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { type NextHop, nextHopTo } from './next-hop.ts';
import { inTurn, ServerLocator } from './server-locator.ts';
import { systemDns } from './sip-dns.ts';
import type { AddressRecord, NaptrRecord, SipDns, SrvRecord } from './sip-dns.ts';
import type { Clock } from '../timers.ts';
import { parseUri } from '../message/uri.ts';
import { SipUserAgent } from '../agent/user-agent.ts';

/** Time advances only on request. */
class ManualClock implements Clock {
  #nowMs = 0;
  #timers: { dueMs: number; callback: () => void }[] = [];

  now(): number {
    return this.#nowMs;
  }

  startTimer(delayMs: number, callback: () => void): { cancel(): void } {
    const timer = { dueMs: this.#nowMs + delayMs, callback };
    this.#timers.push(timer);
    return { cancel: () => (this.#timers = this.#timers.filter((one) => one !== timer)) };
  }

  get running(): number {
    return this.#timers.length;
  }

  async pass(durationMs: number): Promise<void> {
    this.#nowMs += durationMs;
    for (const timer of this.#timers.filter(({ dueMs }) => dueMs <= this.#nowMs)) {
      this.#timers = this.#timers.filter((one) => one !== timer);
      timer.callback();
    }
    await new Promise(setImmediate);
  }
}

interface Zone {
  readonly naptr?: Record<string, NaptrRecord[]>;
  readonly srv?: Record<string, SrvRecord[]>;
  readonly a?: Record<string, (string | AddressRecord)[]>;
  readonly aaaa?: Record<string, string[]>;
}

/** Answers from a table and records the questions. Names that begin with `slow` are never answered. */
function zoneDns(zone: Zone): { dns: SipDns; questions: string[] } {
  const questions: string[] = [];
  const answer = <R>(question: string, name: string, records: R[] | undefined): Promise<R[]> => {
    questions.push(question);
    if (name.startsWith('slow')) return new Promise(() => {});
    if (records === undefined) {
      return Promise.reject(Object.assign(new Error(question), { code: 'ENOTFOUND' }));
    }
    return Promise.resolve(records);
  };
  const dns: SipDns = {
    naptr: (name) => answer(`NAPTR ${name}`, name, zone.naptr?.[name]),
    srv: (name) => answer(`SRV ${name}`, name, zone.srv?.[name]),
    addresses: (name, family) => {
      const records = (family === 4 ? zone.a : zone.aaaa)?.[name];
      return answer(
        `${family === 4 ? 'A' : 'AAAA'} ${name}`,
        name,
        records?.map((one) => (typeof one === 'string' ? { address: one } : one)),
      );
    },
  };
  return { dns, questions };
}

function locatorFor(zone: Zone, families: readonly (4 | 6)[] = [4], random = () => 0) {
  const clock = new ManualClock();
  const { dns, questions } = zoneDns(zone);
  return { locator: new ServerLocator({ dns, clock, families, random }), clock, questions };
}

const to = (uri: string, preference: NextHop['preference'] = 'udp'): NextHop =>
  nextHopTo(parseUri(uri), preference);

const srv = (target: string, port: number, priority = 0, weight = 0): SrvRecord => ({
  target,
  port,
  priority,
  weight,
});

const ZONE: Zone = {
  naptr: {
    'example.com': [
      { order: 20, preference: 1, flags: 's', service: 'SIP+D2U', replacement: '_sip._udp.a' },
      { order: 10, preference: 9, flags: 'S', service: 'sips+d2t', replacement: '_sips._tcp.a' },
      { order: 10, preference: 1, flags: 's', service: 'SIP+D2S', replacement: '_sip._sctp.a' },
      { order: 1, preference: 1, flags: 'u', service: 'E2U+sip', replacement: '' },
    ],
  },
  srv: {
    '_sip._udp.a': [srv('u.a', 5070)],
    '_sips._tcp.a': [srv('t.a', 5071)],
    '_sip._udp.example.com': [srv('second.a', 5081, 2), srv('first.a', 5080, 1)],
    '_sip._tcp.example.com': [srv('first.a', 5082)],
    '_sip._udp.gone.com': [srv('.', 0)],
  },
  a: {
    'u.a': ['192.0.2.10'],
    't.a': ['192.0.2.11'],
    'first.a': ['192.0.2.1', '192.0.2.2'],
    'second.a': ['192.0.2.3'],
    'plain.com': ['192.0.2.4'],
    'gone.com': ['192.0.2.5'],
    localhost: ['127.0.0.1'],
    'bad.com': ['224.0.0.1', '0.0.0.0', '255.255.255.255'],
    'half.bad.com': ['239.1.1.1', '192.0.2.9', 'nonsense'],
  },
  aaaa: { 'first.a': ['2001:db8::1'], 'six.com': ['2001:db8::6', 'ff02::1'] },
};

const CASES: readonly (readonly [string, NextHop, readonly string[], readonly string[]])[] = [
  ['an address', to('sip:192.0.2.7'), ['UDP 192.0.2.7:5060'], []],
  ['an IPv6 address with a port', to('sip:[2001:db8::7]:99', 'tcp'), ['TCP 2001:db8::7:99'], []],
  ['an address over TLS', to('sips:192.0.2.7', 'udp'), ['TLS 192.0.2.7:5061'], []],
  ['a port: no service lookup', to('sip:plain.com:5099'), ['UDP 192.0.2.4:5099'], ['A plain.com']],
  [
    'SRV by priority, each with all addresses',
    to('sip:example.com'),
    ['UDP 192.0.2.1:5080', 'UDP 192.0.2.2:5080', 'UDP 192.0.2.3:5081'],
    ['SRV _sip._udp.example.com', 'A first.a', 'A second.a'],
  ],
  [
    'the service of the requested transport',
    to('sip:example.com', 'tcp'),
    ['TCP 192.0.2.1:5082', 'TCP 192.0.2.2:5082'],
    ['SRV _sip._tcp.example.com', 'A first.a'],
  ],
  [
    'NAPTR by order and preference, unsupported services skipped',
    to('sip:example.com', 'auto'),
    ['TLS 192.0.2.11:5071', 'UDP 192.0.2.10:5070'],
    ['NAPTR example.com', 'SRV _sips._tcp.a', 'SRV _sip._udp.a', 'A t.a', 'A u.a'],
  ],
  [
    'no service: the host itself',
    to('sip:plain.com', 'auto'),
    ['UDP 192.0.2.4:5060'],
    ['NAPTR plain.com', 'SRV _sip._udp.plain.com', 'SRV _sip._tcp.plain.com', 'A plain.com'],
  ],
  [
    'a service declared absent: the host itself',
    to('sip:gone.com'),
    ['UDP 192.0.2.5:5060'],
    ['SRV _sip._udp.gone.com', 'A gone.com'],
  ],
  ['a single label', to('sip:localhost', 'auto'), ['UDP 127.0.0.1:5060'], ['A localhost']],
  [
    'a transport that the URI names',
    to('sip:plain.com;transport=tls', 'auto'),
    ['TLS 192.0.2.4:5061'],
    ['SRV _sips._tcp.plain.com', 'A plain.com'],
  ],
  ['maddr', to('sip:plain.com;maddr=192.0.2.8'), ['UDP 192.0.2.8:5060'], []],
  [
    'forbidden addresses and invalid ones',
    to('sip:half.bad.com:1'),
    ['UDP 192.0.2.9:1'],
    ['A half.bad.com'],
  ],
];

describe('ServerLocator', () => {
  it.each(CASES)('%s', async (_, next, expected, asked) => {
    const { locator, questions, clock } = locatorFor(ZONE);
    const targets = await locator.locate(next);
    expect(targets.map(({ protocol, address, port }) => `${protocol} ${address}:${port}`)).toEqual(
      expected,
    );
    expect(questions).toEqual(asked);
    expect(clock.running).toBe(0);
  });

  it('queries both families if both are reachable, in the given order', async () => {
    const { locator } = locatorFor(ZONE, [6, 4]);
    const targets = await locator.locate(to('sip:example.com', 'tcp'));
    expect(targets.map(({ address }) => address)).toEqual([
      '2001:db8::1',
      '192.0.2.1',
      '192.0.2.2',
    ]);
    expect(await locator.locate(to('sip:six.com:1'))).toHaveLength(1);
  });

  it.each([
    ['sip:nowhere.com', 'nowhere.com does not resolve'],
    ['sip:bad.com', 'Not a host: 224.0.0.1'],
    ['sip:[ff02::1]', 'Not a host: ff02::1'],
    ['sip:255.255.255.255', 'Not a host: 255.255.255.255'],
  ])('finds no server for %s', async (uri, message) => {
    const { locator } = locatorFor(ZONE);
    await expect(locator.locate(to(uri))).rejects.toMatchObject({ code: 'TRANSPORT', message });
  });

  it('gives up after five seconds', async () => {
    const { locator, clock } = locatorFor({});
    const located = locator.locate(to('sip:slow.example.com', 'auto'));
    const failed = expect(located).rejects.toMatchObject({
      code: 'TRANSPORT',
      message: 'slow.example.com does not resolve in time',
    });
    for (let ms = 0; ms < 5000; ms += 100) await clock.pass(100);
    await failed;
    expect(clock.running).toBe(0);
  });

  it('leaves time for addresses if service lookups are slow, and continues without the slow server', async () => {
    const zone = {
      srv: { '_sip._udp.x.com': [srv('slow.x.com', 1, 1), srv('quick.x.com', 2, 2)] },
      a: { 'quick.x.com': ['192.0.2.1'] },
    };
    const { locator, clock } = locatorFor(zone);
    const located = locator.locate(to('sip:x.com'));
    for (let ms = 0; ms < 5000; ms += 500) await clock.pass(500);
    expect(await located).toEqual([{ protocol: 'UDP', address: '192.0.2.1', port: 2 }]);
  });

  it('caches answers for their TTL, and negative answers for 30 seconds', async () => {
    const { locator, clock, questions } = locatorFor({
      a: { 'x.com': [{ address: '192.0.2.1', ttlSeconds: 10 }] },
    });
    const ask = async (): Promise<number> => {
      await locator.locate(to('sip:x.com'));
      await new Promise(setImmediate);
      return questions.splice(0).length;
    };
    expect(await ask()).toBe(2);
    expect(await ask()).toBe(0);
    await clock.pass(10_000);
    expect(await ask()).toBe(1); // the address
    await clock.pass(20_000);
    expect(await ask()).toBe(2); // and the negative answer
  });

  it('shares one query between concurrent lookups', async () => {
    const { locator, questions } = locatorFor(ZONE);
    const next = to('sip:plain.com:1');
    await Promise.all(Array.from({ length: 50 }, () => locator.locate(next)));
    expect(questions).toEqual(['A plain.com']);
  });

  it('limits the work a domain can cause', async () => {
    const many = Array.from({ length: 500 }, (_, n) => srv(`h${n}.x.com`, 1000 + n, n));
    const addresses = Array.from({ length: 100 }, (_, n) => `192.0.2.${n}`);
    const a = Object.fromEntries(many.map(({ target }) => [target, addresses]));
    const { locator, questions } = locatorFor({ srv: { '_sip._udp.x.com': many }, a });
    const targets = await locator.locate(to('sip:x.com'));
    expect(targets).toHaveLength(16);
    expect(new Set(targets.map(({ port }) => port))).toEqual(new Set([1000, 1001]));
    expect(questions.length).toBeLessThanOrEqual(33);
  });
});

describe('closing', () => {
  it('leaves no timer or open query, and refuses further lookups', async () => {
    const { dns, questions } = zoneDns({});
    let cancelled = 0;
    const clock = new ManualClock();
    const locator = new ServerLocator({
      dns: { ...dns, cancel: () => cancelled++ },
      clock,
      families: [4],
      random: () => 0,
    });
    const failed = ['sip:slow.example.com', 'sip:slow.example.org:5060', 'sips:slow'].map((uri) =>
      expect(locator.locate(to(uri, 'auto'))).rejects.toMatchObject({ code: 'CLOSED' }),
    );
    await new Promise(setImmediate);
    expect(clock.running).toBeGreaterThan(0);
    locator.close();
    locator.close();
    await Promise.all(failed);
    const asked = questions.length;
    await expect(locator.locate(to('sip:slow.example.net'))).rejects.toMatchObject({
      code: 'CLOSED',
    });
    await expect(locator.locate(to('sip:192.0.2.1'))).rejects.toMatchObject({ code: 'CLOSED' });
    expect([clock.running, cancelled, questions.length]).toEqual([0, 1, asked]);
  });

  it('a user agent cancels the lookup for a registration', async () => {
    const { dns } = zoneDns({});
    const clock = new ManualClock();
    const userAgent = new SipUserAgent({ bindAddress: '127.0.0.1', dns, clock, transports: [] });
    await userAgent.open();
    const registered = userAgent.register({
      registrar: 'sip:slow.example.com',
      from: { uri: 'sip:alice@example.com' },
      transport: 'udp',
    });
    const failed = expect(registered).rejects.toMatchObject({ code: 'CLOSED' });
    await new Promise(setImmediate);
    await userAgent.close();
    await failed;
    expect(clock.running).toBe(0);
  });

  it('cancels queries to a name server that does not answer', async () => {
    const silent = createSocket('udp4');
    const asked = once(silent, 'message');
    silent.bind(0, '127.0.0.1');
    await once(silent, 'listening');
    try {
      const dns = systemDns([`127.0.0.1:${silent.address().port}`]);
      const failed = expect(dns.srv('_sip._udp.example.com')).rejects.toMatchObject({
        code: 'ECANCELLED',
      });
      await asked;
      dns.cancel?.();
      await failed;
    } finally {
      silent.close();
    }
  });
});

describe('inTurn', () => {
  it('follows the weights', () => {
    const records = [srv('light', 1, 0, 1), srv('heavy', 1, 0, 9), srv('later', 1, 1, 100)];
    let dart = 0;
    const random = (): number => (dart = (dart + 0.618_033_988_75) % 1);
    const firsts = new Map<string, number>();
    for (let round = 0; round < 1000; round++) {
      const order = inTurn(records, random).map(({ target }) => target);
      expect(order).toHaveLength(3);
      expect(order[2]).toBe('later');
      firsts.set(order[0] ?? '', (firsts.get(order[0] ?? '') ?? 0) + 1);
    }
    expect(firsts.get('heavy')).toBeGreaterThan(700);
    expect(firsts.get('light')).toBeGreaterThan(50);
  });

  it('gives records with weight 0 a chance', () => {
    const records = [srv('none', 1), srv('some', 1, 0, 1)];
    expect(inTurn(records, () => 0)[0]?.target).toBe('none');
    expect(inTurn(records, () => 0.99)[0]?.target).toBe('some');
  });
});

describe('resolve', () => {
  it('prefers the requested family, and falls back to the other', async () => {
    const { dns } = zoneDns({
      a: { both: ['192.0.2.1'], four: ['192.0.2.2'] },
      aaaa: { both: ['2001:db8::1'] },
    });
    const userAgent = new SipUserAgent({ bindAddress: '::', dns });
    expect(await userAgent.resolve('both', 4)).toBe('192.0.2.1');
    expect(await userAgent.resolve('both', 6)).toBe('2001:db8::1');
    expect(await userAgent.resolve('both')).toBe('2001:db8::1');
    expect(await userAgent.resolve('four', 6)).toBe('192.0.2.2');
    await expect(userAgent.resolve('none', 4)).rejects.toMatchObject({ code: 'TRANSPORT' });
    await userAgent.close();
  });
});
