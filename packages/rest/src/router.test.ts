import type { IncomingMessage } from 'node:http';
import { PassThrough } from 'node:stream';
import { GatewayError } from '@sipcast/core';
import type { CallView, GatewayErrorCode, RtmpPushView, StreamView } from '@sipcast/core';
import { describe, expect, it } from 'vitest';
import type { ErrorBody } from './errors.ts';
import { STATUS_OF_CODE } from './errors.ts';
import { createRestRouter } from './router.ts';
import type { RestGateway, RestOptions } from './router.ts';

const CALL = { callId: 'c1', status: 'RING' } as CallView;
const STREAM = { streamName: 's1', live: true } as StreamView;
const PUSH = { mediaSessionId: 'c1-1', streamName: 's' } as RtmpPushView;

type Calls = [method: string, ...args: unknown[]][];

/** What a test has otherwise than {@link fakeGateway}. */
interface Overrides {
  readonly startup?: RestGateway['startup'];
  readonly calls?: Partial<RestGateway['calls']>;
  readonly pushes?: Partial<RestGateway['pushes']>;
  readonly call?: { sendDtmf(): Promise<void> };
}

/** A gateway that notes what it is asked for, and knows the call `c1` and the push `c1-1`. */
function fakeGateway(overrides: Overrides = {}): { calls: Calls; gateway: RestGateway } {
  const calls: Calls = [];
  const note = <T>(result: T, ...call: Calls[number]): T => {
    calls.push(call);
    return result;
  };
  const known = (code: GatewayErrorCode, id: string, expected: string, field: string): void => {
    if (id !== expected) throw new GatewayError(code, 'No such thing', { field });
  };
  const call = {
    terminate: () => note(Promise.resolve(), 'terminate'),
    hold: () => note(Promise.resolve(), 'hold'),
    resume: () => note(Promise.resolve(), 'resume'),
    transfer: (target: string) => note(Promise.resolve(), 'transfer', target),
    sendDtmf: (digits: string, type: string) => note(Promise.resolve(), 'sendDtmf', digits, type),
    injectStream: ({ name }: { name: string }) => note(undefined, 'injectStream', name),
    stopInjection: () => note(undefined, 'stopInjection'),
    ...overrides.call,
  };
  const push = {
    close: () => note(Promise.resolve(), 'closePush'),
    mute: () => note(undefined, 'mute'),
    unmute: () => note(undefined, 'unmute'),
    stopSound: () => note(undefined, 'stopSound'),
  };
  const gateway: RestGateway = {
    startup: async (request, address) => note(call as never, 'startup', request, address),
    calls: {
      find: (filter) => note([CALL], 'calls.find', filter),
      get: (callId) => {
        known('CALL_NOT_FOUND', callId, 'c1', 'callId');
        return call as never;
      },
      history: (limit) => note([CALL], 'history', ...(limit === undefined ? [] : [limit])),
      trace: (callId) => {
        known('CALL_NOT_FOUND', callId, 'c1', 'callId');
        return note([], 'trace', callId);
      },
      injectSound: async (callId, fileName) => {
        known('CALL_NOT_FOUND', callId, 'c1', 'callId');
        known('FILE_NOT_FOUND', fileName, 'ding.wav', 'fileName');
        note(undefined, 'injectSound', callId, fileName);
      },
      ...overrides.calls,
    },
    pushes: {
      start: (request) => note(PUSH, 'pushes.start', request),
      find: (filter) => note([PUSH], 'pushes.find', filter),
      get: (id) => {
        known('PUSH_NOT_FOUND', id, 'c1-1', 'mediaSessionId');
        return push as never;
      },
      playSound: async (id, soundFile, loop) => {
        known('PUSH_NOT_FOUND', id, 'c1-1', 'mediaSessionId');
        known('FILE_NOT_FOUND', soundFile, 'ding.wav', 'soundFile');
        note(undefined, 'playSound', id, soundFile, loop);
      },
      ...overrides.pushes,
    },
    streams: {
      find: (filter) =>
        note(filter?.streamName === 'other' ? [] : [STREAM], 'streams.find', filter),
      get: (name) => {
        known('STREAM_NOT_FOUND', name, 's1', 'streamName');
        return { name } as never;
      },
      hls: (name) => {
        known('STREAM_NOT_FOUND', name, 's1', 'streamName');
        return Promise.resolve({ contentType: 'video/mp4', octets: Buffer.from('segment') });
      },
      snapshot: (name, format) => {
        known('STREAM_NOT_FOUND', name, 's1', 'streamName');
        return Promise.resolve({ format: format ?? 'png', data: Buffer.from('image') });
      },
      watch: (name, target, onEnded) => {
        known('STREAM_NOT_FOUND', name, 's1', 'streamName');
        target.write(Buffer.from('FLV'));
        setImmediate(onEnded);
        return note({ close: () => {}, stats: () => ({ bytes: 3, dropped: 0 }) }, 'watch');
      },
    },
    nodeId: 'n@127.0.0.1',
    on: () => gateway as never,
    off: () => gateway as never,
    ...(overrides.startup && { startup: overrides.startup }),
  };
  return { calls, gateway };
}

