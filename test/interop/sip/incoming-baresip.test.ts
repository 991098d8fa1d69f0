// baresip calls us: its picture and sound are recorded by nginx-rtmp, held and resumed on the way.

import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import { beforeEach, expect, it } from 'vitest';
import { startBaresip } from '../../support/baresip.ts';
import { openGateway } from '../../support/call-ends.ts';
import { afterTest } from '../../support/cleanup.ts';
import { decodeErrors, summarizeFlv } from '../../support/flv-check.ts';
import { makeFolder } from '../../support/folder.ts';
import { startNginxRtmp } from '../../support/nginx-rtmp.ts';
import { describeWith } from '../../support/programs.ts';

describeWith(['baresip', 'nginx', 'ffmpeg', 'ffprobe'], 'baresip as the caller', () => {
  let dir: string;

  beforeEach(async () => {
    dir = await makeFolder();
  });

  it('is put on air, held by us and back, without a decode error', async () => {
    const nginx = await startNginxRtmp(dir);
    afterTest(() => nginx.stop());
    const gateway = await openGateway({
      incoming: {
        rules: [
          {
            match: { calledUser: 'studio', source: '127.0.0.1' },
            accept: { rtmpUrl: nginx.url, rtmpStream: 'from-{caller}', toStream: 'in' },
          },
        ],
      },
      transcoding: {},
    });
    const phone = await startBaresip(join(dir, 'baresip'), {
      dial: `sip:studio@127.0.0.1:${gateway.sipPort}`,
    });
    afterTest(() => phone.stop());
    await expect.poll(() => gateway.calls.live.length, { timeout: 10_000 }).toBe(1);
    const [call] = gateway.calls.live;
    await call!.established();
    await expect.poll(() => call!.rtmpStreamStatus, { timeout: 10_000 }).toBe('RTMP_STREAM_ACTIVE');
    await sleep(3000);
    expect(call!.stats()?.video).toMatchObject({ width: 640, height: 360, lost: 0 });
    await call!.hold();
    expect(call!.status).toBe('HOLD');
    expect(call!.view().sdp).toMatch(/a=(recvonly|inactive)/);
    await sleep(3000);
    await call!.resume();
    expect(call!.status).toBe('ESTABLISHED');
    await sleep(3000);
    expect(call!.rtmpStreamStatus).toBe('RTMP_STREAM_ACTIVE');
    await call!.terminate();
    // It answers the BYE first and tells its user then.
    await expect.poll(() => phone.output()).toMatch(/session closed|terminated/i);
    // nginx closes the file when the publisher has left.
    const [file = ''] = await nginx.finished();
    expect(await decodeErrors(file)).toBe('');
    const recorded = summarizeFlv(file);
    expect(recorded.video.slice(0, 2)).toEqual(['header', 'key']);
    // Nine seconds, of which three are a picture that stands still and is said again every two seconds.
    const [first = 0] = recorded.videoTimesMs;
    const lengthMs = (recorded.videoTimesMs.at(-1) ?? 0) - first;
    expect(lengthMs).toBeGreaterThan(7500);
    const steps = recorded.videoTimesMs.slice(1).map((ms, at) => ms - recorded.videoTimesMs[at]!);
    expect(Math.max(...steps)).toBeLessThan(3000);
    expect(Math.min(...steps)).toBeGreaterThanOrEqual(0);
    expect(recorded.videoTimesMs.length).toBeGreaterThan(100);
  }, 60_000);
});
