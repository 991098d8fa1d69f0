// The one error class of this package and its codes.

/** Stable, machine-readable reason of a {@link SipError}. */
export type SipErrorCode =
  /** A message from the wire or a value given by the caller does not follow the grammar. */
  | 'SYNTAX'
  | 'START_LINE_TOO_LONG'
  | 'HEADER_TOO_LONG'
  | 'TOO_MANY_HEADERS'
  | 'BODY_TOO_LARGE'
  /** Content-Length is missing on a stream, negative, repeated, or larger than the datagram. */
  | 'BAD_CONTENT_LENGTH'
  | 'UNSUPPORTED_VERSION'
  /** A URI of a scheme other than sip and sips. */
  | 'UNSUPPORTED_SCHEME'
  /** CR, LF or NUL in a value that would be written to the wire. */
  | 'ILLEGAL_CHARACTER'
  /** An option or argument given by the caller is wrong; `field` names it. */
  | 'INVALID_ARGUMENT'
  /** Session description that cannot be used (RFC 4566, RFC 3264). */
  | 'BAD_SDP'
  | 'NO_COMMON_CODECS'
  /** The socket failed, or the destination cannot be reached. */
  | 'TRANSPORT'
  /** The destination is an address or a port that may not be connected to. */
  | 'CONNECT_FORBIDDEN'
  /** Timer B or F: nobody answered (RFC 3261 §17.1). */
  | 'TIMEOUT'
  /** Challenged again after the allowed attempts, or no supported challenge. */
  | 'AUTH_FAILED'
  /** A final response other than 2xx; `statusCode` holds it. */
  | 'REJECTED'
  | 'CANCELLED'
  /** Nobody refreshed the session in time (RFC 4028). */
  | 'SESSION_EXPIRED'
  | 'CLOSED';

/** Every failure that this package throws or reports. */
export class SipError extends Error {
  override readonly name = 'SipError';
  readonly code: SipErrorCode;
  /** Name of the header, option or field at fault, where there is one. */
  readonly field: string | undefined;
  /** SIP status that answers or caused this failure, where there is one (100–699). */
  readonly statusCode: number | undefined;
  /** What the peer's Retry-After asks for, in seconds, where a response of its own is the cause (RFC 3261 §20.33). */
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

/** Failures of our own sending are SipErrors; anything else is a bug in this package and keeps its stack as `cause`. */
export function asSipError(error: unknown): SipError {
  return error instanceof SipError ? error : transportError('Sending failed', error);
}
