// The methods of the API: paths, requests, answers. The router, the OpenAPI document and the client use this table.

import { z } from 'zod';
import type { RestScope } from './authorization.ts';
import { BODIES } from './body.ts';
import { callView, pushView, streamView, traceEntry, viewerToken } from './views.ts';

/** One method. */
export interface Operation {
  /** One line. */
  readonly summary: string;
  /** Schema of the request body, or of the query of a GET. */
  readonly body: z.ZodType;
  /** Schema of the answer; absent: an empty body. */
  readonly answer?: z.ZodType;
  /** Existing clients send GET without a body to the finders. */
  readonly allowsGet?: boolean;
  /** Scope that the client needs; see `scopeOf`. */
  readonly scope?: RestScope;
  /** HTTP statuses of its failures, besides those of all methods: wrong body, account, host name or rate. */
  readonly failures: readonly number[];
  /** An extension: not part of the reference product's API. */
  readonly isOurs?: boolean;
}

/** Scope that the client needs: by default `read` with `allowsGet`, else `calls`. */
export function scopeOf({ scope, allowsGet }: Operation): RestScope {
  return scope ?? (allowsGet === true ? 'read' : 'calls');
}

const mediaSession = { body: BODIES.mediaSessionId, failures: [404] } as const;

/** All methods, by their path below the mount. */
export const OPERATIONS = {
  '/call/startup': {
    summary: 'Places a call; answers when it is accepted, before it rings',
    body: BODIES.callStartup,
    answer: z.object({}),
    failures: [409, 503],
  },
  '/call/find': {
    summary: 'Live calls for which all given fields are equal',
    body: BODIES.callFind,
    answer: z.array(callView),
    allowsGet: true,
    failures: [404],
  },
  '/call/find_all': {
    summary: 'All live calls',
    body: BODIES.none,
    answer: z.array(callView),
    allowsGet: true,
    failures: [404],
  },
  '/call/history': {
    summary: 'Ended calls, newest first, with the reason',
    body: BODIES.callHistory,
    answer: z.array(callView),
    allowsGet: true,
    failures: [],
    isOurs: true,
  },
  '/call/trace': {
    summary: 'The SIP messages of a call, live or ended',
    // Whole SIP messages: more about people than a viewer needs to know.
    scope: 'admin',
    body: BODIES.callId,
    answer: z.array(traceEntry),
    allowsGet: true,
    failures: [404],
    isOurs: true,
  },
  '/call/terminate': { summary: 'Ends a call', body: BODIES.callId, failures: [404] },
  '/call/hold': {
    summary: 'Puts a call on hold; answers when the peer has agreed',
    body: BODIES.callId,
    failures: [404, 409],
    isOurs: true,
  },
  '/call/resume': {
    summary: 'Takes a call back from hold',
    body: BODIES.callId,
    failures: [404, 409],
    isOurs: true,
  },
  '/call/transfer': {
    summary: 'Asks the peer to call another party; answers when that call is established',
    body: BODIES.transfer,
    failures: [404, 409],
    isOurs: true,
  },
  '/call/send_dtmf': {
    summary: 'Sends digits',
    body: BODIES.sendDtmf,
    failures: [404, 409],
  },
  '/call/inject_stream': {
    summary: 'Lets the peer hear a named stream',
    body: BODIES.injectStream,
    failures: [404, 409],
  },
  '/call/inject_stream/startup': {
    summary: 'As /call/inject_stream',
    body: BODIES.injectStream,
    failures: [404, 409],
  },
  '/call/inject_stream/terminate': {
    summary: 'Lets the peer hear silence again',
    body: BODIES.callId,
    failures: [404],
  },
  '/call/inject_sound': {
    summary: 'Plays a file of the media folder to the peer, once',
    body: BODIES.injectSound,
    failures: [404, 409, 501, 503],
  },
  '/push/startup': {
    summary: 'Pushes a named stream to an RTMP server',
    body: BODIES.pushStartup,
    answer: pushView,
    failures: [404, 409, 503],
  },
  '/push/find': {
    summary: 'Pushes of a stream or to a server',
    body: BODIES.pushFind,
    answer: z.array(pushView),
    allowsGet: true,
    failures: [404],
  },
  '/push/find_all': {
    summary: 'All pushes',
    body: BODIES.none,
    answer: z.array(pushView),
    allowsGet: true,
    failures: [404],
  },
  '/push/terminate': { summary: 'Ends a push', ...mediaSession },
  '/push/retry': {
    summary: 'Connects at once a push that has failed or waits for its next attempt',
    isOurs: true,
    ...mediaSession,
    failures: [404, 503],
  },
  '/push/mute': { summary: 'Sends silence in place of the audio', ...mediaSession },
  '/push/unmute': { summary: 'Sends the audio again', ...mediaSession },
  '/push/sound_on': {
    summary: 'Replaces the audio by a file of the media folder',
    body: BODIES.soundOn,
    failures: [404, 501, 503],
  },
  '/push/sound_off': { summary: 'Sends the stream’s audio again', ...mediaSession },
  '/stream/find': {
    summary: 'Named streams',
    body: BODIES.streamFind,
    answer: z.array(streamView),
    allowsGet: true,
    failures: [404],
    isOurs: true,
  },
  '/stream/find_all': {
    summary: 'All named streams',
    body: BODIES.none,
    answer: z.array(streamView),
    allowsGet: true,
    failures: [404],
    isOurs: true,
  },
  '/stream/snapshot': {
    summary: 'The newest key frame of a stream as PNG',
    body: BODIES.streamName,
    answer: z.object({ data: z.string().describe('Base64') }),
    scope: 'read',
    failures: [404, 409, 501, 503],
  },
  '/stream/token': {
    summary: 'A token that lets its holder watch a stream',
    body: BODIES.streamToken,
    answer: viewerToken,
    scope: 'read',
    failures: [404],
    isOurs: true,
  },
} as const satisfies Readonly<Record<string, Operation>>;

/** Path of a method, below the mount. */
export type OperationPath = keyof typeof OPERATIONS;

/** The parsed body of a method. */
export type OperationBody<Path extends OperationPath> = z.output<(typeof OPERATIONS)[Path]['body']>;

/** The answer of a method; `undefined`: an empty body. */
export type OperationAnswer<Path extends OperationPath> = (typeof OPERATIONS)[Path] extends {
  readonly answer: infer Answer extends z.ZodType;
}
  ? z.output<Answer>
  : undefined;
