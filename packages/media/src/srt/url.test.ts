import { describe, expect, it } from 'vitest';
import { parseSrtUrl } from './url.ts';

describe('parseSrtUrl', () => {
  it('reads host, port and the options, with ffmpeg’s names and units', () => {
    const url = 'SRT://[::1]:9000/?streamid=%23!%3A%3Ar%3Dcam&latency=120&passphrase=0123456789';
    const { host, port, options, secrets } = parseSrtUrl(url);
    expect([host, port]).toEqual(['::1', 9000]);
    expect([...options]).toEqual([
      ['streamid', '#!::r=cam'],
      ['latency', '120000'],
      ['passphrase', '0123456789'],
    ]);
    expect(secrets).toEqual(['0123456789', '#!::r=cam']);
  });

  it.each([
    ['rtmp://h:1', 'scheme'],
    ['srt://h', 'host'],
    ['srt://:1', 'host'],
    ['srt://a b:1', 'query'],
    ['srt://h:0', 'port'],
    ['srt://h:65536', 'port'],
    ['srt://u:p@h:1', 'userinfo'],
    ['srt://h:1/path', 'query'],
    ['srt://h:1?mode=listener', 'query'],
    ['srt://h:1?mode=rendezvous', 'query'],
    ['srt://h:1?passphrase=short', 'query'],
    ['srt://h:1?latency=-1', 'query'],
    ['srt://h:1?latency=1e9', 'query'],
    ['srt://h:1?listen_timeout=1', 'query'],
    [`srt://h:1?streamid=${'x'.repeat(513)}`, 'query'],
    [`srt://h:1?streamid=${'x'.repeat(3000)}`, 'query'],
    ['srt://h:1#x', 'host'],
  ])('refuses %s', (url, field) => {
    expect(() => parseSrtUrl(url)).toThrow(
      expect.objectContaining({ code: 'INVALID_URL', field }) as Error,
    );
  });
});
