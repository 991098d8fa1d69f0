// Every state × event of an incoming call: the next state, what is sent, and what is reported.

import { describe, expect, it } from 'vitest';
import type { IncomingSession } from './call-session.ts';
import type { SessionEnding } from '../dialog/session-handler.ts';
import {
  type Events,
  type Stage,
  type States,
  type StateTable,
  testTable,
} from '../test-states.ts';
import { PEER, settle, TestWire } from '../test-wire.ts';

const CONTACT = ['contact', `<sip:bob@${PEER.address}>`] as const;
const CALLER = '<sip:bob@example.com>;tag=peer';
const BRANCH = 'z9hG4bK-invite';

interface CallStage extends Stage {
  readonly wire: TestWire;
  readonly session: IncomingSession;
  readonly told: string[];
  sequence: number;
}

async function begin(state: string): Promise<CallStage> {
  const wire = await new TestWire().open();
  const told: string[] = [];
  const taken: IncomingSession[] = [];
  wire.onInvite = (invite) => {
    const session = invite.take({
      onProvisional: () => {},
      onAnswered: (_, answer) => told.push(`told answered${answer === undefined ? '' : ' by ACK'}`),
      onReoffer: () => {
        told.push('told offer');
        return { answer: 'v=0 answer\r\n' };
      },
      onReanswer: () => told.push('told answer'),
      onEnded: (ending) => told.push(`told ${describeEnding(ending)}`),
    });
    taken.push(session);
    return 'taken';
  };
  const reliable = state.includes('reliably') ? [['supported', '100rel'] as const] : [];
  inviteAgain(wire, BRANCH, reliable);
  await settle();
  const [session] = taken;
  if (session === undefined) throw new Error('The INVITE was not taken');
  return {
    wire,
    session,
    told,
    sequence: 10,
    state: () => session.state,
    happened: () => [...wire.take(), ...told.splice(0)],
    close: () => wire.close(),
    get timers() {
      return wire.clock.running;
    },
  };
}

function describeEnding({ endedBy, answered, statusCode, error }: SessionEnding): string {
  const how = error?.code ?? (answered ? 'over' : 'unanswered');
  return `end ${endedBy} ${how}${statusCode === undefined ? '' : ` ${statusCode}`}`;
}

function inviteAgain(
  wire: TestWire,
  branch: string,
  headers: readonly (readonly [string, string])[] = [],
): void {
  wire.ask('INVITE', {
    callId: 'call@peer',
    from: CALLER,
    to: '<sip:us@192.0.2.1>',
    sequence: 1,
    branch,
    headers: [CONTACT, ...headers],
    body: 'v=0 offer\r\n',
  });
}

/** The caller sends a request. `sequence`: that of the INVITE if the request belongs to it. */
function inDialog(
  on: CallStage,
  method: string,
  { body = '', headers = [] as [string, string][], sequence = 0 } = {},
): void {
  if (sequence === 0) on.sequence += 1;
  on.wire.ask(method, {
    callId: 'call@peer',
    from: CALLER,
    to: on.wire.response('100 INVITE').headers.get('to') ?? '',
    sequence: sequence === 0 ? on.sequence : sequence,
    headers: [...headers, CONTACT],
    body,
  });
}

/** A PRACK for our latest reliable provisional response. */
function prack(on: CallStage, body = ''): void {
  const rseq = on.wire.history.findLast((one) => one.headers.has('rseq'))?.headers.get('rseq');
  inDialog(on, 'PRACK', { headers: [['rack', `${rseq ?? '1'} 1 INVITE`]], body });
  on.wire.clock.pass(0);
}

function outcome(told: string[], name: string, promise: Promise<unknown>): void {
  promise.then(
    () => told.push(`${name}: done`),
    (error: { code?: string }) => told.push(`${name}: ${error.code}`),
  );
}

