// Calls that come in, hold from either side, and transfer: one gateway calls another, over real sockets.

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { createCallGateway } from '@sipcast/core';
import type {
  Call,
  CallGateway,
  CallGatewayOptions,
  CallStatus,
  IncomingCall,
  IncomingOptions,
  StartupRequest,
} from '@sipcast/core';
import type { RtmpSink } from '@sipcast/testkit';
import { describe, expect, it } from 'vitest';
import { openGateway, openPhone, openSink } from '../../support/call-ends.ts';
import { afterTest } from '../../support/cleanup.ts';

const SHORT = { t1Ms: 20, t2Ms: 80, t4Ms: 100 };

/** Opens a gateway that gives up an unanswered message after 64 × 20 ms. */
const openImpatient = (options: CallGatewayOptions = {}): Promise<CallGateway> =>
  openGateway({ sipTimers: SHORT, ...options });

const at = (gateway: CallGateway, user = 'studio'): string =>
  `sip:${user}@127.0.0.1:${gateway.sipPort}`;

/** The newest call of a gateway. */
async function callOf(gateway: CallGateway): Promise<Call> {
  await expect.poll(() => gateway.calls.live.length).toBeGreaterThan(0);
  return gateway.calls.live.at(-1)!;
}

interface Pair {
  readonly studio: CallGateway;
  readonly caller: CallGateway;
  /** What the caller sees. */
  readonly outgoing: Call;
  /** What the studio sees. */
  readonly incoming: Call;
}

async function connect(
  incoming: IncomingOptions = { rules: [{ accept: {} }] },
  request: Partial<StartupRequest> = {},
): Promise<Pair> {
  const studio = await openImpatient({ incoming });
  const caller = await openImpatient();
  const outgoing = await caller.startup({
    callee: at(studio),
    sipLogin: 'alice',
    visibleName: 'Alice',
    ...request,
  });
  await outgoing.established();
  const taken = await callOf(studio);
  await taken.established();
  return { studio, caller, outgoing, incoming: taken };
}

/** What a count comes to when it does not grow any more. */
async function settle(count: () => number): Promise<number> {
  let last = -1;
  while (count() !== last) {
    last = count();
    await sleep(4 * SHORT.t2Ms);
  }
  return last;
}

const statusOf = (call: Call) => expect.poll(() => call.status, { timeout: 3000 });

