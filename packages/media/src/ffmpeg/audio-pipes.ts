// How audio gets into ffmpeg and out of it: always in packets, so that ffmpeg reads each as soon as it is written. (It
// collects 20–40 ms of raw samples first.) G.711 goes in as FLV, Opus and Speex as Ogg, G.722 as it is.

import { AdtsReader, formatAdts } from '../codec/aac.ts';
import { AUDIO_CODECS } from '../codec/codec.ts';
import type { AudioCodec } from '../codec/codec.ts';
import type { FfmpegCapabilities } from './binary.ts';
import { formatFlvHeader, formatFlvTag } from '../flv/flv-file.ts';
import type { StreamAudio } from '../codec/frame.ts';
import { OggReader, OggWriter, opusHeads, speexHeads } from '../codec/ogg.ts';
import { AUDIO_STEP_MS, audioSilence } from '../codec/silence.ts';
import { splitSpeexFrames } from '../codec/speex.ts';

/** Precedes every other argument: no terminal, no protocol except pipes. */
export const FFMPEG_SAFE: readonly string[] = [
  '-hide_banner',
  '-nostdin',
  '-loglevel',
  'error',
  '-protocol_whitelist',
  'pipe',
];
/** Like {@link FFMPEG_SAFE}, for input that we write ourselves and that needs no probing. */
export const FFMPEG_START: readonly string[] = [
  ...FFMPEG_SAFE,
  '-probesize',
  '32',
  '-analyzeduration',
  '0',
];

/** FLV 10.1 §E.4.2.1: sound formats 7 and 8, "16 bit" as every writer says. */
const FLV_HEAD = { pcma: 0x72, pcmu: 0x82 } as const;

/**
 * How much later than its RTP timestamp a sound is heard, from encoder to decoder: their look-ahead, which no
 * timestamp includes. Measured with ffmpeg's encoders (libopus, libspeex, g722), in milliseconds.
 */
export const CODEC_DELAY_MS: Readonly<Record<AudioCodec, number>> = {
  pcma: 0,
  pcmu: 0,
  g722: 1.5,
  opus: 6.5,
  'speex-nb': 10,
  'speex-wb': 13.9,
};

/** The arguments of an input of one codec on stdin, up to `-i`. */
export function inputArguments(
  codec: AudioCodec | 'aac',
  { decoders }: FfmpegCapabilities,
): string[] {
  if (codec === 'aac') return ['-f', 'aac', '-i', 'pipe:0'];
  if (codec === 'g722') return ['-f', 'g722', '-i', 'pipe:0'];
  if (codec === 'pcma' || codec === 'pcmu') return ['-f', 'flv', '-i', 'pipe:0'];
  const decoder = codec === 'opus' ? decoders.opus : decoders.speex;
  // Without a name ffmpeg chooses a decoder, and reports it if it has none.
  const named = decoder === undefined ? [] : ['-c:a', decoder];
  return [...named, '-f', 'ogg', '-i', 'pipe:0'];
}

/** Formats the frames of one codec as {@link inputArguments} announces. One for each child process. */
export class FfmpegAudioInput {
  readonly #codec: AudioCodec | 'aac';
  readonly #ogg = new OggWriter();
  #started = false;
  #positionMs = 0;

  constructor(codec: AudioCodec | 'aac') {
    this.#codec = codec;
  }

