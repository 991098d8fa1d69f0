// Calls from the command line, over the HTTP API of a running gateway (SIPCAST_URL, SIPCAST_BASIC_AUTH).
//
//   npm run -s example examples/call-cli.ts dial sip:phone@192.0.2.5 rtmp://127.0.0.1/live camera

import { setTimeout as sleep } from 'node:timers/promises';
import { client, problemOf } from './api.ts';

const commands: Readonly<Record<string, (...args: string[]) => Promise<void>>> = {
  /** Places a call, prints each status, and exits when the call ends. */
  async 'dial <callee> [rtmpUrl rtmpStream]'(callee, rtmpUrl, rtmpStream) {
    const callId = crypto.randomUUID();
    const target = rtmpUrl && rtmpStream ? { rtmpUrl, rtmpStream } : {};
    await client.startCall({ callId, callee: callee ?? '', ...target });
    let shown = '';
    for (;;) {
      // An ended call is no longer found; the history has the reason.
      const [found] = await client.findCalls({ callId });
      const call = found ?? (await client.history()).find((one) => one.callId === callId);
      const line = [callId, call?.status, call?.rtmpStreamStatus, call?.info].join(' ').trimEnd();
      if (line !== shown) console.log(line);
      shown = line;
      if (found === undefined) return;
      await sleep(200);
    }
  },
  async list() {
    for (const { callId, status, callee, rtmpStreamStatus } of await client.findCalls())
      console.log(callId, status, callee, rtmpStreamStatus ?? '');
  },
  async 'digits <callId> <digits>'(callId = '', dtmf = '') {
    await client.sendDtmf(callId, dtmf);
  },
  async 'hangup <callId>'(callId = '') {
    await client.terminateCall(callId);
  },
};

const [name, ...args] = process.argv.slice(2);
const usage = Object.keys(commands);
const command = commands[usage.find((line) => line.split(' ', 1)[0] === name) ?? ''];
try {
  if (!command) throw new Error(`Usage: call-cli ${usage.join(' | ')}`);
  await command(...args);
} catch (error) {
  console.error(problemOf(error));
  process.exitCode = 1;
}
