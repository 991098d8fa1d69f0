import type { PeerCertificate } from 'node:tls';
import { describe, expect, it } from 'vitest';
import { checkIdentity, checkTlsOptions } from './tls-transport.ts';

/** Subject names in node:tls notation. */
const certificate = (subjectaltname: string, commonName = 'cn.example'): PeerCertificate =>
  ({ subject: { CN: commonName }, subjectaltname }) as unknown as PeerCertificate;

const CASES: readonly (readonly [string, readonly string[], string, boolean])[] = [
  ['a DNS name', ['example.com'], 'DNS:example.com', true],
  ['a name in another case', ['EXAMPLE.com.'], 'DNS:example.COM', true],
  ['a SIP URI', ['example.com'], 'URI:sip:example.com', true],
  ['a SIPS URI among others', ['example.com'], 'DNS:a.net, URI:sips:example.com, DNS:b.net', true],
  ['a SIP URI of a user', ['example.com'], 'URI:sip:bob@example.com', false],
  ['a web URI', ['example.com'], 'URI:https://example.com', false],
  ['a URI with the same prefix', ['example.com'], 'URI:sip:example.com.evil.net', false],
  ['a quoted name that looks like several', ['example.com'], 'DNS:"a, URI:sip:example.com"', false],
  ['a wildcard, as carriers use', ['sip.example.com'], 'DNS:*.example.com', true],
  ['a wildcard for too many labels', ['a.b.example.com'], 'DNS:*.example.com', false],
  ['the address that the name resolved to', ['example.com'], 'IP Address:192.0.2.1', false],
  ['a requested address', ['192.0.2.1'], 'IP Address:192.0.2.1', true],
  ['the domain behind the proxy', ['proxy.net', 'example.com'], 'DNS:example.com', true],
  ['neither', ['proxy.net', 'example.com'], 'DNS:other.com', false],
  ['a common name beside other names', ['cn.example'], 'DNS:other.com', false],
];

describe('checkIdentity', () => {
  it.each(CASES)('%s', (_, serverNames, names, accepted) => {
    const problem = checkIdentity({ address: '192.0.2.1', serverNames }, certificate(names));
    expect(problem === undefined).toBe(accepted);
  });

  it('uses the address if no name was requested', () => {
    const to = { address: '192.0.2.1' };
    expect(checkIdentity(to, certificate('IP Address:192.0.2.1'))).toBeUndefined();
    expect(checkIdentity(to, certificate('DNS:example.com'))).toBeDefined();
  });
});

describe('TLS options', () => {
  it.each([
    [{ key: 'x' }, 'tls.cert'],
    [{ cert: 'x' }, 'tls.key'],
    [{ cert: 'x', key: 'y' }, 'tls'],
    [{ requireClientCertificate: true }, 'tls.requireClientCertificate'],
    [{ minVersion: 'TLSv1.1' }, 'tls.minVersion'],
    [{ port: 70_000 }, 'tls.port'],
    [{ handshakeTimeoutMs: 0 }, 'tls.handshakeTimeoutMs'],
    [{ insecure: 'yes' }, 'tls.insecure'],
  ])('refuses %j', (options, field) => {
    expect(() => checkTlsOptions(options as never)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT', field }),
    );
  });
});
