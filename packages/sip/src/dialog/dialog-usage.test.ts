// Every state × event of a dialog in use: our changes and the peer's, refreshes, transfers in both directions.

import type { InviteSession } from '../call/call-session.ts';
import type { SessionEnding } from './session-handler.ts';
import {
  type Events,
  type Stage,
  type States,
  type StateTable,
  testTable,
} from '../test-states.ts';
import { PEER, settle, TestWire } from '../test-wire.ts';
import type { ReferRequest } from './transfers.ts';

const CONTACT = ['contact', `<sip:bob@${PEER.address}>`] as const;
const ALLOW = ['allow', 'INVITE, ACK, BYE, UPDATE'] as const;

interface DialogStage extends Stage {
  readonly wire: TestWire;
  readonly session: InviteSession;
  readonly told: string[];
  readonly refers: ReferRequest[];
  sequence: number;
}

/** An established call that we placed. The peer refreshes it every 30 minutes. */
async function begin(): Promise<DialogStage> {
  const wire = await new TestWire().open();
  const told: string[] = [];
  const refers: ReferRequest[] = [];
  const session = wire.userAgent.invite(
    {
      callId: 'call@us',
      target: `sip:bob@${PEER.address}`,
      from: { uri: 'sip:alice@example.com' },
      transport: 'udp',
      offer: 'v=0 offer\r\n',
    },
    {
      onProvisional: () => {},
      onAnswered: () => {},
      onReoffer: (sdp) => {
        if (sdp.includes('strange'))
          return { statusCode: 488, reasonPhrase: 'Not Acceptable Here' };
        told.push('told offer');
        return { answer: 'v=0 answer\r\n' };
      },
      onReanswer: () => told.push('told answer'),
      onRefer: (refer) => {
        refers.push(refer);
        return !refer.target.includes('nobody');
      },
      onEnded: (ending) => told.push(`told ${describeEnding(ending)}`),
    },
  );
  await settle();
  const expires = ['session-expires', '1800;refresher=uas'] as const;
  wire.answer(wire.request('INVITE'), 200, [CONTACT, ALLOW, expires], 'v=0 answer\r\n');
  await settle();
  return {
    wire,
    session,
    told,
    refers,
    sequence: 100,
    state: () => session.state,
    happened: () => [...wire.take(), ...told.splice(0)],
    close: () => wire.close(),
    get timers() {
      return wire.clock.running;
    },
  };
}

function describeEnding({ endedBy, statusCode, error }: SessionEnding): string {
  return `end ${endedBy} ${error?.code ?? 'over'} ${statusCode ?? ''}`.trim();
}

/** The peer sends a request in the dialog. */
function ask(on: DialogStage, method: string, body = '', headers: [string, string][] = []): void {
  const invite = on.wire.request('ACK');
  // The ACK belongs to the peer's latest INVITE.
  if (method !== 'ACK') on.sequence += 1;
  on.wire.ask(method, {
    callId: 'call@us',
    from: invite.headers.get('to') ?? '',
    to: invite.headers.get('from') ?? '',
    sequence: on.sequence,
    body,
    headers: [CONTACT, ...headers],
  });
}

/** The peer answers our latest request in the dialog. */
function answer(
  on: DialogStage,
  statusCode: number,
  headers: (readonly [string, string])[] = [],
  body = '',
): void {
  const newest = on.wire.history.findLast(
    (one) => one.kind === 'request' && one.method !== 'ACK' && one.method !== 'CANCEL',
  );
  if (newest?.kind === 'request') on.wire.answer(newest, statusCode, headers, body);
}

function notify(on: DialogStage, status: string, state: string): void {
  ask(on, 'NOTIFY', status, [
    ['event', 'refer'],
    ['subscription-state', state],
    ['content-type', 'message/sipfrag'],
  ]);
}

function isAnswer(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'sdp' in value;
}