interface Asked {
  readonly status: number;
  readonly text: string;
  readonly headers: Headers;
  readonly calls: Calls;
}

async function ask(
  path: string,
  init: { method?: string; body?: unknown; headers?: Record<string, string> } = {},
  overrides: Overrides = {},
  options: RestOptions = {},
): Promise<Asked> {
  const { calls, gateway } = fakeGateway(overrides);
  const { method = 'POST', body, headers = { 'content-type': 'application/json' } } = init;
  const text = typeof body === 'string' ? body : body === undefined ? null : JSON.stringify(body);
  const request = new Request(`http://gateway/rest-api${path}`, { method, headers, body: text });
  const response = await createRestRouter(gateway, options).fetch(request, {
    clientAddress: '192.0.2.7',
  });
  return {
    status: response.status,
    text: await response.text(),
    headers: response.headers,
    calls,
  };
}

function errorOf(asked: Asked): ErrorBody {
  expect(asked.headers.get('content-type')).toBe('application/json');
  return JSON.parse(asked.text) as ErrorBody;
}

describe('methods', () => {
  const startup = { callee: '1000@127.0.0.1' };
  const push = { streamName: 's', rtmpUrl: 'rtmp://h/a' };
  const id = { mediaSessionId: 'c1-1' };
  const cases: [path: string, body: unknown, answer: unknown, ...call: unknown[]][] = [
    ['/call/startup', startup, {}, 'startup', startup, '192.0.2.7'],
    ['/call/find', { callId: 'c1' }, [CALL], 'calls.find', { callId: 'c1' }],
    [
      '/call/find',
      { sipStatus: '180', hasAudio: 'true' },
      [CALL],
      'calls.find',
      { sipStatus: 180, hasAudio: true },
    ],
    ['/call/find_all', undefined, [CALL], 'calls.find', undefined],
    ['/call/history', undefined, [CALL], 'history'],
    ['/call/history', { limit: '5' }, [CALL], 'history', 5],
    ['/call/terminate', { callId: 'c1' }, '', 'terminate'],
    ['/call/hold', { callId: 'c1' }, '', 'hold'],
    ['/call/resume', { callId: 'c1' }, '', 'resume'],
    ['/call/transfer', { callId: 'c1', target: 'sip:b@h' }, '', 'transfer', 'sip:b@h'],
    ['/call/send_dtmf', { callId: 'c1', dtmf: '12#' }, '', 'sendDtmf', '12#', 'RFC2833'],
    ['/call/send_dtmf', { callId: 'c1', dtmf: 5, type: 'INFO' }, '', 'sendDtmf', '5', 'INFO'],
    [
      '/call/send_dtmf',
      { callId: 'c1', dtmf: 'A,B', type: 'INFO_RELAY' },
      '',
      'sendDtmf',
      'A,B',
      'INFO_RELAY',
    ],
    [
      '/push/startup',
      push,
      PUSH,
      'pushes.start',
      { ...push, rtmpTransponderFullUrl: false, muted: false },
    ],
    [
      '/push/startup',
      { ...push, rtmpTransponderFullUrl: 'true', options: { action: 'mute' } },
      PUSH,
      'pushes.start',
      { ...push, rtmpTransponderFullUrl: true, muted: true },
    ],
    [
      '/push/startup',
      {
        ...push,
        // A file of certificates or a redirect is not for a client to say.
        rtmp: { enhanced: 'force', maxReconnects: '3', giveUp: '', tls: { insecure: true } },
      },
      PUSH,
      'pushes.start',
      {
        ...push,
        rtmpTransponderFullUrl: false,
        muted: false,
        rtmp: { enhanced: 'force', maxReconnects: 3 },
      },
    ],
    ['/push/find', { streamName: 'rtmp_s' }, [PUSH], 'pushes.find', { streamName: 'rtmp_s' }],
    ['/push/find_all', undefined, [PUSH], 'pushes.find', undefined],
    ['/push/terminate', id, '', 'closePush'],
    ['/push/mute', id, '', 'mute'],
    ['/push/unmute', id, '', 'unmute'],
  ];

  for (const [path, body, answer, ...call] of cases) {
    it(`POST ${path} ${JSON.stringify(body) ?? 'without body'}`, async () => {
      const asked = await ask(path, { body });
      expect(asked.status).toBe(200);
      expect(asked.calls).toEqual([call]);
      if (answer === '') {
        expect(asked.text).toBe('');
        expect(asked.headers.get('content-type')).toBeNull();
      } else {
        expect(JSON.parse(asked.text)).toEqual(answer);
        expect(asked.headers.get('content-type')).toBe('application/json');
      }
    });
  }

  for (const path of [
    '/call/find',
    '/call/find_all',
    '/call/history',
    '/push/find',
    '/push/find_all',
  ]) {
    it(`GET ${path}`, async () => {
      expect((await ask(path, { method: 'GET' })).status).toBe(200);
      expect((await ask(`${path}?callId=c1&streamName=&x=1`, { method: 'GET' })).status).toBe(200);
    });
  }

  it('GET /call/find takes its fields from the query', async () => {
    const { calls } = await ask('/call/find?callId=c1&hasVideo=false&caller=', { method: 'GET' });
    expect(calls).toEqual([['calls.find', { callId: 'c1', hasVideo: false }]]);
  });

  it('answers 404 where nothing is found, and an empty history all the same', async () => {
    const empty = { calls: { find: () => [], history: () => [] }, pushes: { find: () => [] } };
    for (const path of ['/call/find', '/call/find_all', '/push/find', '/push/find_all'])
      expect(errorOf(await ask(path, {}, empty)).status).toBe(404);
    expect((await ask('/call/history', {}, empty)).text).toBe('[]');
  });

  it('lets the peer hear a stream or a sound, by the old and the new path', async () => {
    const stream = { callId: 'c1', streamName: 's1' };
    for (const path of ['/call/inject_stream', '/call/inject_stream/startup']) {
      const { status, text, calls } = await ask(path, { body: stream });
      expect([status, text, calls]).toEqual([200, '', [['injectStream', 's1']]]);
    }
    const ended = await ask('/call/inject_stream/terminate', { body: { callId: 'c1' } });
    expect([ended.status, ended.text, ended.calls]).toEqual([200, '', [['stopInjection']]]);
    const sound = { callId: 'c1', fileName: 'ding.wav' };
    const played = await ask('/call/inject_sound', { body: sound });
    const call = ['injectSound', 'c1', 'ding.wav'];
    expect([played.status, played.text, played.calls]).toEqual([200, '', [call]]);
    for (const [path, body, field] of [
      ['/call/inject_stream', { ...stream, streamName: 'other' }, 'streamName'],
      ['/call/inject_stream', { ...stream, callId: 'other' }, 'callId'],
      ['/call/inject_stream/terminate', { callId: 'other' }, 'callId'],
      ['/call/inject_sound', { ...sound, fileName: 'other.wav' }, 'fileName'],
    ] as const)
      expect(errorOf(await ask(path, { body }))).toMatchObject({ status: 404, field });
  });

  it('plays a sound in place of the audio of a push, once or again and again', async () => {
    const mediaSessionId = 'c1-1';
    for (const [loop, expected] of [
      [true, true],
      ['true', true],
      [undefined, undefined],
    ] as const) {
      const body = { mediaSessionId, soundFile: 'ding.wav', ...(loop !== undefined && { loop }) };
      const { status, text, calls } = await ask('/push/sound_on', { body });
      const call = ['playSound', mediaSessionId, 'ding.wav', expected];
      expect([status, text, calls]).toEqual([200, '', [call]]);
    }
    const off = await ask('/push/sound_off', { body: { mediaSessionId } });
    expect([off.status, off.text, off.calls]).toEqual([200, '', [['stopSound']]]);
    const body = { mediaSessionId, soundFile: 'other.wav' };
    expect(errorOf(await ask('/push/sound_on', { body }))).toMatchObject({
      status: 404,
      field: 'soundFile',
    });
  });

  for (const [path, body] of [
    ['/call/terminate', { callId: 'other' }],
    ['/call/send_dtmf', { callId: 'other', dtmf: '1' }],
    ['/call/hold', { callId: 'other' }],
    ['/call/resume', { callId: 'other' }],
    ['/call/transfer', { callId: 'other', target: 'sip:b@h' }],
    ['/push/terminate', { mediaSessionId: 'other' }],
    ['/push/mute', { mediaSessionId: 'other' }],
    ['/push/unmute', { mediaSessionId: 'other' }],
  ] as const) {
    it(`${path} answers 404 for what it does not know`, async () => {
      const asked = await ask(path, { body });
      expect(errorOf(asked).status).toBe(404);
      expect(asked.calls).toEqual([]);
    });
  }
});

