// A call as applications see it.

import type { FlvRecording, MediaStats, RtmpError } from '@sipcast/media';
import type { ReferRequest } from '@sipcast/sip';
import type { Emitter } from '../emitter.ts';
import type { CallStatus, RtmpStreamStatus } from '../status.ts';
import type { NamedStream } from '../stream/named-stream.ts';
import type { SipTraceEntry } from '../trace/sip-trace.ts';
import type { CallProblem } from './call-problem.ts';
import type { CallChange } from './call-progress.ts';
import type { CallView } from './call-view.ts';
import type { DtmfType, ReceivedDtmf } from './dtmf-info.ts';
import type { ResolvedStartup } from './startup.ts';

/** Events of a call. */
export interface CallEvents {
  /** After each change of the status. */
  status: (status: CallStatus, previous: CallStatus) => void;
  /** After each change of the status of the stream that `rtmpUrl` and `rtmpStream` name. */
  rtmpStreamStatus: (status: RtmpStreamStatus, error: RtmpError | undefined) => void;
  /** After each change of status, sipStatus or rtmpStreamStatus; one event for those that change together. */
  change: (view: CallView, changed: readonly CallChange[]) => void;
  /** The peer pressed a key: once for each, however often its packets are repeated. */
  dtmf: (dtmf: ReceivedDtmf) => void;
  /** What keeps a medium off the air has changed, e.g. `NO_PACKETS`, or is over. The same stands in `stats()`. */
  problem: (problem: CallProblem) => void;
  /** About once a second while the call is established and something listens. */
  stats: (stats: MediaStats) => void;
  /**
   * The peer asks us to call another party in its place (REFER). A listener takes this on and reports the outcome with
   * `report`; without a listener the request is declined.
   */
  refer: (refer: ReferRequest) => void;
  /** A file of the recording is complete. */
  recorded: (file: FlvRecording) => void;
  /** Once, after the last status: everything that the call held is released. */
  closed: () => void;
}

/** One call. Made by the gateway's `startup`, or by accepting a call that came in. */
export interface Call extends Emitter<CallEvents> {
  readonly callId: string;
  readonly status: CallStatus;
  /** `null` without `rtmpUrl`. */
  readonly rtmpStreamStatus: RtmpStreamStatus | null;
  /** Why its RTMP stream is not active, without keys; `null` where it is, or where nothing has failed yet. */
  readonly rtmpStreamError: string | null;
  /** The call has ended: its status is final. */
  readonly ended: boolean;
  /** The request, validated, without the password. */
  readonly request: Omit<ResolvedStartup, 'credentials'>;
  readonly stream: NamedStream;
  /** A snapshot as clients see it. */
  view(): CallView;
  /** The call's SIP messages so far, both ways, oldest first, without secrets; also after its end. */
  trace(): SipTraceEntry[];
  /** Media statistics; `null` before the answer. After the end, the last values. */
  stats(): MediaStats | null;
  /**
   * Resolves when the peer answers.
   * @throws GatewayError (rejection) `CALL_FAILED` when the call ends unanswered.
   */
  established(): Promise<void>;
  /** Resolves when the call has ended and everything that it held is released. */
  closed(): Promise<void>;
  /** Ends the call by CANCEL or BYE, or before its INVITE is sent. Idempotent; resolves with `closed()`. */
  terminate(): Promise<void>;
  /**
   * Sends digits (`0-9 * # A-D`, `,` is a pause), after those that are still being sent; before the answer they wait
   * for it. Resolves when they are sent; also when the call ends before.
   *
   * @param type - Default `RFC2833`.
   * @throws GatewayError `INVALID_ARGUMENT` for another character or type; `CALL_STATE` when RFC 4733 was asked for and the
   * peer did not negotiate it.
   */
  sendDtmf(digits: string, type?: DtmfType): Promise<void>;
  /**
   * Plays the audio of a named stream to the peer, encoded as negotiated. If the call is not answered yet, playback starts with
   * the answer. Replaces a stream that was injected before.
   *
   * @throws GatewayError `CALL_STATE` when the call has ended or the peer takes no audio.
   */
  injectStream(source: Pick<NamedStream, 'tapAudio'>): void;
  /** The peer hears silence again. Does nothing if no stream is injected. */
  stopInjection(): void;
  /**
   * Plays a sound file to the peer once, in place of what it would hear otherwise. If the call is not answered yet, playback
   * starts with the answer.
   *
   * @param path - A WAV, MP3 or FLV file; not checked here.
   * @throws GatewayError as {@link injectStream}, and `NOT_IMPLEMENTED` when there is no ffmpeg to decode it.
   */
  injectSound(path: string): void;
  /**
   * Puts the call on hold: we ask the peer to send nothing, and it hears silence; streams and pushes continue. Resolves when
   * the peer has agreed. Does nothing if we already hold the call.
   *
   * @throws GatewayError (rejection) `CALL_STATE` when the call is not established, or the peer refuses: `sipStatus`.
   */
  hold(): Promise<void>;
  /** Ends {@link hold}. If the peer also holds the call, it stays in HOLD. @throws GatewayError as {@link hold}. */
  resume(): Promise<void>;
  /**
   * Asks the peer to call `target` in our place (REFER, RFC 3515). Resolves when that call is established; this one then ends.
   * Until then the view shows it in `target` and `holdForTransfer`.
   *
   * @param target - SIP URI.
   * @throws GatewayError (rejection) `CALL_STATE` when the call is not established, or the transfer fails, with `sipStatus`:
   * this call goes on. `INVALID_ARGUMENT` for `target`.
   */
  transfer(target: string): Promise<void>;
}
