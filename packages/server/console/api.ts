// The gateway's API as used by the page: the typed client, and additions for the page.

import type { CallView, RtmpPushView } from '@sipcast/core';
import { RestClient, RestClientError } from '@sipcast/rest/client';
import type { TracedMessage } from './ladder-layout.ts';

/** A failed request; `status` 0: no response. */
export { RestClientError as ApiError };

/** URL of the API relative to the page, which also works behind a proxy that adds a path prefix. */
const BASE = new URL('../rest-api/', document.baseURI);

const client = new RestClient({
  url: BASE.href,
  // A transfer is answered only when the peer has reached its target.
  timeoutMs: 0,
  fetch: async (url, init) => {
    try {
      return await fetch(url, { ...init, cache: 'no-store' });
    } catch {
      throw new RestClientError(0, 'NO_ANSWER', 'The gateway does not respond');
    }
  },
});

/** Every method rejects with {@link ApiError}. */
export const api = {
  eventsUrl: (lastEventId: string): URL => {
    const url = new URL('events', BASE);
    if (lastEventId !== '') url.searchParams.set('lastEventId', lastEventId);
    return url;
  },
  calls: (): Promise<readonly CallView[]> => client.findCalls(),
  call: async (callId: string): Promise<CallView | undefined> =>
    (await client.findCalls({ callId }))[0],
  history: (limit: number): Promise<readonly CallView[]> => client.history(limit),
  /** Empty for an unknown call. */
  trace: async (callId: string): Promise<readonly TracedMessage[]> => {
    try {
      return await client.trace(callId);
    } catch (error) {
      if (error instanceof RestClientError && error.code === 'CALL_NOT_FOUND') return [];
      throw error;
    }
  },
  startCall: (request: Readonly<Record<string, unknown>>) => client.ask('/call/startup', request),
  hangUp: (callId: string) => client.terminateCall(callId),
  hold: (callId: string) => client.hold(callId),
  resume: (callId: string) => client.resume(callId),
  /** Resolves when the peer has reached the target. */
  transfer: (callId: string, target: string) => client.transfer(callId, target),
  sendDtmf: (callId: string, dtmf: string, type: string) =>
    client.ask('/call/send_dtmf', { callId, dtmf, type }),
  startPush: (request: Readonly<Record<string, unknown>>) =>
    client.ask('/push/startup', request) as Promise<RtmpPushView>,
  endPush: (mediaSessionId: string) => client.terminatePush(mediaSessionId),
  retryPush: (mediaSessionId: string) => client.retryPush(mediaSessionId),
  mutePush: (mediaSessionId: string, muted: boolean) =>
    client.ask(muted ? '/push/mute' : '/push/unmute', { mediaSessionId }),
  /** URL of the newest picture. */
  pictureUrl: (streamName: string) => client.snapshotUrl(streamName),
  /** URL where anyone can watch the stream for an hour. */
  streamUrl: async (streamName: string): Promise<string> => {
    const { path } = await client.streamToken(streamName);
    // The token's path begins with the mount; a proxy's prefix is in BASE.
    return new URL(path.replace(/^.*?\/stream\//, 'stream/'), BASE).href;
  },
};
