// One stream going to one RTMP server, for as long as the stream lives: connects, reconnects, tells the truth.

import type {
  FlvTag,
  MediaSession,
  openRtmpPublisher,
  RtmpError,
  RtmpPublisher,
  StreamOutput,
} from '@sipcast/media';
import { SafeEmitter } from './emitter.ts';
import type { Logger } from './logger.ts';
import { mayFollow, RTMP_TRANSITIONS } from './status.ts';
import type { RtmpStreamStatus } from './status.ts';

/** How pushes connect. Times in milliseconds. */
export interface RtmpOptions {
  /** In front of every stream name on the wire. Default none. */
  readonly streamPrefix?: string;
  /** A push that never came up is given up after this time. Default 10,000. */
  readonly firstConnectTimeoutMs?: number;
  /** A push that was lost is given up after this time. Default: never, while the call lives. */
  readonly giveUpMs?: number;
  /** First delay before connecting again. Default 250. */
  readonly reconnectMinMs?: number;
  /** Longest delay in the first five minutes of an outage. Default 800. */
  readonly reconnectMaxMs?: number;
  /** Longest delay after that. Default 5,000. */
  readonly reconnectLateMaxMs?: number;
  /** Without progress for this long a connection counts as lost. Default 8,000. */
  readonly stallTimeoutMs?: number;
  /** Media that may be outstanding before video is dropped. Default 2,000. */
  readonly highWaterMs?: number;
  /** Longest wait of audio for a picture to be written with it; 0: none. Default 40. */
  readonly coalesceMs?: number;
}

/** What a push needs of its surroundings. */
export interface RtmpPushDeps {
  /** Opens one RTMP connection. */
  readonly openRtmpPublisher: typeof openRtmpPublisher;
  readonly logger: Logger;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** 0 ≤ n < 1. */
  readonly random: () => number;
}

/** Which push. */
export interface RtmpPushTarget {
  /** Unique; contains the Call-ID of the source. */
  readonly mediaSessionId: string;
  /** The source stream's name, or what the call asked to publish as. */
  readonly streamName: string;
  /** Exactly as the caller gave it. */
  readonly rtmpUrl: string;
  /** URL to connect to. */
  readonly connectUrl: string;
  /** Name on the wire. */
  readonly publishName: string;
  readonly muted: boolean;
}

/** Events of a push. */
export interface RtmpPushEvents {
  /** After each change. */
  status: (status: RtmpStreamStatus, error: RtmpError | undefined) => void;
  /** Once: terminated, or its stream ended. */
  closed: () => void;
}

/** A snapshot of a push, as the HTTP API shows it. */
export interface RtmpPushView {
  readonly mediaSessionId: string;
  readonly streamName: string;
  readonly rtmpUrl: string;
  readonly width: number | null;
  readonly height: number | null;
  readonly muted: boolean;
  readonly soundEnabled: boolean;
  readonly options: Readonly<Record<string, unknown>>;
  readonly status: RtmpStreamStatus;
  /** Octets of all connections. */
  readonly bytesSent: number;
  /** Tags skipped because the server was too slow. */
  readonly droppedFrames: number;
  /** Times that publishing began again after a loss. */
  readonly reconnects: number;
  /** Why the last connection ended or was refused; `null` while none did. */
  readonly lastError: string | null;
}

/** The first minutes of an outage are probably a restart: try often. */
const EARLY_OUTAGE_MS = 5 * 60_000;
/** A mono AAC-LC frame of digital silence, of any sampling rate: one channel without a coded band. */
const AAC_SILENCE = [0x01, 0x18, 0x20, 0x07];
const FLV_AAC = 10;
const SILENCE = { 7: 0xd5, 8: 0xff } as const;

/** One push. Made by the gateway; it lives until `close()` or until its stream ends. */
export class RtmpPush extends SafeEmitter<RtmpPushEvents> {
  readonly target: RtmpPushTarget;
  /** Replaces the audio by silence, without a break. */
  muted: boolean;
  readonly #options: RtmpOptions;
  readonly #deps: RtmpPushDeps;
  readonly #output: StreamOutput = { push: (tag) => this.#send(tag) };
  #media: MediaSession | undefined;
  #publisher: RtmpPublisher | undefined;
  #status: RtmpStreamStatus = 'RTMP_STREAM_WAIT';
  #retry: NodeJS.Timeout | undefined;
  #attempts = 0;
  #downSinceMs = 0;
  #bytesSent = 0;
  #droppedFrames = 0;
  #reconnects = 0;
  #lastError: RtmpError | undefined;
  #terminated = false;
  #closing: Promise<void> | undefined;

  constructor(target: RtmpPushTarget, options: RtmpOptions, deps: RtmpPushDeps) {
    super(deps.logger);
    this.target = target;
    this.muted = target.muted;
    this.#options = options;
    this.#deps = deps;
  }

  get status(): RtmpStreamStatus {
    return this.#status;
  }

  /** `close()` was called: it is gone for clients, although the connection may still be flushed. */
  get terminated(): boolean {
    return this.#terminated;
  }