const EVENTS = {
  'INVITE again': ({ wire }) => inviteAgain(wire, BRANCH),
  'INVITE on another way': ({ wire }) => inviteAgain(wire, 'z9hG4bK-other'),
  ACK: (on) => inDialog(on, 'ACK', { sequence: 1 }),
  'ACK of nothing': (on) => inDialog(on, 'ACK', { sequence: 9 }),
  CANCEL: ({ wire }) =>
    wire.ask('CANCEL', {
      callId: 'call@peer',
      from: CALLER,
      to: '<sip:us@192.0.2.1>',
      sequence: 1,
      branch: BRANCH,
    }),
  BYE: (on) => inDialog(on, 'BYE'),
  PRACK: (on) => prack(on),
  'PRACK of nothing': (on) => inDialog(on, 'PRACK', { headers: [['rack', '1 1 INVITE']] }),
  'INVITE with offer': (on) => inDialog(on, 'INVITE', { body: 'v=0 theirs\r\n' }),
  'INVITE without offer': (on) => inDialog(on, 'INVITE'),
  'UPDATE with offer': (on) => inDialog(on, 'UPDATE', { body: 'v=0 theirs\r\n' }),
  'UPDATE without offer': (on) => inDialog(on, 'UPDATE'),
  INFO: (on) => inDialog(on, 'INFO'),
  ring: (on) => on.session.ring(),
  'ring with early media': (on) => on.session.ring('v=0 early\r\n'),
  answer: (on) => on.session.answer('v=0 answer\r\n'),
  reject: (on) => on.session.reject(486, 'Busy Here'),
  terminate: (on) => void on.session.terminate(),
  sendInfo: (on) => outcome(on.told, 'sendInfo', on.session.sendInfo('text/plain', 'x')),
  reoffer: (on) => outcome(on.told, 'reoffer', on.session.reoffer('v=0 ours\r\n')),
  refer: (on) => outcome(on.told, 'refer', on.session.refer('sip:carol@192.0.2.10')),
  'T1 passes': ({ wire }) => wire.pass(500),
  '64·T1 pass': ({ wire }) => wire.pass(32_000),
  'three minutes pass': ({ wire }) => wire.pass(180_000),
  'the wire is cut': ({ wire }) => {
    wire.cut = true;
    return wire.pass(500);
  },
  'the user agent closes': ({ wire }) => wire.close(),
} satisfies Events<CallStage>;

const STATES = {
  'proceeding: 100 was sent': ['proceeding', []],
  'proceeding: rings': ['proceeding', ['ring']],
  'proceeding: rings reliably': ['proceeding', ['ring with early media']],
  'proceeding: the answer waits for the PRACK, reliably': [
    'proceeding',
    ['ring with early media', 'answer'],
  ],
  'proceeding: answered, without ACK': ['proceeding', ['answer']],
  established: ['established', ['answer', 'ACK']],
  'terminating: the BYE waits for the ACK': ['terminating', ['answer', 'terminate']],
  'terminating: BYE sent': ['terminating', ['answer', 'ACK', 'terminate']],
  'ended: refused': ['ended', ['reject']],
  'ended: cancelled': ['ended', ['ring', 'CANCEL']],
  'ended: hung up by the caller': ['ended', ['answer', 'ACK', 'BYE']],
} satisfies States<typeof EVENTS>;

