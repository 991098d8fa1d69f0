// Server-sent events (WHATWG HTML §9.2) of a gateway, for any number of readers, each with its own queue.

import type {
  Call,
  CallGateway,
  CallProblem,
  CallView,
  OutputFailure,
  ReceivedDtmf,
  RtmpPushView,
} from '@sipcast/core';
import { RestError } from './errors.ts';
import {
  callDtmfEvent,
  callProblemEvent,
  callStatusEvent,
  pushStatusEvent,
} from './event-model.ts';

/** Options of `GET <mount>/events`. */
export interface EventFeedOptions {
  /** Without an event for this long a comment is sent, so that proxies keep the connection open. Default 15,000 ms. */
  readonly heartbeatMs?: number;
  /** Events kept for readers that reconnect. Default 1,000. */
  readonly replaySize?: number;
  /** Octets that may be queued for one reader; a slower reader is disconnected. Default 262,144. */
  readonly maxQueuedBytes?: number;
  /** Readers at once; further ones get 503. Default 100. */
  readonly maxReaders?: number;
}

/** Readers of the events. */
export interface EventFeedStats {
  readonly readers: number;
  /** Readers that were disconnected because they were too slow. */
  readonly dropped: number;
}

/** The part of a gateway that events need. */
export type EventGateway = Pick<CallGateway, 'on' | 'off' | 'nodeId'>;

interface KeptEvent {
  readonly sequence: number;
  readonly octets: Uint8Array;
}

const encoder = new TextEncoder();
const HEARTBEAT = encoder.encode(':\n\n');
/** How long browsers wait before they reconnect. */
const RETRY_MS = 2000;

