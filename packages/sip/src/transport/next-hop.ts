// The first destination of a request, before name resolution (RFC 3261 §8.1.2, RFC 3263 §4).

import type { SipUri } from '../message/uri.ts';

/**
 * Transport for requests. `udp`, `tcp` and `tls` are used as given. `auto` follows the domain's NAPTR and SRV records,
 * else uses UDP, but TCP above 1,300 bytes if it connects within 500 ms. A SIPS URI always uses TLS.
 */
export type TransportPreference = 'udp' | 'tcp' | 'tls' | 'auto';

/** Next hop of all requests outside a dialog. It adds no Route header. */
export interface OutboundProxy {
  /** Host name or IP literal, IPv6 without brackets. */
  readonly host: string;
  /** 1–65535. Default: from the host's SRV records, else 5060, or 5061 for TLS. */
  readonly port?: number;
}

/** A destination to resolve. */
export interface NextHop {
  /** Host name or IP literal, IPv6 without brackets. */
  readonly host: string;
  /** The explicit port, if given; SRV records are then skipped (RFC 3263 §4.2). */
  readonly port: number | undefined;
  readonly preference: TransportPreference;
  /** The requested SIP domain. A proxy's certificate may be for this name as well. */
  readonly domain: string;
}

/** Default port of a protocol. */
export function defaultPort(protocol: string): number {
  return protocol === 'TLS' ? 5061 : 5060;
}

/** The next hop for a URI, or the proxy instead. */
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

/** The transport for a redirect target: the one that it names (RFC 3261 §8.1.3.4), but TLS is never given up. */
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
