// sipp as the callee, with media that ffmpeg packetized: what is recorded must be what was sent, bit by bit.

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createCallGateway } from '@sipcast/core';
import type { CallGateway, CallStatus } from '@sipcast/core';
import { RtmpSink } from '@sipcast/testkit';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { decodeErrors, splitAnnexB, summarizeFlv } from '../../support/flv-check.ts';
import { describeWith, run } from '../../support/programs.ts';
import { captureFfmpegRtp, writePcap } from '../../support/rtp-capture.ts';
import { startSipp } from '../../support/sipp.ts';

const clips = new URL('../../../packages/testkit/clips/', import.meta.url).pathname;

describeWith(['sipp', 'ffmpeg'], 'sipp', () => {
  let shared: string;
  let dir: string;
  let gateway: CallGateway;
  let sink: RtmpSink;

  beforeAll(async () => {
    shared = await mkdtemp(join(tmpdir(), 'sipp-'));
    // Eight seconds of the clip, cut at an IDR, as ffmpeg sends them.
    const cut = ['-framerate', '25', '-i', `${clips}scene.h264`, '-frames:v', '200', '-c', 'copy'];
    await run('ffmpeg', ['-y', '-v', 'error', ...cut, join(shared, 'cut.h264')]);
    const packets = await captureFfmpegRtp(
      ['-framerate', '25', '-i', join(shared, 'cut.h264')],
      ['-c', 'copy', '-payload_type', '112'],
    );
    writePcap(join(shared, 'video.pcap'), packets);
  });
  afterAll(() => rm(shared, { recursive: true, force: true }));

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'sipp-'));
    sink = await RtmpSink.open({ recordDir: dir });
    gateway = await createCallGateway({ bindAddress: '127.0.0.1', transcoding: false });
  });
  afterEach(async () => {
    await gateway.close();
    await sink.close();
    await rm(dir, { recursive: true, force: true });
  });

  for (const transport of ['udp', 'tcp'] as const) {
    for (const digest of [undefined, { username: 'alice', password: 's3cret' }]) {
      it(`carries a call over ${transport}${digest ? ' with digest' : ''}, bit-exact`, async () => {
        const sipp = await startSipp(dir, {
          transport,
          ...(digest ? { digest } : {}),
          videoPcap: join(shared, 'video.pcap'),
          audioFile: `${clips}scene.alaw`,
        });
        const statuses: CallStatus[] = [];
        const call = await gateway.startup({
          callee: sipp.uri,
          sipTransport: transport,
          ...(digest ? { sipLogin: digest.username, sipPassword: digest.password } : {}),
          rtmpUrl: sink.url,
          rtmpStream: 'sipp',
        });
        call.on('status', (status) => statuses.push(status));
        await call.established();
        const publication = await sink.nextPublication();
        await new Promise((resolve) => {
          setTimeout(resolve, 9000);
        });
        const stats = call.stats();
        await call.terminate();
        await publication.ended;
        expect(await sipp.running.exited, sipp.running.output()).toBe(0);
        expect(statuses).toEqual(['RING', 'ESTABLISHED', 'FINISH']);
        expect(stats?.video).toMatchObject({ lost: 0, width: 640, height: 360, droppedFrames: 0 });
        expect(stats?.audio).toMatchObject({ lost: 0, codec: 'pcma' });

        const file = publication.filePath ?? '';
        const recorded = summarizeFlv(file);
        expect(recorded.video.slice(0, 2)).toEqual(['header', 'key']);
        expect(recorded.video.filter((role) => role !== 'header')).toHaveLength(200);
        const isParameterSet = (nalu: Buffer) => [7, 8].includes((nalu[0] ?? 0) & 0x1f);
        const sent = splitAnnexB(await readFile(join(shared, 'cut.h264')));
        const hex = (nalus: Buffer[]) => nalus.map((nalu) => nalu.toString('hex'));
        expect(hex([...recorded.nalus])).toEqual(hex(sent.filter((nalu) => !isParameterSet(nalu))));
        expect(await decodeErrors(file)).toBe('');
        // 25 frames a second, in order, and audio all the way.
        const lastVideoMs = recorded.videoTimesMs.at(-1) ?? 0;
        expect(lastVideoMs).toBeGreaterThan(7800);
        expect(lastVideoMs).toBeLessThan(8200);
        expect(recorded.audioTimesMs.at(-1)).toBeGreaterThan(8500);
        const steps = recorded.audioTimesMs
          .slice(1)
          .map((t, i) => t - (recorded.audioTimesMs[i] ?? 0));
        expect(Math.min(...steps)).toBeGreaterThanOrEqual(19);
        expect(Math.max(...steps)).toBeLessThanOrEqual(21);
      });
    }
  }

  it('ends FAILED with the SIP status when the password is wrong', async () => {
    const sipp = await startSipp(dir, {
      transport: 'udp',
      digest: { username: 'alice', password: 's3cret' },
    });
    const call = await gateway.startup({
      callee: sipp.uri,
      sipLogin: 'alice',
      sipPassword: 'wrong',
    });
    await expect(call.established()).rejects.toMatchObject({ code: 'CALL_FAILED', sipStatus: 403 });
    expect(call.view()).toMatchObject({ status: 'FAILED', sipStatus: 403, info: '403 Forbidden' });
    await sipp.running.stop();
  });

  it('follows a BYE of the peer', async () => {
    const sipp = await startSipp(dir, { transport: 'udp', hangUpAfterMs: 500 });
    const call = await gateway.startup({ callee: sipp.uri, rtmpUrl: sink.url, rtmpStream: 'bye' });
    await call.established();
    await call.closed();
    expect(call.view()).toMatchObject({
      status: 'FINISH',
      endedBy: 'remote',
      info: 'Normal call clearing',
    });
    const publication = await sink.nextPublication();
    await publication.ended;
    expect(publication.endedOrderly).toBe(true);
    expect(await sipp.running.exited, sipp.running.output()).toBe(0);
    expect(gateway.calls.find()).toEqual([]);
  });
});
