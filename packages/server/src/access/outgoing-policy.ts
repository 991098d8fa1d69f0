// Which addresses the server may connect to. Checked on the address actually connected to, regardless of the name or
// notation that led to it.

import { BlockList, isIP } from 'node:net';

/** Rules for outgoing connections. */
export interface OutgoingOptions {
  /** Allow private and loopback addresses. */
  readonly lan?: boolean | undefined;
  /** Networks (`10.1.0.0/16`), addresses and names (`*.example.com`) that are always allowed. */
  readonly allow?: readonly string[] | undefined;
  /** The same, never allowed. Takes precedence over `allow`. */
  readonly deny?: readonly string[] | undefined;
  /** Refuse everything that `allow` does not name. Default false. */
  readonly onlyAllowed?: boolean | undefined;
  /** Ports and ranges (`5060-5090`) that SIP requests may go to. Default 5060–5090 in production, else all. */
  readonly sipPorts?: readonly (number | string)[] | undefined;
}

/** A port or port range in its text form. */
export const PORT_OR_RANGE: RegExp = /^([1-9]\d{0,4})(?:-([1-9]\d{0,4}))?$/;

/** The usual ports of SIP servers. */
const SIP_PORTS: readonly string[] = ['5060-5090'];

/** Opened by `lan`. */
const LAN = [
  '127.0.0.0/8',
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  // RFC 6598: shared address space within a provider's network.
  '100.64.0.0/10',
  '::1/128',
  'fc00::/7',
];
/** Not opened by `lan`, only by `allow`: addresses without servers, or whose services trust any local client. */
const NEVER = [
  '0.0.0.0/8',
  // Link-local, including cloud metadata services.
  '169.254.0.0/16',
  'fe80::/10',
  'fec0::/10',
  'fd00:ec2::/32',
  'fd20:ce::/32',
  '100.100.100.200/32',
  '168.63.129.16/32',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/3',
  '::/128',
  '2001:db8::/32',
  '100::/64',
  'ff00::/8',
];

/** A list with an invalid entry: neither a network nor a name, or not a port. */
export class PolicyError extends Error {
  override readonly name = 'PolicyError';
  readonly field: 'allow' | 'deny' | 'sipPorts';

  constructor(field: 'allow' | 'deny' | 'sipPorts', entry: unknown) {
    const kind =
      field === 'sipPorts' ? 'not a port or range of ports' : 'neither a network nor a name';
    super(`${JSON.stringify(entry)} is ${kind}`);
    this.field = field;
  }
}

/**
 * Ports that SIP requests may go to. Undefined: all.
 *
 * @throws PolicyError
 */
export function sipPortsOf(
  isProduction: boolean,
  { sipPorts = isProduction ? SIP_PORTS : undefined }: OutgoingOptions = {},
): { readonly min: number; readonly max: number }[] | undefined {
  return sipPorts?.map((entry) => {
    const [, first = '', last = first] = PORT_OR_RANGE.exec(String(entry)) ?? [];
    const [min, max] = [Number(first), Number(last)];
    if (first === '' || min > max || max > 65_535) throw new PolicyError('sipPorts', entry);
    return { min, max };
  });
}

class Places {
  readonly #networks = new BlockList();
  readonly #names = new Set<string>();
  readonly #suffixes: string[] = [];

