// A client as scripts of the reference product are: it polls from before the startup until 404, sends digits the moment
// find answers, and leaves out nothing by "".

import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { openGateway, openPhone, openSink } from '../../support/call-ends.ts';
import { afterTest } from '../../support/cleanup.ts';
import { startRestServer } from '../../support/rest-server.ts';

it('sees its call from the first poll after the startup to the 404 of its end', async () => {
  const peer = await openPhone({ script: { ring: 0, answerAfterMs: 400 } });
  const sink = await openSink();
  const gateway = await openGateway();
  const server = await startRestServer(gateway, { cors: '*' });
  afterTest(() => server.close());
  const { url } = server;
  const post = (path: string, body: unknown): Promise<Response> =>
    fetch(url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json;charset=UTF-8' },
      body: JSON.stringify(body),
    });

  // A page on another port asks first.
  const preflight = await fetch(`${url}/call/startup`, {
    method: 'OPTIONS',
    headers: {
      origin: 'http://127.0.0.1:9091',
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'content-type,x-requested-with,authorization',
    },
  });
  expect(preflight.ok).toBe(true);
  expect(preflight.headers.get('access-control-allow-origin')).toBe('*');
  for (const name of ['content-type', 'x-requested-with', 'authorization'])
    expect(preflight.headers.get('access-control-allow-headers')).toContain(name);

  const seen: (number | string)[] = [];
  let isOver = false;
  let isPlaced = false;
  const polling = (async () => {
    while (!isOver) {
      const found = await post('/call/find', { callId: 'my-call' });
      let entry: number | string = found.status;
      if (found.status === 200) {
        const [call] = (await found.json()) as { status: string; rtmpStreamStatus: string }[];
        entry = `${call?.status} ${call?.rtmpStreamStatus}`;
        if (!seen.some((one) => typeof one === 'string')) {
          const sent = await post('/call/send_dtmf', { callId: 'my-call', dtmf: '1#', type: '' });
          expect(sent.status).toBe(200);
          expect(await sent.text()).toBe('');
        }
      } else if (isPlaced && seen.some((one) => typeof one === 'string')) isOver = true;
      if (seen.at(-1) !== entry) seen.push(entry);
      await sleep(20);
    }
  })();
  await sleep(60);
  const [host = ''] = peer.uri.replace('sip:phone@', '').split(';');
  const started = await post('/call/startup', {
    callId: 'my-call',
    callee: 'phone',
    sipDomain: host,
    sipOutboundProxy: '',
    sipPort: '',
    sipLogin: 'bob',
    sipAuthenticationName: '',
    sipPassword: '',
    sipRegisterRequired: 'false',
    visibleName: '',
    appKey: '',
    toStream: '',
    hasAudio: 'true',
    hasVideo: 'true',
    rtmpUrl: sink.url,
    rtmpStream: 'my-stream',
    somethingUnknown: { nested: [1] },
  });
  expect([started.status, await started.text()]).toEqual([200, '{}']);
  isPlaced = true;
  await expect.poll(() => seen.at(-1), { timeout: 8000 }).toBe('ESTABLISHED RTMP_STREAM_ACTIVE');

  const all = await fetch(`${url}/call/find_all`);
  expect((await all.json()) as unknown[]).toHaveLength(1);
  const phone = await peer.nextCall();
  await expect
    .poll(() => phone.digits.map(({ digit }) => digit).join(''), { timeout: 5000 })
    .toBe('1#');
  const pushes = await post('/push/find', { streamName: 'rtmp_my-stream' });
  const [push] = (await pushes.json()) as { mediaSessionId: string; muted: boolean }[];
  expect(push?.mediaSessionId).toContain('my-call');
  const muted = await post('/push/mute', { mediaSessionId: push?.mediaSessionId });
  expect([muted.status, await muted.text()]).toEqual([200, '']);

  const ended = await post('/call/terminate', { callId: 'my-call' });
  expect([ended.status, await ended.text()]).toEqual([200, '']);
  await polling;
  expect(seen[0]).toBe(404);
  expect(seen.at(-1)).toBe(404);
  const statuses = seen.filter((one) => typeof one === 'string');
  expect(statuses[0]).toMatch(/ RTMP_STREAM_WAIT$/);
  expect(statuses.every((one) => !one.includes('FAILED'))).toBe(true);
  expect(peer.violations).toEqual([]);
}, 20_000);
