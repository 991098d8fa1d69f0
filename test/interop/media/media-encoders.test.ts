// Encoders that crash, hang, flood and die for good under whole calls, and a gateway that is killed: real ffmpeg processes.

import { setTimeout as sleep } from 'node:timers/promises';
import { execFileSync } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Call, CallGateway, CallStatus } from '@sipcast/core';
import type { RtmpSink } from '@sipcast/testkit';
import type { CallScript, RtmpPublication } from '@sipcast/testkit';
import { beforeEach, expect, it } from 'vitest';
import { openGateway, openPhone, openSink } from '../../support/call-ends.ts';
import { afterTest } from '../../support/cleanup.ts';
import { describeWith } from '../../support/programs.ts';
import { probeRecording } from '../../support/recording.ts';
import type { Recording } from '../../support/recording.ts';
import { Script } from '../../support/script.ts';
import { makeFolder } from '../../support/folder.ts';

const AAC_STEP_MS = 24;

/** ffmpeg processes whose parent is this one. */
function encoders(what: 'aac' | 'libx264', parent = process.pid): number[] {
  const rows = execFileSync('ps', ['-e', '-o', 'pid=,ppid=,stat=,args=']).toString().split('\n');
  return rows.flatMap((row) => {
    const [pid, ppid, state] = row.trim().split(/\s+/, 3);
    const isOne =
      Number(ppid) === parent &&
      !state?.startsWith('Z') &&
      row.includes(`-c:${what === 'aac' ? 'a' : 'v'} ${what}`);
    return isOne ? [Number(pid)] : [];
  });
}