  constructor(entries: readonly string[], field: 'allow' | 'deny') {
    for (const entry of entries) {
      if (addNetwork(this.#networks, entry)) continue;
      const name = plainName(entry);
      if (!/^(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/.test(name))
        throw new PolicyError(field, entry);
      if (name.startsWith('*.')) this.#suffixes.push(name.slice(1));
      else this.#names.add(name);
    }
  }

  has(address: string, host: string): boolean {
    const name = plainName(host);
    return (
      contains(this.#networks, address) ||
      this.#names.has(name) ||
      this.#suffixes.some((suffix) => name.endsWith(suffix))
    );
  }
}

/** Decides about addresses. */
export class OutgoingPolicy {
  readonly #lan: boolean;
  readonly #onlyAllowed: boolean;
  readonly #allow: Places;
  readonly #deny: Places;
  readonly #private = networks(LAN);
  readonly #never = networks(NEVER);

  /** @throws PolicyError */
  constructor({ lan = false, allow = [], deny = [], onlyAllowed = false }: OutgoingOptions) {
    this.#lan = lan;
    this.#onlyAllowed = onlyAllowed;
    this.#allow = new Places(allow, 'allow');
    this.#deny = new Places(deny, 'deny');
  }

  /**
   * Whether connecting to an address is allowed.
   * @param host - The name that resolved to it, or the address.
   */
  mayConnect(address: string, host: string): boolean {
    const bare = innermost(address);
    if (isIP(bare) === 0) return false;
    if (this.#deny.has(bare, host) || this.#deny.has(address, host)) return false;
    if (this.#allow.has(bare, host)) return true;
    if (this.#onlyAllowed || contains(this.#never, bare)) return false;
    return this.#lan || !contains(this.#private, bare);
  }
}

/**
 * The IPv4 address embedded in an IPv6 address (mapped, compatible, NAT64, 6to4), else the address itself, without
 * zone.
 */
export function innermost(address: string): string {
  const bare = address.replace(/%.*$/, '');
  if (isIP(bare) !== 6) return bare;
  const groups = groupsOf(bare);
  const v4 = (high: number, low: number): string =>
    [high >> 8, high & 0xff, low >> 8, low & 0xff].join('.');
  const [first = 0, second = 0, third = 0] = groups;
  const [sixth = 0, seventh = 0, eighth = 0] = groups.slice(5);
  const isZeroTo = (count: number): boolean => groups.slice(0, count).every((group) => group === 0);
  // ::ffff:a.b.c.d, ::ffff:0:a.b.c.d (RFC 2765) and ::a.b.c.d, except :: and ::1.
  if (isZeroTo(5) && sixth === 0xffff) return v4(seventh, eighth);
  if (isZeroTo(4) && groups[4] === 0xffff && sixth === 0) return v4(seventh, eighth);
  if (isZeroTo(6) && (seventh !== 0 || eighth > 1)) return v4(seventh, eighth);
  // RFC 6052 and RFC 8215: 64:ff9b::/96 and 64:ff9b:1::/48.
  if (first === 0x64 && second === 0xff9b) return v4(seventh, eighth);
  // RFC 3056: 2002:a.b.c.d::/48.
  if (first === 0x2002) return v4(second, third);
  return bare;
}

function groupsOf(address: string): readonly number[] {
  // The URL parser converts IPv4 tails to groups.
  const [head = '', tail] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::');
  const read = (text: string): number[] =>
    text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16));
  const left = read(head);
  const right = read(tail ?? '');
  return [...left, ...Array<number>(8 - left.length - right.length).fill(0), ...right];
}

function plainName(host: string): string {
  return host.toLowerCase().replace(/\.$/, '');
}

function networks(entries: readonly string[]): BlockList {
  const list = new BlockList();
  for (const entry of entries) addNetwork(list, entry);
  return list;
}

function addNetwork(list: BlockList, entry: string): boolean {
  const [, address = '', prefix] = /^([0-9A-Fa-f.:]+)(?:\/(\d{1,3}))?$/.exec(entry) ?? [];
  const family = isIP(address);
  const most = family === 6 ? 128 : 32;
  if (family === 0 || Number(prefix ?? 0) > most) return false;
  list.addSubnet(address, Number(prefix ?? most), family === 6 ? 'ipv6' : 'ipv4');
  return true;
}

function contains(list: BlockList, address: string): boolean {
  const family = isIP(address);
  return family !== 0 && list.check(address, family === 6 ? 'ipv6' : 'ipv4');
}