  /** The octets to write for a frame; container headers precede the first. */
  encode(frame: Omit<StreamAudio, 'timestampMs'>): Uint8Array {
    const codec = this.#codec;
    if (codec === 'aac')
      return frame.format ? formatAdts(frame.payload, frame.format) : Buffer.alloc(0);
    const parts = this.#started ? [] : this.#heads(codec);
    this.#started = true;
    if (codec === 'g722') return frame.payload;
    if (codec === 'pcma' || codec === 'pcmu') {
      const body = Buffer.concat([Buffer.of(FLV_HEAD[codec]), frame.payload]);
      parts.push(formatFlvTag({ type: 8, timestampMs: this.#positionMs, body }));
      this.#positionMs += frame.durationMs;
    } else if (codec === 'opus') {
      parts.push(this.#page(codec, frame.payload, frame.durationMs));
    } else {
      for (const one of splitSpeexFrames(frame.payload))
        parts.push(this.#page(codec, one, AUDIO_STEP_MS));
    }
    return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
  }

  #page(codec: AudioCodec, packet: Uint8Array, durationMs: number): Buffer {
    this.#positionMs += durationMs;
    const samples = (this.#positionMs * AUDIO_CODECS[codec].sampleRateHz) / 1000;
    return this.#ogg.page(packet, Math.round(samples));
  }

  #heads(codec: AudioCodec): Uint8Array[] {
    if (codec === 'g722') return [];
    if (codec === 'pcma' || codec === 'pcmu')
      return [formatFlvHeader({ hasAudio: true, hasVideo: false })];
    const heads = codec === 'opus' ? opusHeads() : speexHeads(codec === 'speex-wb');
    return heads.map((head) => this.#ogg.page(head, 0));
  }
}

/** Encoder and container for frames of 20 ms. */
function outputCoder(codec: AudioCodec, { encoders }: FfmpegCapabilities): readonly string[] {
  if (codec === 'pcma') return ['-c:a', 'pcm_alaw', '-f', 'alaw'];
  if (codec === 'pcmu') return ['-c:a', 'pcm_mulaw', '-f', 'mulaw'];
  if (codec === 'g722') return ['-c:a', encoders.g722 ?? 'g722', '-f', 'g722'];
  const ogg = ['-page_duration', '20000', '-f', 'ogg'];
  if (codec === 'opus') {
    const coder = ['-c:a', encoders.opus ?? 'libopus', '-b:a', '32000', '-frame_duration', '20'];
    return [...coder, ...ogg];
  }
  return ['-c:a', encoders.speex ?? 'libspeex', '-frames_per_packet', '1', ...ogg];
}

/**
 * The arguments of a mono output of one codec on stdout, in frames of 20 ms, or in those of AAC.
 * @param aacRateHz - Sampling rate of AAC.
 */
export function outputArguments(
  codec: AudioCodec | 'aac',
  capabilities: FfmpegCapabilities,
  aacRateHz = 44_100,
): string[] {
  const rateHz = codec === 'aac' ? aacRateHz : AUDIO_CODECS[codec].sampleRateHz;
  const coder =
    codec === 'aac'
      ? ['-c:a', 'aac', '-b:a', '64000', '-f', 'adts']
      : outputCoder(codec, capabilities);
  const rate = ['-vn', '-ac', '1', '-ar', String(rateHz)];
  return [...rate, ...coder, '-flush_packets', '1', 'pipe:1'];
}

/** Octets of 20 ms at 64 kbit/s. */
const RAW_FRAME_BYTES = 160;
const OGG_HEADS = 2;

/** Cuts the output that {@link outputArguments} requests into payloads of 20 ms, or AAC frames. One for each child process. */
export class FfmpegAudioOutput {
  readonly #onFrame: (payload: Uint8Array) => void;
  readonly #ogg: OggReader | undefined;
  readonly #adts: AdtsReader | undefined;
  readonly #silence: number;
  #raw: Buffer = Buffer.alloc(0);
  #packets = 0;

  /** @param onFrame - Receives each payload, and may keep it. */
  constructor(codec: AudioCodec | 'aac', onFrame: (payload: Uint8Array) => void) {
    this.#onFrame = onFrame;
    this.#silence = codec === 'aac' ? 0 : audioSilence(codec)[0]!;
    if (codec === 'aac') {
      this.#adts = new AdtsReader({ onFormat: () => {}, onFrame });
      return;
    }
    if (codec === 'pcma' || codec === 'pcmu' || codec === 'g722') return;
    this.#ogg = new OggReader((packet) => {
      if (this.#packets++ >= OGG_HEADS && packet.length > 0) onFrame(packet);
    });
  }

  /** Takes the next octets, in pieces of any size. */
  push(octets: Uint8Array): void {
    const reader = this.#ogg ?? this.#adts;
    if (reader) {
      reader.push(Buffer.from(octets));
      return;
    }
    const bytes = Buffer.concat([this.#raw, octets]);
    let at = 0;
    for (; at + RAW_FRAME_BYTES <= bytes.length; at += RAW_FRAME_BYTES)
      this.#onFrame(bytes.subarray(at, at + RAW_FRAME_BYTES));
    this.#raw = bytes.subarray(at);
  }

  /** The output has ended: pads the last raw sound with silence. */
  end(): void {
    const left = this.#raw;
    if (left.length === 0) return;
    this.#raw = Buffer.alloc(0);
    const last = Buffer.alloc(RAW_FRAME_BYTES, this.#silence);
    last.set(left);
    this.#onFrame(last);
  }
}
