// The queries of pushes, against the named stream of a call.

import { isPush } from './shapes.mjs';

/** Starts, finds, changes and ends pushes. */
export async function drivePushes({ client, peers, name, tone }, { callId, toStream }) {
  const rtmpUrl = `${peers.rtmp}/${name}`;
  const started = await client.post('/push/startup', {
    streamName: toStream,
    rtmpUrl,
    rtmpTransponderFullUrl: false,
    options: { action: 'mute' },
  });
  const { body: push } = started;
  isPush(started, push);
  started.check(push.muted === true, 'action: mute');
  started.check(push.rtmpUrl === rtmpUrl && push.streamName === toStream, 'Not as it was given');
  const { mediaSessionId } = push;
  started.check(mediaSessionId.includes(callId), 'The mediaSessionId must contain the callId');
  const isIt = (one) => one.mediaSessionId === mediaSessionId;
  const find = { streamName: toStream };
  for (const fields of [
    find,
    { streamName: `rtmp_${toStream}` },
    { rtmpUrl },
    { ...find, rtmpUrl },
  ])
    for (const method of ['POST', 'GET']) {
      const found = await client.finds('/push/find', fields, method);
      found[0].answer.check(found.some(isIt), 'The push is missing');
    }
  await client.refuses('POST', '/push/find', {
    status: 404,
    code: 'PUSH_NOT_FOUND',
    body: { ...find, rtmpUrl: `${rtmpUrl}/other` },
  });
  for (const method of ['POST', 'GET']) {
    const found = await client.finds('/push/find_all', {}, method);
    found[0].answer.check(found.some(isIt), 'The push is missing');
    for (const one of found) isPush(found[0].answer, one);
  }
  await refusePushes(client, { streamName: toStream, rtmpUrl });

  const isActive = (pushes) => pushes.find(isIt).status === 'RTMP_STREAM_ACTIVE';
  await client.until('on air', '/push/find', find, isActive);
  const change = async (method, more, key, value) => {
    await client.does(`/push/${method}`, { mediaSessionId, ...more });
    const found = await client.finds('/push/find', find);
    found[0].answer.check(found.find(isIt)[key] === value, `${key} must be ${value}`);
  };
  // Without effect while it is on air.
  await client.does('/push/retry', { mediaSessionId });
  await change('unmute', {}, 'muted', false);
  await change('mute', {}, 'muted', true);
  await change('sound_on', { soundFile: tone, loop: 'true' }, 'soundEnabled', true);
  await change('sound_off', {}, 'soundEnabled', false);
  const noFile = { mediaSessionId, soundFile: 'none.wav' };
  await client.refuses('POST', '/push/sound_on', {
    status: 404,
    code: 'FILE_NOT_FOUND',
    body: noFile,
  });
  await peers.until('the push', (one) => one.audio > 5 && one.video > 5, 'publication', toStream);
  await client.does('/push/terminate', { mediaSessionId });
  await client.untilGone('/push/find', { rtmpUrl });
  await peers.until('deleteStream', (one) => one.endedOrderly, 'publication', toStream);
  await driveFullUrl({ client, peers, name }, toStream);
}

/** The URL holds the name to publish under. */
async function driveFullUrl({ client, peers, name }, streamName) {
  const rtmpUrl = `${peers.rtmp}/${name}-key`;
  const rtmpTransponderFullUrl = 'true';
  const { body } = await client.post('/push/startup', {
    streamName,
    rtmpUrl,
    rtmpTransponderFullUrl,
  });
  await peers.until('the key', (one) => one.video > 0, 'publication', `${name}-key`);
  await client.does('/push/terminate', { mediaSessionId: body.mediaSessionId });
}

async function refusePushes(client, { streamName, rtmpUrl }) {
  const refuses = (status, code, field, body) =>
    client.refuses('POST', '/push/startup', { status, code, field, body });
  await refuses(409, 'PUSH_EXISTS', 'rtmpUrl', { streamName, rtmpUrl });
  await refuses(404, 'STREAM_NOT_FOUND', 'streamName', { streamName: 'none', rtmpUrl });
  await refuses(400, 'INVALID_ARGUMENT', 'rtmpUrl', { streamName, rtmpUrl: 'http://127.0.0.1/' });
  await refuses(400, 'INVALID_ARGUMENT', 'rtmpUrl', { streamName, rtmpUrl: '' });
}
