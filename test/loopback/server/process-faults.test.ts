// What happens to the process and its surroundings: too few files, a clock that is set, a stop of half a second.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { RtmpSink } from '@sipcast/testkit';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { openGateway, openPhone, openSink } from '../../support/call-ends.ts';
import { afterTest } from '../../support/cleanup.ts';
import { PrintedLines } from '../../support/printed-lines.ts';
import { Script } from '../../support/script.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const CLI = 'packages/server/src/cli.ts';
/** For a busy machine: conditions are waited for, and not times. */
const PATIENT = { timeout: 20_000 };
afterEach(async () => {
  vi.restoreAllMocks();
});

/** Starts a server, then takes all files that the process may open but 60. Loading the program would need more. */
const SHORT_OF_FILES = `
  import { closeSync, openSync } from "node:fs";
  import { serve } from "./packages/server/src/index.ts";
  const { url } = await serve({ port: 0, transcoding: false });
  const taken = [];
  try {
    for (;;) taken.push(openSync("/dev/null"));
  } catch (error) {
    if (error.code !== "EMFILE") throw error;
  }
  for (const file of taken.slice(-60)) closeSync(file);
  console.log("API at " + url);
`;

function post(url: string, body: object): Promise<Response> {
  const headers = { 'content-type': 'application/json' };
  return fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
}

describe('too few open files', () => {
  it('refuse calls and say why, end none that runs, and are enough again when calls end', async () => {
    const phone = await openPhone();
    const command = `ulimit -n 1024; exec '${process.execPath}' --conditions=source --import tsx --input-type=module --eval '${SHORT_OF_FILES}'`;
    const server = spawn('sh', ['-c', command], {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    afterTest(async () => {
      server.kill('SIGKILL');
      if (server.exitCode === null && server.signalCode === null) await once(server, 'exit');
    });
    const [, url = ''] = await new PrintedLines(server).first(/^API at (.*)$/, 20_000);
    // Four sockets each: far from enough for all.
    const calls = Array.from({ length: 30 }, (_, n) => `c${n}`);
    const statuses: number[] = [];
    for (const callId of calls)
      statuses.push((await post(`${url}/call/startup`, { callId, callee: phone.uri })).status);
    // No files for RTP: 503. Those for RTP were the last: it fails at its first message.
    expect(statuses.filter((status) => status !== 503)).toEqual(
      statuses.filter((status) => status === 200),
    );
    const taken = statuses.filter((status) => status === 200).length;
    const live = async (): Promise<number> => {
      const found = await post(`${url}/call/find`, { status: 'ESTABLISHED' });
      return found.status === 200 ? ((await found.json()) as unknown[]).length : 0;
    };
    const refused = async (): Promise<readonly string[]> => {
      const history = await fetch(`${url}/call/history`);
      const ended = (await history.json()) as { status: string; info: string }[];
      return ended.map(({ status, info }) => `${status} ${info}`);
    };
    await expect.poll(async () => (await live()) + (await refused()).length, PATIENT).toBe(taken);
    const before = await live();
    expect(before).toBeGreaterThan(5);
    expect(before).toBeLessThan(calls.length);
    for (const one of await refused()) expect(one).toMatch(/^FAILED .*EMFILE/);
    expect(await live()).toBe(before);
    for (const callId of calls) await post(`${url}/call/terminate`, { callId });
    await expect.poll(live, PATIENT).toBe(0);
    await expect
      .poll(async () => (await post(`${url}/call/startup`, { callee: phone.uri })).status, PATIENT)
      .toBe(200);
    expect(server.exitCode).toBeNull();
  });
});

describe('a wall clock that is set', () => {
  it.each([3_600_000, -3_600_000])(
    'by %i ms changes nothing for a call, its stream and its passwords',
    async (ms) => {
      const auth = { username: 'alice', password: 'secret' };
      const phone = await openPhone({ script: { auth }, register: { auth } });
      const sink = await openSink();
      const gateway = await openGateway();
      const account = { sipLogin: 'alice', sipPassword: 'secret', sipRegisterRequired: true };
      const target = { callee: phone.uri, rtmpUrl: sink.url, ...account };
      const first = await gateway.startup({ ...target, rtmpStream: 'first' });
      await expect.poll(() => first.rtmpStreamStatus, PATIENT).toBe('RTMP_STREAM_ACTIVE');
      const frames = (): number =>
        sink.publications[0]?.tags.filter(({ type }) => type === 9).length ?? 0;
      await expect.poll(frames, PATIENT).toBeGreaterThan(10);
      const now = Date.now;
      vi.spyOn(Date, 'now').mockImplementation(() => now() + ms);
      const before = frames();
      await expect.poll(frames, PATIENT).toBeGreaterThan(before + 25);
      const second = await gateway.startup({ ...target, rtmpStream: 'second' });
      await second.established();
      await expect.poll(() => second.rtmpStreamStatus, PATIENT).toBe('RTMP_STREAM_ACTIVE');
      expect([first.status, first.rtmpStreamStatus]).toEqual(['ESTABLISHED', 'RTMP_STREAM_ACTIVE']);
      const times = sink.publications[0]?.tags.map(({ timestampMs }) => timestampMs) ?? [];
      expect(times.every((time, n) => n === 0 || time - (times[n - 1] ?? 0) < 1000)).toBe(true);
      await Promise.all([first.terminate(), second.terminate()]);
      expect(phone.violations).toEqual([]);
    },
  );
});

describe('a process that stands still for half a second', () => {
  it('goes on with its calls, in order, and fills what it missed', async () => {
    const [phone, sink] = [await openPhone(), await openSink()];
    const script = new Script(CLI, ['serve', '--port', '0', '--no-transcoding']);
    afterTest(() => script.kill());
    const [, url = ''] = await script.line(/HTTP API at (\S+),/);
    const target = { rtmpUrl: sink.url, rtmpStream: 'key' };
    await post(`${url}/call/startup`, { callId: 'c1', callee: phone.uri, ...target });
    const tags = (): RtmpSink['publications'][number]['tags'] => sink.publications[0]?.tags ?? [];
    await expect.poll(() => tags().length, PATIENT).toBeGreaterThan(100);
    script.signal('SIGSTOP');
    await new Promise((resolve) => {
      setTimeout(resolve, 500);
    });
    script.signal('SIGCONT');
    const before = tags().length;
    await expect.poll(() => tags().length, PATIENT).toBeGreaterThan(before + 150);
    const found = await post(`${url}/call/find`, { callId: 'c1' });
    expect(await found.json()).toMatchObject([
      { status: 'ESTABLISHED', rtmpStreamStatus: 'RTMP_STREAM_ACTIVE' },
    ]);
    for (const type of [8, 9]) {
      const times = tags()
        .filter((tag) => tag.type === type)
        .map(({ timestampMs }) => timestampMs);
      expect(times).toEqual(times.toSorted((a, b) => a - b));
    }
    // No sound is missing: each piece of 20 ms begins where the one before has ended, give or take its rounding.
    const sound = tags()
      .filter(({ type }) => type === 8)
      .map(({ timestampMs }) => timestampMs);
    const gaps = sound.slice(1).map((time, n) => time - (sound[n] ?? 0));
    expect(Math.max(...gaps)).toBeLessThanOrEqual(40);
  });
});
