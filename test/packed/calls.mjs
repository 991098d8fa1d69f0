// The queries of calls, one after the other, against a call that stands.

import { isCall } from './shapes.mjs';

/** Before there is any call: 404, and never an empty list. */
export async function driveNoCalls({ client }) {
  for (const method of ['POST', 'GET'])
    for (const [kind, code] of [
      ['call', 'CALL_NOT_FOUND'],
      ['push', 'PUSH_NOT_FOUND'],
      ['stream', 'STREAM_NOT_FOUND'],
    ])
      for (const finder of ['find', 'find_all'])
        await client.refuses(method, `/${kind}/${finder}`, { status: 404, code });
}

/**
 * Places the call that the other queries need, with every documented field.
 * @returns its `/call/startup` body
 */
export async function driveStartup({ client, peers, name }) {
  const [host, port] = peers.phone.split(':');
  const request = {
    callId: `${name}-call`,
    callee: 'phone',
    sipLogin: 'alice',
    sipAuthenticationName: 'alice-auth',
    sipPassword: 'drive-sip-secret',
    sipDomain: host,
    sipOutboundProxy: host,
    sipPort: Number(port),
    sipTransport: 'udp',
    sipRegisterRequired: true,
    visibleName: 'Alice',
    appKey: 'driveApp',
    toStream: `${name}-stream`,
    rtmpUrl: peers.rtmp,
    rtmpStream: `${name}-rtmp`,
    hasAudio: true,
    hasVideo: true,
    custom: { order: 7 },
    sipHeaders: { 'X-Drive': name },
  };
  const { callId, rtmpUrl, rtmpStream, toStream } = request;
  const started = await client.post('/call/startup', request);
  started.check(started.text === '{}', 'The body must be {}');
  const [first] = await client.finds('/call/find', { callId });
  isCall(first.answer, first);
  const echoed = ['callId', 'callee', 'visibleName', 'appKey', 'rtmpUrl', 'rtmpStream'];
  for (const key of [...echoed, 'hasAudio', 'hasVideo'])
    first.answer.check(first[key] === request[key], `${key} must be as it was given`);
  first.answer.check(first.caller === 'alice', 'The caller must be the sipLogin');
  first.answer.check(first.streamName === toStream, 'The streamName must be the toStream');
  first.answer.check(first.custom.order === 7, 'custom must be as it was given');
  first.answer.check(!first.answer.text.includes('drive-sip-secret'), 'A password is shown');
  const [call] = await client.until('on air', '/call/find', { callId }, ([one]) => {
    return one.status === 'ESTABLISHED' && one.rtmpStreamStatus === 'RTMP_STREAM_ACTIVE';
  });
  if (!call.sdp.includes('m=video') || !call.sipMessageRaw.startsWith('SIP/2.0 200'))
    throw new Error(`The call lacks what the peer has said: ${JSON.stringify(call)}`);
  const seen = await peers.ask('call', callId);
  if (seen?.header !== name || !seen.from.includes('"Alice" <sip:alice@'))
    throw new Error(`The INVITE is not what was asked for: ${JSON.stringify(seen)}`);
  if (!(await peers.ask('registrations')).includes(`sip:alice@${host}`))
    throw new Error('sipRegisterRequired: nothing was registered');
  await peers.until(
    'sound and picture',
    (one) => one.audio > 5 && one.video > 5,
    'publication',
    rtmpStream,
  );
  await driveConflicts(client, { callId, rtmpUrl, rtmpStream, toStream });
  return request;
}

async function driveConflicts(client, { callId, rtmpUrl, rtmpStream, toStream }) {
  const callee = 'sip:nobody@127.0.0.1:9';
  const refuses = (code, field, body) =>
    client.refuses('POST', '/call/startup', {
      status: 409,
      code,
      field,
      body: { callee, ...body },
    });
  await refuses('CALL_EXISTS', 'callId', { callId });
  await refuses('RTMP_STREAM_EXISTS', 'rtmpStream', { rtmpUrl, rtmpStream });
  await refuses('STREAM_EXISTS', 'toStream', { toStream });
}