describe('fields', () => {
  const valid: Readonly<Record<string, Record<string, unknown>>> = {
    '/call/startup': { callee: '1000@127.0.0.1' },
    '/call/find': {},
    '/call/terminate': { callId: 'c1' },
    '/call/send_dtmf': { callId: 'c1', dtmf: '1' },
    '/call/hold': { callId: 'c1' },
    '/call/resume': { callId: 'c1' },
    '/call/transfer': { callId: 'c1', target: 'sip:b@h' },
    '/call/inject_stream': { callId: 'c1', streamName: 's' },
    '/call/inject_stream/startup': { callId: 'c1', streamName: 's' },
    '/call/inject_stream/terminate': { callId: 'c1' },
    '/call/inject_sound': { callId: 'c1', fileName: 'f' },
    '/push/startup': { streamName: 's', rtmpUrl: 'rtmp://h/a' },
    '/push/find': {},
    '/push/terminate': { mediaSessionId: 'c1-1' },
    '/push/mute': { mediaSessionId: 'c1-1' },
    '/push/unmute': { mediaSessionId: 'c1-1' },
    '/push/sound_on': { mediaSessionId: 'c1-1', soundFile: 'f' },
    '/push/sound_off': { mediaSessionId: 'c1-1' },
  };
  const text = [{}, [], true, 1.5];
  const flag = ['yes', 1, {}];
  const integer = ['x', 1.5, true, {}, '-1'];
  const wrong: Readonly<Record<string, Record<string, readonly unknown[]>>> = {
    '/call/startup': {
      callId: text,
      callee: text,
      sipLogin: text,
      sipAuthenticationName: text,
      sipPassword: text,
      sipDomain: text,
      sipOutboundProxy: text,
      sipPort: integer,
      sipTransport: ['sctp', 'UDP', 1, {}],
      sipRegisterRequired: flag,
      visibleName: text,
      appKey: text,
      toStream: text,
      rtmpUrl: text,
      rtmpStream: text,
      hasAudio: flag,
      hasVideo: flag,
      custom: ['x', 1, []],
      sipHeaders: ['x', 1, [], { 'X-A': 1 }, { 'X-A': null }],
    },
    '/call/find': {
      callId: text,
      callee: text,
      caller: text,
      rtmpUrl: text,
      rtmpStream: text,
      status: text,
      sipStatus: integer,
      rtmpStreamStatus: text,
      hasAudio: flag,
      hasVideo: flag,
      streamName: text,
    },
    '/call/terminate': { callId: text },
    '/call/send_dtmf': { callId: text, dtmf: text, type: ['rfc', 1, {}] },
    '/call/hold': { callId: text },
    '/call/resume': { callId: text },
    '/call/transfer': { callId: text, target: text },
    '/call/inject_stream': { callId: text, streamName: text },
    '/call/inject_stream/startup': { callId: text, streamName: text },
    '/call/inject_stream/terminate': { callId: text },
    '/call/inject_sound': { callId: text, fileName: text },
    '/push/startup': {
      streamName: text,
      rtmpUrl: text,
      rtmpTransponderFullUrl: flag,
      options: ['x', [], { action: 'shout' }, { action: 1 }],
      rtmp: ['x', [], { enhanced: 'on' }, { maxReconnects: 1.5 }],
    },
    '/push/find': { streamName: text, rtmpUrl: text },
    '/push/terminate': { mediaSessionId: text },
    '/push/mute': { mediaSessionId: text },
    '/push/unmute': { mediaSessionId: text },
    '/push/sound_on': { mediaSessionId: text, soundFile: text, loop: flag },
    '/push/sound_off': { mediaSessionId: text },
  };

  for (const [path, fields] of Object.entries(wrong)) {
    it(`${path} names each field that is wrong`, async () => {
      for (const [field, values] of Object.entries(fields)) {
        for (const value of values) {
          const asked = await ask(path, { body: { ...valid[path], [field]: value } });
          const at = `${field}: ${JSON.stringify(value)}`;
          expect(asked.status, at).toBe(400);
          const error = errorOf(asked);
          expect(error, at).toMatchObject({ code: 'INVALID_ARGUMENT', field });
          expect(error.message, at).toContain(field);
          expect(asked.calls, at).toEqual([]);
        }
      }
    });

    it(`${path} names each field that is missing`, async () => {
      for (const field of Object.keys(valid[path] ?? {})) {
        for (const nothing of [undefined, null, '']) {
          const asked = await ask(path, { body: { ...valid[path], [field]: nothing } });
          expect(errorOf(asked)).toMatchObject({
            status: 400,
            field,
            message: `${field} is required`,
          });
        }
      }
    });

    it(`${path} takes "" and null for absent, and ignores unknown fields`, async () => {
      const optional = Object.keys(fields).filter((field) => !(field in (valid[path] ?? {})));
      const { calls: expected } = await ask(path, { body: valid[path] });
      for (const nothing of ['', null]) {
        const body = { ...valid[path], unknown: 1 };
        const nothings = Object.fromEntries(optional.map((field) => [field, nothing]));
        expect((await ask(path, { body: { ...body, ...nothings } })).calls).toEqual(expected);
      }
    });
  }

  it('takes scalars as strings', async () => {
    const body = {
      callee: 1000,
      sipPort: '5080',
      hasAudio: 'false',
      hasVideo: 'true',
      sipLogin: 7,
    };
    const { calls } = await ask('/call/startup', { body });
    const request = {
      callee: '1000',
      sipPort: 5080,
      hasAudio: false,
      hasVideo: true,
      sipLogin: '7',
    };
    expect(calls).toEqual([['startup', request, '192.0.2.7']]);
  });

  it('takes __proto__ and constructor for names like others', async () => {
    const body =
      '{"callee":"a@b","__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},' +
      '"custom":{"__proto__":{"polluted":1}}}';
    const { status, calls } = await ask('/call/startup', { body });
    expect(status).toBe(200);
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
    const request = calls[0]?.[1] as Record<string, unknown>;
    expect(Object.keys(request).toSorted()).toEqual(['callee', 'custom']);
    expect(Object.getPrototypeOf(request)).toBe(Object.prototype);
    expect((request['custom'] as { polluted?: number }).polluted).toBeUndefined();
  });
});

