// The four transaction machines of RFC 3261 §17, with the Accepted state of RFC 6026, as tables: state × event → next
// state and actions. One runner executes them; it knows timers, but no messages or sockets.

import type { Clock, SipTimers, TimerHandle } from '../timers.ts';

/** The kind of transaction machine. */
export type TransactionKind =
  | 'invite-client'
  | 'non-invite-client'
  | 'invite-server'
  | 'non-invite-server';

/** States, named as in RFC 3261 §17 and RFC 6026. */
export type TransactionState =
  | 'Calling'
  | 'Trying'
  | 'Proceeding'
  | 'Completed'
  | 'Accepted'
  | 'Confirmed'
  | 'Terminated';

/** The RFC's timers that belong to a transaction. */
export type TimerName = 'A' | 'B' | 'D' | 'E' | 'F' | 'G' | 'H' | 'I' | 'J' | 'K' | 'L' | 'M';

/** Events of a transaction. `send …` is a response that the transaction user passes to a server transaction. */
export type TransactionEvent =
  | '1xx'
  | '2xx'
  | '300-699'
  | 'request'
  | 'ACK'
  | 'send 1xx'
  | 'send 2xx'
  | 'send 300-699'
  | 'transport error'
  | `timer ${TimerName}`;

/**
 * Actions of a transaction. `send`: (re)send the request (client) or the last response (server). `send ACK`:
 * acknowledge a non-2xx. `pass`: pass the event's message to the transaction user. `time-out` and `fail`: report that
 * there was no response, or that the transport failed.
 */
export type TransactionAction =
  | 'send'
  | 'send ACK'
  | 'pass'
  | 'time-out'
  | 'fail'
  | `start ${TimerName}`;

/** One cell of a table. */
export interface Transition {
  readonly next: TransactionState;
  readonly actions: readonly TransactionAction[];
}

/** State × event → transition. An event without a cell is ignored in that state. */
export type TransactionTable = {
  readonly [state in TransactionState]?: { readonly [event in TransactionEvent]?: Transition };
};

const to = (next: TransactionState, ...actions: TransactionAction[]): Transition => ({
  next,
  actions,
});

const inviteClient: TransactionTable = {
  Calling: {
    'timer A': to('Calling', 'send', 'start A'),
    'timer B': to('Terminated', 'time-out'),
    'transport error': to('Terminated', 'fail'),
    '1xx': to('Proceeding', 'pass'),
    '2xx': to('Accepted', 'start M', 'pass'),
    '300-699': to('Completed', 'send ACK', 'start D', 'pass'),
  },
  Proceeding: {
    '1xx': to('Proceeding', 'pass'),
    '2xx': to('Accepted', 'start M', 'pass'),
    '300-699': to('Completed', 'send ACK', 'start D', 'pass'),
    // Beyond RFC 3261, where only sending can fail: here the loss of the connection for the response counts as well.
    'transport error': to('Terminated', 'fail'),
  },
  Completed: {
    '300-699': to('Completed', 'send ACK'),
    'timer D': to('Terminated'),
    'transport error': to('Terminated', 'fail'),
  },
  // RFC 6026 §7.2: retransmitted 2xx, and 2xx from other forks, reach the transaction user until timer M.
  Accepted: {
    '2xx': to('Accepted', 'pass'),
    'timer M': to('Terminated'),
  },
};

const nonInviteClient: TransactionTable = {
  Trying: {
    'timer E': to('Trying', 'send', 'start E'),
    'timer F': to('Terminated', 'time-out'),
    'transport error': to('Terminated', 'fail'),
    '1xx': to('Proceeding', 'pass'),
    '2xx': to('Completed', 'start K', 'pass'),
    '300-699': to('Completed', 'start K', 'pass'),
  },
  Proceeding: {
    'timer E': to('Proceeding', 'send', 'start E'),
    'timer F': to('Terminated', 'time-out'),
    'transport error': to('Terminated', 'fail'),
    '1xx': to('Proceeding', 'pass'),
    '2xx': to('Completed', 'start K', 'pass'),
    '300-699': to('Completed', 'start K', 'pass'),
  },
  Completed: {
    'timer K': to('Terminated'),
  },
};

