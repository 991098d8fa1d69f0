// One call's media: RTP in, FLV tags out to any number of outputs. The wiring of the whole media path stands here.

import { ArrivalDelay } from '../sync/arrival-delay.ts';
import { AudioTimeline } from '../sync/audio-timeline.ts';
import { CodecChanges } from '../sync/codec-changes.ts';
import { AUDIO_CODECS } from '../codec/codec.ts';
import type { AudioCodec, VideoCodec } from '../codec/codec.ts';
import { DecodeTimestamps } from '../sync/decode-timestamps.ts';
import { AudioDepacketizer } from '../rtp/audio-depacketizer.ts';
import { H264Depacketizer } from '../rtp/h264-depacketizer.ts';
import { Vp8Depacketizer } from '../rtp/vp8-depacketizer.ts';
import type { RtpCodec } from '../rtp/depacketizer.ts';
import { MediaError } from '../errors.ts';
import type {
  AudioFrame,
  MediaKind,
  RtpPacket,
  Sink,
  StreamAudio,
  StreamVideo,
  VideoFrame,
} from '../codec/frame.ts';
import { FrameTaps } from '../output/frame-taps.ts';
import { Inactivity } from '../sync/inactivity.ts';
import type { JitterGap } from '../rtp/jitter-buffer.ts';
import { KeyFrameGate } from '../sync/key-frame-gate.ts';
import { KeyFrameWishes } from '../output/key-frame-wishes.ts';
import type {
  LocalMedia,
  MediaSession,
  MediaSessionHandler,
  MediaSessionOptions,
  MediaStats,
  NegotiatedMedia,
} from './media-contract.ts';
import type { Output, OutputContents } from '../output/output.ts';
import {
  audioRemote,
  expectedMedia,
  fillTypes,
  lineToSend,
  requireMedium,
  videoRemote,
} from './negotiated-media.ts';
import type { AgreedCodecs } from './negotiated-media.ts';
import { PeerSound } from './peer-sound.ts';
import type { ConnectAudio } from './peer-sound.ts';
import { ReceivedFigures, VideoFigures } from './received-stats.ts';
import { ReceptionLine } from '../rtp/reception-line.ts';
import type { OutputForm } from '../output/output-form.ts';
import { RenditionSet } from '../output/rendition-set.ts';
import { openRtpSession } from '../rtp/rtp-session.ts';
import type { RtpSession } from '../rtp/rtp-session.ts';
import type { StreamFigures } from '../output/stream-source.ts';
import { SyncClock } from '../sync/sync-clock.ts';

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

const DEFAULT_FORM: OutputForm = { audio: 'passthrough', video: 'passthrough' };
/** Audio may be this much later than it was seen to be before silence takes its place: encoders and beats. */
const AUDIO_GRACE_MS = 60;
/** When nothing at all has come for this long, silence begins without the peer. */
const SILENCE_START_MS = 200;
/** What comes late for longer is not the backlog of a stall, which drains faster: its line of timestamps has moved. */
const MAX_LATE_MS = 500;
const SECOND_MS = 1000;
const DEFAULT_FREEZE_MS = 2000;
/** Phones that send a key frame as often as wanted do so give or take this. */
const KEY_FRAME_GRACE_MS = 250;

interface EarlyPacket {
  readonly kind: MediaKind;
  readonly packet: RtpPacket;
}

class Session implements MediaSession {
  readonly #options: MediaSessionOptions;
  readonly #handler: MediaSessionHandler;
  readonly form: OutputForm;
  #audioRtp!: RtpSession;
  #videoRtp!: RtpSession;
  readonly #audioSsrc: number;
  readonly #videoSsrc: number;
  #negotiated: NegotiatedMedia | undefined;
  #closing: Promise<void> | undefined;