/** Each documented field finds the call, and with another value does not; all given must be equal. */
export async function driveFind({ client, peers }, { callId, rtmpStream, toStream }) {
  const fields = {
    callId: [callId, 'another'],
    callee: ['phone', 'another'],
    caller: ['alice', 'another'],
    rtmpUrl: [peers.rtmp, `${peers.rtmp}/`],
    rtmpStream: [rtmpStream, `rtmp_${rtmpStream}`],
    status: ['ESTABLISHED', 'HOLD'],
    sipStatus: [200, 486],
    rtmpStreamStatus: ['RTMP_STREAM_ACTIVE', 'RTMP_STREAM_WAIT'],
    hasAudio: [true, false],
    hasVideo: [true, false],
    streamName: [toStream, 'another'],
  };
  for (const [field, [same, other]] of Object.entries(fields)) {
    for (const method of ['POST', 'GET']) {
      const found = await client.finds('/call/find', { [field]: same }, method);
      const { answer } = found[0];
      answer.check(
        found.some((one) => one.callId === callId),
        'The call must be among them',
      );
      for (const one of found) isCall(answer, one);
    }
    const body = { callId, [field]: other };
    await client.refuses('POST', '/call/find', { status: 404, code: 'CALL_NOT_FOUND', body });
  }
  const all = Object.fromEntries(Object.entries(fields).map(([name, [same]]) => [name, same]));
  await client.finds('/call/find', all);
  for (const method of ['POST', 'GET']) {
    const found = await client.finds('/call/find_all', {}, method);
    found[0].answer.check(
      found.some((one) => one.callId === callId),
      'The call is missing',
    );
  }
}

/** Digits by each way; what the phone has got of them. */
export async function driveDigits({ client, peers }, { callId }) {
  await client.does('/call/send_dtmf', { callId, dtmf: '1A' });
  await client.does('/call/send_dtmf', { callId, dtmf: '2*', type: 'RFC2833' });
  await client.does('/call/send_dtmf', { callId, dtmf: '3', type: 'INFO' });
  await client.does('/call/send_dtmf', { callId, dtmf: '4#', type: 'INFO_RELAY' });
  const viaOf = (digits, way) => digits.filter(({ via }) => via === way).map(({ digit }) => digit);
  const call = await peers.until(
    'all digits',
    ({ digits }) =>
      viaOf(digits, 'rfc4733').join('') === '1A2*' && viaOf(digits, 'info').join('') === '34#',
    'call',
    callId,
  );
  const types = call.infos.map(({ type }) => type);
  if (types.join() !== 'application/dtmf,application/dtmf-relay,application/dtmf-relay')
    throw new Error(`INFO of other types: ${types.join()}`);
  for (const dtmf of ['x', '12E'])
    await client.refuses('POST', '/call/send_dtmf', {
      status: 400,
      code: 'INVALID_ARGUMENT',
      field: 'dtmf',
      body: { callId, dtmf },
    });
}

/** A call that nobody answers: hold and transfer are refused, and its end is a CANCEL. */
export async function driveRinging({ client, peers, name }) {
  const callId = `${name}-silent`;
  await client.post('/call/startup', { callId, callee: `sip:silent@${peers.phone}` });
  const early = { status: 409, code: 'CALL_STATE' };
  for (const path of ['/call/hold', '/call/resume'])
    await client.refuses('POST', path, { ...early, body: { callId } });
  const target = `sip:desk@${peers.phone}`;
  await client.refuses('POST', '/call/transfer', { ...early, body: { callId, target } });
  await client.until('ringing', '/call/find', { callId }, ([one]) => one.status === 'RING');
  await driveTerminate({ client, peers }, callId);
}

/** A call that is answered late: digits wait for it, and a push of its stream is found. */
export async function driveEarly({ client, peers, name }) {
  const callId = `${name}-late`;
  const toStream = `${name}-late-stream`;
  const callee = `sip:late@${peers.phone}`;
  const placed = await client.post('/call/startup', {
    callId,
    callee,
    toStream,
    hasVideo: 'false',
  });
  placed.check(placed.text === '{}', 'The body must be {}');
  await client.does('/call/send_dtmf', { callId, dtmf: '90' });
  const rtmpUrl = `${peers.rtmp}/early`;
  await client.post('/push/startup', { streamName: toStream, rtmpUrl });
  await client.finds('/push/find', { streamName: toStream });
  await peers.until(
    'digits from before the answer',
    ({ digits }) => digits.map(({ digit }) => digit).join('') === '90',
    'call',
    callId,
  );
  await driveTerminate({ client, peers }, callId);
}

