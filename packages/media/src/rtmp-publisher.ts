// Publishes one stream to one RTMP server over one connection (Adobe RTMP 1.0 §5–7). Reconnecting is the
// caller's affair: a publisher is used once.

import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { randomFillSync } from 'node:crypto';
import { AcknowledgementWindow } from './acknowledgement-window.ts';
import { amf0Object, decodeAmf0, encodeAmf0 } from './amf0.ts';
import type { Amf0Value } from './amf0.ts';
import { CongestionGate } from './congestion-gate.ts';
import { RtmpError } from './errors.ts';
import type { RtmpErrorCode } from './errors.ts';
import type { FlvTag } from './frame.ts';
import { ChunkReader, ChunkWriter } from './rtmp-chunk.ts';
import type { RtmpMessage } from './rtmp-chunk.ts';
import { ClientHandshake } from './rtmp-handshake.ts';
import { parseRtmpUrl } from './rtmp-url.ts';
import type { RtmpUrl } from './rtmp-url.ts';

/** Longest message that is accepted from a server: it only sends commands. */
export const MAX_RTMP_BODY_BYTES: number = 1024 * 1024;

/** How one connection is made. All times in milliseconds. */
export interface RtmpPublisherOptions {
  /** `rtmp://host[:port]/app[/instance][?query]`; user and password are not used. */
  readonly url: string;
  /** Stream name (key), sent as given, with its query if it has one. */
  readonly streamName: string;
  /** Default 5,000. */
  readonly connectTimeoutMs?: number;
  /** Default 5,000. */
  readonly handshakeTimeoutMs?: number;
  /** From the end of the handshake to NetStream.Publish.Start. Default 10,000. */
  readonly publishTimeoutMs?: number;
  /** Without any progress for this long, while octets are outstanding, the connection ends STALLED. Default 8,000. */
  readonly stallTimeoutMs?: number;
  /** At the end: how long queued octets may take to leave. Default 1,000. */
  readonly flushTimeoutMs?: number;
  /** Window Acknowledgement Size asked of the server, in octets. Default 62,500: one second of 500 kbit/s. */
  readonly windowBytes?: number;
  /** Media outstanding before video is dropped. Default 2,000. */
  readonly highWaterMs?: number;
  /**
   * Audio waits at most this long for the next picture, so that one write carries both; a picture itself leaves
   * at the end of the event-loop turn, and with 0 audio does, too. Default 40: one picture at 25 fps.
   */
  readonly coalesceMs?: number;
  /** `flashVer` of `connect`: some platforms look at it. Default `FMLE/3.0 (compatible; sipcast)`. */
  readonly flashVersion?: string;
}

/** What the owner of a publisher is told. */
export interface RtmpPublisherHandler {
  /** Once, when the server has accepted the publication: tags may be sent. */
  onPublishing(): void;
  /** Video was skipped and a key frame would end that; at most once per 500 ms. */
  onKeyFrameWanted(): void;
  /** Exactly once, last. Without an error after `close()`. */
  onEnded(error: RtmpError | undefined): void;
}

/** Counters of one connection. */
export interface RtmpPublisherStats {
  /** Octets handed to the socket after the handshake. */
  readonly bytesSent: number;
  /** Octets that the server has acknowledged, or `null` while it never did. */
  readonly bytesAcknowledged: number | null;
  /** Octets written and not known to have arrived. */
  readonly outstandingBytes: number;
  /** Tags skipped because of a backlog. */
  readonly droppedFrames: number;
}

/** One publication. */
export interface RtmpPublisher {
  /** Sends or skips a tag; before `onPublishing` and after the end it is skipped. Never throws. */
  send(tag: FlvTag): 'sent' | 'skipped';
  readonly stats: RtmpPublisherStats;
  /** Flushes what is queued, says FCUnpublish and deleteStream, and closes. Resolves after `onEnded`. Idempotent. */
  close(): Promise<void>;
}