describe('an incoming call', () => {
  it('gets no answer unless a rule or listener exists, and is counted', async () => {
    const studio = await openImpatient();
    const caller = await openImpatient();
    const call = await caller.startup({ callee: at(studio) });
    await call.closed();
    expect(call.view()).toMatchObject({ status: 'FAILED', info: 'Failed by request timeout' });
    expect(studio.faults['sip-unknown-caller']).toBeGreaterThan(0);
    expect(studio.calls.live).toEqual([]);
    expect(call.trace().every(({ direction }) => direction === 'out')).toBe(true);
  });

  it('is taken by a rule, published, found, and told of by the same events', async () => {
    const sink = await openSink();
    const statuses: CallStatus[] = [];
    const studio = await openImpatient({
      incoming: {
        rules: [
          { match: { calledUser: 'other' }, reject: { code: 404 } },
          {
            match: { calledUser: 'stud*', callerUser: 'ALICE', source: '127.0.0.0/8' },
            accept: {
              toStream: 'in-{called}-{caller}',
              rtmpUrl: sink.url,
              rtmpStream: '{called}',
              custom: { show: 7 },
            },
          },
        ],
      },
    });
    studio.on('callChange', (_call, view, changed) => {
      if (changed.includes('status')) statuses.push(view.status);
    });
    const caller = await openImpatient();
    const outgoing = await caller.startup({
      callee: at(studio),
      sipLogin: 'alice',
      visibleName: 'Alice',
      callId: 'call-7@alice',
    });
    await outgoing.established();
    const incoming = await callOf(studio);
    await incoming.established();
    expect(studio.calls.find({ callId: 'call-7@alice' })[0]).toMatchObject({
      incoming: true,
      status: 'ESTABLISHED',
      sipStatus: 200,
      caller: 'alice',
      callee: 'studio',
      visibleName: 'Alice',
      streamName: 'in-studio-alice',
      rtmpStream: 'studio',
      custom: { show: 7 },
    });
    expect(studio.calls.find()[0]?.sdp).toContain('m=video');
    expect(studio.calls.find()[0]?.sipMessageRaw).toContain('ACK sip:');
    const publication = await sink.nextPublication();
    await expect.poll(() => publication.tags.length, { timeout: 5000 }).toBeGreaterThan(3);
    expect(publication.streamName).toBe('studio');
    await outgoing.terminate();
    await incoming.closed();
    expect(statuses).toEqual(['PENDING', 'ESTABLISHED', 'FINISH']);
    expect(incoming.view()).toMatchObject({ status: 'FINISH', endedBy: 'remote' });
    expect(incoming.trace().map(({ startLine }) => startLine.split(' ')[0])).toContain('INVITE');
  });

  it('is refused by a rule, with its code', async () => {
    const studio = await openImpatient({
      incoming: { rules: [{ match: { callerDomain: '*' }, reject: { code: 486 } }] },
    });
    const caller = await openImpatient();
    const call = await caller.startup({ callee: at(studio) });
    await call.closed();
    expect(call.view()).toMatchObject({ status: 'BUSY', sipStatus: 486 });
  });

  it('must know the password where the rule wants one', async () => {
    const rules = [{ auth: { users: { alice: 'correct horse' } }, accept: {} }];
    const studio = await openImpatient({ incoming: { rules, realm: 'studio' } });
    const caller = await openImpatient();
    const right = await caller.startup({
      callee: at(studio),
      sipLogin: 'alice',
      sipPassword: 'correct horse',
    });
    await right.established();
    const wrong = await caller.startup({
      callee: at(studio),
      sipLogin: 'alice',
      sipPassword: 'guess',
    });
    await wrong.closed();
    expect(wrong.view()).toMatchObject({ status: 'FAILED', sipStatus: 401 });
    expect(studio.faults['sip-caller-auth']).toBe(1);
    for (let n = 0; n < 4; n++) {
      const guess = { callee: at(studio), sipLogin: `u${n}`, sipPassword: 'guess' };
      await (await caller.startup(guess)).closed();
    }
    const locked = await caller.startup({
      callee: at(studio),
      sipLogin: 'alice',
      sipPassword: 'correct horse',
    });
    await locked.closed();
    expect(locked.view().sipStatus).toBe(408);
    expect(studio.faults['sip-caller-locked']).toBeGreaterThan(0);
    expect(right.status).toBe('ESTABLISHED');
  });

  it('is offered to listeners, and accepted, refused, or given up by its caller', async () => {
    const studio = await openImpatient();
    const caller = await openImpatient();
    const offered: IncomingCall[] = [];
    studio.on('incomingCall', (incoming) => offered.push(incoming));
    const first = await caller.startup({ callee: at(studio), sipHeaders: { 'X-Show': 'late' } });
    await expect.poll(() => offered.length).toBe(1);
    expect(offered[0]!.facts).toMatchObject({
      called: { user: 'studio', host: '127.0.0.1' },
      caller: { user: 'sipcast' },
      source: '127.0.0.1',
    });
    expect(offered[0]!.facts.header('x-show')).toBe('late');
    offered[0]!.ring();
    await statusOf(first).toBe('RING');
    const taken = await offered[0]!.accept({ toStream: 'mine', hasVideo: false });
    await taken.established();
    expect(taken.view()).toMatchObject({ hasVideo: false, streamName: 'mine' });
    await expect(offered[0]!.accept()).rejects.toMatchObject({ code: 'CALL_STATE' });

    const second = await caller.startup({ callee: at(studio) });
    await expect.poll(() => offered.length).toBe(2);
    offered[1]!.reject(480, 'Not now');
    await second.closed();
    expect(second.view()).toMatchObject({ status: 'FAILED', info: '480 Not now' });

    const third = await caller.startup({ callee: at(studio) });
    await expect.poll(() => offered.length).toBe(3);
    offered[2]!.ring();
    await statusOf(third).toBe('RING');
    void third.terminate();
    await offered[2]!.closed();
    await expect(offered[2]!.accept()).rejects.toMatchObject({ code: 'CALL_STATE' });

    const fourth = await caller.startup({ callee: at(studio) });
    await expect.poll(() => offered.length).toBe(4);
    await expect(offered[3]!.accept({ toStream: 'mine' })).rejects.toMatchObject({
      code: 'STREAM_EXISTS',
    });
    await fourth.closed();
    expect(fourth.view()).toMatchObject({ status: 'BUSY', sipStatus: 486 });
  });

  it('is refused without a codec in common, and leaves nothing behind', async () => {
    const studio = await openImpatient({
      incoming: { rules: [{ accept: {} }] },
      offer: { audioCodecs: ['g722'], videoCodecs: ['vp8'] },
    });
    const caller = await openImpatient({
      offer: { audioCodecs: ['pcmu'], videoCodecs: ['h264-mode1'] },
    });
    const call = await caller.startup({ callee: at(studio) });
    await call.closed();
    expect(call.view()).toMatchObject({ status: 'FAILED', sipStatus: 488 });
    await expect.poll(() => studio.calls.live.length).toBe(0);
    expect(studio.calls.history()[0]).toMatchObject({
      incoming: true,
      info: expect.stringMatching(/^No common codecs: audio: /),
    });
  });

  it('of a source that never acknowledges gets no media, and a bounded answer', async () => {
    const studio = await openImpatient({ incoming: { rules: [{ accept: {} }] } });
    // The one in whose name it is asked, and who never asked: its SIP and its media ports.
    const [sip, rtp] = [createSocket('udp4'), createSocket('udp4')];
    let [answers, octets, media] = [0, 0, 0];
    sip.on('message', (message) => {
      answers++;
      octets += message.length;
    });
    rtp.on('message', () => media++);
    for (const socket of [sip, rtp]) {
      socket.bind(0, '127.0.0.1');
      await once(socket, 'listening');
      afterTest(() => new Promise<void>((resolve) => socket.close(resolve)));
    }
    const mediaPort = rtp.address().port;
    const sdp =
      'v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n' +
      `m=audio ${mediaPort} RTP/AVP 8\r\na=rtcp:${mediaPort}\r\n`;
    const { port } = sip.address();
    const invite =
      `INVITE ${at(studio)} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:${port};branch=z9hG4bKforged\r\n` +
      `Max-Forwards: 70\r\nFrom: <sip:v@127.0.0.1>;tag=1\r\nTo: <${at(studio)}>\r\nCall-ID: forged\r\n` +
      `CSeq: 1 INVITE\r\nContact: <sip:v@127.0.0.1:${port}>\r\nContent-Type: application/sdp\r\n` +
      `Content-Length: ${sdp.length}\r\n\r\n${sdp}`;
    sip.send(invite, studio.sipPort, '127.0.0.1');
    const call = await callOf(studio);
    await call.closed();
    expect(call.view()).toMatchObject({ status: 'FAILED' });
    expect(media).toBe(0);
    // 64·T1 of 200s, doubling up to T2 (RFC 3261 §13.3.1.4), then a BYE, which is repeated for as long (§17.1.2.2).
    const limit = 2 + Math.ceil((64 * SHORT.t1Ms) / SHORT.t2Ms) + 3;
    const settled = await settle(() => answers);
    console.log(
      `a forged INVITE of ${invite.length} octets: ${settled} datagrams, ${octets} octets`,
    );
    expect(settled).toBeGreaterThan(5);
    expect(settled).toBeLessThanOrEqual(2 * limit);
  });

  it('that a listener ends as soon as it hears of it is declined', async () => {
    const studio = await openImpatient({ incoming: { rules: [{ accept: {} }] } });
    const caller = await openImpatient();
    studio.once('call', (call) => void call.terminate());
    const call = await caller.startup({ callee: at(studio) });
    await call.closed();
    expect(call.view()).toMatchObject({ status: 'FAILED', sipStatus: 603 });
    expect(studio.calls.live).toEqual([]);
  });

  it('over the limit is refused with 503 and a time to come back', async () => {
    const studio = await openImpatient({ incoming: { rules: [{ accept: {} }] }, maxCalls: 1 });
    const caller = await openImpatient();
    await (await caller.startup({ callee: at(studio) })).established();
    const call = await caller.startup({ callee: at(studio) });
    await call.closed();
    expect(call.view()).toMatchObject({ status: 'FAILED', sipStatus: 503 });
    expect(call.view().sipMessageRaw).toMatch(/retry-after: 10/i);
  });

  it('ends with the gateway that took it', async () => {
    const { studio, outgoing } = await connect();
    await studio.close();
    await outgoing.closed();
    expect(outgoing.view()).toMatchObject({ status: 'FINISH', endedBy: 'remote' });
  });

  it.each([
    [{ rules: 1 as never }, 'incoming.rules'],
    [{ rules: [{}] }, 'incoming.rules.0'],
    [{ rules: [{ accept: {}, reject: { code: 404 } }] }, 'incoming.rules.0'],
    [{ rules: [{ reject: { code: 200 } }] }, 'incoming.rules.0.reject.code'],
    [{ rules: [{ accept: {}, match: { source: '1.2.3' } }] }, 'incoming.rules.0.match.source'],
    [{ rules: [{ accept: {}, match: { source: '::1/200' } }] }, 'incoming.rules.0.match.source'],
    [{ rules: [{ accept: {}, match: { calledUser: '' } }] }, 'incoming.rules.0.match.calledUser'],
    [{ rules: [{ accept: {}, auth: { users: {} } }] }, 'incoming.rules.0.auth.users'],
    [{ rules: [{ accept: {}, auth: { users: { a: 'short' } } }] }, 'incoming.rules.0.auth.users.a'],
  ] as [IncomingOptions, string][])('names what is wrong with %j', async (incoming, field) => {
    await expect(createCallGateway({ incoming, transcoding: false })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      field,
    });
  });
});

