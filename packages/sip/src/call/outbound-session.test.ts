// Every state × event of an outgoing call: the next state, what is sent, and what is reported.

import type { InviteSession } from './call-session.ts';
import type { SessionEnding } from '../dialog/session-handler.ts';
import {
  type Events,
  type Stage,
  type States,
  type StateTable,
  testTable,
} from '../test-states.ts';
import { labelOf, PEER, settle, TestWire } from '../test-wire.ts';

const CONTACT = ['contact', `<sip:bob@${PEER.address}>`] as const;
const ANSWER = 'v=0 answer\r\n';

interface CallStage extends Stage {
  readonly wire: TestWire;
  readonly session: InviteSession;
  readonly told: string[];
  sequence: number;
}

async function begin(state: string): Promise<CallStage> {
  const wire = await new TestWire().open();
  const told: string[] = [];
  const host = state.startsWith('starting') ? 'peer.example.com' : PEER.address;
  const session = wire.userAgent.invite(
    {
      callId: 'call@us',
      target: `sip:bob@${host}`,
      from: { uri: 'sip:alice@example.com' },
      transport: 'udp',
      offer: 'v=0 offer\r\n',
    },
    {
      onProvisional: ({ statusCode }) => told.push(`told ${statusCode}`),
      onAnswered: () => told.push('told answered'),
      onReoffer: () => {
        told.push('told offer');
        return { answer: ANSWER };
      },
      onReanswer: () => told.push('told answer'),
      onEnded: (ending) => told.push(`told ${describeEnding(ending)}`),
    },
  );
  await settle();
  return {
    wire,
    session,
    told,
    sequence: 100,
    state: () => session.state,
    happened: () => [...wire.take(), ...told.splice(0)],
    close: () => wire.close(),
    get timers() {
      return wire.clock.running;
    },
  };
}

function describeEnding({ endedBy, cancelled, statusCode, error }: SessionEnding): string {
  const how = error === undefined ? (cancelled ? 'cancelled' : 'over') : error.code;
  return `end ${endedBy} ${how}${statusCode === undefined ? '' : ` ${statusCode}`}`;
}

/** The peer sends a request in the dialog. */
function inDialog(
  on: CallStage,
  method: string,
  body = '',
  headers: [string, string][] = [],
): void {
  const invite = on.wire.history.find((one) => labelOf(one) === 'INVITE');
  on.sequence += 1;
  on.wire.ask(method, {
    callId: 'call@us',
    from: `${invite?.headers.get('to') ?? '<sip:bob@192.0.2.9>'};tag=peer`,
    to: invite?.headers.get('from') ?? '<sip:alice@example.com>;tag=t2',
    sequence: on.sequence,
    body,
    headers: [...headers, CONTACT],
  });
}

function answerInvite(
  on: CallStage,
  statusCode: number,
  headers: (readonly [string, string])[] = [],
  tag?: string,
): void {
  const body = statusCode === 200 ? ANSWER : '';
  // Nothing can answer the INVITE before it is sent.
  if (on.wire.history.some((one) => labelOf(one) === 'INVITE'))
    on.wire.answer(on.wire.request('INVITE'), statusCode, headers, body, tag);
}

function outcome(told: string[], name: string, promise: Promise<unknown>): void {
  promise.then(
    (value) =>
      told.push(`${name}: ${typeof value === 'string' ? 'agreed' : JSON.stringify(value)}`),
    (error: { code?: string }) => told.push(`${name}: ${error.code}`),
  );
}

