// Does what we write still arrive? The kernel buffers megabytes for a server that has stopped reading, so only evidence
// from the server counts. Pure: time is an argument.
//
//  evidence                                 which server it exposes
//  Acknowledgement (RTMP 1.0 §5.4.3)         a server that acknowledges: the next one is due and does not arrive
//  answer to PingRequest (§7.1.7)           one that acknowledges late or never, and is known to answer pings
//  answer to createStream (§7.2.1.3)        one that does neither (Node-Media-Server 4), and is known to answer this
//  the socket's own queue                   any other, when the kernel's buffers are full

import { AcknowledgementWindow } from './acknowledgement-window.ts';

/** A probe of the server; its answer shows that everything before it was read. */
export type RtmpProbeKind = 'ping' | 'create-stream';

/** A probe that was sent. */
export interface RtmpProbe {
  readonly kind: RtmpProbeKind;
  /** u32, unique on its connection. */
  readonly id: number;
}

/** What is due now. */
export interface DeliveryStep {
  /** The server has stopped reading: end the connection. */
  readonly stalled: boolean;
  /** Probe to send now. */
  readonly probe: RtmpProbe | undefined;
  /** Window Acknowledgement Size to request now. */
  readonly windowBytes: number | undefined;
}

/** Options of an {@link RtmpDelivery}. */
export interface RtmpDeliveryOptions {
  /** Largest Window Acknowledgement Size, in octets. */
  readonly windowBytes: number;
  /** Time without progress, although octets are due, after which the connection is stalled. */
  readonly stallTimeoutMs: number;
  /** Whether the server may be probed. */
  readonly probe: boolean;
}

/** Lower bound of the window, which is one second of media. */
export const MIN_WINDOW_BYTES = 4000;
const SETTLING_MS = 2000;
const WINDOW_CHANGE_MS = 5000;
/** An acknowledgement that takes longer is too late to detect a stall in time. */
const MAX_ACKNOWLEDGEMENT_MS = 2000;
const PING_PERIOD_MS = 1000;
const PERIOD_MS = 2000;
/** An answer that takes longer shows a backlog. */
const LATE_MS = 700;
/** A server that has not acknowledged by then is probed, this often and this far apart, to see whether it answers. */
const FIRST_TRIAL_MS = 1250;
const TRIALS = 2;
const TRIAL_MS = 750;

/** The delivery of one connection, from the beginning of its publication. */
export class RtmpDelivery {
  readonly #options: RtmpDeliveryOptions;
  readonly #acknowledged: AcknowledgementWindow;
  #beganMs = Number.NaN;
  /** Octets per millisecond, smoothed. */
  #rate = 0;
  #tickBytes = 0;
  #tickMs = 0;
  #windowBytes: number;
  #windowMs = 0;
  /** Octets known to have arrived, by any evidence. */
  #delivered = 0;
  #deliveredMs = 0;
  /** Since when an acknowledgement is due. */
  #dueMs = Number.NaN;
  #pending: (RtmpProbe & { readonly sentMs: number; readonly bytes: number }) | undefined;
  #late = false;
  /** A kind of probe that this server has answered. */
  #proved: RtmpProbeKind | undefined;
  readonly #trials = { ping: 0, 'create-stream': 0 };
  #probeId = 0;
  #probedMs = 0;
  #probedBytes = 0;
  #queueMark = 0;
  #queueMs = 0;

  constructor(options: RtmpDeliveryOptions) {
    this.#options = options;
    this.#windowBytes = options.windowBytes;
    this.#acknowledged = new AcknowledgementWindow(options.windowBytes);
  }

  /** Octets acknowledged, or `null` while none were. */
  get bytesAcknowledged(): number | null {
    return this.#acknowledged.bytes;
  }

  /** The kind of probe that this server answers; `undefined` until one is answered. */
  get answers(): RtmpProbeKind | undefined {
    return this.#proved;
  }

  /** An Acknowledgement arrived; `sequence` as on the wire. */
  acknowledge(sequence: number, bytesSent: number, nowMs: number): void {
    this.#acknowledged.acknowledge(sequence, bytesSent);
    this.#arrived(this.#acknowledged.bytes ?? 0, nowMs);
  }

