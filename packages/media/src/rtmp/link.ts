// The connection below a publication: TCP or TLS, the handshake, chunks in both directions, and the protocol control
// messages that need no decision (Adobe RTMP 1.0 §5). Commands pass through.

import { randomFillSync } from 'node:crypto';
import { connect, isIP, Socket } from 'node:net';
import type { LookupFunction } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { RtmpError } from '../errors.ts';
import type { FlvTag } from '../codec/frame.ts';
import { FORBIDDEN_ADDRESS, forbiddenAddress, guardedLookup } from './guarded-lookup.ts';
import type { MayConnect } from './guarded-lookup.ts';
import { ChunkReader, ChunkWriter } from './chunk.ts';
import type { ChunkMessage } from './chunk.ts';
import type { RtmpTlsOptions } from './publisher.ts';
import { ClientHandshake } from './handshake.ts';
import { decodeMessage, encodeMessage, encodeTag } from './message.ts';
import type { RtmpMessage } from './message.ts';

/** Longest message accepted from a server, which only sends commands. */
export const MAX_RTMP_BODY_BYTES: number = 1024 * 1024;

/** Options of an {@link RtmpLink}. Times in milliseconds. */
export interface RtmpLinkOptions {
  readonly host: string;
  readonly port: number;
  /** `undefined`: without TLS. */
  readonly tls: RtmpTlsOptions | undefined;
  /** Default: to every address. */
  readonly mayConnect: MayConnect | undefined;
  /** Default: the system's. */
  readonly lookup: LookupFunction | undefined;
  readonly connectTimeoutMs: number;
  readonly handshakeTimeoutMs: number;
  /** How long audio may wait for a picture to be written with it; 0: not at all. */
  readonly coalesceMs: number;
}

/** What a link reports. Nothing after `destroy()`. */
export interface RtmpLinkHandler {
  /** Once: the handshake is complete, and messages can be written. */
  onOpen(): void;
  /** Each message that a publisher understands, except PingRequests, which the link answers. */
  onMessage(message: RtmpMessage): void;
  /** At most once, as the last call. Without an error, the server has closed in order. */
  onClosed(error: RtmpError | undefined): void;
}

/** Large enough for most frames to be one chunk; servers are known to accept it. */
const OUTGOING_CHUNK_BYTES = 60_000;
/** A larger batch is written at once. */
const MAX_BATCH_BYTES = 64 * 1024;
/** Holds a picture and its audio, except most key frames. */
const SCRATCH_BYTES = 8 * 1024;
/** A server that keeps asking and reads nothing gets no more answers. */
const MAX_QUEUE_FOR_ANSWERS_BYTES = 256 * 1024;

type Phase = 'connecting' | 'securing' | 'handshaking' | 'open' | 'ending' | 'closed';

/** One connection to one server. */
export class RtmpLink {
  readonly #options: RtmpLinkOptions;
  readonly #handler: RtmpLinkHandler;
  readonly #socket: Socket;
  readonly #handshake = new ClientHandshake();
  readonly #reader: ChunkReader;
  readonly #writer = new ChunkWriter();
  #phase: Phase = 'connecting';
  #phaseTimer: NodeJS.Timeout | undefined;
  #flushTimer: NodeJS.Timeout | undefined;
  #flushSoon: NodeJS.Immediate | undefined;
  /** Chunks of this event-loop turn (or coalescing period). */
  #batch: Uint8Array[] = [];
  #batchBytes = 0;
  /** Where a batch is assembled; reused once the system has taken it. */
  #scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  #bytesFlushed = 0;
  #bytesReceived = 0;
  #bytesAcknowledgedByUs = 0;
  #peerWindowBytes = Number.POSITIVE_INFINITY;