describe('bodies', () => {
  const json = (body: string, type = 'application/json') =>
    ask('/call/terminate', { body, headers: { 'content-type': type } });

  it('refuses what is no JSON object', async () => {
    for (const body of ['{', '[]', '"x"', '1', 'null', 'true', '{"callId":"c1"}}', '\u0000']) {
      const error = errorOf(await json(body));
      expect(error, body).toMatchObject({ status: 400, field: 'body' });
    }
  });

  it('refuses octets that are not UTF-8', async () => {
    const { gateway } = fakeGateway();
    const request = new Request('http://gateway/rest-api/call/terminate', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: Buffer.from('7b2263616c6c4964223a22ff227d', 'hex'),
    });
    const response = await createRestRouter(gateway).fetch(request);
    expect(response.status).toBe(400);
  });

  it('takes JSON with any spelling of UTF-8, and nothing else', async () => {
    const body = '{"callId":"c1"}';
    for (const type of [
      'application/json',
      'application/json;charset=utf-8',
      'Application/JSON; Charset="UTF-8"',
      'application/json; x=y; charset=utf8',
      'application/json ;charset=US-ASCII',
    ])
      expect((await json(body, type)).status, type).toBe(200);
    for (const type of [
      'text/plain',
      'text/json',
      'application/jsonp',
      'application/json+x',
      'application/x-www-form-urlencoded',
      'application/json; charset=utf-16',
    ])
      expect(errorOf(await json(body, type)), type).toMatchObject({ status: 415 });
    const packed = { 'content-type': 'application/json', 'content-encoding': 'gzip' };
    expect((await ask('/call/terminate', { body, headers: packed })).status).toBe(415);
  });

  it('refuses 64 KiB and an octet, and takes 64 KiB', async () => {
    const padded = (length: number): string => `{"callId":"c1"}`.padEnd(length, ' ');
    expect((await json(padded(65_536))).status).toBe(200);
    expect(errorOf(await json(padded(65_537)))).toMatchObject({ status: 413 });
  });

  it('refuses deep nesting, not brackets in strings', async () => {
    const custom = (depth: number): string =>
      `{"callee":"a@b","custom":{"x":${'['.repeat(depth)}${']'.repeat(depth)}}}`;
    expect((await ask('/call/startup', { body: custom(18) })).status).toBe(200);
    expect(errorOf(await ask('/call/startup', { body: custom(19) }))).toMatchObject({
      status: 400,
      field: 'body',
    });
    const quoted = `{"callee":"a@b","custom":{"x":"\\"${'['.repeat(30)}"}}`;
    expect((await ask('/call/startup', { body: quoted })).status).toBe(200);
  });
});