/** What a peer cannot do is refused: digits without events, sound without audio. */
export async function driveUnable({ client, peers, name, tone }) {
  const keyless = `${name}-keyless`;
  const deaf = `${name}-deaf`;
  const toStream = `${name}-deaf-stream`;
  const call = async (callId, user, more = {}) => {
    await client.post('/call/startup', { callId, callee: `sip:${user}@${peers.phone}`, ...more });
    await client.until(
      'answered',
      '/call/find',
      { callId },
      ([one]) => one.status === 'ESTABLISHED',
    );
  };
  await call(keyless, 'keyless');
  await call(deaf, 'deaf', { toStream });
  const refused = { status: 409, code: 'CALL_STATE' };
  const dtmf = { callId: keyless, dtmf: '1' };
  await client.refuses('POST', '/call/send_dtmf', { ...refused, body: dtmf });
  for (const path of ['/call/inject_stream', '/call/inject_stream/startup'])
    await client.refuses('POST', path, {
      ...refused,
      body: { callId: deaf, streamName: toStream },
    });
  await client.refuses('POST', '/call/inject_sound', {
    ...refused,
    body: { callId: deaf, fileName: tone },
  });
  for (const callId of [keyless, deaf]) {
    await client.does('/call/terminate', { callId });
    await client.untilGone('/call/find', { callId });
  }
}

/** What the peer hears. */
export async function driveInjections({ client, tone }, { callId, toStream: streamName }) {
  await client.does('/call/inject_stream', { callId, streamName });
  await client.does('/call/inject_stream/startup', { callId, streamName });
  await client.does('/call/inject_stream/terminate', { callId });
  await client.does('/call/inject_sound', { callId, fileName: tone });
  const none = (path, code, body) => client.refuses('POST', path, { status: 404, code, body });
  await none('/call/inject_stream', 'STREAM_NOT_FOUND', { callId, streamName: 'none' });
  await none('/call/inject_stream/startup', 'STREAM_NOT_FOUND', { callId, streamName: 'none' });
  await none('/call/inject_sound', 'FILE_NOT_FOUND', { callId, fileName: 'none.wav' });
  await client.refuses('POST', '/call/inject_sound', {
    status: 400,
    code: 'INVALID_ARGUMENT',
    field: 'fileName',
    body: { callId, fileName: `../${tone}` },
  });
}

/** Hold, back, and the messages of the call. */
export async function driveHold({ client }, { callId }) {
  await client.does('/call/hold', { callId });
  await client.finds('/call/find', { callId, status: 'HOLD' });
  await client.does('/call/resume', { callId });
  await client.finds('/call/find', { callId, status: 'ESTABLISHED' });
  for (const method of ['POST', 'GET']) {
    const [first] = await client.finds('/call/trace', { callId }, method);
    first.answer.check(first.startLine.startsWith('INVITE '), 'It began with an INVITE');
    first.answer.check(!first.answer.text.includes('drive-sip-secret'), 'A password is shown');
  }
}

/** The peer calls somebody else in place of us: our call ends when that one stands. */
export async function driveTransfer({ client, peers, name }) {
  const callId = `${name}-transfer`;
  await client.post('/call/startup', { callId, callee: `sip:desk@${peers.other}` });
  await client.until('answered', '/call/find', { callId }, ([one]) => one.status === 'ESTABLISHED');
  await client.does('/call/transfer', { callId, target: `sip:phone@${peers.phone}` });
  await client.untilGone('/call/find', { callId });
}

/** The call leaves `find` at once; the history and the peer know how it ended. */
export async function driveTerminate({ client, peers }, callId) {
  await client.does('/call/terminate', { callId });
  await client.untilGone('/call/find', { callId });
  for (const method of ['POST', 'GET']) {
    const found = await client.finds('/call/history', { limit: 50 }, method);
    const { answer } = found[0];
    const call = found.find((one) => one.callId === callId);
    answer.check(call !== undefined, `${callId} is missing`);
    isCall(answer, call);
    const isOver = call.status === 'FINISH' && call.info === 'Normal call clearing';
    answer.check(isOver, 'The end must be told');
  }
  await peers.until('the end', ({ ending }) => ending?.by === 'caller', 'call', callId);
  await client.refuses('POST', '/call/terminate', {
    status: 404,
    code: 'CALL_NOT_FOUND',
    field: 'callId',
    body: { callId },
  });
}

/** A call that the peer refuses: the status and code of its end. */
export async function driveBusy({ client, peers, name }) {
  const callId = `${name}-busy`;
  await client.post('/call/startup', { callId, callee: `sip:busy@${peers.phone}` });
  await client.untilGone('/call/find', { callId });
  const [call] = await client.finds('/call/history', { limit: '1' }, 'GET');
  const { status, sipStatus } = call;
  call.answer.check(call.callId === callId, 'The newest must be first');
  call.answer.check(status === 'BUSY' && sipStatus === 486, 'It must say how it ended');
}
