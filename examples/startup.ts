// A call in code: place it, wait for the answer, look at the received media, hang up.
//
//   npm run -s example examples/startup.ts sip:phone@192.0.2.5 rtmp://127.0.0.1/live camera

import { setTimeout as sleep } from 'node:timers/promises';
import { createCallGateway, GatewayError } from '@sipcast/core';

const [callee, rtmpUrl, rtmpStream] = process.argv.slice(2);
const seconds = Number(process.env['SECONDS_ON_AIR'] ?? 10);
if (callee === undefined || rtmpUrl === undefined || rtmpStream === undefined) {
  console.error('Usage: startup <callee> <rtmpUrl> <rtmpStream>');
  process.exit(2);
}

const callGateway = await createCallGateway();
try {
  const call = await callGateway.startup({ callee, rtmpUrl, rtmpStream, sipLogin: 'door' });
  call.on('status', (status) => console.log('call', status));
  call.on('rtmpStreamStatus', (status) => console.log('rtmp', status));

  await call.established();
  // The peer may hang up before us.
  await Promise.race([sleep(seconds * 1000, undefined, { ref: false }), call.closed()]);

  const video = call.stats()?.video;
  console.log(`received ${video?.width}×${video?.height}, ${video?.frames} frames`);
  await call.terminate();
} catch (error) {
  if (!(error instanceof GatewayError)) throw error;
  console.error(error.code, error.message);
  process.exitCode = 1;
} finally {
  await callGateway.close();
}
