// The SIP messages of one call, in order and without secrets, as `call.trace()` returns them.

import { maskSecrets } from '@sipcast/sip';
import type { SipTraffic } from '@sipcast/sip';

/** One message of a call. */
export interface SipTraceEntry {
  /** When it was received or sent. */
  readonly at: Date;
  readonly direction: 'in' | 'out';
  /** As in a Via: `UDP`, `TCP`, `TLS`. */
  readonly transport: string;
  /** Our end, `address:port`. */
  readonly local: string;
  /** The peer's end. */
  readonly remote: string;
  /** First line. */
  readonly startLine: string;
  /** The whole message as on the wire, with passwords, digests and keys masked. */
  readonly message: string;
  /** The same octets were sent or received before. */
  readonly retransmission: boolean;
}

/** Limits of a trace. */
export interface SipTraceLimits {
  /** Messages of one call; the oldest are dropped. */
  readonly maxMessages: number;
  /** Characters of them. */
  readonly maxBytes: number;
}

/** The messages of one call. */
export class SipTrace {
  readonly #limits: SipTraceLimits;
  #entries: SipTraceEntry[] = [];
  #bytes = 0;

  constructor(limits: SipTraceLimits) {
    this.#limits = limits;
  }

  /** Characters held. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Takes one message of the call. */
  record(traffic: SipTraffic, at: Date): void {
    const { direction, local, remote, octets } = traffic;
    const message = maskSecrets(Buffer.from(octets).toString('utf8'));
    const way = {
      direction,
      transport: remote.protocol,
      local: endpoint(local.address, local.port),
      remote: endpoint(remote.address, remote.port),
    };
    const before = this.#entries.find(
      (one) => one.message === message && one.direction === direction && one.remote === way.remote,
    );
    this.#entries.push({
      at,
      ...way,
      startLine: before?.startLine ?? message.slice(0, Math.max(0, message.indexOf('\r\n'))),
      // Equal messages share one string.
      message: before?.message ?? message,
      retransmission: before !== undefined,
    });
    this.#bytes += message.length;
    const { maxMessages, maxBytes } = this.#limits;
    while (this.#entries.length > maxMessages || this.#bytes > maxBytes) {
      this.#bytes -= this.#entries.shift()?.message.length ?? 0;
    }
  }

  /** Oldest first. */
  entries(): SipTraceEntry[] {
    return [...this.#entries];
  }
}

function endpoint(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
