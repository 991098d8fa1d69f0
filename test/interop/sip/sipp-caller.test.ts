// sipp as the phone that calls: what callers may do before, in and at the end of a call that a rule takes.

import type { Call, CallGateway, CallGatewayOptions, CallStatus } from '@sipcast/core';
import { beforeEach, expect, it } from 'vitest';
import { afterTest } from '../../support/cleanup.ts';
import { makeFolder } from '../../support/folder.ts';
import { describeWith } from '../../support/programs.ts';
import { runSipp, SippScenario } from '../../support/sipp-scenario.ts';
import { openGateway } from '../../support/call-ends.ts';

const MEDIA = { port: 40_000 };

describeWith(['sipp'], 'sipp as the caller', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await makeFolder();
  });

  async function open(options: CallGatewayOptions = {}) {
    const gateway: CallGateway = await openGateway({
      incoming: { rules: [{ match: { calledUser: 'studio' }, accept: {} }] },
      ...options,
    });
    const statuses: CallStatus[] = [];
    gateway.on('callChange', ({ status }) => {
      if (statuses.at(-1) !== status) statuses.push(status);
    });
    return { gateway, statuses };
  }

  async function call(
    gateway: CallGateway,
    scenario: SippScenario,
    args: readonly string[] = [],
    transport: 'udp' | 'tcp' = 'udp',
  ) {
    const sipp = await runSipp(dir, scenario, { calls: gateway.sipPort, args, transport });
    afterTest(() => sipp.running.stop());
    return sipp;
  }

  const invite = (headers: readonly string[] = []): SippScenario =>
    new SippScenario('caller').send('INVITE', 1, { initial: true, sdp: MEDIA, headers });
  const answered = (headers: readonly string[] = [], matches: readonly string[] = []) =>
    invite(headers).response(200, matches).send('ACK', 1);

  it.each(['udp', 'tcp'] as const)(
    'holds in every form and resumes, by INVITE and UPDATE, over %s',
    async (transport) => {
      const { gateway, statuses } = await open();
      const scenario = answered([], ['m=audio [1-9]'])
        .change('INVITE', 2, { ...MEDIA, version: 2, direction: 'sendonly' }, ['a=recvonly'])
        .change('UPDATE', 3, { ...MEDIA, version: 3 }, ['a=sendrecv'])
        .change('INVITE', 4, { ...MEDIA, version: 4, direction: 'inactive' }, ['a=inactive'])
        .change('INVITE', 5, { ...MEDIA, version: 5, map: '0 PCMU/8000' }, [
          'm=audio [0-9]+ RTP/AVP 0',
        ])
        .change('UPDATE', 6, { ...MEDIA, version: 6, address: '0.0.0.0' })
        .change('INVITE', 7, { ...MEDIA, version: 7, map: '118 speex/16000' }, [
          'a=rtpmap:118 speex',
        ])
        .send('INVITE', 8)
        .response(200, ['m=audio [1-9]', 'a=rtpmap:8 PCMA', 'm=video [1-9]'])
        .send('ACK', 8, { sdp: { ...MEDIA, version: 8 } })
        // Nothing in common: the session goes on as it was.
        .send('INVITE', 9, { sdp: { ...MEDIA, version: 9, map: '97 iLBC/8000' } })
        .response(488)
        .send('ACK', 9, { branch: 'invite' })
        .bye(10);
      const sipp = await call(gateway, scenario, [], transport);
      await sipp.done();
      await expect.poll(() => gateway.calls.live).toEqual([]);
      expect(statuses).toEqual([
        'PENDING',
        'ESTABLISHED',
        'HOLD',
        'ESTABLISHED',
        'HOLD',
        'ESTABLISHED',
        'HOLD',
        'ESTABLISHED',
        'FINISH',
      ]);
    },
  );

  it('without an offer gets ours, and answers in the ACK', async () => {
    const { gateway, statuses } = await open();
    const scenario = new SippScenario('caller')
      .send('INVITE', 1, { initial: true })
      .response(200, ['m=audio [1-9]'])
      .send('ACK', 1, { sdp: MEDIA })
      .pause(200)
      .bye(2);
    await (await call(gateway, scenario)).done();
    await expect.poll(() => statuses).toEqual(['PENDING', 'ESTABLISHED', 'FINISH']);
  });

  it('gets 422 for a session interval that is too short, and refreshes a longer one', async () => {
    const { gateway } = await open();
    const timer = (seconds: number) => [
      'Supported: timer',
      `Session-Expires: ${seconds};refresher=uac`,
    ];
    const scenario = invite(timer(60))
      .response(422, ['Min-S[Ee]: *90'])
      .send('ACK', 1, { branch: 'invite' })
      .send('INVITE', 2, { initial: true, sdp: MEDIA, headers: timer(90) })
      .response(200, ['Session-Expires: *90;refresher=uac', 'Require: *timer'])
      .send('ACK', 2)
      .send('UPDATE', 3, { headers: timer(4_000_000_000) })
      .response(200, ['Session-Expires: *86400;refresher=uac'])
      .bye(4);
    await (await call(gateway, scenario)).done();
  });

  it('with reliable provisional responses acknowledges ours', async () => {
    const { gateway } = await open({ incoming: { rules: [] } });
    const taken: Promise<Call>[] = [];
    gateway.on('incomingCall', (incoming) => {
      incoming.ring();
      taken.push(incoming.accept());
    });
    const scenario = invite(['Require: 100rel'])
      .provisional(180, ['RSeq: *([0-9]+)'])
      .rack()
      .response(200)
      // The 200 of the INVITE waited for that of the PRACK.
      .response(200, ['CSeq: 1 INVITE'])
      .send('ACK', 1)
      .pause(200)
      .bye(3);
    await (await call(gateway, scenario)).done();
    expect(taken).toHaveLength(1);
  });

  it('gives up before the answer', async () => {
    const { gateway } = await open({ incoming: { rules: [] } });
    const closed: Promise<void>[] = [];
    gateway.on('incomingCall', (incoming) => {
      incoming.ring();
      closed.push(incoming.closed());
    });
    const scenario = invite()
      .provisional(180)
      .send('CANCEL', 1, { initial: true, branch: 'invite' })
      .response(200)
      .response(487)
      .send('ACK', 1, { branch: 'invite' });
    await (await call(gateway, scenario)).done();
    await closed[0];
    expect(gateway.calls.live).toEqual([]);
  });

  it('that wants to replace a call, or requires an unknown extension, is refused', async () => {
    const { gateway } = await open();
    const refused = (statusCode: number, headers: string[], matches: string[] = []) =>
      invite(headers).response(statusCode, matches).send('ACK', 1, { branch: 'invite' });
    for (const scenario of [
      refused(481, ['Replaces: nobody@here;to-tag=1;from-tag=2']),
      refused(420, ['Require: replaces'], ['Unsupported: *replaces']),
      refused(406, ['Accept: text/plain']),
    ])
      await (await call(gateway, scenario)).done();
    expect(gateway.calls.live).toEqual([]);
  });

  it('is asked for its password', async () => {
    // This sipp knows MD5 only.
    const auth = { users: { carol: 's3cret-word' }, algorithms: ['MD5'] as const };
    const { gateway, statuses } = await open({ incoming: { rules: [{ auth, accept: {} }] } });
    const scenario = (ends: number) => {
      const again = invite()
        .response(401, ['Digest '], true)
        .send('ACK', 1, { branch: 'invite' })
        .send('INVITE', 2, { initial: true, sdp: MEDIA, headers: ['[authentication]'] })
        .response(ends);
      return ends === 200
        ? again.send('ACK', 2).bye(3)
        : again.send('ACK', 2, { branch: 'invite' });
    };
    await (await call(gateway, scenario(200), ['-au', 'carol', '-ap', 's3cret-word'])).done();
    await expect.poll(() => statuses).toEqual(['PENDING', 'ESTABLISHED', 'FINISH']);
    await (await call(gateway, scenario(401), ['-au', 'carol', '-ap', 'wrong'])).done();
    expect(gateway.faults['sip-caller-auth']).toBe(1);
  });

  it('sends its ACK late: our 200 comes again until then, and it is one call', async () => {
    const { gateway, statuses } = await open();
    const scenario = invite().response(200).pause(1700).send('ACK', 1).pause(100).bye(2);
    await (await call(gateway, scenario)).done();
    await expect.poll(() => statuses).toEqual(['PENDING', 'ESTABLISHED', 'FINISH']);
    const trace = gateway.calls.history()[0]!.callId;
    const sent = gateway.calls
      .trace(trace)
      .filter((one) => one.direction === 'out' && one.startLine === 'SIP/2.0 200 OK');
    // After 500 and 1,500 ms, and that of the BYE.
    expect(sent).toHaveLength(4);
  });

  it('hangs up at the same moment as we do', async () => {
    const { gateway } = await open();
    const scenario = answered()
      .request('BYE', [], true)
      .send('BYE', 2)
      .response(200)
      .answerKept(200);
    const sipp = await call(gateway, scenario);
    await expect.poll(() => gateway.calls.live[0]?.status).toBe('ESTABLISHED');
    await gateway.calls.live[0]!.terminate();
    await sipp.done();
    expect(gateway.calls.live).toEqual([]);
  });

  it('is held and transferred by us', async () => {
    const { gateway } = await open();
    const scenario = answered()
      .request('INVITE', ['a=sendonly'])
      .answer(200, { sdp: { ...MEDIA, version: 2, direction: 'recvonly' } })
      .request('ACK')
      .request('REFER', ['Refer-To: *&lt;sip:dave@example.com&gt;'])
      .answer(202)
      .send('NOTIFY', 2, {
        headers: [
          'Event: refer',
          'Subscription-State: terminated;reason=noresource',
          'Content-Type: message/sipfrag',
        ],
        body: 'SIP/2.0 200 OK',
      })
      .response(200)
      .ended();
    const sipp = await call(gateway, scenario);
    await expect.poll(() => gateway.calls.live[0]?.status).toBe('ESTABLISHED');
    const [taken] = gateway.calls.live;
    await taken!.hold();
    expect(taken!.status).toBe('HOLD');
    await taken!.transfer('sip:dave@example.com');
    await sipp.done();
  });

  it('changes at the same moment as we do: 491 both ways, and ours comes first then', async () => {
    const { gateway } = await open();
    // Whoever has not chosen the Call-ID waits two seconds at most, the other one longer (RFC 3261 §14.1).
    const scenario = answered()
      .request('INVITE', ['a=sendonly'], true)
      .send('INVITE', 2, { sdp: { ...MEDIA, version: 2 } })
      .response(491)
      .send('ACK', 2, { branch: 'invite' })
      .answerKept(491)
      .request('ACK')
      .request('INVITE', ['a=sendonly'])
      .answer(200, { sdp: { ...MEDIA, version: 3, direction: 'recvonly' } })
      .request('ACK')
      .change('INVITE', 3, { ...MEDIA, version: 4, direction: 'recvonly' }, ['a=sendonly'])
      .ended();
    const sipp = await call(gateway, scenario);
    await expect.poll(() => gateway.calls.live[0]?.status).toBe('ESTABLISHED');
    const [taken] = gateway.calls.live;
    await taken!.hold();
    expect(taken!.status).toBe('HOLD');
    const answers = () =>
      taken!.trace().filter(({ startLine }) => startLine === 'SIP/2.0 200 OK').length;
    // Of ours: to the first INVITE, and to their change.
    await expect.poll(answers, { timeout: 20_000 }).toBeGreaterThanOrEqual(2);
    await taken!.terminate();
    await sipp.done();
  });

  it('asks us to call a third party, and gets reports of its progress', async () => {
    const { gateway } = await open();
    const scenario = answered()
      .send('REFER', 2, { headers: ['Refer-To: <sip:dave@example.com>'] })
      .response(202)
      .request('NOTIFY', ['Subscription-State: *active', 'SIP/2.0 100 Trying'])
      .answer(200)
      .request('NOTIFY', ['Subscription-State: *active', 'SIP/2.0 180 Ringing'])
      .answer(200)
      .request('NOTIFY', ['Subscription-State: *terminated', 'SIP/2.0 200 OK'])
      .answer(200)
      .bye(3);
    const targets: string[] = [];
    gateway.on('call', (one) =>
      one.on('refer', (refer) => {
        targets.push(refer.target);
        const notified = (count: number) => (): boolean =>
          one.trace().filter(({ startLine }) => startLine.startsWith('NOTIFY ')).length >= count;
        void expect
          .poll(notified(1))
          .toBe(true)
          .then(() => refer.report(180, 'Ringing'))
          .then(() => expect.poll(notified(2)).toBe(true))
          .then(() => refer.report(200, 'OK'));
      }),
    );
    await (await call(gateway, scenario)).done();
    expect(targets).toEqual(['sip:dave@example.com']);
    await expect.poll(() => gateway.calls.live).toEqual([]);
  });
});