function outcome(told: string[], name: string, promise: Promise<unknown>): void {
  promise.then(
    (value) => told.push(`${name}: ${isAnswer(value) ? 'agreed' : 'transferred'}`),
    (error: { code?: string; statusCode?: number }) =>
      told.push(`${name}: ${error.code} ${error.statusCode ?? ''}`.trim()),
  );
}

const EVENTS = {
  '100 of ours': (on) => answer(on, 100),
  '200 of ours with an answer': (on) => answer(on, 200, [CONTACT], 'v=0 theirs\r\n'),
  '200 of ours without': (on) => answer(on, 200, [CONTACT]),
  '202 of ours': (on) => answer(on, 202),
  '401 of ours': (on) => answer(on, 401, [['www-authenticate', 'Digest realm="r", nonce="n"']]),
  '405 of ours': (on) => answer(on, 405),
  '408 of ours': (on) => answer(on, 408),
  '422 of ours': (on) => answer(on, 422, [['min-se', '3600']]),
  '481 of ours': (on) => answer(on, 481),
  '488 of ours': (on) => answer(on, 488),
  '491 of ours': (on) => answer(on, 491),
  '500 of ours, later': (on) => answer(on, 500, [['retry-after', '5']]),
  '603 of ours': (on) => answer(on, 603),
  'INVITE with offer': (on) => ask(on, 'INVITE', 'v=0 theirs\r\n'),
  'INVITE with a strange offer': (on) => ask(on, 'INVITE', 'v=0 strange\r\n'),
  'INVITE without offer': (on) => ask(on, 'INVITE'),
  'INVITE with too short a session': (on) =>
    ask(on, 'INVITE', 'v=0 theirs\r\n', [['session-expires', '60']]),
  'UPDATE with offer': (on) => ask(on, 'UPDATE', 'v=0 theirs\r\n'),
  'UPDATE without offer': (on) =>
    ask(on, 'UPDATE', '', [
      ['supported', 'timer'],
      ['session-expires', '1800;refresher=uac'],
    ]),
  ACK: (on) => ask(on, 'ACK'),
  'ACK with answer': (on) => ask(on, 'ACK', 'v=0 theirs\r\n'),
  REFER: (on) => ask(on, 'REFER', '', [['refer-to', '<sip:carol@192.0.2.10>']]),
  'REFER that is declined': (on) => ask(on, 'REFER', '', [['refer-to', '<sip:nobody@192.0.2.1>']]),
  'REFER to nothing': (on) => ask(on, 'REFER'),
  'NOTIFY 180': (on) => notify(on, 'SIP/2.0 180 Ringing\r\n', 'active'),
  'NOTIFY 200': (on) => notify(on, 'SIP/2.0 200 OK\r\n', 'terminated;reason=noresource'),
  'NOTIFY of its end': (on) => notify(on, '', 'terminated;reason=giveup'),
  OPTIONS: (on) => ask(on, 'OPTIONS'),
  MESSAGE: (on) => ask(on, 'MESSAGE'),
  'a CSeq, and the one before it': (on) => {
    on.sequence += 1;
    ask(on, 'INFO');
    on.sequence -= 2;
    ask(on, 'INFO');
    on.sequence += 1;
  },
  BYE: (on) => ask(on, 'BYE'),
  reoffer: (on) => outcome(on.told, 'reoffer', on.session.reoffer('v=0 ours\r\n')),
  'reoffer by UPDATE': (on) =>
    outcome(on.told, 'reoffer', on.session.reoffer('v=0 ours\r\n', 'UPDATE')),
  refer: (on) => outcome(on.told, 'refer', on.session.refer('sip:carol@192.0.2.10')),
  'report 180': ({ refers }) => refers.at(-1)?.report(180, 'Ringing'),
  'report 200': ({ refers }) => refers.at(-1)?.report(200, 'OK'),
  terminate: (on) => void on.session.terminate(),
  'a moment passes': ({ wire }) => wire.pass(1),
  'two seconds pass': ({ wire }) => wire.pass(2000),
  'ten seconds pass': ({ wire }) => wire.pass(10_000),
  'three minutes pass': ({ wire }) => wire.pass(180_000),
  'half an hour passes': ({ wire }) => wire.pass(1_800_000),
  'the user agent closes': ({ wire }) => wire.close(),
} satisfies Events<DialogStage>;

