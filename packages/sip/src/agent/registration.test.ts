// Every state × event of one binding at its registrar: the next state, what is sent, and what is reported.

import type { SipError } from '../errors.ts';
import type { Registration } from './registration.ts';
import {
  type Events,
  type Stage,
  type States,
  type StateTable,
  testTable,
} from '../test-states.ts';
import { PEER, settle, TestWire } from '../test-wire.ts';

interface BindingStage extends Stage {
  readonly wire: TestWire;
  readonly told: string[];
  binding: Registration | undefined;
  open: string | undefined;
  name: string;
}

async function begin(): Promise<BindingStage> {
  const wire = await new TestWire().open();
  const told: string[] = [];
  const stage: BindingStage = {
    wire,
    told,
    binding: undefined,
    open: undefined,
    name: 'none',
    state() {
      return this.open ?? this.name;
    },
    happened: () => [...wire.take(), ...told.splice(0)],
    async close() {
      this.binding?.abandon();
      await wire.close();
    },
    get timers() {
      return wire.clock.running;
    },
  };
  return stage;
}

/** Waits for the outcome of the requested operation. `name`: the state after success. */
function doing(on: BindingStage, open: string, name: string, work: Promise<unknown>): void {
  on.open = open;
  work.then(
    () => {
      on.open = undefined;
      on.name = name;
      on.told.push(`${open}: done, ${on.binding?.expiresSeconds ?? 0} s`);
    },
    ({ code, statusCode, retryAfterSeconds }: SipError) => {
      on.open = undefined;
      const later = retryAfterSeconds === undefined ? '' : `, again in ${retryAfterSeconds} s`;
      on.told.push(`${open}: ${code} ${statusCode ?? ''}`.trim() + later);
    },
  );
}

async function register(on: BindingStage): Promise<void> {
  if (on.binding !== undefined || on.open !== undefined) return;
  const made = on.wire.userAgent.register({
    registrar: `sip:${PEER.address}`,
    from: { uri: 'sip:alice@example.com' },
    credentials: { username: 'alice', password: 'secret' },
    transport: 'udp',
    expiresSeconds: 600,
  });
  doing(
    on,
    'registering',
    'bound',
    made.then((binding) => {
      on.binding = binding;
    }),
  );
  await settle();
}

/** The registrar answers the latest REGISTER, if there is one. */
function answer(
  on: BindingStage,
  statusCode: number,
  headers: (readonly [string, string])[] = [],
): void {
  if (on.wire.history.length > 0) on.wire.answer(on.wire.request('REGISTER'), statusCode, headers);
}

const challenge = (nonce: string, more = ''): readonly [string, string] => [
  'www-authenticate',
  `Digest realm="example.com", nonce="${nonce}"${more}`,
];
const CONTACT = '<sip:alice@192.0.2.1:5060>';

const EVENTS = {
  register: (on) => register(on),
  refresh: (on) => {
    if (on.name === 'bound' && on.open === undefined && on.binding)
      doing(on, 'refreshing', 'bound', on.binding.refresh());
  },
  unregister: (on) => {
    if (on.binding === undefined) return;
    on.name = 'removed';
    doing(on, 'removing', 'removed', on.binding.unregister());
  },
  abandon: (on) => {
    on.binding?.abandon();
    if (on.name === 'bound') on.name = 'removed';
  },
  '100': (on) => answer(on, 100),
  '200': (on) => answer(on, 200),
  '200 that grants less': (on) => answer(on, 200, [['contact', `${CONTACT};expires=90`]]),
  '200 of others’ bindings': (on) =>
    answer(on, 200, [
      ['contact', '<sip:alice@198.51.100.7>;expires=5'],
      ['expires', '300'],
    ]),
  '401': (on) => answer(on, 401, [challenge('n1')]),
  '401, stale': (on) => answer(on, 401, [challenge('n2', ', stale=true')]),
  '401 of an unknown kind': (on) => answer(on, 401, [['www-authenticate', 'Bearer x']]),
  '403': (on) => answer(on, 403),
  '423': (on) => answer(on, 423, [['min-expires', '1200']]),
  '423 that wants no more': (on) => answer(on, 423, [['min-expires', '1']]),
  '503': (on) => answer(on, 503),
  '503 for two minutes': (on) => answer(on, 503, [['retry-after', '120 (overload);duration=60']]),
  'T1 passes': ({ wire }) => wire.pass(500),
  '25 s pass': ({ wire }) => wire.pass(25_000),
  '64·T1 pass': ({ wire }) => wire.pass(32_000),
  'the wire is cut': ({ wire }) => {
    wire.cut = true;
    return wire.pass(500);
  },
  'the user agent closes': ({ wire }) => wire.close(),
} satisfies Events<BindingStage>;

