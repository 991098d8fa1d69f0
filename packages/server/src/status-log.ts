// One readable line for each change of a call's status or of its RTMP stream's status.

import type { Call, CallGateway, CallView } from '@sipcast/core';

/** Longest value in a log line, in characters. */
const MAX_VALUE_LENGTH = 256;
// C0, DEL, C1, line and paragraph separators, and what turns the direction of writing.
// oxlint-disable-next-line no-control-regex -- finding control characters is the point
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g;

/** A value that came from outside, fit for one line of a log: control characters escaped, and not endless. */
export function printable(value: string): string {
  const cut = value.length > MAX_VALUE_LENGTH ? `${value.slice(0, MAX_VALUE_LENGTH)}…` : value;
  return cut.replace(UNPRINTABLE, (character) => {
    const code = character.charCodeAt(0);
    return code < 0x100
      ? `\\x${code.toString(16).padStart(2, '0')}`
      : `\\u${code.toString(16).padStart(4, '0')}`;
  });
}

/**
 * Writes `<Call-ID> <old> -> <new> <RTMP status> (<reason>)` for each change, to `write`.
 * @returns Stops it.
 */
export function logStatuses(
  gateway: Pick<CallGateway, 'on' | 'off'>,
  write: (line: string) => void,
): () => void {
  const last = new WeakMap<Call, Pick<CallView, 'status' | 'rtmpStreamStatus'>>();
  const onChange = (call: Call, view: CallView): void => {
    const { status, rtmpStreamStatus } = view;
    // A push that was made together with the call waits from the beginning.
    const before = last.get(call) ?? { status: 'NEW', rtmpStreamStatus };
    if (before.status === status && before.rtmpStreamStatus === rtmpStreamStatus) return;
    last.set(call, { status, rtmpStreamStatus });
    const parts = [printable(view.callId), change(before.status, status)];
    if (rtmpStreamStatus !== null) parts.push(change(before.rtmpStreamStatus, rtmpStreamStatus));
    const reason = before.status === status ? rtmpReason(view) : view.info;
    if (reason !== null) parts.push(`(${printable(reason)})`);
    write(parts.join(' '));
  };
  gateway.on('callChange', onChange);
  return () => void gateway.off('callChange', onChange);
}

function change(before: string | null, after: string): string {
  return before === null || before === after ? after : `${before} -> ${after}`;
}

/** What the server of the call's own RTMP stream said, or why it is not reached. */
function rtmpReason(view: CallView): string | null {
  if (view.rtmpStreamStatus === 'RTMP_STREAM_ACTIVE') return null;
  const own = view.pushes.find(
    ({ rtmpUrl, streamName }) => rtmpUrl === view.rtmpUrl && streamName === view.rtmpStream,
  );
  return own?.lastError ?? null;
}
