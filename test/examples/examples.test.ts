// Every example is started as its reader would start it, against a phone and an RTMP server of the testkit.

import { createHmac } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { readFlvTags } from '@sipcast/media';
import { serve } from 'sipcast';
import type { ServeHandle } from 'sipcast';
import { describe, expect, it } from 'vitest';
import { openPhone, openSink } from '../support/call-ends.ts';
import { afterTest } from '../support/cleanup.ts';
import { makeFolder } from '../support/folder.ts';
import { Script } from '../support/script.ts';

function start(
  name: string,
  args: readonly string[] = [],
  environment: NodeJS.ProcessEnv = {},
): Script {
  const script = new Script(`examples/${name}.ts`, args, environment);
  afterTest(() => script.kill());
  return script;
}

async function openServer(): Promise<ServeHandle> {
  const server = await serve({ http: { port: 0 }, log: { write: () => {} } });
  afterTest(() => server.close(500));
  return server;
}

describe('startup.ts', () => {
  it('dials, shows the statuses, and hangs up', async () => {
    const phone = await openPhone();
    const sink = await openSink();
    const script = start('startup', [phone.uri, sink.url, 'camera'], { SECONDS_ON_AIR: '1.5' });
    expect(await script.exited).toBe(0);
    expect(script.lines).toEqual([
      ...script.lines.filter((line) => /^call (TRYING|RING)$/.test(line)),
      'call ESTABLISHED',
      'rtmp RTMP_STREAM_ACTIVE',
      expect.stringMatching(/^received 640×360, \d+ frames$/),
      'call FINISH',
    ]);
    const publication = await sink.nextPublication();
    expect(publication.streamName).toBe('camera');
    expect(publication.tags.filter(({ type }) => type === 9).length).toBeGreaterThan(20);
    expect((await (await phone.nextCall()).ended).how).toBe('bye');
    expect(phone.violations).toEqual([]);
  });

  it('says why a call failed', async () => {
    const phone = await openPhone({ script: { answer: 486 } });
    const script = start('startup', [phone.uri, 'rtmp://127.0.0.1:1/live', 'camera']);
    expect(await script.exited).toBe(1);
    expect(script.lines).toContain('call BUSY');
    expect(script.output).toMatch(/CALL_FAILED .* ended BUSY/);
  });
});

describe('opentelemetry.ts', () => {
  it('makes a span of a call, and one of its push within', async () => {
    const phone = await openPhone();
    const sink = await openSink();
    const script = start('opentelemetry', [phone.uri, sink.url, 'cam'], { SECONDS_ON_AIR: '1' });
    expect(await script.exited, script.output).toBe(0);
    const spans = script.output.split(/^}$/m).filter((text) => text.includes('traceId'));
    expect(spans).toHaveLength(2);
    const [push = '', call = ''] = spans;
    const valueOf = (span: string, key: string) => new RegExp(`${key}: '?(\\w+)`).exec(span)?.[1];
    const namesOf = (span: string) => [...span.matchAll(/name: '(\w+)'/g)].map(([, name]) => name);
    expect(namesOf(push)).toEqual(['sipcast', 'push', 'RTMP_STREAM_WAIT', 'RTMP_STREAM_ACTIVE']);
    expect(namesOf(call)).toEqual([
      'sipcast',
      'call',
      'PENDING',
      'TRYING',
      'RING',
      'ESTABLISHED',
      'FINISH',
    ]);
    expect(valueOf(push, 'spanId')).toBe(valueOf(call, 'id'));
    expect(Number(valueOf(push, "'rtmp.bytes_sent'"))).toBeGreaterThan(1000);
    expect(valueOf(call, "'sip.status_code'")).toBe('200');
    expect(script.output).not.toContain(sink.url);
  });

  it('reports why a call failed', async () => {
    const phone = await openPhone({ script: { answer: 480 } });
    const script = start('opentelemetry', [phone.uri, 'rtmp://127.0.0.1:1/live', 'cam']);
    expect(await script.exited).toBe(1);
    expect(script.output).toMatch(/status: \{ code: 2, message: '480 [\w ]+' \}/);
  });
});

describe.each([
  { name: 'node-http', headers: {} },
  { name: 'express', headers: {} },
  { name: 'koa', headers: { 'x-api-key': 'open sesame' }, refused: 403 },
  {
    name: 'fastify',
    headers: { authorization: `Basic ${btoa('user:change me')}` },
    refused: 401,
  },
  { name: 'hono', headers: { authorization: 'Bearer change-me' }, refused: 401 },
])('$name.ts', ({ name, headers, refused }) => {
  it('has the API beside its own routes', async () => {
    const phone = await openPhone();
    const script = start(name, [], { PORT: '0' });
    const [url] = await script.line(/^http:\/\/127\.0\.0\.1:\d+\/api$/);
    const ask = (path: string, body: unknown, more: Record<string, string>) =>
      fetch(url + path, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...more },
        body: JSON.stringify(body),
      });
    const request = { callId: 'c1', callee: phone.uri };
    if (refused !== undefined)
      expect((await ask('/call/startup', request, {})).status).toBe(refused);
    const startup = await ask('/call/startup', request, headers);
    expect([startup.status, await startup.text()]).toEqual([200, '{}']);
    await script.line(/^c1 ESTABLISHED$/);
    const own = await fetch(url.replace('/api', '/'), {
      headers: headers as Record<string, string>,
    });
    expect(await own.text()).toBe('1 calls\n');
    const call = await phone.nextCall();
    await call.confirmed;
    script.signal('SIGTERM');
    expect((await call.ended).how).toBe('bye');
    expect(await script.exited).toBe(0);
  });
});