/** The behavior that RFC 3261 and its extensions require. A missing pair changes nothing and sends nothing. */
const TABLE: StateTable<typeof STATES, typeof EVENTS> = {
  'proceeding: 100 was sent': {
    'INVITE again': 'proceeding: 100 INVITE',
    'INVITE on another way': 'proceeding: 482 INVITE',
    CANCEL: 'ended: 200 CANCEL, 487 INVITE, told end remote unanswered 487',
    BYE: 'ended: 200 BYE, 487 INVITE, told end remote unanswered 487',
    PRACK: 'proceeding: 481 PRACK',
    'PRACK of nothing': 'proceeding: 481 PRACK',
    'INVITE with offer': 'proceeding: 500 INVITE',
    'INVITE without offer': 'proceeding: 500 INVITE',
    'UPDATE with offer': 'proceeding: 500 UPDATE',
    'UPDATE without offer': 'proceeding: 200 UPDATE',
    INFO: 'proceeding: 200 INFO',
    ring: 'proceeding: 180 INVITE',
    'ring with early media': 'proceeding: 183 INVITE',
    answer: 'proceeding: 200 INVITE',
    reject: 'ended: 486 INVITE, told end local unanswered 486',
    terminate: 'ended: 603 INVITE, told end local unanswered 603',
    sendInfo: 'proceeding: sendInfo: CLOSED',
    reoffer: 'proceeding: reoffer: CLOSED',
    refer: 'proceeding: refer: CLOSED',
    'three minutes pass': 'ended: 480 INVITE, told end local TIMEOUT 408',
    'the user agent closes': 'ended: 603 INVITE, told end local unanswered 603',
  },
  'proceeding: rings': {
    'INVITE again': 'proceeding: 180 INVITE',
    'INVITE on another way': 'proceeding: 482 INVITE',
    CANCEL: 'ended: 200 CANCEL, 487 INVITE, told end remote unanswered 487',
    BYE: 'ended: 200 BYE, 487 INVITE, told end remote unanswered 487',
    PRACK: 'proceeding: 481 PRACK',
    'PRACK of nothing': 'proceeding: 481 PRACK',
    'INVITE with offer': 'proceeding: 500 INVITE',
    'INVITE without offer': 'proceeding: 500 INVITE',
    'UPDATE with offer': 'proceeding: 500 UPDATE',
    'UPDATE without offer': 'proceeding: 200 UPDATE',
    INFO: 'proceeding: 200 INFO',
    ring: 'proceeding: 180 INVITE',
    'ring with early media': 'proceeding: 183 INVITE',
    answer: 'proceeding: 200 INVITE',
    reject: 'ended: 486 INVITE, told end local unanswered 486',
    terminate: 'ended: 603 INVITE, told end local unanswered 603',
    sendInfo: 'proceeding: sendInfo: CLOSED',
    reoffer: 'proceeding: reoffer: CLOSED',
    refer: 'proceeding: refer: CLOSED',
    'three minutes pass': 'ended: 180 INVITE ×2, 480 INVITE, told end local TIMEOUT 408',
    'the user agent closes': 'ended: 603 INVITE, told end local unanswered 603',
  },
  'proceeding: rings reliably': {
    'INVITE again': 'proceeding: 183 INVITE',
    'INVITE on another way': 'proceeding: 482 INVITE',
    CANCEL: 'ended: 200 CANCEL, 487 INVITE, told end remote unanswered 487',
    BYE: 'ended: 200 BYE, 487 INVITE, told end remote unanswered 487',
    PRACK: 'proceeding: 200 PRACK',
    'PRACK of nothing': 'proceeding: 481 PRACK',
    'INVITE with offer': 'proceeding: 500 INVITE',
    'INVITE without offer': 'proceeding: 500 INVITE',
    'UPDATE with offer': 'proceeding: 500 UPDATE',
    'UPDATE without offer': 'proceeding: 200 UPDATE',
    INFO: 'proceeding: 200 INFO',
    reject: 'ended: 486 INVITE, told end local unanswered 486',
    terminate: 'ended: 603 INVITE, told end local unanswered 603',
    sendInfo: 'proceeding: sendInfo: CLOSED',
    reoffer: 'proceeding: reoffer: CLOSED',
    refer: 'proceeding: refer: CLOSED',
    'T1 passes': 'proceeding: 183 INVITE',
    '64·T1 pass': 'ended: 183 INVITE ×6, 504 INVITE, told end network TIMEOUT 408',
    'three minutes pass': 'ended: 183 INVITE ×6, 504 INVITE ×11, told end network TIMEOUT 408',
    'the user agent closes': 'ended: 603 INVITE, told end local unanswered 603',
  },
  'proceeding: the answer waits for the PRACK, reliably': {
    'INVITE again': 'proceeding: 183 INVITE',
    'INVITE on another way': 'proceeding: 482 INVITE',
    CANCEL: 'ended: 200 CANCEL, 487 INVITE, told end remote unanswered 487',
    BYE: 'ended: 200 BYE, 487 INVITE, told end remote unanswered 487',
    PRACK: 'proceeding: 200 PRACK, 200 INVITE',
    'PRACK of nothing': 'proceeding: 481 PRACK',
    'INVITE with offer': 'proceeding: 500 INVITE',
    'INVITE without offer': 'proceeding: 500 INVITE',
    'UPDATE with offer': 'proceeding: 500 UPDATE',
    'UPDATE without offer': 'proceeding: 200 UPDATE',
    INFO: 'proceeding: 200 INFO',
    reject: 'ended: 486 INVITE, told end local unanswered 486',
    terminate: 'ended: 603 INVITE, told end local unanswered 603',
    sendInfo: 'proceeding: sendInfo: CLOSED',
    reoffer: 'proceeding: reoffer: CLOSED',
    refer: 'proceeding: refer: CLOSED',
    'T1 passes': 'proceeding: 183 INVITE',
    '64·T1 pass': 'ended: 183 INVITE ×6, 504 INVITE, told end network TIMEOUT 408',
    'three minutes pass': 'ended: 183 INVITE ×6, 504 INVITE ×11, told end network TIMEOUT 408',
    'the user agent closes': 'ended: 603 INVITE, told end local unanswered 603',
  },
  'proceeding: answered, without ACK': {
    'INVITE on another way': 'proceeding: 482 INVITE',
    ACK: 'established: told answered',
    CANCEL: 'proceeding: 200 CANCEL',
    BYE: 'ended: 200 BYE, told end remote unanswered 487',
    PRACK: 'proceeding: 481 PRACK',
    'PRACK of nothing': 'proceeding: 481 PRACK',
    'INVITE with offer': 'proceeding: 491 INVITE',
    'INVITE without offer': 'proceeding: 491 INVITE',
    'UPDATE with offer': 'proceeding: 491 UPDATE',
    'UPDATE without offer': 'proceeding: 200 UPDATE',
    INFO: 'proceeding: 200 INFO',
    terminate: 'terminating: ',
    sendInfo: 'proceeding: sendInfo: CLOSED',
    reoffer: 'proceeding: reoffer: CLOSED',
    refer: 'proceeding: refer: CLOSED',
    'T1 passes': 'proceeding: 200 INVITE',
    '64·T1 pass': 'terminating: 200 INVITE ×10, BYE',
    'three minutes pass': 'ended: 200 INVITE ×10, BYE ×11, told end network TIMEOUT 408',
    'the user agent closes': 'ended: told end local unanswered 200',
  },
  established: {
    'INVITE on another way': 'established: 482 INVITE',
    CANCEL: 'established: 200 CANCEL',
    BYE: 'ended: 200 BYE, told end remote over 200',
    PRACK: 'established: 481 PRACK',
    'PRACK of nothing': 'established: 481 PRACK',
    'INVITE with offer': 'established: 200 INVITE, told offer',
    'INVITE without offer': 'established: 200 INVITE',
    'UPDATE with offer': 'established: 200 UPDATE, told offer',
    'UPDATE without offer': 'established: 200 UPDATE',
    INFO: 'established: 200 INFO',
    terminate: 'terminating: BYE',
    sendInfo: 'established: INFO',
    reoffer: 'established: INVITE',
    refer: 'established: REFER',
    'the user agent closes': 'ended: BYE, told end local over 200',
  },
  'terminating: the BYE waits for the ACK': {
    'INVITE on another way': 'terminating: 482 INVITE',
    ACK: 'terminating: BYE',
    CANCEL: 'terminating: 200 CANCEL',
    BYE: 'ended: 200 BYE, told end local unanswered 200',
    PRACK: 'terminating: 481 PRACK',
    'PRACK of nothing': 'terminating: 481 PRACK',
    'INVITE with offer': 'terminating: 491 INVITE',
    'INVITE without offer': 'terminating: 491 INVITE',
    'UPDATE with offer': 'terminating: 491 UPDATE',
    'UPDATE without offer': 'terminating: 200 UPDATE',
    INFO: 'terminating: 200 INFO',
    sendInfo: 'terminating: sendInfo: CLOSED',
    reoffer: 'terminating: reoffer: CLOSED',
    refer: 'terminating: refer: CLOSED',
    'T1 passes': 'terminating: 200 INVITE',
    '64·T1 pass': 'terminating: 200 INVITE ×10, BYE',
    'three minutes pass': 'ended: 200 INVITE ×10, BYE ×11, told end local unanswered 200',
    'the user agent closes': 'ended: told end local unanswered 200',
  },
  'terminating: BYE sent': {
    'INVITE on another way': 'terminating: 482 INVITE',
    CANCEL: 'terminating: 200 CANCEL',
    BYE: 'ended: 200 BYE, told end local over 200',
    PRACK: 'terminating: 481 PRACK',
    'PRACK of nothing': 'terminating: 481 PRACK',
    'INVITE with offer': 'terminating: 481 INVITE',
    'INVITE without offer': 'terminating: 481 INVITE',
    'UPDATE with offer': 'terminating: 481 UPDATE',
    'UPDATE without offer': 'terminating: 481 UPDATE',
    INFO: 'terminating: 200 INFO',
    sendInfo: 'terminating: sendInfo: CLOSED',
    reoffer: 'terminating: reoffer: CLOSED',
    refer: 'terminating: refer: CLOSED',
    'T1 passes': 'terminating: BYE',
    '64·T1 pass': 'ended: BYE ×10, told end local over 200',
    'three minutes pass': 'ended: BYE ×10, told end local over 200',
    'the wire is cut': 'ended: told end local over 200',
    'the user agent closes': 'ended: told end local over 200',
  },
  'ended: refused': {
    'INVITE again': 'ended: 486 INVITE',
    'INVITE on another way': 'ended: 482 INVITE',
    CANCEL: 'ended: 200 CANCEL',
    BYE: 'ended: 481 BYE',
    PRACK: 'ended: 481 PRACK',
    'PRACK of nothing': 'ended: 481 PRACK',
    'INVITE with offer': 'ended: 481 INVITE',
    'INVITE without offer': 'ended: 481 INVITE',
    'UPDATE with offer': 'ended: 481 UPDATE',
    'UPDATE without offer': 'ended: 481 UPDATE',
    INFO: 'ended: 481 INFO',
    sendInfo: 'ended: sendInfo: CLOSED',
    reoffer: 'ended: reoffer: CLOSED',
    refer: 'ended: refer: CLOSED',
    'T1 passes': 'ended: 486 INVITE',
    '64·T1 pass': 'ended: 486 INVITE ×10',
    'three minutes pass': 'ended: 486 INVITE ×10',
  },
  'ended: cancelled': {
    'INVITE again': 'ended: 487 INVITE',
    'INVITE on another way': 'ended: 482 INVITE',
    CANCEL: 'ended: 200 CANCEL',
    BYE: 'ended: 481 BYE',
    PRACK: 'ended: 481 PRACK',
    'PRACK of nothing': 'ended: 481 PRACK',
    'INVITE with offer': 'ended: 481 INVITE',
    'INVITE without offer': 'ended: 481 INVITE',
    'UPDATE with offer': 'ended: 481 UPDATE',
    'UPDATE without offer': 'ended: 481 UPDATE',
    INFO: 'ended: 481 INFO',
    sendInfo: 'ended: sendInfo: CLOSED',
    reoffer: 'ended: reoffer: CLOSED',
    refer: 'ended: refer: CLOSED',
    'T1 passes': 'ended: 487 INVITE',
    '64·T1 pass': 'ended: 487 INVITE ×10',
    'three minutes pass': 'ended: 487 INVITE ×10',
  },
  'ended: hung up by the caller': {
    'INVITE on another way': 'ended: 482 INVITE',
    CANCEL: 'ended: 200 CANCEL',
    BYE: 'ended: 481 BYE',
    PRACK: 'ended: 481 PRACK',
    'PRACK of nothing': 'ended: 481 PRACK',
    'INVITE with offer': 'ended: 481 INVITE',
    'INVITE without offer': 'ended: 481 INVITE',
    'UPDATE with offer': 'ended: 481 UPDATE',
    'UPDATE without offer': 'ended: 481 UPDATE',
    INFO: 'ended: 481 INFO',
    sendInfo: 'ended: sendInfo: CLOSED',
    reoffer: 'ended: reoffer: CLOSED',
    refer: 'ended: refer: CLOSED',
  },
};