describe('SRTP', () => {
  const pair = async (
    ours: 'off' | 'optional' | 'required',
    theirs: 'off' | 'optional' | 'required',
  ): Promise<{ outgoing: Call; studio: CallGateway; sink: RtmpSink }> => {
    const sink = await openSink();
    const accept = { rtmpUrl: sink.url, rtmpStream: 'air' };
    const studio = await openImpatient({
      incoming: { rules: [{ accept }] },
      offer: { srtp: theirs },
    });
    const caller = await openImpatient();
    const outgoing = await caller.startup({ callee: at(studio), srtp: ours });
    return { outgoing, studio, sink };
  };

  it.each([
    ['optional', 'optional', true],
    ['required', 'optional', true],
    ['optional', 'required', true],
    ['required', 'required', true],
    ['off', 'optional', false],
    ['optional', 'off', false],
  ] as const)('%s calls %s: secured %s, and the sound arrives', async (ours, theirs, secured) => {
    const { outgoing, studio, sink } = await pair(ours, theirs);
    await outgoing.established();
    const publication = await sink.nextPublication();
    await expect.poll(() => publication.tags.length, { timeout: 5000 }).toBeGreaterThan(10);
    expect(outgoing.view().sdp?.includes('a=crypto:')).toBe(secured);
    expect(outgoing.view().sdp).not.toMatch(/inline:(?!\*)/);
    expect(JSON.stringify(outgoing.trace())).not.toMatch(/inline:(?!\*)/);
    expect(Object.keys(studio.faults).filter((name) => name.includes('srtp'))).toEqual([]);
    const before = publication.tags.length;
    await outgoing.hold();
    await outgoing.resume();
    await expect
      .poll(() => publication.tags.length, { timeout: 5000 })
      .toBeGreaterThan(before + 10);
    expect(Object.keys(studio.faults).filter((name) => name.includes('srtp'))).toEqual([]);
  });

  it.each([
    ['required', 'off'],
    ['off', 'required'],
  ] as const)('%s calls %s: no call', async (ours, theirs) => {
    const { outgoing } = await pair(ours, theirs);
    await outgoing.closed();
    expect(outgoing.view()).toMatchObject({ status: 'FAILED', sipStatus: 488 });
  });
});

