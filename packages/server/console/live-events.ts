// The gateway's events: connected for as long as the page is open, and again after each loss, where it was left.

import { api } from './api.ts';

/** State of the connection. */
export type LinkState =
  | { readonly state: 'connecting' }
  | { readonly state: 'open' }
  | { readonly state: 'lost'; readonly retryAtMs: number };

/** What happens to it. */
export interface LiveEventsHandler {
  onState(state: LinkState): void;
  /** An event by its name. */
  onEvent(name: string, body: unknown): void;
  /** It is open: what was known may be out of date. */
  onOpened(): void;
}

const NAMES = ['CallStatusEvent', 'CallDtmfEvent', 'PushStatusEvent'] as const;
const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 10_000;
/** Heartbeats come every 15 s, but the page does not see them: `open` is all that there is to watch. */
const OPEN_TIMEOUT_MS = 10_000;

/** One connection after the other. */
export class LiveEvents {
  readonly #handler: LiveEventsHandler;
  #source: EventSource | undefined;
  #lastEventId = '';
  #attempts = 0;
  #timer = 0;

  constructor(handler: LiveEventsHandler) {
    this.#handler = handler;
  }

  /** Connects now, also when it was to wait. */
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
    // Browsers try again by themselves after some errors only, and tell nobody when.
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
    // Many pages do not come back in one moment.
    const delayMs = backOff * (0.75 + Math.random() / 2);
    this.#handler.onState({ state: 'lost', retryAtMs: Date.now() + delayMs });
    this.#timer = window.setTimeout(() => this.connect(), delayMs);
  }
}
