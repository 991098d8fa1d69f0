// What the answers must hold, by the documentation of the API.

const words = (text) => text.trim().split(/\s+/);
/** The documented keys of a call, then those of ours. */
const CALL_KEYS = words(`
  custom nodeId appKey sessionId callId parentCallId incoming status sipStatus rtmpUrl
  rtmpStream streamName rtmpStreamStatus caller callee hasAudio hasVideo sdp visibleName
  inviteParameters mediaProvider sipMessageRaw isMsrp target holdForTransfer info createdAt
  establishedAt media pushes
`);
const PUSH_KEYS = words(`
  mediaSessionId streamName rtmpUrl width height muted soundEnabled options status bytesSent
  droppedFrames reconnects
`);
const STREAM_KEYS = words(`
  streamName callId live audioCodec videoCodec width height bitrateBps viewers
`);
const ERROR_KEYS = words(`
  exception reason path error message timestamp status code
`);
/** Of an event, those that are never null. */
const EVENT_KEYS = words(`
  nodeId appKey sessionId callId incoming status caller callee hasAudio hasVideo visibleName
  mediaProvider isMsrp timestamp sequence
`);

function hasKeys(answer, object, keys, what) {
  const missing = keys.filter((key) => !(key in object));
  answer.check(missing.length === 0, `The ${what} lacks ${missing.join(', ')}`);
}

export function isCall(answer, call) {
  hasKeys(answer, call, CALL_KEYS, 'call');
  answer.check(call.mediaProvider === 'Flash' && call.isMsrp === false, 'Not as documented');
  answer.check(/^[0-9a-f]{32}@\S+$/.test(call.nodeId), 'The nodeId must be <32>@<address>');
  answer.check(/^\S+:\d+$/.test(call.sessionId), 'The sessionId must be <address>:<number>');
  for (const push of call.pushes) isPush(answer, push);
}

export function isPush(answer, push) {
  hasKeys(answer, push, PUSH_KEYS, 'push');
}

export function isStream(answer, stream) {
  hasKeys(answer, stream, STREAM_KEYS, 'stream');
}

/** @param path - What was asked for. */
export function isErrorBody(answer, path) {
  const { body } = answer;
  hasKeys(answer, body, ERROR_KEYS, 'error');
  answer.check(body.status === answer.status, 'The status in the body differs');
  answer.check(body.path === path, `The path must be ${path}`);
  answer.check(/^[A-Z_]+$/.test(body.code), 'The code must be machine-readable');
  answer.check(!/\n\s+at /.test(answer.text), 'A stack trace is nobody’s affair');
}

/** @returns what is wrong with an event to an application; undefined: nothing. */
export function wrongWithEvent(event) {
  const missing = EVENT_KEYS.filter((key) => !(key in event));
  if (missing.length > 0) return `lacks ${missing.join(', ')}`;
  const empty = Object.keys(event).filter((key) => event[key] === null);
  return empty.length > 0 ? `has ${empty.join(', ')} as null` : undefined;
}
