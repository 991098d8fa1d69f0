// Every state × event of an account: the state after it, what the registrar is asked, and what listeners are told.

import { SipError } from '@sipcast/sip';
import type { Registration } from '@sipcast/sip';
import { describe, expect, it } from 'vitest';
import { HeldRegistration } from './held-registration.ts';
import { silentLogger } from '../logger.ts';

interface Question {
  readonly resolve: () => void;
  readonly reject: (error: SipError) => void;
}

/** A registrar that answers when it is told to, and time that passes when it is told to. */
function setUp() {
  let nowMs = 0;
  let timers: { dueMs: number; callback: () => void }[] = [];
  const happened: string[] = [];
  const open: Question[] = [];
  const leases: (() => Promise<void>)[] = [];
  const ask = (what: string): Promise<void> => {
    happened.push(what);
    return new Promise((resolve, reject) => {
      open.push({ resolve, reject });
    });
  };
  const binding: Partial<Registration> = {
    expiresSeconds: 100,
    contact: '<sip:alice@192.0.2.1>',
    refresh: () => ask('REGISTER again'),
    unregister: () => ask('un-REGISTER'),
    abandon: () => void happened.push('abandoned'),
  };
  const registration = new HeldRegistration(
    { registrar: 'sip:pbx', from: { uri: 'sip:alice@pbx' }, transport: 'udp' },
    {
      register: () => ask('REGISTER').then(() => binding as Registration),
      logger: silentLogger,
      wallClock: () => nowMs,
      random: () => 0,
      startTimer: (delayMs, callback) => {
        const timer = { dueMs: nowMs + delayMs, callback };
        timers.push(timer);
        return () => (timers = timers.filter((one) => one !== timer));
      },
    },
    () => happened.push('released'),
  );
  registration.on('state', ({ state }, previous) => happened.push(`told ${previous} → ${state}`));
  const pass = async (seconds: number): Promise<void> => {
    const endMs = nowMs + seconds * 1000;
    for (;;) {
      const due = timers
        .filter(({ dueMs }) => dueMs <= endMs)
        .toSorted((a, b) => a.dueMs - b.dueMs)[0];
      if (due === undefined) break;
      timers = timers.filter((timer) => timer !== due);
      nowMs = due.dueMs;
      due.callback();
      await settle();
    }
    nowMs = endMs;
  };
  return { registration, happened, open, leases, pass, timers: () => timers.length };
}

type Rig = ReturnType<typeof setUp>;

function settle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

function registered({ registration, happened }: Rig): void {
  registration.registered().then(
    () => happened.push('a call may go on'),
    ({ statusCode, code }: { statusCode?: number; code?: string }) =>
      happened.push(`a call fails ${statusCode ?? code}`),
  );
}

const EVENTS = {
  'stands from now on': ({ registration }) => registration.stand(),
  'stands no more': ({ registration }) => void registration.close(),
  'a call needs it': (rig) => {
    rig.leases.push(rig.registration.hold());
    registered(rig);
  },
  'that call is over': ({ leases }) => void leases.shift()?.(),
  granted: ({ open }) => open.shift()?.resolve(),
  'refused for now': ({ open }) =>
    open.shift()?.reject(new SipError('REJECTED', '503', { statusCode: 503 })),
  'refused for five minutes': ({ open }) =>
    open
      .shift()
      ?.reject(new SipError('REJECTED', '503', { statusCode: 503, retryAfterSeconds: 300 })),
  'refused for good': ({ open }) =>
    open.shift()?.reject(new SipError('AUTH_FAILED', '403', { statusCode: 403 })),
  '20 s pass': ({ pass }) => pass(20),
  '75 s pass': ({ pass }) => pass(75),
  '16 minutes pass': ({ pass }) => pass(960),
} satisfies Record<string, (rig: Rig) => void | Promise<void>>;

type Event = keyof typeof EVENTS;

const STATES: Record<string, readonly [string, readonly Event[]]> = {
  'nobody needs it yet': ['registering', []],
  'it is asked for': ['registering', ['stands from now on']],
  'it stands': ['registered', ['stands from now on', 'granted']],
  'it stands for a call': ['registered', ['a call needs it', 'granted']],
  'it stands, and a call needs it': [
    'registered',
    ['stands from now on', 'granted', 'a call needs it'],
  ],
  'its refresh is open': ['registered', ['stands from now on', 'granted', '75 s pass']],
  'its refresh was refused': [
    'registered',
    ['stands from now on', 'granted', '75 s pass', 'refused for now'],
  ],
  'its binding has ended with its refresh open': [
    'registered',
    ['stands from now on', 'granted', '75 s pass', '75 s pass'],
  ],
  'it was refused for now': ['failed', ['stands from now on', 'refused for now']],
  'it was refused for five minutes': ['failed', ['stands from now on', 'refused for five minutes']],
  'it was refused for good': ['failed', ['stands from now on', 'refused for good']],
  'its removal is open': ['registered', ['stands from now on', 'granted', 'stands no more']],
  'it is removed': ['closed', ['stands from now on', 'granted', 'stands no more', 'granted']],
};

