// Plays a clip over RTP like a phone: in real time, with RTCP sender reports, key frames on request, and optional
// impairments.

import { randomInt } from 'node:crypto';
import { DtmfSequence, encodeRtcp, unixToNtp } from '@sipcast/media/wire';
import type { DtmfOptions, KeyFrameMethod, Nack, RtcpPacket } from '@sipcast/media/wire';
import { loadClip } from './clip.ts';
import type { Clip, ClipAccessUnit } from './clip.ts';
import { packetizeAccessUnit } from './h264-payloads.ts';
import type { PacketizationMode } from './h264-payloads.ts';
import { ImpairedLine } from '../relay/impaired-line.ts';
import type { Impairments } from '../relay/impaired-line.ts';
import { sharedPacer } from './pacer.ts';
import { g711Frames, PHONE_AUDIO } from './phone-audio.ts';
import type { PhoneAudioCodec } from './phone-audio.ts';
import type { RtpPort, RtpPortHandler } from './rtp-port.ts';
import { Vp8Packetizer } from './vp8-payloads.ts';
import type { Vp8Form } from './vp8-payloads.ts';

/** Destination and RTP fields of one medium. */
export interface RtpLineOptions {
  /** Sockets to send from, which also receive key-frame requests. They stay open when the sender stops. */
  readonly from: RtpPort;
  /** IP address of the receiver. */
  readonly address: string;
  readonly rtpPort: number;
  /** Default `rtpPort + 1`. */
  readonly rtcpPort?: number;
  /** 0–127. Default 96 for video; for audio the static one, or 97 (Opus), 98, 99 (Speex). */
  readonly payloadType?: number | undefined;
  /** u32. Default random. */
  readonly ssrc?: number;
  /** u16; 65,530 wraps soon. Default random. */
  readonly firstSequenceNumber?: number;
  /** u32; 2³² − 90,000 wraps after a second of video. Default random. */
  readonly firstTimestamp?: number;
  /** Default: a perfect line. */
  readonly impairments?: Impairments;
  /** Retransmit packets over the same line when requested by NACK (RFC 4585 §6.2.1). Default false. */
  readonly answerNack?: boolean;
  /** Time from a NACK to its retransmissions. Default 0. */
  readonly nackDelayMs?: number;
}

/** Options of an {@link RtpSender}. At least one of `video` and `audio` is required. */
export interface RtpSenderOptions {
  /** Default `loadClip()`. */
  readonly clip?: Clip;
  readonly video?: RtpLineOptions & {
    /** Default `H264`. */
    readonly codec?: 'H264' | 'VP8';
    /** Of H.264. Default 1. */
    readonly packetizationMode?: PacketizationMode;
    /** Of VP8: its payload descriptors. */
    readonly vp8?: Vp8Form;
  };
  readonly audio?: RtpLineOptions & {
    /** Default `PCMA`. */
    readonly codec?: PhoneAudioCodec;
    /**
     * Discontinuous transmission: alternates between audio and nothing for these durations. The sequence has no gap,
     * the timestamp jumps, and the marker starts each talkspurt. Multiples of 20 ms. Default: continuous audio.
     */
    readonly dtx?: { readonly talkMs: number; readonly silenceMs: number };
    /** For {@link RtpSender.sendDigits}. */
    readonly eventPayloadType?: number;
    /** RTP clock of the events. Default 8000. */
    readonly eventClockHz?: number;
  };
  /** Largest RTP packet in octets, header included, 64–65,507. Default 1,200. Mode 0 ignores it. */
  readonly mtu?: number;
  /** Restart at the end of the clip. Default true. */
  readonly loop?: boolean;
  /** RTCP sender reports with CNAME. Default true. */
  readonly senderReports?: boolean;
  /** Interval between reports, above 0. The first follows 100 ms after the start. Default 2,000 ms. */
  readonly reportIntervalMs?: number;
  /** RTCP BYE at `stop()`. Default true. */
  readonly bye?: boolean;
  /** Default `phone@127.0.0.1`. */
  readonly cname?: string;
  /** PLI and FIR make the clip jump to its next IDR, together with the audio. Default true. */
  readonly answerKeyFrameRequests?: boolean;
  /** The only request methods that are answered. Default all three. */
  readonly keyFrameBy?: readonly KeyFrameMethod[];
  /** Time from a request to the jump. Default 0. */
  readonly keyFrameDelayMs?: number;
  /** Keep {@link RtpSender.sent}. Default true. */
  readonly keepSent?: boolean;
  /** Called for each picture when its packets are passed to the line. Must not throw. */
  readonly onAccessUnit?: (sent: SentAccessUnit) => void;
}

