// The error classes of this package and their codes.

/** Stable, machine-readable reason of a {@link MediaError}. */
export type MediaErrorCode =
  /** An option or argument is wrong; `field` names it. */
  | 'INVALID_ARGUMENT'
  /** No free RTP/RTCP port pair in the configured range. */
  | 'NO_PORTS'
  | 'SOCKET'
  /** No ffmpeg, or none that can do what is needed. */
  | 'NO_TRANSCODER'
  /** The encoder ended again and again. */
  | 'TRANSCODER_FAILED'
  | 'CLOSED';

/** A failure of the receiving side. Bad packets never raise it: they are counted. */
export class MediaError extends Error {
  override readonly name = 'MediaError';
  readonly code: MediaErrorCode;
  readonly field: string | undefined;

  constructor(
    code: MediaErrorCode,
    message: string,
    details: { field?: string; cause?: unknown } = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.field = details.field;
  }
}

/** Stable, machine-readable reason of an {@link RtmpError}. */
export type RtmpErrorCode =
  /** The URL does not follow `rtmp://host[:port]/app[/instance][?query]`; `field` names the part. */
  | 'INVALID_URL'
  /** Name look-up or TCP connection failed. */
  | 'CONNECT_FAILED'
  /** A phase (connect, handshake, publish) took longer than its time-out. */
  | 'TIMEOUT'
  /** The server broke the protocol, or went past one of our bounds. */
  | 'PROTOCOL'
  /** `connect` was refused (NetConnection.Connect.Rejected and kin); `statusCode` holds the server's code. */
  | 'CONNECT_REJECTED'
  /** `publish` was refused (NetStream.Publish.BadName and kin). */
  | 'PUBLISH_REJECTED'
  /** An established connection was lost. */
  | 'CONNECTION_LOST'
  /** No progress for the stall time-out. */
  | 'STALLED'
  | 'CLOSED';

/** A failure of one RTMP connection. */
export class RtmpError extends Error {
  override readonly name = 'RtmpError';
  readonly code: RtmpErrorCode;
  readonly field: string | undefined;
  /** The server's own `code` word, e.g. `NetStream.Publish.BadName`. */
  readonly statusCode: string | undefined;

  constructor(
    code: RtmpErrorCode,
    message: string,
    details: { field?: string; statusCode?: string; cause?: unknown } = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.field = details.field;
    this.statusCode = details.statusCode;
  }
}
