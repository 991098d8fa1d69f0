// Kamailio as registrar and proxy: REGISTER and INVITE with digest, Record-Route, over UDP, TCP and TLS, and behind SRV.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createCallGateway } from '@sipcast/core';
import type { CallGateway, CallGatewayOptions } from '@sipcast/core';
import { SipPeer } from '@sipcast/testkit';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { makeTestAuthority } from '../../support/certificates.ts';
import type { TestAuthority } from '../../support/certificates.ts';
import { startKamailio } from '../../support/kamailio.ts';
import type { Kamailio } from '../../support/kamailio.ts';
import { freeTcpPort } from '../../support/ports.ts';
import { describeWith } from '../../support/programs.ts';

describeWith(['kamailio', 'openssl'], 'kamailio', () => {
  let dir: string;
  let authority: TestAuthority;
  let phone: SipPeer;
  let kamailio: Kamailio;
  let gateway: CallGateway;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'kamailio-'));
    authority = await makeTestAuthority(dir);
    phone = await SipPeer.open({ transport: 'udp' });
    kamailio = await startKamailio(dir, {
      realm: 'pbx.example',
      password: 's3cret',
      phone: phone.uri,
      certificate: authority.domain,
    });
  });
  afterEach(() => gateway.close());
  afterAll(async () => {
    await kamailio.running.stop('SIGTERM');
    await phone.close();
    await rm(dir, { recursive: true, force: true });
  });

  /** DNS in which `pbx.example` is Kamailio; `dead` stands before it. */
  async function open(dead?: number, options: CallGatewayOptions = {}): Promise<CallGateway> {
    const service = (port: number, priority: number) => ({
      priority,
      weight: 0,
      port,
      target: 'edge.pbx.example',
    });
    gateway = await createCallGateway({
      bindAddress: '127.0.0.1',
      transcoding: false,
      sipTls: { ca: authority.ca },
      sipTimers: { t1Ms: 100 },
      sipDns: {
        naptr: async () => [],
        srv: async (name) => {
          const port = name.startsWith('_sips.') ? kamailio.tlsPort : kamailio.port;
          return dead === undefined ? [service(port, 1)] : [service(dead, 0), service(port, 1)];
        },
        addresses: async () => [{ address: '127.0.0.1' }],
      },
      ...options,
    });
    return gateway;
  }

  const account = {
    sipLogin: 'alice',
    sipPassword: 's3cret',
    sipDomain: 'pbx.example',
  };

  for (const sipTransport of ['udp', 'tcp', 'tls'] as const) {
    it(`registers, calls with media, and hangs up over ${sipTransport}`, async () => {
      await open();
      const states: string[] = [];
      gateway.on('registration', ({ state }) => states.push(state));
      const call = await gateway.startup({
        callee: 'bob',
        ...account,
        sipTransport,
        sipRegisterRequired: true,
      });
      await call.established();
      await expect.poll(() => call.stats()?.video?.packets ?? 0).toBeGreaterThan(20);
      const taken = await phone.nextCall();
      await call.terminate();
      expect((await taken.ended).by).toBe('caller');
      expect(states).toEqual(['registered', 'closed']);
      const trace = call.trace();
      expect(new Set(trace.map(({ transport }) => transport))).toEqual(
        new Set([sipTransport.toUpperCase()]),
      );
      // The challenge of the proxy was answered, and our BYE went its way back along the Record-Route.
      expect(trace.map(({ startLine }) => startLine)).toEqual(
        expect.arrayContaining([expect.stringMatching(/ 407 /)]),
      );
      const bye = trace.find(({ startLine }) => startLine.startsWith('BYE '));
      expect(bye?.message).toMatch(/^Route: <sip:127\.0\.0\.1:\d+;.*lr/m);
      // The phone judges as if it were called directly: Route and credentials were for the proxy, which took them out.
      const forProxy = /Route is \(none\)|does not repeat proxy-authorization/;
      expect(phone.violations.filter(({ rule }) => !forProxy.test(rule))).toEqual([]);
    });
  }

  it('finds it behind a server that is gone', async () => {
    await open(await freeTcpPort());
    const call = await gateway.startup({
      callee: 'bob',
      ...account,
      sipTransport: 'tcp',
      sipRegisterRequired: true,
    });
    await call.established();
    const taken = await phone.nextCall();
    await call.terminate();
    await taken.ended;
  });

  it('keeps a standing registration, lengthened as the registrar wants it', async () => {
    await open();
    const registration = gateway.accounts.register({
      ...account,
      sipTransport: 'tls',
      expiresSeconds: 5,
    });
    await registration.registered();
    const { expiresAt, contact } = registration.view();
    expect(contact).toContain('transport=tls');
    const leftMs = new Date(expiresAt ?? 0).getTime() - Date.now();
    expect(leftMs).toBeGreaterThan(50_000);
    await registration.close();
    expect(registration.state).toBe('closed');
  });

  it('fails with a wrong password, and says so', async () => {
    await open();
    const call = await gateway.startup({
      callee: 'bob',
      ...account,
      sipPassword: 'wrong',
      sipRegisterRequired: true,
    });
    await expect(call.established()).rejects.toMatchObject({ code: 'CALL_FAILED', sipStatus: 401 });
  });
});
