// SIP over TLS (RFC 3261 §26.2, RFC 5922): peers prove their SIP domain by a certificate.

import { isIP, type Socket } from 'node:net';
import {
  checkServerIdentity,
  connect,
  createSecureContext,
  createServer,
  type PeerCertificate,
  type SecureContext,
  type SecureContextOptions,
} from 'node:tls';
import { checkInteger, invalidArgument } from '../message/arguments.ts';
import { type StreamLimits, StreamTransport, type StreamWire } from './stream-transport.ts';
import type { TransportAddress, TransportOptions } from './transport.ts';

/** PEM as text or octets; one text may contain several certificates. */
export type Pem = string | Uint8Array;

/** TLS settings. All have defaults. */
export interface SipTlsOptions {
  /**
   * Our certificate with its chain; requires `key`. Needed to accept connections, and sent to peers that request it.
   */
  readonly cert?: Pem;
  /** The private key of `cert`. */
  readonly key?: Pem;
  /** Passphrase of an encrypted `key`. */
  readonly passphrase?: string;
  /** Trusted authorities, instead of the system's. */
  readonly ca?: Pem | readonly Pem[];
  /** TCP port for incoming connections, if there is a `cert`. Default: one above the UDP and TCP port. */
  readonly port?: number;
  /** Require a certificate signed by `ca` from peers that connect. Default false. */
  readonly requireClientCertificate?: boolean;
  /** Default `TLSv1.2`. */
  readonly minVersion?: 'TLSv1.2' | 'TLSv1.3';
  /** Handshake time limit in both roles. Default 10,000 ms. */
  readonly handshakeTimeoutMs?: number;
  /** Do not verify peers. Anyone on the network path can then read and change the traffic. Default false. */
  readonly insecure?: boolean;
}

/** The TLS transport: connects, and listens if there is a certificate. */
export class TlsTransport extends StreamTransport {
  /** @throws SipError `INVALID_ARGUMENT` for an unusable certificate or key */
  constructor(options: TransportOptions, tls: SipTlsOptions = {}, limits: StreamLimits = {}) {
    super(tlsWire(tls), options, limits);
  }
}

function tlsWire(tls: SipTlsOptions): StreamWire {
  const options = contextOptionsOf(tls);
  const secureContext = contextOf(options);
  const { handshakeTimeoutMs = 10_000, insecure = false, requireClientCertificate = false } = tls;
  return {
    protocol: 'TLS',
    readyEvent: 'secureConnect',
    handshakeTimeoutMs,
    connect: (to) => {
      const [name = to.address] = to.serverNames ?? [];
      return connect({
        host: to.address,
        port: to.port,
        secureContext,
        rejectUnauthorized: !insecure,
        // RFC 6066 §3: SNI takes a name, never an address.
        ...(isIP(name) === 0 && { servername: name }),
        checkServerIdentity: (_, certificate) => checkIdentity(to, certificate),
      }).setNoDelay(true);
    },
    createServer: (admit, accept, refused) => {
      if (tls.cert === undefined) return undefined;
      const server = createServer({
        ...options,
        handshakeTimeout: handshakeTimeoutMs,
        requestCert: requireClientCertificate,
        rejectUnauthorized: requireClientCertificate,
      });
      server.on('connection', (socket: Socket) => {
        socket.on('error', () => {});
        if (!admit(socket)) socket.destroy();
      });
      server.on('secureConnection', (socket) => {
        socket.setNoDelay(true);
        accept(socket);
      });
      server.on('tlsClientError', (_, socket) => {
        refused(`${socket.remoteAddress ?? 'unknown'}:${socket.remotePort ?? 0}`);
        socket.destroy();
      });
      return server;
    },
  };
}

/** @throws SipError `INVALID_ARGUMENT` naming the option, e.g. `tls.cert` */
export function checkTlsOptions(tls: SipTlsOptions): void {
  if (typeof tls !== 'object' || tls === null) throw invalidArgument('tls', 'must be an object');
  checkInteger('tls.port', tls.port ?? 0, 0, 65_535);
  checkInteger('tls.handshakeTimeoutMs', tls.handshakeTimeoutMs ?? 1, 1, 0x7fff_ffff);
  for (const field of ['insecure', 'requireClientCertificate'] as const) {
    if (tls[field] !== undefined && typeof tls[field] !== 'boolean') {
      throw invalidArgument(`tls.${field}`, 'must be true or false');
    }
  }
  contextOf(contextOptionsOf(tls));
}

function contextOptionsOf(tls: SipTlsOptions): SecureContextOptions {
  const { cert, key, passphrase, ca, minVersion = 'TLSv1.2' } = tls;
  if ((cert === undefined) !== (key === undefined)) {
    throw invalidArgument(cert === undefined ? 'tls.cert' : 'tls.key', 'cert and key go together');
  }
  if (tls.requireClientCertificate === true && cert === undefined) {
    throw invalidArgument('tls.requireClientCertificate', 'needs cert and key');
  }
  if (minVersion !== 'TLSv1.2' && minVersion !== 'TLSv1.3') {
    throw invalidArgument('tls.minVersion', 'must be TLSv1.2 or TLSv1.3');
  }
  const octets = (pem: Pem): string | Buffer => (typeof pem === 'string' ? pem : Buffer.from(pem));
  return {
    minVersion,
    ...(cert !== undefined && { cert: octets(cert) }),
    ...(key !== undefined && { key: octets(key) }),
    ...(passphrase !== undefined && { passphrase }),
    ...(ca !== undefined && { ca: isList(ca) ? ca.map(octets) : octets(ca) }),
  };
}

function contextOf(options: SecureContextOptions): SecureContext {
  try {
    return createSecureContext(options);
  } catch (cause) {
    throw invalidArgument('tls', cause instanceof Error ? cause.message : 'not usable', cause);
  }
}

function isList(ca: Pem | readonly Pem[]): ca is readonly Pem[] {
  return Array.isArray(ca);
}

/**
 * RFC 5922 §7.1: the certificate must contain the requested SIP domain as a URI or DNS name, not the name of the host
 * that it resolved to. Deviation: wildcards match, because carriers use them, although §7.2 forbids it.
 */
export function checkIdentity(
  to: Pick<TransportAddress, 'address' | 'serverNames'>,
  certificate: PeerCertificate,
): Error | undefined {
  const names = to.serverNames?.length ? to.serverNames : [to.address];
  // Quoted values may contain commas, and could be mistaken for several names.
  const plain = (certificate.subjectaltname ?? '').replaceAll(/"(?:[^"\\]|\\.)*"/g, '');
  const uris = [...plain.matchAll(/(?:^|, )URI:sips?:([^\s,"@;?:]+)(?=,|$)/gi)];
  let problem: Error | undefined;
  for (const name of names) {
    const bare = name.toLowerCase().replace(/\.$/, '');
    if (uris.some(([, domain]) => domain?.toLowerCase() === bare)) return undefined;
    const found = checkServerIdentity(bare, certificate);
    if (found === undefined) return undefined;
    problem ??= found;
  }
  return problem;
}