const EVENTS = {
  '100': (on) => answerInvite(on, 100),
  '180': (on) => answerInvite(on, 180, [CONTACT]),
  '183 reliable': (on) => answerInvite(on, 183, [CONTACT, ['require', '100rel'], ['rseq', '7']]),
  '200': (on) => answerInvite(on, 200, [CONTACT]),
  '200 of another fork': (on) => answerInvite(on, 200, [CONTACT], 'fork'),
  '200 of a name': (on) => answerInvite(on, 200, [['contact', '<sip:bob@phone.example.com>']]),
  '302': (on) => answerInvite(on, 302, [['contact', '<sip:carol@192.0.2.10>']]),
  '401': (on) => answerInvite(on, 401, [['www-authenticate', 'Digest realm="r", nonce="n"']]),
  '422': (on) => answerInvite(on, 422, [['min-se', '3600']]),
  '486': (on) => answerInvite(on, 486),
  '487': (on) => answerInvite(on, 487),
  '503': (on) => answerInvite(on, 503),
  BYE: (on) => inDialog(on, 'BYE'),
  'INVITE with offer': (on) => inDialog(on, 'INVITE', 'v=0 theirs\r\n'),
  'INVITE without offer': (on) => inDialog(on, 'INVITE'),
  'UPDATE with offer': (on) => inDialog(on, 'UPDATE', 'v=0 theirs\r\n'),
  'UPDATE without offer': (on) => inDialog(on, 'UPDATE'),
  INFO: (on) => inDialog(on, 'INFO'),
  PRACK: (on) => inDialog(on, 'PRACK', '', [['rack', '1 1 INVITE']]),
  terminate: (on) => void on.session.terminate(),
  sendInfo: (on) => outcome(on.told, 'sendInfo', on.session.sendInfo('text/plain', 'x')),
  reoffer: (on) => outcome(on.told, 'reoffer', on.session.reoffer('v=0 ours\r\n')),
  refer: (on) => outcome(on.told, 'refer', on.session.refer('sip:carol@192.0.2.10')),
  'the name is found': ({ wire }) => wire.resolve(PEER.address),
  'the name is not found': ({ wire }) => wire.resolve(undefined),
  '64·T1 pass': ({ wire }) => wire.pass(32_000),
  'three minutes pass': ({ wire }) => wire.pass(180_000),
  'the wire is cut': ({ wire }) => {
    wire.cut = true;
    return wire.pass(500);
  },
  'the user agent closes': ({ wire }) => wire.close(),
} satisfies Events<CallStage>;

const STATES = {
  'starting: its name is looked up': ['starting', []],
  'calling: nothing came back': ['calling', []],
  'proceeding: it rings': ['proceeding', ['180']],
  'established: its ACK waits for a name': ['established', ['180', '200 of a name']],
  established: ['established', ['180', '200']],
  'terminating: no word yet, so no CANCEL': ['terminating', ['terminate']],
  'terminating: cancelled': ['terminating', ['180', 'terminate']],
  'terminating: BYE sent': ['terminating', ['180', '200', 'terminate']],
  'ended: refused': ['ended', ['486']],
  'ended: hung up by the peer': ['ended', ['180', '200', 'BYE']],
} satisfies States<typeof EVENTS>;

