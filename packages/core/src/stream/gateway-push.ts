// One stream going to one RTMP server, for as long as the stream lives: connects, reconnects, tells the truth.

import { adviseRtmpTarget, AudioOverride, enhancedForm, parseRtmpUrl } from '@sipcast/media';
import type { RtmpUrl } from '@sipcast/media/wire';
import type {
  OpenSound,
  openRtmpPublisher,
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
import type { PushRtmpOptions, RtmpOptions } from './rtmp-options.ts';
import type { RtmpPush, RtmpPushEvents, RtmpPushView } from './rtmp-push.ts';

/** What a push needs of its surroundings. */
export interface GatewayPushDeps {
  /** Opens one RTMP connection. */
  readonly openRtmpPublisher: typeof openRtmpPublisher;
  /** Of this push: its lines need not say which. */
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
  /** What it wants of the stream. */
  readonly form: OutputForm;
  /** Whether a call without sound gets a silent track. Default true. */
  readonly silentAudio?: boolean;
  /** Where this push differs from the gateway's options. */
  readonly rtmp?: PushRtmpOptions;
}

/** The first minutes of an outage are probably a restart: try often. */
const EARLY_OUTAGE_MS = 5 * 60_000;
/** A connection that ends sooner has not ended the outage: some servers accept a stream and refuse it a moment later. */
const STABLE_MS = 5000;
/** Ends of the very first connections that trying again will not change. */
const FINAL_AT_FIRST: ReadonlySet<string | undefined> = new Set([
  'CONNECT_REJECTED',
  'TLS_FAILED',
  'REDIRECT_REFUSED',
  'CONNECT_FORBIDDEN',
]);

/** One connection. There are two for a moment when the server asks for a new one. */
interface Leg {
  readonly publisher: RtmpPublisher;
  /** The publisher, with the audio that is to be heard. */
  readonly output: Output;
  /** What its server gets; that of the target before it has answered. */
  form: OutputForm;
  /** Lets go of the encoders for that. */
  release: (() => void) | undefined;
}

/** A push as the gateway drives it. */
export class GatewayPush extends SafeEmitter<RtmpPushEvents> implements RtmpPush {
  readonly target: PushTarget;
  readonly #audio: AudioOverride;
  readonly #options: RtmpOptions;
  readonly #deps: GatewayPushDeps;
  #media: StreamSource | undefined;
  readonly #advice: RtmpTargetAdvice | undefined;
  /** All connections that have not ended. */
  readonly #legs = new Set<Leg>();
  /** The one that the status is about. */
  #leg: Leg | undefined;
  /** The one that takes over when it has its first key frame. */
  #next: Leg | undefined;
  #status: RtmpStreamStatus = 'RTMP_STREAM_WAIT';
  readonly #enhanced: RtmpEnhancedMode;
  #retry: NodeJS.Timeout | undefined;
  /** Connections in a row that failed or did not last. */
  #attempts = 0;
  #downSinceMs = 0;
  #activeSinceMs = 0;
  #bytesSent = 0;
  #droppedFrames = 0;
  #reconnects = 0;
  #lastError: RtmpError | undefined;
  /** Why it never began. */
  #refusal: string | null = null;
  /** Lets go of the encoders that run from one connection to the next. */
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
    const { connectUrl, form, silentAudio = true } = target;
    this.#advice = adviseRtmpTarget(connectUrl, form, silentAudio);
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
   * For the call: takes what the push will need for sure, before the call counts as established.
   * @returns what lets go of it, once.
   * @throws what the encoders throw, e.g. for want of a free one
   */
  prepare(media: StreamSource, onFailed?: (error: unknown) => void): () => void {
    // What the server takes is not known before its answer: nothing is for sure then.
    if (this.#enhanced === 'auto') return () => {};
    return media.prepare(this.#formFor({ vp8: true, opus: true }), onFailed);
  }

  /** With a server that takes this of Enhanced RTMP, as far as the push may use it. */
  #formFor({ vp8, opus }: Pick<RtmpCapabilities, 'vp8' | 'opus'>): OutputForm {
    const { form } = this.target;
    if (this.#enhanced === 'off') return form;
    const takes = this.#advice?.takes;
    return enhancedForm(form, {
      vp8: vp8 || takes?.vp8 === true,
      opus: opus || takes?.opus === true,
    });
  }

  /**
   * For the stream: its media is there. Once.
   * @throws what the encoders throw that its form needs, e.g. for want of a free one
   */
  start(media: StreamSource): void {
    if (this.#media || this.#terminated) return;
    this.#bridge = this.prepare(media, (error) => this.#onEncoderFailed(error));
    this.#media = media;
    this.#downSinceMs = this.#deps.now();
    const { keyFrameMs = null, warnings = [] } = this.#advice ?? {};
    for (const warning of warnings) this.#deps.logger.warn(warning);
    if (keyFrameMs !== null) this.#unwantKeyFrames = media.wantKeyFrames(keyFrameMs);
    this.#connect();
  }

  /** What it should send is not to be had any more. */
  #onEncoderFailed(error: unknown): void {
    if (this.#terminated) return;
    this.refuse(error);
    void this.close();
  }

  /** For the stream: `start` has thrown, and nobody waits for it. */
  refuse(error: unknown): void {
    this.#refusal = error instanceof Error ? error.message : String(error);
    // What is told is why it ended, not what a connection before it met.
    this.#lastError = undefined;
    if (this.#status === 'RTMP_STREAM_ACTIVE') this.#move('RTMP_CONNECTION_LOST', undefined);
    this.#move('RTMP_CONNECTION_FAILED', undefined);
  }

  /** Its sound can be replaced: AAC of a stream of one's own may have any rate, which a file is not decoded to. */
  get takesSounds(): boolean {
    return this.#media?.figures().audioCodec !== 'aac';
  }

  /** Replaces the audio by a sound, until that ends. The one before it ends. `onClosed`: it has, for whatever reason. */
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
    const size = this.#media?.pictureSize(this.#leg?.form ?? this.target.form);
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
      lastError: this.#lastError ? this.#describe(this.#lastError) : this.#refusal,
    };
  }

  close(): Promise<void> {
    // First of all: a connection that is being made ends while `#close` asks it to, and must not be made again.
    this.#terminated = true;
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    clearTimeout(this.#retry);
    const legs = [...this.#legs];
    for (const { output } of legs) this.#media?.removeOutput(output);
    this.#audio.stop();
    this.#unwantKeyFrames?.();
    for (const leg of legs) letGo(leg);
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
    const publisher = this.#deps.openRtmpPublisher(
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
        onPublishing: (capabilities) => this.#onPublishing(leg, capabilities),
        onFirstSent: (role) => this.#onFirstSent(leg, role),
        onKeyFrameWanted: () => this.#media?.requestKeyFrame(),
        onReconnectRequested: (other) => this.#onReconnectRequested(leg, other),
        onEnded: (error) => this.#onEnded(leg, error),
      },
    );
    const leg: Leg = {
      form: this.target.form,
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
   * Sound alone is a beginning only where there is no picture: neither in what the new server gets, nor in what the old one
   * has got, as encoders for the new one may have made none yet.
   */
  #hasPictures(leg: Leg): boolean {
    const forms = [leg.form, this.#leg?.form ?? leg.form];
    return forms.some((form) => (this.#media?.pictureSize(form) ?? null) !== null);
  }

  #onPublishing(leg: Leg, capabilities: RtmpCapabilities): void {
    const media = this.#media;
    if (!media) return;
    leg.form = this.#formFor(capabilities);
    try {
      leg.release = media.prepare(leg.form, (error) => this.#onEncoderFailed(error));
    } catch (error) {
      return this.#onUnservable(leg, error);
    }
    if (capabilities.assumed) {
      const problem =
        'the server says nothing of Enhanced RTMP; what it makes of VP8 and Opus is not known';
      this.#deps.logger.warn(problem);
    }
    this.#crossBridge();
    if (leg === this.#leg) {
      if (this.#status === 'RTMP_CONNECTION_LOST') this.#reconnects++;
      this.#activeSinceMs = this.#deps.now();
    }
    // Joining gives headers at once and asks the peer for a key frame: nothing is sent before it.
    media.addOutput(leg.output, leg.form);
    if (leg === this.#leg) this.#move('RTMP_STREAM_ACTIVE', undefined);
  }

  /** What this server takes cannot be made here. */
  #onUnservable(leg: Leg, error: unknown): void {
    if (leg !== this.#next) return this.#onEncoderFailed(error);
    // The present connection serves on.
    this.#next = undefined;
    void leg.publisher.close();
  }

  /** The connection that follows has its encoders, or there will be none. */
  #crossBridge(): void {
    this.#bridge?.();
    this.#bridge = undefined;
  }

  /** The server wants us elsewhere. The present connection is fed until the new one has begun. */
  #onReconnectRequested(leg: Leg, url: string | undefined): void {
    if (leg !== this.#leg || this.#next || this.#terminated) return;
    const { connectUrl } = this.target;
    const to = url === undefined ? connectUrl : this.#permitted(url);
    if (to === undefined) {
      this.#deps.logger.warn('the server wants to send the push elsewhere: not allowed');
      return;
    }
    this.#deps.logger.info('the server asks for a new connection');
    this.#next = this.#openLeg(to);
  }

  /** The same host, with the user that was given for it; or another one that the owner allows. Never without TLS after TLS. */
  #permitted(url: string): string | undefined {
    const { connectUrl } = this.target;
    const from = parseRtmpUrl(connectUrl);
    const to = parseRtmpUrl(url);
    if (from.secure && !to.secure) return undefined;
    const { tcUrl } = to;
    if (authorityOf(from) !== authorityOf(to))
      return this.#options.mayRedirect?.(tcUrl) === true ? tcUrl : undefined;
    const [, user = ''] = /^rtmps?:\/\/([^/?]*@)/i.exec(connectUrl) ?? [];
    return tcUrl.replace('://', () => `://${user}`);
  }

  #handOver(): void {
    const old = this.#leg;
    this.#leg = this.#next;
    this.#next = undefined;
    if (!old) return;
    this.#media?.removeOutput(old.output);
    letGo(old);
    void old.publisher.close();
  }

  #onEnded(leg: Leg, error: RtmpError | undefined): void {
    this.#legs.delete(leg);
    this.#media?.removeOutput(leg.output);
    this.#bytesSent += leg.publisher.stats.bytesSent;
    this.#droppedFrames += leg.publisher.stats.droppedFrames;
    if (this.#terminated || leg !== this.#leg) {
      letGo(leg);
      // The present connection serves on, and what comes of it is seen when it ends.
      if (leg === this.#next) this.#next = undefined;
      return;
    }
    // Encoders go on through an outage: what they make is there when the server is back.
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
    // The one that was to take over has been accepted: it serves on, and lacks but its first picture.
    if (wasActive && this.#leg?.release) {
      this.#crossBridge();
      this.#activeSinceMs = nowMs;
      return;
    }
    const neverActive = this.#status === 'RTMP_STREAM_WAIT';
    if (wasActive) this.#move('RTMP_CONNECTION_LOST', error);
    // The one that was to take over goes on alone, and is active when its stream is accepted.
    if (this.#leg) return;
    if (this.#mustGiveUp(error, neverActive, nowMs)) {
      this.#crossBridge();
      return this.#move('RTMP_CONNECTION_FAILED', error);
    }
    this.#retry = setTimeout(() => this.#connect(), this.#nextDelayMs(nowMs));
  }

  #mustGiveUp(error: RtmpError | undefined, neverActive: boolean, nowMs: number): boolean {
    const { maxReconnects, giveUpMs, firstConnectTimeoutMs = 10_000 } = this.#options;
    // A wrong password does not become right; and each attempt may count against the account.
    if (error?.code === 'AUTH_FAILED') return true;
    if (maxReconnects !== undefined && this.#attempts >= maxReconnects) return true;
    const downMs = nowMs - this.#downSinceMs;
    if (!neverActive) return downMs >= (giveUpMs ?? Number.POSITIVE_INFINITY);
    // It never came up: a refusal is an answer; everything else may pass, a name that is still in use as well.
    return FINAL_AT_FIRST.has(error?.code) || downMs >= firstConnectTimeoutMs;
  }

  #nextDelayMs(nowMs: number): number {
    const early = nowMs - this.#downSinceMs < EARLY_OUTAGE_MS;
    const { reconnectMinMs = 250, reconnectMaxMs = 600, reconnectLateMaxMs = 5000 } = this.#options;
    const longest = early ? reconnectMaxMs : reconnectLateMaxMs;
    const backOff = Math.min(reconnectMinMs * 2 ** Math.min(this.#attempts++, 10), longest);
    return backOff * (0.8 + 0.4 * this.#deps.random());
  }

  /** Servers repeat the stream name and the query in their words, and these are keys. */
  #describe(error: RtmpError): string {
    const { publishName, connectUrl } = this.target;
    const { app, password = '' } = parseRtmpUrl(connectUrl);
    const [, query = ''] = /\?(.*)$/s.exec(app) ?? [];
    let words = `${error.code}: ${error.message}`;
    const secrets = [publishName, ...keysOf(publishName), query, ...keysOf(query), password];
    for (const secret of secrets) if (secret !== '') words = words.replaceAll(secret, '***');
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

/** Host and port as they are written. */
function authorityOf({ tcUrl }: RtmpUrl): string {
  return tcUrl.split('/')[2]?.toLowerCase() ?? '';
}

/** The values in a query, of a name or an address; short ones are words, and no keys. */
function keysOf(text: string): readonly string[] {
  return [...text.matchAll(/[?&=]([^?&=]{4,})/g)].map(([, value = '']) => value);
}

function letGo(leg: Leg): void {
  leg.release?.();
  leg.release = undefined;
}
