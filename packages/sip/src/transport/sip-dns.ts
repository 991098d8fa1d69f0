// The DNS queries of RFC 3263 as an interface, and its implementation on the system resolver.

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

/** A DNS client. An empty answer and a rejection both mean that there are no records. Answers may be slow. */
export interface SipDns {
  /** NAPTR records of a SIP domain. */
  naptr(domain: string): Promise<readonly NaptrRecord[]>;
  /** SRV records. @param name - E.g. `_sip._udp.example.com`. */
  srv(name: string): Promise<readonly SrvRecord[]>;
  /** Addresses of a host: A records for 4, AAAA for 6. */
  addresses(host: string, family: 4 | 6): Promise<readonly AddressRecord[]>;
  /** The answers to open queries are no longer needed: end them or leave them open. Must not throw. */
  cancel?(): void;
}

/**
 * The system resolver. Addresses are looked up as in any program on this host, with its hosts file and search domains.
 * NAPTR and SRV queries go to the system's configured name servers. `cancel` ends those; the system controls address
 * lookups, which end by its own limits.
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
