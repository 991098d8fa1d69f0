// Plays a clip over RTP as a phone does: real pace, RTCP sender reports, key frames on request, a bad line on request.

import { randomInt } from 'node:crypto';
import { encodeRtcp, unixToNtp } from '@sipcast/media';
import type { RtcpPacket } from '@sipcast/media';
import { loadClip } from './clip.ts';
import type { Clip, ClipAccessUnit } from './clip.ts';
import { aLawToMuLaw } from './g711.ts';
import { packetizeAccessUnit } from './h264-payloads.ts';
import type { PacketizationMode } from './h264-payloads.ts';
import { ImpairedLine } from './impaired-line.ts';
import type { Impairments } from './impaired-line.ts';
import { sharedPacer } from './pacer.ts';
import type { RtpPort, RtpPortHandler } from './rtp-port.ts';

/** Where one medium goes and how it is marked. */
export interface RtpLineOptions {
  /** Sockets to send from; requests for key frames are heard there. They stay open when the sender stops. */
  readonly from: RtpPort;
  /** IP address of the receiver. */
  readonly address: string;
  readonly rtpPort: number;
  /** Default `rtpPort + 1`. */
  readonly rtcpPort?: number;
  /** 0–127. Default 96 for video, 8 (PCMA) or 0 (PCMU) for audio. */
  readonly payloadType?: number;
  /** u32. Default random. */
  readonly ssrc?: number;
  /** u16; 65,530 lets it wrap soon. Default random. */
  readonly firstSequenceNumber?: number;
  /** u32; 2³² − 90,000 lets it wrap after a second of video. Default random. */
  readonly firstTimestamp?: number;
  /** Default: a perfect line. */
  readonly impairments?: Impairments;
}

/** Options of an {@link RtpSender}. At least one of `video` and `audio`. */
export interface RtpSenderOptions {
  /** Default `loadClip()`. */
  readonly clip?: Clip;
  readonly video?: RtpLineOptions & {
    /** Default 1. */
    readonly packetizationMode?: PacketizationMode;
  };
  readonly audio?: RtpLineOptions & {
    /** Default `PCMA`. */
    readonly codec?: 'PCMA' | 'PCMU';
  };
  /** Largest RTP packet in octets, header included, 64–65,507. Default 1,200. Mode 0 does not keep to it. */
  readonly mtu?: number;
  /** Begin again when the clip is over. Default true. */
  readonly loop?: boolean;
  /** RTCP sender reports with CNAME. Default true. */
  readonly senderReports?: boolean;
  /** Time between two reports, above 0. The first follows 100 ms after the start. Default 2,000 ms. */
  readonly reportIntervalMs?: number;
  /** RTCP BYE at `stop()`. Default true. */
  readonly bye?: boolean;
  /** Default `phone@127.0.0.1`. */
  readonly cname?: string;
  /** PLI and FIR make the clip jump to its next IDR, its sound with it. Default true. */
  readonly answerKeyFrameRequests?: boolean;
  /** Time from a request to the jump. Default 0. */
  readonly keyFrameDelayMs?: number;
  /** Keep {@link RtpSender.sent}. Default true. */
  readonly keepSent?: boolean;
  /** Called for each picture when its packets are handed to the line. Must not throw. */
  readonly onAccessUnit?: (sent: SentAccessUnit) => void;
}

/** A picture that was sent. */
export interface SentAccessUnit {
  readonly unit: ClipAccessUnit;
  /** u32. */
  readonly rtpTimestamp: number;
  readonly packets: number;
  /** Packets that its line lost. */
  readonly lostPackets: number;
}

/** What one medium sent so far. */
export interface RtpLineStats {
  /** Packets made, lost ones included, duplicates not: as in sender reports. */
  readonly packets: number;
  /** Their payload octets. */
  readonly octets: number;
  /** Pictures, or 20 ms of sound. */
  readonly frames: number;
  readonly lost: number;
  readonly duplicated: number;
  readonly reordered: number;
}

/** Samples and octets of 20 ms of G.711. */
const AUDIO_STEP = 160;
const AUDIO_STEP_MS = 20;
const FIRST_REPORT_MS = 100;
const RTP_HEADER_BYTES = 12;

