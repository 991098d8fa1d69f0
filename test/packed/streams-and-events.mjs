// Streams that are watched, events that are read, and the pages beside the API.

import { isStream, wrongWithEvent } from './shapes.mjs';

/** Streams, and their live FLV. */
export async function driveStreams(session, { callId, toStream: streamName }) {
  const { client, isProtected } = session;
  for (const method of ['POST', 'GET']) {
    for (const [path, fields] of [
      ['/stream/find', { streamName }],
      ['/stream/find_all', {}],
    ]) {
      const found = await client.finds(path, fields, method);
      const { answer } = found[0];
      const stream = found.find((one) => one.streamName === streamName);
      answer.check(stream?.callId === callId && stream.live, 'The stream of the call is missing');
      for (const one of found) isStream(answer, one);
    }
    const none = { status: 404, code: 'STREAM_NOT_FOUND' };
    if (method === 'POST')
      await client.refuses(method, '/stream/find', { ...none, body: { streamName: 'none' } });
    else await client.refuses(method, '/stream/find?streamName=none', none);
  }
  const path = `/stream/${streamName}.flv`;
  const template = '/stream/{streamName}.flv';
  await isFlv(client, path, template);
  const { body } = await client.post('/stream/token', { streamName, ttlSeconds: 60 });
  // A player has no account, but the address that it was given.
  const player = client.as();
  const query = new URL(body.path, client.url).search;
  await isFlv(player, path + query, template);
  const none = { status: 404, code: 'STREAM_NOT_FOUND', template };
  await client.refuses('GET', '/stream/none.flv', none);
  await drivePictures(session, streamName);
  if (!isProtected) return;
  const refused = { status: 401, code: 'UNAUTHORIZED', field: 'authorization', template };
  await player.refuses('GET', path, refused);
  await player.refuses('GET', `${path}${query.slice(0, -1)}`, refused);
  await player.refuses('GET', `/stream/other.flv${query}`, refused);
}

/** Snapshots and HLS, and what they answer before there is a picture. */
async function drivePictures({ client, peers, name }, streamName) {
  const isAll = ({ status, octets }) => status !== 200 || octets.length > 0;
  const resources = [
    ['.jpg', 'image/jpeg'],
    ['.png', 'image/png'],
    ['/index.m3u8', 'application/vnd.apple.mpegurl'],
  ];
  const { body } = await client.post('/stream/snapshot', { streamName });
  const image = Buffer.from(body.data, 'base64');
  const template = (suffix) => `/stream/{streamName}${suffix}`;
  for (const [suffix, type] of resources) {
    const path = `/stream/${streamName}${suffix}`;
    const answer = await client.read(path, isAll, { template: template(suffix) });
    answer.check(answer.status === 200, 'The status must be 200');
    answer.check(answer.headers.get('content-type') === type, `It must be ${type}`);
    answer.check(image.toString('latin1', 1, 4) === 'PNG', 'The snapshot must be PNG');
  }
  // A call that is never answered has a stream without pictures and sound.
  const callId = `${name}-unanswered`;
  const reserved = `${callId}-stream`;
  const callee = `sip:silent@${peers.phone}`;
  await client.post('/call/startup', { callId, callee, toStream: reserved });
  for (const [suffix] of resources) {
    const refused = { template: template(suffix) };
    const none = { status: 404, code: 'STREAM_NOT_FOUND', ...refused };
    await client.refuses('GET', `/stream/none${suffix}`, none);
    const early = { status: 409, code: 'NO_PICTURE', ...refused };
    await client.refuses('GET', `/stream/${reserved}${suffix}`, early);
  }
  const snapshot = { status: 409, code: 'NO_PICTURE', body: { streamName: reserved } };
  await client.refuses('POST', '/stream/snapshot', snapshot);
  await client.does('/call/terminate', { callId });
}

/** Header, metadata, sequence headers and more. */
async function isFlv(client, path, template) {
  const answer = await client.read(
    path,
    ({ status, octets }) => status !== 200 || octets.length > 20_000,
    {
      template,
    },
  );
  answer.check(answer.status === 200, 'The status must be 200');
  answer.check(answer.headers.get('content-type') === 'video/x-flv', 'It must be FLV');
  answer.check(answer.octets.subarray(0, 3).toString() === 'FLV', 'It must begin as FLV');
  answer.check(answer.octets.length > 20_000, 'Nothing comes');
}

