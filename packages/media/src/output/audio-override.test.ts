import { expect, it } from 'vitest';
import type { FlvTag } from '../codec/frame.ts';
import { AudioOverride } from './audio-override.ts';
import type { OutputContents } from './output.ts';

const tag = (hex: string, role: FlvTag['role'] = 'audio'): FlvTag => ({
  type: role === 'audio' ? 8 : 9,
  timestampMs: 40,
  body: Buffer.from(hex, 'hex'),
  role,
});

/** Two outputs over one override, as while a push changes its connection. */
function rig(override = new AudioOverride()) {
  const heard: [string[], string[]] = [[], []];
  const [first, second] = heard.map((list) =>
    override.over({ push: ({ body }) => list.push(Buffer.from(body).toString('hex')) }),
  );
  const send = (one: FlvTag): void => {
    first!.push(one);
    second!.push(one);
  };
  return { override, heard, send };
}

it('passes tags through, and tags without sound always', () => {
  const { override, heard, send } = rig();
  const picture = tag('1701', 'key-frame');
  send(tag('72112233'));
  override.muted = true;
  send(picture);
  expect(heard).toEqual([
    ['72112233', '1701'],
    ['72112233', '1701'],
  ]);
});

it('is silent while muted, also from the start and while a sound is played', () => {
  const { override, heard, send } = rig(new AudioOverride(true));
  send(tag('72112233'));
  override.play(() => ({ read: () => Uint8Array.of(1, 2, 3), ended: false, close: () => {} }));
  send(tag('72445566'));
  override.muted = false;
  send(tag('72778899'));
  expect(heard[0]).toEqual(['72d5d5d5', '72d5d5d5', '72010203']);
});

it('plays the same sound to every output, until it ends, is stopped or is replaced', () => {
  const { override, heard, send } = rig();
  const told: string[] = [];
  const play = (name: string, frames: number[]): void =>
    override.play(
      () => ({
        read: () => {
          const frame = frames.shift();
          return frame === undefined ? undefined : Uint8Array.of(frame);
        },
        get ended() {
          return frames.length === 0;
        },
        close: () => {},
      }),
      {
        onEnded: () => void told.push(`${name} ended`),
        onClosed: () => void told.push(`${name} closed`),
      },
    );
  play('a', [1]);
  expect(override.isPlaying).toBe(true);
  send(tag('af0199'));
  send(tag('af0199'));
  expect([override.isPlaying, told]).toEqual([false, ['a closed', 'a ended']]);
  play('b', [2, 3]);
  send(tag('af0199'));
  play('c', [4, 5]);
  send(tag('af0199'));
  override.stop();
  send(tag('af0199'));
  expect(heard[0]).toEqual(['af0101', 'af0199', 'af0102', 'af0104', 'af0199']);
  expect(heard[1]).toEqual(heard[0]);
  expect(told.slice(2)).toEqual(['b closed', 'c closed']);
});

it('passes on that the stream is live, and its end with the reason', async () => {
  const told: unknown[] = [];
  const output = new AudioOverride().over({
    onLive: (contents: OutputContents) => void told.push(contents),
    push: () => {},
    onEnded: (error) => {
      told.push(error);
      return Promise.resolve();
    },
  });
  output.onLive?.({ hasAudio: true, hasVideo: false });
  await output.onEnded?.('why');
  expect(told).toEqual([{ hasAudio: true, hasVideo: false }, 'why']);
});
