// One call's media: RTP in, FLV tags out to any number of outputs. The session opens the sockets and applies the
// negotiation; `audio-path.ts` and `video-path.ts` process the packets.

import type { MediaKind, RtpPacket } from '../codec/frame.ts';
import { MediaError } from '../errors.ts';
import type { OutputForm } from '../output/output-form.ts';
import { missingEncoder } from '../output/rendition.ts';
import type { SessionTranscoders } from '../output/rendition.ts';
import { StreamHub } from '../output/stream-hub.ts';
import type { StreamFigures, StreamSource } from '../output/stream-source.ts';
import type { RtpCodec } from '../rtp/depacketizer.ts';
import type { DelayRange } from '../rtp/jitter-delay.ts';
import type { PortPool } from '../rtp/port-pool.ts';
import { openRtpSession } from '../rtp/rtp-session.ts';
import type { RtpSession } from '../rtp/rtp-session.ts';
import { Inactivity } from '../sync/inactivity.ts';
import { StreamClock } from '../sync/stream-clock.ts';
import type { TickSource } from '../ticker.ts';
import { AudioPath } from './audio-path.ts';
import { MediaProblems } from './media-problems.ts';
import type { MediaProblem, MediumActivity } from './media-problems.ts';
import type { MediaStats } from './media-stats.ts';
import {
  audioRemote,
  carriedMedia,
  expectedMedia,
  fillTypes,
  lineToSend,
  requireMedium,
  videoRemote,
} from './negotiated-media.ts';
import type { AgreedCodecs, NegotiatedMedia } from './negotiated-media.ts';
import { PeerSound } from './peer-sound.ts';
import type { ConnectAudio } from './peer-sound.ts';
import { VideoPath } from './video-path.ts';

/** A local RTP/RTCP port pair and the SSRC that we send with. */
export interface LocalMedia {
  readonly rtpPort: number;
  readonly rtcpPort: number;
  /** u32. */
  readonly ssrc: number;
}

/** What a session reports. */
export interface MediaSessionHandler {
  /** Bad input, counted by fault; `medium` and `source` are for a log line. May be called often. */
  onFault?(fault: string, medium: MediaKind, source: string): void;
  /** The peer pressed a key (RFC 4733): `0`–`9`, `*`, `#`, `A`–`D`. Once per key press. */
  onDigit?(digit: string): void;
  /** The peer sends before `start`: early media. Once for each medium. */
  onEarlyMedia?(): void;
  /** A key frame should be requested by SIP INFO (RFC 5168), which the call sends. */
  onKeyFrameByInfo?(): void;
  /** All other methods failed: a re-INVITE that changes nothing may bring a key frame. Every 30 s at most. */
  onKeyFrameByReinvite?(): void;
  /** The peer should send, and has not for the time-out. Once. */
  onInactive?(kind: 'rtp' | 'rtcp'): void;
  /** What is wrong with a medium that the peer should send has changed; null: all is well again. Once for each change. */
  onProblem?(medium: MediaKind, problem: MediaProblem | null): void;
  /** About once a second from `start` on. */
  onSecond?(): void;
  /** An output has thrown, and was removed. The others go on. */
  onOutputFailed?(error: unknown): void;
  /**
   * An encoder has failed (MediaError), the peer changed to media that cannot be carried (MediaError
   * `TRANSCODING_DISABLED`), or the media path hit a bug: end the call.
   */
  onFailure?(error: unknown): void;
}