/** A sent picture. */
export interface SentAccessUnit {
  readonly unit: ClipAccessUnit;
  /** u32. */
  readonly rtpTimestamp: number;
  readonly packets: number;
  /** Packets lost by the line. */
  readonly lostPackets: number;
}

/** Counters of one medium. */
export interface RtpLineStats {
  /** Packets created, including lost ones but not duplicates, as in sender reports. */
  readonly packets: number;
  /** Their payload octets. */
  readonly octets: number;
  /** Pictures, or 20 ms of audio. */
  readonly frames: number;
  readonly lost: number;
  readonly duplicated: number;
  readonly reordered: number;
  /** Retransmissions for NACKs, including those lost again. */
  readonly retransmitted: number;
}

const AUDIO_STEP_MS = 20;
const FIRST_REPORT_MS = 100;
const RTP_HEADER_BYTES = 12;
/** Packets kept for retransmission. A power of two. */
const HISTORY_PACKETS = 1024;

/** Payloads of a clip's pictures, cached per clip, mode and size. */
const plans = new WeakMap<Clip, Map<string, readonly (readonly Uint8Array[])[]>>();

function planOf(clip: Clip, mode: PacketizationMode, maxPayloadBytes: number) {
  const known = plans.get(clip) ?? new Map<string, readonly (readonly Uint8Array[])[]>();
  plans.set(clip, known);
  const key = `${mode} ${maxPayloadBytes}`;
  const plan =
    known.get(key) ??
    clip.video.map((unit) => packetizeAccessUnit(unit.nalus, mode, maxPayloadBytes));
  known.set(key, plan);
  return plan;
}

function soundOf(clip: Clip, codec: PhoneAudioCodec): readonly Uint8Array[] {
  if (codec === 'PCMA' || codec === 'PCMU') return g711Frames(clip.audio, codec);
  return clip.sounds[codec] ?? [];
}

/** Header fields of a packet to send. */
interface SentPacket {
  readonly marker: boolean;
  /** u32. */
  readonly rtpTimestamp: number;
  /** Default: that of the line. */
  readonly payloadType?: number | undefined;
}

/** One SSRC: header, counters, line. */
class RtpLine {
  readonly options: RtpLineOptions;
  readonly clockHz: number;
  readonly payloadType: number;
  readonly rtcpPort: number;
  readonly line: ImpairedLine;
  ssrc: number;
  firstTimestamp: number;
  retransmitted = 0;
  paused = false;
  packets = 0;
  octets = 0;
  frames = 0;
  #sequenceNumber: number;
  readonly #history: (Buffer | undefined)[] = [];
  #due: { readonly atMs: number; readonly datagram: Buffer }[] = [];

