// What HTTP clients do on the wire that no polite client does.

import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import type { AddressInfo } from 'node:net';
import { createRestRouter, nodeListener } from '@sipcast/rest';
import { describe, expect, it } from 'vitest';
import { openGateway } from '../../support/call-ends.ts';
import { afterTest } from '../../support/cleanup.ts';

/** An API and what it told of failures inside. */
async function openApi(): Promise<{ port: number; failures: unknown[] }> {
  const failures: unknown[] = [];
  const gateway = await openGateway();
  const onInternalError = (error: unknown): void => void failures.push(error);
  const listener = nodeListener(createRestRouter(gateway, { onInternalError }));
  const server = createServer((request, response) => void listener(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  afterTest(() => new Promise((resolve) => server.close(resolve)));
  return { port: (server.address() as AddressInfo).port, failures };
}

async function exchange(port: number, text: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  let answer = '';
  socket.setEncoding('utf8').on('data', (part) => {
    answer += part;
  });
  socket.write(text);
  await once(socket, 'end');
  return answer;
}

describe('the API on the wire', () => {
  it('answers HTTP/1.0 without a Host header', async () => {
    const { port } = await openApi();
    const answer = await exchange(port, 'GET /rest-api/call/find_all HTTP/1.0\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1\.1 404 /);
    expect(answer).toContain('"code":"CALL_NOT_FOUND"');
  });

  it('does not count a client that disconnects in mid-body as an internal error', async () => {
    const { port, failures } = await openApi();
    const socket = connect(port, '127.0.0.1');
    const head =
      'POST /rest-api/call/find HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n';
    socket.write(`${head}Content-Length: 500\r\n\r\n{"call`);
    await new Promise((resolve) => setTimeout(resolve, 50));
    socket.destroy();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(failures).toEqual([]);
  });
});