describe('call-cli.ts', () => {
  it('dials, lists, presses keys and hangs up', async () => {
    const phone = await openPhone();
    const sink = await openSink();
    const { url } = await openServer();
    const cli = (...args: string[]): Script => start('call-cli', args, { SIPCAST_URL: url });
    const dial = cli('dial', phone.uri, sink.url, 'camera');
    const [, callId = ''] = await dial.line(/^(\S+) ESTABLISHED RTMP_STREAM_ACTIVE$/);
    const list = cli('list');
    expect(await list.exited).toBe(0);
    expect(list.lines).toEqual([`${callId} ESTABLISHED ${phone.uri} RTMP_STREAM_ACTIVE`]);
    expect(await cli('digits', callId, '42').exited).toBe(0);
    const call = await phone.nextCall();
    await expect.poll(() => call.digits.map(({ digit }) => digit).join('')).toBe('42');
    expect(await cli('hangup', callId).exited).toBe(0);
    expect(await dial.exited).toBe(0);
    expect(dial.lines.at(-1)).toMatch(/ FINISH .*Normal call clearing$/);
  });

  it('shows what the server says, and how it is used', async () => {
    const { url } = await openServer();
    const wrong = start('call-cli', ['dial', 'nobody'], { SIPCAST_URL: url });
    expect(await wrong.exited).toBe(1);
    expect(wrong.output).toMatch(/^400 INVALID_ARGUMENT: callee /);
    const usage = start('call-cli', []);
    expect(await usage.exited).toBe(1);
    expect(usage.output).toContain('Usage: call-cli dial <callee>');
  });
});

describe('call-app.ts', () => {
  it('receives the events of a call in order, and refuses unsigned, changed or old ones', async () => {
    const phone = await openPhone();
    const secret = `whsec_${Buffer.from('a key of thirty-two octets or so').toString('base64')}`;
    const app = start('call-app', [], { PORT: '0', EVENTS_SECRET: secret });
    const [callAppUrl = ''] = await app.line(/^http:\S+$/);
    const server = await serve({
      http: { port: 0 },
      log: { write: () => {} },
      events: { callAppUrl, secret },
    });
    afterTest(() => server.close(500));
    const call = await server.gateway.startup({ callId: 'c1', callee: phone.uri });
    await call.established();
    await call.terminate();
    await app.line(/^CallStatusEvent c1 FINISH Normal call clearing$/);
    const statuses = app.lines.slice(1).map((line) => line.split(' ')[2]);
    expect(statuses.slice(0, 2)).toEqual(['PENDING', 'TRYING']);
    expect(statuses.slice(-2)).toEqual(['ESTABLISHED', 'FINISH']);

    const body = '{"callId":"c2","status":"RING"}';
    const send = async (ageS: number, sent = body): Promise<number> => {
      const timestamp = String(Math.floor(Date.now() / 1000) - ageS);
      const signature = createHmac('sha256', Buffer.from(secret.slice(6), 'base64'))
        .update(`m1.${timestamp}.${body}`)
        .digest('base64');
      const headers = {
        'webhook-id': 'm1',
        'webhook-timestamp': timestamp,
        'webhook-signature': `v1,AAAA v1,${signature}`,
      };
      const url = `${callAppUrl}/CallStatusEvent`;
      return (await fetch(url, { method: 'POST', headers, body: sent })).status;
    };
    expect([await send(0), await send(0), await send(301), await send(0, `${body} `)]).toEqual([
      200, 200, 401, 401,
    ]);
    expect((await fetch(callAppUrl, { method: 'POST', body })).status).toBe(401);
    expect(app.lines.filter((line) => line.includes('c2'))).toHaveLength(1);
    app.signal('SIGTERM');
    expect(await app.exited).toBe(0);
  });
});

describe('push-cli.ts', () => {
  it('starts, lists, mutes and stops a push', async () => {
    const phone = await openPhone();
    const sink = await openSink();
    const { url, gateway } = await openServer();
    const call = await gateway.startup({ callee: phone.uri, toStream: 'camera' });
    await call.established();
    const cli = async (...args: string[]): Promise<string> => {
      const script = start('push-cli', args, { SIPCAST_URL: url });
      expect(await script.exited, script.output).toBe(0);
      return script.output;
    };
    const [id = '', ...started] = (await cli('start', 'camera', sink.url)).split(' ');
    expect(started.slice(0, 3)).toEqual(['camera', 'RTMP_STREAM_WAIT', 'audible']);
    const publication = await sink.nextPublication();
    await cli('mute', id);
    expect(await cli('list', 'camera')).toMatch(/ camera RTMP_STREAM_ACTIVE muted \d+ bytes$/);
    await cli('unmute', id);
    expect(await cli('list')).toMatch(/ audible \d+ bytes$/);
    await cli('stop', id);
    await publication.ended;
    expect(publication.endedOrderly).toBe(true);
    const none = start('push-cli', ['list'], { SIPCAST_URL: url });
    expect(await none.exited).toBe(1);
    expect(none.output).toBe('404 PUSH_NOT_FOUND: Nothing found');
  });
});