  constructor(options: RtpLineOptions, clockHz: number, payloadType: number) {
    const { from, address, rtpPort } = options;
    this.options = options;
    this.clockHz = clockHz;
    this.payloadType = inRange('payloadType', options.payloadType ?? payloadType, 0, 127);
    this.ssrc = inRange('ssrc', options.ssrc ?? randomInt(2 ** 32), 0, 2 ** 32 - 1);
    this.rtcpPort = inRange('rtcpPort', options.rtcpPort ?? rtpPort + 1, 1, 65_535);
    inRange('rtpPort', rtpPort, 1, 65_535);
    this.firstTimestamp = inRange(
      'firstTimestamp',
      options.firstTimestamp ?? randomInt(2 ** 32),
      0,
      2 ** 32 - 1,
    );
    this.#sequenceNumber = inRange(
      'firstSequenceNumber',
      options.firstSequenceNumber ?? randomInt(65_536),
      0,
      65_535,
    );
    this.line = new ImpairedLine(options.impairments ?? {}, (datagram) =>
      from.sendRtp(datagram, rtpPort, address),
    );
  }

  /** RTP timestamp of the media time, u32. */
  timestampAt(mediaMs: number): number {
    return (this.firstTimestamp + Math.round((mediaMs * this.clockHz) / 1000)) % 2 ** 32;
  }

  /** @returns false if the line lost the packet */
  send(
    payload: Uint8Array,
    { marker, rtpTimestamp, payloadType = this.payloadType }: SentPacket,
    nowMs: number,
  ): boolean {
    const datagram = Buffer.allocUnsafe(RTP_HEADER_BYTES + payload.length);
    datagram[0] = 0x80;
    datagram[1] = (marker ? 0x80 : 0) | payloadType;
    datagram.writeUInt16BE(this.#sequenceNumber, 2);
    datagram.writeUInt32BE(rtpTimestamp, 4);
    datagram.writeUInt32BE(this.ssrc, 8);
    datagram.set(payload, RTP_HEADER_BYTES);
    this.#sequenceNumber = (this.#sequenceNumber + 1) & 0xffff;
    this.packets++;
    this.octets += payload.length;
    if (this.options.answerNack === true) {
      this.#history[datagram.readUInt16BE(2) & (HISTORY_PACKETS - 1)] = datagram;
    }
    return this.line.push(datagram, nowMs);
  }

  /** Switches to a new source: new SSRC, sequence and timestamps, as when a device restarts its encoder. */
  restart(): void {
    this.ssrc = randomInt(2 ** 32);
    this.firstTimestamp = randomInt(2 ** 32);
    this.#sequenceNumber = randomInt(65_536);
  }

  onNack(packet: Nack, nowMs: number): void {
    if (this.options.answerNack !== true || packet.mediaSsrc !== this.ssrc) return;
    const atMs = nowMs + (this.options.nackDelayMs ?? 0);
    for (const { packetId, bitmask } of packet.lost) {
      for (let bit = 0; bit <= 16; bit++) {
        if (bit > 0 && (bitmask & (1 << (bit - 1))) === 0) continue;
        const sequenceNumber = (packetId + bit) & 0xffff;
        const datagram = this.#history[sequenceNumber & (HISTORY_PACKETS - 1)];
        if (datagram?.readUInt16BE(2) === sequenceNumber) this.#due.push({ atMs, datagram });
      }
    }
    this.sendAgain(nowMs);
  }

  /** Sends due retransmissions. */
  sendAgain(nowMs: number): void {
    if (this.#due.length === 0) return;
    const due = this.#due.filter(({ atMs }) => atMs <= nowMs);
    this.#due = this.#due.filter(({ atMs }) => atMs > nowMs);
    for (const { datagram } of due) {
      this.retransmitted++;
      this.line.push(datagram, nowMs);
    }
  }

  sendRtcp(packets: readonly RtcpPacket[]): void {
    this.options.from.sendRtcp(encodeRtcp(packets), this.rtcpPort, this.options.address);
  }

  stats(): RtpLineStats {
    const { packets, octets, frames, retransmitted } = this;
    return { packets, octets, frames, retransmitted, ...this.line.stats };
  }
}

interface DigitsToSend {
  readonly sequence: DtmfSequence;
  readonly resolve: () => void;
}

/** Plays one clip to one receiver. All senders of a process share one timer of 5 ms. */
export class RtpSender {
  /** Pictures sent, in order; empty without `keepSent`. */
  readonly sent: SentAccessUnit[] = [];
  /** Resolves at the end of the clip (without `loop`) or when the sender is stopped. */
  readonly done: Promise<void>;
  readonly clip: Clip;
  readonly #options: RtpSenderOptions;
  readonly #video: RtpLine | undefined;
  readonly #audio: RtpLine | undefined;
  /** H.264 payloads by picture. VP8 numbers its pictures, so its payloads are created while sending. */
  readonly #plan: readonly (readonly Uint8Array[])[];
  readonly #vp8: Vp8Packetizer | undefined;
  readonly #maxPayloadBytes: number;
  readonly #sound: readonly Uint8Array[];
  readonly #videoHandler: RtpPortHandler;
  readonly #fps: number;
  readonly #audioSteps: number;
  #finish: () => void = () => {};
  #startMs = 0;
  #running = false;
  #stopped = false;
  /** Pictures and audio steps since the start, sent or not: the media clock. */
  #videoCount = 0;
  #audioCount = 0;
  /** Pictures skipped by jumps. */
  #jumped = 0;
  #talking = false;
  #eventTimestamp = 0;
  readonly #digits: DigitsToSend[] = [];
  #nextReportMs = 0;
  #jumpAtMs = Number.POSITIVE_INFINITY;
  #keyFrameRequests = 0;
  #lastFirNumber = -1;

  /** @throws RangeError naming the field that is out of range. */
  constructor(options: RtpSenderOptions) {
    const { clip = loadClip(), video, audio, mtu = 1200 } = options;
    if (video === undefined && audio === undefined) {
      throw new RangeError('video or audio must be given');
    }
    inRange('mtu', mtu, 64, 65_507);
    if (!((options.reportIntervalMs ?? 1) > 0)) {
      throw new RangeError('reportIntervalMs must be above 0');
    }
    this.#options = options;
    this.clip = clip;
    this.#fps = clip.fps;
    const audioCodec = audio?.codec ?? 'PCMA';
    const { clockHz, payloadType } = PHONE_AUDIO[audioCodec];
    this.#video = video && new RtpLine(video, 90_000, 96);
    this.#audio = audio && new RtpLine(audio, clockHz, payloadType);
    this.#maxPayloadBytes = mtu - RTP_HEADER_BYTES;
    const isVp8 = video?.codec === 'VP8';
    if (isVp8 && clip.video[0]?.vp8 === undefined) throw new RangeError('clip has no VP8');
    this.#vp8 = isVp8 ? new Vp8Packetizer(video.vp8, randomInt(2 ** 15)) : undefined;
    this.#plan =
      video && !isVp8 ? planOf(clip, video.packetizationMode ?? 1, this.#maxPayloadBytes) : [];
    this.#sound = soundOf(clip, audioCodec);
    this.#audioSteps = this.#sound.length;
    if (audio !== undefined && this.#audioSteps === 0)
      throw new RangeError(`clip has no audio in ${audioCodec}`);
    this.#videoHandler = {
      onRtcp: (packet) => {
        // RFC 5104 §4.3.1.2: a repeated FIR has the number of the first one.
        if (packet.type === 'fir') {
          const number = packet.entries[0]?.sequenceNumber ?? -1;
          if (number === this.#lastFirNumber) return;
          this.#lastFirNumber = number;
          this.requestKeyFrame('fir');
        } else if (packet.type === 'pli') this.requestKeyFrame('pli');
        else if (packet.type === 'nack') this.#video?.onNack(packet, performance.now());
      },
    };
    this.done = new Promise((resolve) => {
      this.#finish = resolve;
    });
  }

  /** Creates a sender and starts it. @throws RangeError as the constructor */
  static start(options: RtpSenderOptions): RtpSender {
    const sender = new RtpSender(options);
    sender.start();
    return sender;
  }

  /** SSRC of the video, if any. */
  get videoSsrc(): number | undefined {
    return this.#video?.ssrc;
  }

  /** SSRC of the audio, if any. */
  get audioSsrc(): number | undefined {
    return this.#audio?.ssrc;
  }

  /** Key-frame requests received, answered or not. */
  get keyFrameRequests(): number {
    return this.#keyFrameRequests;
  }

  /** Counters of each medium. */
  get stats(): { readonly video?: RtpLineStats; readonly audio?: RtpLineStats } {
    return {
      ...(this.#video && { video: this.#video.stats() }),
      ...(this.#audio && { audio: this.#audio.stats() }),
    };
  }

  /** `performance.now()` of the first packet; 0 before the start. */
  get startedAtMs(): number {
    return this.#startMs;
  }

  /** Starts sending. Call once. */
  start(): void {
    if (this.#running || this.#stopped) return;
    this.#running = true;
    this.#startMs = performance.now();
    this.#nextReportMs = this.#startMs + FIRST_REPORT_MS;
    this.#video?.options.from.listen(this.#videoHandler);
    this.beat(this.#startMs);
    if (this.#running) sharedPacer.add(this);
  }

  /** Stops sending the medium until `resume`. Media time continues, as with a mute key. */
  pause(medium: 'video' | 'audio' | 'both' = 'both'): void {
    this.#setPaused(medium, true);
  }

  /** Undoes {@link pause}. Video continues in mid-GOP; request a key frame to avoid that. */
  resume(medium: 'video' | 'audio' | 'both' = 'both'): void {
    this.#setPaused(medium, false);
  }

  /**
   * Sends keys by RFC 4733 in place of the audio, after keys already queued. Resolves after the last one, or when the
   * sender ends.
   * @throws MediaError (rejection) `INVALID_ARGUMENT` for invalid digits. RangeError without `eventPayloadType`.
   */
  async sendDigits(digits: string, options: DtmfOptions = {}): Promise<void> {
    if (this.#options.audio?.eventPayloadType === undefined)
      throw new RangeError('eventPayloadType is needed for digits');
    const sequence = new DtmfSequence(digits, options);
    if (this.#stopped) return;
    await new Promise<void>((resolve) => {
      this.#digits.push({ sequence, resolve });
    });
  }

  /** Makes the clip jump to its next IDR, if the request method is accepted. Always counted. */
  requestKeyFrame(by?: KeyFrameMethod): void {
    this.#keyFrameRequests++;
    const { answerKeyFrameRequests, keyFrameBy } = this.#options;
    if (answerKeyFrameRequests === false) return;
    if (by !== undefined && keyFrameBy?.includes(by) === false) return;
    const atMs = performance.now() + (this.#options.keyFrameDelayMs ?? 0);
    this.#jumpAtMs = Math.min(this.#jumpAtMs, atMs);
  }

  /** The medium continues as a new source: new SSRC, sequence and timestamps, in the middle of the clip. */
  changeSsrc(medium: 'video' | 'audio'): void {
    (medium === 'video' ? this.#video : this.#audio)?.restart();
  }

  /** Stops: flushes the line, then sends RTCP BYE. Idempotent; the sockets stay open. */
  stop(): void {
    if (this.#stopped) return;
    const wasRunning = this.#running;
    this.#stopped = true;
    this.#halt();
    for (const line of [this.#video, this.#audio]) {
      if (line === undefined || !wasRunning) continue;
      if (this.#options.bye !== false && line.packets > 0) {
        line.sendRtcp([
          ...this.#report(line, performance.now()),
          { type: 'bye', ssrcs: [line.ssrc] },
        ]);
      }
    }
  }

  /** For the timer: sends everything due. */
  beat(nowMs: number): void {
    const elapsedMs = nowMs - this.#startMs;
    while (this.#running && this.#video && (this.#videoCount * 1000) / this.#fps <= elapsedMs) {
      this.#sendPicture(this.#video, nowMs);
    }
    while (this.#running && this.#audio && this.#audioCount * AUDIO_STEP_MS <= elapsedMs) {
      this.#sendSound(this.#audio, nowMs);
    }
    this.#video?.sendAgain(nowMs);
    this.#video?.line.flush(nowMs);
    this.#audio?.line.flush(nowMs);
    if (nowMs >= this.#nextReportMs && this.#running) {
      this.#nextReportMs += this.#options.reportIntervalMs ?? 2000;
      if (this.#options.senderReports === false) return;
      for (const line of [this.#video, this.#audio]) {
        if (line !== undefined && line.packets > 0) line.sendRtcp(this.#report(line, nowMs));
      }
    }
  }

  #sendPicture(line: RtpLine, nowMs: number): void {
    const { video } = this.clip;
    let position = this.#videoCount + this.#jumped;
    if (nowMs >= this.#jumpAtMs) {
      this.#jumpAtMs = Number.POSITIVE_INFINITY;
      while (video[position % video.length]?.isKeyFrame === false) position++;
      this.#jumped = position - this.#videoCount;
    }
    if (position >= video.length && this.#options.loop === false) {
      this.#end();
      return;
    }
    const unit = video[position % video.length]!;
    const rtpTimestamp = line.timestampAt((this.#videoCount * 1000) / this.#fps);
    this.#videoCount++;
    if (line.paused) return;
    const payloads =
      this.#vp8?.packetize(unit.vp8!, unit.isKeyFrame, this.#maxPayloadBytes) ??
      this.#plan[unit.index]!;
    let lostPackets = 0;
    for (let i = 0; i < payloads.length; i++) {
      const marker = i === payloads.length - 1;
      if (!line.send(payloads[i]!, { marker, rtpTimestamp }, nowMs)) lostPackets++;
    }
    line.frames++;
    const { keepSent = true, onAccessUnit } = this.#options;
    if (!keepSent && onAccessUnit === undefined) return;
    const sent = { unit, rtpTimestamp, packets: payloads.length, lostPackets };
    if (keepSent) this.sent.push(sent);
    onAccessUnit?.(sent);
  }

  #sendSound(line: RtpLine, nowMs: number): void {
    const jumpedSteps = Math.round((this.#jumped * 1000) / this.#fps / AUDIO_STEP_MS);
    const position = this.#audioCount + jumpedSteps;
    if (position >= this.#audioSteps && this.#options.loop === false) {
      // Without video, only the audio can detect the end.
      if (this.#video === undefined) this.#end();
      else this.#audioCount = Number.POSITIVE_INFINITY;
      return;
    }
    const atMs = this.#audioCount * AUDIO_STEP_MS;
    const rtpTimestamp = line.timestampAt(atMs);
    this.#audioCount++;
    if (this.#sendDigit(line, rtpTimestamp, nowMs)) return;
    if (line.paused || this.#isSilentAt(atMs)) {
      this.#talking = false;
      return;
    }
    // RFC 3551 §4.1: the marker begins a talkspurt.
    const payload = this.#sound[position % this.#audioSteps]!;
    line.send(payload, { marker: !this.#talking, rtpTimestamp }, nowMs);
    this.#talking = true;
    line.frames++;
  }

  #isSilentAt(atMs: number): boolean {
    const dtx = this.#options.audio?.dtx;
    return dtx !== undefined && atMs % (dtx.talkMs + dtx.silenceMs) >= dtx.talkMs;
  }

  /** @returns true if an event replaced this step's audio */
  #sendDigit(line: RtpLine, rtpTimestamp: number, nowMs: number): boolean {
    const running = this.#digits[0];
    if (running === undefined) return false;
    const { eventClockHz = 8000, eventPayloadType } = this.#options.audio ?? {};
    const event = running.sequence.next(eventClockHz);
    if (running.sequence.done) {
      this.#digits.shift();
      running.resolve();
    }
    if (event === undefined) return false;
    this.#talking = false;
    // RFC 4733 §2.2.1: the timestamp is that of the event's start, on the audio clock.
    if (event.marker) this.#eventTimestamp = rtpTimestamp;
    const segment = Math.round((event.segmentTicks * line.clockHz) / eventClockHz);
    const begin = (this.#eventTimestamp + segment) % 2 ** 32;
    const { payload, marker } = event;
    line.send(payload, { marker, rtpTimestamp: begin, payloadType: eventPayloadType }, nowMs);
    return true;
  }

  /** RFC 3550 §6.4.1: both media share a wall clock. */
  #report(line: RtpLine, nowMs: number): RtcpPacket[] {
    return [
      {
        type: 'sr',
        ssrc: line.ssrc,
        ...unixToNtp(performance.timeOrigin + nowMs),
        rtpTimestamp: line.timestampAt(nowMs - this.#startMs),
        packetCount: line.packets % 2 ** 32,
        octetCount: line.octets % 2 ** 32,
        reports: [],
      },
      {
        type: 'sdes',
        chunks: [{ ssrc: line.ssrc, cname: this.#options.cname ?? 'phone@127.0.0.1' }],
      },
    ];
  }

  #setPaused(medium: 'video' | 'audio' | 'both', paused: boolean): void {
    if (medium !== 'audio' && this.#video) this.#video.paused = paused;
    if (medium !== 'video' && this.#audio) this.#audio.paused = paused;
  }

  /** The clip has ended. */
  #end(): void {
    this.stop();
  }

  #halt(): void {
    this.#running = false;
    sharedPacer.remove(this);
    this.#video?.options.from.unlisten(this.#videoHandler);
    this.#video?.line.drain();
    this.#audio?.line.drain();
    for (const { resolve } of this.#digits.splice(0)) resolve();
    this.#finish();
  }
}

function inRange(field: string, value: number, from: number, to: number): number {
  if (!Number.isInteger(value) || value < from || value > to) {
    throw new RangeError(`${field} must be ${from}–${to}`);
  }
  return value;
}
