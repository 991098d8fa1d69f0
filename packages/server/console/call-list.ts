// The console's state of calls, from API snapshots and the events between them.

import type { CallView, RtmpPushView } from '@sipcast/core';

/** A `CallStatusEvent`, without keys that are null. */
export type CallStatusEvent = Partial<CallView> &
  Pick<CallView, 'callId' | 'status'> & { readonly timestamp: number; readonly sequence: number };

/** A `PushStatusEvent`. */
export type PushStatusEvent = RtmpPushView & {
  readonly callId: string;
  readonly closed: boolean;
  readonly timestamp: number;
  readonly sequence: number;
};

/** Live and ended calls. */
export interface CallList {
  /** In order of their start. */
  readonly live: readonly CallView[];
  /** Newest first. */
  readonly ended: readonly CallView[];
  /** Number of the last event about each call, kept while it may be newer than a snapshot. */
  readonly touched: Readonly<Record<string, number>>;
}

/** Maximum number of ended calls shown. */
export const MAX_ENDED = 50;
const FINAL: ReadonlySet<string> = new Set(['BUSY', 'FINISH', 'FAILED']);

/** The initial state. */
export const EMPTY_LIST: CallList = { live: [], ended: [], touched: {} };

/** Whether a call with this status has ended. */
export function isFinal(status: string): boolean {
  return FINAL.has(status);
}

/**
 * Applies a snapshot from the API.
 * @param sequence - Number of the newest event seen when the snapshot was requested; later events are newer than it.
 */
export function applySnapshot(
  list: CallList,
  live: readonly CallView[],
  ended: readonly CallView[],
  sequence: number,
): CallList {
  const isNewer = (callId: string): boolean => (list.touched[callId] ?? 0) > sequence;
  const known = new Map(list.live.map((call) => [call.callId, call]));
  const endedMeanwhile = list.ended.filter((call) => isNewer(call.callId));
  const gone = new Set(endedMeanwhile.map((call) => call.callId));
  const next = live
    .filter(({ callId }) => !gone.has(callId))
    .map((call) => {
      const own = known.get(call.callId);
      if (!own || !isNewer(call.callId)) return call;
      const { status, sipStatus, rtmpStreamStatus, rtmpStreamError } = own;
      return { ...call, status, sipStatus, rtmpStreamStatus, rtmpStreamError };
    });
  const there = new Set(next.map((call) => call.callId));
  // Started after the snapshot was requested.
  const begun = list.live.filter(({ callId }) => isNewer(callId) && !there.has(callId));
  const answered = new Set(ended.map(keyOf));
  return {
    live: [...next, ...begun],
    ended: [...endedMeanwhile.filter((call) => !answered.has(keyOf(call))), ...ended].slice(
      0,
      MAX_ENDED,
    ),
    touched: Object.fromEntries(
      Object.entries(list.touched).filter(([, touchedAt]) => touchedAt > sequence),
    ),
  };
}

/** Applies the API's response for a single call. An unknown call is not added: it may have ended. */
export function applyOne(list: CallList, call: CallView): CallList {
  return {
    ...list,
    live: list.live.map((one) => (one.callId === call.callId ? call : one)),
  };
}

/** Applies an event about a call. */
export function applyCallEvent(list: CallList, event: CallStatusEvent): CallList {
  const { timestamp, sequence, ...news } = event;
  const { callId } = event;
  const touched = { ...list.touched, [callId]: sequence };
  const own = list.live.find((call) => call.callId === callId);
  if (isFinal(event.status)) {
    const before = own ?? blankCall(callId, timestamp);
    const endedAt = new Date(timestamp).toISOString();
    const call: CallView = { ...before, ...news, rtmpUrl: before.rtmpUrl, endedAt };
    const others = list.ended.filter((one) => keyOf(one) !== keyOf(call));
    return {
      live: list.live.filter((one) => one.callId !== callId),
      ended: [call, ...others].slice(0, MAX_ENDED),
      touched,
    };
  }
  if (!own) {
    const call = { ...blankCall(callId, timestamp), ...news };
    return { ...list, live: [...list.live, call], touched };
  }
  const establishedAt =
    own.establishedAt ??
    (event.status === 'ESTABLISHED' ? new Date(timestamp).toISOString() : null);
  // The event's URL lacks its secrets; the API's is complete.
  const call: CallView = { ...own, ...news, rtmpUrl: own.rtmpUrl, establishedAt };
  return {
    ...list,
    live: list.live.map((one) => (one === own ? call : one)),
    touched,
  };
}

/** Applies an event about a push. */
export function applyPushEvent(list: CallList, event: PushStatusEvent): CallList {
  const { callId, closed, timestamp: _timestamp, sequence: _sequence, ...push } = event;
  const { mediaSessionId } = push;
  return {
    ...list,
    live: list.live.map((call) => {
      if (call.callId !== callId) return call;
      const known = call.pushes.find((one) => one.mediaSessionId === mediaSessionId);
      const others = call.pushes.filter((one) => one !== known);
      if (closed) return { ...call, pushes: others };
      if (!known) return { ...call, pushes: [...others, push] };
      const merged = { ...push, rtmpUrl: known.rtmpUrl };
      return { ...call, pushes: call.pushes.map((one) => (one === known ? merged : one)) };
    }),
  };
}

/** The calls whose peer, direction, ids, names or status contain all words of a text. */
export function filterCalls(calls: readonly CallView[], text: string): readonly CallView[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return calls;
  return calls.filter((call) => {
    const { callee, caller, visibleName, callId, status, streamName, rtmpUrl, rtmpStream } = call;
    const direction = call.incoming ? 'incoming' : 'outgoing';
    const people = [callee, caller, visibleName, direction];
    const parts = [...people, callId, status, streamName, rtmpUrl, rtmpStream, call.info];
    const haystack = parts.join('\n').toLowerCase();
    return words.every((word) => haystack.includes(word));
  });
}

function keyOf(call: CallView): string {
  // A Call-ID may be reused, and events do not contain the exact start time of a call.
  return `${call.callId} ${call.endedAt === null ? '' : call.createdAt.slice(0, 19)}`;
}

function blankCall(callId: string, timestamp: number): CallView {
  return {
    custom: {},
    nodeId: '',
    appKey: '',
    sessionId: '',
    callId,
    parentCallId: null,
    incoming: false,
    status: 'NEW',
    sipStatus: null,
    rtmpUrl: null,
    rtmpStream: null,
    // Comes with the next snapshot.
    streamName: '',
    rtmpStreamStatus: null,
    rtmpStreamError: null,
    caller: '',
    callee: '',
    hasAudio: true,
    hasVideo: true,
    sdp: null,
    visibleName: '',
    inviteParameters: null,
    mediaProvider: 'Flash',
    sipMessageRaw: null,
    isMsrp: false,
    target: null,
    holdForTransfer: false,
    info: null,
    endedBy: null,
    createdAt: new Date(timestamp).toISOString(),
    establishedAt: null,
    endedAt: null,
    media: null,
    pushes: [],
  };
}
