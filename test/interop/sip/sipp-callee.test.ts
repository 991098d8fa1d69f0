// sipp as the phone that is called: what it may do in and around a call, and that the gateway follows.

import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import { once } from 'node:events';
import type { Call, CallGateway, CallGatewayOptions, CallStatus } from '@sipcast/core';
import { beforeEach, expect, it } from 'vitest';
import { afterTest } from '../../support/cleanup.ts';
import { makeFolder } from '../../support/folder.ts';
import { describeWith } from '../../support/programs.ts';
import { runSipp, SippScenario } from '../../support/sipp-scenario.ts';
import { openGateway } from '../../support/call-ends.ts';

const TAG = ';tag=sipp';

describeWith(['sipp'], 'sipp as the callee', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await makeFolder();
  });

  /** Where sipp wants its RTP: a socket of our own, that counts what comes. */
  async function mediaPort(): Promise<{ port: number; packets: () => number }> {
    let packets = 0;
    const socket: Socket = createSocket('udp4', () => packets++);
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    afterTest(() => socket.close());
    return { port: socket.address().port, packets: () => packets };
  }

  async function dial(
    scenario: SippScenario,
    options: CallGatewayOptions = {},
    transport: 'udp' | 'tcp' = 'udp',
  ) {
    const sipp = await runSipp(dir, scenario, { transport });
    afterTest(() => sipp.running.stop());
    const gateway: CallGateway = await openGateway(options);
    const statuses: CallStatus[] = [];
    const call: Call = await gateway.startup({ callee: sipp.uri, sipTransport: transport });
    call.on('status', (status) => statuses.push(status));
    return { sipp, gateway, call, statuses };
  }

  /** How often the gateway sent, or got, a message that begins so. */
  const count = (call: Call, direction: 'in' | 'out', begin: string): number =>
    call.trace().filter((one) => one.direction === direction && one.startLine.startsWith(begin))
      .length;

  const poll = (value: () => unknown) => expect.poll(value, { timeout: 10_000, interval: 20 });

  it.each(['udp', 'tcp'] as const)(
    'moves its media, holds in every form and resumes, over %s',
    { timeout: 40_000 },
    async (transport) => {
      const [first, second] = [await mediaPort(), await mediaPort()];
      const at = { port: second.port };
      const scenario = new SippScenario('callee')
        .accept({ port: first.port })
        .pause(500)
        .change('INVITE', 2, { ...at, version: 2 }, ['a=sendrecv'])
        .pause(500)
        .change('INVITE', 3, { ...at, version: 3, direction: 'sendonly' }, ['a=recvonly'])
        .pause(700)
        .change('INVITE', 4, { ...at, version: 4 }, ['a=sendrecv'])
        .pause(300)
        .change('INVITE', 5, { ...at, version: 5, direction: 'inactive' }, ['a=inactive'])
        .pause(300)
        .change('UPDATE', 6, { ...at, version: 6 }, ['a=sendrecv'])
        .pause(300)
        .change('INVITE', 7, { ...at, version: 7, address: '0.0.0.0' })
        .pause(700)
        .change('UPDATE', 8, { ...at, version: 8, direction: 'sendonly' }, ['a=recvonly'])
        // Asked for an offer, we make one as for a new call: the answer in the ACK takes the call back.
        .send('INVITE', 9)
        .response(200, ['m=audio [1-9]', 'a=sendrecv'])
        .send('ACK', 9, { sdp: { ...at, version: 9 } })
        .pause(500)
        .bye(10);
      const { sipp, gateway, call, statuses } = await dial(scenario, {}, transport);
      await poll(first.packets).toBeGreaterThan(5);
      await poll(second.packets).toBeGreaterThan(5);
      const moved = first.packets();
      await poll(() => statuses.at(-1)).toBe('HOLD');
      // What was under way when the offer came may still arrive.
      await new Promise((resolve) => {
        setTimeout(resolve, 200);
      });
      const held = second.packets();
      await new Promise((resolve) => {
        setTimeout(resolve, 300);
      });
      expect(second.packets() - held).toBeLessThanOrEqual(1);
      expect(first.packets() - moved).toBeLessThanOrEqual(2);
      await call.closed();
      await sipp.done();
      expect(statuses).toEqual([
        'RING',
        'ESTABLISHED',
        'HOLD',
        'ESTABLISHED',
        'HOLD',
        'ESTABLISHED',
        'HOLD',
        'ESTABLISHED',
        'FINISH',
      ]);
      expect(call.view()).toMatchObject({ endedBy: 'remote', info: 'Normal call clearing' });
      expect(gateway.faults).toEqual({});
    },
  );

  it('is held and taken back by us; its refusal changes nothing', async () => {
    const scenario = new SippScenario('callee')
      .accept({ port: 40_000 })
      .request('INVITE', ['a=sendonly'])
      .answer(200, { sdp: { port: 40_000, version: 2, direction: 'recvonly' } })
      .request('ACK')
      .request('INVITE', ['a=sendrecv'])
      .answer(200, { sdp: { port: 40_000, version: 3 } })
      .request('ACK')
      .request('INVITE', ['a=sendonly'])
      .answer(488)
      .request('ACK')
      .ended();
    const { sipp, call } = await dial(scenario);
    await call.established();
    await call.hold();
    expect(call.status).toBe('HOLD');
    await call.resume();
    expect(call.status).toBe('ESTABLISHED');
    await expect(call.hold()).rejects.toMatchObject({ code: 'CALL_STATE', sipStatus: 488 });
    expect(call.status).toBe('ESTABLISHED');
    await call.terminate();
    await sipp.done();
  });

  it('changes at the same moment as we do: 491 both ways, then one after the other', async () => {
    const scenario = new SippScenario('callee')
      .accept({ port: 40_000 })
      .request('INVITE', ['a=sendonly'], true)
      .send('INVITE', 2, { sdp: { port: 40_002, version: 2 } })
      .response(491)
      // sipp leaves the ACK of a refusal to its scenario.
      .send('ACK', 2, { branch: 'invite' })
      .answerKept(491, {})
      .request('ACK')
      .change('INVITE', 3, { port: 40_002, version: 3 })
      .request('INVITE', ['a=sendonly'])
      .answer(200, { sdp: { port: 40_002, version: 4, direction: 'recvonly' } })
      .request('ACK')
      .ended();
    const { sipp, call } = await dial(scenario);
    await call.established();
    await call.hold();
    expect(call.status).toBe('HOLD');
    await call.terminate();
    await sipp.done();
    // The second offer is none of the past: its number is above that of our answer between the two.
    const versions = [...sipp.messages().matchAll(/^o=- \d+ (\d+) /gm)].map((one) =>
      Number(one[1]),
    );
    expect(versions.at(-1)).toBeGreaterThan(Math.max(...versions.slice(0, -1)) - 1);
    expect(new Set(versions.slice(-2)).size).toBe(2);
  });

  it('leaves the refreshing of the session to us', async () => {
    const scenario = new SippScenario('callee')
      .accept({ port: 40_000 }, ['Session-Expires: 10;refresher=uac', 'Allow: INVITE, UPDATE'])
      .request('UPDATE', ['Session-Expires: *10; *refresher=uac'])
      .answer(200, { headers: ['Session-Expires: 10;refresher=uac', 'Allow: INVITE'] })
      .ended();
    const { sipp, call } = await dial(scenario, { sessionTimer: { mode: 'request' } });
    await call.established();
    await poll(() => count(call, 'out', 'UPDATE')).toBe(1);
    await call.terminate();
    await sipp.done();
  });

  it('promises to refresh the session and does not: BYE in time', { timeout: 20_000 }, async () => {
    const scenario = new SippScenario('callee')
      .accept({ port: 40_000 }, ['Session-Expires: 10;refresher=uas'])
      .ended();
    const { sipp, call } = await dial(scenario);
    await call.closed();
    expect(call.view()).toMatchObject({ status: 'FAILED', info: 'Failed by session expiry' });
    await sipp.done();
  });

  it('wants a longer session (422), and gets it', async () => {
    const scenario = new SippScenario('callee')
      .invited()
      .answer(422, { tag: TAG, headers: ['Min-SE: 2000'] })
      .request('ACK')
      .request('INVITE', ['Session-Expires: *2000', 'Min-S[Ee]: *2000'])
      .answer(200, {
        tag: TAG,
        sdp: { port: 40_000 },
        headers: ['Session-Expires: 2000;refresher=uac'],
      })
      .request('ACK')
      .ended();
    const { sipp, call } = await dial(scenario, { sessionTimer: { mode: 'request' } });
    await call.established();
    await call.terminate();
    await sipp.done();
  });

  it('rings reliably, with early media; repeated and negative RSeq are no news', async () => {
    const reliable = (rseq: number) => ['Require: 100rel', `RSeq: ${rseq}`];
    const scenario = new SippScenario('callee').invited();
    // The INVITE is answered last: its headers are kept under names of their own.
    const kept = scenario.keepInvite();
    kept
      .answerInvite(183, { tag: TAG, headers: reliable(700), sdp: { port: 40_000 } })
      .request('PRACK', ['RAck: *700 1 INVITE'])
      .answer(200)
      .answerInvite(183, { tag: TAG, headers: reliable(700), sdp: { port: 40_000 } })
      .answerInvite(180, { tag: TAG, headers: reliable(-5) })
      .answerInvite(180, { tag: TAG, headers: reliable(703) })
      .answerInvite(180, { tag: TAG, headers: reliable(701) })
      .request('PRACK', ['RAck: *701 1 INVITE'])
      .answer(200)
      .answerInvite(200, { tag: TAG })
      .request('ACK')
      .ended();
    const { sipp, call } = await dial(scenario);
    await call.established();
    await call.terminate();
    await sipp.done();
    expect(count(call, 'out', 'PRACK')).toBe(2);
  });

  it('sends us elsewhere (302), and in a circle', async () => {
    const moved = (user: string) => [`Contact: <sip:${user}@[local_ip]:[local_port]>`];
    const scenario = new SippScenario('callee')
      .invited()
      .answer(302, { tag: TAG, headers: moved('carol') })
      .request('ACK')
      .request('INVITE', ['^INVITE sip:carol@'])
      .answer(302, { tag: TAG, headers: moved('dave') })
      .request('ACK')
      .request('INVITE', ['^INVITE sip:dave@'])
      .answer(302, { tag: TAG, headers: moved('carol') })
      .request('ACK');
    const { sipp, call } = await dial(scenario);
    await call.closed();
    await sipp.done();
    expect(call.view()).toMatchObject({ status: 'FAILED', sipStatus: 302 });
    expect(count(call, 'out', 'INVITE')).toBe(3);
  });

  it('answers twice, as two forks: the later one is hung up', async () => {
    const scenario = new SippScenario('callee')
      .invited()
      .keepInvite()
      .answerInvite(180, { tag: TAG })
      .answerInvite(180, { tag: ';tag=other' })
      .answerInvite(200, { tag: TAG, sdp: { port: 40_000 } })
      .request('ACK', ['To: .*tag=sipp'])
      .answerInvite(200, { tag: ';tag=other', sdp: { port: 40_002 } })
      .request('ACK', ['To: .*tag=other'])
      .request('BYE', ['To: .*tag=other'])
      .answer(200)
      // A 2xx whose ACK was lost comes again, and so does its ACK.
      .answerInvite(200, { tag: TAG, sdp: { port: 40_000 } })
      .request('ACK', ['To: .*tag=sipp'])
      .request('BYE', ['To: .*tag=sipp'])
      .answer(200);
    const { sipp, call } = await dial(scenario);
    await call.established();
    await poll(() => count(call, 'out', 'ACK')).toBe(3);
    await call.terminate();
    await sipp.done();
  });

  it('answers while we cancel: ACK, then BYE', async () => {
    const scenario = new SippScenario('callee')
      .invited()
      .keepInvite()
      .answerInvite(180, { tag: TAG })
      .request('CANCEL')
      .answerInvite(200, { tag: TAG, sdp: { port: 40_000 } })
      .request('ACK')
      .ended();
    const { sipp, call } = await dial(scenario);
    await poll(() => call.status).toBe('RING');
    await call.terminate();
    await sipp.done();
    expect(call.view()).toMatchObject({ status: 'FINISH' });
  });

  it('hangs up at the same moment as we do', async () => {
    const scenario = new SippScenario('callee')
      .accept({ port: 40_000 })
      .request('BYE', [], true)
      .send('BYE', 2)
      .response(200)
      .answerKept(200, {});
    const { sipp, call, gateway } = await dial(scenario);
    await call.established();
    await call.terminate();
    await sipp.done();
    expect(gateway.calls.live).toEqual([]);
  });

  it('answers late: the INVITE comes again until then', async () => {
    const scenario = new SippScenario('callee')
      .request('INVITE', [], true)
      .pause(1800)
      .answerKept(200, { sdp: { port: 40_000 }, tag: TAG })
      .request('ACK')
      .ended();
    const { sipp, call } = await dial(scenario);
    await call.established();
    expect(count(call, 'out', 'INVITE')).toBe(3);
    await call.terminate();
    await sipp.done();
  });

  it('is asked to call a third party (REFER), and reports the outcome', async () => {
    const notify = (sequence: number, status: string, state: string) =>
      [
        'NOTIFY',
        sequence,
        {
          headers: [
            'Event: refer',
            `Subscription-State: ${state}`,
            'Content-Type: message/sipfrag',
          ],
          body: `SIP/2.0 ${status}`,
        },
      ] as const;
    const scenario = new SippScenario('callee')
      .accept({ port: 40_000 })
      .request('REFER', ['Refer-To: *&lt;sip:carol@example.com&gt;'])
      .answer(202)
      .send(...notify(2, '100 Trying', 'active;expires=60'))
      .response(200)
      .send(...notify(3, '200 OK', 'terminated;reason=noresource'))
      .response(200)
      .ended();
    const { sipp, call } = await dial(scenario);
    await call.established();
    await call.transfer('sip:carol@example.com');
    await call.closed();
    await sipp.done();
  });

  it('asks us to call a third party, which the application accepts, and gets reports of its progress', async () => {
    const scenario = new SippScenario('callee')
      .accept({ port: 40_000 })
      .send('REFER', 2, {
        headers: ['Refer-To: <sip:carol@example.com>', 'Referred-By: <sip:boss@example.com>'],
      })
      .response(202)
      .request('NOTIFY', ['Subscription-State: active', 'SIP/2.0 100 '])
      .answer(200)
      .request('NOTIFY', ['Subscription-State: active', 'SIP/2.0 180 Ringing'])
      .answer(200)
      .request('NOTIFY', ['Event: refer', 'Subscription-State: terminated', 'SIP/2.0 200 OK'])
      .answer(200)
      .bye(3);
    const { sipp, call } = await dial(scenario);
    const asked: (string | undefined)[] = [];
    call.on('refer', (refer) => {
      asked.push(refer.target, refer.referredBy);
      refer.report(180, 'Ringing');
      refer.report(200, 'OK');
    });
    await call.closed();
    await sipp.done();
    expect(asked).toEqual(['sip:carol@example.com', 'sip:boss@example.com']);
    expect(call.view()).toMatchObject({ status: 'FINISH', endedBy: 'remote' });
  });

  it('asks us to call a third party, or for an unsupported method: declined', async () => {
    const scenario = new SippScenario('callee')
      .accept({ port: 40_000 })
      .send('REFER', 2, { headers: ['Refer-To: <sip:carol@example.com>'] })
      .response(603)
      .send('NOTIFY', 3, { headers: ['Event: refer', 'Subscription-State: active'] })
      .response(481)
      .send('SUBSCRIBE', 4, { headers: ['Event: presence'] })
      .response(405, ['Allow: .*INVITE'])
      .send('FOO', 5)
      .response(501)
      .send('INFO', 6)
      .response(200)
      .bye(7);
    const { sipp, call } = await dial(scenario);
    await call.closed();
    await sipp.done();
    expect(call.view()).toMatchObject({ status: 'FINISH', endedBy: 'remote' });
  });
});
