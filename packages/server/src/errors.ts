// The error class of this package.

/** Why the server could not start. */
export type ServerErrorCode =
  /** An option is malformed or out of range; `field` names it. */
  | 'INVALID_ARGUMENT'
  /** The HTTP, HTTPS or SIP port is in use or forbidden; `field` names the option. */
  | 'PORT_UNAVAILABLE';

/** The error that `serve` rejects with. */
export class ServerError extends Error {
  override readonly name = 'ServerError';
  readonly code: ServerErrorCode;
  /** Name of the option at fault. */
  readonly field: string;

  constructor(code: ServerErrorCode, message: string, field: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.field = field;
  }
}

/** The message of any thrown value. */
export function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The error for a port that cannot be opened. @param what - E.g. `HTTP port 127.0.0.1:8081`. */
export function unavailable(field: string, what: string, cause: unknown): ServerError {
  // The SIP side wraps the system's error in its own.
  const system = cause instanceof Error && cause.cause !== undefined ? cause.cause : cause;
  const { code } = system as { code?: string };
  const reason = code === 'EADDRINUSE' ? 'is in use' : `cannot be opened (${describe(system)})`;
  return new ServerError('PORT_UNAVAILABLE', `${what} ${reason}`, field, cause);
}
