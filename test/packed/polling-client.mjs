// A client as scripts of the reference product are: it asks for its call every second, from before the startup until it is
// gone, sends digits the moment it is there, writes all as strings, and leaves out nothing by "".

import { isCall } from './shapes.mjs';

const PERIOD_MS = 1000;
const MOST_POLLS = 20;
const ORIGIN = 'http://127.0.0.1:9091';
/** The media type as jQuery and axios write it. */
const headers = [
  'Content-Type: application/json;charset=UTF-8',
  'X-Requested-With: XMLHttpRequest',
];

/** What a browser asks before a JSON POST of a page on another port. */
export async function drivePreflight({ client, origin = ORIGIN, isListed = true }) {
  const answer = await client.as().ask('OPTIONS', '/call/startup', {
    headers: [
      `Origin: ${origin}`,
      'Access-Control-Request-Method: POST',
      'Access-Control-Request-Headers: content-type,x-requested-with,authorization',
    ],
  });
  const allowed = answer.headers.get('access-control-allow-origin');
  if (!isListed) return answer.check(allowed === undefined, 'That origin is not listed');
  answer.check(answer.status >= 200 && answer.status < 300, 'The preflight must be answered');
  answer.check(allowed === '*' || allowed === origin, 'The origin must be allowed');
  const names = answer.headers.get('access-control-allow-headers') ?? '';
  for (const name of ['content-type', 'x-requested-with', 'authorization'])
    answer.check(names.includes(name), `${name} must be allowed`);
  answer.check(answer.headers.get('access-control-allow-methods')?.includes('POST'), 'POST, too');
  return answer;
}

/** One call from its first poll to its last. */
export async function drivePolling({ client, peers, name }) {
  const callId = `${name}-polled`;
  const [host, port] = peers.phone.split(':');
  const ask = (path, body) => client.ask('POST', path, { body, headers });
  const seen = [];
  let [hasSent, hasEnded] = [false, false];
  const isOver = () => hasSent && seen.at(-1) === 404;
  const look = async () => {
    const answer = await ask('/call/find', { callId, callee: '', sipStatus: '', hasAudio: '' });
    if (answer.status === 404) {
      seen.push(404);
      return;
    }
    answer.check(answer.status === 200, 'A poller knows 200 and 404 alone');
    const [call] = answer.body;
    answer.check(answer.body.length === 1, 'It must be this call alone');
    isCall(answer, call);
    seen.push(`${call.status} ${call.rtmpStreamStatus}`);
    if (hasSent) return;
    hasSent = true;
    const sent = await ask('/call/send_dtmf', { callId, dtmf: '1#', type: '' });
    sent.check(sent.status === 200 && sent.text === '', 'Digits wait for the answer');
  };
  const poll = async () => {
    for (let at = performance.now() + PERIOD_MS; !isOver(); at += PERIOD_MS) {
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, at - performance.now())));
      await look();
      if (seen.length > MOST_POLLS) throw new Error(`The call does not end: ${seen.join(', ')}`);
      if (seen.at(-1) !== 'ESTABLISHED RTMP_STREAM_ACTIVE' || hasEnded) continue;
      hasEnded = true;
      // Without a body: a finder works by GET, too.
      const all = await client.finds('/call/find_all', {}, 'GET');
      all[0].answer.check(
        all.some((one) => one.callId === callId),
        'The call is missing',
      );
      const ended = await ask('/call/terminate', { callId, info: '' });
      ended.check(ended.status === 200 && ended.text === '', 'Ended, and nothing more');
    }
  };
  await look();
  const polling = poll();
  // Told below, or when the startup itself fails.
  polling.catch(() => {});
  const started = await ask('/call/startup', {
    callId,
    callee: 'late',
    sipLogin: 'bob',
    sipAuthenticationName: '',
    sipPassword: '',
    sipDomain: host,
    sipOutboundProxy: host,
    sipPort: port,
    sipRegisterRequired: 'false',
    visibleName: '',
    appKey: '',
    toStream: '',
    hasAudio: 'true',
    hasVideo: 'false',
    rtmpUrl: peers.rtmp,
    rtmpStream: `${name}-polled`,
    custom: '',
    somethingUnknown: [1],
  });
  started.check(started.status === 200 && started.text === '{}', 'Exactly 200 and {}');
  await polling;
  const story = seen.join(', ');
  const isWhole = seen[0] === 404 && seen.at(-1) === 404 && !story.includes('FAILED');
  if (!isWhole || !story.includes('ESTABLISHED RTMP_STREAM_ACTIVE'))
    throw new Error(`The client that polls every second saw ${story}`);
  const { digits, ending } = await peers.ask('call', callId);
  if (digits.map(({ digit }) => digit).join('') !== '1#' || ending?.how !== 'bye')
    throw new Error(`The phone of the client that polls: ${JSON.stringify({ digits, ending })}`);
  return seen.length;
}