  // The media path, from the socket to the renditions; each stage holds its next one.
  readonly #clock = new SyncClock();
  readonly #decodeTimes = new DecodeTimestamps();
  readonly #renditions: RenditionSet;
  readonly #taps = new FrameTaps();
  readonly #keyFrameWishes = new KeyFrameWishes((leastMs) => {
    // A peer that keeps to that by itself is not asked beside it.
    this.#videoRtp.requestEveryMs =
      leastMs === undefined ? undefined : leastMs + KEY_FRAME_GRACE_MS;
  });
  readonly #audioTypes = new Map<number, RtpCodec>();
  readonly #videoTypes = new Map<number, RtpCodec>();
  readonly #videoGate: KeyFrameGate;
  readonly #h264 = new H264Depacketizer({
    onFrame: (unit) => this.#videoGate.push(unit),
    onBroken: (fault) => this.#onBrokenVideo(fault),
    onParameterSet: (nalu) => this.#onParameterSets([nalu]),
  });
  readonly #vp8 = new Vp8Depacketizer({
    onFrame: (frame) => this.#videoGate.push(frame),
    onBroken: (fault) => this.#onBrokenVideo(fault),
  });
  readonly #audio = new AudioDepacketizer(this.#audioTypes, {
    onFrame: (frame) => this.#onAudioFrame(frame),
    onBroken: (fault) => this.#audioFigures.count(fault),
    onDigit: (digit) => this.#handler.onDigit?.(digit),
  });
  readonly #audioLine: ReceptionLine;
  readonly #videoLine: ReceptionLine;
  #arrivalDelay = new ArrivalDelay(AUDIO_CODECS.pcma.clockRateHz);
  #timeline: AudioTimeline | undefined;
  readonly #peerSound: PeerSound;
  readonly #inactivity: Inactivity;

  /** While the sockets are being started. */
  #early: EarlyPacket[] | undefined;
  /** Arrival time that is 0 of the stream's time; NaN before. */
  #zeroMs = Number.NaN;
  #startMs = 0;
  readonly #audioFigures = new ReceivedFigures<AudioCodec>();
  readonly #videoFigures = new VideoFigures();
  readonly #audioCodec = new CodecChanges<AudioCodec>();
  readonly #videoCodec = new CodecChanges<VideoCodec>();
  #secondMs = Number.NEGATIVE_INFINITY;

  constructor(options: MediaSessionOptions, handler: MediaSessionHandler) {
    this.#options = options;
    this.#handler = handler;
    this.form = options.form ?? DEFAULT_FORM;
    const ssrc = (): number => Math.floor(options.random() * 0x1_0000_0000);
    this.#audioSsrc = ssrc();
    this.#videoSsrc = ssrc();
    this.#videoGate = new KeyFrameGate(
      (frame) => this.#onVideoFrame(frame),
      () => this.#videoRtp.requestKeyFrame(),
      { afterLoss: options.videoLoss ?? 'wait' },
    );
    const delayMs = options.jitterDelayMs;
    this.#audioLine = new ReceptionLine((packet) => this.#audio.push(packet), {
      ...(delayMs !== undefined && { delayMs }),
      onGap: (cause) => this.#onGap('audio', cause),
    });
    this.#videoLine = new ReceptionLine((packet) => this.#onVideoPacket(packet), {
      ...(delayMs !== undefined && { delayMs }),
      onGap: (cause) => this.#onGap('video', cause),
      sendNack: (lost) => this.#videoRtp.sendNack(lost),
    });
    this.#peerSound = new PeerSound(options.transcoders ?? {}, (fault) => {
      this.#audioFigures.count(fault);
      this.#handler.onFault?.(fault, 'audio', 'local');
    });
    this.#inactivity = new Inactivity({
      rtpTimeoutMs: options.rtpTimeoutMs ?? 0,
      rtcpTimeoutMs: options.rtcpTimeoutMs ?? 0,
    });
    const { transcoders, silentAudio = false, videoFreezeMs = DEFAULT_FREEZE_MS } = options;
    const videoLoss = options.videoLoss ?? 'wait';
    this.#renditions = new RenditionSet(
      this.form,
      { transcoders, silentAudio, videoFreezeMs, videoLoss },
      {
        onKeyFrameWanted: () => this.requestKeyFrame(),
        onFrozen: () => this.#videoGate.break(),
        onFailure: (error) => this.#handler.onFailure?.(error),
      },
    );
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

  start(negotiated: NegotiatedMedia): void {
    if (this.#closing) throw new MediaError('CLOSED', 'The session is closed');
    if (this.#negotiated)
      throw new MediaError('INVALID_ARGUMENT', 'The session was started already');
    this.#startMs = this.#options.now();
    // The sockets last: they hand over what came early, which both media's stages then take in order of arrival.
    const early: EarlyPacket[] = [];
    this.#early = early;
    try {
      this.#apply(negotiated);
    } finally {
      this.#early = undefined;
    }
    early.sort((one, other) => one.packet.arrivalMs - other.packet.arrivalMs);
    for (const { kind, packet } of early) this.#onPacket(kind, packet);
    this.#options.ticker.add(this.#onTick);
  }

  update(negotiated: NegotiatedMedia): void {
    if (this.#closing) throw new MediaError('CLOSED', 'The session is closed');
    if (!this.#negotiated) throw new MediaError('INVALID_ARGUMENT', 'The session is not started');
    const wasSending = this.#negotiated.video?.receive === true;
    this.#apply(negotiated);
    // After a hold nobody knows what the peer's encoder refers to.
    if (!wasSending && negotiated.video?.receive) this.#videoRtp.requestKeyFrame();
  }

  prepare(form: OutputForm, onFailed?: (error: unknown) => void): () => void {
    if (this.#closing) throw new MediaError('CLOSED', 'The session is closed');
    return this.#renditions.of(form).hold(onFailed);
  }

  addOutput(output: Output, form: OutputForm = this.form): void {
    this.#renditions.of(form).add(output);
    this.requestKeyFrame();
  }

  removeOutput(output: Output): void {
    this.#renditions.remove(output);
  }

  contents(form: OutputForm): OutputContents {
    return this.#renditions.of(form).contents;
  }

  requestKeyFrame(): void {
    if (this.#negotiated?.video) this.#videoRtp.requestKeyFrame();
  }

  onKeyFrameRequest(): void {
    this.#videoRtp.sendKeyFrame();
  }

  pictureSize(form: OutputForm): { width: number; height: number } | null {
    return this.#renditions.videoOf(form) ?? null;
  }

  wantKeyFrames(everyMs: number): () => void {
    return this.#keyFrameWishes.add(everyMs);
  }

  tapAudio(sink: Sink<StreamAudio>): () => void {
    return this.#taps.addAudio(sink);
  }

  tapVideo(sink: Sink<StreamVideo>): () => void {
    return this.#taps.addVideo(sink);
  }

  figures(): StreamFigures {
    const { width = null, height = null } = this.#renditions.video ?? {};
    const rates = [this.#audioFigures.bitrateBps, this.#videoFigures.bitrateBps].filter(
      (rate) => rate !== null,
    );
    return {
      audioCodec: this.#audioCodec.codec,
      videoCodec: this.#videoCodec.codec,
      width,
      height,
      fps: this.#videoFigures.fps,
      bitrateBps: rates.length === 0 ? null : rates.reduce((sum, rate) => sum + rate, 0),
    };
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

  stats(): MediaStats {
    const { audio, video } = this.#negotiated ?? {};
    const encoders = this.#renditions.stats;
    const audioRtp = this.#audioRtp.stats;
    const videoRtp = this.#videoRtp.stats;
    const audioFigures = this.#audioFigures;
    const videoFigures = this.#videoFigures;
    return {
      audio: audio ? audioFigures.stats(audioRtp, this.#audioLine, this.#audioCodec.codec) : null,
      video: video
        ? videoFigures.videoStats(videoRtp, this.#videoLine, this.#videoCodec.codec, {
            size: this.#renditions.video,
            dropped: this.#videoGate.dropped + encoders.framesWithoutParameterSets,
            frozenFrames: encoders.frozenFrames,
          })
        : null,
      avSkewMs: this.#clock.skewMs,
      silenceInsertedMs: this.#timeline
        ? this.#timeline.stats.filledMs + encoders.silenceMs
        : encoders.silenceMs || null,
      audioTranscoder: encoders.audio,
      videoTranscoder: encoders.video,
    };
  }

  async finish(): Promise<void> {
    this.#options.ticker.remove(this.#onTick);
    this.#peerSound.close();
    // What waits behind a hole is sound all the same. Pictures behind one are of no use.
    if (this.#negotiated) this.#audioLine.reset();
    await Promise.all([this.#closeRtp(), this.#renditions.finish()]);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#options.ticker.remove(this.#onTick);
    this.#peerSound.close();
    this.#taps.clear();
    // Whoever still holds the session shall not hold the last pictures with it.
    this.#renditions.close();
    await this.#closeRtp();
  }

  async #closeRtp(): Promise<void> {
    await Promise.all([this.#audioRtp.close(), this.#videoRtp.close()]);
  }

  /** Throws before anything has changed. */
  #apply(negotiated: NegotiatedMedia): void {
    const before = this.#negotiated;
    const { audio, video } = negotiated;
    if (audio) requireMedium(audio);
    if (video) requireMedium(video);
    const expected = this.#expectedOf(negotiated);
    this.#renditions.expect(expected);
    this.#negotiated = negotiated;
    if (video?.parameterSets) this.#onParameterSets(video.parameterSets);
    if (expected.audio) this.#expectAudio(expected.audio);
    this.#inactivity.expect(
      !negotiated.held && (audio?.receive === true || video?.receive === true),
      this.#options.now(),
    );
    this.#videoLine.nack = video?.feedback.nack ?? false;
    const { signallingAddress } = negotiated;
    const signalling = signallingAddress === undefined ? {} : { signallingAddress };
    fillTypes(this.#audioTypes, audio);
    fillTypes(this.#videoTypes, video);
    if (audio || before?.audio)
      this.#audioRtp.start({
        ...audioRemote(audio, before?.audio, this.#audioTypes),
        ...signalling,
      });
    if (video || before?.video)
      this.#videoRtp.start({
        ...videoRemote(video, before?.video, this.#videoTypes, this.#options.blackVideo),
        ...signalling,
      });
    this.#peerSound.use((audio && lineToSend(audio).codec) ?? null);
  }

  #expectedOf(negotiated: NegotiatedMedia): AgreedCodecs {
    return expectedMedia(negotiated, {
      audio: this.#audioCodec.codec,
      video: this.#videoCodec.codec,
    });
  }

  #expectAudio(codec: AudioCodec): void {
    this.#timeline ??= new AudioTimeline((frame, timeMs) => this.#onTimedAudio(frame, timeMs), {
      codec,
      delayMs: this.#audioLine.delayMs + AUDIO_GRACE_MS,
    });
    this.#timeline.expect(codec);
    if (this.#audioCodec.codec === null) this.#setAudioClock(codec);
  }

  #setAudioClock(codec: AudioCodec): void {
    const { clockRateHz } = AUDIO_CODECS[codec];
    this.#clock.setClockRate('audio', clockRateHz);
    this.#arrivalDelay = new ArrivalDelay(clockRateHz);
  }

  #openRtp(kind: MediaKind, ssrc: number, cname: string): Promise<RtpSession> {
    const { portPool, ticker, bindAddress, now, wallClock, random, maySendTo } = this.#options;
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
        onPacket: (packet) => this.#onPacket(kind, packet),
        onEarly: () => this.#handler.onEarlyMedia?.(),
        onSenderReport: (report, arrivalMs) => this.#clock.onSenderReport(kind, report, arrivalMs),
        onKeyFrameByInfo: () => this.#handler.onKeyFrameByInfo?.(),
        onKeyFrameByReinvite: () => this.#handler.onKeyFrameByReinvite?.(),
        onFault: (fault, address, port) =>
          this.#handler.onFault?.(fault, kind, `${address}:${port}`),
      },
    );
  }

  #onPacket(kind: MediaKind, packet: RtpPacket): void {
    if (this.#early !== undefined) {
      this.#early.push({ kind, packet });
      return;
    }
    if (Number.isNaN(this.#zeroMs)) this.#zeroMs = packet.arrivalMs;
    try {
      if (kind === 'audio') {
        this.#arrivalDelay.push(packet);
        this.#audioLine.push(packet);
      } else {
        if (this.#videoFigures.frames === 0) this.#videoRtp.requestKeyFrame();
        this.#videoLine.push(packet);
      }
    } catch (error) {
      this.#handler.onFailure?.(error);
    }
  }

  #onVideoPacket(packet: RtpPacket): void {
    const codec = this.#videoTypes.get(packet.payloadType)?.codec;
    if (codec === 'h264') this.#h264.push(packet);
    else if (codec === 'vp8') this.#vp8.push(packet);
  }

  /** The depacketizers notice losses themselves; a new source begins a new line of timestamps. */
  #onGap(kind: MediaKind, cause: JitterGap): void {
    if (cause !== 'ssrc') return;
    this.#clock.reset(kind);
    if (kind === 'audio') return;
    this.#decodeTimes.reset();
    this.#videoGate.break();
  }

  /** Milliseconds on the stream's time base, which may have begun long before the first frame. */
  #streamTime(mediaTimeMs: number): number {
    return Math.max(0, mediaTimeMs + this.#clock.originMs - this.#zeroMs);
  }

  #onAudioFrame(frame: AudioFrame): void {
    if (frame.codec !== this.#audioCodec.codec && !this.#onAudioCodec(frame)) return;
    const mediaTimeMs = this.#clock.mediaTimeMs('audio', frame.rtpTimestamp, frame.arrivalMs);
    const timeline = this.#timeline!;
    timeline.push(frame, this.#streamTime(mediaTimeMs));
    if (timeline.lateForMs >= MAX_LATE_MS) this.#clock.reset('audio');
  }

  /** The peer may change between negotiated codecs at any time (RFC 3264 §5.1). Is it followed? */
  #onAudioCodec({ codec, arrivalMs }: AudioFrame): boolean {
    const negotiated = this.#negotiated!;
    const before = this.#audioCodec.codec ?? expectedMedia(negotiated).audio ?? codec;
    if (!this.#audioCodec.take(codec, arrivalMs)) {
      this.#audioFigures.count('audio-codec-change');
      return false;
    }
    if (AUDIO_CODECS[codec].clockRateHz !== AUDIO_CODECS[before].clockRateHz)
      this.#setAudioClock(codec);
    this.#renditions.expect(this.#expectedOf(negotiated));
    return true;
  }

  #onVideoCodec({ codec, arrivalMs }: VideoFrame): boolean {
    if (!this.#videoCodec.take(codec, arrivalMs)) {
      this.#onBrokenVideo('video-codec-change');
      return false;
    }
    this.#renditions.expect(this.#expectedOf(this.#negotiated!));
    return true;
  }

  #onTimedAudio(frame: AudioFrame, timeMs: number): void {
    this.#renditions.pushAudio(frame, timeMs);
    this.#taps.pushAudio(frame, timeMs);
  }

  #onVideoFrame(frame: VideoFrame): void {
    if (frame.codec !== this.#videoCodec.codec && !this.#onVideoCodec(frame)) return;
    this.#videoFigures.frames++;
    if (frame.isKeyFrame) {
      this.#videoFigures.keyFrames++;
      // No decoder can begin with one whose parameter sets were lost: the next may bring them.
      if (frame.codec === 'vp8' || this.#renditions.parameterSets.complete)
        this.#videoRtp.keyFrameArrived();
    }
    const shownMs = this.#streamTime(
      this.#clock.presentationTimeMs('video', frame.rtpTimestamp, frame.arrivalMs),
    );
    const decodedMs = this.#decodeTimes.push(shownMs, frame.isKeyFrame);
    const { compositionMs } = this.#decodeTimes;
    this.#renditions.pushVideo(frame, decodedMs, compositionMs);
    this.#taps.pushVideo(frame, decodedMs, compositionMs);
  }

  #onBrokenVideo(fault: string): void {
    this.#videoFigures.countBroken(fault);
    this.#videoGate.break();
  }

  #onParameterSets(nalus: readonly Uint8Array[]): void {
    this.#renditions.setParameterSets(nalus);
    this.#decodeTimes.setReorderFrames(this.#renditions.parameterSets.maxReorderFrames);
  }

  readonly #onTick = (nowMs: number): void => {
    try {
      this.#tick(nowMs);
    } catch (error) {
      this.#handler.onFailure?.(error);
    }
  };

  #tick(nowMs: number): void {
    this.#audioLine.tick(nowMs, this.#audioRtp.jitterMs, this.#audioRtp.roundTripMs);
    this.#videoLine.tick(nowMs, this.#videoRtp.jitterMs, this.#videoRtp.roundTripMs);
    if (Number.isNaN(this.#zeroMs) && nowMs - this.#startMs >= SILENCE_START_MS)
      this.#zeroMs = this.#startMs;
    if (!Number.isNaN(this.#zeroMs)) {
      const streamNowMs = nowMs - this.#zeroMs;
      const timeline = this.#timeline;
      if (timeline) {
        const lateMs = Math.max(this.#audioLine.delayMs, this.#arrivalDelay.valueMs);
        timeline.delayMs = lateMs + AUDIO_GRACE_MS;
        timeline.tick(streamNowMs, nowMs);
      }
      this.#renditions.tick(streamNowMs);
    }
    if (nowMs - this.#secondMs >= SECOND_MS) this.#everySecond(nowMs);
  }

  #everySecond(nowMs: number): void {
    this.#secondMs = nowMs;
    const audio = this.#audioRtp.stats;
    const video = this.#videoRtp.stats;
    this.#audioFigures.note(audio, nowMs);
    this.#videoFigures.note(video, nowMs);
    const gone = this.#inactivity.check(
      latest(audio.lastRtpMs, video.lastRtpMs),
      latest(audio.lastRtcpMs, video.lastRtcpMs),
      nowMs,
    );
    if (gone) this.#handler.onInactive?.(gone);
    this.#handler.onSecond?.();
  }
}

function localMedia(rtp: RtpSession, ssrc: number): LocalMedia {
  return { rtpPort: rtp.localPort, rtcpPort: rtp.localPort + 1, ssrc };
}

function latest(one: number | null, other: number | null): number | null {
  return one === null || other === null ? (one ?? other) : Math.max(one, other);
}
