// Manages pushes of a named stream (`toStream` of a call) over the HTTP API of a running gateway.
//
//   npm run -s example examples/push-cli.ts start camera rtmp://a.example/live2

import type { RtmpPushView } from '@sipcast/core';
import { client, problemOf } from './api.ts';

function show({ mediaSessionId, streamName, status, muted, bytesSent }: RtmpPushView): void {
  console.log(
    mediaSessionId,
    streamName,
    status,
    muted ? 'muted' : 'audible',
    `${bytesSent} bytes`,
  );
}

const commands: Readonly<Record<string, (...args: string[]) => Promise<void>>> = {
  async 'start <streamName> <rtmpUrl>'(streamName = '', rtmpUrl = '') {
    show(await client.startPush({ streamName, rtmpUrl }));
  },
  async 'list [streamName]'(streamName) {
    const filter = streamName === undefined ? {} : { streamName };
    // No push is an error here: `findPushes` would return an empty list.
    for (const push of await client.ask('/push/find', filter)) show(push);
  },
  async 'mute <mediaSessionId>'(mediaSessionId) {
    await client.ask('/push/mute', { mediaSessionId });
  },
  async 'unmute <mediaSessionId>'(mediaSessionId) {
    await client.ask('/push/unmute', { mediaSessionId });
  },
  async 'stop <mediaSessionId>'(mediaSessionId = '') {
    await client.terminatePush(mediaSessionId);
  },
};

const [name, ...args] = process.argv.slice(2);
const usage = Object.keys(commands);
const command = commands[usage.find((line) => line.split(' ', 1)[0] === name) ?? ''];
try {
  if (!command) throw new Error(`Usage: push-cli ${usage.join(' | ')}`);
  await command(...args);
} catch (error) {
  console.error(problemOf(error));
  process.exitCode = 1;
}