  /** An answer to a probe arrived. An answer without a probe is ignored. */
  answered(kind: RtmpProbeKind, id: number, nowMs: number): void {
    if (id < 1 || id > this.#probeId) return;
    if (this.#proved !== 'ping') this.#proved = kind;
    const pending = this.#pending;
    if (pending?.id === id && pending.kind === kind) this.#arrived(pending.bytes, nowMs);
  }

  /** Octets written and not known to have arrived, beyond the amount in normal operation. */
  outstanding(bytesSent: number): number {
    if (this.#late) return Math.max(0, bytesSent - this.#delivered);
    return this.#acknowledged.outstanding(bytesSent);
  }

  /**
   * Call it a few times per second.
   *
   * @param bytesSent - Octets written so far, including queued ones.
   * @param queuedBytes - The part still queued in this process.
   */
  tick(bytesSent: number, queuedBytes: number, nowMs: number): DeliveryStep {
    this.#measure(bytesSent, nowMs);
    const stalled = this.#isStalled(bytesSent, queuedBytes, nowMs);
    const windowBytes = stalled ? undefined : this.#nextWindow(nowMs);
    const probe = stalled ? undefined : this.#nextProbe(bytesSent, nowMs);
    return { stalled, probe, windowBytes };
  }

  #arrived(bytes: number, nowMs: number): void {
    if (bytes > this.#delivered) {
      this.#delivered = bytes;
      this.#deliveredMs = nowMs;
    }
    if (this.#pending && this.#delivered >= this.#pending.bytes) {
      this.#pending = undefined;
      this.#late = false;
    }
  }

  #measure(bytesSent: number, nowMs: number): void {
    if (Number.isNaN(this.#beganMs)) {
      this.#beganMs = nowMs;
      this.#queueMs = nowMs;
    } else if (nowMs > this.#tickMs) {
      const rate = (bytesSent - this.#tickBytes) / (nowMs - this.#tickMs);
      this.#rate = this.#rate === 0 ? rate : this.#rate * 0.8 + rate * 0.2;
    }
    this.#tickBytes = bytesSent;
    this.#tickMs = nowMs;
  }

  #isStalled(bytesSent: number, queuedBytes: number, nowMs: number): boolean {
    const { stallTimeoutMs } = this.#options;
    const pending = this.#pending;
    const trusted = pending !== undefined && pending.kind === this.#proved;
    this.#late = trusted && nowMs - pending.sentMs >= LATE_MS;
    // A server that is probed less often gets less time per probe, so that the total is the same.
    const patience = pending?.kind === 'ping' ? 1 : 0.8;
    if (trusted && nowMs - pending.sentMs >= patience * stallTimeoutMs) return true;
    if (!this.#acknowledged.due(bytesSent)) this.#dueMs = Number.NaN;
    else if (Number.isNaN(this.#dueMs)) this.#dueMs = nowMs;
    if (nowMs - Math.max(this.#dueMs, this.#deliveredMs) >= stallTimeoutMs) return true;
    const taken = bytesSent - queuedBytes;
    if (taken !== this.#queueMark || queuedBytes === 0) {
      this.#queueMark = taken;
      this.#queueMs = nowMs;
    }
    return nowMs - this.#queueMs >= stallTimeoutMs;
  }

  /** One second of media, so that the stall of a thin stream shows as soon as that of a fat one. */
  #nextWindow(nowMs: number): number | undefined {
    if (nowMs - this.#beganMs < SETTLING_MS || nowMs - this.#windowMs < WINDOW_CHANGE_MS)
      return undefined;
    const { windowBytes: most } = this.#options;
    const wanted = Math.round(Math.min(most, Math.max(MIN_WINDOW_BYTES, this.#rate * 1000)));
    const factor = wanted / this.#windowBytes;
    if ((factor > 2 / 3 && factor < 3 / 2) || !Number.isNaN(this.#dueMs)) return undefined;
    this.#windowBytes = wanted;
    this.#windowMs = nowMs;
    this.#acknowledged.setWindow(wanted);
    return wanted;
  }

  #nextProbe(bytesSent: number, nowMs: number): RtmpProbe | undefined {
    if (!this.#options.probe || bytesSent <= this.#probedBytes) return undefined;
    const pending = this.#pending;
    if (pending) {
      if (pending.kind === this.#proved || nowMs - pending.sentMs < TRIAL_MS) return undefined;
      this.#pending = undefined;
    }
    if (nowMs - this.#beganMs < FIRST_TRIAL_MS) return undefined;
    const { active, stepBytes } = this.#acknowledged;
    if (active && stepBytes <= this.#rate * MAX_ACKNOWLEDGEMENT_MS) return undefined;
    const kind = this.#proved ?? this.#trial();
    if (!kind) return undefined;
    const known = this.#proved === 'ping' ? PING_PERIOD_MS : PERIOD_MS;
    if (nowMs - this.#probedMs < (this.#proved ? known : TRIAL_MS)) return undefined;
    this.#trials[kind]++;
    this.#probedMs = nowMs;
    this.#probedBytes = bytesSent;
    this.#pending = { kind, id: ++this.#probeId, sentMs: nowMs, bytes: bytesSent };
    return { kind, id: this.#probeId };
  }

  #trial(): RtmpProbeKind | undefined {
    if (this.#trials.ping < TRIALS) return 'ping';
    // createStream costs the server a stream id: only for one that gives no other sign.
    if (this.#acknowledged.active || this.#trials['create-stream'] >= TRIALS) return undefined;
    return 'create-stream';
  }
}
