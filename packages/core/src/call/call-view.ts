// A call as clients see it: every key always there, `null` when unset.

import type { CallView } from './call-contract.ts';
import type { ResolvedStartup } from './options.ts';

/** What changes in a call. */
type CallFacts = Pick<
  CallView,
  | 'nodeId'
  | 'sessionId'
  | 'status'
  | 'sipStatus'
  | 'rtmpStreamStatus'
  | 'sdp'
  | 'sipMessageRaw'
  | 'target'
  | 'info'
  | 'endedBy'
  | 'media'
  | 'pushes'
> & {
  readonly createdAtMs: number;
  readonly establishedAtMs: number | null;
  readonly endedAtMs: number | null;
};

/** The view of a call: what was asked for, and what became of it. */
export function describeCall(startup: ResolvedStartup, facts: CallFacts): CallView {
  return {
    custom: startup.custom,
    nodeId: facts.nodeId,
    appKey: startup.appKey,
    sessionId: facts.sessionId,
    callId: startup.callId,
    parentCallId: null,
    incoming: startup.incoming,
    status: facts.status,
    sipStatus: facts.sipStatus,
    rtmpUrl: startup.rtmpUrl,
    rtmpStream: startup.rtmpStream,
    streamName: startup.toStream,
    rtmpStreamStatus: facts.rtmpStreamStatus,
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
    info: facts.info,
    endedBy: facts.endedBy,
    createdAt: new Date(facts.createdAtMs).toISOString(),
    establishedAt: isoOrNull(facts.establishedAtMs),
    endedAt: isoOrNull(facts.endedAtMs),
    media: facts.media,
    pushes: facts.pushes,
  };
}

function isoOrNull(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}