/** Payloads of a clip's pictures, made once per clip, mode and size. */
const plans = new WeakMap<Clip, Map<string, readonly (readonly Uint8Array[])[]>>();
const muLaw = new WeakMap<Clip, Uint8Array>();

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

function muLawOf(clip: Clip): Uint8Array {
  const audio = muLaw.get(clip) ?? aLawToMuLaw(clip.audio);
  muLaw.set(clip, audio);
  return audio;
}

/** One SSRC: header, counters, line. */
class RtpLine {
  readonly options: RtpLineOptions;
  readonly clockHz: number;
  readonly payloadType: number;
  readonly ssrc: number;
  readonly rtcpPort: number;
  readonly firstTimestamp: number;
  readonly line: ImpairedLine;
  paused = false;
  packets = 0;
  octets = 0;
  frames = 0;
  #sequenceNumber: number;

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

  /** @returns false when the line lost it. */
  send(payload: Uint8Array, marker: boolean, rtpTimestamp: number, nowMs: number): boolean {
    const datagram = Buffer.allocUnsafe(RTP_HEADER_BYTES + payload.length);
    datagram[0] = 0x80;
    datagram[1] = (marker ? 0x80 : 0) | this.payloadType;
    datagram.writeUInt16BE(this.#sequenceNumber, 2);
    datagram.writeUInt32BE(rtpTimestamp, 4);
    datagram.writeUInt32BE(this.ssrc, 8);
    datagram.set(payload, RTP_HEADER_BYTES);
    this.#sequenceNumber = (this.#sequenceNumber + 1) & 0xffff;
    this.packets++;
    this.octets += payload.length;
    return this.line.push(datagram, nowMs);
  }

  sendRtcp(packets: readonly RtcpPacket[]): void {
    this.options.from.sendRtcp(encodeRtcp(packets), this.rtcpPort, this.options.address);
  }

  stats(): RtpLineStats {
    const { packets, octets, frames } = this;
    return { packets, octets, frames, ...this.line.stats };
  }
}

/** Plays one clip to one receiver. All senders of a process share one timer of 5 ms. */
export class RtpSender {
  /** Pictures sent, in order; empty without `keepSent`. */
  readonly sent: SentAccessUnit[] = [];
  /** Resolves when the clip is over (without `loop`) or the sender is stopped. */
  readonly done: Promise<void>;
  readonly clip: Clip;
  readonly #options: RtpSenderOptions;
  readonly #video: RtpLine | undefined;
  readonly #audio: RtpLine | undefined;
  readonly #plan: readonly (readonly Uint8Array[])[];
  readonly #sound: Uint8Array;
  readonly #videoHandler: RtpPortHandler;
  readonly #fps: number;
  readonly #audioSteps: number;
  #finish: () => void = () => {};
  #startMs = 0;
  #running = false;
  #stopped = false;
  /** Pictures and sound steps since the start, sent or not: the clock. */
  #videoCount = 0;
  #audioCount = 0;
  /** What the clip was moved forward by, in pictures. */
  #jumped = 0;
  #talking = false;
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
    const isMuLaw = audio?.codec === 'PCMU';
    this.#video = video && new RtpLine(video, 90_000, 96);
    this.#audio = audio && new RtpLine(audio, 8000, isMuLaw ? 0 : 8);
    this.#plan = video ? planOf(clip, video.packetizationMode ?? 1, mtu - RTP_HEADER_BYTES) : [];
    this.#sound = isMuLaw ? muLawOf(clip) : clip.audio;
    this.#audioSteps = Math.floor(this.#sound.length / AUDIO_STEP);
    if (audio !== undefined && this.#audioSteps === 0) throw new RangeError('clip has no audio');
    this.#videoHandler = {
      onRtcp: (packet) => {
        // RFC 5104 §4.3.1.2: a repeated FIR has the number of the first.
        if (packet.type === 'fir') {
          const number = packet.entries[0]?.sequenceNumber ?? -1;
          if (number === this.#lastFirNumber) return;
          this.#lastFirNumber = number;
          this.requestKeyFrame();
        } else if (packet.type === 'pli') this.requestKeyFrame();
      },
    };
    this.done = new Promise((resolve) => {
      this.#finish = resolve;
    });
  }