/** One call's media. */
export interface MediaSession {
  /** What outputs are attached to. */
  readonly stream: StreamSource;
  readonly audio: LocalMedia;
  readonly video: LocalMedia;
  /**
   * Starts receiving, sending and the tags with the negotiated media. Once.
   * @throws MediaError `TRANSCODING_DISABLED` if the media need encoding and that is off; `INVALID_ARGUMENT` for an invalid
   * address; errors from opening encoders. Nothing has started then.
   */
  start(negotiated: NegotiatedMedia): void;
  /**
   * Applies a later negotiation (re-INVITE, UPDATE): codecs, payload types, addresses, directions, a medium added or removed.
   * Outputs, timestamps and counters continue.
   * @throws MediaError as `start`, without any change.
   */
  update(negotiated: NegotiatedMedia): void;
  /** The peer requested a key frame from us by SIP INFO. */
  onKeyFrameRequest(): void;
  /**
   * Sets what the peer hears instead of silence: frames of any codec, from `start` on. Replaces the previous source.
   * @param connect - Starts to push frames into the sink, and returns a function that stops it. Undefined: silence again.
   * @throws MediaError `NO_TRANSCODER` when frames need an encoder and there is none; `CLOSED`; `NOT_SENDING` when the peer
   * accepts no audio.
   */
  injectAudio(connect: ConnectAudio | undefined): void;
  /**
   * Plays a sound file to the peer, once, instead of everything else.
   * @throws MediaError as `injectAudio`.
   */
  playSound(path: string): void;
  /**
   * Sends digits by RFC 4733, one after the other; `,` is a pause. Resolves when they are sent or the session is closed.
   * @throws MediaError `INVALID_ARGUMENT` when the peer did not negotiate telephone-event.
   */
  sendDtmf(digits: string): Promise<void>;
  /** Figures so far. */
  stats(): MediaStats;
  /** Sends RTCP BYE, closes the sockets and returns the ports. Idempotent. */
  close(): Promise<void>;
}

/** Options of {@link openMediaSession}. */
export interface MediaSessionOptions {
  /** The pool of port pairs; share one between all sessions. */
  readonly portPool: PortPool;
  /** The 20 ms tick; share one between all sessions. */
  readonly ticker: TickSource;
  /** Local IP address to bind. */
  readonly bindAddress: string;
  /** May RTP and RTCP be sent to this address? Default: all may be. */
  readonly maySendTo?: (address: string) => boolean;
  /** RTCP CNAMEs, as in the offer. */
  readonly audioCname: string;
  readonly videoCname: string;
  /** How long to wait for a missing packet, or the bounds within which that adapts. Default 20–200 ms. */
  readonly jitterDelayMs?: number | DelayRange;
  /** The default form for outputs. Default: everything passes through. */
  readonly form?: OutputForm;
  /** Default: nothing is encoded. */
  readonly transcoders?: SessionTranscoders;
  /** Add a silent AAC track if only video was negotiated. Default false. */
  readonly silentAudio?: boolean;
  /** Milliseconds without a picture after which the last key frame is sent again; 0: never. Default 2,000. */
  readonly videoFreezeMs?: number;
  /** What happens to pictures after a loss. Default `wait`. */
  readonly videoLoss?: 'wait' | 'continue';
  /** Send black H.264 pictures if the peer accepts them. Default false. */
  readonly blackVideo?: boolean;
  /** Without RTP, or RTCP, for this long the peer counts as gone; 0: never. Default 0. */
  readonly rtpTimeoutMs?: number;
  readonly rtcpTimeoutMs?: number;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Unix milliseconds. */
  readonly wallClock: () => number;
  /** 0 ≤ n < 1. */
  readonly random: () => number;
}

/**
 * Binds two RTP/RTCP port pairs. Packets that arrive before `start` are kept, within limits.
 *
 * @throws MediaError (rejection) `NO_PORTS` or `SOCKET`; nothing stays bound then.
 */
export async function openMediaSession(
  options: MediaSessionOptions,
  handler: MediaSessionHandler = {},
): Promise<MediaSession> {
  const session = new RtpMediaSession(options, handler);
  await session.open();
  return session;
}

const DEFAULT_FORM: OutputForm = { audio: 'passthrough', video: 'passthrough' };
/** If nothing has arrived for this long, the stream starts with silence. */
const SILENCE_START_MS = 200;
const SECOND_MS = 1000;
const DEFAULT_FREEZE_MS = 2000;
/** Tolerance for phones that send key frames at the wanted interval on their own. */
const KEY_FRAME_GRACE_MS = 250;
/** After a change of payload types, packets with the former ones are still on their way. */
const FORMER_TYPES_MS = 2000;