describeWith(['ffmpeg', 'ffprobe', 'ps'], 'encoders under a call', () => {
  let dir: string;
  let sink: RtmpSink;
  beforeEach(async () => {
    dir = await makeFolder();
    sink = await openSink({ recordDir: dir });
  });

  async function onAir(gateway: CallGateway, script: CallScript) {
    const peer = await openPhone({ script });
    const rtmpStream = `air-${sink.publications.length}`;
    const call = await gateway.startup({ callee: peer.uri, rtmpUrl: sink.url, rtmpStream });
    const statuses: CallStatus[] = [];
    call.on('status', (status) => statuses.push(status));
    await call.established();
    const publication = await sink.nextPublication();
    await expect.poll(() => publication.tags.some(({ type }) => type === 8)).toBe(true);
    return { call, publication, statuses, peer };
  }

  /** Ends the call, and looks at what was recorded of it. */
  async function finish(call: Call, publication: RtmpPublication): Promise<Recording> {
    await call.terminate();
    await publication.ended;
    return probeRecording(publication.filePath!);
  }

  /** When the next picture came that is none of the frozen ones, from now on. */
  async function nextPictures(publication: RtmpPublication, timeoutMs: number): Promise<number> {
    const inter = (): number =>
      publication.tags.filter(({ type, body }) => type === 9 && body[0]! >> 4 === 2).length;
    const before = inter();
    const startMs = performance.now();
    await expect.poll(inter, { timeout: timeoutMs, interval: 20 }).toBeGreaterThan(before + 5);
    return performance.now() - startMs;
  }

  it('that are killed are started again: no hole in the sound, pictures again within 2 s', async () => {
    const { call, publication, statuses } = await onAir(await openGateway({ transcoding: {} }), {
      videoCodec: 'VP8',
    });
    await nextPictures(publication, 5000);
    await sleep(1000);
    const [audioPid] = encoders('aac');
    process.kill(audioPid!, 'SIGKILL');
    await sleep(2000);
    expect(encoders('aac')).not.toEqual([audioPid]);
    const [videoPid] = encoders('libx264');
    process.kill(videoPid!, 'SIGKILL');
    // What it had encoded may still be in the pipe.
    await sleep(100);
    const againMs = 100 + (await nextPictures(publication, 5000));
    await sleep(1000);
    const stats = call.stats();
    expect(call.status).toBe('ESTABLISHED');
    const { audio, video, errors } = await finish(call, publication);
    console.log(
      `encoders killed: largest AAC step ${audio!.largestStepMs} ms, pictures again after ${againMs.toFixed(0)} ms, largest picture step ${video!.largestStepMs} ms`,
    );
    expect(stats).toMatchObject({
      audioTranscoder: { restarts: 1 },
      videoTranscoder: { restarts: 1 },
    });
    expect(statuses.slice(-2)).toEqual(['ESTABLISHED', 'FINISH']);
    expect(errors).toBe('');
    expect([audio!.backwards, video!.backwards]).toEqual([0, 0]);
    expect(audio!.largestStepMs).toBeLessThanOrEqual(AAC_STEP_MS);
    expect(againMs).toBeLessThan(2000);
  });

  it('that hang are replaced: silence meanwhile, pictures again 2 s behind the watchdog', async () => {
    const { call, publication } = await onAir(await openGateway({ transcoding: {} }), {
      videoCodec: 'VP8',
    });
    await nextPictures(publication, 5000);
    await sleep(500);
    process.kill(encoders('aac')[0]!, 'SIGSTOP');
    process.kill(encoders('libx264')[0]!, 'SIGSTOP');
    await sleep(100);
    const againMs = 100 + (await nextPictures(publication, 9000));
    await expect.poll(() => call.stats()?.audioTranscoder?.restarts, { timeout: 3000 }).toBe(1);
    await sleep(1500);
    expect(call.status).toBe('ESTABLISHED');
    const stats = call.stats();
    const { audio, video, errors } = await finish(call, publication);
    console.log(
      `encoders hung: largest AAC step ${audio!.largestStepMs} ms, ${stats?.silenceInsertedMs?.toFixed(0)} ms of silence, pictures again after ${againMs.toFixed(0)} ms, ${stats?.video?.frozenFrames} frozen`,
    );
    expect(errors).toBe('');
    expect([audio!.backwards, video!.backwards]).toEqual([0, 0]);
    expect(audio!.largestStepMs).toBeLessThanOrEqual(AAC_STEP_MS);
    expect(againMs).toBeLessThan(5500);
    expect(Math.abs(audio!.spanMs - video!.spanMs)).toBeLessThan(1000);
  });

  /** An ffmpeg that does as it should, until a file says otherwise. */
  async function moodyFfmpeg(more: string): Promise<{ path: string; flag: string }> {
    const path = join(dir, 'ffmpeg');
    const flag = join(dir, 'flag');
    await writeFile(path, `#!/bin/sh\n${more.replaceAll('FLAG', flag)}\nexec ffmpeg "$@"\n`, {
      mode: 0o755,
    });
    return { path, flag };
  }

  it('that die again and again end their call only, which says so', async () => {
    const { path, flag } = await moodyFfmpeg(
      'case "$*" in *libx264*) if [ -e FLAG ]; then echo "no more" >&2; exit 3; fi ;; esac',
    );
    const gateway = await openGateway({ transcoding: { ffmpegPath: path } });
    const other = await onAir(gateway, {});
    const { call, statuses, publication, peer } = await onAir(gateway, { videoCodec: 'VP8' });
    await nextPictures(publication, 5000);
    await writeFile(flag, '');
    process.kill(encoders('libx264')[0]!, 'SIGKILL');
    await call.closed();
    expect(statuses.at(-1)).toBe('FAILED');
    console.log(`encoder given up: ${call.view().info}`);
    expect(call.view()).toMatchObject({ status: 'FAILED', endedBy: 'gateway' });
    expect(call.view().info).toMatch(/ffmpeg ended with 3: no more$/);
    expect((await peer.calls[0]!.ended).how).toBe('bye');
    expect(other.call.status).toBe('ESTABLISHED');
    expect(gateway.encoders).toEqual({ audio: 1, video: 0 });
    await sleep(500);
    const { audio, errors } = await finish(other.call, other.publication);
    expect(errors).toBe('');
    expect(audio!.largestStepMs).toBeLessThanOrEqual(AAC_STEP_MS);
  });

  it('that flood stderr affect nothing else', async () => {
    // 20 MB each, while it encodes.
    const { path } = await moodyFfmpeg(
      'case "$*" in *pipe:1*) (head -c 20000000 /dev/zero | tr "\\0" x >&2) & ;; esac',
    );
    const gateway = await openGateway({ transcoding: { ffmpegPath: path } });
    const { call, publication } = await onAir(gateway, { videoCodec: 'VP8' });
    await nextPictures(publication, 5000);
    await sleep(2000);
    expect(call.stats()).toMatchObject({
      audioTranscoder: { restarts: 0, framesDropped: 0 },
      videoTranscoder: { restarts: 0, framesDropped: 0 },
    });
    const { audio, errors } = await finish(call, publication);
    console.log(`encoders flooded stderr: largest AAC step ${audio!.largestStepMs} ms`);
    expect(errors).toBe('');
    expect(audio!.largestStepMs).toBeLessThanOrEqual(AAC_STEP_MS);
  });

  it('of three calls are gone 2 s after their gateway was killed', async () => {
    const peer = await openPhone({ script: { videoCodec: 'VP8' } });
    const file = `test/gateway-${process.pid}.mts`;
    const path = join(import.meta.dirname, `../../gateway-${process.pid}.mts`);
    await writeFile(
      path,
      `import { createCallGateway } from '@sipcast/core';
const gateway = await createCallGateway({ bindAddress: '127.0.0.1' });
for (const rtmpStream of ['one', 'two', 'three']) {
  const call = await gateway.startup({ callee: '${peer.uri}', rtmpUrl: '${sink.url}', rtmpStream });
  await call.established();
}
console.log('pid', process.pid);
`,
    );
    const script = new Script(file);
    afterTest(() => script.kill());
    try {
      const pid = Number((await script.line(/^pid (\d+)$/))[1]);
      const all = (): number[] => [...encoders('aac', pid), ...encoders('libx264', pid)];
      await expect.poll(() => all().length, { timeout: 5000 }).toBe(6);
      await expect
        .poll(() => sink.publications.filter(({ tagCount }) => tagCount > 100).length, {
          timeout: 10_000,
        })
        .toBe(3);
      const pids = all();
      const killedMs = performance.now();
      script.signal('SIGKILL');
      const alive = (): number => {
        const rows = execFileSync('ps', ['-e', '-o', 'pid=,stat=']).toString().split('\n');
        return rows.filter((row) => pids.includes(Number.parseInt(row, 10)) && !/\bZ/.test(row))
          .length;
      };
      await expect.poll(alive, { timeout: 2000, interval: 20 }).toBe(0);
      console.log(
        `gateway killed: its 6 encoders were gone after ${(performance.now() - killedMs).toFixed(0)} ms`,
      );
    } finally {
      await rm(path);
    }
  });
});
