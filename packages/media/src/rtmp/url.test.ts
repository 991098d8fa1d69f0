import { describe, expect, it } from 'vitest';
import { RtmpError } from '../errors.ts';
import { parseRtmpUrl, redactRtmpUrl } from './url.ts';

describe('parseRtmpUrl', () => {
  const good: [string, Partial<ReturnType<typeof parseRtmpUrl>>][] = [
    [
      'rtmp://host/live',
      { host: 'host', port: 1935, app: 'live', tcUrl: 'rtmp://host/live', secure: false },
    ],
    ['rtmp://host:1936/live/', { port: 1936, app: 'live', tcUrl: 'rtmp://host:1936/live' }],
    ['rtmp://host/app/instance', { app: 'app/instance' }],
    ['rtmp://host/app?token=a/b', { app: 'app?token=a/b', tcUrl: 'rtmp://host/app?token=a/b' }],
    ['rtmp://host/app/?token=1', { app: 'app?token=1' }],
    ['rtmp://host/a..b/...?up=/../', { app: 'a..b/...?up=/../' }],
    ['RTMPS://host/app', { secure: true, port: 443, tcUrl: 'rtmps://host/app' }],
    ['rtmp://u%40x:p%3Aw@host/app', { username: 'u@x', password: 'p:w', tcUrl: 'rtmp://host/app' }],
    ['rtmp://[::1]:1935/app', { host: '::1', tcUrl: 'rtmp://[::1]:1935/app' }],
  ];
  for (const [text, parts] of good) {
    it(`takes ${text}`, () => expect(parseRtmpUrl(text)).toMatchObject(parts));
  }

  const bad: [string, string][] = [
    ['http://host/app', 'scheme'],
    ['host/app', 'scheme'],
    ['rtmp:///app', 'host'],
    ['rtmp://host', 'app'],
    ['rtmp://host/', 'app'],
    ['rtmp://host/?x', 'app'],
    ['rtmp://host:0/app', 'port'],
    ['rtmp://host:99999/app', 'port'],
    ['rtmp://host:a/app', 'host'],
    ['rtmp://host/a b', 'app'],
    ['rtmp://host/a\r\nb', 'app'],
    ['rtmp://host/live/../x', 'app'],
    ['rtmp://host/..', 'app'],
    ['rtmp://host/a%2F%2e%2Ex/..?k=1', 'app'],
    ['rtmp://host/a%2f%2E./b', 'app'],
    ['rtmp://%zz@host/a', 'userinfo'],
  ];
  for (const [text, field] of bad) {
    it(`refuses ${JSON.stringify(text)}, naming ${field}`, () => {
      try {
        parseRtmpUrl(text);
        expect.unreachable();
      } catch (error) {
        expect(error).toBeInstanceOf(RtmpError);
        expect(error).toMatchObject({ code: 'INVALID_URL', field });
      }
    });
  }

  it('redacts secrets', () => {
    expect(redactRtmpUrl('rtmp://u:p@host/app?key=1')).toBe('rtmp://***@host/app?***');
  });
});
