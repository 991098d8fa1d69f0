// Applications with addresses of their own, and ports beside the first.

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { SipPeer } from '@sipcast/testkit';
import { serve } from 'sipcast';
import { expect, it } from 'vitest';
import { afterTest } from '../../support/cleanup.ts';
import { freeTcpPort } from '../../support/ports.ts';

async function openApplication(): Promise<{
  callAppUrl: string;
  events: { callId: string; status: string }[];
  signed: boolean[];
}> {
  const events: { callId: string; status: string }[] = [];
  const signed: boolean[] = [];
  const server = createServer((request, response) => {
    let text = '';
    request.on('data', (part: Buffer) => void (text += part.toString()));
    request.on('end', () => {
      events.push(JSON.parse(text) as (typeof events)[number]);
      signed.push('webhook-signature' in request.headers);
      response.end();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  afterTest(() => server.close());
  const { port } = server.address() as AddressInfo;
  return { callAppUrl: `http://127.0.0.1:${port}/App`, events, signed };
}

it('reports calls to the application of their key, and all others to one application', async () => {
  const [own, others, phone] = [
    await openApplication(),
    await openApplication(),
    await SipPeer.open(),
  ];
  afterTest(() => phone.close());
  const server = await serve({
    http: { port: 0 },
    gateway: { transcoding: false },
    log: { write: () => {} },
    events: {
      callAppUrl: others.callAppUrl,
      apps: { door: { callAppUrl: own.callAppUrl, secret: 'door-secret' } },
    },
  });
  afterTest(() => server.close());
  for (const [callId, appKey] of [
    ['c1', 'door'],
    ['c2', 'gate'],
  ] as const) {
    const call = await server.gateway.startup({ callId, appKey, callee: phone.uri });
    await call.established();
    await call.terminate();
  }
  await server.close();
  for (const [application, callId, isSigned] of [
    [own, 'c1', true],
    [others, 'c2', false],
  ] as const) {
    expect(new Set(application.events.map((event) => event.callId))).toEqual(new Set([callId]));
    expect(application.events.at(-1)?.status).toBe('FINISH');
    expect(new Set(application.signed)).toEqual(new Set([isSigned]));
  }
});

it('does not start with a secret or a password that is empty', async () => {
  const callAppUrl = 'http://127.0.0.1:9/App';
  for (const [options, problem] of [
    [{ events: { callAppUrl, secret: '' } }, 'events.secret must hold a key that is not empty'],
    [
      { events: { apps: { door: { callAppUrl, secret: 'whsec_' } } } },
      'events.apps.door.secret must hold a key that is not empty',
    ],
    [{ basicAuth: { username: 'ops', password: '' } }, 'basicAuth: the password is empty'],
  ] as const) {
    const gateway = { transcoding: false } as const;
    const wanted = { http: { port: 0 }, gateway, log: { write: () => {} }, ...options };
    await expect(serve(wanted)).rejects.toThrow(problem);
  }
});

it('has the same API on more ports, and closes them all', async () => {
  const ports = [await freeTcpPort(), await freeTcpPort()];
  const server = await serve({
    http: { port: 0, listeners: ports.map((port) => ({ port })) },
    gateway: { transcoding: false },
    log: { write: () => {} },
  });
  afterTest(() => server.close());
  const urls = ports.map((port) => `http://127.0.0.1:${port}/rest-api/call/history`);
  for (const url of urls) expect((await fetch(url)).status).toBe(200);
  await server.close();
  for (const url of urls) await expect(fetch(url)).rejects.toThrow();
});