/** The behavior that RFC 3261 and its extensions require. A missing pair changes nothing and sends nothing. */
const TABLE: StateTable<typeof STATES, typeof EVENTS> = {
  'starting: its name is looked up': {
    BYE: 'starting: 481 BYE',
    'INVITE with offer': 'starting: 481 INVITE',
    'INVITE without offer': 'starting: 481 INVITE',
    'UPDATE with offer': 'starting: 481 UPDATE',
    'UPDATE without offer': 'starting: 481 UPDATE',
    INFO: 'starting: 481 INFO',
    PRACK: 'starting: 481 PRACK',
    terminate: 'ended: told end local cancelled',
    sendInfo: 'starting: sendInfo: CLOSED',
    reoffer: 'starting: reoffer: CLOSED',
    refer: 'starting: refer: CLOSED',
    'the name is found': 'calling: INVITE',
    'the name is not found': 'ended: told end network TRANSPORT 503',
    '64·T1 pass': 'ended: told end network TRANSPORT 503',
    'three minutes pass': 'ended: told end network TRANSPORT 503',
    'the user agent closes': 'ended: told end local cancelled',
  },
  'calling: nothing came back': {
    '100': 'proceeding: told 100',
    '180': 'proceeding: told 180',
    '200': 'established: ACK, told answered',
    '302': 'calling: ACK, INVITE',
    '401': 'ended: ACK, told end remote AUTH_FAILED 401',
    '422': 'calling: ACK, INVITE',
    '486': 'ended: ACK, told end remote REJECTED 486',
    '487': 'ended: ACK, told end remote REJECTED 487',
    '503': 'ended: ACK, told end remote REJECTED 503',
    '183 reliable': 'proceeding: PRACK, told 183',
    '200 of another fork': 'established: ACK, told answered',
    '200 of a name': 'established: ',
    BYE: 'calling: 481 BYE',
    'INVITE with offer': 'calling: 481 INVITE',
    'INVITE without offer': 'calling: 481 INVITE',
    'UPDATE with offer': 'calling: 481 UPDATE',
    'UPDATE without offer': 'calling: 481 UPDATE',
    INFO: 'calling: 481 INFO',
    PRACK: 'calling: 481 PRACK',
    terminate: 'terminating: ',
    sendInfo: 'calling: sendInfo: CLOSED',
    reoffer: 'calling: reoffer: CLOSED',
    refer: 'calling: refer: CLOSED',
    '64·T1 pass': 'ended: INVITE ×6, told end network TIMEOUT 408',
    'three minutes pass': 'ended: INVITE ×6, told end network TIMEOUT 408',
    'the wire is cut': 'ended: told end network TRANSPORT 503',
    'the user agent closes': 'ended: told end local cancelled',
  },
  'proceeding: it rings': {
    '100': 'proceeding: told 100',
    '180': 'proceeding: told 180',
    '200': 'established: ACK, told answered',
    '302': 'calling: ACK, INVITE',
    '401': 'ended: ACK, told end remote AUTH_FAILED 401',
    '422': 'calling: ACK, INVITE',
    '486': 'ended: ACK, told end remote REJECTED 486',
    '487': 'ended: ACK, told end remote REJECTED 487',
    '503': 'ended: ACK, told end remote REJECTED 503',
    '183 reliable': 'proceeding: PRACK, told 183',
    '200 of another fork': 'established: ACK, told answered',
    '200 of a name': 'established: ',
    BYE: 'terminating: 200 BYE, CANCEL',
    'INVITE with offer': 'proceeding: 491 INVITE',
    'INVITE without offer': 'proceeding: 491 INVITE',
    'UPDATE with offer': 'proceeding: 491 UPDATE',
    'UPDATE without offer': 'proceeding: 200 UPDATE',
    INFO: 'proceeding: 200 INFO',
    PRACK: 'proceeding: 481 PRACK',
    terminate: 'terminating: CANCEL',
    sendInfo: 'proceeding: sendInfo: CLOSED',
    reoffer: 'proceeding: reoffer: CLOSED',
    refer: 'proceeding: refer: CLOSED',
    'three minutes pass': 'terminating: CANCEL',
    'the user agent closes': 'ended: CANCEL, told end local cancelled',
  },
  'established: its ACK waits for a name': {
    '200 of another fork': 'established: ACK, BYE',
    BYE: 'ended: 200 BYE, told end remote over 200',
    'INVITE with offer': 'established: 491 INVITE',
    'INVITE without offer': 'established: 491 INVITE',
    'UPDATE with offer': 'established: 491 UPDATE',
    'UPDATE without offer': 'established: 200 UPDATE',
    INFO: 'established: 200 INFO',
    PRACK: 'established: 481 PRACK',
    terminate: 'terminating: ',
    'the name is found': 'established: ACK, told answered',
    'the name is not found': 'established: ACK, told answered',
    '64·T1 pass': 'established: ACK, told answered',
    'three minutes pass': 'established: ACK, told answered',
    'the user agent closes': 'ended: told end local cancelled',
  },
  established: {
    '200': 'established: ACK',
    '200 of another fork': 'established: ACK, BYE',
    '200 of a name': 'established: ACK',
    BYE: 'ended: 200 BYE, told end remote over 200',
    'INVITE with offer': 'established: 200 INVITE, told offer',
    'INVITE without offer': 'established: 200 INVITE',
    'UPDATE with offer': 'established: 200 UPDATE, told offer',
    'UPDATE without offer': 'established: 200 UPDATE',
    INFO: 'established: 200 INFO',
    PRACK: 'established: 481 PRACK',
    terminate: 'terminating: BYE',
    sendInfo: 'established: INFO',
    reoffer: 'established: INVITE',
    refer: 'established: REFER',
    'the user agent closes': 'ended: BYE, told end local over 200',
  },
  'terminating: no word yet, so no CANCEL': {
    '100': 'terminating: CANCEL',
    '180': 'terminating: CANCEL',
    '200': 'terminating: ACK, BYE',
    '302': 'ended: ACK, told end local cancelled 302',
    '401': 'ended: ACK, told end local cancelled 401',
    '422': 'ended: ACK, told end local cancelled 422',
    '486': 'ended: ACK, told end local cancelled 486',
    '487': 'ended: ACK, told end local cancelled 487',
    '503': 'ended: ACK, told end local cancelled 503',
    '183 reliable': 'terminating: PRACK, CANCEL',
    '200 of another fork': 'terminating: ACK, BYE',
    BYE: 'terminating: 481 BYE',
    'INVITE with offer': 'terminating: 481 INVITE',
    'INVITE without offer': 'terminating: 481 INVITE',
    'UPDATE with offer': 'terminating: 481 UPDATE',
    'UPDATE without offer': 'terminating: 481 UPDATE',
    INFO: 'terminating: 481 INFO',
    PRACK: 'terminating: 481 PRACK',
    sendInfo: 'terminating: sendInfo: CLOSED',
    reoffer: 'terminating: reoffer: CLOSED',
    refer: 'terminating: refer: CLOSED',
    '64·T1 pass': 'ended: INVITE ×6, told end local cancelled',
    'three minutes pass': 'ended: INVITE ×6, told end local cancelled',
    'the wire is cut': 'ended: told end local cancelled',
    'the user agent closes': 'ended: told end local cancelled',
  },
  'terminating: cancelled': {
    '200': 'terminating: ACK, BYE',
    '302': 'ended: ACK, told end local cancelled 302',
    '401': 'ended: ACK, told end local cancelled 401',
    '422': 'ended: ACK, told end local cancelled 422',
    '486': 'ended: ACK, told end local cancelled 486',
    '487': 'ended: ACK, told end local cancelled 487',
    '503': 'ended: ACK, told end local cancelled 503',
    '183 reliable': 'terminating: PRACK',
    '200 of another fork': 'terminating: ACK, BYE',
    BYE: 'terminating: 200 BYE',
    'INVITE with offer': 'terminating: 491 INVITE',
    'INVITE without offer': 'terminating: 491 INVITE',
    'UPDATE with offer': 'terminating: 491 UPDATE',
    'UPDATE without offer': 'terminating: 200 UPDATE',
    INFO: 'terminating: 200 INFO',
    PRACK: 'terminating: 481 PRACK',
    sendInfo: 'terminating: sendInfo: CLOSED',
    reoffer: 'terminating: reoffer: CLOSED',
    refer: 'terminating: refer: CLOSED',
    '64·T1 pass': 'ended: CANCEL ×10, told end local cancelled',
    'three minutes pass': 'ended: CANCEL ×10, told end local cancelled',
    'the wire is cut': 'ended: told end local cancelled',
    'the user agent closes': 'ended: told end local cancelled',
  },
  'terminating: BYE sent': {
    '200': 'terminating: ACK',
    '200 of another fork': 'terminating: ACK, BYE',
    '200 of a name': 'terminating: ACK',
    BYE: 'ended: 200 BYE, told end local over 200',
    'INVITE with offer': 'terminating: 481 INVITE',
    'INVITE without offer': 'terminating: 481 INVITE',
    'UPDATE with offer': 'terminating: 481 UPDATE',
    'UPDATE without offer': 'terminating: 481 UPDATE',
    INFO: 'terminating: 200 INFO',
    PRACK: 'terminating: 481 PRACK',
    sendInfo: 'terminating: sendInfo: CLOSED',
    reoffer: 'terminating: reoffer: CLOSED',
    refer: 'terminating: refer: CLOSED',
    '64·T1 pass': 'ended: BYE ×10, told end local over 200',
    'three minutes pass': 'ended: BYE ×10, told end local over 200',
    'the wire is cut': 'ended: told end local over 200',
    'the user agent closes': 'ended: told end local over 200',
  },
  'ended: refused': {
    '302': 'ended: ACK',
    '401': 'ended: ACK',
    '422': 'ended: ACK',
    '486': 'ended: ACK',
    '487': 'ended: ACK',
    '503': 'ended: ACK',
    BYE: 'ended: 481 BYE',
    'INVITE with offer': 'ended: 481 INVITE',
    'INVITE without offer': 'ended: 481 INVITE',
    'UPDATE with offer': 'ended: 481 UPDATE',
    'UPDATE without offer': 'ended: 481 UPDATE',
    INFO: 'ended: 481 INFO',
    PRACK: 'ended: 481 PRACK',
    sendInfo: 'ended: sendInfo: CLOSED',
    reoffer: 'ended: reoffer: CLOSED',
    refer: 'ended: refer: CLOSED',
  },
  'ended: hung up by the peer': {
    '200': 'ended: ACK',
    '200 of another fork': 'ended: ACK, BYE',
    '200 of a name': 'ended: ACK',
    BYE: 'ended: 481 BYE',
    'INVITE with offer': 'ended: 481 INVITE',
    'INVITE without offer': 'ended: 481 INVITE',
    'UPDATE with offer': 'ended: 481 UPDATE',
    'UPDATE without offer': 'ended: 481 UPDATE',
    INFO: 'ended: 481 INFO',
    PRACK: 'ended: 481 PRACK',
    sendInfo: 'ended: sendInfo: CLOSED',
    reoffer: 'ended: reoffer: CLOSED',
    refer: 'ended: refer: CLOSED',
  },
};

testTable(begin, EVENTS, STATES, TABLE);