/** @returns the events of an answer, oldest first */
function eventsIn({ text }) {
  return text
    .split('\n\n')
    .slice(0, -1)
    .map((block) => Object.fromEntries(block.split('\n').map((line) => line.split(/: (.*)/s))))
    .filter(({ event }) => event !== undefined)
    .map(({ id, event, data }) => ({ id, event, data: JSON.parse(data) }));
}

/** Reads what happens from a number on that is not read yet. */
export async function openEvents({ client }) {
  const answer = await client.read('/events', ({ text }) => text.includes('\n\n'));
  answer.check(answer.headers.get('content-type') === 'text/event-stream', 'Of another type');
  const [opened] = eventsIn(answer);
  answer.check(opened?.event === 'FeedOpened' && opened.data.nodeId !== undefined, 'No beginning');
  return opened.id;
}

/** Resumes by Last-Event-ID: the statuses of the call in order, from its beginning. */
export async function driveEvents({ client }, lastId, callId) {
  const header = `Last-Event-ID: ${lastId}`;
  const isOver = ({ event, data }) =>
    event === 'CallStatusEvent' && data.callId === callId && data.status === 'FINISH';
  const answer = await client.read('/events', (soFar) => eventsIn(soFar).some(isOver), {
    headers: [header],
  });
  const events = eventsIn(answer);
  answer.check(events[0]?.data.missed === false, 'Nothing may be missed');
  const statuses = events
    .filter(({ event, data }) => event === 'CallStatusEvent' && data.callId === callId)
    .map(({ data }) => data.status);
  answer.check(statuses[0] === 'PENDING' || statuses[0] === 'NEW', 'It must begin with the call');
  for (const status of ['ESTABLISHED', 'HOLD', 'FINISH'])
    answer.check(statuses.includes(status), `${status} is missing`);
  const numbers = events.filter(({ id }) => id !== undefined).map(({ id }) => Number(id));
  const isRising = numbers.every((one, at) => at === 0 || one > numbers[at - 1]);
  answer.check(isRising && numbers[0] > Number(lastId), 'The numbers must rise');
}

/** What the application has got by POST: documented keys, in order. */
export async function driveApplication({ peers }, callId) {
  const isOver = (all) => all.some(({ event }) => event.status === 'FINISH');
  const events = await peers.until('the end as an event', isOver, 'events', callId);
  const problem = (words) => {
    throw new Error(`CallStatusEvent of ${callId} ${words}: ${JSON.stringify(events)}`);
  };
  let last = 0;
  for (const { path, type, event } of events) {
    const isProblem = path === '/CallApp/CallProblem';
    if (!isProblem && path !== '/CallApp/CallStatusEvent') problem(`went to ${path}`);
    if (!type.startsWith('application/json')) problem(`is ${type}`);
    // While the call is on hold, nothing of it goes on air.
    if (isProblem && !('medium' in event && 'problem' in event && 'since' in event))
      problem('has a CallProblem without its keys');
    const wrong = isProblem ? undefined : wrongWithEvent(event);
    if (wrong !== undefined) problem(wrong);
    if (event.sequence <= last) problem('is out of order');
    last = event.sequence;
  }
}

/** The document, its page, the console, and what whoever watches asks for. */
export async function drivePages({ client, isProtected }) {
  const { body: document } = await client.get('/openapi.json');
  const docs = await client.get('/docs');
  docs.check(docs.text.includes('/call/startup'), 'The methods are missing');
  docs.check(docs.headers.get('content-type').startsWith('text/html'), 'It must be HTML');
  const stranger = client.as();
  const health = await stranger.page('/health');
  health.check(health.body.status === 'up', 'It must be up');
  const ready = await stranger.page('/ready');
  ready.check(ready.body.status === 'ready', 'It must be ready');
  const metrics = await client.page('/metrics');
  metrics.check(metrics.text.includes('\nsipcast_calls{'), 'No calls are counted');
  await client.page('/console/');
  if (!isProtected) return document;
  for (const page of ['/metrics', '/console/']) await stranger.page(page, 401);
  return document;
}