  /** @param openSocket - For tests: a connection of another kind. */
  constructor(options: RtmpLinkOptions, handler: RtmpLinkHandler, openSocket?: () => Socket) {
    this.#options = options;
    this.#handler = handler;
    this.#reader = new ChunkReader(MAX_RTMP_BODY_BYTES, {
      onMessage: (message) => this.#onMessage(message),
      onFault: (fault) =>
        this.#fail(new RtmpError('PROTOCOL', `The server violated the protocol: ${fault}`)),
    });
    this.#socket = openSocket?.() ?? this.#openSocket();
    this.#socket.setNoDelay(true);
    this.#socket.on('connect', () => this.#onConnect());
    this.#socket.on('data', (octets) => this.#onOctets(octets));
    this.#socket.on('error', (error) => this.#onError(error));
    this.#socket.on('close', () => this.#onClose());
    this.#expect('connect', options.connectTimeoutMs);
  }

  /** Octets of chunks written so far, including those still queued in this process. */
  get bytesSent(): number {
    return this.#bytesFlushed + this.#batchBytes;
  }

  /** Octets queued in this process. */
  get queuedBytes(): number {
    return this.#batchBytes + this.#socket.writableLength;
  }

  /** Queues a message. It leaves with the next flush. */
  write(message: RtmpMessage): void {
    this.#queue(encodeMessage(message));
  }

  /** Queues a tag, `timestampMs` on the connection's time base. It leaves with the next flush. The hot path. */
  writeTag(tag: FlvTag, streamId: number, timestampMs: number): void {
    this.#queue(encodeTag(tag, streamId, timestampMs));
  }

  #queue(message: ChunkMessage): void {
    this.#batchBytes += this.#writer.write(message, this.#batch);
  }

  /** Schedules a flush: at the end of this turn for a picture, else a little later, to wait for one. */
  flushSoon(isPicture: boolean): void {
    if (this.#batchBytes >= MAX_BATCH_BYTES) this.flush();
    else if (isPicture || this.#options.coalesceMs === 0)
      this.#flushSoon ??= setImmediate(this.flush);
    else this.#flushTimer ??= setTimeout(this.flush, this.#options.coalesceMs);
  }

  /** Hands queued octets to the system. */
  readonly flush = (): void => {
    clearTimeout(this.#flushTimer);
    this.#flushTimer = undefined;
    clearImmediate(this.#flushSoon);
    this.#flushSoon = undefined;
    if (this.#batchBytes === 0 || this.#socket.destroyed) return;
    // One write for the whole batch: copying a few kilobytes costs less than a writev of many pieces, and a new buffer
    // per batch would double the work of the garbage collector.
    const bytes = this.#batchBytes;
    const reuses = bytes <= SCRATCH_BYTES;
    const octets = reuses ? this.#scratch.subarray(0, bytes) : Buffer.allocUnsafeSlow(bytes);
    let at = 0;
    for (const piece of this.#batch) {
      octets.set(piece, at);
      at += piece.length;
    }
    this.#bytesFlushed += bytes;
    this.#batch.length = 0;
    this.#batchBytes = 0;
    this.#socket.write(octets);
    // Not taken in full: the socket keeps the buffer.
    if (reuses && this.#socket.writableLength > 0)
      this.#scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  };

  /** Sends queued octets, then closes; `onClosed` follows when the server closes, too. */
  end(): void {
    this.flush();
    if (this.#phase !== 'open') return;
    this.#phase = 'ending';
    this.#socket.end();
  }

  /** Closes at once, without further reports. Idempotent. */
  destroy(): void {
    this.#phase = 'closed';
    clearTimeout(this.#phaseTimer);
    clearTimeout(this.#flushTimer);
    clearImmediate(this.#flushSoon);
    this.#batch = [];
    this.#batchBytes = 0;
    this.#socket.destroy();
  }

  #openSocket(): Socket {
    const { host, port, tls, mayConnect } = this.#options;
    if (mayConnect && isIP(host) !== 0 && !mayConnect(host, host)) {
      const socket = new Socket();
      setImmediate(() => socket.destroy(forbiddenAddress(host)));
      return socket;
    }
    return tls ? this.#openTls(tls) : connect({ host, port, ...this.#lookup() });
  }

  #lookup(): { readonly lookup?: LookupFunction } {
    const { mayConnect, lookup } = this.#options;
    if (mayConnect) return { lookup: guardedLookup(mayConnect, lookup) };
    return lookup === undefined ? {} : { lookup };
  }

  #openTls(tls: RtmpTlsOptions): TLSSocket {
    const { host, port } = this.#options;
    const { ca, fingerprint256, insecure = false } = tls;
    const socket = connectTls({
      host,
      port,
      ...this.#lookup(),
      minVersion: 'TLSv1.2',
      rejectUnauthorized: !insecure && fingerprint256 === undefined,
      // RFC 6066 §3: SNI has no IP addresses.
      ...(isIP(host) === 0 && { servername: host }),
      ...(ca !== undefined && { ca: asCertificates(ca) }),
    });
    socket.on('secureConnect', () => {
      if (this.#phase === 'closed') return;
      // Before we send anything: the stream's address is a secret, too.
      if (fingerprint256 !== undefined && !isPinned(socket, fingerprint256))
        return this.#fail(
          tlsError('The certificate does not match the pinned fingerprint', 'FINGERPRINT_MISMATCH'),
        );
      this.#beginHandshake();
    });
    return socket;
  }

  #expect(phase: string, timeoutMs: number): void {
    clearTimeout(this.#phaseTimer);
    this.#phaseTimer = setTimeout(() => {
      this.#fail(new RtmpError('TIMEOUT', `The ${phase} phase did not end within ${timeoutMs} ms`));
    }, timeoutMs);
  }

  #onConnect(): void {
    if (this.#phase !== 'connecting') return;
    if (!this.#options.tls) return this.#beginHandshake();
    this.#phase = 'securing';
    this.#expect('TLS handshake', this.#options.handshakeTimeoutMs);
  }

  #beginHandshake(): void {
    this.#phase = 'handshaking';
    this.#expect('handshake', this.#options.handshakeTimeoutMs);
    this.#socket.write(this.#handshake.hello((bytes) => void randomFillSync(bytes)));
  }

  #onOctets(octets: Uint8Array): void {
    if (this.#phase === 'closed') return;
    if (this.#phase !== 'handshaking') return this.#onChunkOctets(octets);
    const step = this.#handshake.push(octets);
    if (step.fault)
      return this.#fail(new RtmpError('PROTOCOL', `Not an RTMP server: ${step.fault}`));
    if (step.send) this.#socket.write(step.send);
    if (!step.rest) return;
    clearTimeout(this.#phaseTimer);
    this.#phase = 'open';
    this.write({ kind: 'set-chunk-size', bytes: OUTGOING_CHUNK_BYTES });
    this.#writer.setChunkSize(OUTGOING_CHUNK_BYTES);
    this.#handler.onOpen();
    if (step.rest.length > 0) this.#onChunkOctets(step.rest);
  }

  #onChunkOctets(octets: Uint8Array): void {
    this.#bytesReceived += octets.length;
    this.#reader.push(octets);
    if (this.#bytesReceived - this.#bytesAcknowledgedByUs < this.#peerWindowBytes) return;
    this.#bytesAcknowledgedByUs = this.#bytesReceived;
    const sequence = this.#bytesReceived % 0x1_0000_0000;
    this.#answer({ kind: 'acknowledgement', sequence });
  }

  #onMessage(received: ChunkMessage): void {
    if (this.#phase === 'closed') return;
    const message = decodeMessage(received);
    if (message === undefined) return;
    if (typeof message === 'string')
      return this.#fail(new RtmpError('PROTOCOL', `Unreadable command: ${message}`));
    if (message.kind === 'ping-request')
      return this.#answer({ kind: 'ping-response', id: message.id });
    // Not for every octet, even if the server requests that.
    if (message.kind === 'window-acknowledgement-size')
      this.#peerWindowBytes = Math.max(1024, message.bytes);
    this.#handler.onMessage(message);
  }

  #answer(message: RtmpMessage): void {
    if (this.#phase === 'closed' || this.queuedBytes > MAX_QUEUE_FOR_ANSWERS_BYTES) return;
    this.write(message);
    this.flush();
  }

  #onError(error: Error): void {
    const where = `${this.#options.host}:${this.#options.port}`;
    const { code } = error as NodeJS.ErrnoException;
    const isNetwork = (error as NodeJS.ErrnoException).errno !== undefined || code === 'ECONNRESET';
    if (code === FORBIDDEN_ADDRESS)
      return this.#fail(new RtmpError('CONNECT_FORBIDDEN', error.message, { cause: error }));
    // An error below TLS may be temporary; an error of TLS itself is not.
    if (this.#phase === 'securing' && !isNetwork)
      return this.#fail(tlsError(`${where}: ${error.message}`, code ?? 'UNKNOWN', error));
    const early = this.#phase === 'connecting' || this.#phase === 'securing';
    const kind = early ? 'CONNECT_FAILED' : 'CONNECTION_LOST';
    this.#fail(new RtmpError(kind, `${where}: ${error.message}`, { cause: error }));
  }

  #onClose(): void {
    if (this.#phase === 'closed') return;
    const securing = this.#phase === 'securing';
    const words = 'The server closed the connection during the TLS handshake';
    this.#fail(securing ? new RtmpError('CONNECT_FAILED', words) : undefined);
  }

  #fail(error: RtmpError | undefined): void {
    if (this.#phase === 'closed') return;
    this.destroy();
    this.#handler.onClosed(error);
  }
}

function asCertificates(ca: NonNullable<RtmpTlsOptions['ca']>): (string | Buffer)[] {
  const list = typeof ca === 'string' || ca instanceof Uint8Array ? [ca] : ca;
  return list.map((one) => (typeof one === 'string' ? one : Buffer.from(one)));
}

function isPinned(socket: TLSSocket, fingerprint256: string): boolean {
  const plain = (text: string): string => text.replaceAll(':', '').toLowerCase();
  const { fingerprint256: found } = socket.getPeerCertificate();
  return typeof found === 'string' && plain(found) === plain(fingerprint256);
}

function tlsError(message: string, reason: string, cause?: unknown): RtmpError {
  return new RtmpError('TLS_FAILED', `${reason}: ${message}`, { reason, cause });
}
