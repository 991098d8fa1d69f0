// The contract against the running router: every answer is as its schema says, every path is there, and the client
// speaks to it.

import { RestClient, RestClientError } from '@sipcast/rest';
import type { OpenApiDocument } from '@sipcast/rest';
import { expect, it } from 'vitest';
import { openGateway, openPhone, openSink } from '../../support/call-ends.ts';
import { afterTest } from '../../support/cleanup.ts';
import { startRestServer } from '../../support/rest-server.ts';
import {
  callView,
  errorView,
  pushView,
  streamView,
  traceEntry,
  viewerToken,
} from '../../../packages/rest/src/views.ts';

async function open(basicAuth?: { readonly username: string; readonly password: string }) {
  const peer = await openPhone();
  const sink = await openSink();
  const gateway = await openGateway();
  const server = await startRestServer(gateway, basicAuth ? { basicAuth } : {});
  afterTest(() => server.close());
  const { url } = server;
  const client = new RestClient({ url, ...(basicAuth && { basicAuth }) });
  return { peer, sink, gateway, url, client };
}

/** As the schema says, and nothing beside it. */
const sameAs = (schema: { parse(value: unknown): unknown }, value: unknown): void =>
  expect(schema.parse(value)).toEqual(value);

it('answers are what the document says, key by key', async () => {
  const { peer, sink, url, client } = await open();
  await client.startCall({
    callee: peer.uri,
    callId: 'c1',
    toStream: 's',
    rtmpUrl: sink.url,
    rtmpStream: 'a',
  });
  const calls = async () => (await client.findCalls({ callId: 'c1' }))[0];
  sameAs(callView, await calls());
  await expect.poll(async () => (await calls())?.status).toBe('ESTABLISHED');
  const push = await client.startPush({ streamName: 's', rtmpUrl: `${sink.url}/two`, muted: true });
  sameAs(pushView, push);
  expect(push.muted).toBe(true);
  await expect
    .poll(async () => (await calls())?.rtmpStreamStatus, { timeout: 5000 })
    .toBe('RTMP_STREAM_ACTIVE');
  await expect.poll(async () => (await calls())?.media?.video?.frames ?? 0).toBeGreaterThan(10);
  sameAs(callView, await calls());
  for (const one of await client.findPushes()) sameAs(pushView, one);
  for (const one of await client.findStreams()) sameAs(streamView, one);
  for (const one of await client.trace('c1')) sameAs(traceEntry, one);
  const token = await client.ask('/stream/token', { streamName: 's' });
  sameAs(viewerToken, token);
  const flv = await fetch(client.streamUrl('s', token.token));
  expect(flv.status).toBe(200);
  await flv.body?.cancel();
  await client.hold('c1');
  expect((await calls())?.status).toBe('HOLD');
  await client.resume('c1');
  await client.sendDtmf('c1', '1');
  await client.terminatePush(push.mediaSessionId);
  await client.terminateCall('c1');
  await expect.poll(() => client.findCalls()).toEqual([]);
  for (const one of await client.history()) sameAs(callView, one);
  const failure = await fetch(`${url}/call/find_all`);
  sameAs(errorView, await failure.json());
});

it('every path of the document is one of the router, and the document is served', async () => {
  const { url } = await open();
  const document = (await (await fetch(`${url}/openapi.json`)).json()) as OpenApiDocument;
  expect(document.openapi).toBe('3.1.0');
  for (const [path, methods] of Object.entries(document.paths)) {
    for (const method of Object.keys(methods)) {
      const asked = url + path.replace('{streamName}', 'none');
      const abort = new AbortController();
      const response = await fetch(asked, { method: method.toUpperCase(), signal: abort.signal });
      const { status } = response;
      const body = status === 200 ? '' : await response.text();
      abort.abort();
      expect(body, `${method} ${path}`).not.toContain('NO_SUCH_METHOD');
      expect(Object.keys(methods[method]?.responses ?? {}), `${method} ${path}`).toContain(
        String(status),
      );
    }
  }
  const page = await fetch(`${url}/docs`);
  expect(page.headers.get('content-type')).toContain('text/html');
  expect(page.headers.get('content-security-policy')).toContain("default-src 'none'");
});

it('the client reports errors, and needs its account', async () => {
  const account = { username: 'ops', password: 'sésame' };
  const { client, url } = await open(account);
  await expect(client.findCalls()).resolves.toEqual([]);
  await expect(client.startCall({ callee: '' })).rejects.toMatchObject({
    name: 'RestClientError',
    status: 400,
    code: 'INVALID_ARGUMENT',
    field: 'callee',
  });
  await expect(client.terminateCall('none')).rejects.toBeInstanceOf(RestClientError);
  await expect(new RestClient({ url }).findCalls()).rejects.toMatchObject({ status: 401 });
  const elsewhere = new RestClient({ url: `${url}/no`, basicAuth: account });
  await expect(elsewhere.ask('/call/hold', {})).rejects.toMatchObject({ status: 404 });
});