testTable(begin, EVENTS, STATES, TABLE);

describe('a description in a PRACK (RFC 3262 §5)', () => {
  /** A call whose INVITE has an offer or not, with what its handler received. */
  async function ringing(offer: string, sdp: string | undefined, reply: 'answer' | 'refuse') {
    const wire = await new TestWire().open();
    const told: string[] = [];
    let session: IncomingSession | undefined;
    wire.onInvite = (invite) => {
      session = invite.take({
        onProvisional: () => {},
        onAnswered: (_, answer) => told.push(`answered ${answer}`),
        onReoffer: (theirs) => {
          told.push(`offered ${theirs}`);
          return reply === 'answer'
            ? { answer: 'v=0 again' }
            : { statusCode: 488, reasonPhrase: 'Not Acceptable Here' };
        },
        onEnded: () => {},
      });
      return 'taken';
    };
    const call = { callId: 'call@peer', from: CALLER, sequence: 1, branch: BRANCH };
    const headers = [CONTACT, ['require', '100rel'] as const];
    wire.ask('INVITE', { ...call, to: '<sip:us@192.0.2.1>', headers, body: offer });
    await settle();
    session?.ring(sdp);
    const to = wire.response(`${sdp === undefined ? 180 : 183} INVITE`).headers.get('to') ?? '';
    let sequence = 1;
    const ask = async (method: string, body = ''): Promise<void> => {
      if (method !== 'ACK') sequence += 1;
      const rseq = wire.history.findLast((one) => one.headers.has('rseq'))?.headers.get('rseq');
      wire.ask(method, {
        callId: 'call@peer',
        from: CALLER,
        to,
        sequence: method === 'ACK' ? 1 : sequence,
        headers: [CONTACT, ['rack', `${rseq} 1 INVITE`]],
        body,
      });
      wire.clock.pass(0);
      await settle();
    };
    const said = (label: string): string => {
      const { headers: fields, body } = wire.response(label);
      return `${fields.get('content-type') ?? 'nothing'}: ${Buffer.from(body).toString()}`;
    };
    return { wire, told, ask, said, answer: (ours: string) => session?.answer(ours) };
  }

  it('with a new offer is answered in its 200, and the INVITE’s 200 repeats the answer', async () => {
    const { wire, told, ask, said, answer } = await ringing('v=0 offer', 'v=0 early', 'answer');
    await ask('PRACK', 'v=0 theirs');
    expect(said('200 PRACK')).toBe('application/sdp: v=0 again');
    answer('v=0 early');
    expect(said('200 INVITE')).toBe('application/sdp: v=0 again');
    await ask('ACK');
    expect(told).toEqual(['offered v=0 theirs', 'answered undefined']);
    await wire.close();
  });

  it('with an answer to our offer settles it, and nothing is offered again', async () => {
    const { wire, told, ask, said, answer } = await ringing('', 'v=0 ours', 'answer');
    await ask('PRACK', 'v=0 theirs');
    expect(said('200 PRACK')).toBe('nothing: ');
    answer('v=0 ours');
    expect(said('200 INVITE')).toBe('nothing: ');
    await ask('ACK');
    expect(told).toEqual(['answered v=0 theirs']);
    await wire.close();
  });

  it('may be missing; the ACK then carries the answer', async () => {
    const { wire, told, ask, said, answer } = await ringing('', 'v=0 ours', 'answer');
    await ask('PRACK');
    answer('v=0 ours');
    expect(said('200 INVITE')).toBe('application/sdp: v=0 ours');
    await ask('ACK', 'v=0 late');
    expect(told).toEqual(['answered v=0 late']);
    await wire.close();
  });

  it.each([
    ['that we cannot accept', 'v=0 early', ['offered v=0 theirs']],
    ['while the first offer has no answer', undefined, []],
  ])('is refused with 488 %s, and the call continues', async (_, sdp, expected) => {
    const { wire, told, ask, said, answer } = await ringing('v=0 offer', sdp, 'refuse');
    await ask('PRACK', 'v=0 theirs');
    expect(wire.response('488 PRACK').statusCode).toBe(488);
    expect(told).toEqual(expected);
    answer('v=0 answer');
    expect(said('200 INVITE')).toBe('application/sdp: v=0 answer');
    await wire.close();
  });

  it('is followed by an UPDATE with an offer, whose answer the 200 repeats (RFC 3311 §5.2)', async () => {
    const { wire, told, ask, said, answer } = await ringing('v=0 offer', 'v=0 early', 'answer');
    await ask('UPDATE', 'v=0 too soon');
    expect(wire.response('500 UPDATE').headers.has('retry-after')).toBe(true);
    await ask('PRACK');
    await ask('UPDATE', 'v=0 theirs');
    expect(said('200 UPDATE')).toBe('application/sdp: v=0 again');
    answer('v=0 early');
    expect(said('200 INVITE')).toBe('application/sdp: v=0 again');
    await ask('ACK');
    expect(told).toEqual(['offered v=0 theirs', 'answered undefined']);
    await wire.close();
  });
});
