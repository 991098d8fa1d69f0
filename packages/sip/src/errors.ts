// The error class of this package and its codes.

/** Stable, machine-readable reason of a {@link SipError}. */
export type SipErrorCode =
  /** A message from the wire or a value from the caller violates the grammar. */
  | 'SYNTAX'
  | 'START_LINE_TOO_LONG'
  | 'HEADER_TOO_LONG'
  | 'TOO_MANY_HEADERS'
  | 'BODY_TOO_LARGE'
  /** Content-Length is missing on a stream, negative, repeated, or larger than the datagram. */
  | 'BAD_CONTENT_LENGTH'
  | 'UNSUPPORTED_VERSION'
  /** A URI with a scheme other than sip and sips. */
  | 'UNSUPPORTED_SCHEME'
  /** CR, LF or NUL in a value that would be written to the wire. */
  | 'ILLEGAL_CHARACTER'
  /** An invalid option or argument; `field` names it. */
  | 'INVALID_ARGUMENT'
  /** An unusable session description (RFC 4566, RFC 3264). */
  | 'BAD_SDP'
  | 'NO_COMMON_CODECS'
  /** The socket failed, or the destination cannot be reached. */
  | 'TRANSPORT'
  /** Connecting to the destination address or port is not allowed. */
  | 'CONNECT_FORBIDDEN'
  /** Timer B or F fired: no response (RFC 3261 §17.1). */
  | 'TIMEOUT'
  /** Challenged again after the last allowed attempt, or no supported challenge. */
  | 'AUTH_FAILED'
  /** A final response other than 2xx; see `statusCode`. */
  | 'REJECTED'
  | 'CANCELLED'
  /** The session was not refreshed in time (RFC 4028). */
  | 'SESSION_EXPIRED'
  | 'CLOSED';

/** Every failure that this package throws or reports. */
export class SipError extends Error {
  override readonly name = 'SipError';
  readonly code: SipErrorCode;
  /** The header, option or field at fault, if there is one. */
  readonly field: string | undefined;
  /** The SIP status that answers or caused this error, if there is one (100–699). */
  readonly statusCode: number | undefined;
  /** The Retry-After of the peer's response that caused this error, in seconds (RFC 3261 §20.33). */
  readonly retryAfterSeconds: number | undefined;

  constructor(
    code: SipErrorCode,
    message: string,
    details: {
      field?: string;
      statusCode?: number;
      retryAfterSeconds?: number | undefined;
      cause?: unknown;
    } = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.field = details.field;
    this.statusCode = details.statusCode;
    this.retryAfterSeconds = details.retryAfterSeconds;
  }
}

/** A failed socket or an unreachable destination: `TRANSPORT`, status 503. */
export function transportError(message: string, cause?: unknown): SipError {
  return new SipError('TRANSPORT', message, { statusCode: 503, cause });
}

/** Failures in sending are SipErrors. Anything else is a bug in this package, and is kept as `cause` with its stack. */
export function asSipError(error: unknown): SipError {
  return error instanceof SipError ? error : transportError('Sending failed', error);
}
