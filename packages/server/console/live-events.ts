// The gateway's events: connected while the page is open, and resumed after each loss.

import { api } from './api.ts';

/** State of the connection. */
export type LinkState =
  | { readonly state: 'connecting' }
  | { readonly state: 'open' }
  | { readonly state: 'lost'; readonly retryAtMs: number };

/** Receives events and state changes. */
export interface LiveEventsHandler {
  onState(state: LinkState): void;
  /** An event, with its name. */
  onEvent(name: string, body: unknown): void;
  /** The connection is open; earlier state may be out of date. */
  onOpened(): void;
}

const NAMES = ['CallStatusEvent', 'CallDtmfEvent', 'CallProblem', 'PushStatusEvent'] as const;
const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 10_000;
/** Heartbeats come every 15 s, but scripts cannot see them, so only `open` can be watched. */
const OPEN_TIMEOUT_MS = 10_000;

/** One connection at a time. */
export class LiveEvents {
  readonly #handler: LiveEventsHandler;
  #source: EventSource | undefined;
  #lastEventId = '';
  #attempts = 0;
  #timer = 0;

  constructor(handler: LiveEventsHandler) {
    this.#handler = handler;
  }

  /** Connects now, even during a wait. */
  connect(): void {
    window.clearTimeout(this.#timer);
    this.#source?.close();
    this.#handler.onState({ state: 'connecting' });
    const source = new EventSource(api.eventsUrl(this.#lastEventId));
    this.#source = source;
    this.#timer = window.setTimeout(() => this.#lose(source), OPEN_TIMEOUT_MS);
    source.addEventListener('FeedOpened', (event) => {
      window.clearTimeout(this.#timer);
      this.#attempts = 0;
      this.#note(event);
      this.#handler.onState({ state: 'open' });
      this.#handler.onOpened();
    });
    for (const name of NAMES) {
      source.addEventListener(name, (event) => {
        this.#note(event);
        this.#handler.onEvent(name, JSON.parse(event.data as string));
      });
    }
    // Browsers reconnect by themselves only after some errors, and do not report when.
    source.addEventListener('error', () => this.#lose(source));
  }

  #note(event: MessageEvent): void {
    if (event.lastEventId !== '') this.#lastEventId = event.lastEventId;
  }

  #lose(source: EventSource): void {
    if (source !== this.#source) return;
    source.close();
    this.#source = undefined;
    window.clearTimeout(this.#timer);
    const backOff = Math.min(FIRST_DELAY_MS * 2 ** this.#attempts++, LONGEST_DELAY_MS);
    // Spread reconnects, so that many pages do not return at the same moment.
    const delayMs = backOff * (0.75 + Math.random() / 2);
    this.#handler.onState({ state: 'lost', retryAtMs: Date.now() + delayMs });
    this.#timer = window.setTimeout(() => this.connect(), delayMs);
  }
}
