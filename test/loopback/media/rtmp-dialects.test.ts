// The ways of RTMP servers that are not in the specification: passwords, digests, redirects, names in use, chatter.

import { describe, expect, it } from 'vitest';
import type { RtmpPublisherOptions } from '@sipcast/media';
import { openSink } from '../../support/call-ends.ts';
import { afterTest } from '../../support/cleanup.ts';
import { testTag, watchPublisher } from '../../support/rtmp-watch.ts';
import type { WatchedPublisher } from '../../support/rtmp-watch.ts';

function publish(url: string, options: Partial<RtmpPublisherOptions> = {}): WatchedPublisher {
  const watched = watchPublisher(url, options);
  afterTest(() => watched.publisher.close());
  return watched;
}

const withUser = (url: string, user: string): string => url.replace('://', `://${user}@`);

describe('RTMP authentication', () => {
  const PASSWORD = 'p@ss/w:rd&1';
  for (const scheme of ['adobe', 'llnw'] as const) {
    for (const opaque of scheme === 'adobe' ? [false, true] : [false]) {
      it(`answers ${scheme}${opaque ? ' with an opaque value' : ''}, also with a query in the address`, async () => {
        const auth = { scheme, username: 'joe@x.com', password: PASSWORD, opaque };
        const sink = await openSink({ auth });
        const url = withUser(sink.url, `joe%40x.com:${encodeURIComponent(PASSWORD)}`);
        for (const suffix of ['', '/instance']) {
          await publish(`${url}${suffix}`).publishing;
          const publication = await sink.nextPublication();
          expect(publication.app).toMatch(/^live(\/instance)?\?authmod=/);
          expect(publication.connectObject.get('tcUrl')).toMatch(/\/live.*\?authmod=/);
          expect(JSON.stringify([...publication.connectObject])).not.toContain(PASSWORD);
        }
      });
    }

    it(`takes ${scheme}'s refusal of a wrong password, user or none as final, and says no secret`, async () => {
      const auth = { scheme, username: 'joe', password: PASSWORD };
      const sink = await openSink({ auth });
      const cases = [
        ['', 'no-credentials'],
        ['joe:wrong-password', 'authfailed'],
        ['jim:wrong-password', 'nosuchuser'],
      ] as const;
      for (const [user, reason] of cases) {
        const url = user === '' ? sink.url : withUser(sink.url, user);
        const error = await publish(url).ended;
        expect(error).toMatchObject({ code: 'AUTH_FAILED', reason });
        expect(`${error?.message} ${error?.stack}`).not.toMatch(
          /wrong-password|salt|response|challenge/,
        );
      }
      expect(sink.publications).toEqual([]);
    });
  }

  it('answers a demand twice at most', async () => {
    const sink = await openSink();
    let refusals = 0;
    const refuse = (): void =>
      sink.refuse({
        at: 'connect',
        code: 'NetConnection.Connect.Rejected',
        get description() {
          refusals++;
          return '[ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=needauth&salt=a&challenge=b';
        },
      });
    refuse();
    expect(await publish(withUser(sink.url, 'joe:pw')).ended).toMatchObject({
      code: 'AUTH_FAILED',
    });
    expect(refusals).toBe(3);
  });
});

