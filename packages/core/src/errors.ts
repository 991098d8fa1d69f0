// The one error class of this package and its codes.

/** Stable, machine-readable reason of a {@link GatewayError}. */
export type GatewayErrorCode =
  /** A value is missing, malformed or out of range; `field` names it. */
  | 'INVALID_ARGUMENT'
  /** A documented field or method that is not built yet; `field` names it. */
  | 'NOT_IMPLEMENTED'
  /** `callId` is in use by a live call. */
  | 'CALL_EXISTS'
  /** `rtmpUrl` and `rtmpStream` together are in use by a live call. */
  | 'RTMP_STREAM_EXISTS'
  /** `toStream` is taken. */
  | 'STREAM_EXISTS'
  /** The same stream is pushed to the same URL already. */
  | 'PUSH_EXISTS'
  | 'CALL_NOT_FOUND'
  | 'STREAM_NOT_FOUND'
  | 'PUSH_NOT_FOUND'
  /** No such file in the media folder; `field` names where its name was given. */
  | 'FILE_NOT_FOUND'
  /** The call cannot do this in its state, e.g. DTMF by RFC 4733 that the peer did not negotiate. */
  | 'CALL_STATE'
  /** The configured number of calls is reached. */
  | 'TOO_MANY_CALLS'
  /** As many watch as are allowed. */
  | 'TOO_MANY_VIEWERS'
  /** As many encoders run as are allowed. */
  | 'TRANSCODERS_BUSY'
  /** The ffmpeg that was found when the gateway opened is gone, or works no more: what needs a new encoder must wait. */
  | 'TRANSCODER_LOST'
  /** The gateway ends its calls and takes no more. */
  | 'DRAINING'
  /** The process cannot keep up with the calls that it has. */
  | 'OVERLOADED'
  /** No free pair of RTP ports. */
  | 'NO_PORTS'
  /** The gateway, or the registration that is waited for, is closing or closed. */
  | 'GATEWAY_CLOSED'
  /** The call ended before it was established; `sipStatus` holds the last SIP code. */
  | 'CALL_FAILED';

/** Every failure that the gateway throws or rejects with. */
export class GatewayError extends Error {
  override readonly name = 'GatewayError';
  readonly code: GatewayErrorCode;
  /** Name of the option or field at fault, where there is one. */
  readonly field: string | undefined;
  /** The SIP status that caused it, where there is one. */
  readonly sipStatus: number | undefined;

  constructor(
    code: GatewayErrorCode,
    message: string,
    details: { field?: string; sipStatus?: number; cause?: unknown } = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.field = details.field;
    this.sipStatus = details.sipStatus;
  }
}

/** The `INVALID_ARGUMENT` error for a field. */
export function invalidArgument(field: string, problem: string): GatewayError {
  return new GatewayError('INVALID_ARGUMENT', `${field} ${problem}`, { field });
}
