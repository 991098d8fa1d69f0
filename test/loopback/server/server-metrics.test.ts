// Metrics of real calls: counted once, without a word of whose they are.

import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { expect, it } from 'vitest';
import { GatewayMetrics, serve } from 'sipcast';
import { openGateway, openPhone, openSink } from '../../support/call-ends.ts';
import { afterTest } from '../../support/cleanup.ts';

function valueOf(text: string, series: string): number {
  const line = text.split('\n').find((one) => one.startsWith(`${series} `));
  return line === undefined ? Number.NaN : Number(line.slice(series.length + 1));
}

it('follows calls from their beginning to their end', async () => {
  const peer = await openPhone();
  const busy = await openPhone({ script: { answer: 486 } });
  const gone = await openPhone({ script: { answer: 410 } });
  const sink = await openSink();
  const gateway = await openGateway({ mayConnect: (address) => address !== '127.0.0.9' });
  const metrics = new GatewayMetrics(gateway);
  afterTest(() => Promise.resolve(metrics.close()));

  const call = await gateway.startup({
    callee: peer.uri,
    callId: 'secret-call',
    sipLogin: 'secret-login',
    toStream: 'secret-stream',
    rtmpUrl: sink.url,
    rtmpStream: 'secret-key',
  });
  await call.established();
  await expect.poll(() => call.rtmpStreamStatus).toBe('RTMP_STREAM_ACTIVE');
  await expect.poll(() => call.stats()?.video?.packets ?? 0).toBeGreaterThan(20);
  const during = await metrics.text();
  expect(valueOf(during, 'sipcast_calls{status="ESTABLISHED"}')).toBe(1);
  expect(valueOf(during, 'sipcast_calls{status="RING"}')).toBe(0);
  expect(valueOf(during, 'sipcast_pushes{status="RTMP_STREAM_ACTIVE"}')).toBe(1);
  const first = valueOf(during, 'sipcast_rtp_packets_total{medium="video"}');
  expect(first).toBeGreaterThan(20);
  expect(during).toContain('nodejs_eventloop_lag_seconds');
  expect(during).toContain('process_resident_memory_bytes');

  await call.terminate();
  for (const uri of [busy.uri, gone.uri, 'sip:x@127.0.0.9'])
    await (await gateway.startup({ callee: uri })).closed();
  const after = await metrics.text();
  const ended = 'sipcast_calls_ended_total';
  expect(valueOf(after, `${ended}{status="FINISH",reason="normal",direction="out"}`)).toBe(1);
  expect(valueOf(after, `${ended}{status="BUSY",reason="other",direction="out"}`)).toBe(1);
  expect(valueOf(after, `${ended}{status="FAILED",reason="refused",direction="out"}`)).toBe(1);
  const forbidden = `${ended}{status="FAILED",reason="forbidden_destination",direction="out"}`;
  expect(valueOf(after, forbidden)).toBe(1);
  expect(valueOf(after, 'sipcast_sip_final_responses_total{code="486"}')).toBe(1);
  expect(valueOf(after, 'sipcast_call_setup_seconds_count')).toBe(1);
  expect(valueOf(after, 'sipcast_calls{status="ESTABLISHED"}')).toBe(0);
  const packets = valueOf(after, 'sipcast_rtp_packets_total{medium="video"}');
  expect(packets).toBe(call.stats()?.video?.packets);
  expect(packets).toBeGreaterThanOrEqual(first);
  // Asked again, nothing is counted twice.
  expect(valueOf(await metrics.text(), 'sipcast_rtp_packets_total{medium="video"}')).toBe(packets);
  expect(during + after).not.toContain('secret');
});

it('has every series that the dashboard shows', async () => {
  const dashboard = await readFile(
    new URL('../../../deploy/grafana/sipcast.json', import.meta.url),
    'utf8',
  );
  const gateway = await openGateway();
  const metrics = new GatewayMetrics(gateway);
  afterTest(() => Promise.resolve(metrics.close()));
  const text = await metrics.text();
  const named = new Set(dashboard.match(/\b(?:sipcast|nodejs|process)_\w+(?=\{)/g));
  expect(named.size).toBeGreaterThan(15);
  for (const series of named) {
    const family = series.replace(/_bucket$/, '');
    expect(text, series).toContain(`# TYPE ${family} `);
  }
});

it('serves health, readiness and metrics, the last for who may read', async () => {
  const server = await serve({
    http: { port: 0, console: false },
    gateway: { transcoding: false },
    basicAuth: { username: 'ops', password: 'correct horse' },
    log: { write: () => {} },
  });
  afterTest(() => server.close(100));
  const origin = new URL(server.url).origin;
  const get = (path: string, headers: Record<string, string> = {}): Promise<Response> =>
    fetch(origin + path, { headers });
  const health = await get('/health');
  expect([health.status, await health.json()]).toEqual([200, { status: 'up' }]);
  // As proxies ask.
  const whole = httpRequest({ port: server.port, path: 'http://sip.example/health?x' }).end();
  const [answer] = (await once(whole, 'response')) as [IncomingMessage];
  expect(answer.resume().statusCode).toBe(200);
  const ready = await get('/ready');
  expect([ready.status, await ready.json()]).toEqual([200, { status: 'ready' }]);
  const stranger = await get('/metrics');
  expect(stranger.status).toBe(401);
  expect(await stranger.text()).not.toContain('sipcast_');
  const authorization = `Basic ${Buffer.from('ops:correct horse').toString('base64')}`;
  const metrics = await get('/metrics', { authorization });
  expect(metrics.status).toBe(200);
  expect(metrics.headers.get('content-type')).toContain('text/plain; version=0.0.4');
  expect(await metrics.text()).toContain('# TYPE sipcast_calls gauge');
  expect((await get('/metrics/x', { authorization })).status).toBe(404);
  void server.drain(100);
  const draining = await get('/ready');
  expect([draining.status, await draining.json()]).toEqual([503, { status: 'draining' }]);
  expect((await get('/health')).status).toBe(200);
});
