// The gateway's API, as the page calls it.

import type { CallView, RtmpPushView } from '@sipcast/core';
import type { TracedMessage } from './ladder-layout.ts';

/** The API, seen from the page: also behind a proxy that puts something in front of the path. */
const BASE = new URL('../rest-api/', document.baseURI);

/** An answer that is none of success. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  /** HTTP status; 0 when there was no answer. */
  readonly status: number;
  readonly code: string;
  readonly field: string | undefined;

  constructor(status: number, code: string, message: string, field?: string, cause?: unknown) {
    super(message, { cause });
    this.status = status;
    this.code = code;
    this.field = field;
  }
}

async function ask(path: string, init: RequestInit): Promise<unknown> {
  let response: Response;
  let text = '';
  try {
    response = await fetch(new URL(path, BASE), { ...init, cache: 'no-store' });
    text = await response.text();
  } catch (cause) {
    throw new ApiError(0, 'NO_ANSWER', 'The gateway does not answer', undefined, cause);
  }
  const body = parsed(text);
  if (response.ok) return body;
  const {
    code = `HTTP_${response.status}`,
    message = response.statusText,
    field,
  } = (body ?? {}) as Partial<ApiError>;
  throw new ApiError(response.status, code, message, field);
}

function parsed(text: string): unknown {
  try {
    return text === '' ? undefined : (JSON.parse(text) as unknown);
  } catch {
    return undefined;
  }
}

function get(path: string): Promise<unknown> {
  return ask(path, {});
}

function post(path: string, body: unknown): Promise<unknown> {
  return ask(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
}

/** Finders answer 404 where there is nothing. */
async function orEmpty<T>(asked: Promise<unknown>): Promise<readonly T[]> {
  try {
    return (await asked) as readonly T[];
  } catch (error) {
    if (error instanceof ApiError && error.status === 404 && error.code !== 'NO_SUCH_METHOD')
      return [];
    throw error;
  }
}

/** Every method rejects with {@link ApiError}. */
export const api = {
  eventsUrl: (lastEventId: string): URL => {
    const url = new URL('events', BASE);
    if (lastEventId !== '') url.searchParams.set('lastEventId', lastEventId);
    return url;
  },
  calls: () => orEmpty<CallView>(get('call/find_all')),
  call: async (callId: string) =>
    (await orEmpty<CallView>(get(`call/find?callId=${encodeURIComponent(callId)}`)))[0],
  history: (limit: number) => orEmpty<CallView>(get(`call/history?limit=${limit}`)),
  trace: (callId: string) =>
    orEmpty<TracedMessage>(get(`call/trace?callId=${encodeURIComponent(callId)}`)),
  startCall: (request: Readonly<Record<string, unknown>>) => post('call/startup', request),
  hangUp: (callId: string) => post('call/terminate', { callId }),
  hold: (callId: string) => post('call/hold', { callId }),
  resume: (callId: string) => post('call/resume', { callId }),
  /** Answers when the peer has reached the target. */
  transfer: (callId: string, target: string) => post('call/transfer', { callId, target }),
  sendDtmf: (callId: string, dtmf: string, type: string) =>
    post('call/send_dtmf', { callId, dtmf, type }),
  startPush: (request: Readonly<Record<string, unknown>>) =>
    post('push/startup', request) as Promise<RtmpPushView>,
  endPush: (mediaSessionId: string) => post('push/terminate', { mediaSessionId }),
  mutePush: (mediaSessionId: string, muted: boolean) =>
    post(muted ? 'push/mute' : 'push/unmute', { mediaSessionId }),
  /** Where a stream can be watched for an hour, whoever may call the API. */
  streamUrl: async (streamName: string): Promise<string> => {
    const { path } = (await post('stream/token', { streamName })) as { path: string };
    // The token's path begins with the mount; what a proxy puts in front of it is in BASE.
    return new URL(path.replace(/^.*?\/stream\//, 'stream/'), BASE).href;
  },
};
