import { lookup } from 'node:dns/promises';
import { describe, expect, it } from 'vitest';
import { innermost, OutgoingPolicy, PolicyError, sipPortsOf } from './outgoing-policy.ts';
import type { OutgoingOptions } from './outgoing-policy.ts';

/** Addresses, as literals, that a stranger must not make the server connect to. */
const FORBIDDEN = [
  // Loopback, and what means it.
  '127.0.0.1',
  '127.0.0.2',
  '127.255.255.254',
  '0.0.0.0',
  '0.1.2.3',
  '::1',
  '0:0:0:0:0:0:0:1',
  '::',
  '::ffff:127.0.0.1',
  '::ffff:7f00:1',
  '0:0:0:0:0:ffff:127.0.0.1',
  '::FFFF:127.0.0.1',
  '::127.0.0.1',
  '::7f00:1',
  '::ffff:0:127.0.0.1',
  '64:ff9b::127.0.0.1',
  '64:ff9b::7f00:1',
  '64:ff9b:1::127.0.0.1',
  '2002:7f00:1::',
  '2002:7f00:0001::1',
  '::1%lo',
  // Private.
  '10.0.0.1',
  '10.255.255.255',
  '172.16.0.1',
  '172.31.255.255',
  '192.168.0.1',
  '192.168.255.255',
  '100.64.0.1',
  '100.127.255.255',
  '::ffff:10.0.0.1',
  '::ffff:a00:1',
  '::ffff:192.168.1.1',
  '::ffff:c0a8:101',
  '::ffff:172.16.0.1',
  '::10.0.0.1',
  '64:ff9b::10.0.0.1',
  '64:ff9b::c0a8:1',
  '2002:a00:1::1',
  '2002:c0a8:101::',
  'fc00::1',
  'fd00::1',
  'fdff:ffff:ffff::1',
  'FD12:3456:789A::1',
  // Link-local and metadata of clouds.
  '169.254.0.1',
  '169.254.169.254',
  '169.254.170.2',
  '::ffff:169.254.169.254',
  '::ffff:a9fe:a9fe',
  '::169.254.169.254',
  '64:ff9b::169.254.169.254',
  '64:ff9b::a9fe:a9fe',
  '2002:a9fe:a9fe::',
  'fd00:ec2::254',
  'fd20:ce::254',
  '100.100.100.200',
  '168.63.129.16',
  '192.0.0.192',
  'fe80::1',
  'fe80::1%eth0',
  'fe80::a9fe:a9fe',
  'febf::1',
  'fec0::1',
  // Many at once, and nobody.
  '224.0.0.1',
  '239.255.255.250',
  '240.0.0.1',
  '255.255.255.255',
  '::ffff:224.0.0.1',
  'ff02::1',
  'ff05::2',
  'ff0e::1',
  '192.0.2.1',
  '198.18.0.1',
  '198.19.255.255',
  '198.51.100.1',
  '203.0.113.1',
  '2001:db8::1',
  '100::1',
  // No addresses at all.
  '',
  'localhost',
  '127.1',
  '0x7f000001',
  '2130706433',
];

/** Ways of writing loopback that the system's resolver understands: they are looked up, and what comes out is checked. */
const ODD_FORMS = [
  '127.1',
  '127.0.1',
  '0x7f.1',
  '0x7f.0.0.1',
  '0x7f000001',
  '2130706433',
  '017700000001',
  '0177.0.0.1',
  '0177.0.0.01',
  '127.0.0.0x1',
  '0',
  '0x0',
  '00.0.0.0',
  'localhost',
  'localhost.',
  'LOCALHOST',
];

const PUBLIC = [
  '1.1.1.1',
  '8.8.8.8',
  '9.255.255.255',
  '11.0.0.1',
  '100.63.255.255',
  '100.128.0.1',
  '126.255.255.255',
  '128.0.0.1',
  '169.253.255.255',
  '172.15.255.255',
  '172.32.0.1',
  '192.167.255.255',
  '192.169.0.1',
  '223.255.255.255',
  '2606:4700::1111',
  '::ffff:8.8.8.8',
  '64:ff9b::8.8.8.8',
];

function judge(options: OutgoingOptions): (address: string, host?: string) => boolean {
  const policy = new OutgoingPolicy(options);
  return (address, host = address) => policy.mayConnect(address, host);
}

