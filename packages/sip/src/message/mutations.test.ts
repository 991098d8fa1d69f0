// Damaged messages and descriptions: only SipError is thrown, nothing is retained, nothing hangs. Set
// `MUTATIONS=10000000` for a long run.

import { readdirSync, readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { SipError } from '../errors.ts';
import { EMPTY_BODY, formatMessage } from './message.ts';
import { parseDatagram } from './parser.ts';
import { StreamParser } from './stream-parser.ts';
import { judgeRequest } from '../dialog/request-policy.ts';
import { readDescription } from '../sdp/sdp.ts';

const VECTORS = new URL('../../../../test/vectors/rfc4475/', import.meta.url);
/** No message may block the event loop for longer. */
const MAX_PARSE_MS = 20;
const COUNT = Number(process.env['MUTATIONS'] ?? 50_000);
const MAX_HEAP_GROWTH_BYTES = 5 * 1024 * 1024;
const PIECES = [
  '\r\n',
  '\r',
  '\n',
  '\0',
  '"',
  '<',
  '>',
  ';',
  ',',
  '%',
  '[',
  ':',
  '\\',
  ' ',
  '\t',
  '=',
  '?',
  '\xff',
]
  .concat([
    '\r\n ',
    'a=rtpmap:',
    'm=audio 1 RTP/AVP 0\r\n',
    '99999999999',
    '-1',
    'SIP/2.0',
    '::',
    ';tag=',
  ])
  .map((piece) => Buffer.from(piece, 'latin1'));

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;
function heapBytes(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed;
}

/** Mulberry32: the same on each run. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let value = Math.imul(state ^ (state >>> 15), 1 | state);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

function mutated(seed: Uint8Array, below: (limit: number) => number): Buffer {
  let octets = Buffer.from(seed);
  for (let edits = 1 + below(4); edits > 0; edits--) {
    const at = below(octets.length);
    const kind = below(4);
    if (kind === 0) octets[at] = below(256);
    else if (kind === 1)
      octets = Buffer.concat([octets.subarray(0, at), octets.subarray(at + 1 + below(20))]);
    else if (kind === 2) {
      const piece = PIECES[below(PIECES.length)] ?? EMPTY_BODY;
      octets = Buffer.concat([octets.subarray(0, at), piece, octets.subarray(at)]);
    } else {
      const from = below(octets.length);
      const copy = octets.subarray(from, from + 40);
      octets = Buffer.concat([octets.subarray(0, at), copy, octets.subarray(at)]);
    }
    if (octets.length === 0) octets = Buffer.from('x');
  }
  return octets;
}

/** Parses a message as a datagram, and as two chunks of a stream. Returns true if it was accepted. */
function take(octets: Buffer, cut: number): boolean {
  const outcome = parseDatagram(octets);
  const parser = new StreamParser({ onOutcome: () => {}, onKeepAlive: () => {} });
  parser.push(octets.subarray(0, cut));
  if (!parser.failed) parser.push(octets.subarray(cut));
  if (outcome.message === undefined) {
    if (!(outcome.fault instanceof SipError)) throw new Error('a fault that is no SipError');
    return false;
  }
  const { message } = outcome;
  if (message.kind === 'request') judgeRequest(message, false);
  // NUL is legal in a quoted pair (RFC 4475 intmeth); the serializer refuses it elsewhere.
  if (!octets.includes(0) && parseDatagram(formatMessage(message)).message === undefined)
    throw new Error('what was accepted does not format again');
  return true;
}

/** The minimum time for a message, in ms. Other processes and the garbage collector do not disturb every run. */
function quickest(octets: Buffer, cut: number): number {
  const times = [1, 2, 3, 4, 5].map(() => {
    const begun = performance.now();
    take(octets, cut);
    return performance.now() - begun;
  });
  return Math.min(...times);
}

it(`${COUNT} damaged messages`, { timeout: 120_000 + COUNT / 5 }, () => {
  const seeds = readdirSync(VECTORS)
    .filter((file) => file.endsWith('.dat'))
    .map((file) => readFileSync(new URL(file, VECTORS)));
  const random = seeded(Number(process.env['SEED'] ?? 4475));
  const below = (limit: number): number => Math.floor(random() * limit);
  let accepted = 0;
  let before = 0;
  let slowestMs = 0;
  const started = performance.now();
  for (let i = 0; i < COUNT; i++) {
    if (i === Math.floor(COUNT / 10)) before = heapBytes();
    const octets = mutated(seeds[i % seeds.length] ?? EMPTY_BODY, below);
    const cut = below(octets.length);
    const begun = performance.now();
    try {
      if (take(octets, cut)) accepted++;
    } catch (cause) {
      throw new Error(`message ${i}: ${JSON.stringify(octets.toString('latin1'))}`, { cause });
    }
    const tookMs = performance.now() - begun;
    if (tookMs > slowestMs)
      slowestMs = Math.max(slowestMs, Math.min(tookMs, quickest(octets, cut)));
  }
  const perSecond = Math.round((COUNT / (performance.now() - started)) * 1000);
  const growth = heapBytes() - before;
  console.log(
    `${COUNT} messages, ${accepted} accepted, ${perSecond}/s, heap +${Math.round(growth / 1024)} KB, slowest ${slowestMs.toFixed(1)} ms`,
  );
  expect(accepted).toBeGreaterThan(COUNT / 20);
  expect(growth).toBeLessThan(MAX_HEAP_GROWTH_BYTES);
  expect(slowestMs).toBeLessThan(MAX_PARSE_MS);
});

it(`${COUNT / 10} damaged descriptions`, { timeout: 120_000 + COUNT / 10 }, () => {
  const seed = Buffer.from(
    'v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4000 RTP/SAVP 8 101\r\na=rtpmap:8 PCMA/8000\r\n' +
      `a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:${'A'.repeat(40)}|2^31\r\na=rtcp:4001 IN IP4 192.0.2.9\r\na=ptime:20\r\na=sendonly\r\n` +
      'm=video 4002/2 RTP/AVPF 112\r\nc=IN IP6 2001:db8::1\r\na=rtpmap:112 H264/90000\r\na=fmtp:112 packetization-mode=1;profile-level-id=42e01f\r\na=rtcp-fb:* nack pli\r\n',
  );
  const random = seeded(3264);
  const below = (limit: number): number => Math.floor(random() * limit);
  let accepted = 0;
  for (let i = 0; i < COUNT / 10; i++) {
    const text = mutated(seed, below).toString('utf8');
    try {
      readDescription(text);
      accepted++;
    } catch (error) {
      if (!(error instanceof SipError)) throw new Error(JSON.stringify(text), { cause: error });
    }
  }
  expect(accepted).toBeGreaterThan(COUNT / 100);
});
