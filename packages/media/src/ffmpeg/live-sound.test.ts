import { describe, expect, it } from 'vitest';
import type { AudioCodec } from '../codec/codec.ts';
import { audioDurationMs } from '../rtp/audio-depacketizer.ts';
import type { MediaError } from '../errors.ts';
import { audioSilence } from '../codec/silence.ts';
import { LiveSound } from './live-sound.ts';

function frame(codec: AudioCodec, payload: Uint8Array) {
  const durationMs = audioDurationMs(codec, payload)!;
  return { codec, payload, durationMs, rtpTimestamp: 0, arrivalMs: 0 };
}

const marked = (mark: number, octets = 160) => frame('pcma', new Uint8Array(octets).fill(mark));
const marks = (sound: LiveSound, reads: number): (number | undefined)[] =>
  Array.from({ length: reads }, () => sound.read()?.[0]);

describe('LiveSound', () => {
  it('waits for 60 ms, plays in order, and waits again after an underrun', () => {
    const sound = new LiveSound({ codec: 'pcma' });
    sound.push(marked(1));
    sound.push(marked(2));
    expect(marks(sound, 2)).toEqual([undefined, undefined]);
    sound.push(marked(3));
    expect(marks(sound, 4)).toEqual([1, 2, 3, undefined]);
    sound.push(marked(4));
    expect(marks(sound, 1)).toEqual([undefined]);
    expect(sound.stats).toEqual({ framesOut: 3, framesDropped: 0, framesMissing: 4 });
    expect(sound.ended).toBe(false);
  });

  it('cuts G.711 of any length into 20 ms', () => {
    const sound = new LiveSound({ codec: 'pcma' });
    for (const octets of [80, 240, 400]) sound.push(marked(7, octets));
    const payloads = Array.from({ length: 5 }, () => sound.read());
    expect(payloads.slice(0, 4).every((one) => one?.length === 160 && one[159] === 7)).toBe(true);
    expect(payloads[4]).toBeUndefined();
  });

  it('converts one G.711 law to the other without ffmpeg, and splits Speex', () => {
    const law = new LiveSound({ codec: 'pcmu' });
    for (let i = 0; i < 3; i++) law.push(frame('pcma', new Uint8Array(160).fill(0xaa)));
    expect(marks(law, 1)).toEqual([0x80]);
    const speex = new LiveSound({ codec: 'speex-nb' });
    const silence = audioSilence('speex-nb');
    for (let i = 0; i < 3; i++) speex.push(frame('speex-nb', silence));
    expect(speex.read()).toEqual(silence);
  });

  it('never holds more than 400 ms: the oldest are dropped', () => {
    const sound = new LiveSound({ codec: 'pcma' });
    for (let mark = 1; mark <= 20; mark++) sound.push(marked(mark));
    expect(marks(sound, 1)).toEqual([1]);
    sound.push(marked(21));
    sound.push(marked(22));
    expect(marks(sound, 6)).toEqual([18, 19, 20, 21, 22, undefined]);
    expect(sound.stats.framesDropped).toBe(16);
  });

  it('gives up a delay that was not needed for a second', () => {
    const sound = new LiveSound({ codec: 'pcma' });
    for (let i = 0; i < 15; i++) sound.push(marked(i));
    for (let i = 0; i < 60; i++) {
      sound.read();
      sound.push(marked(i));
    }
    let waiting = 0;
    while (sound.read() !== undefined) waiting++;
    expect(waiting).toBeLessThanOrEqual(5);
  });

  it('fails once when ffmpeg is needed and there is none', () => {
    const failures: MediaError[] = [];
    const sound = new LiveSound({ codec: 'opus' }, { onFailed: (error) => failures.push(error) });
    sound.push(marked(1));
    sound.push(marked(2));
    expect(failures).toEqual([expect.objectContaining({ code: 'NO_TRANSCODER' })]);
    expect(sound.ended).toBe(true);
    expect(sound.read()).toBeUndefined();
  });
});
