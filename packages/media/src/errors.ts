// The error classes of this package and their codes.

/** Stable, machine-readable reason of a {@link MediaError}. */
export type MediaErrorCode =
  /** An option or argument is wrong; `field` names it. */
  | 'INVALID_ARGUMENT'
  /** No free RTP/RTCP port pair in the configured range. */
  | 'NO_PORTS'
  | 'SOCKET'
  /** There is no ffmpeg, or it lacks a codec that is needed. */
  | 'NO_TRANSCODER'
  /** The media needs encoding, and transcoding is off. */
  | 'TRANSCODING_DISABLED'
  /** The limit of running encoders is reached. */
  | 'TRANSCODERS_BUSY'
  /** The peer accepts no audio from us. */
  | 'NOT_SENDING'
  /** The encoder kept crashing. */
  | 'TRANSCODER_FAILED'
  /** A sound cannot be read or decoded. */
  | 'SOUND_FAILED'
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
  /** `mayConnect` refuses every address of the host. */
  | 'CONNECT_FORBIDDEN'
  /** The TLS handshake failed, or the server is not the expected one; `reason` says which check failed. */
  | 'TLS_FAILED'
  /** The server requires a user and password, and they are missing or wrong. */
  | 'AUTH_FAILED'
  /** The server redirects to an address that is not allowed. */
  | 'REDIRECT_REFUSED'
  /** A phase (connect, handshake, publish) took longer than its time-out. */
  | 'TIMEOUT'
  /** The server broke the protocol, or exceeded one of our limits. */
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
  /** Of `TLS_FAILED` and `AUTH_FAILED`: one word, e.g. `CERT_HAS_EXPIRED`, `FINGERPRINT_MISMATCH`, `nosuchuser`. */
  readonly reason: string | undefined;

  constructor(
    code: RtmpErrorCode,
    message: string,
    details: { field?: string; statusCode?: string; reason?: string; cause?: unknown } = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.field = details.field;
    this.statusCode = details.statusCode;
    this.reason = details.reason;
  }
}