  /** Makes a sender and starts it. @throws RangeError as the constructor. */
  static start(options: RtpSenderOptions): RtpSender {
    const sender = new RtpSender(options);
    sender.start();
    return sender;
  }

  /** SSRC of the video, where there is one. */
  get videoSsrc(): number | undefined {
    return this.#video?.ssrc;
  }

  /** SSRC of the audio, where there is one. */
  get audioSsrc(): number | undefined {
    return this.#audio?.ssrc;
  }

  /** Requests for a key frame that were heard, answered or not. */
  get keyFrameRequests(): number {
    return this.#keyFrameRequests;
  }

  /** What was sent of each medium. */
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

  /** Sends from now on. Once. */
  start(): void {
    if (this.#running || this.#stopped) return;
    this.#running = true;
    this.#startMs = performance.now();
    this.#nextReportMs = this.#startMs + FIRST_REPORT_MS;
    this.#video?.options.from.listen(this.#videoHandler);
    this.beat(this.#startMs);
    if (this.#running) sharedPacer.add(this);
  }

  /** Sends nothing of the medium until `resume`; the media time goes on, as behind a mute key. */
  pause(medium: 'video' | 'audio' | 'both' = 'both'): void {
    this.#setPaused(medium, true);
  }

  /** Undoes {@link pause}. Video continues in mid-GOP: ask for a key frame if that is not wanted. */
  resume(medium: 'video' | 'audio' | 'both' = 'both'): void {
    this.#setPaused(medium, false);
  }

  /** As PLI and FIR do: the clip jumps to its next IDR. Counted also when they are not answered. */
  requestKeyFrame(): void {
    this.#keyFrameRequests++;
    if (this.#options.answerKeyFrameRequests === false) return;
    const atMs = performance.now() + (this.#options.keyFrameDelayMs ?? 0);
    this.#jumpAtMs = Math.min(this.#jumpAtMs, atMs);
  }

  /** Ends: what waits on the line goes out, then RTCP BYE. Idempotent; the sockets stay open. */
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

  /** For the timer: sends what is due. */
  beat(nowMs: number): void {
    const elapsedMs = nowMs - this.#startMs;
    while (this.#running && this.#video && (this.#videoCount * 1000) / this.#fps <= elapsedMs) {
      this.#sendPicture(this.#video, nowMs);
    }
    while (this.#running && this.#audio && this.#audioCount * AUDIO_STEP_MS <= elapsedMs) {
      this.#sendSound(this.#audio, nowMs);
    }
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
    const payloads = this.#plan[unit.index]!;
    let lostPackets = 0;
    for (let i = 0; i < payloads.length; i++) {
      const marker = i === payloads.length - 1;
      if (!line.send(payloads[i]!, marker, rtpTimestamp, nowMs)) lostPackets++;
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
      // Without video nobody else would say so.
      if (this.#video === undefined) this.#end();
      else this.#audioCount = Number.POSITIVE_INFINITY;
      return;
    }
    const rtpTimestamp = line.timestampAt(this.#audioCount * AUDIO_STEP_MS);
    this.#audioCount++;
    if (line.paused) {
      this.#talking = false;
      return;
    }
    const from = (position % this.#audioSteps) * AUDIO_STEP;
    // RFC 3551 §4.1: the marker begins a talkspurt.
    line.send(this.#sound.subarray(from, from + AUDIO_STEP), !this.#talking, rtpTimestamp, nowMs);
    this.#talking = true;
    line.frames++;
  }

  /** RFC 3550 §6.4.1: both media by the same wall clock. */
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

  /** The clip is over. */
  #end(): void {
    this.stop();
  }

  #halt(): void {
    this.#running = false;
    sharedPacer.remove(this);
    this.#video?.options.from.unlisten(this.#videoHandler);
    this.#video?.line.drain();
    this.#audio?.line.drain();
    this.#finish();
  }
}

function inRange(field: string, value: number, from: number, to: number): number {
  if (!Number.isInteger(value) || value < from || value > to) {
    throw new RangeError(`${field} must be ${from}–${to}`);
  }
  return value;
}
