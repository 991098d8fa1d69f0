// One stream going to one RTMP server for as long as the stream lives: connects, reconnects, reports its real status.

import { AudioOverride, enhancedForm } from '@sipcast/media';
import type {
  OpenSound,
  Output,
  OutputForm,
  RtmpCapabilities,
  RtmpEnhancedMode,
  RtmpError,
  RtmpPublisher,
  RtmpTargetAdvice,
  StreamSource,
} from '@sipcast/media';
import { SafeEmitter } from '../emitter.ts';
import { childLogger } from '../logger.ts';
import type { Logger } from '../logger.ts';
import { mayFollow, RTMP_TRANSITIONS } from '../status.ts';
import type { RtmpStreamStatus } from '../status.ts';
import { keyFrameIntervalOf } from './output-form.ts';
import type { PushProtocol, PushProtocolDeps } from './push-protocol.ts';
import { protocolOf } from './push-protocols.ts';
import type { PushRtmpOptions, RtmpOptions } from './rtmp-options.ts';
import type { RtmpPush, RtmpPushEvents, RtmpPushView } from './rtmp-push.ts';

/** What a push needs: its protocols, the clock, randomness and the log. */
export interface GatewayPushDeps extends PushProtocolDeps {
  /** Logger of this push: its lines need not name the push. */
  readonly logger: Logger;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** 0 ≤ n < 1. */
  readonly random: () => number;
}

/** Which push. */
export interface PushTarget {
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
  /** The form that the push asks for. */
  readonly form: OutputForm;
  /** Whether a call without sound gets a silent track. Default true. */
  readonly silentAudio?: boolean;
  /** Black pictures may stand in for a camera that is off, where the server needs some. */
  readonly videoPlaceholder: boolean;
  /** See `OutputFormOptions`. */
  readonly keyFrameIntervalMs?: number;
  /** Where this push differs from the gateway's options. */
  readonly rtmp?: PushRtmpOptions;
}

/** In its first minutes an outage is probably a restart: retry often. */
const EARLY_OUTAGE_MS = 5 * 60_000;
/** A shorter connection does not end an outage: some servers accept a stream and refuse it a moment later. */
const STABLE_MS = 5000;
/** Between attempts to reach a server whose push counts as failed, or which breaks the protocol. */
const LONGEST_DELAY_MS = 30_000;
/** A wrong password stays wrong, and each attempt may count against the account; the others are our own rules. */
const FINAL: ReadonlySet<string | undefined> = new Set([
  'AUTH_FAILED',
  'REDIRECT_REFUSED',
  'CONNECT_FORBIDDEN',
]);
/** Refusals of the first connection that count as a failure at once. The server may still change its mind. */
const FAILED_AT_FIRST: ReadonlySet<string | undefined> = new Set([
  'CONNECT_REJECTED',
  'TLS_FAILED',
]);

/** One connection. There are briefly two when the server asks for a new one. */
interface Leg {
  readonly publisher: RtmpPublisher;
  /** The publisher, with the audio that is to be heard. */
  readonly output: Output;
  /** The form that its server gets; before the server has answered, the target's. */
  form: OutputForm;
  /** Releases the encoders of that form. */
  release: (() => void) | undefined;
}

/** A push as the gateway drives it. */
export class GatewayPush extends SafeEmitter<RtmpPushEvents> implements RtmpPush {
  readonly target: PushTarget;
  readonly #audio: AudioOverride;
  readonly #options: RtmpOptions;
  readonly #protocol: PushProtocol;
  /** Before the server has said what it takes. */
  readonly #form: OutputForm;
  readonly #deps: GatewayPushDeps;
  #media: StreamSource | undefined;
  readonly #advice: RtmpTargetAdvice | undefined;
  /** All connections that have not ended. */
  readonly #legs = new Set<Leg>();
  /** The connection that the status describes. */
  #leg: Leg | undefined;
  /** The connection that takes over once it has its first key frame. */
  #next: Leg | undefined;
  #status: RtmpStreamStatus = 'RTMP_STREAM_WAIT';
  readonly #enhanced: RtmpEnhancedMode;
  #retryTimer: NodeJS.Timeout | undefined;
  /** Connections in a row that failed or were too short. */
  #attempts = 0;
  #downSinceMs = 0;
  #activeSinceMs = 0;
  #bytesSent = 0;
  #droppedFrames = 0;
  #reconnects = 0;
  #lastError: RtmpError | undefined;
  /** Why no connection is made; `null` where the last error of one says it. */
  #refusal: string | null = null;
  /** It makes no more connections until {@link retry}. */
  #stopped = false;
  /** Releases the encoders that keep running between two connections. */
  #bridge: (() => void) | undefined;
  #unwantKeyFrames: (() => void) | undefined;
  #terminated = false;
  #closing: Promise<void> | undefined;