  /** For the stream: its media is there. Once. */
  start(media: MediaSession): void {
    if (this.#media || this.#terminated) return;
    this.#media = media;
    this.#downSinceMs = this.#deps.now();
    this.#connect();
  }

  /** As the HTTP API shows it. */
  view(): RtmpPushView {
    const { mediaSessionId, streamName, rtmpUrl } = this.target;
    const video = this.#media?.stats().video;
    const live = this.#publisher?.stats;
    return {
      mediaSessionId,
      streamName,
      rtmpUrl,
      width: video?.width ?? null,
      height: video?.height ?? null,
      muted: this.muted,
      soundEnabled: false,
      options: this.target.muted ? { action: 'mute' } : {},
      status: this.#status,
      bytesSent: this.#bytesSent + (live?.bytesSent ?? 0),
      droppedFrames: this.#droppedFrames + (live?.droppedFrames ?? 0),
      reconnects: this.#reconnects,
      lastError: this.#lastError ? this.#describe(this.#lastError) : null,
    };
  }

  /** Flushes, unpublishes and closes. Idempotent; resolves when the connection is gone. */
  close(): Promise<void> {
    // First of all: a connection that is being made ends while `#close` asks it to, and must not be made again.
    this.#terminated = true;
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    clearTimeout(this.#retry);
    this.#media?.removeOutput(this.#output);
    await this.#publisher?.close();
    this.emit('closed');
  }

  #send(tag: FlvTag): void {
    this.#publisher?.send(this.muted && tag.role === 'audio' ? silenced(tag) : tag);
  }

  #connect(): void {
    this.#publisher = this.#deps.openRtmpPublisher(
      {
        url: this.target.connectUrl,
        streamName: this.target.publishName,
        stallTimeoutMs: this.#options.stallTimeoutMs ?? 8000,
        highWaterMs: this.#options.highWaterMs ?? 2000,
        coalesceMs: this.#options.coalesceMs ?? 40,
      },
      {
        onPublishing: () => this.#onPublishing(),
        onKeyFrameWanted: () => this.#media?.requestKeyFrame(),
        onEnded: (error) => this.#onEnded(error),
      },
    );
  }

  #onPublishing(): void {
    if (this.#status === 'RTMP_CONNECTION_LOST') this.#reconnects++;
    this.#attempts = 0;
    // Joining gives headers at once and asks the peer for a key frame: nothing is sent before it.
    this.#media?.addOutput(this.#output);
    this.#move('RTMP_STREAM_ACTIVE', undefined);
  }

  #onEnded(error: RtmpError | undefined): void {
    const ended = this.#publisher;
    this.#publisher = undefined;
    this.#media?.removeOutput(this.#output);
    this.#bytesSent += ended?.stats.bytesSent ?? 0;
    this.#droppedFrames += ended?.stats.droppedFrames ?? 0;
    if (this.#terminated) return;
    this.#lastError = error;
    const nowMs = this.#deps.now();
    const wasActive = this.#status === 'RTMP_STREAM_ACTIVE';
    if (wasActive) this.#downSinceMs = nowMs;
    if (this.#mustGiveUp(error, wasActive, nowMs))
      return this.#move('RTMP_CONNECTION_FAILED', error);
    const delayMs = this.#nextDelayMs(nowMs);
    this.#retry = setTimeout(() => this.#connect(), delayMs);
    if (wasActive) this.#move('RTMP_CONNECTION_LOST', error);
  }

  #mustGiveUp(error: RtmpError | undefined, wasActive: boolean, nowMs: number): boolean {
    if (wasActive) return false;
    const downMs = nowMs - this.#downSinceMs;
    if (this.#status === 'RTMP_CONNECTION_LOST')
      return downMs >= (this.#options.giveUpMs ?? Number.POSITIVE_INFINITY);
    // It never came up: a refusal of the connection is an answer; everything else may pass.
    if (error?.code === 'CONNECT_REJECTED') return true;
    return downMs >= (this.#options.firstConnectTimeoutMs ?? 10_000);
  }

  #nextDelayMs(nowMs: number): number {
    const early = nowMs - this.#downSinceMs < EARLY_OUTAGE_MS;
    const { reconnectMinMs = 250, reconnectMaxMs = 800, reconnectLateMaxMs = 5000 } = this.#options;
    const longest = early ? reconnectMaxMs : reconnectLateMaxMs;
    const backOff = Math.min(reconnectMinMs * 2 ** Math.min(this.#attempts++, 10), longest);
    return backOff * (0.8 + 0.4 * this.#deps.random());
  }

  /** Servers repeat the stream name in their words, and the name is a key. */
  #describe(error: RtmpError): string {
    return `${error.code}: ${error.message}`.replaceAll(this.target.publishName, '***');
  }

  /** The one place where the status moves; emits last. */
  #move(status: RtmpStreamStatus, error: RtmpError | undefined): void {
    if (!mayFollow(RTMP_TRANSITIONS, this.#status, status)) return;
    this.#status = status;
    const { mediaSessionId } = this.target;
    this.#deps.logger.info(
      `${mediaSessionId}: ${status}${error ? ` (${this.#describe(error)})` : ''}`,
    );
    this.emit('status', status, error);
  }
}

/** The same tag with silence in it (FLV sound formats 7, 8 and 10). */
function silenced(tag: FlvTag): FlvTag {
  const head = tag.body[0] ?? 0;
  if (head >> 4 === FLV_AAC) return { ...tag, body: Buffer.from([head, 1, ...AAC_SILENCE]) };
  const silence = SILENCE[(head >> 4) as 7 | 8];
  if (silence === undefined) return tag;
  const body = Buffer.alloc(tag.body.length, silence);
  body[0] = head;
  return { ...tag, body };
}
