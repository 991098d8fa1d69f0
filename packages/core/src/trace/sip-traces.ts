// Records a gateway's SIP: a trace of each call, live or ended, and the capture file.

import { maskSecrets } from '@sipcast/sip';
import type { SipTraffic } from '@sipcast/sip';
import { GatewayError } from '../errors.ts';
import type { FaultLog } from '../fault-log.ts';
import { SipCapture } from './sip-capture.ts';
import { isEnabled } from '../logger.ts';
import type { Logger } from '../logger.ts';
import { SipTrace } from './sip-trace.ts';
import type { SipTraceEntry } from './sip-trace.ts';

/** Which SIP messages are kept. All options have defaults. */
export interface SipTraceOptions {
  /** Messages kept of each call; the oldest are dropped. 0: none. Default 200. */
  readonly maxMessages?: number;
  /** Characters kept of each call. Default 262,144. */
  readonly maxBytes?: number;
  /** Pcap file of all SIP, for Wireshark; overwritten at the start. Default: none. */
  readonly pcap?: string;
  /** Size at which the file becomes `<file>.1` and a new one starts. Default 67,108,864. */
  readonly pcapMaxBytes?: number;
  /** The file also holds passwords, digests and SRTP keys. Default false. */
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

/** Characters kept of ended calls in total. */
const MAX_ENDED_BYTES = 32 << 20;
/** Recent messages that belong to no call, and the longest that is kept. */
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
  /** Latest last. */
  readonly #ended = new Map<string, SipTrace>();
  #endedBytes = 0;
  /** Messages of no live call, latest last: the first messages of an incoming call arrive before the call exists. */
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
   * Opens the capture file, if there is one, and then SIP. If SIP fails to open, the capture is closed and this rejects.
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

  /** Records a message in the capture and in the trace of the live call with its Call-ID. */
  record(traffic: SipTraffic): void {
    const atMs = this.#wallClock();
    this.#capture?.record(traffic, atMs);
    if (isEnabled(this.#logger, 'debug')) this.#log(traffic);
    const trace = this.#live.get(traffic.message.headers.get('call-id') ?? '');
    if (trace !== undefined) trace.record(traffic, new Date(atMs));
    else if (traffic.octets.length <= MAX_EARLY_BYTES) {
      this.#early.push({ traffic, at: new Date(atMs) });
      if (this.#early.length > MAX_EARLY) this.#early.shift();
    }
  }

  /** Starts the trace of a new call. Call `retireCall` at its end. */
  openCall(callId: string): SipTrace {
    const { maxMessages = 200, maxBytes = 262_144 } = this.#options;
    const trace = new SipTrace({ maxMessages, maxBytes });
    this.#live.set(callId, trace);
    return trace;
  }

  /** Adds the messages of an incoming call that arrived before the call existed. */
  catchUp(callId: string, trace: SipTrace): void {
    const isOfCall = (one: { readonly traffic: SipTraffic }): boolean =>
      one.traffic.message.headers.get('call-id') === callId;
    for (const one of this.#early.filter((early) => isOfCall(early)))
      trace.record(one.traffic, one.at);
    for (let index = this.#early.length - 1; index >= 0; index--)
      if (isOfCall(this.#early[index]!)) this.#early.splice(index, 1);
  }

  /** The call has ended and sends no more messages: its trace becomes history. */
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

  /** The messages of the live call, else of the latest ended call with this Call-ID. */
  find(callId: string): SipTraceEntry[] | undefined {
    return (this.#live.get(callId) ?? this.#ended.get(callId))?.entries();
  }

  /** Writes the rest of the capture and closes it. Idempotent. */
  async close(): Promise<void> {
    await this.#capture?.close();
  }

  #log({ direction, message, remote }: SipTraffic): void {
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