describe('failures', () => {
  it('has the documented keys', async () => {
    const before = Date.now();
    const error = errorOf(await ask('/call/terminate', { body: { callId: 'other' } }));
    expect(error).toEqual({
      exception: 'NotFoundException',
      reason: 'No such thing',
      path: '/rest-api/call/terminate',
      error: 'Not Found',
      message: 'No such thing',
      timestamp: error.timestamp,
      status: 404,
      code: 'CALL_NOT_FOUND',
      field: 'callId',
    });
    expect(error.timestamp).toBeGreaterThanOrEqual(before);
  });

  it('gives each code of the gateway its status', async () => {
    const expected: Record<number, string[]> = {
      400: ['INVALID_ARGUMENT'],
      404: ['CALL_NOT_FOUND', 'FILE_NOT_FOUND', 'PUSH_NOT_FOUND', 'STREAM_NOT_FOUND'],
      409: [
        'CALL_EXISTS',
        'CALL_STATE',
        'NO_PICTURE',
        'PUSH_EXISTS',
        'RTMP_STREAM_EXISTS',
        'STREAM_EXISTS',
      ],
      500: ['CALL_FAILED'],
      501: ['NOT_IMPLEMENTED'],
      503: [
        'DRAINING',
        'GATEWAY_CLOSED',
        'NO_PORTS',
        'OVERLOADED',
        'TOO_MANY_CALLS',
        'TOO_MANY_VIEWERS',
        'TRANSCODERS_BUSY',
        'TRANSCODER_LOST',
      ],
    };
    const seen: Record<number, string[]> = {};
    for (const code of Object.keys(STATUS_OF_CODE).toSorted() as GatewayErrorCode[]) {
      const startup = () => Promise.reject(new GatewayError(code, 'words', { field: 'f' }));
      const asked = await ask('/call/startup', { body: { callee: 'a@b' } }, { startup });
      expect(errorOf(asked)).toMatchObject({ code, message: 'words', field: 'f' });
      expect(errorOf(asked).error).not.toBe('Error');
      expect(asked.headers.get('retry-after')).toBe(asked.status === 503 ? '5' : null);
      (seen[asked.status] ??= []).push(code);
    }
    expect(seen).toEqual(expected);
  });

  it('reveals nothing internal', async () => {
    const failures: unknown[] = [];
    const find = (): never => {
      throw new Error('secret path /root');
    };
    const onInternalError = (error: unknown): void => void failures.push(error);
    const asked = await ask('/call/find', {}, { calls: { find } }, { onInternalError });
    expect(errorOf(asked)).toMatchObject({
      status: 500,
      code: 'INTERNAL',
      message: 'Internal error',
    });
    expect(asked.text).not.toContain('secret');
    expect(failures).toHaveLength(1);
  });

  it('answers 404 for unknown paths and 405 with Allow for other methods', async () => {
    for (const path of [
      '',
      '/',
      '/call',
      '/call/',
      '/call/find/x',
      '/call/..%2fpush/find',
      '/CALL/find',
    ])
      expect(errorOf(await ask(path)), path).toMatchObject({ status: 404, code: 'NO_SUCH_METHOD' });
    const put = await ask('/call/find', { method: 'PUT' });
    expect(errorOf(put)).toMatchObject({ status: 405, code: 'METHOD_NOT_ALLOWED' });
    expect(put.headers.get('allow')).toBe('POST, GET');
    const get = await ask('/call/startup', { method: 'GET' });
    expect(get.status).toBe(405);
    expect(get.headers.get('allow')).toBe('POST');
    expect((await ask('/call/find_all/')).status).toBe(200);
  });

  it('reports at once that DTMF cannot be sent, and does not wait for what can', async () => {
    const body = { callId: 'c1', dtmf: '1' };
    const refused = () => Promise.reject(new GatewayError('CALL_STATE', 'use INFO'));
    expect((await ask('/call/send_dtmf', { body }, { call: { sendDtmf: refused } })).status).toBe(
      409,
    );
    const waiting = () => new Promise<void>(() => {});
    expect((await ask('/call/send_dtmf', { body }, { call: { sendDtmf: waiting } })).status).toBe(
      200,
    );
  });
});

