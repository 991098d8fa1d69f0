import { describe, expect, it } from 'vitest';
import { readFlvTags } from '../flv/flv-file.ts';
import { FlvViewer } from './flv-viewer.ts';
import type { FlvTag } from '../codec/frame.ts';

function rig() {
  const written: Uint8Array[] = [];
  const told: string[] = [];
  const target = { waitingBytes: 0, write: (octets: Uint8Array) => void written.push(octets) };
  const viewer = new FlvViewer(target, {
    onKeyFrameWanted: () => told.push('key-frame'),
    onStalled: () => told.push('stalled'),
  });
  const tags = () => [...readFlvTags(Buffer.concat(written))];
  return { viewer, target, written, told, tags };
}
const tag = (role: FlvTag['role'], timestampMs: number, bytes = 1000): FlvTag => ({
  type: role === 'audio' ? 8 : 9,
  timestampMs,
  body: new Uint8Array(bytes).fill(7),
  role,
});

describe('a viewer', () => {
  it('receives a file that starts with its header, and complete tags', () => {
    const { viewer, written, tags } = rig();
    viewer.onLive({ hasAudio: false, hasVideo: true });
    for (const one of [tag('sequence-header', 0), tag('key-frame', 0), tag('inter-frame', 40)])
      viewer.push(one);
    expect(written[0]?.[4]).toBe(1);
    expect(tags().map(({ type, timestampMs }) => [type, timestampMs])).toEqual([
      [9, 0],
      [9, 0],
      [9, 40],
    ]);
    expect(viewer.stats).toEqual({ bytes: Buffer.concat(written).length, dropped: 0 });
  });

  it('shares the octets of a tag with others', () => {
    const one = rig();
    const two = rig();
    const shared = tag('key-frame', 0);
    one.viewer.push(shared);
    two.viewer.push(shared);
    expect(one.written[1]).toBe(two.written[1]);
  });

  it('that is slow loses pictures up to a key frame, which is requested when it can resume', () => {
    const { viewer, target, told, tags } = rig();
    viewer.onLive({ hasAudio: true, hasVideo: true });
    viewer.push(tag('key-frame', 0));
    target.waitingBytes = 3 * 1024 * 1024;
    viewer.push(tag('inter-frame', 40));
    viewer.push(tag('audio', 50));
    viewer.push(tag('key-frame', 80));
    expect([tags().length, told]).toEqual([2, []]);
    target.waitingBytes = 0;
    viewer.push(tag('inter-frame', 120));
    expect(told).toEqual(['key-frame']);
    viewer.push(tag('key-frame', 160));
    viewer.push(tag('inter-frame', 200));
    expect(tags().map(({ timestampMs }) => timestampMs)).toEqual([0, 50, 160, 200]);
    expect(viewer.stats.dropped).toBe(3);
  });

  it('that reads nothing for ten seconds is given up, once; one that reads a little is not', () => {
    const { viewer, target, told } = rig();
    target.waitingBytes = 500_000;
    for (let ms = 0; ms < 30_000; ms += 1000) {
      target.waitingBytes -= 100;
      viewer.push(tag('audio', ms));
    }
    expect(told).toEqual([]);
    for (let ms = 30_000; ms < 60_000; ms += 1000) viewer.push(tag('audio', ms));
    expect(told).toEqual(['stalled']);
  });

  it('that joins an old stream does not count as stuck since its headers', () => {
    const { viewer, target, told, tags } = rig();
    viewer.onLive({ hasAudio: true, hasVideo: true });
    target.waitingBytes = 13;
    for (const one of [tag('metadata', 0), tag('sequence-header', 0), tag('key-frame', 60_000)])
      viewer.push(one);
    expect([tags().length, told]).toEqual([3, []]);
  });

  it('that was given up receives nothing more, not even the tag that revealed it', () => {
    const { viewer, target, written } = rig();
    target.waitingBytes = 1000;
    viewer.push(tag('audio', 0));
    viewer.push(tag('audio', 10_000));
    // The header of the file, and the first sound.
    expect(written).toHaveLength(2);
  });

  it('announces pictures where they come, and not where only the negotiation says so', () => {
    const flagsOf = (...tags: FlvTag[]): number | undefined => {
      const { viewer, written } = rig();
      viewer.onLive({ hasAudio: true, hasVideo: true });
      for (const one of tags) viewer.push(one);
      return written[0]?.[4];
    };
    expect(flagsOf(tag('sequence-header', 0), tag('audio', 0))).toBe(5);
    expect(flagsOf(tag('key-frame', 0))).toBe(5);
    expect(flagsOf(tag('metadata', 0), tag('audio', 0))).toBe(4);
    expect(flagsOf(tag('sequence-header', 0))).toBeUndefined();
  });
});
