// Failures as HTTP answers.

import type { GatewayErrorCode } from '@sipcast/core';

/** More about a {@link RestError}; the field alone may stand for it. */
export interface RestErrorDetails {
  /** The field or header at fault. */
  readonly field?: string;
  /** Headers that the answer must have. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** A failure that this package detects itself. */
export class RestError extends Error {
  override readonly name = 'RestError';
  /** HTTP status. */
  readonly status: number;
  /** Stable, machine-readable reason. */
  readonly code: string;
  /** The field or header at fault, if there is one. */
  readonly field: string | undefined;
  /** Headers that the answer must have. */
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    code: string,
    message: string,
    details: string | RestErrorDetails = {},
  ) {
    const { field, headers = {} }: RestErrorDetails =
      typeof details === 'string' ? { field: details } : details;
    super(message);
    this.status = status;
    this.code = code;
    this.field = field;
    this.headers = headers;
  }
}

/** HTTP status of each failure of the gateway. Does not compile when a code is missing. */
export const STATUS_OF_CODE: Readonly<Record<GatewayErrorCode, number>> = {
  INVALID_ARGUMENT: 400,
  NOT_IMPLEMENTED: 501,
  CALL_EXISTS: 409,
  RTMP_STREAM_EXISTS: 409,
  STREAM_EXISTS: 409,
  PUSH_EXISTS: 409,
  NO_PICTURE: 409,
  CALL_NOT_FOUND: 404,
  STREAM_NOT_FOUND: 404,
  PUSH_NOT_FOUND: 404,
  FILE_NOT_FOUND: 404,
  CALL_STATE: 409,
  TOO_MANY_CALLS: 503,
  TOO_MANY_VIEWERS: 503,
  TRANSCODERS_BUSY: 503,
  TRANSCODER_LOST: 503,
  DRAINING: 503,
  OVERLOADED: 503,
  NO_PORTS: 503,
  GATEWAY_CLOSED: 503,
  CALL_FAILED: 500,
};

const WORDS: Readonly<Record<number, readonly [error: string, exception: string]>> = {
  400: ['Bad Request', 'BadRequestException'],
  401: ['Unauthorized', 'UnauthorizedException'],
  403: ['Forbidden', 'ForbiddenException'],
  404: ['Not Found', 'NotFoundException'],
  405: ['Method Not Allowed', 'MethodNotAllowedException'],
  409: ['Conflict', 'ConflictException'],
  421: ['Misdirected Request', 'MisdirectedRequestException'],
  413: ['Payload Too Large', 'PayloadTooLargeException'],
  415: ['Unsupported Media Type', 'UnsupportedMediaTypeException'],
  429: ['Too Many Requests', 'TooManyRequestsException'],
  500: ['Internal Server Error', 'InternalServerErrorException'],
  501: ['Not Implemented', 'NotImplementedException'],
  503: ['Service Unavailable', 'ServiceUnavailableException'],
};

/** The JSON body of every error. */
export interface ErrorBody {
  readonly exception: string;
  readonly reason: string;
  readonly path: string;
  readonly error: string;
  readonly message: string;
  /** Unix milliseconds. */
  readonly timestamp: number;
  readonly status: number;
  /** Stable, machine-readable reason, e.g. `CALL_EXISTS`. */
  readonly code: string;
  /** The field at fault, if there is one. */
  readonly field?: string;
}

/** A failure as the answer describes it. */
export interface RestFailure {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  readonly field?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Status, code and message for any thrown value. An unknown error becomes a 500 that reveals nothing internal. */
export function describeError(thrown: unknown): RestFailure {
  if (thrown instanceof RestError) {
    const { status, code, message, field, headers } = thrown;
    return { status, code, message, headers, ...(field === undefined ? {} : { field }) };
  }
  if (thrown instanceof Error && thrown.name === 'GatewayError') {
    const { code, field } = thrown as Error & { code: GatewayErrorCode; field?: string };
    const status = STATUS_OF_CODE[code] ?? 500;
    const headers = status === 503 ? { 'retry-after': '5' } : {};
    return {
      status,
      code,
      message: thrown.message,
      headers,
      ...(field === undefined ? {} : { field }),
    };
  }
  return { status: 500, code: 'INTERNAL', message: 'Internal error' };
}

/** The body for a failure. */
export function errorBody(failure: RestFailure, path: string, nowMs: number): ErrorBody {
  const [error, exception] = WORDS[failure.status] ?? ['Error', 'Exception'];
  const { status, code, message, field } = failure;
  return {
    exception,
    reason: message,
    path,
    error,
    message,
    timestamp: nowMs,
    status,
    code,
    ...(field === undefined ? {} : { field }),
  };
}
