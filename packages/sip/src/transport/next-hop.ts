// Where a request goes first, before any name is resolved (RFC 3261 §8.1.2, RFC 3263 §4).

import type { SipUri } from '../message/uri.ts';

/**
 * How requests travel: `udp`, `tcp` and `tls` always so; `auto` is what the domain's NAPTR and SRV records prefer, else UDP,
 * but TCP above 1,300 bytes where it connects in 500 ms. A SIPS URI goes over TLS whatever this says.
 */
export type TransportPreference = 'udp' | 'tcp' | 'tls' | 'auto';

/** Next hop of all requests outside a dialog. No Route is added for it. */
export interface OutboundProxy {
  /** Host name or IP literal, IPv6 without brackets. */
  readonly host: string;
  /** 1–65535. Default: what the host's SRV records say, else 5060, or 5061 for TLS. */
  readonly port?: number;
}

/** A peer to be found. */
export interface NextHop {
  /** Host name or IP literal, IPv6 without brackets. */
  readonly host: string;
  /** Where it was given: then SRV records do not count (RFC 3263 §4.2). */
  readonly port: number | undefined;
  readonly preference: TransportPreference;
  /** The SIP domain that is asked for, by which a proxy may prove itself, too. */
  readonly domain: string;
}

/** Port of a protocol where none is given. */
export function defaultPort(protocol: string): number {
  return protocol === 'TLS' ? 5061 : 5060;
}

/** The next hop towards a URI, or the proxy in place of it. */
export function nextHopTo(
  uri: SipUri,
  preference: TransportPreference,
  proxy?: OutboundProxy,
): NextHop {
  const domain = uri.host;
  const effective = effectivePreference(uri, preference);
  if (proxy !== undefined) {
    return { host: proxy.host, port: proxy.port, preference: effective, domain };
  }
  const host = uri.parameters.get('maddr') ?? uri.host;
  return { host, port: uri.port, preference: effective, domain };
}

/** Towards where a redirection points: the transport that it names (RFC 3261 §8.1.3.4), but never out of TLS. */
export function redirectedPreference(
  uri: SipUri,
  preference: TransportPreference,
): TransportPreference {
  return preference === 'tls' ? 'tls' : (namedTransport(uri) ?? preference);
}

function effectivePreference(uri: SipUri, preference: TransportPreference): TransportPreference {
  // RFC 3261 §26.2.2: a SIPS URI must be reached over TLS.
  if (uri.scheme === 'sips') return 'tls';
  if (preference !== 'auto') return preference;
  return namedTransport(uri) ?? 'auto';
}

function namedTransport(uri: SipUri): 'udp' | 'tcp' | 'tls' | undefined {
  const named = uri.parameters.get('transport')?.toLowerCase();
  return named === 'tcp' || named === 'tls' || named === 'udp' ? named : undefined;
}