describe('segmenter.ts', () => {
  it('keeps a call in segments that each begin with a key frame, and the rest when it ends', async () => {
    const phone = await openPhone();
    const script = start('segmenter', [phone.uri], { PORT: '0', SEGMENT_MS: '1500' });
    const [, port] = await script.line(/listening on port (\d+)/);
    await script.line(/^segment 2: \d+ octets/);
    const base = `http://127.0.0.1:${port}`;
    expect(await (await fetch(`${base}/`)).json()).toEqual([1, 2]);
    for (const number of [1, 2]) {
      const response = await fetch(`${base}/${number}.flv`);
      const tags = [...readFlvTags(Buffer.from(await response.arrayBuffer()))];
      const pictures = tags.filter(({ type }) => type === 9);
      expect(pictures[0]?.body[1]).toBe(0);
      expect(pictures[1]?.body[0]).toBe(0x17);
      expect(pictures[1]?.timestampMs).toBe(0);
      expect(pictures.at(-1)?.timestampMs).toBeGreaterThan(900);
      // AAC, its header among the first.
      const sounds = tags.filter(({ type }) => type === 8);
      expect(sounds[0]?.body[0]).toBe(0xaf);
      expect(sounds[0]?.body[1]).toBe(0);
      expect(sounds.length).toBeGreaterThan(20);
    }
    expect((await fetch(`${base}/9.flv`)).status).toBe(404);
    await (await phone.nextCall()).hangUp();
    await script.line(/^segment 3: \d+ octets/);
    expect(await script.exited).toBe(0);
  });
});

describe('demo.ts', () => {
  it('puts an embedded phone on air and records it', async () => {
    const output = await makeFolder();
    const script = start('demo', ['--seconds', '3', '--output', output]);
    expect(await script.exited, script.output).toBe(0);
    const statuses = script.lines.filter((line) => /^(call|rtmp) /.test(line));
    expect(statuses.slice(1)).toEqual([
      'rtmp  RTMP_STREAM_WAIT',
      'call  TRYING',
      'call  RING',
      'call  ESTABLISHED',
      'rtmp  RTMP_STREAM_ACTIVE',
      'call  FINISH',
    ]);
    expect(script.lines.filter((line) => / fps .* kbit\/s .* loss /.test(line))).toHaveLength(3);
    const [, path = ''] = await script.line(/^recorded +(\S+)$/);
    const [, frames] = await script.line(/^video +H\.264 640×360, (\d+) frames, \d key frames$/);
    await script.line(/^audio +AAC$/);
    const [, seconds] = await script.line(/^duration +(\d\.\d) s/);
    expect(Number(seconds)).toBeGreaterThan(2.5);
    expect(Number(seconds)).toBeLessThan(3.5);
    const pictures = [...readFlvTags(await readFile(path))].filter(
      ({ type, body }) => type === 9 && body[1] === 1,
    );
    expect(pictures).toHaveLength(Number(frames));
    expect(pictures.length).toBeGreaterThan(60);
    const picture = script.lines.find((line) => line.startsWith('picture'));
    if (picture !== undefined) expect(existsSync(path.replace('.flv', '.png'))).toBe(true);
  });

  it('publishes to another server and dials another phone when told to', async () => {
    const phone = await openPhone();
    const sink = await openSink();
    const script = start('demo', [
      '--callee',
      phone.uri,
      '--rtmp',
      sink.url,
      '--stream',
      'mine',
      '--seconds',
      '1',
    ]);
    expect(await script.exited, script.output).toBe(0);
    expect((await sink.nextPublication()).streamName).toBe('mine');
    expect(phone.calls).toHaveLength(1);
    expect(script.output).not.toContain('recorded');
  });

  it('reports errors in one line', async () => {
    const busy = await openPhone({ script: { answer: 486 } });
    for (const [args, line] of [
      [['--seconds', 'x'], 'demo: --seconds must be from 1 to 86400'],
      [['--bogus'], /^demo: Unknown option '--bogus'/],
      [['--callee', 'nonsense'], /^demo: callee /],
      [['--callee', busy.uri], /^demo: Call .* ended BUSY/],
      [
        ['--rtmp', 'rtmp://127.0.0.1:1/live', '--seconds', '1'],
        /^demo: Nothing was published: CONNECT_FAILED/,
      ],
    ] as const) {
      const script = start('demo', args);
      expect(await script.exited).toBe(1);
      expect(script.lines.at(-1)).toMatch(line);
    }
  });
});
