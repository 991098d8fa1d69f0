// One case table of requests, sent to the API in every HTTP server it can be mounted in: the answers must be the same.

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { createCallGateway } from '@sipcast/core';
import { createRestRouter } from '@sipcast/rest';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { REST_CASES } from './rest-cases.ts';
import type { RestCase } from './rest-cases.ts';
import { HOSTS } from './rest-http-hosts.ts';
import type { Host } from './rest-http-hosts.ts';

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

const RELEVANT_HEADERS = [
  'content-type',
  'content-length',
  'transfer-encoding',
  'allow',
  'www-authenticate',
  'retry-after',
  'vary',
  'access-control-allow-origin',
  'access-control-allow-methods',
  'access-control-allow-headers',
  'access-control-max-age',
];

function send(port: number, one: RestCase): Promise<Answer> {
  const { path, method = 'POST', body, chunked = false } = one;
  const type = body === undefined ? {} : { 'content-type': 'application/json' };
  const length = Buffer.byteLength(body ?? '');
  const framing = chunked
    ? { 'transfer-encoding': 'chunked' }
    : method === 'POST'
      ? { 'content-length': String(length) }
      : {};
  const chosen = { ...type, ...framing, ...one.headers };
  const headers = Object.fromEntries(Object.entries(chosen).filter(([, value]) => value !== ''));
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host: '127.0.0.1', port, path, method, headers, agent: false });
    request.on('error', reject);
    request.on('response', (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('end', () => {
        const relevant = RELEVANT_HEADERS.flatMap((name) => {
          const value = response.headers[name];
          return value === undefined ? [] : [[name, String(value)] as const];
        });
        resolve({
          status: response.statusCode ?? 0,
          headers: Object.fromEntries(relevant),
          body: Buffer.concat(parts).toString(),
        });
      });
    });
    request.end(body);
  });
}

/** The same answer without what differs from one gateway, and one millisecond, to the next. */
function comparable({ status, headers, body }: Answer): unknown {
  const varying: Readonly<Record<string, string>> = {
    timestamp: '<time>',
    nodeId: '<node>',
    createdAt: '<time>',
    endedAt: '<time>',
  };
  if (body === '' || !headers['content-type']?.startsWith('application/json'))
    return { status, headers, body };
  const json = JSON.parse(body, (key, value: unknown) => {
    if (value === null) return value;
    if (key === 'mediaSessionId') return (value as string).replace(/-[0-9a-f]{12}$/, '-<random>');
    return varying[key] ?? value;
  }) as unknown;
  // The lengths of what was replaced are the same everywhere.
  return { status, headers, json };
}

async function runCases(host: Host, callee: string): Promise<Map<string, Answer>> {
  const gateway = await createCallGateway({
    transcoding: false,
    bindAddress: '127.0.0.1',
    sipTimers: { t1Ms: 20 },
  });
  const basicAuth = { username: 'user', password: 'pass' };
  const { port, close } = await host.open([
    createRestRouter(gateway, { cors: ['http://a'] }),
    createRestRouter(gateway, { mount: '/locked', basicAuth }),
  ]);
  const answers = new Map<string, Answer>();
  try {
    for (const one of REST_CASES) {
      const body = one.body?.replace('$callee', callee);
      answers.set(one.name, await send(port, { ...one, ...(body === undefined ? {} : { body }) }));
    }
  } finally {
    await close();
    await gateway.close();
  }
  return answers;
}

const silentPhone = createSocket('udp4');
const results = new Map<Host, Map<string, Answer>>();

beforeAll(async () => {
  silentPhone.bind(0, '127.0.0.1');
  await once(silentPhone, 'listening');
  const callee = `phone@127.0.0.1:${silentPhone.address().port}`;
  for (const host of HOSTS) results.set(host, await runCases(host, callee));
});
afterAll(() => void silentPhone.close());

describe.each(HOSTS)('$name', (host) => {
  it.each(REST_CASES)('$name', (one) => {
    const answer = results.get(host)?.get(one.name) as Answer;
    if (host.parsesBefore && one.parserAnswers !== undefined) {
      // Not the API's answer: only that it is a refusal.
      expect(answer.status, one.parserAnswers).toBeGreaterThanOrEqual(400);
      return;
    }
    expect(answer.status, answer.body).toBe(one.status);
    if (one.answer === '') expect(answer).toMatchObject({ body: '', headers: {} });
    else if (one.answer !== undefined)
      expect(JSON.parse(answer.body)).toMatchObject(one.answer as object);
    if (answer.body === '' && one.method !== 'HEAD')
      expect(answer.headers['content-type']).toBeUndefined();
    if (one.path === '/own') return;
    const reference = results.get(HOSTS[0] as Host)?.get(one.name) as Answer;
    expect(comparable(answer)).toEqual(comparable(reference));
  });
});
