// Creates a self-signed certificate (X.509 v3, RFC 5280) with an ECDSA key on P-256, encoded in DER.

import { createPrivateKey, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { isIP } from 'node:net';

/** A generated certificate and key in PEM. */
export interface SelfSigned {
  readonly cert: string;
  readonly key: string;
}

const TAG = { boolean: 1, integer: 2, bits: 3, octets: 4, oid: 6, utf8: 12, time: 24 } as const;
const SEQUENCE = 0x30;
const SET = 0x31;
/** Object identifiers, as octets. */
const OID = {
  ecdsaWithSha256: '2a8648ce3d040302',
  commonName: '550403',
  keyUsage: '551d0f',
  subjectAltName: '551d11',
  basicConstraints: '551d13',
  extendedKeyUsage: '551d25',
  serverAuth: '2b06010505070301',
} as const;

/**
 * @param names - DNS names and IP addresses of the server; the first is the common name.
 * @param fromMs - Wall clock. Validity starts a day earlier, to allow for clock differences.
 */
export function makeSelfSigned(
  names: readonly string[],
  fromMs: number,
  validDays: number,
): SelfSigned {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const subject = sequence(
    der(SET, sequence(oid(OID.commonName), der(TAG.utf8, Buffer.from(names[0] ?? 'sipcast')))),
  );
  const algorithm = sequence(oid(OID.ecdsaWithSha256));
  const dayMs = 86_400_000;
  const body = sequence(
    // Version 3.
    der(0xa0, integer(Buffer.from([2]))),
    integer(serial()),
    algorithm,
    subject,
    sequence(time(fromMs - dayMs), time(fromMs + validDays * dayMs)),
    subject,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(...extensions(names))),
  );
  // Self-signed. Node's ECDSA signatures are already DER.
  const signature = sign('sha256', body, createPrivateKey(privateKey.export(PEM_KEY)));
  const certificate = sequence(body, algorithm, bits(signature));
  const lines = certificate.toString('base64').match(/.{1,64}/g) ?? [];
  return {
    cert: `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export(PEM_KEY).toString(),
  };
}

const PEM_KEY = { type: 'pkcs8', format: 'pem' } as const;

function extensions(names: readonly string[]): readonly Buffer[] {
  const alternatives = names.map((name) => {
    // RFC 5280 §4.2.1.6: [7] iPAddress, [2] dNSName.
    if (isIP(name) !== 0) return der(0x87, addressOctets(name));
    return der(0x82, Buffer.from(name, 'ascii'));
  });
  const critical = der(TAG.boolean, Buffer.from([0xff]));
  const value = (content: Buffer): Buffer => der(TAG.octets, content);
  return [
    // Not a CA.
    sequence(oid(OID.basicConstraints), critical, value(sequence())),
    // digitalSignature.
    sequence(oid(OID.keyUsage), critical, value(der(TAG.bits, Buffer.from([7, 0x80])))),
    sequence(oid(OID.extendedKeyUsage), value(sequence(oid(OID.serverAuth)))),
    sequence(oid(OID.subjectAltName), value(sequence(...alternatives))),
  ];
}

/** Positive, and at most 159 bits long (RFC 5280 §4.1.2.2). */
function serial(): Buffer {
  const octets = randomBytes(16);
  octets[0] = ((octets[0] ?? 0) & 0x7f) | 0x40;
  return octets;
}

function addressOctets(address: string): Buffer {
  if (isIP(address) === 4) return Buffer.from(address.split('.').map(Number));
  // The URL parser converts IPv4 tails to groups, and the longest run of zeros to `::`.
  const [head = '', tail = ''] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::');
  const groups = (text: string): number[] =>
    text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16));
  const left = groups(head);
  const right = groups(tail);
  const all = [...left, ...Array<number>(8 - left.length - right.length).fill(0), ...right];
  return Buffer.from(all.flatMap((group) => [group >> 8, group & 0xff]));
}

function der(tag: number, content: Buffer): Buffer {
  const { length } = content;
  const size: number[] = [];
  for (let rest = length; rest > 0; rest >>= 8) size.unshift(rest & 0xff);
  const head = length < 0x80 ? [tag, length] : [tag, 0x80 | size.length, ...size];
  return Buffer.concat([Buffer.from(head), content]);
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return der(SEQUENCE, Buffer.concat(parts));
}

function integer(octets: Buffer): Buffer {
  return der(TAG.integer, octets);
}

function bits(octets: Buffer): Buffer {
  return der(TAG.bits, Buffer.concat([Buffer.from([0]), octets]));
}

function oid(octets: string): Buffer {
  return der(TAG.oid, Buffer.from(octets, 'hex'));
}

/** RFC 5280 §4.1.2.5: UTCTime up to 2049. */
function time(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replaceAll(/[-:T]|\.\d+/g, '');
  const isUtcTime = Number(digits.slice(0, 4)) < 2050;
  return isUtcTime
    ? der(23, Buffer.from(digits.slice(2), 'ascii'))
    : der(TAG.time, Buffer.from(digits, 'ascii'));
}
