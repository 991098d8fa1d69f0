// The one error class of this package and its codes.

/** Stable, machine-readable reason of a {@link GatewayError}. */
export type GatewayErrorCode =
  /** A value is missing, malformed or out of range; `field` names it. */
  | 'INVALID_ARGUMENT'
  /** Not possible here, e.g. without ffmpeg; `field` names what. */
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
  /** No such file in the media folder; `field` names the field that held the name. */
  | 'FILE_NOT_FOUND'
  /** Not possible in the call's state, e.g. RFC 4733 events that the peer did not negotiate. */
  | 'CALL_STATE'
  /** The configured number of calls is reached. */
  | 'TOO_MANY_CALLS'
  /** The limit of viewers is reached. */
  | 'TOO_MANY_VIEWERS'
  /** The limit of encoders is reached. */
  | 'TRANSCODERS_BUSY'
  /** The ffmpeg found at the start is gone or no longer works: nothing that needs a new encoder can start. */
  | 'TRANSCODER_LOST'
  /** The gateway is draining: it takes no new calls. */
  | 'DRAINING'
  /** The process is overloaded by its current calls. */
  | 'OVERLOADED'
  /** The stream has no picture yet, or it does not decode. */
  | 'NO_PICTURE'
  /** No free pair of RTP ports. */
  | 'NO_PORTS'
  /** The gateway, or the registration, is closing or closed. */
  | 'GATEWAY_CLOSED'
  /** The call ended before it was established; `sipStatus` holds the last SIP code. */
  | 'CALL_FAILED';

/** Every failure that the gateway throws or rejects with. */
export class GatewayError extends Error {
  override readonly name = 'GatewayError';
  readonly code: GatewayErrorCode;
  /** Name of the option or field at fault, if there is one. */
  readonly field: string | undefined;
  /** The SIP status that caused the error, if there is one. */
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

/** The `INVALID_ARGUMENT` error for a URL that does not parse. */
export function invalidUrl(field: string, cause: unknown): GatewayError {
  const problem = cause instanceof Error ? cause.message : String(cause);
  return new GatewayError('INVALID_ARGUMENT', `${field}: ${problem}`, { field, cause });
}

/** The `INVALID_ARGUMENT` error for a field. */
export function invalidArgument(field: string, problem: string): GatewayError {
  return new GatewayError('INVALID_ARGUMENT', `${field} ${problem}`, { field });
}