/**
 * Connects and publishes. Returns at once; the outcome reaches the handler.
 *
 * @throws RtmpError `INVALID_URL` for a malformed URL or stream name.
 */
export function openRtmpPublisher(
  options: RtmpPublisherOptions,
  handler: RtmpPublisherHandler,
): RtmpPublisher {
  const url = parseRtmpUrl(options.url);
  if (url.secure)
    throw new RtmpError('INVALID_URL', 'rtmps: is not supported yet', { field: 'scheme' });
  // oxlint-disable-next-line no-control-regex -- finding control characters is the point
  if (options.streamName === '' || /[\u0000-\u001f\u007f]/.test(options.streamName)) {
    throw new RtmpError('INVALID_URL', 'Empty stream name, or a control character in it', {
      field: 'streamName',
    });
  }
  return new Connection(url, options, handler);
}

const MESSAGE = {
  setChunkSize: 1,
  abort: 2,
  acknowledgement: 3,
  userControl: 4,
  windowAcknowledgementSize: 5,
  setPeerBandwidth: 6,
  video: 9,
  data: 18,
  command: 20,
} as const;
const PING_REQUEST = 6;
const PING_RESPONSE = 7;
const CONTROL_STREAM = 2;
const COMMAND_STREAM = 3;
const CHUNK_STREAM_OF_TYPE = { 8: 4, 9: 6, 18: 5 } as const;
/** Large enough that most frames are one chunk; servers are known to take it. */
const OUTGOING_CHUNK_BYTES = 60_000;
const TRANSACTION = {
  connect: 1,
  releaseStream: 2,
  fcPublish: 3,
  createStream: 4,
  publish: 5,
} as const;
const SET_DATA_FRAME = encodeAmf0('@setDataFrame');
const WATCH_PERIOD_MS = 500;
/** More than this is written at once. */
const MAX_BATCH_BYTES = 64 * 1024;
/** Holds a picture and its audio, but for most key frames. */
const SCRATCH_BYTES = 8 * 1024;

type Phase =
  | 'connecting'
  | 'handshaking'
  | 'publishing-requested'
  | 'publishing'
  | 'closing'
  | 'closed';

class Connection implements RtmpPublisher {
  readonly #url: RtmpUrl;
  readonly #options: RtmpPublisherOptions;
  readonly #handler: RtmpPublisherHandler;
  readonly #socket: Socket;
  readonly #handshake = new ClientHandshake();
  readonly #reader: ChunkReader;
  readonly #writer = new ChunkWriter();
  readonly #gate: CongestionGate;
  readonly #acknowledged: AcknowledgementWindow;
  readonly #windowBytes: number;
  readonly #coalesceMs: number;
  #phase: Phase = 'connecting';
  #phaseTimer: NodeJS.Timeout | undefined;
  #watch: NodeJS.Timeout | undefined;
  #flushTimer: NodeJS.Timeout | undefined;
  #flushSoon: NodeJS.Immediate | undefined;
  #closed: Promise<void> | undefined;
  #resolveClosed: (() => void) | undefined;

  /** Chunks of this event-loop turn (or coalescing period). */
  #batch: Uint8Array[] = [];
  #batchBytes = 0;
  /** Where a batch is put together; reused as soon as the system has taken it. */
  #scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  #bytesSent = 0;
  #bytesReceived = 0;
  #bytesAcknowledgedByUs = 0;
  #peerWindowBytes = Number.POSITIVE_INFINITY;
  #messageStreamId = 0;
  /** The transaction whose answer the next step waits for. */
  #awaited: number | undefined = TRANSACTION.connect;
  #baseMs = Number.NaN;
  readonly #lastMs = { 8: 0, 9: 0, 18: 0 };
  #progressMark = 0;
  #progressMs = 0;
  #keyFrameAskedMs = Number.NEGATIVE_INFINITY;

