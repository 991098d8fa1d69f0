// The calls of a gateway as applications see them.

import type { Call } from '../call/call.ts';
import type { CallView } from '../call/call-view.ts';
import type { SipTraceEntry } from '../trace/sip-trace.ts';

/** What `calls.find` compares; all that are given must be equal. */
export type CallFilter = Partial<
  Pick<
    CallView,
    | 'callId'
    | 'callee'
    | 'caller'
    | 'rtmpUrl'
    | 'rtmpStream'
    | 'status'
    | 'sipStatus'
    | 'rtmpStreamStatus'
    | 'hasAudio'
    | 'hasVideo'
    | 'streamName'
  >
>;

/** See `CallGateway.calls`. */
export interface Calls {
  /** Live calls, in order of their start. */
  readonly live: readonly Call[];
  /** Live calls that match all given fields; none: an empty array. */
  find(filter?: CallFilter): CallView[];
  /** The live call. @throws GatewayError `CALL_NOT_FOUND`. */
  get(callId: string): Call;
  /** Ended calls, newest first: at most `historySize`, and at most `limit`. */
  history(limit?: number): readonly CallView[];
  /** As {@link Call.trace}; also of a call that has ended, while `history` knows it. @throws GatewayError `CALL_NOT_FOUND`. */
  trace(callId: string): SipTraceEntry[];
  /**
   * Plays a WAV, MP3 or FLV file of `mediaFolder` to the peer of a call, once. Resolves when it begins.
   * @throws GatewayError (rejection) `CALL_NOT_FOUND`, `FILE_NOT_FOUND`, `INVALID_ARGUMENT` for `fileName`, `CALL_STATE`,
   * `NOT_IMPLEMENTED`, `TRANSCODERS_BUSY`, `TRANSCODER_LOST`.
   */
  injectSound(callId: string, fileName: string): Promise<void>;
}
