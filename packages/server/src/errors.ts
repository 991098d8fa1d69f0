// The one error class of this package.

/** Why the server could not start. */
export type ServerErrorCode =
  /** An option is malformed or out of range; `field` names it. */
  | 'INVALID_ARGUMENT'
  /** The HTTP or the SIP port is taken or forbidden; `field` says which. */
  | 'PORT_UNAVAILABLE';

/** What `serve` rejects with. */
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
