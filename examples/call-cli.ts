// Calls from the command line, over the HTTP API of a running gateway (SIPCAST_URL, SIPCAST_BASIC_AUTH).
//
//   tsx examples/call-cli.ts dial sip:phone@192.0.2.5 rtmp://127.0.0.1/live camera

import { setTimeout as sleep } from 'node:timers/promises';
import type { CallView } from '@sipcast/core';
import { post } from './api.ts';

const commands: Readonly<Record<string, (...args: string[]) => Promise<void>>> = {
  /** Dials, prints each status, and ends with the call. */
  async 'dial <callee> [rtmpUrl rtmpStream]'(callee, rtmpUrl, rtmpStream) {
    const callId = crypto.randomUUID();
    await post('/call/startup', { callId, callee, rtmpUrl, rtmpStream });
    let shown = '';
    for (;;) {
      // 404 is how a poller learns of the end; why is in the history.
      const found = await post('/call/find', { callId }).catch(() => undefined);
      const calls = (found ?? (await post('/call/history'))) as CallView[];
      const call = calls.find((one) => one.callId === callId);
      const line = [callId, call?.status, call?.rtmpStreamStatus, call?.info].join(' ').trimEnd();
      if (line !== shown) console.log(line);
      shown = line;
      if (found === undefined) return;
      await sleep(200);
    }
  },
  async list() {
    for (const { callId, status, callee, rtmpStreamStatus } of (await post(
      '/call/find_all',
    )) as CallView[])
      console.log(callId, status, callee, rtmpStreamStatus ?? '');
  },
  async 'digits <callId> <digits>'(callId, dtmf) {
    await post('/call/send_dtmf', { callId, dtmf });
  },
  async 'hangup <callId>'(callId) {
    await post('/call/terminate', { callId });
  },
};

const [name, ...args] = process.argv.slice(2);
const usage = Object.keys(commands);
const command = commands[usage.find((line) => line.split(' ', 1)[0] === name) ?? ''];
try {
  if (!command) throw new Error(`Usage: call-cli ${usage.join(' | ')}`);
  await command(...args);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
