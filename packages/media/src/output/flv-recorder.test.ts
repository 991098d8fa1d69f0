import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodeAmf0 } from '../flv/amf0.ts';
import type { Amf0Value, EcmaArray } from '../flv/amf0.ts';
import { readFlvTags } from '../flv/flv-file.ts';
import { FlvRecorder } from './flv-recorder.ts';
import type { FlvRecording } from './flv-recorder.ts';
import type { FlvTag } from '../codec/frame.ts';

let dir = '';
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'recorder-'));
});
afterAll(() => rm(dir, { recursive: true }));

const tag = (role: FlvTag['role'], timestampMs: number, bytes = 10): FlvTag => ({
  type: role === 'audio' ? 8 : 9,
  timestampMs,
  body: new Uint8Array(bytes).fill(role === 'key-frame' ? 0x17 : 0x27),
  role,
});
async function metadataOf(path: string): Promise<ReadonlyMap<string, Amf0Value>> {
  const [first] = readFlvTags(await readFile(path));
  const values = decodeAmf0(first!.body);
  return (values[1] as EcmaArray).entries;
}

describe('a recording', () => {
  it('fits its index into the reserved space, however many key frames there were', async () => {
    for (const keyFrames of [0, 1, 2, 3, 10, 2999, 3000, 3001, 7000]) {
      const files: FlvRecording[] = [];
      const name = `index-${keyFrames}`;
      const recorder = new FlvRecorder(
        { pathOf: () => join(dir, `${name}.flv`) },
        { onFile: (file) => files.push(file), onFailed: (error) => expect(error).toBeUndefined() },
      );
      recorder.onLive({ hasAudio: true, hasVideo: true });
      recorder.push(tag('audio', 1000));
      for (let at = 0; at < keyFrames; at++) recorder.push(tag('key-frame', 1000 + at * 2000));
      await recorder.close();
      const octets = await readFile(files[0]!.path);
      const tags = [...readFlvTags(octets)];
      expect(tags.length, name).toBe(2 + keyFrames);
      const metadata = await metadataOf(files[0]!.path);
      expect(metadata.get('filesize')).toBe(octets.length);
      expect(metadata.get('duration')).toBe(Math.max(0, keyFrames - 1) * 2);
      const index = metadata.get('keyframes') as ReadonlyMap<string, number[]> | undefined;
      const positions = index?.get('filepositions') ?? [];
      expect(positions.length, name).toBeLessThan(3000);
      expect(positions.length, name).toBeGreaterThanOrEqual(Math.min(keyFrames, 1400) - 1);
      for (const position of positions) expect(octets[position]).toBe(9);
    }
  });

  it('continues in another file at a key frame, from time 0', async () => {
    const files: FlvRecording[] = [];
    const recorder = new FlvRecorder(
      { pathOf: (index) => join(dir, `turn-${index}.flv`), maxMs: 1000 },
      { onFile: (file) => files.push(file) },
    );
    const header = { ...tag('sequence-header', 0), body: Uint8Array.of(0x17, 0, 1) };
    recorder.push(header);
    for (let ms = 0; ms < 2500; ms += 100)
      recorder.push(tag(ms % 800 === 0 ? 'key-frame' : 'inter-frame', ms));
    await recorder.close();
    expect(files.map(({ durationMs }) => durationMs)).toEqual([1500, 800]);
    for (const { path } of files) {
      const [, first, second] = readFlvTags(await readFile(path));
      expect([...first!.body]).toEqual([0x17, 0, 1]);
      expect([second!.timestampMs, second!.body[0]]).toEqual([0, 0x17]);
    }
  });

  it('writes a separate file for each of three streams with one name', async () => {
    const files: FlvRecording[] = [];
    const recorders = [1, 2, 3].map(
      () =>
        new FlvRecorder(
          { pathOf: () => join(dir, 'same.flv') },
          { onFile: (file) => files.push(file) },
        ),
    );
    for (const recorder of recorders) recorder.push(tag('key-frame', 0));
    await Promise.all(recorders.map((recorder) => recorder.close()));
    const paths = files.map(({ path }) => path).toSorted();
    expect(paths).toEqual(['same.flv', 'same_2.flv', 'same_3.flv'].map((name) => join(dir, name)));
    for (const path of paths) {
      expect([...readFlvTags(await readFile(path))]).toHaveLength(2);
      expect((await stat(path)).mode & 0o777).toBe(0o600);
    }
  });

  it('holds its bound while no picture comes', async () => {
    const files: FlvRecording[] = [];
    const recorder = new FlvRecorder(
      { pathOf: (index) => join(dir, `sound-${index}.flv`), maxMs: 1000 },
      { onFile: (file) => files.push(file) },
    );
    recorder.onLive({ hasAudio: true, hasVideo: true });
    for (let at = 0; at < 3500; at += 20) recorder.push(tag('audio', at));
    await recorder.close();
    expect(files.map(({ durationMs }) => durationMs)).toEqual([980, 980, 980, 480]);
  });

  it('continues in another file when the pictures change', async () => {
    const files: FlvRecording[] = [];
    const recorder = new FlvRecorder(
      { pathOf: (index) => join(dir, `size-${index}.flv`) },
      { onFile: (file) => files.push(file) },
    );
    const header = (octet: number): FlvTag => ({
      ...tag('sequence-header', 0),
      body: Uint8Array.of(0x17, 0, 0, 0, 0, octet),
    });
    recorder.push(header(1));
    for (const [role, at] of [
      ['key-frame', 0],
      ['inter-frame', 40],
    ] as const)
      recorder.push(tag(role, at));
    recorder.push(header(1));
    recorder.push(tag('key-frame', 80));
    recorder.push(header(2));
    recorder.push(tag('audio', 100));
    recorder.push(tag('key-frame', 120));
    await recorder.close();
    const headersOf = async (path: string) =>
      [...readFlvTags(await readFile(path))].flatMap(({ type, body }) =>
        type === 9 && body[1] === 0 ? [body[5]] : [],
      );
    expect(files).toHaveLength(2);
    expect(await headersOf(files[0]!.path)).toEqual([1, 1]);
    expect(await headersOf(files[1]!.path)).toEqual([2]);
  });

  it('that cannot be written ends, and reports it once', async () => {
    const problems: string[] = [];
    const recorder = new FlvRecorder(
      { pathOf: () => join(dir, 'none', 'x.flv') },
      { onFailed: (error) => problems.push(error.message) },
    );
    recorder.push(tag('key-frame', 0));
    await recorder.close();
    recorder.push(tag('key-frame', 40));
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain('ENOENT');
  });
});