/** One reader. Octets are queued here, not in the stream, so that the queue can be measured and dropped. */
class Reader {
  readonly #maxBytes: number;
  readonly #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  #isWanted = false;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  stream(onGone: () => void): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller;
        },
        pull: () => {
          this.#isWanted = true;
          this.#flush();
        },
        cancel: onGone,
      },
      { highWaterMark: 0 },
    );
  }

  /** @returns false when too much is queued: the reader gets no more. */
  push(octets: Uint8Array): boolean {
    this.#waiting.push(octets);
    this.#waitingBytes += octets.length;
    if (this.#waitingBytes > this.#maxBytes) return false;
    this.#flush();
    return true;
  }

  /** Ends the reader. What is queued is sent first, unless it is `dropped`. */
  close(dropped: boolean): void {
    if (dropped) this.#waiting.length = 0;
    else {
      this.#isWanted = true;
      this.#flush();
    }
    this.#controller?.close();
  }

  #flush(): void {
    if (!this.#isWanted || this.#waiting.length === 0) return;
    this.#isWanted = false;
    const octets = Buffer.concat(this.#waiting.splice(0));
    this.#waitingBytes = 0;
    this.#controller?.enqueue(octets);
  }
}

/** The events of one gateway, from now on until the feed or the gateway is closed. */
export class EventFeed {
  readonly #gateway: EventGateway;
  readonly #options: EventFeedOptions;
  readonly #readers = new Set<Reader>();
  readonly #kept: KeptEvent[] = [];
  // A process that starts later starts with a higher number, so that it never mistakes a number of its predecessor for its own.
  #sequence = Date.now();
  #dropped = 0;
  #heartbeat: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(gateway: EventGateway, options: EventFeedOptions = {}) {
    this.#gateway = gateway;
    this.#options = options;
    gateway.on('callChange', this.#onCallChange);
    gateway.on('callDtmf', this.#onDtmf);
    gateway.on('callProblem', this.#onProblem);
    gateway.on('pushChange', this.#onPushChange);
    gateway.on('pushClosed', this.#onPushClosed);
    gateway.on('outputFailed', this.#onOutputFailed);
    gateway.on('closed', this.#onClosed);
  }

  get stats(): EventFeedStats {
    return { readers: this.#readers.size, dropped: this.#dropped };
  }

  /**
   * All events from now on; before them those that came after `lastEventId`, as far as they are kept.
   * @throws RestError 503 for one reader too many, and when closed
   */
  respond(lastEventId: string | null): Response {
    if (this.#isClosed) throw new RestError(503, 'GATEWAY_CLOSED', 'The gateway is closing');
    if (this.#readers.size >= (this.#options.maxReaders ?? 100)) {
      const later = { 'retry-after': '5' };
      throw new RestError(503, 'TOO_MANY_READERS', 'As many read events as may', {
        headers: later,
      });
    }
    const { missed, events } = this.#after(lastEventId);
    const hello = this.#hello(missed, events.length === 0);
    const opening = Buffer.concat([hello, ...events.map(({ octets }) => octets)]);
    const reader = new Reader(opening.length + (this.#options.maxQueuedBytes ?? 262_144));
    reader.push(opening);
    const body = reader.stream(() => this.#leave(reader));
    this.#readers.add(reader);
    const { heartbeatMs = 15_000 } = this.#options;
    this.#heartbeat ??= setInterval(() => this.#send(HEARTBEAT), heartbeatMs).unref();
    const headers = {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      // Proxies must not buffer it.
      'x-accel-buffering': 'no',
    };
    return new Response(body, { headers });
  }

  /** Ends every reader after its last event. Idempotent. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#gateway.off('callChange', this.#onCallChange);
    this.#gateway.off('callDtmf', this.#onDtmf);
    this.#gateway.off('callProblem', this.#onProblem);
    this.#gateway.off('pushChange', this.#onPushChange);
    this.#gateway.off('pushClosed', this.#onPushClosed);
    this.#gateway.off('outputFailed', this.#onOutputFailed);
    this.#gateway.off('closed', this.#onClosed);
    for (const reader of this.#readers) {
      this.#leave(reader);
      reader.close(false);
    }
  }

  readonly #onCallChange = (_call: Call, view: CallView): void =>
    this.#emit('CallStatusEvent', callStatusEvent(view));

  readonly #onDtmf = (call: Call, dtmf: ReceivedDtmf): void =>
    this.#emit('CallDtmfEvent', callDtmfEvent(call, dtmf));

  readonly #onProblem = (call: Call, problem: CallProblem): void =>
    this.#emit('CallProblem', callProblemEvent(call, problem));

  readonly #onPushChange = (view: RtmpPushView, callId: string): void =>
    this.#emit('PushStatusEvent', pushStatusEvent(view, callId, false));

  readonly #onPushClosed = (view: RtmpPushView, callId: string): void =>
    this.#emit('PushStatusEvent', pushStatusEvent(view, callId, true));

  readonly #onOutputFailed = (failure: OutputFailure): void =>
    this.#emit('OutputFailed', { ...failure });

  readonly #onClosed = (): void => this.close();

  #emit(name: string, event: Record<string, unknown>): void {
    const sequence = ++this.#sequence;
    event['timestamp'] = Date.now();
    event['sequence'] = sequence;
    const octets = encoder.encode(
      `id: ${sequence}\nevent: ${name}\ndata: ${JSON.stringify(event)}\n\n`,
    );
    this.#kept.push({ sequence, octets });
    if (this.#kept.length > (this.#options.replaySize ?? 1000)) this.#kept.shift();
    this.#heartbeat?.refresh();
    this.#send(octets);
  }

  #send(octets: Uint8Array): void {
    for (const reader of this.#readers) {
      if (reader.push(octets)) continue;
      this.#dropped++;
      this.#leave(reader);
      reader.close(true);
    }
  }

  #leave(reader: Reader): void {
    this.#readers.delete(reader);
    if (this.#readers.size > 0) return;
    clearInterval(this.#heartbeat);
    this.#heartbeat = undefined;
  }

  #after(lastEventId: string | null): { missed: boolean; events: readonly KeptEvent[] } {
    if (lastEventId === null) return { missed: false, events: [] };
    const last = /^\d{1,15}$/.test(lastEventId) ? Number(lastEventId) : -1;
    // A number that was never used: no later events can exist.
    if (last > this.#sequence) return { missed: true, events: [] };
    const first = this.#kept[0]?.sequence ?? this.#sequence + 1;
    return { missed: last < first - 1, events: this.#kept.filter((one) => one.sequence > last) };
  }

  /** Sent first: which gateway it is, and whether more events were missed than can be sent again. */
  #hello(missed: boolean, isUpToDate: boolean): Uint8Array {
    const event = { nodeId: this.#gateway.nodeId, missed };
    // With a number only if no past events follow; otherwise the reader would count those as read.
    const id = isUpToDate ? `id: ${this.#sequence}\n` : '';
    return encoder.encode(
      `retry: ${RETRY_MS}\n${id}event: FeedOpened\ndata: ${JSON.stringify(event)}\n\n`,
    );
  }
}
