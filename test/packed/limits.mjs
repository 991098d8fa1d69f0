// What a server refuses that is full, that may not encode, that is asked too often, or that ends.

/** One call more than may be; encoders, viewers and readers that there are none left of. */
export async function driveFull({ client, peers, name, tone }) {
  const refuses = async (path, code, body, method = 'POST', template) => {
    const query = { status: 503, code, template, ...(body && { body }) };
    const answer = await client.refuses(method, path, query);
    answer.check(Number(answer.headers.get('retry-after')) > 0, 'Retry-After is missing');
  };
  const callee = `sip:phone@${peers.phone}`;
  const target = { rtmpUrl: peers.rtmp, rtmpStream: `${name}-refused` };
  await refuses('/call/startup', 'TRANSCODERS_BUSY', { callee, ...target });
  const { callId, streamName, mediaSessionId } = await openPlain({ client, peers, name });
  await refuses('/call/startup', 'TOO_MANY_CALLS', { callee });
  const encoded = { streamName, rtmpUrl: `${peers.rtmp}/full`, audio: 'aac' };
  await refuses('/push/startup', 'TRANSCODERS_BUSY', encoded);
  await refuses('/push/sound_on', 'TRANSCODERS_BUSY', { mediaSessionId, soundFile: tone });
  await refuses('/call/inject_sound', 'TRANSCODERS_BUSY', { callId, fileName: tone });
  const template = '/stream/{streamName}.flv';
  await refuses(`/stream/${streamName}.flv`, 'TOO_MANY_VIEWERS', undefined, 'GET', template);
  const stop = await client.occupy('/events', 100);
  try {
    await refuses('/events', 'TOO_MANY_READERS', undefined, 'GET');
  } finally {
    await stop();
  }
}

/** What needs an encoder where there is none is not possible: 501, and the field is named. */
export async function driveWithoutEncoders({ client, peers, name, tone }) {
  const { callId, mediaSessionId, streamName } = await openPlain({ client, peers, name });
  const refuses = (path, field, body) =>
    client.refuses('POST', path, { status: 501, code: 'NOT_IMPLEMENTED', field, body });
  await refuses('/push/sound_on', 'soundFile', { mediaSessionId, soundFile: tone });
  await refuses('/call/inject_sound', 'callId', { callId, fileName: tone });
  const noFfmpeg = { status: 501, code: 'NOT_IMPLEMENTED' };
  await client.refuses('POST', '/stream/snapshot', { ...noFfmpeg, body: { streamName } });
  for (const suffix of ['.jpg', '.png']) {
    const template = `/stream/{streamName}${suffix}`;
    await client.refuses('GET', `/stream/${streamName}${suffix}`, { ...noFfmpeg, template });
  }
  const body = { callee: `sip:phone@${peers.phone}`, audio: 'aac' };
  const impossible = { status: 400, code: 'INVALID_ARGUMENT', field: 'audio', body };
  await client.refuses('POST', '/call/startup', impossible);
  await client.does('/call/terminate', { callId });
  await client.untilGone('/call/find', { callId });
}

/** A call whose sound passes to the RTMP server as it comes. */
async function openPlain({ client, peers, name }) {
  const callId = `${name}-plain`;
  const streamName = `${name}-plain-stream`;
  await client.post('/call/startup', {
    callId,
    callee: `sip:phone@${peers.phone}`,
    toStream: streamName,
    rtmpUrl: peers.rtmp,
    rtmpStream: `${name}-plain`,
    audio: 'passthrough',
  });
  const isAnswered = ([call]) => call.status === 'ESTABLISHED';
  await client.until('answered', '/call/find', { callId }, isAnswered);
  const [push] = await client.finds('/push/find', { rtmpUrl: peers.rtmp });
  return { callId, streamName, mediaSessionId: push.mediaSessionId };
}

/** Calls that one address asks for too fast, and anything else. */
export async function driveFloods({ client }) {
  for (const [path, body, times] of [
    ['/call/startup', {}, 60],
    ['/push/startup', {}, 60],
    ['/call/history', {}, 400],
  ]) {
    const answers = await client.flood(path, body, times);
    const refused = answers.filter(({ status }) => status === 429);
    const [first] = answers;
    first.check(answers.length === times && refused.length > 0, 'So many must be too many');
    for (const answer of refused) {
      answer.check(answer.body.code === 'TOO_MANY_REQUESTS', 'Of another kind');
      answer.check(Number(answer.headers.get('retry-after')) > 0, 'Retry-After is missing');
    }
  }
}

/** At SIGTERM: no more calls, those that run go on until they end, and then the program ends with 0. */
export async function driveDraining({ client, peers, name, program }) {
  const callId = `${name}-last`;
  const callee = `sip:phone@${peers.phone}`;
  await client.post('/call/startup', { callId, callee });
  await client.until('answered', '/call/find', { callId }, ([one]) => one.status === 'ESTABLISHED');
  await program.terminate();
  const deadline = performance.now() + 5000;
  let ready = await client.ask('GET', '/ready', { isPage: true });
  while (ready.status === 200 && performance.now() < deadline)
    ready = await client.ask('GET', '/ready', { isPage: true });
  ready.check(ready.status === 503 && ready.body.status === 'draining', 'It must drain');
  ready.check(Number(ready.headers.get('retry-after')) > 0, 'Retry-After is missing');
  await client.page('/health');
  const refused = { status: 503, code: 'DRAINING', body: { callee } };
  const answer = await client.refuses('POST', '/call/startup', refused);
  answer.check(Number(answer.headers.get('retry-after')) > 0, 'Retry-After is missing');
  await client.finds('/call/find', { callId });
  await client.does('/call/terminate', { callId });
  await program.ended();
}
