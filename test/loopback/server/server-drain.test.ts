// The program at SIGTERM with calls: those finish, new ones are refused, and what is left at the deadline is ended in order.

import { RtmpSink } from '@sipcast/testkit';
import { describe, expect, it } from 'vitest';
import { openPhone } from '../../support/call-ends.ts';
import { afterTest } from '../../support/cleanup.ts';
import { Script } from '../../support/script.ts';

async function start(drainMs: number): Promise<{ script: Script; url: string }> {
  const args = ['serve', '--port', '0', '--no-transcoding', '--set', `drainMs=${drainMs}`];
  const script = new Script('packages/server/src/cli.ts', args);
  afterTest(() => script.kill());
  const [, url = ''] = await script.line(/HTTP API at (\S+),/);
  return { script, url };
}

function post(url: string, body: object): Promise<Response> {
  const headers = { 'content-type': 'application/json' };
  return fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
}

describe('a server that drains', () => {
  it('lets calls finish, refuses new ones, and then ends with 0', async () => {
    const peer = await openPhone({ t1Ms: 100 });
    const { script, url } = await start(60_000);
    await post(`${url}/call/startup`, { callId: 'c1', callee: peer.uri });
    await script.line(/c1 \w+ -> ESTABLISHED/);
    const call = await peer.nextCall();
    script.signal('SIGTERM');
    await script.line(/SIGTERM: 1 calls may finish within 60 s; repeat to exit at once/);
    const refused = await post(`${url}/call/startup`, { callId: 'c2', callee: peer.uri });
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '5']);
    expect(await refused.json()).toMatchObject({ code: 'DRAINING' });
    expect((await post(`${url}/call/find`, { callId: 'c1' })).status).toBe(200);
    await call.hangUp();
    expect(await script.exited).toBe(0);
    expect(script.output).not.toContain('ending 1 calls');
  });

  it('sends BYE to peers and deleteStream to RTMP servers at the deadline', async () => {
    const [peer, sink] = [await openPhone({ t1Ms: 100 }), await RtmpSink.open({})];
    afterTest(async () => sink.close());
    const { script, url } = await start(500);
    const calls = ['c1', 'c2', 'c3'];
    for (const callId of calls) {
      const target = { rtmpUrl: sink.url, rtmpStream: callId };
      await post(`${url}/call/startup`, { callId, callee: peer.uri, ...target });
    }
    for (const callId of calls)
      await script.line(new RegExp(`${callId}-\\w+ .*-> RTMP_STREAM_ACTIVE`));
    const peerCalls = await Promise.all(calls.map(() => peer.nextCall()));
    script.signal('SIGTERM');
    for (const call of peerCalls)
      expect(await call.ended).toMatchObject({ by: 'caller', how: 'bye' });
    expect(await script.exited).toBe(0);
    await script.line(/ending 3 calls/);
    const ended = sink.publications.map(({ commands }) => commands.includes('deleteStream'));
    expect(ended).toEqual([true, true, true]);
  });
});
