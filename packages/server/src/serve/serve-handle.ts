// A running server.

import type { CallGateway } from '@sipcast/core';

/** A running server. */
export interface ServeHandle {
  /** Of the HTTP API, e.g. `http://127.0.0.1:8081/rest-api`. */
  readonly url: string;
  /** Of the same over HTTPS; undefined without. */
  readonly httpsUrl: string | undefined;
  /** Of the console, e.g. `http://127.0.0.1:8081/console/`; undefined when it is switched off or not built. */
  readonly consoleUrl: string | undefined;
  /** TCP port of the HTTP API. */
  readonly port: number;
  /** TCP port of HTTPS; undefined without. */
  readonly httpsPort: number | undefined;
  readonly gateway: CallGateway;
  /** Takes no more calls (503). Resolves when the last has ended, at the latest after `deadlineMs`. */
  drain(deadlineMs: number): Promise<void>;
  /**
   * Ends every call with BYE or CANCEL, delivers the last events and closes every socket. Idempotent.
   * @param graceMs - Peers that do not answer are waited for so long. Default 5,000 ms.
   */
  close(graceMs?: number): Promise<void>;
}