  constructor(url: RtmpUrl, options: RtmpPublisherOptions, handler: RtmpPublisherHandler) {
    this.#url = url;
    this.#options = options;
    this.#handler = handler;
    this.#windowBytes = options.windowBytes ?? 62_500;
    this.#coalesceMs = options.coalesceMs ?? 40;
    this.#acknowledged = new AcknowledgementWindow(this.#windowBytes);
    this.#gate = new CongestionGate({
      windowBytes: this.#windowBytes,
      ...(options.highWaterMs === undefined ? {} : { highWaterMs: options.highWaterMs }),
    });
    this.#reader = new ChunkReader(MAX_RTMP_BODY_BYTES, {
      onMessage: (message) => this.#onMessage(message),
      onFault: (fault) =>
        this.#end(new RtmpError('PROTOCOL', `The server broke the protocol: ${fault}`)),
    });
    this.#socket = connect({ host: url.host, port: url.port, noDelay: true });
    this.#socket.on('connect', () => this.#onConnect());
    this.#socket.on('data', (octets) => this.#onOctets(octets));
    this.#socket.on('error', (error) => this.#onSocketError(error));
    this.#socket.on('close', () => this.#onSocketClose());
    this.#expect('connect', options.connectTimeoutMs ?? 5000);
  }

  get stats(): RtmpPublisherStats {
    return {
      bytesSent: this.#bytesSent,
      bytesAcknowledged: this.#acknowledged.bytes,
      outstandingBytes: this.#outstandingBytes(),
      droppedFrames: this.#gate.skipped,
    };
  }

  send(tag: FlvTag): 'sent' | 'skipped' {
    if (this.#phase !== 'publishing') return 'skipped';
    if (!this.#gate.admit(tag, this.#outstandingBytes())) {
      if (this.#gate.wantsKeyFrame) this.#askForKeyFrame(tag.timestampMs);
      return 'skipped';
    }
    // The first frame is the connection's time 0; what describes it goes before, at the same time.
    const describes = tag.role === 'metadata' || tag.role === 'sequence-header';
    if (Number.isNaN(this.#baseMs) && !describes) this.#baseMs = tag.timestampMs;
    this.#batchBytes += this.#writer.write(
      {
        chunkStreamId: CHUNK_STREAM_OF_TYPE[tag.type],
        type: tag.type,
        streamId: this.#messageStreamId,
        timestampMs: this.#relativeMs(tag),
        payload: tag.type === MESSAGE.data ? Buffer.concat([SET_DATA_FRAME, tag.body]) : tag.body,
      },
      this.#batch,
    );
    this.#scheduleFlush(tag.type === MESSAGE.video);
    return 'sent';
  }

  /** On the connection's time base; per medium it never decreases. */
  #relativeMs(tag: FlvTag): number {
    const sinceBaseMs = Number.isNaN(this.#baseMs) ? 0 : Math.round(tag.timestampMs - this.#baseMs);
    const relativeMs = Math.max(this.#lastMs[tag.type], sinceBaseMs);
    this.#lastMs[tag.type] = relativeMs;
    return relativeMs;
  }

  close(): Promise<void> {
    if (this.#phase === 'closed') return this.#closed ?? Promise.resolve();
    this.#closed ??= new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    if (this.#phase === 'closing') return this.#closed;
    if (this.#phase !== 'publishing') {
      this.#end(undefined);
      return this.#closed;
    }
    const { streamName } = this.#options;
    this.#command('FCUnpublish', 6, null, streamName);
    this.#command('deleteStream', 7, null, this.#messageStreamId);
    this.#flush();
    this.#phase = 'closing';
    this.#stopTimers();
    // end() sends what is queued, then FIN; a server that does not close in turn is not waited for longer.
    this.#phaseTimer = setTimeout(() => this.#end(undefined), this.#options.flushTimeoutMs ?? 1000);
    this.#socket.end();
    return this.#closed;
  }

  #outstandingBytes(): number {
    const queued = this.#batchBytes + this.#socket.writableLength;
    // Some servers never acknowledge (Node-Media-Server): then the socket's own queue must tell.
    return Math.max(queued, this.#acknowledged.outstanding(this.#bytesSent + this.#batchBytes));
  }

  #expect(phase: string, timeoutMs: number): void {
    clearTimeout(this.#phaseTimer);
    this.#phaseTimer = setTimeout(() => {
      this.#end(new RtmpError('TIMEOUT', `No end of the ${phase} phase within ${timeoutMs} ms`));
    }, timeoutMs);
  }

  #onConnect(): void {
    this.#phase = 'handshaking';
    this.#expect('handshake', this.#options.handshakeTimeoutMs ?? 5000);
    this.#socket.write(this.#handshake.hello((bytes) => void randomFillSync(bytes)));
  }

  #onOctets(octets: Uint8Array): void {
    if (this.#phase === 'closed') return;
    if (this.#phase !== 'handshaking') return this.#onChunkOctets(octets);
    const step = this.#handshake.push(octets);
    if (step.fault) return this.#end(new RtmpError('PROTOCOL', `No RTMP server: ${step.fault}`));
    if (step.send) this.#socket.write(step.send);
    if (!step.rest) return;
    this.#phase = 'publishing-requested';
    this.#expect('publish', this.#options.publishTimeoutMs ?? 10_000);
    this.#requestConnect();
    if (step.rest.length > 0) this.#onChunkOctets(step.rest);
  }

  #onChunkOctets(octets: Uint8Array): void {
    this.#bytesReceived += octets.length;
    this.#reader.push(octets);
    if (this.#bytesReceived - this.#bytesAcknowledgedByUs < this.#peerWindowBytes) return;
    this.#bytesAcknowledgedByUs = this.#bytesReceived;
    this.#control(MESSAGE.acknowledgement, u32(this.#bytesReceived % 0x1_0000_0000));
    this.#flush();
  }

  #requestConnect(): void {
    this.#control(MESSAGE.setChunkSize, u32(OUTGOING_CHUNK_BYTES));
    this.#writer.setChunkSize(OUTGOING_CHUNK_BYTES);
    this.#command(
      'connect',
      TRANSACTION.connect,
      amf0Object({
        app: this.#url.app,
        type: 'nonprivate',
        flashVer: this.#options.flashVersion ?? 'FMLE/3.0 (compatible; sipcast)',
        tcUrl: this.#url.tcUrl,
      }),
    );
    this.#flush();
  }

  #requestPublish(): void {
    const { streamName } = this.#options;
    // Asked for again after every connect: acknowledgements show a stall that the kernel's buffers hide.
    this.#control(MESSAGE.windowAcknowledgementSize, u32(this.#windowBytes));
    this.#command('releaseStream', TRANSACTION.releaseStream, null, streamName);
    this.#command('FCPublish', TRANSACTION.fcPublish, null, streamName);
    this.#command('createStream', TRANSACTION.createStream, null);
    this.#awaited = TRANSACTION.createStream;
    this.#flush();
  }

  #onMessage(message: RtmpMessage): void {
    if (this.#phase === 'closed') return;
    const { payload } = message;
    const number = payload.length >= 4 ? view(payload).readUInt32BE(0) : undefined;
    switch (message.type) {
      case MESSAGE.acknowledgement:
        if (number !== undefined) this.#acknowledged.acknowledge(number, this.#bytesSent);
        break;
      case MESSAGE.windowAcknowledgementSize:
        if (number !== undefined && number > 0) this.#peerWindowBytes = number;
        break;
      case MESSAGE.setPeerBandwidth:
        if (number !== undefined && number > 0) {
          this.#control(MESSAGE.windowAcknowledgementSize, u32(this.#windowBytes));
          this.#flush();
        }
        break;
      case MESSAGE.userControl:
        if (payload.length >= 6 && view(payload).readUInt16BE(0) === PING_REQUEST) {
          const pong = Buffer.from(payload.subarray(0, 6));
          pong.writeUInt16BE(PING_RESPONSE, 0);
          this.#control(MESSAGE.userControl, pong);
          this.#flush();
        }
        break;
      case MESSAGE.command:
        this.#onCommand(payload);
        break;
      default: // Set Chunk Size and Abort are the reader's; data messages are of no use to a publisher.
    }
  }

  #onCommand(payload: Uint8Array): void {
    const values = decodeAmf0(payload);
    if (typeof values === 'string')
      return this.#end(new RtmpError('PROTOCOL', `Unreadable command: ${values}`));
    const [name, transaction, , detail] = values;
    if (name === '_result' && transaction === this.#awaited) {
      // Each answer counts once: a server that repeats itself is not asked again.
      this.#awaited = undefined;
      if (transaction === TRANSACTION.connect) return this.#requestPublish();
      if (typeof detail !== 'number' || !(detail >= 0 && detail <= 0xffffffff)) {
        return this.#end(new RtmpError('PROTOCOL', 'createStream gave no stream id'));
      }
      this.#messageStreamId = Math.floor(detail);
      this.#command('publish', TRANSACTION.publish, null, this.#options.streamName, 'live');
      return this.#flush();
    }
    if (name === '_error') {
      // releaseStream and FCPublish are courtesy: many servers answer them with an error.
      if (transaction === TRANSACTION.connect)
        return this.#end(refusal('CONNECT_REJECTED', detail));
      if (transaction === TRANSACTION.createStream || transaction === TRANSACTION.publish) {
        return this.#end(refusal('PUBLISH_REJECTED', detail));
      }
      return;
    }
    if (name === 'onStatus') return this.#onStatus(detail);
    if (name === 'close')
      return this.#end(new RtmpError('CONNECTION_LOST', 'The server closed the connection'));
  }

  #onStatus(detail: Amf0Value): void {
    const code = textOf(detail, 'code');
    if (code === 'NetStream.Publish.Start') {
      if (this.#phase === 'publishing-requested') this.#onPublishing();
      return;
    }
    if (textOf(detail, 'level') !== 'error' && code !== 'NetConnection.Connect.Closed') return;
    this.#end(
      refusal(this.#phase === 'publishing' ? 'CONNECTION_LOST' : 'PUBLISH_REJECTED', detail),
    );
  }

  #onPublishing(): void {
    clearTimeout(this.#phaseTimer);
    this.#phase = 'publishing';
    this.#progressMs = performance.now();
    this.#watch = setInterval(() => this.#watchProgress(), WATCH_PERIOD_MS);
    this.#handler.onPublishing();
  }

  /** Ends a publication that makes no progress: by acknowledgements where the server sends them, else by the socket. */
  #watchProgress(): void {
    const nowMs = performance.now();
    const { bytes } = this.#acknowledged;
    const mark = bytes ?? this.#bytesSent - this.#socket.writableLength;
    const waiting =
      bytes === null
        ? this.#socket.writableLength > 0
        : this.#acknowledged.overdue(this.#bytesSent);
    if (mark !== this.#progressMark || !waiting) {
      this.#progressMark = mark;
      this.#progressMs = nowMs;
      return;
    }
    const stallTimeoutMs = this.#options.stallTimeoutMs ?? 8000;
    if (nowMs - this.#progressMs < stallTimeoutMs) return;
    this.#end(new RtmpError('STALLED', `The server took nothing for ${stallTimeoutMs} ms`));
  }

  #askForKeyFrame(timestampMs: number): void {
    if (timestampMs - this.#keyFrameAskedMs < 500) return;
    this.#keyFrameAskedMs = timestampMs;
    this.#handler.onKeyFrameWanted();
  }

  #control(type: number, payload: Uint8Array): void {
    const message = { chunkStreamId: CONTROL_STREAM, type, streamId: 0, timestampMs: 0, payload };
    this.#batchBytes += this.#writer.write(message, this.#batch);
  }

  #command(name: string, transaction: number, ...values: Amf0Value[]): void {
    const onMessageStream = name === 'publish';
    this.#batchBytes += this.#writer.write(
      {
        chunkStreamId: COMMAND_STREAM,
        type: MESSAGE.command,
        streamId: onMessageStream ? this.#messageStreamId : 0,
        timestampMs: 0,
        payload: encodeAmf0(name, transaction, ...values),
      },
      this.#batch,
    );
  }

  #scheduleFlush(isPicture: boolean): void {
    if (this.#batchBytes >= MAX_BATCH_BYTES) this.#flush();
    else if (isPicture || this.#coalesceMs === 0) this.#flushSoon ??= setImmediate(this.#flush);
    else this.#flushTimer ??= setTimeout(this.#flush, this.#coalesceMs);
  }

  readonly #flush = (): void => {
    clearTimeout(this.#flushTimer);
    this.#flushTimer = undefined;
    clearImmediate(this.#flushSoon);
    this.#flushSoon = undefined;
    if (this.#batchBytes === 0 || this.#socket.destroyed) return;
    // One write for the whole batch: copying a few kilobytes costs less than a writev of as many pieces, and a buffer
    // for each batch would double what the garbage collector sees.
    const bytes = this.#batchBytes;
    const reuses = bytes <= SCRATCH_BYTES;
    const octets = reuses ? this.#scratch.subarray(0, bytes) : Buffer.allocUnsafeSlow(bytes);
    let at = 0;
    for (const piece of this.#batch) {
      octets.set(piece, at);
      at += piece.length;
    }
    this.#bytesSent += bytes;
    this.#batch.length = 0;
    this.#batchBytes = 0;
    this.#socket.write(octets);
    // Not taken in full: the socket goes on with it.
    if (reuses && this.#socket.writableLength > 0)
      this.#scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  };

  #onSocketError(error: Error): void {
    const code: RtmpErrorCode = this.#phase === 'connecting' ? 'CONNECT_FAILED' : 'CONNECTION_LOST';
    this.#end(
      new RtmpError(code, `${this.#url.host}:${this.#url.port}: ${error.message}`, {
        cause: error,
      }),
    );
  }

  #onSocketClose(): void {
    if (this.#phase === 'closed') return;
    if (this.#phase === 'closing') return this.#end(undefined);
    const code: RtmpErrorCode =
      this.#phase === 'publishing' ? 'CONNECTION_LOST' : 'PUBLISH_REJECTED';
    this.#end(new RtmpError(code, 'The server closed the connection'));
  }

  #stopTimers(): void {
    clearTimeout(this.#phaseTimer);
    clearInterval(this.#watch);
    clearTimeout(this.#flushTimer);
    clearImmediate(this.#flushSoon);
  }

  #end(error: RtmpError | undefined): void {
    if (this.#phase === 'closed') return;
    const failed = this.#phase === 'closing' ? undefined : error;
    this.#phase = 'closed';
    this.#stopTimers();
    this.#batch = [];
    this.#batchBytes = 0;
    this.#socket.destroy();
    this.#handler.onEnded(failed);
    this.#resolveClosed?.();
  }
}

function u32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(value, 0);
  return bytes;
}

function view(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

function textOf(value: Amf0Value, key: string): string | undefined {
  const text = value instanceof Map ? value.get(key) : undefined;
  return typeof text === 'string' ? text : undefined;
}

function refusal(code: RtmpErrorCode, detail: Amf0Value): RtmpError {
  const statusCode = textOf(detail, 'code');
  const description = textOf(detail, 'description') ?? 'no reason given';
  return new RtmpError(
    code,
    `${statusCode ?? 'The server refused'}: ${description}`,
    statusCode === undefined ? {} : { statusCode },
  );
}
