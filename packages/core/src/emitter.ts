// The emitter of calls, pushes and gateways: a listener of the embedding application that throws is the
// application's bug, and ends neither a call nor the process.

import { EventEmitter } from 'eventemitter3';
import type { Logger } from './logger.ts';

/** Logs what a listener throws; listeners registered behind it do not hear that one event. */
export class SafeEmitter<Events extends EventEmitter.ValidEventTypes> extends EventEmitter<Events> {
  readonly #logger: Logger;

  constructor(logger: Logger) {
    super();
    this.#logger = logger;
  }

  override emit<Name extends EventEmitter.EventNames<Events>>(
    event: Name,
    ...args: EventEmitter.EventArgs<Events, Name>
  ): boolean {
    try {
      return super.emit(event, ...args);
    } catch (error) {
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.#logger.error(`a listener for '${String(event)}' threw: ${text}`);
      return true;
    }
  }
}
