// The answers of the API as schemas. The OpenAPI document shows them, and a test checks real answers against them.

import type { CallStatus, RtmpStreamStatus } from '@sipcast/core';
import { z } from 'zod';

const time = z.iso.datetime().describe('ISO 8601');
const count = z.number().int().min(0);

/** The keys of a table. Does not compile when a status is missing or unknown. */
function oneOf<Status extends string>(statuses: Readonly<Record<Status, true>>) {
  return z.enum(Object.keys(statuses) as [Status, ...Status[]]);
}

const rtmpStreamStatus = oneOf<RtmpStreamStatus>({
  RTMP_STREAM_WAIT: true,
  RTMP_STREAM_ACTIVE: true,
  RTMP_CONNECTION_LOST: true,
  RTMP_CONNECTION_FAILED: true,
});

const callStatus = oneOf<CallStatus>({
  NEW: true,
  PENDING: true,
  TRYING: true,
  RING: true,
  SESSION_PROGRESS: true,
  RING_MEDIA: true,
  ESTABLISHED: true,
  HOLD: true,
  BUSY: true,
  FINISH: true,
  FAILED: true,
});

/** Reception statistics of one medium; see `ReceivedMediaStats` of the media package. */
const received = {
  codec: z.string().nullable(),
  packets: count,
  bytes: count,
  lost: z.number().int().describe('Packets that never came (RFC 3550 §6.4.1)'),
  lossRatio: z.number().nullable().describe('0–1'),
  jitterMs: z.number().nullable(),
  reordered: count,
  duplicates: count,
  bitrateBps: z.number().nullable(),
  jitterDelayMs: z.number(),
  nacksSent: count,
  recovered: count,
  faults: z.record(z.string(), count),
  problem: z
    .string()
    .nullable()
    .describe(
      'What keeps the medium off the air: NO_PACKETS, UNKNOWN_PAYLOAD_TYPE and its number, …',
    ),
  problemSinceMs: z.number().nullable().describe('Since when, in Unix milliseconds'),
};

const media = z
  .object({
    audio: z.object(received).nullable(),
    video: z
      .object({
        ...received,
        width: count.nullable(),
        height: count.nullable(),
        fps: z.number().nullable(),
        frames: count,
        keyFrames: count,
        droppedFrames: count,
        keyFrameRequests: count,
        keyFrameAnswers: z.record(z.string(), z.unknown()),
        frozenFrames: count,
      })
      .nullable(),
    avSkewMs: z.number().nullable().describe('Video behind audio, by the peer’s sender reports'),
    silenceInsertedMs: z.number().nullable(),
    audioTranscoder: z.record(z.string(), z.unknown()).nullable(),
    videoTranscoder: z.record(z.string(), z.unknown()).nullable(),
  })
  .describe('What was measured; null before the answer');

/** A push. */
export const pushView = z
  .object({
    mediaSessionId: z
      .string()
      .describe('Names the push; holds the callId where the stream is a call’s'),
    streamName: z.string().describe('As published'),
    rtmpUrl: z.string().describe('As it was given'),
    rtmpTransponderFullUrl: z.boolean().describe('The URL ends in the name to publish under'),
    width: count.nullable(),
    height: count.nullable(),
    muted: z.boolean(),
    soundEnabled: z.boolean(),
    options: z.record(z.string(), z.unknown()),
    status: rtmpStreamStatus,
    bytesSent: count,
    droppedFrames: count.describe('Skipped because the server was too slow'),
    reconnects: count,
    lastError: z.string().nullable(),
    isTrying: z.boolean().describe('False: it has given up until /push/retry'),
  })
  .meta({ id: 'Push', description: 'A stream on its way to an RTMP server' });

/** A call. */
export const callView = z
  .object({
    custom: z.record(z.string(), z.unknown()),
    nodeId: z.string(),
    appKey: z.string(),
    sessionId: z.string(),
    callId: z.string().describe('SIP Call-ID'),
    parentCallId: z.null(),
    incoming: z.boolean(),
    status: callStatus,
    sipStatus: z.number().int().nullable().describe('The last SIP status code'),
    rtmpUrl: z.string().nullable(),
    rtmpStream: z.string().nullable(),
    streamName: z.string().describe('toStream of the request, else a name made for the call'),
    rtmpStreamStatus: rtmpStreamStatus.nullable(),
    rtmpStreamError: z.string().nullable().describe('Why the RTMP stream is not active'),
    caller: z.string(),
    callee: z.string(),
    hasAudio: z.boolean(),
    hasVideo: z.boolean(),
    sdp: z.string().nullable().describe('The peer’s session description, keys masked'),
    visibleName: z.string(),
    inviteParameters: z.null(),
    mediaProvider: z.literal('Flash'),
    sipMessageRaw: z.string().nullable().describe('The last SIP message received'),
    isMsrp: z.literal(false),
    target: z.string().nullable(),
    holdForTransfer: z.boolean(),
    info: z
      .string()
      .nullable()
      .describe(
        'Why the call ended, once it has; before, how its registration stands, where it needs one',
      ),
    endedBy: z.enum(['local', 'remote', 'network', 'gateway']).nullable(),
    createdAt: time,
    establishedAt: time.nullable(),
    endedAt: time.nullable(),
    media: media.nullable(),
    pushes: z.array(pushView),
  })
  .meta({ id: 'Call', description: 'A call; every key is always there, null when unset' });

/** A named stream. */
export const streamView = z
  .object({
    streamName: z.string(),
    callId: z.string().nullable().describe('null: the stream does not belong to a call'),
    live: z.boolean(),
    audioCodec: z.string().nullable(),
    videoCodec: z.string().nullable(),
    width: count.nullable(),
    height: count.nullable(),
    fps: z.number().nullable(),
    bitrateBps: z.number().nullable(),
    viewers: count,
    pushes: count,
  })
  .meta({ id: 'Stream', description: 'A named stream, also one that is only reserved' });

/** One SIP message of a trace. */
export const traceEntry = z
  .object({
    at: time,
    direction: z.enum(['in', 'out']),
    transport: z.string(),
    local: z.string(),
    remote: z.string(),
    startLine: z.string(),
    message: z.string().describe('As on the wire, passwords, digests and keys masked'),
    retransmission: z.boolean(),
  })
  .meta({ id: 'SipMessage', description: 'A SIP message of a call' });

/** Token to watch a stream of a protected API. */
export const viewerToken = z
  .object({
    streamName: z.string(),
    token: z.string().describe('For the query: `?token=…`'),
    expiresAt: time,
    path: z.string().describe('Path and query of the stream, below the host'),
  })
  .meta({ id: 'ViewerToken', description: 'For `?token=` of a stream’s address' });

/** Every failure. */
export const errorView = z
  .object({
    exception: z.string(),
    reason: z.string(),
    path: z.string(),
    error: z.string(),
    message: z.string(),
    timestamp: z.number().int().describe('Unix milliseconds'),
    status: z.number().int(),
    code: z.string().describe('Stable and machine-readable, e.g. CALL_EXISTS'),
    field: z.string().optional().describe('The field at fault, where there is one'),
  })
  .meta({ id: 'Error', description: 'A failure' });