describe('options', () => {
  const basicAuth = { username: 'user', password: 'pä:ss' };
  const authorized = (text: string): Record<string, string> => ({
    authorization: `Basic ${Buffer.from(text).toString('base64')}`,
  });

  it('demands the account on every query', async () => {
    const asked = (path: string, headers: Record<string, string>) =>
      ask(path, { method: 'GET', headers }, {}, { basicAuth });
    expect((await asked('/call/find_all', authorized('user:pä:ss'))).status).toBe(200);
    const wrong = ['user:wrong', 'other:pä:ss', 'user:pä:ss:', 'user', ''].map(authorized);
    const malformed = [{}, { authorization: 'Basic' }, { authorization: 'Bearer x' }];
    for (const headers of [...wrong, ...malformed] as Record<string, string>[]) {
      for (const path of ['/call/find_all', '/nothing']) {
        const refused = await asked(path, headers);
        expect(errorOf(refused)).toMatchObject({ status: 401, code: 'UNAUTHORIZED' });
        expect(refused.headers.get('www-authenticate')).toMatch(/^Basic realm="/);
        expect(refused.calls).toEqual([]);
      }
    }
  });

  it('take no account and no secret that everybody guesses', () => {
    const gateway = {} as Parameters<typeof createRestRouter>[0];
    for (const empty of ['', undefined]) {
      for (const field of ['username', 'password']) {
        // A variable that is not set makes it undefined, where nobody checks types.
        const account = { ...basicAuth, [field]: empty };
        expect(() => createRestRouter(gateway, { basicAuth: account })).toThrow(
          `basicAuth.${field} must be a text that is not empty`,
        );
      }
    }
    expect(() => createRestRouter(gateway, { viewerSecret: '' })).toThrow(/^viewerSecret /);
  });

  const preflight = { origin: 'http://a', 'access-control-request-method': 'POST' };

  it('answers preflights without a password', async () => {
    const options = { basicAuth, cors: ['http://a'] };
    const asked = await ask(
      '/call/startup',
      { method: 'OPTIONS', headers: preflight },
      {},
      options,
    );
    expect(asked.status).toBe(204);
    expect(asked.headers.get('access-control-allow-origin')).toBe('http://a');
    expect(asked.headers.get('access-control-allow-headers')).toBe(
      'content-type, x-requested-with, authorization',
    );
    expect(asked.headers.get('vary')).toBe('Origin');
  });

  it('lets in listed origins only, and errors be read by them', async () => {
    const origin = async (cors: RestOptions['cors'], from: string) => {
      const init = { method: 'GET', headers: { origin: from } };
      const asked = await ask('/nothing', init, {}, cors === undefined ? {} : { cors });
      return asked.headers.get('access-control-allow-origin');
    };
    expect(await origin('*', 'http://b')).toBe('*');
    expect(await origin(['http://a'], 'http://a')).toBe('http://a');
    expect(await origin(['http://a'], 'http://b')).toBeNull();
    expect(await origin(undefined, 'http://a')).toBeNull();
  });

  it('mounts at the given path', async () => {
    const { gateway } = fakeGateway();
    const at = async (mount: string, path: string): Promise<number> => {
      const request = new Request(`http://gateway${path}`);
      return (await createRestRouter(gateway, { mount }).fetch(request)).status;
    };
    expect(await at('/a/b/', '/a/b/call/find_all')).toBe(200);
    expect(await at('/a/b', '/rest-api/call/find_all')).toBe(404);
    expect(await at('/', '/call/find_all')).toBe(200);
  });

  it.each(['//[', 'http://[', 'http://a:b/', '/%zz', '*', ''])(
    'leaves an upgrade to %s to its host',
    (url) => {
      const { gateway } = fakeGateway();
      const request = { url, headers: {}, socket: {} } as IncomingMessage;
      const { upgrade } = createRestRouter(gateway);
      expect(upgrade(request, new PassThrough(), Buffer.alloc(0))).toBe(false);
    },
  );
});
