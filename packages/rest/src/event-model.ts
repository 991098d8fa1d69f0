// The bodies of events, for a `callApp` and for readers of the event stream.

import type { Call, CallProblem, CallView, ReceivedDtmf, RtmpPushView } from '@sipcast/core';

/** The keys of the documented event, in their order. */
const EVENT_KEYS = [
  'nodeId',
  'appKey',
  'sessionId',
  'callId',
  'incoming',
  'status',
  'sipStatus',
  'rtmpUrl',
  'rtmpStream',
  'rtmpStreamStatus',
  'rtmpStreamError',
  'caller',
  'callee',
  'hasAudio',
  'hasVideo',
  'visibleName',
  'mediaProvider',
  'isMsrp',
  'info',
  'custom',
] as const satisfies readonly (keyof CallView)[];

/** The keys that identify the call: a key press changes none of the others. */
const DTMF_KEYS = [
  'nodeId',
  'appKey',
  'sessionId',
  'callId',
  'incoming',
  'caller',
  'callee',
  'custom',
] as const satisfies readonly (keyof CallView)[];

/** Body of a `CallStatusEvent`, without its time and number. */
export function callStatusEvent(view: CallView): Record<string, unknown> {
  const event = pick(view, EVENT_KEYS);
  if (view.rtmpUrl !== null) event['rtmpUrl'] = withoutSecrets(view.rtmpUrl);
  return event;
}

/** Body of a `CallDtmfEvent`. */
export function callDtmfEvent(
  call: Pick<Call, 'view'>,
  { digit, type }: ReceivedDtmf,
): Record<string, unknown> {
  return { ...pick(call.view(), DTMF_KEYS), dtmf: digit, type };
}

/** Body of a `CallProblem`: absent `problem` and `since` mean that the medium arrives again. */
export function callProblemEvent(
  call: Pick<Call, 'view'>,
  { medium, problem, since }: CallProblem,
): Record<string, unknown> {
  return { ...pick(call.view(), DTMF_KEYS), medium, problem, since };
}

/** Body of a `PushStatusEvent`: the push as in `/push/find`, without keys in its URL, and its `callId`. */
export function pushStatusEvent(
  view: RtmpPushView,
  callId: string,
  closed: boolean,
): Record<string, unknown> {
  const url = withoutSecrets(view.rtmpUrl);
  const rtmpUrl = view.rtmpTransponderFullUrl ? url.replace(/\/[^/]*$/, '/***') : url;
  return { callId, ...view, rtmpUrl, closed };
}

function pick(view: CallView, keys: readonly (keyof CallView)[]): Record<string, unknown> {
  const picked: Record<string, unknown> = {};
  for (const key of keys) if (view[key] !== null) picked[key] = view[key];
  return picked;
}

/** Without user, password and query, which often hold a key. */
function withoutSecrets(url: string): string {
  return url.replace(/^([a-z]+:\/\/)[^/?]*@/i, '$1').replace(/\?.*$/s, '');
}