describe('hold', () => {
  it.each(['outgoing', 'incoming'] as const)('from the %s side, and back', async (side) => {
    const sink = await openSink();
    const accept = { rtmpUrl: sink.url, rtmpStream: 'air' };
    const pair = await connect({ rules: [{ accept }] });
    const [holder, held] =
      side === 'outgoing' ? [pair.outgoing, pair.incoming] : [pair.incoming, pair.outgoing];
    const publication = await sink.nextPublication();
    await holder.hold();
    expect(holder.status).toBe('HOLD');
    await statusOf(held).toBe('HOLD');
    expect(held.view().sdp).toMatch(/a=sendonly/);
    await holder.hold();
    const before = publication.tags.length;
    await expect
      .poll(() => publication.tags.length, { timeout: 5000 })
      .toBeGreaterThan(before + 10);
    await holder.resume();
    expect(holder.status).toBe('ESTABLISHED');
    await statusOf(held).toBe('ESTABLISHED');
    expect(held.view().sdp).not.toMatch(/a=sendonly|a=inactive/);
    expect(pair.incoming.rtmpStreamStatus).toBe('RTMP_STREAM_ACTIVE');
    expect(sink.publications.length).toBe(1);
  });

  it('from both sides ends when both have resumed', async () => {
    const { outgoing, incoming } = await connect();
    await outgoing.hold();
    await incoming.hold();
    expect(incoming.view().sdp).toMatch(/a=(sendonly|inactive)/);
    await outgoing.resume();
    await statusOf(outgoing).toBe('HOLD');
    await incoming.resume();
    await statusOf(outgoing).toBe('ESTABLISHED');
    await statusOf(incoming).toBe('ESTABLISHED');
  });

  it('at the same moment meets, waits, and comes through', async () => {
    const { outgoing, incoming } = await connect();
    await Promise.all([outgoing.hold(), incoming.hold()]);
    expect([outgoing.status, incoming.status]).toEqual(['HOLD', 'HOLD']);
    // Both know that they hold: one that resumes is still held by the other.
    await outgoing.resume();
    expect(outgoing.status).toBe('HOLD');
    await outgoing.hold();
    await Promise.all([outgoing.resume(), incoming.resume()]);
    await statusOf(outgoing).toBe('ESTABLISHED');
    await statusOf(incoming).toBe('ESTABLISHED');
    for (const { view } of [outgoing, incoming].map((call) => ({ view: call.view() })))
      expect(view.sdp).not.toMatch(/a=(sendonly|inactive|recvonly)/);
  }, 20_000);

  it('asked again and again ends as it was asked last', async () => {
    const { outgoing, incoming } = await connect();
    await Promise.all([outgoing.hold(), outgoing.resume(), outgoing.hold(), outgoing.resume()]);
    expect(outgoing.status).toBe('ESTABLISHED');
    await statusOf(incoming).toBe('ESTABLISHED');
    await outgoing.terminate();
    await expect(outgoing.hold()).rejects.toMatchObject({ code: 'CALL_STATE', field: 'callId' });
  });

  it('of a phone that had no answer yet is refused', async () => {
    const peer = await openPhone({ script: { answer: 'none' } });
    const gateway = await openImpatient();
    const call = await gateway.startup({ callee: peer.uri });
    await expect(call.hold()).rejects.toMatchObject({ code: 'CALL_STATE' });
    await call.terminate();
  });
});

