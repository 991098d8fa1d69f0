import { expect, it } from 'vitest';
import type { StreamAudio, StreamVideo } from '../codec/frame.ts';
import { FrameTaps } from './frame-taps.ts';

const SOUND = { codec: 'pcma', payload: Buffer.alloc(160), durationMs: 20 } as const;
const PICTURE = {
  codec: 'h264',
  nalus: [Buffer.of(0x65)],
  isKeyFrame: true,
  rtpTimestamp: 0,
  arrivalMs: 0,
} as const;

it('removes a tap that throws, reports it, and serves the others', () => {
  const failures: unknown[] = [];
  const taps = new FrameTaps((error) => failures.push(error));
  const sounds: StreamAudio[] = [];
  const pictures: StreamVideo[] = [];
  const problem = new Error('mine');
  const fail = (): never => {
    throw problem;
  };
  taps.addAudio(fail);
  taps.addVideo(fail);
  taps.addAudio((frame) => sounds.push(frame));
  const end = taps.addVideo((frame) => pictures.push(frame));
  for (const at of [0, 20]) {
    taps.pushAudio(SOUND, at);
    taps.pushVideo(PICTURE, at, 0);
  }
  expect(failures).toEqual([problem, problem]);
  expect(sounds.map(({ timestampMs }) => timestampMs)).toEqual([0, 20]);
  expect(pictures.map(({ presentMs }) => presentMs)).toEqual([0, 20]);
  end();
  end();
  taps.pushVideo(PICTURE, 40, 0);
  expect(pictures).toHaveLength(2);
});