describe('outgoing policy', () => {
  it('has enough forms of what is forbidden', () => {
    expect(new Set([...FORBIDDEN, ...ODD_FORMS]).size).toBeGreaterThanOrEqual(80);
  });

  it.each(FORBIDDEN)('refuses %s', (address) => {
    expect(judge({})(address)).toBe(false);
    expect(judge({})(address, 'innocent.example')).toBe(false);
  });

  it.each(ODD_FORMS)('refuses what %s turns out to be', async (form) => {
    // What this system does not take for an address cannot be connected to either.
    const found = await lookup(form, { all: true }).catch(() => []);
    for (const { address } of found)
      expect([form, address, judge({})(address, form)]).toContain(false);
  });

  it.each(PUBLIC)('lets %s', (address) => {
    expect(judge({})(address)).toBe(true);
  });

  it('has one switch for a private network, which opens no metadata', () => {
    const mayConnect = judge({ lan: true });
    for (const address of ['127.0.0.1', '10.1.2.3', '192.168.0.1', '::1', 'fd00::1', '100.64.0.1'])
      expect([address, mayConnect(address)]).toEqual([address, true]);
    for (const address of ['169.254.169.254', 'fd00:ec2::254', 'fe80::1', '0.0.0.0', '224.0.0.1'])
      expect([address, mayConnect(address)]).toEqual([address, false]);
  });

  it('allows by network and by name', () => {
    const mayConnect = judge({
      allow: ['10.1.0.0/16', '169.254.169.254', '*.lan', 'Host.example.'],
    });
    expect(mayConnect('10.1.2.3')).toBe(true);
    expect(mayConnect('::ffff:10.1.2.3')).toBe(true);
    expect(mayConnect('10.2.0.1')).toBe(false);
    expect(mayConnect('169.254.169.254')).toBe(true);
    expect(mayConnect('192.168.0.1', 'rtmp.LAN')).toBe(true);
    expect(mayConnect('192.168.0.1', 'lan')).toBe(false);
    expect(mayConnect('192.168.0.1', 'host.example')).toBe(true);
    expect(mayConnect('192.168.0.1', 'other.host.example')).toBe(false);
  });

  it('denies before it allows', () => {
    const mayConnect = judge({
      lan: true,
      allow: ['10.0.0.0/8'],
      deny: ['10.0.0.1', '*.bad.example'],
    });
    expect(mayConnect('10.0.0.1')).toBe(false);
    expect(mayConnect('::ffff:10.0.0.1')).toBe(false);
    expect(mayConnect('10.0.0.2')).toBe(true);
    expect(mayConnect('8.8.8.8', 'x.bad.example')).toBe(false);
  });

  it('may allow nothing else', () => {
    const mayConnect = judge({ onlyAllowed: true, allow: ['8.8.8.0/24'], lan: true });
    expect([mayConnect('8.8.8.8'), mayConnect('9.9.9.9'), mayConnect('10.0.0.1')]).toEqual([
      true,
      false,
      false,
    ]);
  });

  it.each(['10.0.0.0/33', '::/129', 'a b', '*', '*.', 'http://x', '10.0.0.0/', ''])(
    'takes %j for no entry',
    (entry) => {
      expect(() => new OutgoingPolicy({ deny: [entry] })).toThrow(PolicyError);
    },
  );

  it('sees the address within an address', () => {
    expect(innermost('::ffff:1.2.3.4')).toBe('1.2.3.4');
    expect(innermost('2002:102:304::5')).toBe('1.2.3.4');
    expect(innermost('64:ff9b::102:304')).toBe('1.2.3.4');
    expect(innermost('2606:4700::1111')).toBe('2606:4700::1111');
  });
});

describe('ports for SIP', () => {
  it('are 5060 to 5090 in production, and all else', () => {
    expect(sipPortsOf(true)).toEqual([{ min: 5060, max: 5090 }]);
    expect(sipPortsOf(true, { lan: true })).toEqual([{ min: 5060, max: 5090 }]);
    expect(sipPortsOf(false, { lan: true })).toBeUndefined();
  });

  it('are those that are listed', () => {
    const sipPorts = [5060, '5070', '15060-15070', '1-65535'];
    const ports = [
      { min: 5060, max: 5060 },
      { min: 5070, max: 5070 },
      { min: 15_060, max: 15_070 },
      { min: 1, max: 65_535 },
    ];
    for (const isProduction of [true, false])
      expect(sipPortsOf(isProduction, { sipPorts })).toEqual(ports);
  });

  it.each([
    0,
    65_536,
    5060.5,
    -1,
    '0',
    '65536',
    '5090-5060',
    '5060-65536',
    '5060-',
    'sip',
    '',
    '5060 ',
  ])('are none of %j', (entry) => {
    const problem = `${JSON.stringify(entry)} is not a port or range of ports`;
    const wrong = { field: 'sipPorts', message: problem };
    expect(() => sipPortsOf(true, { sipPorts: [entry] })).toThrow(expect.objectContaining(wrong));
  });
});
