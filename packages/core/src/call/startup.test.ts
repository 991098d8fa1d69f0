import { describe, expect, it } from 'vitest';
import { GatewayError } from '../errors.ts';
import { resolveAccount } from '../gateway/account-request.ts';
import type { AccountRequest } from '../gateway/account-request.ts';
import { resolveStartup } from './startup.ts';
import type { StartupRequest } from './startup-request.ts';

const resolve = (request: object) => resolveStartup(request as StartupRequest, () => 'made@here');

describe('resolveStartup', () => {
  it('fills in the documented defaults', () => {
    expect(resolve({ callee: 'sip:bob@host' })).toEqual({
      incoming: false,
      callId: 'made@here',
      callee: 'sip:bob@host',
      target: 'sip:bob@host',
      from: { uri: 'sip:sipcast@host', displayName: 'sipcast' },
      registrar: 'sip:host',
      registrarHop: { host: 'host' },
      credentials: undefined,
      outboundProxy: undefined,
      calledHost: 'host',
      transport: 'udp',
      registerRequired: false,
      caller: 'sipcast',
      visibleName: 'sipcast',
      appKey: 'defaultApp',
      toStream: expect.stringMatching(/^call-[0-9a-f]{12}$/) as string,
      rtmpUrl: null,
      rtmpStream: null,
      rtmp: {},
      hasAudio: true,
      hasVideo: true,
      form: {},
      record: false,
      custom: {},
      headers: [],
    });
  });

  const addressing: [
    object,
    { target: string; hop: [string, number | undefined]; proxied: boolean },
  ][] = [
    [
      { callee: 'bob', sipDomain: 'pbx' },
      { target: 'sip:bob@pbx', hop: ['pbx', undefined], proxied: false },
    ],
    [{ callee: 'bob@pbx' }, { target: 'sip:bob@pbx', hop: ['pbx', undefined], proxied: false }],
    [
      { callee: 'sip:bob@pbx:5070' },
      { target: 'sip:bob@pbx:5070', hop: ['pbx', 5070], proxied: false },
    ],
    [
      { callee: 'bob@pbx', sipPort: 5080 },
      { target: 'sip:bob@pbx', hop: ['pbx', 5080], proxied: true },
    ],
    [
      { callee: 'bob', sipDomain: 'pbx', sipOutboundProxy: 'edge', sipPort: 5090 },
      { target: 'sip:bob@pbx', hop: ['edge', 5090], proxied: true },
    ],
    [
      { callee: 'bob', sipDomain: 'pbx', sipOutboundProxy: 'edge:5066', sipPort: 5090 },
      { target: 'sip:bob@pbx', hop: ['edge', 5066], proxied: true },
    ],
    [
      { callee: 'b b', sipDomain: '[::1]' },
      { target: 'sip:b%20b@[::1]', hop: ['::1', undefined], proxied: false },
    ],
  ];
  for (const [request, { target, hop, proxied }] of addressing) {
    it(`addresses ${JSON.stringify(request)}`, () => {
      const resolved = resolve(request);
      expect(resolved.target).toBe(target);
      expect(resolved.calledHost).toBe(hop[0]);
      // Without a proxy host and port are those of the target.
      const proxy = proxied ? { host: hop[0], port: hop[1] } : undefined;
      expect(resolved.outboundProxy).toEqual(proxy);
    });
  }

  const registrars: [object, [string, number | undefined]][] = [
    [{ callee: 'sip:bob@pbx:5070' }, ['pbx', 5070]],
    [{ callee: 'sip:bob@pbx', sipPort: 5071 }, ['pbx', 5071]],
    [{ callee: 'sip:bob@phone:5070', sipDomain: 'pbx' }, ['pbx', undefined]],
    [{ callee: 'bob', sipDomain: 'pbx:5072' }, ['pbx', 5072]],
    [{ callee: 'bob', sipDomain: 'pbx', sipOutboundProxy: 'edge:5073' }, ['edge', 5073]],
  ];
  for (const [request, [host, port]] of registrars) {
    it(`registers ${JSON.stringify(request)} at ${host}:${port}`, () => {
      expect(resolve(request).registrarHop).toEqual({ host, port });
    });
  }

  it.each([
    [{ callee: 'sip:a@b;transport=tcp' }, 'tcp'],
    [{ callee: 'sip:a@b;transport=TCP', sipTransport: 'udp' }, 'udp'],
    [{ callee: 'sip:a@b;transport=udp', sipTransport: 'auto' }, 'auto'],
  ])('takes the transport of %j', (request, transport) => {
    expect(resolve(request).transport).toBe(transport);
  });

  it('takes the digest user from sipAuthenticationName, else from sipLogin', () => {
    const base = { callee: 'a@b', sipLogin: 'login', sipPassword: 'secret' };
    expect(resolve(base).credentials).toEqual({ username: 'login', password: 'secret' });
    expect(resolve({ ...base, sipAuthenticationName: 'auth' }).credentials?.username).toBe('auth');
  });

  it('refuses what is no object', () => {
    for (const request of [null, undefined, 'sip:a@b', 7]) {
      expect(() => resolve(request as unknown as object)).toThrow(
        expect.objectContaining({ code: 'INVALID_ARGUMENT', field: 'request' }),
      );
    }
  });

  const bad: [object, string][] = [
    [{}, 'callee'],
    [{ callee: '' }, 'callee'],
    [{ callee: 5 }, 'callee'],
    [{ callee: 'bob' }, 'callee'],
    [{ callee: 'tel:+123' }, 'callee'],
    [{ callee: 'http://x/y' }, 'callee'],
    [{ callee: 'a@b\r\nVia: x' }, 'callee'],
    [{ callee: 'sip:a@' }, 'callee'],
    [{ callee: 'sip:a b@c' }, 'callee'],
    [{ callee: 'sip:a@b?Subject=x' }, 'callee'],
    [{ callee: 'sip:a@b;method=BYE' }, 'callee'],
    [{ callee: 'sip:a@b;transport=sctp' }, 'callee'],
    [{ callee: '\ud800@b' }, 'callee'],
    [{ callee: 'a@b', sipLogin: 'x\udc00' }, 'sipLogin'],
    [{ callee: 'a@b', sipHeaders: { Subject: '\ud800' } }, 'sipHeaders'],
    [{ callee: 'a@b', callId: 'x y' }, 'callId'],
    [{ callee: 'a@b', callId: 'x'.repeat(257) }, 'callId'],
    [{ callee: 'a@b', callId: 'a@b@c' }, 'callId'],
    [{ callee: 'a@b', sipLogin: 'x\0' }, 'sipLogin'],
    [{ callee: 'a@b', sipDomain: 'a b' }, 'sipDomain'],
    [{ callee: 'a@b', sipDomain: 'a:70000' }, 'sipDomain'],
    [{ callee: 'a@b', sipOutboundProxy: 'http://x' }, 'sipOutboundProxy'],
    [{ callee: 'a@b', sipPort: 0 }, 'sipPort'],
    [{ callee: 'a@b', sipPort: 65_536 }, 'sipPort'],
    [{ callee: 'a@b', sipPort: 1.5 }, 'sipPort'],
    [{ callee: 'a@b', sipTransport: 'sctp' }, 'sipTransport'],
    [{ callee: 'a@b', sipRegisterRequired: 'yes' }, 'sipRegisterRequired'],
    [{ callee: 'a@b', visibleName: 'a\nb' }, 'visibleName'],
    [{ callee: 'a@b', appKey: 7 }, 'appKey'],
    [{ callee: 'a@b', toStream: '../x' }, 'toStream'],
    [{ callee: 'a@b', toStream: 'a/b' }, 'toStream'],
    [{ callee: 'a@b', rtmpUrl: 'rtmp://h/a' }, 'rtmpStream'],
    [{ callee: 'a@b', rtmpStream: 's' }, 'rtmpUrl'],
    [{ callee: 'a@b', rtmpUrl: 'http://h/a', rtmpStream: 's' }, 'rtmpUrl'],
    [{ callee: 'a@b', rtmpUrl: 'rtmp://h', rtmpStream: 's' }, 'rtmpUrl'],
    [{ callee: 'a@b', rtmpUrl: 'rtmp://h/a', rtmpStream: '../x' }, 'rtmpStream'],
    [{ callee: 'a@b', rtmpUrl: 'rtmp://h/a', rtmpStream: 'a%2F%2e%2Ex/..' }, 'rtmpStream'],
    [{ callee: 'a@b', rtmpUrl: 'rtmp://h/a', rtmpStream: '%2e./x' }, 'rtmpStream'],
    [{ callee: 'a@b', rtmpUrl: 'rtmp://h/a', rtmpStream: 'a|b' }, 'rtmpStream'],
    [{ callee: 'a@b', rtmpUrl: 'rtmp://h/a', rtmpStream: 'a b' }, 'rtmpStream'],
    [{ callee: 'a@b', hasAudio: 'maybe' }, 'hasAudio'],
    [{ callee: 'a@b', hasVideo: 1 }, 'hasVideo'],
    [{ callee: 'a@b', custom: [] }, 'custom'],
    [{ callee: 'a@b', custom: { x: 'y'.repeat(5000) } }, 'custom'],
    [{ callee: 'a@b', sipHeaders: 'x' }, 'sipHeaders'],
    [{ callee: 'a@b', sipHeaders: { 'X Y': 'z' } }, 'sipHeaders'],
    [{ callee: 'a@b', sipHeaders: { 'X-Y': 'a\r\nb' } }, 'sipHeaders'],
    [{ callee: 'a@b', sipHeaders: { Via: 'x' } }, 'sipHeaders'],
    [
      {
        callee: 'a@b',
        sipHeaders: Object.fromEntries(Array.from({ length: 33 }, (_, n) => [`X-${n}`, 'v'])),
      },
      'sipHeaders',
    ],
    [
      {
        callee: 'a@b',
        sipHeaders: Object.fromEntries(
          Array.from({ length: 5 }, (_, n) => [`X-${n}`, 'v'.repeat(2000)]),
        ),
      },
      'sipHeaders',
    ],
  ];
  for (const [request, field] of bad) {
    it(`refuses ${JSON.stringify(request).slice(0, 70)}, naming ${field}`, () => {
      try {
        resolve(request);
        expect.unreachable();
      } catch (error) {
        expect(error).toBeInstanceOf(GatewayError);
        expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field });
      }
    });
  }

  it('takes rtmps addresses, and a user and password in them', () => {
    for (const rtmpUrl of ['rtmps://h/a', 'rtmp://u:p@h/a'])
      expect(resolve({ callee: 'a@b', rtmpUrl, rtmpStream: 's' })).toMatchObject({ rtmpUrl });
  });

  const ways: [object, object][] = [
    [
      { callee: 'a@b', sipTransport: 'tls' },
      { transport: 'tls', target: 'sip:a@b' },
    ],
    [{ callee: 'sip:a@b;transport=TLS' }, { transport: 'tls', calledHost: 'b' }],
    [
      { callee: 'sips:a@b', sipLogin: 'me' },
      { transport: 'tls', target: 'sips:a@b', from: { uri: 'sips:me@b' }, registrar: 'sips:b' },
    ],
    [{ callee: 'sips:a@b', sipTransport: 'auto' }, { transport: 'tls' }],
    // Without a port the records of the domain decide.
    [{ callee: 'a@b' }, { transport: 'udp', calledHost: 'b', registrarHop: { host: 'b' } }],
    [{ callee: 'a@b', sipPort: 5080 }, { outboundProxy: { host: 'b', port: 5080 } }],
  ];
  for (const [request, expected] of ways) {
    it(`knows the way of ${JSON.stringify(request)}`, () => {
      const resolved = resolve(request);
      expect(resolved).toMatchObject(expected);
      if (!('sipPort' in request)) expect(resolved.outboundProxy).toBeUndefined();
    });
  }

  it('does not take a sips: callee over less than TLS', () => {
    for (const sipTransport of ['udp', 'tcp'])
      expect(() => resolve({ callee: 'sips:a@b', sipTransport })).toThrow(
        expect.objectContaining({ code: 'INVALID_ARGUMENT', field: 'sipTransport' }),
      );
  });
});

