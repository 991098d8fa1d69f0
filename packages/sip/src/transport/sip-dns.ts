// What RFC 3263 asks of DNS, as an interface, and the system's resolver behind it.

import { lookup, Resolver } from 'node:dns/promises';

/** A NAPTR record (RFC 3403 §4). */
export interface NaptrRecord {
  readonly order: number;
  readonly preference: number;
  /** `s`, or `a`. */
  readonly flags: string;
  /** E.g. `SIP+D2U`. */
  readonly service: string;
  readonly replacement: string;
  readonly ttlSeconds?: number;
}

/** An SRV record (RFC 2782). */
export interface SrvRecord {
  readonly priority: number;
  readonly weight: number;
  readonly port: number;
  readonly target: string;
  readonly ttlSeconds?: number;
}

/** An A or AAAA record. */
export interface AddressRecord {
  /** IP literal. */
  readonly address: string;
  readonly ttlSeconds?: number;
}

/** A way to ask DNS. An empty answer and a rejection say the same: there is nothing. Answers may take their time. */
export interface SipDns {
  /** NAPTR records of a SIP domain. */
  naptr(domain: string): Promise<readonly NaptrRecord[]>;
  /** SRV records. @param name - E.g. `_sip._udp.example.com`. */
  srv(name: string): Promise<readonly SrvRecord[]>;
  /** Addresses of a host, A for 4 and AAAA for 6. */
  addresses(host: string, family: 4 | 6): Promise<readonly AddressRecord[]>;
  /** Nobody waits for the open questions any more: they may end at once, or stay open. Must not throw. */
  cancel?(): void;
}

/**
 * The system's resolver. Addresses are looked up as every program here does, hosts file and search domains included; NAPTR
 * and SRV go to the name servers of the system's configuration. `cancel` ends those; a look-up of addresses is in the hands of
 * the system, and ends by its own limits.
 *
 * @param servers - Name servers for NAPTR and SRV, `address` or `address:port`. Default: the system's.
 */
export function systemDns(servers?: readonly string[]): SipDns {
  const resolver = new Resolver({ timeout: 2000, tries: 2 });
  if (servers !== undefined) resolver.setServers(servers);
  return {
    naptr: (domain) => resolver.resolveNaptr(domain),
    srv: async (name) =>
      (await resolver.resolveSrv(name)).map(({ name: target, ...rest }) => ({ ...rest, target })),
    addresses: (host, family) => lookup(host, { family, all: true }),
    cancel: () => resolver.cancel(),
  };
}
