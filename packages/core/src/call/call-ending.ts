// Why a call ended, in the words that clients see.

import type { SessionEnding } from '@sipcast/sip';
import { GatewayError } from '../errors.ts';

/** Who ended the call. */
export type EndedBy = 'local' | 'remote' | 'network' | 'gateway';

/** The reference product's words for the reasons of an end. */
export const INFO = {
  normal: 'Normal call clearing',
  noCommonCodecs: 'No common codecs',
  requestTimeout: 'Failed by request timeout',
  rtpActivity: 'Failed by RTP activity',
  transcodingDisabled: 'Transcoding required, but disabled',
  sessionExpired: 'Failed by session expiry',
  error: 'Failed by error',
} as const;

/** Media failures whose own message is shown to clients. */
const SHOWN: ReadonlySet<string> = new Set([
  'TRANSCODERS_BUSY',
  'TRANSCODER_LOST',
  'TRANSCODER_FAILED',
  'UNRESOLVED',
  'FORBIDDEN_ADDRESS',
  'BAD_SDP',
]);

/** Failures that only the peer can fix. */
const THEIRS: ReadonlySet<string> = new Set([
  'NO_COMMON_CODECS',
  'BAD_SDP',
  'UNRESOLVED',
  'FORBIDDEN_ADDRESS',
]);

/** The peer's session description is at fault: answer 488, not 500. */
export function isTheirDescription(error: unknown): boolean {
  return THEIRS.has((error as { code?: string }).code ?? '');
}

/** The call was answered and ended by a BYE, or by a peer that no longer knew its dialog. */
export function isOrderly({ answered, endedBy, error }: SessionEnding): boolean {
  return answered && endedBy !== 'network' && error?.code !== 'SESSION_EXPIRED';
}

/** An error's message, whatever it is. */
export function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Why a call failed: the reference product's words if they fit, else the peer's status line, else our own error. */
export function infoOf(error: unknown, ending: Partial<SessionEnding> = {}): string {
  const { code } = (error ?? {}) as { code?: string };
  if (code === 'TIMEOUT') return INFO.requestTimeout;
  if (code === 'SESSION_EXPIRED') return INFO.sessionExpired;
  const { statusCode, reasonPhrase } = ending;
  if (statusCode !== undefined && code !== 'TRANSPORT' && code !== 'CONNECT_FORBIDDEN')
    return `${statusCode} ${reasonPhrase ?? ''}`.trim();
  return error === undefined ? INFO.error : `${INFO.error}: ${describe(error)}`;
}

/** Why the media failed, in the reference product's words if they fit. */
export function infoOfMediaFailure(error: unknown): string {
  const { code } = (error ?? {}) as { code?: string };
  if (code === 'NO_COMMON_CODECS') return `${INFO.noCommonCodecs}: ${problemOf(error)}`;
  if (code === 'TRANSCODING_DISABLED') return INFO.transcodingDisabled;
  if (code !== undefined && SHOWN.has(code)) return `${INFO.error}: ${describe(error)}`;
  return INFO.error;
}

/** Which section of a description is not used, and why. */
function problemOf(error: unknown): string {
  return describe(error).replace(/^No usable medium: /, '');
}

/** RFC 3326: why we hang up on an answer. The peer's people see it in their log. */
export function reasonOfMediaFailure(error: unknown): string {
  const { code } = (error ?? {}) as { code?: string };
  const isTheirs = isTheirDescription(error) || code === 'TRANSCODING_DISABLED';
  const text = isTheirs ? infoOfMediaFailure(error) : 'Media failure';
  return `SIP;cause=${isTheirs ? 488 : 500};text="${quotable(text)}"`;
}

/** RFC 3261 §20.43: why a description is refused with 488. */
export function warningOf(error: unknown): readonly [string, string] {
  return ['warning', `305 sipcast "${quotable(problemOf(error))}"`];
}

/** Fits between quotes (RFC 3261 §25.1), and into a datagram. */
function quotable(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]|["\\]/g, "'").slice(0, 200);
}

/** Why a sound cannot be played to the peer. */
export function soundFailure(cause: unknown): GatewayError {
  const { code } = cause as { code?: string };
  if (code === 'NO_TRANSCODER') {
    const problem = 'Sound needs ffmpeg, and transcoding is off';
    return new GatewayError('NOT_IMPLEMENTED', problem, { field: 'callId', cause });
  }
  if (code === 'TRANSCODERS_BUSY' || code === 'TRANSCODER_LOST')
    return new GatewayError(code, describe(cause), { cause });
  return new GatewayError('CALL_STATE', describe(cause), { field: 'callId', cause });
}
