// Several gateways in one process, mounted in one HTTP server: each has its calls, its names and its end.

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { CallGateway } from '@sipcast/core';
import { createRestRouter, nodeListener } from '@sipcast/rest';
import { RestClient } from '@sipcast/rest/client';
import { expect, it } from 'vitest';
import { openGateway, openPhone, openSink } from '../../support/call-ends.ts';
import { afterTest } from '../../support/cleanup.ts';

const RTP_PORTS = { min: 29_000, max: 29_199 };

/** Both use the same range: what one holds the other leaves. */
const openSharing = (): Promise<CallGateway> => openGateway({ rtpPorts: RTP_PORTS });

it('two gateways share a process and a range of ports, and nothing else', async () => {
  const phone = await openPhone();
  const sink = await openSink();
  const [left, right] = [await openSharing(), await openSharing()];
  const [leftApi, rightApi] = [left, right].map((gateway, index) => {
    const router = createRestRouter(gateway, { mount: index === 0 ? '/left' : '/right' });
    return nodeListener(router);
  });
  const server = createServer((request, response) => {
    const api = request.url?.startsWith('/left/') ? leftApi : rightApi;
    void api?.(request, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  afterTest(() => {
    server.close();
    server.closeAllConnections();
  });
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const [leftClient, rightClient] = ['left', 'right'].map(
    (mount) => new RestClient({ url: `${origin}/${mount}` }),
  ) as [RestClient, RestClient];

  // The same names in both: they are each gateway's own.
  for (const [index, client] of [leftClient, rightClient].entries())
    await client.startCall({
      callId: 'one',
      callee: phone.uri,
      toStream: 'studio',
      rtmpUrl: sink.url,
      rtmpStream: `one-${index}`,
    });
  await Promise.all([left, right].map((gateway) => gateway.calls.get('one').established()));
  const publications = [await sink.nextPublication(), await sink.nextPublication()];
  expect(publications.map(({ streamName }) => streamName).toSorted()).toEqual(['one-0', 'one-1']);
  expect(left.nodeId).not.toBe(right.nodeId);
  expect((await leftClient.findCalls())[0]?.nodeId).toBe(left.nodeId);
  expect((await rightClient.findCalls())[0]?.nodeId).toBe(right.nodeId);
  const portsOf = (gateway: CallGateway): string[] =>
    phone.messages
      .flatMap(({ message }) =>
        'method' in message && message.method === 'INVITE' ? [message] : [],
      )
      .filter(({ headers }) => headers.get('contact')?.includes(`:${gateway.sipPort}`))
      .flatMap(({ body }) => [
        ...Buffer.from(body)
          .toString()
          .matchAll(/^m=\w+ (\d+)/gm),
      ])
      .map(([, port = '']) => port);
  expect(new Set([...portsOf(left), ...portsOf(right)]).size).toBe(4);

  // The end of one is not the end of the other.
  await left.close();
  const goesOn = publications.find(({ streamName }) => streamName === 'one-1');
  const before = goesOn?.tagCount ?? 0;
  await expect.poll(() => goesOn?.tagCount).toBeGreaterThan(before + 50);
  expect(right.calls.get('one').status).toBe('ESTABLISHED');
  expect(phone.calls.filter(({ status }) => status === 'ended')).toHaveLength(1);
  await expect(leftClient.startCall({ callee: phone.uri })).rejects.toMatchObject({ status: 503 });
  await rightClient.startCall({ callId: 'two', callee: phone.uri });
  await right.calls.get('two').established();
  expect(phone.violations).toEqual([]);
});
