// One call's media: RTP in, FLV tags out to any number of outputs. The wiring of the whole media path stands here.

import { AudioDepacketizer } from './depacketizer-audio.ts';
import { H264Depacketizer } from './depacketizer-h264.ts';
import type { RtpCodec } from './depacketizer.ts';
import { AudioTimeline } from './audio-timeline.ts';
import { MediaError } from './errors.ts';
import { FlvMuxer } from './flv.ts';
import type { AudioFrame, H264AccessUnit, MediaKind, RtpPacket } from './frame.ts';
import { JitterBuffer } from './jitter-buffer.ts';
import type { JitterGap } from './jitter-buffer.ts';
import { KeyFrameGate } from './key-frame-gate.ts';
import type { KeyFrameMethod } from './key-frame-requester.ts';
import { OutputSet } from './output-set.ts';
import type { StreamOutput } from './output-set.ts';
import type { AudioLine } from './packetizer-audio.ts';
import type { PortPool } from './port-pool.ts';
import { openRtpSession } from './rtp-session.ts';
import type { RtpSession, RtpSessionStats } from './rtp-session.ts';
import { SyncClock } from './sync-clock.ts';
import type { TickSource } from './ticker.ts';
import type { AudioTranscoder, AudioTranscoderStats, OpenAudioTranscoder } from './transcoder.ts';

/** One RTP/RTCP port pair of ours and the source that we send as. */
export interface LocalMedia {
  readonly rtpPort: number;
  readonly rtcpPort: number;
  /** u32. */
  readonly ssrc: number;
}

/** One medium as negotiated. */
export interface NegotiatedMedium {
  /** Where we send to, and expect from. */
  readonly address: string;
  readonly rtpPort: number;
  readonly rtcpAddress: string;
  readonly rtcpPort: number;
  /** The peer takes media from us, and we offered to send. */
  readonly send: boolean;
  /** Payload types on the wire, by codec. */
  readonly codecs: readonly {
    readonly payloadType: number;
    readonly codec: 'h264' | 'pcma' | 'pcmu';
  }[];
  /** RFC 4733 events, where negotiated. */
  readonly telephoneEventPayloadType?: number;
  /** Key-frame requests that the peer said it takes. */
  readonly feedback: { readonly pli: boolean; readonly fir: boolean };
  /** H.264 parameter sets from the session description. */
  readonly parameterSets?: readonly Uint8Array[];
}

/** What offer and answer have agreed on; an absent medium was refused. */
export interface NegotiatedMedia {
  readonly audio?: NegotiatedMedium;
  readonly video?: NegotiatedMedium;
}

/** What was measured of one received medium; `null` where nothing was. */
export interface ReceivedMediaStats {
  /** Codec of the last frame. */
  readonly codec: 'h264' | 'pcma' | 'pcmu' | null;
  readonly packets: number;
  readonly bytes: number;
  /** Packets that never came, by sequence numbers (RFC 3550 §6.4.1). */
  readonly lost: number;
  /** Share of packets lost, 0–1. */
  readonly lossRatio: number | null;
  /** Interarrival jitter (RFC 3550 §6.4.1) in milliseconds. */
  readonly jitterMs: number | null;
  readonly reordered: number;
  readonly duplicates: number;
  /** Received payload, averaged over the last seconds. */
  readonly bitrateBps: number | null;
  /** Packets dropped by name of their fault. */
  readonly faults: Readonly<Record<string, number>>;
}