/** The path of one medium. */
type Path = AudioPath | VideoPath;

interface EarlyPacket {
  readonly path: Path;
  readonly packet: RtpPacket;
}

class RtpMediaSession implements MediaSession {
  readonly stream: StreamHub;
  readonly #options: MediaSessionOptions;
  readonly #handler: MediaSessionHandler;
  readonly #audioSsrc: number;
  readonly #videoSsrc: number;
  #audioRtp!: RtpSession;
  #videoRtp!: RtpSession;
  readonly #clock = new StreamClock((kind, clockRateHz) => this.#onRate(kind, clockRateHz));
  readonly #audioPath: AudioPath;
  readonly #videoPath: VideoPath;
  readonly #peerSound: PeerSound;
  readonly #inactivity: Inactivity;
  readonly #problems = { audio: new MediaProblems('audio'), video: new MediaProblems('video') };
  #negotiated: NegotiatedMedia | undefined;
  /** Packets handed over while the sockets are being started. */
  #early: EarlyPacket[] | undefined;
  #startMs = 0;
  #secondMs = Number.NEGATIVE_INFINITY;
  /** Payload types of before the last change, until `#formerUntilMs`. */
  #formerAudio: ReadonlyMap<number, RtpCodec> | undefined;
  #formerVideo: ReadonlyMap<number, RtpCodec> | undefined;
  #formerUntilMs = 0;
  #closing: Promise<void> | undefined;