  constructor(target: PushTarget, options: RtmpOptions, deps: GatewayPushDeps) {
    super(deps.logger);
    this.target = target;
    this.#audio = new AudioOverride(target.muted);
    this.#options = { ...options, ...target.rtmp };
    this.#deps = deps;
    const { connectUrl, silentAudio = true } = target;
    this.#protocol = protocolOf(connectUrl);
    this.#form = this.#protocol.formFor(target.form);
    this.#advice = this.#protocol.advise(connectUrl, this.#form, silentAudio);
    this.#enhanced = this.#options.enhanced ?? this.#advice?.enhanced ?? 'off';
  }

  get mediaSessionId(): string {
    return this.target.mediaSessionId;
  }

  get status(): RtmpStreamStatus {
    return this.#status;
  }

  get muted(): boolean {
    return this.#audio.muted;
  }

  /** `close()` was called: it is gone for clients, although the connection may still be flushed. */
  get terminated(): boolean {
    return this.#terminated;
  }

  /**
   * Reserves the encoders that the push certainly needs, before its call counts as established.
   * @returns an idempotent release function
   * @throws errors of the encoders, e.g. when none is free
   */
  prepare(media: StreamSource, onFailed?: (error: unknown) => void): () => void {
    // What the server takes is unknown before it answers, so no encoder is certain.
    if (this.#enhanced === 'auto') return () => {};
    return media.prepare(this.#formFor({ vp8: true, opus: true }), onFailed);
  }

  /** The form for a server with these capabilities of Enhanced RTMP, as far as the push may use them. */
  #formFor({ vp8, opus }: Pick<RtmpCapabilities, 'vp8' | 'opus'>): OutputForm {
    const form = this.#form;
    if (this.#enhanced === 'off') return form;
    const takes = this.#advice?.takes;
    return enhancedForm(form, {
      vp8: vp8 || takes?.vp8 === true,
      opus: opus || takes?.opus === true,
    });
  }

  /**
   * Starts publishing when the stream goes live. Called once.
   * @throws errors of the encoders that its form needs, e.g. when none is free
   */
  start(media: StreamSource): void {
    if (this.#media || this.#terminated) return;
    this.#media = media;
    this.#bridge = this.prepare(media, (error) => this.#onEncoderFailed(error));
    this.#downSinceMs = this.#deps.now();
    const { keyFrameMs = null, warnings = [] } = this.#advice ?? {};
    const intervalMs = keyFrameIntervalOf(this.target.keyFrameIntervalMs, keyFrameMs);
    for (const warning of warnings) this.#deps.logger.warn(warning);
    if (intervalMs !== undefined) this.#unwantKeyFrames = media.wantKeyFrames(intervalMs);
    this.#connect();
  }

  get failed(): boolean {
    return this.#stopped && this.#status === 'RTMP_CONNECTION_FAILED';
  }

  retry(): void {
    const media = this.#media;
    if (this.#terminated || !media || this.#leg) return;
    clearTimeout(this.#retryTimer);
    this.#attempts = 0;
    // As in `start`, for a push that had no encoder.
    if (this.#stopped)
      this.#bridge ??= this.prepare(media, (error) => this.#onEncoderFailed(error));
    this.#stopped = false;
    this.#refusal = null;
    this.#downSinceMs = this.#deps.now();
    this.#connect();
    this.emit('change');
  }

  /** An encoder that the push needs has failed. */
  #onEncoderFailed(error: unknown): void {
    if (this.#terminated) return;
    this.refuse(error);
    void this.close();
  }

  /** Fails the push after `start` threw and no caller is waiting for it. */
  refuse(error: unknown): void {
    this.#refusal = error instanceof Error ? error.message : String(error);
    this.#stopped = true;
    // Report why the push ended, not the error of an earlier connection.
    this.#lastError = undefined;
    if (this.#status === 'RTMP_STREAM_ACTIVE') this.#move('RTMP_CONNECTION_LOST', undefined);
    this.#move('RTMP_CONNECTION_FAILED', undefined);
  }

  /** Whether its audio can be replaced. AAC of a published stream may have any sample rate, and files are not decoded to that. */
  get takesSounds(): boolean {
    return this.#media?.figures().audioCodec !== 'aac';
  }

  /** Replaces the audio with a sound until it ends. An earlier sound ends. `onClosed`: the sound has ended, for any reason. */
  playSound(open: OpenSound, onClosed: () => void = () => {}): void {
    this.#audio.play(open, { onClosed });
    this.emit('change');
  }

  stopSound(): void {
    this.#audio.stop();
    this.emit('change');
  }

  mute(): void {
    this.#audio.muted = true;
    this.emit('change');
  }

  unmute(): void {
    this.#audio.muted = false;
    this.emit('change');
  }

  view(): RtmpPushView {
    const { mediaSessionId, streamName, rtmpUrl, connectUrl } = this.target;
    const size = this.#media?.pictureSize(this.#leg?.form ?? this.#form);
    const live = [...this.#legs].map(({ publisher }) => publisher.stats);
    return {
      mediaSessionId,
      streamName,
      rtmpUrl,
      rtmpTransponderFullUrl: connectUrl !== rtmpUrl,
      width: size?.width ?? null,
      height: size?.height ?? null,
      muted: this.#audio.muted,
      soundEnabled: this.#audio.isPlaying,
      options: this.target.muted ? { action: 'mute' } : {},
      status: this.#status,
      bytesSent: live.reduce((sum, { bytesSent }) => sum + bytesSent, this.#bytesSent),
      droppedFrames: live.reduce((sum, one) => sum + one.droppedFrames, this.#droppedFrames),
      reconnects: this.#reconnects,
      lastError: this.lastError,
      isTrying: !this.#stopped && !this.#terminated,
    };
  }

  get lastError(): string | null {
    return this.#lastError ? this.#describe(this.#lastError) : this.#refusal;
  }

  close(): Promise<void> {
    // Set first: a connection that is being made ends during `#close`, and must not be retried.
    this.#terminated = true;
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    clearTimeout(this.#retryTimer);
    const legs = [...this.#legs];
    for (const { output } of legs) this.#media?.removeOutput(output);
    this.#audio.stop();
    this.#unwantKeyFrames?.();
    for (const leg of legs) release(leg);
    this.#crossBridge();
    await Promise.all(legs.map(({ publisher }) => publisher.close()));
    this.emit('closed');
  }

  #connect(): void {
    this.#leg = this.#openLeg(this.target.connectUrl);
  }

  #openLeg(url: string): Leg {
    const { tls, mayRedirect, mayConnect, lookup, probe } = this.#options;
    const enhanced = this.#enhanced;
    const publisher = this.#protocol.open(
      {
        url,
        streamName: this.target.publishName,
        stallTimeoutMs: this.#options.stallTimeoutMs ?? 8000,
        highWaterMs: this.#options.highWaterMs ?? 2000,
        coalesceMs: this.#options.coalesceMs ?? 40,
        ...(tls !== undefined && { tls }),
        enhanced,
        ...(mayRedirect !== undefined && { mayRedirect }),
        ...(mayConnect !== undefined && { mayConnect }),
        ...(lookup !== undefined && { lookup }),
        ...(probe !== undefined && { probe }),
      },
      {
        onMediaWanted: (capabilities) => this.#attach(leg, capabilities),
        onPublishing: (capabilities) => this.#onPublishing(leg, capabilities),
        onFirstSent: (role) => this.#onFirstSent(leg, role),
        onKeyFrameWanted: () => this.#media?.requestKeyFrame(),
        onReconnectRequested: (other) => this.#onReconnectRequested(leg, other),
        onEnded: (error) => this.#onEnded(leg, error),
      },
      this.#deps,
    );
    const leg: Leg = {
      form: this.#form,
      release: undefined,
      publisher,
      output: this.#audio.over(publisher),
    };
    this.#legs.add(leg);
    return leg;
  }

  #onFirstSent(leg: Leg, role: 'key-frame' | 'audio'): void {
    if (leg !== this.#next) return;
    if (role === 'key-frame' || !this.#hasPictures(leg)) this.#handOver();
  }

  /**
   * Audio alone completes a handover only if there is no video, neither in the new server's form nor in the old one's: encoders
   * for the new server may not have produced a picture yet.
   */
  #hasPictures(leg: Leg): boolean {
    const forms = [leg.form, this.#leg?.form ?? leg.form];
    return forms.some((form) => (this.#media?.pictureSize(form) ?? null) !== null);
  }

  #onPublishing(leg: Leg, capabilities: RtmpCapabilities): void {
    if (!this.#attach(leg, capabilities)) return;
    if (leg !== this.#leg) return;
    if (this.#status === 'RTMP_CONNECTION_LOST') this.#reconnects++;
    this.#activeSinceMs = this.#deps.now();
    this.#move('RTMP_STREAM_ACTIVE', undefined);
  }

  /** Sends the stream to a server. @returns whether it is sent */
  #attach(leg: Leg, capabilities: RtmpCapabilities): boolean {
    const media = this.#media;
    if (!media) return false;
    if (leg.release) return true;
    leg.form = this.#formFor(capabilities);
    try {
      leg.release = media.prepare(leg.form, (error) => this.#onEncoderFailed(error));
    } catch (error) {
      this.#onUnservable(leg, error);
      return false;
    }
    if (capabilities.assumed) {
      const problem =
        'the server did not confirm Enhanced RTMP; it may not understand VP8 and Opus';
      this.#deps.logger.warn(problem);
    }
    this.#crossBridge();
    // Joining sends the headers at once and requests a key frame; nothing else is sent before that.
    const placeholder = this.target.videoPlaceholder && this.#advice?.needsVideo === true;
    media.addOutput(leg.output, leg.form, { placeholder });
    return true;
  }

  /** The form that this server takes cannot be encoded here. */
  #onUnservable(leg: Leg, error: unknown): void {
    // While it counts as failed it holds no encoders: they may be free at the next attempt.
    if (leg === this.#leg && this.#status === 'RTMP_CONNECTION_FAILED')
      this.#refusal = error instanceof Error ? error.message : String(error);
    else if (leg !== this.#next) return this.#onEncoderFailed(error);
    // The current connection continues.
    else this.#next = undefined;
    void leg.publisher.close();
  }

  /** Releases the bridge: the next connection has its own encoders, or there will be no next connection. */
  #crossBridge(): void {
    this.#bridge?.();
    this.#bridge = undefined;
  }

  /** The server asks for a connection elsewhere. The current one is fed until the new one has started. */
  #onReconnectRequested(leg: Leg, url: string | undefined): void {
    if (leg !== this.#leg || this.#next || this.#terminated) return;
    const { connectUrl } = this.target;
    const mayRedirect = this.#options.mayRedirect ?? (() => false);
    const to =
      url === undefined ? connectUrl : this.#protocol.redirect(connectUrl, url, mayRedirect);
    if (to === undefined) {
      this.#deps.logger.warn('the server redirects the push to a host that is not allowed');
      return;
    }
    this.#deps.logger.info('the server asks for a new connection');
    this.#next = this.#openLeg(to);
  }

  #handOver(): void {
    const old = this.#leg;
    this.#leg = this.#next;
    this.#next = undefined;
    if (!old) return;
    this.#media?.removeOutput(old.output);
    release(old);
    void old.publisher.close();
  }

  #onEnded(leg: Leg, error: RtmpError | undefined): void {
    this.#legs.delete(leg);
    this.#media?.removeOutput(leg.output);
    this.#bytesSent += leg.publisher.stats.bytesSent;
    this.#droppedFrames += leg.publisher.stats.droppedFrames;
    if (this.#terminated || leg !== this.#leg) {
      release(leg);
      // The current connection continues.
      if (leg === this.#next) this.#next = undefined;
      return;
    }
    // Encoders keep running through an outage, so that media is ready when the server is back.
    if (leg.release) {
      this.#crossBridge();
      this.#bridge = leg.release;
    }
    this.#leg = this.#next;
    this.#next = undefined;
    this.#lastError = error;
    const nowMs = this.#deps.now();
    const wasActive = this.#status === 'RTMP_STREAM_ACTIVE';
    if (wasActive && nowMs - this.#activeSinceMs >= STABLE_MS) {
      this.#attempts = 0;
      this.#downSinceMs = nowMs;
    }
    // The connection that was to take over is accepted and only lacks its first picture: it continues.
    if (wasActive && this.#leg?.release) {
      this.#crossBridge();
      this.#activeSinceMs = nowMs;
      return;
    }
    const neverActive = this.#status === 'RTMP_STREAM_WAIT';
    if (wasActive) this.#move('RTMP_CONNECTION_LOST', error);
    // The connection that was to take over continues alone; the push is active when its stream is accepted.
    if (this.#leg) return;
    this.#stopped = this.#mustGiveUp(error, nowMs);
    const tooLong = nowMs - this.#downSinceMs >= (this.#options.firstConnectTimeoutMs ?? 10_000);
    const failed = neverActive && (tooLong || FAILED_AT_FIRST.has(error?.code));
    if (this.#stopped || failed) {
      this.#crossBridge();
      this.#move('RTMP_CONNECTION_FAILED', error);
    }
    // A listener may have closed it.
    if (this.#stopped || this.#terminated) return;
    this.#retryTimer = setTimeout(() => this.#connect(), this.#nextDelayMs(error, nowMs));
  }

  #mustGiveUp(error: RtmpError | undefined, nowMs: number): boolean {
    const { maxReconnects = Number.POSITIVE_INFINITY, giveUp = 'never' } = this.#options;
    if (FINAL.has(error?.code) || this.#attempts >= maxReconnects) return true;
    return giveUp !== 'never' && nowMs - this.#downSinceMs >= giveUp;
  }

  #nextDelayMs(error: RtmpError | undefined, nowMs: number): number {
    const { reconnectMinMs = 250, reconnectMaxMs = 600, reconnectLateMaxMs = 5000 } = this.#options;
    const isEarly = nowMs - this.#downSinceMs < EARLY_OUTAGE_MS;
    let longestMs = isEarly ? reconnectMaxMs : reconnectLateMaxMs;
    // Retrying sooner would not help: the push has failed already, or the server would break the protocol again.
    if (this.#status === 'RTMP_CONNECTION_FAILED' || error?.code === 'PROTOCOL')
      longestMs = LONGEST_DELAY_MS;
    const backOff = Math.min(reconnectMinMs * 2 ** Math.min(this.#attempts++, 10), longestMs);
    return backOff * (0.8 + 0.4 * this.#deps.random());
  }

  /** Masks keys: servers repeat the stream name and the query in their messages. */
  #describe(error: RtmpError): string {
    const { publishName, connectUrl } = this.target;
    let words = `${error.code}: ${error.message}`;
    for (const secret of this.#protocol.secretsIn(connectUrl, publishName))
      words = words.replaceAll(secret, '***');
    return words;
  }

  /** The one place where the status moves; emits last. */
  #move(status: RtmpStreamStatus, error: RtmpError | undefined): void {
    if (!mayFollow(RTMP_TRANSITIONS, this.#status, status)) return;
    const previous = this.#status;
    this.#status = status;
    const reason = error ? ` (${this.#describe(error)})` : '';
    const logger = childLogger(this.#deps.logger, { status, previous });
    logger.info(`${previous} -> ${status}${reason}`);
    this.emit('status', status, error);
  }
}

function release(leg: Leg): void {
  leg.release?.();
  leg.release = undefined;
}