const inviteServer: TransactionTable = {
  Proceeding: {
    request: to('Proceeding', 'send'),
    'send 1xx': to('Proceeding', 'send'),
    'send 2xx': to('Accepted', 'send', 'start L'),
    'send 300-699': to('Completed', 'send', 'start G', 'start H'),
    'transport error': to('Proceeding', 'fail'),
  },
  Completed: {
    request: to('Completed', 'send'),
    'timer G': to('Completed', 'send', 'start G'),
    'timer H': to('Terminated', 'time-out'),
    ACK: to('Confirmed', 'start I'),
    'transport error': to('Completed', 'fail'),
  },
  Confirmed: {
    'timer I': to('Terminated'),
  },
  // RFC 6026 §7.1: retransmitted INVITEs are absorbed, and the transaction user repeats its 2xx until the ACK.
  Accepted: {
    ACK: to('Accepted', 'pass'),
    'send 2xx': to('Accepted', 'send'),
    'timer L': to('Terminated'),
    'transport error': to('Accepted', 'fail'),
  },
};

const nonInviteServer: TransactionTable = {
  Trying: {
    'send 1xx': to('Proceeding', 'send'),
    'send 2xx': to('Completed', 'send', 'start J'),
    'send 300-699': to('Completed', 'send', 'start J'),
  },
  Proceeding: {
    request: to('Proceeding', 'send'),
    'send 1xx': to('Proceeding', 'send'),
    'send 2xx': to('Completed', 'send', 'start J'),
    'send 300-699': to('Completed', 'send', 'start J'),
    'transport error': to('Terminated', 'fail'),
  },
  Completed: {
    request: to('Completed', 'send'),
    'timer J': to('Terminated'),
    'transport error': to('Terminated', 'fail'),
  },
};

/** The four tables. */
export const TRANSACTION_TABLES: { readonly [kind in TransactionKind]: TransactionTable } = {
  'invite-client': inviteClient,
  'non-invite-client': nonInviteClient,
  'invite-server': inviteServer,
  'non-invite-server': nonInviteServer,
};

