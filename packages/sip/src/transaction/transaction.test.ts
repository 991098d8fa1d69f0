// Every state × event of the four machines, and the timer values.

import { describe, expect, it } from 'vitest';
import { ManualClock } from '../test-wire.ts';
import { completeTimers } from '../timers.ts';
import {
  Transaction,
  TRANSACTION_TABLES,
  type TransactionEvent,
  type TransactionKind,
  type TransactionState,
} from './transaction.ts';

const EVENTS: readonly TransactionEvent[] = [
  '1xx',
  '2xx',
  '300-699',
  'request',
  'ACK',
  'send 1xx',
  'send 2xx',
  'send 300-699',
  'transport error',
];

function machine(kind: TransactionKind, reliable = false) {
  const clock = new ManualClock();
  const done: string[] = [];
  const transaction = new Transaction(
    kind,
    reliable,
    { timers: completeTimers(), clock },
    {
      perform: (action) => void done.push(`${clock.now()} ${action}`),
      terminated: () => void done.push(`${clock.now()} over`),
    },
  );
  transaction.start();
  return { clock, done, transaction };
}

/** Events that lead to each state over UDP. */
const PATHS: { [kind in TransactionKind]: [TransactionState, TransactionEvent[]][] } = {
  'invite-client': [
    ['Calling', []],
    ['Proceeding', ['1xx']],
    ['Completed', ['300-699']],
    ['Accepted', ['1xx', '2xx']],
    ['Terminated', ['transport error']],
  ],
  'non-invite-client': [
    ['Trying', []],
    ['Proceeding', ['1xx']],
    ['Completed', ['1xx', '2xx']],
    ['Terminated', ['transport error']],
  ],
  'invite-server': [
    ['Proceeding', ['send 1xx']],
    ['Completed', ['send 300-699']],
    ['Confirmed', ['send 300-699', 'ACK']],
    ['Accepted', ['send 2xx']],
  ],
  'non-invite-server': [
    ['Trying', []],
    ['Proceeding', ['send 1xx']],
    ['Completed', ['send 2xx']],
    ['Terminated', ['send 2xx', 'transport error']],
  ],
};

/**
 * The next state and actions for every state and event, from the RFC's figures. A missing event is ignored. Written
 * independently of the tables under test, in the RFC's order.
 */
const FIGURES: {
  [kind in TransactionKind]: {
    [state in TransactionState]?: { [event in TransactionEvent]?: string };
  };
} = {
  'invite-client': {
    Calling: {
      '1xx': 'Proceeding: pass',
      '2xx': 'Accepted: pass',
      '300-699': 'Completed: send ACK, pass',
      'transport error': 'Terminated: fail, over',
    },
    Proceeding: {
      '1xx': 'Proceeding: pass',
      '2xx': 'Accepted: pass',
      '300-699': 'Completed: send ACK, pass',
      'transport error': 'Terminated: fail, over',
    },
    Completed: { '300-699': 'Completed: send ACK', 'transport error': 'Terminated: fail, over' },
    Accepted: { '2xx': 'Accepted: pass' },
  },
  'non-invite-client': {
    Trying: {
      '1xx': 'Proceeding: pass',
      '2xx': 'Completed: pass',
      '300-699': 'Completed: pass',
      'transport error': 'Terminated: fail, over',
    },
    Proceeding: {
      '1xx': 'Proceeding: pass',
      '2xx': 'Completed: pass',
      '300-699': 'Completed: pass',
      'transport error': 'Terminated: fail, over',
    },
  },
  'invite-server': {
    Proceeding: {
      request: 'Proceeding: send',
      'send 1xx': 'Proceeding: send',
      'send 2xx': 'Accepted: send',
      'send 300-699': 'Completed: send',
      'transport error': 'Proceeding: fail',
    },
    Completed: {
      request: 'Completed: send',
      ACK: 'Confirmed: ',
      'transport error': 'Completed: fail',
    },
    Accepted: {
      ACK: 'Accepted: pass',
      'send 2xx': 'Accepted: send',
      'transport error': 'Accepted: fail',
    },
  },
  'non-invite-server': {
    Trying: {
      'send 1xx': 'Proceeding: send',
      'send 2xx': 'Completed: send',
      'send 300-699': 'Completed: send',
    },
    Proceeding: {
      request: 'Proceeding: send',
      'send 1xx': 'Proceeding: send',
      'send 2xx': 'Completed: send',
      'send 300-699': 'Completed: send',
      'transport error': 'Terminated: fail, over',
    },
    Completed: { request: 'Completed: send', 'transport error': 'Terminated: fail, over' },
  },
};

const KINDS = Object.keys(PATHS).filter((kind): kind is TransactionKind => kind in PATHS);

describe.each(KINDS)('%s', (kind) => {
  for (const [state, path] of PATHS[kind]) {
    for (const event of EVENTS) {
      const expected = FIGURES[kind][state]?.[event] ?? `${state}: `;
      it(`${state} × ${event} → ${expected}`, () => {
        const { done, transaction } = machine(kind);
        for (const step of path) transaction.handle(step);
        expect(transaction.state).toBe(state);
        done.length = 0;
        transaction.handle(event);
        const actions = done.map((line) => line.slice(line.indexOf(' ') + 1)).join(', ');
        expect(`${transaction.state}: ${actions}`).toBe(expected);
      });
    }
  }

  it('has no unreachable state, and no state without an exit', () => {
    const table = TRANSACTION_TABLES[kind];
    const reached = new Set(PATHS[kind].map(([state]) => state));
    for (const [state, row] of Object.entries(table)) {
      expect([...reached]).toContain(state);
      expect(Object.keys(row).length).toBeGreaterThan(0);
    }
  });

  it('stops all timers and reports its end once when abandoned', () => {
    const { clock, done, transaction } = machine(kind);
    done.length = 0;
    transaction.abandon();
    transaction.abandon();
    transaction.handle('2xx');
    expect([clock.running, transaction.state, done]).toEqual([0, 'Terminated', ['0 over']]);
  });
});