/** What was measured of a session. */
export interface MediaStats {
  readonly audio: ReceivedMediaStats | null;
  readonly video:
    | (ReceivedMediaStats & {
        /** Pixels, from the sequence parameter set. */
        readonly width: number | null;
        readonly height: number | null;
        readonly fps: number | null;
        readonly frames: number;
        readonly keyFrames: number;
        /** Access units dropped since a part or the parameter sets were lost, or while a key frame was awaited. */
        readonly droppedFrames: number;
        /** Key-frame requests sent to the peer. */
        readonly keyFrameRequests: number;
      })
    | null;
  /** How much video runs behind audio by the peer's sender reports, or `null` while unknown. */
  readonly avSkewMs: number | null;
  /** Silence put into the audio, in milliseconds. */
  readonly silenceInsertedMs: number | null;
  /** The encoder of the audio; `null` where it passes through. */
  readonly audioTranscoder: AudioTranscoderStats | null;
}

/** What the owner of a session is told. */
export interface MediaSessionHandler {
  /** Bad input, counted by name; `medium` and `source` for a log line. May come often. */
  onFault?(fault: string, medium: MediaKind, source: string): void;
  /** The peer pressed a key (RFC 4733): `0`–`9`, `*`, `#`, `A`–`D`. Once per key press. */
  onDigit?(digit: string): void;
  /** The peer sends before `start`: early media, once for each medium. */
  onEarlyMedia?(): void;
  /** A bug of ours surfaced in the media path: the session's owner should end the call. */
  onFailure?(error: unknown): void;
}

/** One call's media. */
export interface MediaSession {
  readonly audio: LocalMedia;
  readonly video: LocalMedia;
  /** What was agreed on: receiving, sending and the tags begin. Once. */
  start(negotiated: NegotiatedMedia): void;
  /** From the next key frame on, which is asked for; metadata and sequence header go before it. */
  addOutput(output: StreamOutput): void;
  /** It gets nothing any more. */
  removeOutput(output: StreamOutput): void;
  /** Asks the peer for a key frame; throttled. */
  requestKeyFrame(): void;
  /**
   * Sends digits by RFC 4733, one after the other; `,` is a pause. Resolves when they are sent or the session closes.
   * @throws MediaError `INVALID_ARGUMENT` when the peer did not negotiate telephone-event.
   */
  sendDtmf(digits: string): Promise<void>;
  /** What was measured so far. */
  stats(): MediaStats;
  /** Says RTCP BYE, closes the sockets and frees the ports. Idempotent. */
  close(): Promise<void>;
}

/** Options of {@link openMediaSession}. */
export interface MediaSessionOptions {
  /** Where port pairs come from; shared by all sessions of a gateway. */
  readonly portPool: PortPool;
  /** The 20 ms beat; shared likewise. */
  readonly ticker: TickSource;
  /** Local IP address to bind. */
  readonly bindAddress: string;
  /** RTCP CNAMEs, as in the offer. */
  readonly audioCname: string;
  readonly videoCname: string;
  /** How long a missing packet is waited for. Default 60 ms. */
  readonly jitterDelayMs?: number;
  /** Makes AAC of the audio. Default: G.711 passes through. */
  readonly openAudioTranscoder?: OpenAudioTranscoder;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Unix milliseconds. */
  readonly wallClock: () => number;
  /** 0 ≤ n < 1. */
  readonly random: () => number;
}

/**
 * Binds two RTP/RTCP port pairs. Packets that come before `start` are kept, within bounds.
 *
 * @throws MediaError (rejection) `NO_PORTS` or `SOCKET`; nothing stays bound then.
 */
export async function openMediaSession(
  options: MediaSessionOptions,
  handler: MediaSessionHandler = {},
): Promise<MediaSession> {
  const session = new Session(options, handler);
  await session.open();
  return session;
}

/** Audio may be this much later than the jitter buffer's delay before silence takes its place. */
const AUDIO_GRACE_MS = 60;
/** When nothing at all has come for this long, silence begins without the peer. */
const SILENCE_START_MS = 200;
const RATE_PERIOD_MS = 1000;
const DEFAULT_JITTER_DELAY_MS = 60;
const CLOCK_RATE_HZ = { audio: 8000, video: 90_000 } as const;