/** What is meant to happen. What is not named here changes nothing. */
const TABLE: Record<string, { readonly [event in Event]?: string }> = {
  'nobody needs it yet': {
    'stands from now on': 'registering: REGISTER',
    'stands no more': 'closed: released, told registering → closed',
    'a call needs it': 'registering: REGISTER',
  },
  'it is asked for': {
    'stands no more': 'registering: released',
    granted: 'registered: told registering → registered',
    'refused for now': 'failed: told registering → failed',
    'refused for five minutes': 'failed: told registering → failed',
    'refused for good': 'failed: told registering → failed',
  },
  'it stands': {
    'stands no more': 'registered: released, un-REGISTER',
    'a call needs it': 'registered: a call may go on',
    '75 s pass': 'registered: REGISTER again',
    '16 minutes pass': 'registered: REGISTER again',
  },
  'it stands for a call': {
    'a call needs it': 'registered: a call may go on',
    'that call is over': 'registered: released, un-REGISTER',
    '75 s pass': 'registered: REGISTER again',
    '16 minutes pass': 'registered: REGISTER again',
  },
  'it stands, and a call needs it': {
    'a call needs it': 'registered: a call may go on',
    '75 s pass': 'registered: REGISTER again',
    '16 minutes pass': 'registered: REGISTER again',
  },
  'its refresh is open': {
    'stands no more': 'registered: released',
    'a call needs it': 'registered: a call may go on',
  },
  'its refresh was refused': {
    'stands no more': 'registered: released, un-REGISTER',
    'a call needs it': 'registered: a call may go on',
    '20 s pass': 'registered: REGISTER again',
    '75 s pass': 'registered: REGISTER again',
    '16 minutes pass': 'registered: REGISTER again',
  },
  'its binding has ended with its refresh open': {
    'stands no more': 'registered: released',
    'refused for now': 'failed: abandoned, told registered → failed',
    'refused for five minutes': 'failed: abandoned, told registered → failed',
    'refused for good': 'failed: abandoned, told registered → failed',
  },
  'it was refused for now': {
    'stands no more': 'closed: released, told failed → closed',
    'a call needs it': 'registering: told failed → registering, REGISTER',
    '75 s pass': 'registering: told failed → registering, REGISTER',
    '16 minutes pass': 'registering: told failed → registering, REGISTER',
  },
  'it was refused for five minutes': {
    'stands no more': 'closed: released, told failed → closed',
    'a call needs it': 'registering: told failed → registering, REGISTER',
    '16 minutes pass': 'registering: told failed → registering, REGISTER',
  },
  'it was refused for good': {
    'stands no more': 'closed: released, told failed → closed',
    'a call needs it': 'registering: told failed → registering, REGISTER',
    '16 minutes pass': 'registering: told failed → registering, REGISTER',
  },
  'its removal is open': {
    'a call needs it': 'registered: a call fails GATEWAY_CLOSED',
    granted: 'closed: told registered → closed',
    'refused for now': 'closed: told registered → closed',
    'refused for five minutes': 'closed: told registered → closed',
    'refused for good': 'closed: told registered → closed',
  },
  'it is removed': {
    'a call needs it': 'closed: a call fails GATEWAY_CLOSED',
  },
};

for (const [state, [name, path]] of Object.entries(STATES)) {
  describe(state, () => {
    for (const event of Object.keys(EVENTS) as Event[]) {
      const expected = TABLE[state]?.[event] ?? `${name}: `;
      it(`${event} → ${expected}`, async () => {
        const rig = setUp();
        for (const step of path) {
          await EVENTS[step](rig);
          await settle();
        }
        expect(rig.registration.state).toBe(name);
        rig.happened.length = 0;
        await EVENTS[event](rig);
        await settle();
        const reached = `${rig.registration.state}: ${rig.happened.join(', ')}`;
        expect(reached).toBe(expected);
        const closing = rig.registration.close();
        while (rig.leases.length > 0) void rig.leases.shift()?.();
        await settle();
        for (const question of rig.open) question.resolve();
        await settle();
        for (const question of rig.open) question.resolve();
        await closing;
        expect(rig.timers()).toBe(0);
      });
    }
  });
}