const STATES = {
  none: ['none', []],
  'REGISTER is open': ['registering', ['register']],
  'REGISTER with a password is open': ['registering', ['register', '401']],
  'REGISTER for longer is open': ['registering', ['register', '423']],
  bound: ['bound', ['register', '200']],
  'bound with a password': ['bound', ['register', '401', '200']],
  'the refresh is open': ['refreshing', ['register', '200', 'refresh']],
  'the removal is open': ['removing', ['register', '200', 'unregister']],
  removed: ['removed', ['register', '200', 'unregister', '200']],
} satisfies States<typeof EVENTS>;

/** The behavior that RFC 3261 §10.2 and §22 require. A missing pair changes nothing and sends nothing. */
const TABLE: StateTable<typeof STATES, typeof EVENTS> = {
  none: {
    register: 'registering: REGISTER',
  },
  'REGISTER is open': {
    '200': 'bound: registering: done, 600 s',
    '401': 'registering: REGISTER',
    '403': 'none: registering: REJECTED 403',
    '423': 'registering: REGISTER',
    '503': 'none: registering: REJECTED 503',
    '503 for two minutes': 'none: registering: REJECTED 503, again in 120 s',
    '200 that grants less': 'bound: registering: done, 90 s',
    '200 of others’ bindings': 'bound: registering: done, 300 s',
    '401, stale': 'registering: REGISTER',
    '401 of an unknown kind': 'none: registering: AUTH_FAILED 401',
    '423 that wants no more': 'none: registering: REJECTED 423',
    'T1 passes': 'registering: REGISTER',
    '25 s pass': 'registering: REGISTER ×8',
    '64·T1 pass': 'none: REGISTER ×10, registering: TIMEOUT 408',
    'the wire is cut': 'none: registering: TRANSPORT 503',
    'the user agent closes': 'none: registering: CLOSED',
  },
  'REGISTER with a password is open': {
    '200': 'bound: registering: done, 600 s',
    '401': 'none: registering: AUTH_FAILED 401',
    '403': 'none: registering: REJECTED 403',
    '423': 'registering: REGISTER',
    '503': 'none: registering: REJECTED 503',
    '503 for two minutes': 'none: registering: REJECTED 503, again in 120 s',
    '200 that grants less': 'bound: registering: done, 90 s',
    '200 of others’ bindings': 'bound: registering: done, 300 s',
    '401, stale': 'registering: REGISTER',
    '401 of an unknown kind': 'none: registering: AUTH_FAILED 401',
    '423 that wants no more': 'none: registering: REJECTED 423',
    'T1 passes': 'registering: REGISTER',
    '25 s pass': 'registering: REGISTER ×8',
    '64·T1 pass': 'none: REGISTER ×10, registering: TIMEOUT 408',
    'the wire is cut': 'none: registering: TRANSPORT 503',
    'the user agent closes': 'none: registering: CLOSED',
  },
  'REGISTER for longer is open': {
    '200': 'bound: registering: done, 1200 s',
    '401': 'registering: REGISTER',
    '403': 'none: registering: REJECTED 403',
    '423': 'none: registering: REJECTED 423',
    '503': 'none: registering: REJECTED 503',
    '503 for two minutes': 'none: registering: REJECTED 503, again in 120 s',
    '200 that grants less': 'bound: registering: done, 90 s',
    '200 of others’ bindings': 'bound: registering: done, 300 s',
    '401, stale': 'registering: REGISTER',
    '401 of an unknown kind': 'none: registering: AUTH_FAILED 401',
    '423 that wants no more': 'none: registering: REJECTED 423',
    'T1 passes': 'registering: REGISTER',
    '25 s pass': 'registering: REGISTER ×8',
    '64·T1 pass': 'none: REGISTER ×10, registering: TIMEOUT 408',
    'the wire is cut': 'none: registering: TRANSPORT 503',
    'the user agent closes': 'none: registering: CLOSED',
  },
  bound: {
    refresh: 'refreshing: REGISTER',
    unregister: 'removing: REGISTER',
    abandon: 'removed: ',
    '25 s pass': 'bound: CRLF',
    '64·T1 pass': 'bound: CRLF',
  },
  'bound with a password': {
    refresh: 'refreshing: REGISTER',
    unregister: 'removing: REGISTER',
    abandon: 'removed: ',
    '25 s pass': 'bound: CRLF',
    '64·T1 pass': 'bound: CRLF',
  },
  'the refresh is open': {
    '200': 'bound: refreshing: done, 600 s',
    '401': 'refreshing: REGISTER',
    '403': 'bound: refreshing: REJECTED 403',
    '423': 'refreshing: REGISTER',
    '503': 'bound: refreshing: REJECTED 503',
    '503 for two minutes': 'bound: refreshing: REJECTED 503, again in 120 s',
    unregister: 'removing: REGISTER',
    '200 that grants less': 'bound: refreshing: done, 90 s',
    '200 of others’ bindings': 'bound: refreshing: done, 300 s',
    '401, stale': 'refreshing: REGISTER',
    '401 of an unknown kind': 'bound: refreshing: AUTH_FAILED 401',
    '423 that wants no more': 'bound: refreshing: REJECTED 423',
    'T1 passes': 'refreshing: REGISTER',
    '25 s pass': 'refreshing: REGISTER ×7, CRLF, REGISTER',
    '64·T1 pass': 'bound: REGISTER ×7, CRLF, REGISTER ×3, refreshing: TIMEOUT 408',
    'the wire is cut': 'bound: refreshing: TRANSPORT 503',
    'the user agent closes': 'bound: refreshing: CLOSED',
  },
  'the removal is open': {
    '200': 'removed: removing: done, 0 s',
    '401': 'removing: REGISTER',
    '403': 'removed: removing: REJECTED 403',
    '423': 'removed: removing: REJECTED 423',
    '503': 'removed: removing: REJECTED 503',
    '503 for two minutes': 'removed: removing: REJECTED 503, again in 120 s',
    unregister: 'removed: removing: done, 600 s',
    '200 that grants less': 'removed: removing: done, 0 s',
    '200 of others’ bindings': 'removed: removing: done, 0 s',
    '401, stale': 'removing: REGISTER',
    '401 of an unknown kind': 'removed: removing: AUTH_FAILED 401',
    '423 that wants no more': 'removed: removing: REJECTED 423',
    'T1 passes': 'removing: REGISTER',
    '25 s pass': 'removing: REGISTER ×8',
    '64·T1 pass': 'removed: REGISTER ×10, removing: TIMEOUT 408',
    'the wire is cut': 'removed: removing: TRANSPORT 503',
    'the user agent closes': 'removed: removing: CLOSED',
  },
  removed: {
    unregister: 'removed: removing: done, 0 s',
  },
};

testTable(begin, EVENTS, STATES, TABLE);
