// ffmpeg as the judge of pictures that we make, and of streams that begin without an IDR picture.

import { mkdtemp, rm, writeFile, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { PortPool, Ticker } from '@sipcast/media';
import {
  beginsPicture,
  H264Depacketizer,
  KeyFrameGate,
  nalType,
  openRtpSession,
} from '@sipcast/media/wire';
import type { H264AccessUnit } from '@sipcast/media/wire';
import { RtpPort } from '@sipcast/testkit';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { decodeErrors, splitAnnexB } from '../../support/flv-check.ts';
import { describeWith, run } from '../../support/programs.ts';

const annexB = (nalus: readonly Uint8Array[]): Buffer =>
  Buffer.concat(nalus.flatMap((nal) => [Buffer.of(0, 0, 0, 1), nal]));

describeWith(['ffmpeg'], 'H.264 at its beginning', () => {
  let dir: string;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'h264-begin-'));
  });
  afterAll(() => rm(dir, { recursive: true, force: true }));

  /** One hash per decoded picture. */
  const hashes = async (path: string): Promise<string[]> => {
    const { stdout } = await run('ffmpeg', ['-v', 'error', '-i', path, '-f', 'framemd5', '-']);
    const lines = stdout.toString().split('\n');
    return lines.flatMap((line) => /^0,.*,\s*(\w{32})$/.exec(line)?.[1] ?? []);
  };

  it('decodes the black pictures that we send as black', async () => {
    const port = await RtpPort.open();
    const nalus: Uint8Array[] = [];
    const depacketizer = new H264Depacketizer();
    port.listen({
      onRtp: (packet) => {
        for (const unit of depacketizer.push(packet)) {
          if (typeof unit === 'string') expect.fail(unit);
          else if ('codec' in unit) nalus.push(...unit.nalus);
        }
      },
    });
    const session = await openRtpSession(
      {
        kind: 'video',
        ports: new PortPool({ min: 31_000, max: 31_099 }),
        ticker: new Ticker(),
        ssrc: 1,
        cname: 'c',
        bindAddress: '127.0.0.1',
      },
      { onPacket: () => {} },
    );
    session.start({
      address: '127.0.0.1',
      port: port.port,
      payloadTypes: new Map([[96, { codec: 'h264', clockRateHz: 90_000 }]]),
      sendVideo: { payloadType: 96, intervalMs: 100 },
    });
    await sleep(1100);
    await session.close();
    await port.close();
    const path = join(dir, 'black.h264');
    await writeFile(path, annexB(nalus));
    expect(await decodeErrors(path)).toBe('');
    const raw = ['-v', 'error', '-i', path, '-f', 'rawvideo', '-pix_fmt', 'yuv420p', '-'];
    const { stdout } = await run('ffmpeg', raw);
    const pictureBytes = (176 * 144 * 3) / 2;
    const pictures = stdout.length / pictureBytes;
    console.log(`black video: ${pictures} pictures decoded`);
    expect(pictures).toBeGreaterThanOrEqual(8);
    for (let at = 0; at < stdout.length; at += pictureBytes) {
      const luma = stdout.subarray(at, at + 176 * 144);
      const chroma = stdout.subarray(at + 176 * 144, at + pictureBytes);
      expect(luma.every((value) => value >= 15 && value <= 17)).toBe(true);
      expect(chroma.every((value) => value >= 127 && value <= 129)).toBe(true);
    }
  });

  it('begins with a sender that only refreshes gradually, and shows the right pictures after a while', async () => {
    const path = join(dir, 'refresh.h264');
    await run('ffmpeg', [
      ...'-v error -f lavfi -i testsrc2=s=320x240:r=25 -frames:v 200'.split(' '),
      ...'-c:v libx264 -profile:v baseline'.split(' '),
      ...'-x264-params intra-refresh=1:keyint=50:ref=1:bframes=0'.split(' '),
      path,
    ]);
    const units: H264AccessUnit[] = [];
    let nalus: Uint8Array[] = [];
    const file = splitAnnexB(await readFile(path));
    const end = (): void => {
      units.push({
        codec: 'h264',
        nalus,
        isKeyFrame: nalus.some((nal) => nalType(nal) === 5),
        rtpTimestamp: 0,
        arrivalMs: units.length * 40,
      });
      nalus = [];
    };
    let hasPicture = false;
    for (const nal of file) {
      const begins = beginsPicture(nal) || nalType(nal) >= 6;
      if (hasPicture && begins) {
        end();
        hasPicture = false;
      }
      nalus.push(nal);
      if (nalType(nal) <= 5) hasPicture = true;
    }
    end();
    expect(units).toHaveLength(200);
    expect(units.slice(1).some(({ isKeyFrame }) => isKeyFrame)).toBe(false);
    const gate = new KeyFrameGate<H264AccessUnit>(() => {});
    // The only IDR picture was before our time.
    const passed = units.slice(1).flatMap((unit) => gate.admit(unit) ?? []);
    expect(passed.length).toBeGreaterThan(100);
    expect(passed[0]!.isKeyFrame).toBe(true);
    const parameterSets = units[0]!.nalus.filter((nal) => [7, 8].includes(nalType(nal)));
    const late = join(dir, 'late.h264');
    await writeFile(late, annexB([...parameterSets, ...passed.flatMap((unit) => unit.nalus)]));
    const whole = await hashes(path);
    const { stdout } = await run('ffmpeg', [
      '-v',
      'error',
      '-i',
      late,
      ...'-fps_mode passthrough -f framemd5 -'.split(' '),
    ]);
    const shown = stdout
      .toString()
      .split('\n')
      .flatMap((line) => /^0,.*,\s*(\w{32})$/.exec(line)?.[1] ?? []);
    const right = shown.filter((hash) => whole.includes(hash)).length;
    console.log(
      `gradual refresh: begun ${passed[0]!.arrivalMs} ms after the first picture, ${passed.length} passed, ` +
        `${shown.length} shown by ffmpeg, ${right} of them exactly right`,
    );
    // ffmpeg shows nothing before the recovery point says so.
    expect(right / shown.length).toBeGreaterThan(0.9);
    expect(shown.at(-1)).toBe(whole.at(-1));
  });
});
