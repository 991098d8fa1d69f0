// A gateway as applications see it: the calls of one process, their streams, pushes and accounts.

import type { CallProblem } from '../call/call-problem.ts';
import type { FfmpegBinary } from '@sipcast/media';
import type { ServerState } from '@sipcast/sip';
import type { Call } from '../call/call.ts';
import type { CallChange } from '../call/call-progress.ts';
import type { CallView } from '../call/call-view.ts';
import type { ReceivedDtmf } from '../call/dtmf-info.ts';
import type { StartupRequest } from '../call/startup-request.ts';
import type { Emitter } from '../emitter.ts';
import type { IncomingCall } from '../incoming/incoming-call.ts';
import type { RegistrationState, RegistrationView } from '../registration/account-registration.ts';
import type { RtmpPushView } from '../stream/rtmp-push.ts';
import type { Accounts } from './accounts.ts';
import type { Calls } from './calls.ts';
import type { Pushes } from './pushes.ts';
import type { Streams } from './streams.ts';

/** An output that was removed from its stream. */
export interface OutputFailure {
  readonly streamName: string;
  /** `null` for a published stream. */
  readonly callId: string | null;
  /** The error's message. */
  readonly reason: string;
}

/** Events of a gateway. */
export interface CallGatewayEvents {
  /**
   * A call comes in that no rule of `incoming` matches: accept or reject it. Without a listener such calls are not answered.
   */
  incomingCall: (incoming: IncomingCall) => void;
  /** A call was accepted and can be found: the first event of each call, before the events of its pushes. */
  call: (call: Call) => void;
  /** A call's status, sipStatus or rtmpStreamStatus changed. In order for each call. */
  callChange: (call: Call, view: CallView, changed: readonly CallChange[]) => void;
  /** The registration of an account, for calls or standing, changed its state. */
  registration: (view: RegistrationView, previous: RegistrationState) => void;
  /** A server of `sipPing` answers, or has stopped answering: once at first, then at each change. */
  sipServer: (state: ServerState) => void;
  /** A peer pressed a key. */
  callDtmf: (call: Call, dtmf: ReceivedDtmf) => void;
  /** What keeps a medium of a call off the air has changed, or is over. */
  callProblem: (call: Call, problem: CallProblem) => void;
  /** A call ended, and all that it held is released. */
  callClosed: (call: Call) => void;
  /**
   * A push was started, changed its status, or was muted, unmuted or given a sound. In order for each push. `callId`: of the call
   * that owns the stream, or the name of a published stream.
   */
  pushChange: (view: RtmpPushView, callId: string) => void;
  /** A push has ended: it was terminated, or its stream ended. */
  pushClosed: (view: RtmpPushView, callId: string) => void;
  /** An output of a stream was removed: it threw, or what it needs could not be encoded. Also logged, and counted in `faults`. */
  outputFailed: (failure: OutputFailure) => void;
  /** Once, after all other events: the gateway is closed. */
  closed: () => void;
}

/** The calls of one process, or of a part of it: several gateways can share a process. Made by `createCallGateway`. */
export interface CallGateway extends Emitter<CallGatewayEvents> {
  /** `<32 hexadecimal characters>@<address>`: unique to this gateway. */
  readonly nodeId: string;
  readonly calls: Calls;
  readonly pushes: Pushes;
  /** Named streams, of calls and of the application. */
  readonly streams: Streams;
  readonly accounts: Accounts;
  /** UDP and TCP port of SIP. */
  readonly sipPort: number;
  /** Port on which SIP over TLS is accepted; 0 without a certificate. */
  readonly sipTlsPort: number;
  /** Encoders that are running or reserved for calls. */
  readonly encoders: { readonly audio: number; readonly video: number };
  /** The ffmpeg that encodes, found at the start; undefined when transcoding is off. */
  readonly ffmpeg: FfmpegBinary | undefined;
  /** Bad input from the wire, counted by name. */
  readonly faults: Readonly<Record<string, number>>;
  /** `drain` was called. */
  readonly isDraining: boolean;
  /**
   * Starts a call. Resolves when it is accepted and can be found, not when it is answered: wait for
   * `call.established()`.
   *
   * @param clientAddress - Of the request, for the call's `sessionId`. Default `local`.
   * @throws GatewayError (rejection) `INVALID_ARGUMENT`, `CALL_EXISTS`, `RTMP_STREAM_EXISTS`, `STREAM_EXISTS`,
   * `TOO_MANY_CALLS`, `DRAINING`, `OVERLOADED`, `TRANSCODERS_BUSY`, `TRANSCODER_LOST`, `NO_PORTS`, `GATEWAY_CLOSED`.
   */
  startup(request: StartupRequest, clientAddress?: string): Promise<Call>;
  /**
   * Checks ffmpeg again by running it, which is too slow for every request. If it no longer works, requests that need a new
   * encoder are refused (`TRANSCODER_LOST`) until a later check succeeds; running calls and calls without encoders continue.
   * @returns what is wrong, for the operator; undefined if all is well or no ffmpeg is needed
   */
  checkFfmpeg(): Promise<string | undefined>;
  /** Refuses new calls (`DRAINING`; over SIP 503). Resolves when the last call has ended, at the latest after `deadlineMs`. */
  drain(deadlineMs: number): Promise<void>;
  /** Ends every call (BYE or CANCEL, deleteStream, un-REGISTER) and closes every socket. Idempotent. */
  close(): Promise<void>;
}
