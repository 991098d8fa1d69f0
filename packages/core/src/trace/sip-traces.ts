// What is seen of a gateway's SIP: the trace of each call, live or ended, and the capture file.

import { maskSecrets } from '@sipcast/sip';
import type { SipTraffic } from '@sipcast/sip';
import { GatewayError } from '../errors.ts';
import type { FaultLog } from '../fault-log.ts';
import { SipCapture } from './sip-capture.ts';
import { isEnabled } from '../logger.ts';
import type { Logger } from '../logger.ts';
import { SipTrace } from './sip-trace.ts';
import type { SipTraceEntry } from './sip-trace.ts';

/** What is kept of SIP messages. All have defaults. */
export interface SipTraceOptions {
  /** Messages kept of each call; the oldest go. 0: none. Default 200. */
  readonly maxMessages?: number;
  /** Characters kept of each call. Default 262,144. */
  readonly maxBytes?: number;
  /** A pcap file of all SIP, for Wireshark; overwritten at the start. Default: none. */
  readonly pcap?: string;
  /** Size at which the file becomes `<file>.1` and a new one begins. Default 67,108,864. */
  readonly pcapMaxBytes?: number;
  /** The file holds passwords, digests and SRTP keys, too. Default false. */
  readonly secrets?: boolean;
}

/** What the traces need. */
export interface SipTracesDeps {
  /** Wall clock in milliseconds. */
  readonly wallClock: () => number;
  /** Gets a line for each message, at `debug`. */
  readonly logger: Logger;
  readonly faults: FaultLog;
}

/** Characters kept of calls that have ended, in all. */
const MAX_ENDED_BYTES = 32 << 20;
/** Messages of no call that are remembered for a moment, and how large one may be. */
const MAX_EARLY = 64;
const MAX_EARLY_BYTES = 8192;

/** The traces of a gateway, by Call-ID, and its capture. */
export class SipTraces {
  readonly #options: SipTraceOptions;
  readonly #maxEnded: number;
  readonly #wallClock: () => number;
  readonly #logger: Logger;
  readonly #capture: SipCapture | undefined;
  readonly #live = new Map<string, SipTrace>();
  /** The latest last. */
  readonly #ended = new Map<string, SipTrace>();
  #endedBytes = 0;
  /** Messages of no live call, the latest last: a call that comes in begins before it is one. */
  readonly #early: { readonly traffic: SipTraffic; readonly at: Date }[] = [];

  /**
   * @param options - `historySize`: traces of ended calls that are kept. Default 1,000.
   */
  constructor(
    options: { readonly sipTrace?: SipTraceOptions; readonly historySize?: number },
    { faults, wallClock, logger }: SipTracesDeps,
  ) {
    this.#logger = logger;
    this.#options = options.sipTrace ?? {};
    this.#maxEnded = options.historySize ?? 1000;
    this.#wallClock = wallClock;
    const { pcap: file, pcapMaxBytes: maxBytes = 64 << 20, secrets = false } = this.#options;
    this.#capture =
      file === undefined
        ? undefined
        : new SipCapture(
            { file, maxBytes, secrets },
            { onFault: (fault, reason) => faults.count(`sip-${fault}`, reason) },
          );
  }

  /**
   * Begins the capture, if there is to be one, and then what it is of. When that fails, so does this, and nothing is open.
   *
   * @throws GatewayError (rejection) `INVALID_ARGUMENT` when the file cannot be written.
   */
  async open(openSip: () => Promise<void>): Promise<void> {
    try {
      await this.#capture?.open();
    } catch (cause) {
      const problem = cause instanceof Error ? cause.message : String(cause);
      throw new GatewayError('INVALID_ARGUMENT', `sipTrace.pcap: ${problem}`, {
        field: 'sipTrace.pcap',
        cause,
      });
    }
    try {
      await openSip();
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /** Takes a message: into the capture, and into the trace of the live call that its Call-ID names. */
  record(traffic: SipTraffic): void {
    const atMs = this.#wallClock();
    this.#capture?.record(traffic, atMs);
    if (isEnabled(this.#logger, 'debug')) this.#tell(traffic);
    const trace = this.#live.get(traffic.message.headers.get('call-id') ?? '');
    if (trace !== undefined) trace.record(traffic, new Date(atMs));
    else if (traffic.octets.length <= MAX_EARLY_BYTES) {
      this.#early.push({ traffic, at: new Date(atMs) });
      if (this.#early.length > MAX_EARLY) this.#early.shift();
    }
  }

  /** The trace of a new call. Retire it. */
  openCall(callId: string): SipTrace {
    const { maxMessages = 200, maxBytes = 262_144 } = this.#options;
    const trace = new SipTrace({ maxMessages, maxBytes });
    this.#live.set(callId, trace);
    return trace;
  }

  /** Gives the trace of a call that came in what was said before it was one. */
  catchUp(callId: string, trace: SipTrace): void {
    const isOfCall = (one: { readonly traffic: SipTraffic }): boolean =>
      one.traffic.message.headers.get('call-id') === callId;
    for (const one of this.#early.filter((early) => isOfCall(early)))
      trace.record(one.traffic, one.at);
    for (let index = this.#early.length - 1; index >= 0; index--)
      if (isOfCall(this.#early[index]!)) this.#early.splice(index, 1);
  }

  /** The call has ended, its last words are said, and its trace is of the past. */
  retireCall(callId: string, trace: SipTrace): void {
    // A new call may have taken the name.
    if (this.#live.get(callId) === trace) this.#live.delete(callId);
    this.#forget(callId);
    this.#ended.set(callId, trace);
    this.#endedBytes += trace.bytes;
    for (const oldest of this.#ended.keys()) {
      if (this.#ended.size <= this.#maxEnded && this.#endedBytes <= MAX_ENDED_BYTES) break;
      this.#forget(oldest);
    }
  }

  /** The messages of a live call, else of the last ended one of that name that is remembered. */
  find(callId: string): SipTraceEntry[] | undefined {
    return (this.#live.get(callId) ?? this.#ended.get(callId))?.entries();
  }

  /** Writes the rest of the capture. Idempotent. */
  async close(): Promise<void> {
    await this.#capture?.close();
  }

  #tell({ direction, message, remote }: SipTraffic): void {
    const { headers } = message;
    const line =
      message.kind === 'request'
        ? `${message.method} ${message.uri}`
        : `${message.statusCode} ${message.reasonPhrase} (${headers.get('cseq')})`;
    const host = remote.address.includes(':') ? `[${remote.address}]` : remote.address;
    const where = `${direction === 'in' ? 'from' : 'to'} ${host}:${remote.port}`;
    this.#logger.debug(`${maskSecrets(line)} ${where}, ${headers.get('call-id')}`);
  }

  #forget(callId: string): void {
    this.#endedBytes -= this.#ended.get(callId)?.bytes ?? 0;
    this.#ended.delete(callId);
  }
}