const STATES = {
  'nothing is open': ['established', []],
  'our re-INVITE is open': ['established', ['reoffer']],
  'our UPDATE is open': ['established', ['reoffer by UPDATE']],
  'ours waits after a 491': ['established', ['reoffer', '491 of ours']],
  'theirs waits for its ACK': ['established', ['INVITE with offer']],
  'theirs waits for the answer in its ACK': ['established', ['INVITE without offer']],
  'ours waits for the ACK of theirs': ['established', ['INVITE with offer', 'reoffer']],
  'our REFER is open': ['established', ['refer']],
  'the peer transfers': ['established', ['refer', '202 of ours']],
  'we transfer, and say so': ['established', ['REFER', 'a moment passes']],
  'we transfer': ['established', ['REFER', 'a moment passes', '200 of ours without']],
  'our BYE is open': ['terminating', ['terminate']],
} satisfies States<typeof EVENTS>;

/** The behavior that RFC 3261, 3311, 3515 and 4028 require. A missing pair changes nothing and sends nothing. */
const TABLE: StateTable<typeof STATES, typeof EVENTS> = {
  'nothing is open': {
    '200 of ours with an answer': 'established: ACK',
    '200 of ours without': 'established: ACK',
    '202 of ours': 'established: ACK',
    'INVITE with offer': 'established: 200 INVITE, told offer',
    'INVITE with a strange offer': 'established: 488 INVITE',
    'INVITE without offer': 'established: 200 INVITE',
    'INVITE with too short a session': 'established: 422 INVITE',
    'UPDATE with offer': 'established: 200 UPDATE, told offer',
    'UPDATE without offer': 'established: 200 UPDATE',
    REFER: 'established: 202 REFER',
    'REFER that is declined': 'established: 603 REFER',
    'REFER to nothing': 'established: 400 REFER',
    'NOTIFY 180': 'established: 481 NOTIFY',
    'NOTIFY 200': 'established: 481 NOTIFY',
    'NOTIFY of its end': 'established: 481 NOTIFY',
    OPTIONS: 'established: 200 OPTIONS',
    MESSAGE: 'established: 405 MESSAGE',
    'a CSeq, and the one before it': 'established: 200 INFO, 500 INFO',
    BYE: 'ended: 200 BYE, told end remote over 200',
    reoffer: 'established: INVITE',
    'reoffer by UPDATE': 'established: UPDATE',
    refer: 'established: REFER',
    terminate: 'terminating: BYE',
    'half an hour passes': 'ended: BYE ×11, told end local SESSION_EXPIRED',
    'the user agent closes': 'ended: BYE, told end local over 200',
  },
  'our re-INVITE is open': {
    '200 of ours with an answer': 'established: ACK, reoffer: agreed',
    '200 of ours without': 'established: ACK, reoffer: BAD_SDP',
    '202 of ours': 'established: ACK, reoffer: BAD_SDP',
    '401 of ours': 'established: ACK, reoffer: AUTH_FAILED 401',
    '405 of ours': 'established: ACK, reoffer: REJECTED 405',
    '408 of ours': 'terminating: ACK, BYE, reoffer: REJECTED 408',
    '422 of ours': 'established: ACK, INVITE',
    '481 of ours': 'terminating: ACK, BYE, reoffer: REJECTED 481',
    '488 of ours': 'established: ACK, reoffer: REJECTED 488',
    '491 of ours': 'established: ACK',
    '500 of ours, later': 'established: ACK',
    '603 of ours': 'established: ACK, reoffer: REJECTED 603',
    'INVITE with offer': 'established: 491 INVITE',
    'INVITE with a strange offer': 'established: 491 INVITE',
    'INVITE without offer': 'established: 491 INVITE',
    'INVITE with too short a session': 'established: 491 INVITE',
    'UPDATE with offer': 'established: 491 UPDATE',
    'UPDATE without offer': 'established: 200 UPDATE',
    REFER: 'established: 202 REFER',
    'REFER that is declined': 'established: 603 REFER',
    'REFER to nothing': 'established: 400 REFER',
    'NOTIFY 180': 'established: 481 NOTIFY',
    'NOTIFY 200': 'established: 481 NOTIFY',
    'NOTIFY of its end': 'established: 481 NOTIFY',
    OPTIONS: 'established: 200 OPTIONS',
    MESSAGE: 'established: 405 MESSAGE',
    'a CSeq, and the one before it': 'established: 200 INFO, 500 INFO',
    BYE: 'ended: 200 BYE, told end remote over 200',
    refer: 'established: REFER',
    terminate: 'terminating: BYE',
    'two seconds pass': 'established: INVITE ×2',
    'ten seconds pass': 'established: INVITE ×4',
    'three minutes pass':
      'ended: INVITE ×6, BYE ×11, reoffer: TIMEOUT 408, told end network TIMEOUT 408',
    'half an hour passes':
      'ended: INVITE ×6, BYE ×11, reoffer: TIMEOUT 408, told end network TIMEOUT 408',
    'the user agent closes': 'ended: BYE, told end local over 200, reoffer: CLOSED',
  },
  'our UPDATE is open': {
    '200 of ours with an answer': 'established: reoffer: agreed',
    '200 of ours without': 'established: reoffer: BAD_SDP',
    '202 of ours': 'established: reoffer: BAD_SDP',
    '401 of ours': 'established: reoffer: AUTH_FAILED 401',
    '405 of ours': 'established: reoffer: REJECTED 405',
    '408 of ours': 'terminating: BYE, reoffer: REJECTED 408',
    '422 of ours': 'established: UPDATE',
    '481 of ours': 'terminating: BYE, reoffer: REJECTED 481',
    '488 of ours': 'established: reoffer: REJECTED 488',
    '603 of ours': 'established: reoffer: REJECTED 603',
    'INVITE with offer': 'established: 491 INVITE',
    'INVITE with a strange offer': 'established: 491 INVITE',
    'INVITE without offer': 'established: 491 INVITE',
    'INVITE with too short a session': 'established: 491 INVITE',
    'UPDATE with offer': 'established: 491 UPDATE',
    'UPDATE without offer': 'established: 200 UPDATE',
    REFER: 'established: 202 REFER',
    'REFER that is declined': 'established: 603 REFER',
    'REFER to nothing': 'established: 400 REFER',
    'NOTIFY 180': 'established: 481 NOTIFY',
    'NOTIFY 200': 'established: 481 NOTIFY',
    'NOTIFY of its end': 'established: 481 NOTIFY',
    OPTIONS: 'established: 200 OPTIONS',
    MESSAGE: 'established: 405 MESSAGE',
    'a CSeq, and the one before it': 'established: 200 INFO, 500 INFO',
    BYE: 'ended: 200 BYE, told end remote over 200',
    refer: 'established: REFER',
    terminate: 'terminating: BYE',
    'two seconds pass': 'established: UPDATE ×2',
    'ten seconds pass': 'established: UPDATE ×4',
    'three minutes pass':
      'ended: UPDATE ×10, BYE ×11, reoffer: TIMEOUT 408, told end network TIMEOUT 408',
    'half an hour passes':
      'ended: UPDATE ×10, BYE ×11, reoffer: TIMEOUT 408, told end network TIMEOUT 408',
    'the user agent closes': 'ended: BYE, told end local over 200, reoffer: CLOSED',
  },
  'ours waits after a 491': {
    '401 of ours': 'established: ACK',
    '405 of ours': 'established: ACK',
    '408 of ours': 'established: ACK',
    '422 of ours': 'established: ACK',
    '481 of ours': 'established: ACK',
    '488 of ours': 'established: ACK',
    '491 of ours': 'established: ACK',
    '500 of ours, later': 'established: ACK',
    '603 of ours': 'established: ACK',
    'INVITE with offer': 'established: 200 INVITE, told offer',
    'INVITE with a strange offer': 'established: 488 INVITE',
    'INVITE without offer': 'established: 200 INVITE',
    'INVITE with too short a session': 'established: 422 INVITE',
    'UPDATE with offer': 'established: 200 UPDATE, told offer',
    'UPDATE without offer': 'established: 200 UPDATE',
    REFER: 'established: 202 REFER',
    'REFER that is declined': 'established: 603 REFER',
    'REFER to nothing': 'established: 400 REFER',
    'NOTIFY 180': 'established: 481 NOTIFY',
    'NOTIFY 200': 'established: 481 NOTIFY',
    'NOTIFY of its end': 'established: 481 NOTIFY',
    OPTIONS: 'established: 200 OPTIONS',
    MESSAGE: 'established: 405 MESSAGE',
    'a CSeq, and the one before it': 'established: 200 INFO, 500 INFO',
    BYE: 'ended: 200 BYE, told end remote over 200, reoffer: CLOSED',
    refer: 'established: REFER',
    terminate: 'terminating: BYE, reoffer: CLOSED',
    'ten seconds pass': 'established: INVITE ×4',
    'three minutes pass':
      'ended: INVITE ×7, BYE ×11, reoffer: TIMEOUT 408, told end network TIMEOUT 408',
    'half an hour passes':
      'ended: INVITE ×7, BYE ×11, reoffer: TIMEOUT 408, told end network TIMEOUT 408',
    'the user agent closes': 'ended: BYE, reoffer: CLOSED, told end local over 200',
  },
  'theirs waits for its ACK': {
    '200 of ours with an answer': 'established: ACK',
    '200 of ours without': 'established: ACK',
    '202 of ours': 'established: ACK',
    'INVITE with offer': 'established: 200 INVITE, told offer',
    'INVITE with a strange offer': 'established: 488 INVITE',
    'INVITE without offer': 'established: 200 INVITE',
    'INVITE with too short a session': 'established: 422 INVITE',
    'UPDATE with offer': 'established: 200 UPDATE, told offer',
    'UPDATE without offer': 'established: 200 UPDATE',
    REFER: 'established: 202 REFER',
    'REFER that is declined': 'established: 603 REFER',
    'REFER to nothing': 'established: 400 REFER',
    'NOTIFY 180': 'established: 481 NOTIFY',
    'NOTIFY 200': 'established: 481 NOTIFY',
    'NOTIFY of its end': 'established: 481 NOTIFY',
    OPTIONS: 'established: 200 OPTIONS',
    MESSAGE: 'established: 405 MESSAGE',
    'a CSeq, and the one before it': 'established: 200 INFO, 500 INFO',
    BYE: 'ended: 200 BYE, told end remote over 200',
    refer: 'established: REFER',
    terminate: 'terminating: BYE',
    'two seconds pass': 'established: 200 INVITE ×2',
    'ten seconds pass': 'established: 200 INVITE ×4',
    'three minutes pass': 'ended: 200 INVITE ×10, BYE ×11, told end network TIMEOUT 408',
    'half an hour passes': 'ended: 200 INVITE ×10, BYE ×11, told end network TIMEOUT 408',
    'the user agent closes': 'ended: BYE, told end local over 200',
  },
  'theirs waits for the answer in its ACK': {
    '200 of ours with an answer': 'established: ACK',
    '200 of ours without': 'established: ACK',
    '202 of ours': 'established: ACK',
    'INVITE with offer': 'established: 491 INVITE',
    'INVITE with a strange offer': 'established: 491 INVITE',
    'INVITE without offer': 'established: 491 INVITE',
    'INVITE with too short a session': 'established: 491 INVITE',
    'UPDATE with offer': 'established: 491 UPDATE',
    'UPDATE without offer': 'established: 200 UPDATE',
    'ACK with answer': 'established: told answer',
    REFER: 'established: 202 REFER',
    'REFER that is declined': 'established: 603 REFER',
    'REFER to nothing': 'established: 400 REFER',
    'NOTIFY 180': 'established: 481 NOTIFY',
    'NOTIFY 200': 'established: 481 NOTIFY',
    'NOTIFY of its end': 'established: 481 NOTIFY',
    OPTIONS: 'established: 200 OPTIONS',
    MESSAGE: 'established: 405 MESSAGE',
    'a CSeq, and the one before it': 'established: 200 INFO, 500 INFO',
    BYE: 'ended: 200 BYE, told end remote over 200',
    refer: 'established: REFER',
    terminate: 'terminating: BYE',
    'two seconds pass': 'established: 200 INVITE ×2',
    'ten seconds pass': 'established: 200 INVITE ×4',
    'three minutes pass': 'ended: 200 INVITE ×10, BYE ×11, told end network TIMEOUT 408',
    'half an hour passes': 'ended: 200 INVITE ×10, BYE ×11, told end network TIMEOUT 408',
    'the user agent closes': 'ended: BYE, told end local over 200',
  },
  'ours waits for the ACK of theirs': {
    '200 of ours with an answer': 'established: ACK',
    '200 of ours without': 'established: ACK',
    '202 of ours': 'established: ACK',
    'INVITE with offer': 'established: 200 INVITE, told offer',
    'INVITE with a strange offer': 'established: 488 INVITE',
    'INVITE without offer': 'established: 200 INVITE',
    'INVITE with too short a session': 'established: 422 INVITE',
    'UPDATE with offer': 'established: 200 UPDATE, told offer',
    'UPDATE without offer': 'established: 200 UPDATE',
    ACK: 'established: INVITE',
    'ACK with answer': 'established: INVITE',
    REFER: 'established: 202 REFER',
    'REFER that is declined': 'established: 603 REFER',
    'REFER to nothing': 'established: 400 REFER',
    'NOTIFY 180': 'established: 481 NOTIFY',
    'NOTIFY 200': 'established: 481 NOTIFY',
    'NOTIFY of its end': 'established: 481 NOTIFY',
    OPTIONS: 'established: 200 OPTIONS',
    MESSAGE: 'established: 405 MESSAGE',
    'a CSeq, and the one before it': 'established: 200 INFO, 500 INFO',
    BYE: 'ended: 200 BYE, told end remote over 200, reoffer: CLOSED',
    refer: 'established: REFER',
    terminate: 'terminating: BYE, reoffer: CLOSED',
    'two seconds pass': 'established: 200 INVITE ×2',
    'ten seconds pass': 'established: 200 INVITE ×4',
    'three minutes pass':
      'ended: 200 INVITE ×10, BYE ×11, reoffer: CLOSED, told end network TIMEOUT 408',
    'half an hour passes':
      'ended: 200 INVITE ×10, BYE ×11, reoffer: CLOSED, told end network TIMEOUT 408',
    'the user agent closes': 'ended: BYE, reoffer: CLOSED, told end local over 200',
  },
  'our REFER is open': {
    '401 of ours': 'established: refer: AUTH_FAILED 401',
    '405 of ours': 'established: refer: REJECTED 405',
    '408 of ours': 'established: refer: REJECTED 408',
    '422 of ours': 'established: refer: REJECTED 422',
    '481 of ours': 'terminating: BYE, refer: REJECTED 481',
    '488 of ours': 'established: refer: REJECTED 488',
    '491 of ours': 'established: refer: REJECTED 491',
    '500 of ours, later': 'established: refer: REJECTED 500',
    '603 of ours': 'established: refer: REJECTED 603',
    'INVITE with offer': 'established: 200 INVITE, told offer',
    'INVITE with a strange offer': 'established: 488 INVITE',
    'INVITE without offer': 'established: 200 INVITE',
    'INVITE with too short a session': 'established: 422 INVITE',
    'UPDATE with offer': 'established: 200 UPDATE, told offer',
    'UPDATE without offer': 'established: 200 UPDATE',
    REFER: 'established: 202 REFER',
    'REFER that is declined': 'established: 603 REFER',
    'REFER to nothing': 'established: 400 REFER',
    'NOTIFY 180': 'established: 200 NOTIFY',
    'NOTIFY 200': 'established: 200 NOTIFY, refer: transferred',
    'NOTIFY of its end': 'established: 200 NOTIFY, refer: REJECTED',
    OPTIONS: 'established: 200 OPTIONS',
    MESSAGE: 'established: 405 MESSAGE',
    'a CSeq, and the one before it': 'established: 200 INFO, 500 INFO',
    BYE: 'ended: 200 BYE, told end remote over 200, refer: CLOSED',
    reoffer: 'established: INVITE',
    'reoffer by UPDATE': 'established: UPDATE',
    refer: 'established: refer: CLOSED',
    terminate: 'terminating: BYE, refer: CLOSED',
    'two seconds pass': 'established: REFER ×2',
    'ten seconds pass': 'established: REFER ×4',
    'three minutes pass': 'established: REFER ×10, refer: TIMEOUT 408',
    'half an hour passes':
      'ended: REFER ×10, BYE ×11, refer: TIMEOUT 408, told end local SESSION_EXPIRED',
    'the user agent closes': 'ended: BYE, refer: CLOSED, told end local over 200',
  },
  'the peer transfers': {
    'INVITE with offer': 'established: 200 INVITE, told offer',
    'INVITE with a strange offer': 'established: 488 INVITE',
    'INVITE without offer': 'established: 200 INVITE',
    'INVITE with too short a session': 'established: 422 INVITE',
    'UPDATE with offer': 'established: 200 UPDATE, told offer',
    'UPDATE without offer': 'established: 200 UPDATE',
    REFER: 'established: 202 REFER',
    'REFER that is declined': 'established: 603 REFER',
    'REFER to nothing': 'established: 400 REFER',
    'NOTIFY 180': 'established: 200 NOTIFY',
    'NOTIFY 200': 'established: 200 NOTIFY, refer: transferred',
    'NOTIFY of its end': 'established: 200 NOTIFY, refer: REJECTED',
    OPTIONS: 'established: 200 OPTIONS',
    MESSAGE: 'established: 405 MESSAGE',
    'a CSeq, and the one before it': 'established: 200 INFO, 500 INFO',
    BYE: 'ended: 200 BYE, told end remote over 200, refer: CLOSED',
    reoffer: 'established: INVITE',
    'reoffer by UPDATE': 'established: UPDATE',
    refer: 'established: refer: CLOSED',
    terminate: 'terminating: BYE, refer: CLOSED',
    'three minutes pass': 'established: refer: TIMEOUT',
    'half an hour passes': 'ended: BYE ×11, refer: TIMEOUT, told end local SESSION_EXPIRED',
    'the user agent closes': 'ended: BYE, refer: CLOSED, told end local over 200',
  },
  'we transfer, and say so': {
    'INVITE with offer': 'established: 200 INVITE, told offer',
    'INVITE with a strange offer': 'established: 488 INVITE',
    'INVITE without offer': 'established: 200 INVITE',
    'INVITE with too short a session': 'established: 422 INVITE',
    'UPDATE with offer': 'established: 200 UPDATE, told offer',
    'UPDATE without offer': 'established: 200 UPDATE',
    REFER: 'established: 491 REFER',
    'REFER that is declined': 'established: 491 REFER',
    'REFER to nothing': 'established: 400 REFER',
    'NOTIFY 180': 'established: 481 NOTIFY',
    'NOTIFY 200': 'established: 481 NOTIFY',
    'NOTIFY of its end': 'established: 481 NOTIFY',
    OPTIONS: 'established: 200 OPTIONS',
    MESSAGE: 'established: 405 MESSAGE',
    'a CSeq, and the one before it': 'established: 200 INFO, 500 INFO',
    BYE: 'ended: 200 BYE, told end remote over 200',
    reoffer: 'established: INVITE',
    'reoffer by UPDATE': 'established: UPDATE',
    refer: 'established: REFER',
    terminate: 'terminating: BYE',
    'two seconds pass': 'established: NOTIFY ×2',
    'ten seconds pass': 'established: NOTIFY ×4',
    'three minutes pass': 'established: NOTIFY ×10',
    'half an hour passes': 'ended: NOTIFY ×10, BYE ×11, told end local SESSION_EXPIRED',
    'the user agent closes': 'ended: BYE, told end local over 200',
  },
  'we transfer': {
    'INVITE with offer': 'established: 200 INVITE, told offer',
    'INVITE with a strange offer': 'established: 488 INVITE',
    'INVITE without offer': 'established: 200 INVITE',
    'INVITE with too short a session': 'established: 422 INVITE',
    'UPDATE with offer': 'established: 200 UPDATE, told offer',
    'UPDATE without offer': 'established: 200 UPDATE',
    REFER: 'established: 491 REFER',
    'REFER that is declined': 'established: 491 REFER',
    'REFER to nothing': 'established: 400 REFER',
    'NOTIFY 180': 'established: 481 NOTIFY',
    'NOTIFY 200': 'established: 481 NOTIFY',
    'NOTIFY of its end': 'established: 481 NOTIFY',
    OPTIONS: 'established: 200 OPTIONS',
    MESSAGE: 'established: 405 MESSAGE',
    'a CSeq, and the one before it': 'established: 200 INFO, 500 INFO',
    BYE: 'ended: 200 BYE, told end remote over 200',
    reoffer: 'established: INVITE',
    'reoffer by UPDATE': 'established: UPDATE',
    refer: 'established: REFER',
    'report 180': 'established: NOTIFY',
    'report 200': 'established: NOTIFY',
    terminate: 'terminating: BYE',
    'half an hour passes': 'ended: BYE ×11, told end local SESSION_EXPIRED',
    'the user agent closes': 'ended: BYE, told end local over 200',
  },
  'our BYE is open': {
    '200 of ours with an answer': 'ended: told end local over 200',
    '200 of ours without': 'ended: told end local over 200',
    '202 of ours': 'ended: told end local over 200',
    '401 of ours': 'ended: told end local over 200',
    '405 of ours': 'ended: told end local over 200',
    '408 of ours': 'ended: told end local over 200',
    '422 of ours': 'ended: told end local over 200',
    '481 of ours': 'ended: told end local over 200',
    '488 of ours': 'ended: told end local over 200',
    '491 of ours': 'ended: told end local over 200',
    '500 of ours, later': 'ended: told end local over 200',
    '603 of ours': 'ended: told end local over 200',
    'INVITE with offer': 'terminating: 481 INVITE',
    'INVITE with a strange offer': 'terminating: 481 INVITE',
    'INVITE without offer': 'terminating: 481 INVITE',
    'INVITE with too short a session': 'terminating: 481 INVITE',
    'UPDATE with offer': 'terminating: 481 UPDATE',
    'UPDATE without offer': 'terminating: 481 UPDATE',
    REFER: 'terminating: 481 REFER',
    'REFER that is declined': 'terminating: 481 REFER',
    'REFER to nothing': 'terminating: 481 REFER',
    'NOTIFY 180': 'terminating: 481 NOTIFY',
    'NOTIFY 200': 'terminating: 481 NOTIFY',
    'NOTIFY of its end': 'terminating: 481 NOTIFY',
    OPTIONS: 'terminating: 200 OPTIONS',
    MESSAGE: 'terminating: 405 MESSAGE',
    'a CSeq, and the one before it': 'terminating: 200 INFO, 500 INFO',
    BYE: 'ended: 200 BYE, told end local over 200',
    reoffer: 'terminating: reoffer: CLOSED',
    'reoffer by UPDATE': 'terminating: reoffer: CLOSED',
    refer: 'terminating: refer: CLOSED',
    'two seconds pass': 'terminating: BYE ×2',
    'ten seconds pass': 'terminating: BYE ×4',
    'three minutes pass': 'ended: BYE ×10, told end local over 200',
    'half an hour passes': 'ended: BYE ×10, told end local over 200',
    'the user agent closes': 'ended: told end local over 200',
  },
};

testTable(begin, EVENTS, STATES, TABLE);