describe('a port that requests may not go to', () => {
  const asked: string[] = [];
  const allowsPort = (host: string, port: number): boolean => {
    asked.push(`${host} ${port}`);
    return port === 5060 || port === 5061;
  };
  const start = (request: object) =>
    resolveStartup(request as StartupRequest, () => 'made@here', allowsPort);

  it.each([
    ['callee', 22, { callee: 'sip:bob@host:22' }],
    ['callee', 22, { callee: 'bob@host:22', sipDomain: 'domain:5060' }],
    ['callee', 22, { callee: 'sips:bob@[2001:db8::1]:22' }],
    ['callee', 22, { callee: 'sip:host:22', sipPort: 5060 }],
    ['sipDomain', 23, { callee: 'bob', sipDomain: 'domain:23' }],
    ['sipPort', 24, { callee: 'sip:bob@host', sipPort: 24 }],
    ['sipPort', 24, { callee: 'bob', sipDomain: 'domain', sipPort: 24 }],
    ['sipOutboundProxy', 25, { callee: 'sip:bob@host', sipOutboundProxy: 'proxy:25' }],
    ['sipPort', 24, { callee: 'sip:bob@host', sipOutboundProxy: 'proxy', sipPort: 24 }],
    [
      'sipDomain',
      23,
      { callee: 'sip:bob@host:5060', sipDomain: 'domain:23', sipRegisterRequired: true },
    ],
  ])('is refused, naming %s', (field, port, request) => {
    const message = `${field} names port ${port}, which may not be connected to`;
    const wrong = { code: 'INVALID_ARGUMENT', field, message };
    expect(() => start(request)).toThrow(expect.objectContaining(wrong));
  });

  it('of an account is refused, too', () => {
    const account = { sipDomain: 'domain:23', sipLogin: 'a' } satisfies AccountRequest;
    const wrong = { code: 'INVALID_ARGUMENT', field: 'sipDomain' };
    expect(() => resolveAccount(account, allowsPort)).toThrow(expect.objectContaining(wrong));
    expect(resolveAccount(account)).toMatchObject({ registrar: 'sip:domain:23' });
  });

  it('does no harm where nothing of ours goes there', () => {
    asked.length = 0;
    start({ callee: 'sip:bob@host:22', sipOutboundProxy: 'proxy:5060' });
    start({ callee: 'sip:bob@host', sipDomain: 'domain:23' });
    start({ callee: 'sip:bob@host' });
    start({ callee: 'sip:bob@host:5061' });
    expect(asked).toEqual(['proxy 5060', 'host 5061']);
  });
});