const TIMERS: readonly TimerName[] = ['A', 'B', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M'];

function isStart(action: TransactionAction): action is `start ${TimerName}` {
  return action.startsWith('start ');
}

/** The states in which a timer runs. Leaving them stops it. */
const TIMER_STATES: { readonly [timer in TimerName]: readonly TransactionState[] } = {
  A: ['Calling'],
  B: ['Calling'],
  D: ['Completed'],
  E: ['Trying', 'Proceeding'],
  F: ['Trying', 'Proceeding'],
  G: ['Completed'],
  H: ['Completed'],
  I: ['Confirmed'],
  J: ['Completed'],
  K: ['Completed'],
  L: ['Accepted'],
  M: ['Accepted'],
};

const STARTS: {
  readonly [kind in TransactionKind]: {
    readonly state: TransactionState;
    readonly actions: readonly TransactionAction[];
  };
} = {
  'invite-client': { state: 'Calling', actions: ['start A', 'start B', 'send'] },
  'non-invite-client': { state: 'Trying', actions: ['start E', 'start F', 'send'] },
  'invite-server': { state: 'Proceeding', actions: [] },
  'non-invite-server': { state: 'Trying', actions: [] },
};

/** Executes the runner's actions. Called synchronously from `start`, `handle` or a timer. Must not throw. */
export interface TransactionHandler {
  /** Executes one action. Never called for `start …`. */
  perform(action: Exclude<TransactionAction, `start ${TimerName}`>): void;
  /** The transaction has terminated, for whatever reason: forget it. Exactly once. */
  terminated(): void;
}

/** The dependencies of a transaction. */
interface TransactionDeps {
  readonly timers: SipTimers;
  readonly clock: Clock;
}

/** Runs one machine. */
export class Transaction {
  readonly kind: TransactionKind;
  readonly #reliable: boolean;
  readonly #timers: SipTimers;
  readonly #clock: Clock;
  readonly #handler: TransactionHandler;
  readonly #running = new Map<TimerName, TimerHandle>();
  #state: TransactionState;
  /** Last interval of retransmission timer A, E or G; 0 before the first. */
  #intervalMs = 0;

  /**
   * `reliable`: SIP does not retransmit on this transport, so timers A, E and G never run, and D, I, J and K are zero.
   */
  constructor(
    kind: TransactionKind,
    reliable: boolean,
    { timers, clock }: TransactionDeps,
    handler: TransactionHandler,
  ) {
    this.kind = kind;
    this.#reliable = reliable;
    this.#timers = timers;
    this.#clock = clock;
    this.#handler = handler;
    this.#state = STARTS[kind].state;
  }

  get state(): TransactionState {
    return this.#state;
  }

  /** Performs the initial actions: a client transaction sends its request and starts its timers. Call once. */
  start(): void {
    this.#perform(this.#state, STARTS[this.kind].actions);
  }

  /** Processes one event. Ignored if the table has no cell for it. */
  handle(event: TransactionEvent): void {
    const transition = TRANSACTION_TABLES[this.kind][this.#state]?.[event];
    if (transition === undefined) return;
    this.#state = transition.next;
    for (const [name, timer] of this.#running) {
      if (TIMER_STATES[name].includes(transition.next)) continue;
      timer.cancel();
      this.#running.delete(name);
    }
    this.#perform(transition.next, transition.actions);
    if (transition.next === 'Terminated') this.#handler.terminated();
  }

  /** Ends the transaction at once, with no action except `terminated`: the user agent is closing. */
  abandon(): void {
    if (this.#state === 'Terminated') return;
    this.#state = 'Terminated';
    for (const timer of this.#running.values()) timer.cancel();
    this.#running.clear();
    this.#handler.terminated();
  }

  #perform(state: TransactionState, actions: readonly TransactionAction[]): void {
    let due: TimerName | undefined;
    for (const action of actions) {
      // An action may have re-entered and changed the state; the remaining actions are then obsolete.
      if (this.#state !== state) return;
      if (!isStart(action)) {
        this.#handler.perform(action);
        continue;
      }
      const name = TIMERS.find((timer) => action === `start ${timer}`);
      if (name === undefined) continue;
      const delayMs = this.#delayMs(name);
      if (delayMs === 0) due = name;
      else if (delayMs !== undefined) this.#startTimer(name, delayMs);
    }
    if (due !== undefined && this.#state === state) this.handle(`timer ${due}`);
  }

  #startTimer(name: TimerName, delayMs: number): void {
    this.#running.get(name)?.cancel();
    this.#running.set(
      name,
      this.#clock.startTimer(delayMs, () => {
        this.#running.delete(name);
        this.handle(`timer ${name}`);
      }),
    );
  }

  /** `undefined`: the timer is not used on this transport. */
  #delayMs(name: TimerName): number | undefined {
    const timers = this.#timers;
    switch (name) {
      case 'A': // RFC 3261 §17.1.1.2: doubles without limit.
        if (this.#reliable) return undefined;
        this.#intervalMs = this.#intervalMs === 0 ? timers.t1Ms : this.#intervalMs * 2;
        return this.#intervalMs;
      case 'E': // RFC 3261 §17.1.2.2: doubles up to T2; in Proceeding always T2.
      case 'G':
        if (this.#reliable) return undefined;
        this.#intervalMs =
          this.#intervalMs === 0 ? timers.t1Ms : Math.min(this.#intervalMs * 2, timers.t2Ms);
        if (name === 'E' && this.#state === 'Proceeding') this.#intervalMs = timers.t2Ms;
        return this.#intervalMs;
      case 'B':
        return timers.timerBMs;
      case 'F':
        return timers.timerFMs;
      case 'H':
        return timers.timerHMs;
      case 'L':
        return timers.timerLMs;
      case 'M':
        return timers.timerMMs;
      case 'D':
        return this.#reliable ? 0 : timers.timerDMs;
      case 'I':
        return this.#reliable ? 0 : timers.timerIMs;
      case 'J':
        return this.#reliable ? 0 : timers.timerJMs;
      case 'K':
        break;
    }
    return this.#reliable ? 0 : timers.timerKMs;
  }
}