describe('timers, unreliable', () => {
  it('A doubles without limit until B', () => {
    const { clock, done } = machine('invite-client');
    clock.pass(100_000);
    expect(done).toEqual([
      '0 send',
      '500 send',
      '1500 send',
      '3500 send',
      '7500 send',
      '15500 send',
      '31500 send',
      '32000 time-out',
      '32000 over',
    ]);
  });

  it('A and B stop at the first provisional response', () => {
    const { clock, done, transaction } = machine('invite-client');
    transaction.handle('1xx');
    clock.pass(600_000);
    expect([done, clock.running]).toEqual([['0 send', '0 pass'], 0]);
  });

  it('E doubles up to T2 until F', () => {
    const { clock, done } = machine('non-invite-client');
    clock.pass(100_000);
    expect(done).toEqual([
      '0 send',
      '500 send',
      '1500 send',
      '3500 send',
      '7500 send',
      '11500 send',
      '15500 send',
      '19500 send',
      '23500 send',
      '27500 send',
      '31500 send',
      '32000 time-out',
      '32000 over',
    ]);
  });

  it('E is T2 after a provisional response, and F keeps running', () => {
    const { clock, done, transaction } = machine('non-invite-client');
    transaction.handle('1xx');
    clock.pass(9000);
    expect(done).toEqual(['0 send', '0 pass', '500 send', '4500 send', '8500 send']);
    clock.pass(30_000);
    expect(done.at(-1)).toBe('32000 over');
  });

  it('G repeats the refusal until the ACK, H gives up', () => {
    const acknowledged = machine('invite-server');
    acknowledged.transaction.handle('send 300-699');
    acknowledged.clock.pass(2000);
    acknowledged.transaction.handle('ACK');
    acknowledged.clock.pass(100_000);
    expect(acknowledged.done).toEqual(['0 send', '500 send', '1500 send', '7000 over']);
    const forgotten = machine('invite-server');
    forgotten.transaction.handle('send 300-699');
    forgotten.clock.pass(100_000);
    expect(forgotten.done.slice(-2)).toEqual(['32000 time-out', '32000 over']);
  });

  const ends: [string, TransactionKind, TransactionEvent, number][] = [
    ['D', 'invite-client', '300-699', 32_000],
    ['M', 'invite-client', '2xx', 32_000],
    ['K', 'non-invite-client', '2xx', 5000],
    ['L', 'invite-server', 'send 2xx', 32_000],
    ['J', 'non-invite-server', 'send 2xx', 32_000],
  ];
  it.each(ends)('%s ends %s after %s in %d ms', (_, kind, event, ms) => {
    const { clock, done, transaction } = machine(kind);
    transaction.handle(event);
    clock.pass(ms - 1);
    expect(transaction.state).not.toBe('Terminated');
    clock.pass(1);
    expect([done.at(-1), clock.running]).toEqual([`${ms} over`, 0]);
  });
});

describe('timers, reliable', () => {
  const cases: [TransactionKind, TransactionEvent[], string[]][] = [
    ['invite-client', ['300-699'], ['0 send', '0 send ACK', '0 pass', '0 over']],
    ['invite-client', ['2xx'], ['0 send', '0 pass', '32000 over']],
    ['invite-client', [], ['0 send', '32000 time-out', '32000 over']],
    ['non-invite-client', ['2xx'], ['0 send', '0 pass', '0 over']],
    ['non-invite-client', [], ['0 send', '32000 time-out', '32000 over']],
    ['invite-server', ['send 300-699', 'ACK'], ['0 send', '0 over']],
    ['invite-server', ['send 300-699'], ['0 send', '32000 time-out', '32000 over']],
    ['invite-server', ['send 2xx'], ['0 send', '32000 over']],
    ['non-invite-server', ['send 2xx'], ['0 send', '0 over']],
  ];
  it.each(cases)('%s after %j', (kind, events, expected) => {
    const { clock, done, transaction } = machine(kind, true);
    for (const event of events) transaction.handle(event);
    clock.pass(100_000);
    expect([done, clock.running]).toEqual([expected, 0]);
  });
});

describe('completeTimers', () => {
  it('defaults to table 4 of RFC 3261', () => {
    expect(completeTimers()).toEqual({
      t1Ms: 500,
      t2Ms: 4000,
      t4Ms: 5000,
      timerBMs: 32_000,
      timerDMs: 32_000,
      timerFMs: 32_000,
      timerHMs: 32_000,
      timerIMs: 5000,
      timerJMs: 32_000,
      timerKMs: 5000,
      timerLMs: 32_000,
      timerMMs: 32_000,
    });
  });

  it('derives the others from T1 and T4 unless given', () => {
    const timers = completeTimers({ t1Ms: 10, t4Ms: 7, timerBMs: 99 });
    expect([timers.timerBMs, timers.timerFMs, timers.timerKMs]).toEqual([99, 640, 7]);
  });
});