  constructor(options: MediaSessionOptions, handler: MediaSessionHandler) {
    this.#options = options;
    this.#handler = handler;
    const ssrc = (): number => Math.floor(options.random() * 0x1_0000_0000);
    this.#audioSsrc = ssrc();
    this.#videoSsrc = ssrc();
    const {
      form = DEFAULT_FORM,
      transcoders,
      silentAudio = false,
      videoFreezeMs = DEFAULT_FREEZE_MS,
      videoLoss = 'wait',
      jitterDelayMs,
    } = options;
    const clock = this.#clock;
    const hub = new StreamHub(
      { form, transcoders, silentAudio, videoFreezeMs, videoLoss },
      {
        requestKeyFrame: () => this.#requestKeyFrame(),
        setKeyFramePeriod: (everyMs) => this.#setKeyFramePeriod(everyMs),
        onFrozen: () => this.#videoPath.break(),
        onOutputFailed: (error) => handler.onOutputFailed?.(error),
        onFailure: (error) => handler.onFailure?.(error),
        figures: () => this.#figures(),
        finish: () => this.#finish(),
      },
    );
    this.stream = hub;
    const onCodec = (): void => hub.expect(this.#expectedOf(this.#negotiated!));
    this.#audioPath = new AudioPath(jitterDelayMs, {
      clock,
      hub,
      rtp: () => this.#audioRtp,
      onCodec,
      onDigit: (digit) => handler.onDigit?.(digit),
    });
    this.#videoPath = new VideoPath(
      { jitterDelayMs, videoLoss },
      { clock, hub, rtp: () => this.#videoRtp, onCodec },
    );
    this.#peerSound = new PeerSound(transcoders ?? {}, (fault) => {
      this.#audioPath.figures.count(fault);
      handler.onFault?.(fault, 'audio', 'local');
    });
    this.#inactivity = new Inactivity({
      rtpTimeoutMs: options.rtpTimeoutMs ?? 0,
      rtcpTimeoutMs: options.rtcpTimeoutMs ?? 0,
    });
  }

  get audio(): LocalMedia {
    return localMedia(this.#audioRtp, this.#audioSsrc);
  }

  get video(): LocalMedia {
    return localMedia(this.#videoRtp, this.#videoSsrc);
  }

  /** For {@link openMediaSession}. */
  async open(): Promise<void> {
    const { audioCname, videoCname } = this.#options;
    this.#audioRtp = await this.#openRtp('audio', this.#audioSsrc, audioCname);
    try {
      this.#videoRtp = await this.#openRtp('video', this.#videoSsrc, videoCname);
    } catch (error) {
      await this.#audioRtp.close();
      throw error;
    }
    this.#audioRtp.play(this.#peerSound);
  }

  #openRtp(kind: MediaKind, ssrc: number, cname: string): Promise<RtpSession> {
    const { portPool, ticker, bindAddress, now, wallClock, random, maySendTo } = this.#options;
    const path = kind === 'audio' ? this.#audioPath : this.#videoPath;
    return openRtpSession(
      {
        kind,
        ports: portPool,
        ticker,
        ssrc,
        cname,
        bindAddress,
        now,
        wallClock,
        random,
        ...(maySendTo && { maySendTo }),
      },
      {
        onPacket: (packet) => this.#onPacket(path, packet),
        onEarly: () => this.#handler.onEarlyMedia?.(),
        onSenderReport: (report, arrivalMs) =>
          this.#clock.sync.onSenderReport(kind, report, arrivalMs),
        onKeyFrameByInfo: () => this.#handler.onKeyFrameByInfo?.(),
        onKeyFrameByReinvite: () => this.#handler.onKeyFrameByReinvite?.(),
        onFault: (fault, address, port) =>
          this.#handler.onFault?.(fault, kind, `${address}:${port}`),
      },
    );
  }

  start(negotiated: NegotiatedMedia): void {
    if (this.#closing) throw new MediaError('CLOSED', 'The session is closed');
    if (this.#negotiated)
      throw new MediaError('INVALID_ARGUMENT', 'The session was started already');
    this.#startMs = this.#options.now();
    // Start the sockets last: they hand over early packets, which the paths of both media take in order of arrival.
    const early: EarlyPacket[] = [];
    this.#early = early;
    try {
      this.#apply(negotiated);
    } finally {
      this.#early = undefined;
    }
    early.sort((one, other) => one.packet.arrivalMs - other.packet.arrivalMs);
    for (const { path, packet } of early) this.#onPacket(path, packet);
    this.#options.ticker.add(this.#onTick);
  }

  update(negotiated: NegotiatedMedia): void {
    if (this.#closing) throw new MediaError('CLOSED', 'The session is closed');
    if (!this.#negotiated) throw new MediaError('INVALID_ARGUMENT', 'The session is not started');
    const wasSending = this.#negotiated.video?.receive === true;
    this.#formerAudio = new Map(this.#audioPath.payloadTypes);
    this.#formerVideo = new Map(this.#videoPath.payloadTypes);
    this.#formerUntilMs = this.#options.now() + FORMER_TYPES_MS;
    this.#apply(negotiated);
    // After a hold it is unknown what the peer's encoder refers to.
    if (!wasSending && negotiated.video?.receive) this.#videoRtp.requestKeyFrame();
  }

  /** Throws before anything has changed. */
  #apply(negotiated: NegotiatedMedia): void {
    const before = this.#negotiated;
    const { form = DEFAULT_FORM, transcoders } = this.#options;
    const carried = carriedMedia(
      negotiated,
      (codecs) => missingEncoder(form, codecs, transcoders) === undefined,
    );
    const { audio, video, held = false, signallingAddress } = carried;
    if (audio) requireMedium(audio);
    if (video) requireMedium(video);
    const expected = this.#expectedOf(carried);
    this.stream.expect(expected);
    this.#negotiated = carried;
    if (video?.parameterSets) this.#videoPath.setParameterSets(video.parameterSets);
    if (expected.audio) this.#audioPath.expect(expected.audio);
    this.#inactivity.expect(
      !held && (audio?.receive === true || video?.receive === true),
      this.#options.now(),
    );
    this.#videoPath.nack = video?.feedback.nack ?? false;
    const signalling = signallingAddress === undefined ? {} : { signallingAddress };
    const audioTypes = this.#audioPath.payloadTypes;
    const videoTypes = this.#videoPath.payloadTypes;
    fillTypes(audioTypes, audio, this.#formerAudio);
    fillTypes(videoTypes, video, this.#formerVideo);
    if (audio || before?.audio)
      this.#audioRtp.start({
        ...audioRemote(audio, before?.audio, audioTypes),
        ...signalling,
        held,
      });
    if (video || before?.video)
      this.#videoRtp.start({
        ...videoRemote(video, before?.video, videoTypes, this.#options.blackVideo),
        ...signalling,
        held,
      });
    this.#peerSound.use((audio && lineToSend(audio).codec) ?? null);
  }

  #expectedOf(negotiated: NegotiatedMedia): AgreedCodecs {
    return expectedMedia(negotiated, {
      audio: this.#audioPath.codec,
      video: this.#videoPath.codec,
    });
  }

  /** The hot path: from the RTP session of a medium to its path. */
  #onPacket(path: Path, packet: RtpPacket): void {
    if (this.#early !== undefined) {
      this.#early.push({ path, packet });
      return;
    }
    try {
      path.push(packet);
    } catch (error) {
      this.#handler.onFailure?.(error);
    }
  }

  /** The timestamps of a medium run at another rate than their clock. */
  #onRate(medium: MediaKind, clockRateHz: number): void {
    if (medium === 'audio') this.#audioPath.onRate(clockRateHz);
    const { figures } = medium === 'audio' ? this.#audioPath : this.#videoPath;
    figures.count('rtp-clock-rate');
    this.#handler.onFault?.(
      'rtp-clock-rate',
      medium,
      `timestamps of ${Math.round(clockRateHz)} Hz`,
    );
  }

  readonly #onTick = (nowMs: number): void => {
    try {
      this.#tick(nowMs);
    } catch (error) {
      this.#handler.onFailure?.(error);
    }
  };

  #tick(nowMs: number): void {
    this.#audioPath.tick(nowMs);
    this.#videoPath.tick(nowMs);
    if (nowMs - this.#startMs >= SILENCE_START_MS) this.#clock.begin(this.#startMs);
    if (this.#clock.hasBegun) {
      this.#audioPath.fill(nowMs);
      this.stream.tick(this.#clock.at(nowMs));
    }
    if (nowMs - this.#secondMs >= SECOND_MS) this.#everySecond(nowMs);
  }

  #everySecond(nowMs: number): void {
    this.#secondMs = nowMs;
    if (this.#formerAudio !== undefined && nowMs >= this.#formerUntilMs) this.#forgetFormerTypes();
    const audio = this.#audioRtp.stats;
    const video = this.#videoRtp.stats;
    this.#audioPath.figures.note(audio, nowMs);
    this.#videoPath.figures.note(video, nowMs);
    const gone = this.#inactivity.check(
      latest(audio.lastRtpMs, video.lastRtpMs),
      latest(audio.lastRtcpMs, video.lastRtcpMs),
      nowMs,
    );
    if (gone) this.#handler.onInactive?.(gone);
    this.#checkProblem('audio', this.#audioPath.activity(audio), nowMs);
    this.#checkProblem('video', this.#videoPath.activity(video), nowMs);
    this.#handler.onSecond?.();
  }

  #checkProblem(
    medium: MediaKind,
    activity: Omit<MediumActivity, 'expected' | 'heldOnAir'>,
    nowMs: number,
  ): void {
    const { held = false } = this.#negotiated!;
    const expected = !held && this.#negotiated![medium]?.receive === true;
    const heldOnAir =
      held && this.#negotiated![medium] !== undefined && this.stream.outputCount > 0;
    const problems = this.#problems[medium];
    if (!problems.check({ ...activity, expected, heldOnAir }, nowMs)) return;
    const { figures } = medium === 'audio' ? this.#audioPath : this.#videoPath;
    const { problem, sinceMs } = problems;
    figures.problem = problem;
    figures.problemSinceMs =
      sinceMs === null ? null : Math.round(this.#options.wallClock() - (nowMs - sinceMs));
    this.#handler.onProblem?.(medium, problem);
  }

  #forgetFormerTypes(): void {
    this.#formerAudio = undefined;
    this.#formerVideo = undefined;
    const { audio, video } = this.#negotiated ?? {};
    for (const [medium, path, rtp] of [
      [audio, this.#audioPath, this.#audioRtp],
      [video, this.#videoPath, this.#videoRtp],
    ] as const) {
      fillTypes(path.payloadTypes, medium);
      rtp.accept(path.payloadTypes);
    }
  }

  #requestKeyFrame(): void {
    if (this.#negotiated?.video) this.#videoRtp.requestKeyFrame();
  }

  #setKeyFramePeriod(everyMs: number | undefined): void {
    // A peer that keeps this interval on its own needs no requests.
    this.#videoRtp.requestEveryMs =
      everyMs === undefined ? undefined : everyMs + KEY_FRAME_GRACE_MS;
  }

  onKeyFrameRequest(): void {
    this.#videoRtp.sendKeyFrame();
  }

  injectAudio(connect: ConnectAudio | undefined): void {
    if (this.#closing) {
      if (!connect) return;
      throw new MediaError('CLOSED', 'The session is closed');
    }
    this.#peerSound.inject(connect);
  }

  playSound(path: string): void {
    if (this.#closing) throw new MediaError('CLOSED', 'The session is closed');
    this.#peerSound.playFile(path);
  }

  async sendDtmf(digits: string): Promise<void> {
    try {
      await this.#audioRtp.sendDigits(digits);
    } catch (error) {
      if (!(error instanceof MediaError && error.code === 'CLOSED')) throw error;
    }
  }

  #figures(): Omit<StreamFigures, 'width' | 'height'> {
    const audio = this.#audioPath;
    const video = this.#videoPath;
    const rates = [audio.figures.bitrateBps, video.figures.bitrateBps].filter(
      (rate) => rate !== null,
    );
    return {
      audioCodec: audio.codec,
      videoCodec: video.codec,
      fps: video.figures.fps,
      bitrateBps: rates.length === 0 ? null : rates.reduce((sum, rate) => sum + rate, 0),
    };
  }

  stats(): MediaStats {
    const { audio, video } = this.#negotiated ?? {};
    const encoders = this.stream.stats;
    const { filledMs } = this.#audioPath;
    return {
      audio: audio ? this.#audioPath.stats(this.#audioRtp.stats) : null,
      video: video ? this.#videoPath.stats(this.#videoRtp.stats) : null,
      avSkewMs: this.#clock.sync.skewMs,
      silenceInsertedMs:
        filledMs === undefined ? encoders.silenceMs || null : filledMs + encoders.silenceMs,
      audioTranscoder: encoders.audio,
      videoTranscoder: encoders.video,
    };
  }

  async #finish(): Promise<void> {
    this.#options.ticker.remove(this.#onTick);
    this.#peerSound.close();
    // Pictures after a gap are useless.
    if (this.#negotiated) this.#audioPath.flush();
    await this.#closeRtp();
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#options.ticker.remove(this.#onTick);
    this.#peerSound.close();
    // A reference to the session must not keep the last pictures alive.
    this.stream.close();
    await this.#closeRtp();
  }

  async #closeRtp(): Promise<void> {
    await Promise.all([this.#audioRtp.close(), this.#videoRtp.close()]);
  }
}

function localMedia(rtp: RtpSession, ssrc: number): LocalMedia {
  return { rtpPort: rtp.localPort, rtcpPort: rtp.localPort + 1, ssrc };
}

function latest(one: number | null, other: number | null): number | null {
  return one === null || other === null ? (one ?? other) : Math.max(one, other);
}
