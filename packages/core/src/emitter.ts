// The emitter of calls, pushes and gateways. A listener that throws is a bug of the application; it ends neither a call nor the
// process.

import { EventEmitter } from 'eventemitter3';
import type { Logger } from './logger.ts';

/** The part of an emitter that applications see. */
export interface Emitter<Events extends EventEmitter.ValidEventTypes> {
  /** Calls the listener at each event, in the order of registration. */
  on<Name extends EventEmitter.EventNames<Events>>(
    event: Name,
    listener: EventEmitter.EventListener<Events, Name>,
  ): this;
  /** As `on`, for the next event only. */
  once<Name extends EventEmitter.EventNames<Events>>(
    event: Name,
    listener: EventEmitter.EventListener<Events, Name>,
  ): this;
  /** Removes the listener. */
  off<Name extends EventEmitter.EventNames<Events>>(
    event: Name,
    listener: EventEmitter.EventListener<Events, Name>,
  ): this;
  /** Number of listeners for an event. */
  listenerCount(event: EventEmitter.EventNames<Events>): number;
}

/** Logs what a listener throws; the listeners registered after it miss that one event. */
export class SafeEmitter<Events extends EventEmitter.ValidEventTypes>
  extends EventEmitter<Events>
  implements Emitter<Events>
{
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
