// A call as clients see it: every key is always present, `null` when unset.

import type { MediaStats } from '@sipcast/media';
import type { CallStatus, RtmpStreamStatus } from '../status.ts';
import type { RtmpPushView } from '../stream/rtmp-push.ts';
import type { EndedBy } from './call-ending.ts';
import type { CallProgress } from './call-progress.ts';
import type { ResolvedStartup } from './startup.ts';

/** A call as clients see it: every key is always present, `null` when unset. */
export interface CallView {
  readonly custom: Readonly<Record<string, unknown>>;
  readonly nodeId: string;
  readonly appKey: string;
  readonly sessionId: string;
  readonly callId: string;
  readonly parentCallId: null;
  readonly incoming: boolean;
  readonly status: CallStatus;
  /** Last SIP status code, e.g. 180, 200, 486. */
  readonly sipStatus: number | null;
  readonly rtmpUrl: string | null;
  readonly rtmpStream: string | null;
  /** Where the request has no `toStream`: a name that was made for it. */
  readonly streamName: string;
  readonly rtmpStreamStatus: RtmpStreamStatus | null;
  /** Why the RTMP stream is not active, without keys. */
  readonly rtmpStreamError: string | null;
  readonly caller: string;
  readonly callee: string;
  readonly hasAudio: boolean;
  readonly hasVideo: boolean;
  /** The peer's answer. */
  readonly sdp: string | null;
  readonly visibleName: string;
  readonly inviteParameters: null;
  readonly mediaProvider: 'Flash';
  /** The last SIP message received. */
  readonly sipMessageRaw: string | null;
  readonly isMsrp: false;
  /** Whom the peer is asked to call in our place, while a transfer is under way. */
  readonly target: string | null;
  readonly holdForTransfer: boolean;
  /**
   * Why the call ended. Before the end: the state of its registration, if it needs one (`Registering`, `Registered`,
   * `Registration failed: …`).
   */
  readonly info: string | null;
  readonly endedBy: EndedBy | null;
  /** ISO 8601. */
  readonly createdAt: string;
  readonly establishedAt: string | null;
  readonly endedAt: string | null;
  readonly media: MediaStats | null;
  readonly pushes: readonly RtmpPushView[];
}

/** What changes in a call beside its progress. */
type CallFacts = Pick<
  CallView,
  | 'nodeId'
  | 'sessionId'
  | 'rtmpStreamStatus'
  | 'rtmpStreamError'
  | 'sdp'
  | 'sipMessageRaw'
  | 'target'
  | 'media'
  | 'pushes'
>;

/** The view of a call: its request and its outcome so far. */
export function describeCall(
  startup: ResolvedStartup,
  progress: CallProgress,
  facts: CallFacts,
): CallView {
  return {
    custom: startup.custom,
    nodeId: facts.nodeId,
    appKey: startup.appKey,
    sessionId: facts.sessionId,
    callId: startup.callId,
    parentCallId: null,
    incoming: startup.incoming,
    status: progress.status,
    sipStatus: progress.sipStatus,
    rtmpUrl: startup.rtmpUrl,
    rtmpStream: startup.rtmpStream,
    streamName: startup.toStream,
    rtmpStreamStatus: facts.rtmpStreamStatus,
    rtmpStreamError: facts.rtmpStreamError,
    caller: startup.caller,
    callee: startup.callee,
    hasAudio: startup.hasAudio,
    hasVideo: startup.hasVideo,
    sdp: facts.sdp,
    visibleName: startup.visibleName,
    inviteParameters: null,
    mediaProvider: 'Flash',
    sipMessageRaw: facts.sipMessageRaw,
    isMsrp: false,
    target: facts.target,
    holdForTransfer: facts.target !== null,
    info: progress.info,
    endedBy: progress.endedBy,
    createdAt: new Date(progress.createdAtMs).toISOString(),
    establishedAt: isoOrNull(progress.establishedAtMs),
    endedAt: isoOrNull(progress.endedAtMs),
    media: facts.media,
    pushes: facts.pushes,
  };
}

function isoOrNull(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}