interface EarlyPacket {
  readonly kind: MediaKind;
  readonly jitter: JitterBuffer;
  readonly packet: RtpPacket;
}

class Session implements MediaSession {
  readonly #options: MediaSessionOptions;
  readonly #handler: MediaSessionHandler;
  #audioRtp!: RtpSession;
  #videoRtp!: RtpSession;
  readonly #audioSsrc: number;
  readonly #videoSsrc: number;
  #negotiated: NegotiatedMedia | undefined;
  #closing: Promise<void> | undefined;

  // The media path, from the socket to the outputs; each stage holds its next one.
  readonly #clock = new SyncClock();
  readonly #outputs = new OutputSet(() => this.#muxer?.preamble ?? []);
  #muxer: FlvMuxer | undefined;
  readonly #audioTypes = new Map<number, RtpCodec>();
  readonly #videoGate = new KeyFrameGate(
    (unit) => this.#onVideoFrame(unit),
    () => this.#videoRtp.requestKeyFrame(),
  );
  readonly #video = new H264Depacketizer({
    onFrame: (unit) => this.#videoGate.push(unit),
    onBroken: (fault) => this.#onBrokenVideo(fault),
    onParameterSet: (nalu) => this.#muxer?.setParameterSets([nalu]),
  });
  readonly #audio = new AudioDepacketizer(this.#audioTypes, {
    onFrame: (frame) => this.#onAudioFrame(frame),
    onBroken: (fault) => count(this.#audioFaults, fault),
    onDigit: (digit) => this.#handler.onDigit?.(digit),
  });
  readonly #audioJitter: JitterBuffer;
  readonly #videoJitter: JitterBuffer;
  #timeline: AudioTimeline | undefined;
  #transcoder: AudioTranscoder | undefined;

  /** While the sockets are being started. */
  #early: EarlyPacket[] | undefined;
  /** Arrival time that is 0 of the stream's time, and of the clock's; NaN before. */
  #zeroMs = Number.NaN;
  #clockZeroMs = Number.NaN;
  #startMs = 0;
  readonly #audioFaults = new Map<string, number>();
  readonly #videoFaults = new Map<string, number>();
  #audioCodec: AudioFrame['codec'] | null = null;
  #frames = 0;
  #keyFrames = 0;
  #brokenFrames = 0;
  readonly #audioRate = new Rate();
  readonly #videoRate = new Rate();
  readonly #frameRate = new Rate();

  constructor(options: MediaSessionOptions, handler: MediaSessionHandler) {
    this.#options = options;
    this.#handler = handler;
    const ssrc = (): number => Math.floor(options.random() * 0x1_0000_0000);
    this.#audioSsrc = ssrc();
    this.#videoSsrc = ssrc();
    const delayMs = options.jitterDelayMs ?? DEFAULT_JITTER_DELAY_MS;
    this.#audioJitter = new JitterBuffer((packet) => this.#audio.push(packet), {
      delayMs,
      onGap: (cause) => this.#onGap('audio', cause),
    });
    this.#videoJitter = new JitterBuffer((packet) => this.#video.push(packet), {
      delayMs,
      onGap: (cause) => this.#onGap('video', cause),
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
    this.#audioRtp = await this.#openRtp(
      'audio',
      this.#audioJitter,
      this.#audioSsrc,
      this.#options.audioCname,
    );
    try {
      this.#videoRtp = await this.#openRtp(
        'video',
        this.#videoJitter,
        this.#videoSsrc,
        this.#options.videoCname,
      );
    } catch (error) {
      await this.#audioRtp.close();
      throw error;
    }
  }

  start(negotiated: NegotiatedMedia): void {
    if (this.#closing) throw new MediaError('CLOSED', 'The session is closed');
    if (this.#negotiated)
      throw new MediaError('INVALID_ARGUMENT', 'The session was started already');
    this.#negotiated = negotiated;
    this.#startMs = this.#options.now();
    const { audio, video } = negotiated;
    const audioCodec = audio ? firstAudioCodec(audio) : null;
    const transcodes = audioCodec !== null && this.#options.openAudioTranscoder !== undefined;
    this.#muxer = new FlvMuxer(
      { audioCodec: transcodes ? 'aac' : audioCodec, hasVideo: video !== undefined },
      this.#outputs.push,
    );
    if (transcodes) this.#transcoder = this.#openTranscoder();
    if (video?.parameterSets) this.#muxer.setParameterSets(video.parameterSets);
    this.#outputs.expectVideo(video !== undefined);
    if (audioCodec !== null) {
      const delayMs = (this.#options.jitterDelayMs ?? DEFAULT_JITTER_DELAY_MS) + AUDIO_GRACE_MS;
      this.#timeline = new AudioTimeline(this.#audioSink(), {
        codec: audioCodec,
        delayMs,
      });
    }
    // The sockets last: they hand over what came early, which both media's stages then take in order of arrival.
    const early: EarlyPacket[] = [];
    this.#early = early;
    if (audio) {
      for (const [payloadType, codec] of payloadTypes(audio))
        this.#audioTypes.set(payloadType, codec);
      this.#audioRtp.start({
        ...remote(audio),
        payloadTypes: this.#audioTypes,
        send: lineToSend(audio),
      });
    }
    if (video) {
      this.#videoRtp.start({
        ...remote(video),
        payloadTypes: payloadTypes(video),
        keyFrameMethods: keyFrameLadder(video),
      });
    }
    this.#early = undefined;
    early.sort((one, other) => one.packet.arrivalMs - other.packet.arrivalMs);
    for (const { kind, jitter, packet } of early) this.#onPacket(kind, jitter, packet);
    this.#options.ticker.add(this.#onTick);
  }

  addOutput(output: StreamOutput): void {
    this.#outputs.add(output);
    if (this.#negotiated?.video) this.#videoRtp.requestKeyFrame();
  }

  removeOutput(output: StreamOutput): void {
    this.#outputs.remove(output);
  }

  requestKeyFrame(): void {
    if (this.#negotiated?.video) this.#videoRtp.requestKeyFrame();
  }

  async sendDtmf(digits: string): Promise<void> {
    try {
      await this.#audioRtp.sendDigits(digits);
    } catch (error) {
      if (!(error instanceof MediaError && error.code === 'CLOSED')) throw error;
    }
  }

  stats(): MediaStats {
    const { audio, video } = this.#negotiated ?? {};
    const format = this.#muxer?.video;
    return {
      audio: audio
        ? receivedStats(this.#audioRtp.stats, this.#audioFaults, this.#audioRate, this.#audioCodec)
        : null,
      video: video
        ? {
            ...receivedStats(
              this.#videoRtp.stats,
              this.#videoFaults,
              this.#videoRate,
              this.#frames > 0 ? 'h264' : null,
            ),
            width: format?.width ?? null,
            height: format?.height ?? null,
            fps: this.#frameRate.perSecond,
            frames: this.#frames,
            keyFrames: this.#keyFrames,
            droppedFrames:
              this.#brokenFrames +
              this.#videoGate.dropped +
              (this.#muxer?.framesWithoutParameterSets ?? 0),
            keyFrameRequests: this.#videoRtp.stats.pliSent + this.#videoRtp.stats.firSent,
          }
        : null,
      avSkewMs: this.#clock.skewMs,
      silenceInsertedMs: this.#timeline?.stats.filledMs ?? null,
      audioTranscoder: this.#transcoder?.stats ?? null,
    };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#options.ticker.remove(this.#onTick);
    this.#transcoder?.close();
    // Whoever still holds the session shall not hold the last pictures with it.
    this.#outputs.clear();
    await Promise.all([this.#audioRtp.close(), this.#videoRtp.close()]);
  }

  /** Where gap-free audio goes: into the muxer, or through the transcoder. */
  #audioSink(): (frame: AudioFrame, timeMs: number) => void {
    const transcoder = this.#transcoder;
    if (transcoder) return (frame, timeMs) => transcoder.push(frame, timeMs);
    return (frame, timeMs) => this.#muxer?.push(frame, timeMs);
  }

  #openTranscoder(): AudioTranscoder | undefined {
    return this.#options.openAudioTranscoder?.({
      onFormat: (format) => this.#muxer?.setAacFormat(format),
      onFrame: (frame, timeMs) => this.#muxer?.pushAac(frame, timeMs),
      onFailed: (error) => this.#handler.onFailure?.(error),
    });
  }

  #openRtp(
    kind: MediaKind,
    jitter: JitterBuffer,
    ssrc: number,
    cname: string,
  ): Promise<RtpSession> {
    const { portPool, ticker, bindAddress, now, wallClock, random } = this.#options;
    return openRtpSession(
      { kind, ports: portPool, ticker, ssrc, cname, bindAddress, now, wallClock, random },
      {
        onPacket: (packet) => this.#onPacket(kind, jitter, packet),
        onEarly: () => this.#handler.onEarlyMedia?.(),
        onSenderReport: (report, arrivalMs) => this.#clock.onSenderReport(kind, report, arrivalMs),
        onFault: (fault, address, port) =>
          this.#handler.onFault?.(fault, kind, `${address}:${port}`),
      },
    );
  }

  #onPacket(kind: MediaKind, jitter: JitterBuffer, packet: RtpPacket): void {
    if (this.#early !== undefined) {
      this.#early.push({ kind, jitter, packet });
      return;
    }
    if (Number.isNaN(this.#clockZeroMs)) {
      this.#clockZeroMs = packet.arrivalMs;
      if (Number.isNaN(this.#zeroMs)) this.#zeroMs = packet.arrivalMs;
    }
    if (kind === 'video' && this.#frames === 0) this.#videoRtp.requestKeyFrame();
    try {
      jitter.push(packet);
    } catch (error) {
      this.#handler.onFailure?.(error);
    }
  }

  /** The depacketizers notice losses themselves; a new source begins a new line of timestamps. */
  #onGap(kind: MediaKind, cause: JitterGap): void {
    if (cause === 'ssrc') this.#clock.reset(kind);
  }

  /** Milliseconds on the stream's time base of a frame. */
  #timeOf(
    kind: MediaKind,
    frame: { readonly rtpTimestamp: number; readonly arrivalMs: number },
  ): number {
    const onClockMs = this.#clock.mediaTimeMs(kind, frame.rtpTimestamp, frame.arrivalMs);
    return Math.max(0, onClockMs + this.#clockZeroMs - this.#zeroMs);
  }

  #onAudioFrame(frame: AudioFrame): void {
    this.#audioCodec = frame.codec;
    this.#timeline?.push(frame, this.#timeOf('audio', frame));
  }

  #onVideoFrame(unit: H264AccessUnit): void {
    this.#frames++;
    if (unit.isKeyFrame) this.#keyFrames++;
    this.#muxer?.push(unit, this.#timeOf('video', unit));
    // No decoder can begin with one whose parameter sets were lost: the next may bring them.
    if (unit.isKeyFrame && this.#muxer?.video) this.#videoRtp.keyFrameArrived();
  }

  #onBrokenVideo(fault: string): void {
    this.#brokenFrames++;
    count(this.#videoFaults, fault);
    this.#videoGate.break();
  }

  readonly #onTick = (nowMs: number): void => {
    try {
      this.#tick(nowMs);
    } catch (error) {
      this.#handler.onFailure?.(error);
    }
  };

  #tick(nowMs: number): void {
    this.#audioJitter.expire(nowMs);
    this.#videoJitter.expire(nowMs);
    if (Number.isNaN(this.#zeroMs) && nowMs - this.#startMs >= SILENCE_START_MS)
      this.#zeroMs = this.#startMs;
    if (!Number.isNaN(this.#zeroMs)) this.#timeline?.tick(nowMs - this.#zeroMs, nowMs);
    if (nowMs - this.#videoRate.sinceMs < RATE_PERIOD_MS) return;
    this.#audioRate.note(this.#audioRtp.stats.bytes * 8, nowMs);
    this.#videoRate.note(this.#videoRtp.stats.bytes * 8, nowMs);
    this.#frameRate.note(this.#frames, nowMs);
  }
}

/** How fast a counter grows, over the last period. */
class Rate {
  sinceMs = Number.NEGATIVE_INFINITY;
  #count = 0;
  /** `null` before the end of the first period. */
  perSecond: number | null = null;

  note(counter: number, nowMs: number): void {
    if (Number.isFinite(this.sinceMs))
      this.perSecond = ((counter - this.#count) * 1000) / (nowMs - this.sinceMs);
    this.sinceMs = nowMs;
    this.#count = counter;
  }
}

function count(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

function localMedia(rtp: RtpSession, ssrc: number): LocalMedia {
  return { rtpPort: rtp.localPort, rtcpPort: rtp.localPort + 1, ssrc };
}

function firstAudioCodec(medium: NegotiatedMedium): AudioFrame['codec'] | null {
  for (const { codec } of medium.codecs) if (codec !== 'h264') return codec;
  return null;
}

function payloadTypes(medium: NegotiatedMedium): Map<number, RtpCodec> {
  const types = new Map<number, RtpCodec>();
  for (const { payloadType, codec } of medium.codecs) {
    types.set(payloadType, {
      codec,
      clockRateHz: CLOCK_RATE_HZ[codec === 'h264' ? 'video' : 'audio'],
    });
  }
  const events = medium.telephoneEventPayloadType;
  if (events !== undefined)
    types.set(events, { codec: 'telephone-event', clockRateHz: CLOCK_RATE_HZ.audio });
  return types;
}

function remote(medium: NegotiatedMedium): {
  address: string;
  port: number;
  rtcpAddress: string;
  rtcpPort: number;
} {
  const { address, rtpPort, rtcpAddress, rtcpPort } = medium;
  return { address, port: rtpPort, rtcpAddress, rtcpPort };
}

/** Silence in the peer's first codec keeps softphones from dropping the call; in recvonly only RTCP is sent. */
function lineToSend(medium: NegotiatedMedium): AudioLine {
  const first = medium.codecs.find(({ codec }) => codec !== 'h264');
  if (!medium.send || !first || first.codec === 'h264') return {};
  const events = medium.telephoneEventPayloadType;
  return {
    codec: first.codec,
    payloadType: first.payloadType,
    ...(events === undefined ? {} : { eventPayloadType: events }),
  };
}

/** PLI, then FIR; a peer that named only FIR gets that first. Peers that named neither often understand both. */
function keyFrameLadder({ feedback }: NegotiatedMedium): readonly KeyFrameMethod[] {
  return feedback.fir && !feedback.pli ? ['fir', 'pli'] : ['pli', 'fir'];
}

function receivedStats<Codec extends string>(
  rtp: RtpSessionStats,
  faults: ReadonlyMap<string, number>,
  rate: Rate,
  codec: Codec | null,
): Omit<ReceivedMediaStats, 'codec'> & { codec: Codec | null } {
  const { packets, bytes, lost, jitterMs, reordered, duplicates } = rtp;
  return {
    codec,
    packets,
    bytes,
    lost,
    lossRatio: packets + lost === 0 ? null : lost / (packets + lost),
    jitterMs: packets === 0 ? null : jitterMs,
    reordered,
    duplicates,
    bitrateBps: rate.perSecond,
    faults: { ...rtp.faults, ...Object.fromEntries(faults) },
  };
}
