// Sound for tests: beeps encoded by ffmpeg into RTP payloads of any codec, and payloads decoded by ffmpeg to find them again.

import { AUDIO_CODECS } from '@sipcast/media';
import { AUDIO_STEP_MS, audioDurationMs } from '@sipcast/media/wire';
import type { AudioCodec, AudioFrame } from '@sipcast/media';
import { execFileSync } from 'node:child_process';
import { OggReader, OggWriter, opusHeads, speexHeads } from '../../packages/media/src/codec/ogg.ts';

export const CODECS = Object.keys(AUDIO_CODECS) as AudioCodec[];

const ENCODERS: Readonly<Record<AudioCodec, readonly string[]>> = {
  pcma: ['-c:a', 'pcm_alaw', '-f', 'alaw'],
  pcmu: ['-c:a', 'pcm_mulaw', '-f', 'mulaw'],
  g722: ['-c:a', 'g722', '-f', 'g722'],
  opus: ['-c:a', 'libopus', '-b:a', '24k', '-f', 'ogg'],
  'speex-nb': ['-c:a', 'libspeex', '-f', 'ogg'],
  'speex-wb': ['-c:a', 'libspeex', '-f', 'ogg'],
};

/** A 1 kHz beep of 100 ms at each of these times, digital silence around. */
export function beeps(atMs: readonly number[], lengthMs: number): string {
  const times = atMs.map((ms) => `between(t,${ms / 1000},${(ms + 100) / 1000})`).join('+');
  return `aevalsrc='0.6*sin(2*PI*1000*t)*(${times || '0'})':d=${lengthMs / 1000}`;
}

/** Runs ffmpeg over octets. @throws with its words when it says any. */
export function ffmpeg(
  args: readonly string[],
  input: Uint8Array = Buffer.alloc(0),
  path = 'ffmpeg',
) {
  return execFileSync(path, ['-v', 'error', '-y', ...args], {
    input,
    maxBuffer: 256 * 1024 * 1024,
    timeout: 30_000,
  });
}

/** Packets of an Ogg stream, without its two heads. */
export function oggPackets(ogg: Uint8Array): Uint8Array[] {
  const packets: Uint8Array[] = [];
  new OggReader((packet) => packets.push(packet)).push(ogg);
  return packets.slice(2);
}

/** RTP payloads of a lavfi source. */
export function encodeSound(
  codec: AudioCodec,
  source: string,
  more: readonly string[] = [],
): Uint8Array[] {
  const rate = String(AUDIO_CODECS[codec].sampleRateHz);
  const output = ['-ar', rate, '-ac', '1', ...ENCODERS[codec].slice(0, -2), ...more];
  const octets = ffmpeg([
    '-f',
    'lavfi',
    '-i',
    source,
    ...output,
    ...ENCODERS[codec].slice(-2),
    '-',
  ]);
  if (codec === 'opus' || codec.startsWith('speex')) return oggPackets(octets);
  const payloads: Uint8Array[] = [];
  for (let at = 0; at + 160 <= octets.length; at += 160)
    payloads.push(octets.subarray(at, at + 160));
  return payloads;
}

/** Frames as a depacketizer makes them. */
export function soundFrames(codec: AudioCodec, payloads: readonly Uint8Array[]): AudioFrame[] {
  return payloads.map((payload) => {
    const durationMs = audioDurationMs(codec, payload);
    if (durationMs === undefined) throw new Error(`Malformed ${codec}`);
    return { codec, payload, durationMs, rtpTimestamp: 0, arrivalMs: 0 };
  });
}

/** Payloads of 20 ms as 16-bit samples of 8 kHz. `decoder`: ffmpeg's name, default its own choice. */
export function decodeSound(
  codec: AudioCodec,
  payloads: readonly Uint8Array[],
  decoder?: string,
): Int16Array {
  const { sampleRateHz } = AUDIO_CODECS[codec];
  let input: readonly string[];
  let octets: Uint8Array;
  if (codec === 'opus' || codec.startsWith('speex')) {
    const heads = codec === 'opus' ? opusHeads() : speexHeads(codec === 'speex-wb');
    const ogg = new OggWriter();
    let samples = 0;
    octets = Buffer.concat([
      ...heads.map((head) => ogg.page(head, 0)),
      ...payloads.map((payload) => {
        samples += (sampleRateHz * (audioDurationMs(codec, payload) ?? AUDIO_STEP_MS)) / 1000;
        return ogg.page(payload, samples);
      }),
    ]);
    input = ['-f', 'ogg'];
  } else {
    octets = Buffer.concat(payloads);
    input =
      codec === 'g722'
        ? ['-f', 'g722']
        : ['-f', codec === 'pcma' ? 'alaw' : 'mulaw', '-ar', '8000', '-ac', '1'];
  }
  const decoding = decoder === undefined ? [] : ['-c:a', decoder];
  const raw = ffmpeg(
    [...decoding, ...input, '-i', '-', '-ar', '8000', '-ac', '1', '-f', 's16le', '-'],
    octets,
  );
  return new Int16Array(raw.buffer, raw.byteOffset, raw.length >> 1);
}

/** Where beeps begin, in milliseconds; a beep is above 5,000 and begins after 200 ms of less. */
export function findBeeps(samples: Int16Array, rateHz = 8000): number[] {
  const found: number[] = [];
  let lastLoudMs = -1000;
  for (let at = 0; at < samples.length; at++) {
    if (Math.abs(samples[at]!) < 5000) continue;
    const ms = (at * 1000) / rateHz;
    if (ms - lastLoudMs > 200) found.push(ms);
    lastLoudMs = ms;
  }
  return found;
}

/** Root mean square of each 20 ms of 8 kHz samples. */
export function levels(samples: Int16Array): number[] {
  const out: number[] = [];
  for (let at = 0; at + 160 <= samples.length; at += 160) {
    let sum = 0;
    for (let i = at; i < at + 160; i++) sum += samples[i]! ** 2;
    out.push(Math.round(Math.sqrt(sum / 160)));
  }
  return out;
}