describe('RTMP dialects', () => {
  it('is let in by a server that knows only the digest handshake', async () => {
    const sink = await openSink({ handshake: 'digest' });
    await publish(sink.url).publishing;
    expect(sink.publications).toHaveLength(1);
  });

  const addresses: [suffix: string, streamName: string, app: string][] = [
    ['', 'key', 'live'],
    ['/', 'key', 'live'],
    ['/_definst_/', 'key?token=a/b=c', 'live/_definst_'],
    ['?token=a/b', 'folder/key', 'live?token=a/b'],
    ['', 'FB-1-2?s_bl=1&s_ps=1&a=AbyXy/z', 'live'],
  ];
  for (const [suffix, streamName, app] of addresses) {
    it(`says app ${app} and name ${streamName} as they were given`, async () => {
      const sink = await openSink();
      await publish(`${sink.url}${suffix}`, { streamName }).publishing;
      const publication = await sink.nextPublication();
      expect([publication.app, publication.streamName]).toEqual([app, streamName]);
      expect(publication.connectObject.get('tcUrl')).toBe(`rtmp://127.0.0.1:${sink.port}/${app}`);
    });
  }

  it('publishes to an IPv6 address', async () => {
    const sink = await openSink({ host: '::1' });
    await publish(`rtmp://[::1]:${sink.port}/live`).publishing;
    expect((await sink.nextPublication()).app).toBe('live');
  });

  it('follows two redirects that its owner allows, and keeps the password for its host', async () => {
    const auth = { scheme: 'adobe', username: 'joe', password: 'pw1' } as const;
    const last = await openSink({ auth });
    const middle = await openSink();
    const first = await openSink();
    const code = 'NetConnection.Connect.Rejected';
    middle.refuse({ at: 'connect', code, redirect: `rtmp://127.0.0.1:${last.port}/other/name` });
    first.refuse({ at: 'connect', code, redirect: middle.url });
    const asked: string[] = [];
    const mayRedirect = (url: string): boolean => asked.push(url) > 0;
    await publish(withUser(first.url, 'joe:pw1'), { mayRedirect }).publishing;
    expect(asked).toEqual([middle.url, `rtmp://127.0.0.1:${last.port}/other`]);
    expect(last.publications[0]?.app).toMatch(/^other\?authmod/);
  });

  it('refuses a redirect without leave, one in a circle, and one out of TLS or out of sense', async () => {
    const sink = await openSink();
    const code = 'NetConnection.Connect.Rejected';
    const leave = { mayRedirect: () => true };
    for (const [redirect, options] of [
      ['rtmp://127.0.0.1:1/live', {}],
      [sink.url, leave],
      ['gopher://x', leave],
    ] as const) {
      sink.refuse({ at: 'connect', code, redirect });
      expect(await publish(sink.url, options).ended).toMatchObject({ code: 'REDIRECT_REFUSED' });
    }
  });

  it('names a name in use, and a publication that is not allowed', async () => {
    const sink = await openSink();
    const statusCode = 'NetStream.Publish.BadName';
    sink.refuse({ at: 'publish', code: statusCode, description: 'name?key=1 is\nin use' });
    const busy = await publish(sink.url).ended;
    expect(busy).toMatchObject({ code: 'PUBLISH_REJECTED', statusCode });
    expect(busy?.message).toBe('NetStream.Publish.BadName: *** is in use');
    sink.refuse({ at: 'publish', code: 'NetStream.Publish.Unauthorized' });
    expect(await publish(sink.url).ended).toMatchObject({ code: 'AUTH_FAILED' });
  });

  it('lets a server chatter, and sees that it ends the publication', async () => {
    const sink = await openSink();
    const watched = publish(sink.url);
    await watched.publishing;
    sink.sendStatus({ level: 'status', code: 'NetStream.Publish.Notice' });
    sink.sendStatus({ level: 'error', code: 'NetStream.Record.Failed' });
    watched.publisher.push(testTag('key-frame', 0));
    await expect.poll(() => sink.publications[0]?.tagCount).toBe(1);
    expect(watched.endings).toEqual([]);
    sink.sendStatus({ level: 'status', code: 'NetStream.Unpublish.Success' });
    expect(await watched.ended).toMatchObject({ code: 'CONNECTION_LOST' });
  });

  it('ends with a reason when the server dies in the middle of a message, or talks nonsense', async () => {
    const sink = await openSink();
    const dying = publish(sink.url);
    await dying.publishing;
    await sink.dieInMessage();
    expect(await dying.ended).toMatchObject({ code: 'CONNECTION_LOST' });
    const confused = publish(sink.url);
    await confused.publishing;
    sink.sendRaw(Buffer.alloc(64, 0xff));
    expect(await confused.ended).toMatchObject({ code: 'PROTOCOL' });
  });
});

describe('Enhanced RTMP', () => {
  const server = { video: ['vp08'], audio: ['Opus'], reconnect: true };
  const cases = [
    ['off', server, { vp8: false, opus: false, reconnect: false }],
    ['auto', undefined, { vp8: false, opus: false, reconnect: false }],
    ['auto', { video: ['hvc1'], audio: ['Opus'] }, { vp8: false, opus: true, reconnect: false }],
    ['auto', server, { vp8: true, opus: true, reconnect: true }],
    ['auto', { video: ['*'], audio: ['*'] }, { vp8: true, opus: true, reconnect: false }],
    ['force', undefined, { vp8: true, opus: true, reconnect: false, assumed: true }],
    ['force', { video: ['hvc1'], audio: [] }, { vp8: true, opus: true, reconnect: false }],
  ] as const;
  for (const [mode, enhanced, expected] of cases) {
    it(`${mode}: a server that says ${JSON.stringify(enhanced)} takes ${JSON.stringify(expected)}`, async () => {
      const sink = await openSink(enhanced === undefined ? {} : { enhanced });
      expect(await publish(sink.url, { enhanced: mode }).publishing).toEqual(expected);
      const { connectObject } = await sink.nextPublication();
      expect(connectObject.has('capsEx')).toBe(mode !== 'off');
      if (mode === 'off') return;
      expect(connectObject.get('fourCcList')).toEqual(['avc1', 'vp08', 'Opus', 'mp4a']);
      expect(connectObject.get('capsEx')).toBe(1);
    });
  }

  it('hands on a ReconnectRequest once, resolved against the present address, and goes on', async () => {
    const sink = await openSink();
    for (const [tcUrl, expected] of [
      [undefined, undefined],
      ['/other', `rtmp://127.0.0.1:${sink.port}/other`],
      ['//host/other', 'rtmp://host/other'],
      ['rtmps://host:444/other', 'rtmps://host:444/other'],
    ] as const) {
      const watched = publish(sink.url);
      await watched.publishing;
      sink.requestReconnect(tcUrl);
      sink.requestReconnect(tcUrl);
      await expect.poll(() => watched.reconnects).toEqual([expected]);
      expect(watched.publisher.push(testTag('key-frame', 0))).toBe('sent');
      await watched.publisher.close();
    }
    const nowhere = publish(sink.url);
    await nowhere.publishing;
    sink.requestReconnect('http://host/');
    sink.sendStatus({ level: 'error', code: 'NetConnection.Connect.AppShutdown' });
    expect(await nowhere.ended).toMatchObject({ code: 'CONNECTION_LOST' });
    expect(nowhere.reconnects).toEqual([]);
  });
});