describe('transfer', () => {
  it('is accepted by a listener, and ends the call when the new one is established', async () => {
    const { studio, caller, outgoing, incoming } = await connect();
    const third = await openImpatient({ incoming: { rules: [{ accept: { toStream: 'third' } }] } });
    outgoing.on('refer', (refer) => {
      void caller.startup({ callee: refer.target }).then(async (call) => {
        await call.established();
        refer.report(200, 'OK');
      });
    });
    const done = incoming.transfer(at(third, 'show'));
    expect(incoming.view()).toMatchObject({ holdForTransfer: true, target: at(third, 'show') });
    await done;
    await outgoing.closed();
    expect((await callOf(third)).view()).toMatchObject({ callee: 'show', incoming: true });
    expect(caller.calls.live.length).toBe(1);
    await expect.poll(() => studio.calls.live.length).toBe(0);
  });

  it('is declined by default: the call goes on', async () => {
    const { outgoing, incoming } = await connect();
    await expect(incoming.transfer('sip:x@127.0.0.1')).rejects.toMatchObject({
      code: 'CALL_STATE',
      sipStatus: 603,
    });
    await expect(incoming.transfer('no uri')).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      field: 'target',
    });
    expect([outgoing.status, incoming.status]).toEqual(['ESTABLISHED', 'ESTABLISHED']);
    expect(incoming.view()).toMatchObject({ holdForTransfer: false, target: null });
  });

  it('that fails reports why: the call continues', async () => {
    const { outgoing, incoming } = await connect();
    outgoing.on('refer', (refer) => refer.report(486, 'Busy Here'));
    await expect(incoming.transfer('sip:x@127.0.0.1')).rejects.toMatchObject({
      message: 'The transfer failed: 486 Busy Here',
      sipStatus: 486,
    });
    expect(incoming.status).toBe('ESTABLISHED');
  });
});
