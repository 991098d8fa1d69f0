// A running server.

import type { CallGateway } from '@sipcast/core';

/** A running server. */
export interface ServeHandle {
  /** URL of the HTTP API, e.g. `http://127.0.0.1:8081/rest-api`. */
  readonly url: string;
  /** The same over HTTPS. Undefined without HTTPS. */
  readonly httpsUrl: string | undefined;
  /** URL of the console, e.g. `http://127.0.0.1:8081/console/`. Undefined if it is off or not built. */
  readonly consoleUrl: string | undefined;
  /** TCP port of the HTTP API. */
  readonly port: number;
  /** TCP port of HTTPS. Undefined without HTTPS. */
  readonly httpsPort: number | undefined;
  readonly gateway: CallGateway;
  /** Refuses new calls (503). Resolves when the last call has ended, or after `deadlineMs`. */
  drain(deadlineMs: number): Promise<void>;
  /**
   * Ends every call with BYE or CANCEL, delivers the last events and closes every socket. Idempotent.
   * @param graceMs - How long to wait for peers that do not respond. Default 5,000 ms.
   */
  close(graceMs?: number): Promise<void>;
}
