// Names in descriptions: which lines, which families, and what is not found.

import { describe, expect, it } from 'vitest';
import { MediaHosts } from './media-hosts.ts';

const SDP = [
  'v=0',
  'o=- 1 1 IN IP4 pbx.example.com',
  'c=IN IP4 Media.example.com',
  'm=audio 4000 RTP/AVP 8',
  'a=rtcp:4001 IN IP4 rtcp.example.com',
  'm=video 4002 RTP/AVP 96',
  'c=IN IP6 v6.example.com',
  'm=text 0 RTP/AVP 98',
  'c=IN IP4 192.0.2.7',
  'c=IN IP6 2001:db8::7',
  '',
].join('\r\n');

const ADDRESSES = new Map([
  ['media.example.com', '192.0.2.1'],
  ['rtcp.example.com', '2001:db8::1'],
  ['v6.example.com', '2001:db8::2'],
]);

function hosts() {
  const asked: string[] = [];
  const all = new MediaHosts((host) => {
    asked.push(host);
    const address = ADDRESSES.get(host);
    return address === undefined ? Promise.reject(new Error('none')) : Promise.resolve(address);
  });
  return { all, asked };
}

describe('MediaHosts', () => {
  it('puts addresses in the place of names, each asked for once', async () => {
    const { all, asked } = hosts();
    expect(all.knows(SDP)).toBe(false);
    await all.lookUp(SDP);
    await all.lookUp(SDP);
    expect(asked).toEqual(['media.example.com', 'rtcp.example.com', 'v6.example.com']);
    expect(all.knows(SDP)).toBe(true);
    expect(all.withAddresses(SDP).split('\r\n')).toEqual([
      'v=0',
      'o=- 1 1 IN IP4 pbx.example.com',
      'c=IN IP4 192.0.2.1',
      'm=audio 4000 RTP/AVP 8',
      'a=rtcp:4001 IN IP6 2001:db8::1',
      'm=video 4002 RTP/AVP 96',
      'c=IN IP6 2001:db8::2',
      'm=text 0 RTP/AVP 98',
      'c=IN IP4 192.0.2.7',
      'c=IN IP6 2001:db8::7',
      '',
    ]);
  });

  it('leaves a description without names alone', () => {
    const { all } = hosts();
    const sdp = 'c=IN IP4 224.2.1.1/127\r\nc=IN IP6 ff15::101/3\r\na=rtcp:53020\r\n';
    expect(all.knows(sdp)).toBe(true);
    expect(all.withAddresses(sdp)).toBe(sdp);
  });

  it('names what does not resolve, and looks it up again the next time', async () => {
    const { all, asked } = hosts();
    const sdp = 'c=IN IP4 nowhere.example.com\r\n';
    for (const count of [1, 2]) {
      await all.lookUp(sdp);
      expect(all.knows(sdp)).toBe(true);
      expect(() => all.withAddresses(sdp)).toThrow('nowhere.example.com does not resolve');
      expect([all.knows(sdp), asked.length]).toEqual([false, count]);
    }
  });

  it('asks for the family that the line names', async () => {
    const asked: string[] = [];
    const all = new MediaHosts(async (host, family) => {
      asked.push(`${host} ${family}`);
      return family === 4 ? '192.0.2.1' : '2001:db8::1';
    });
    const sdp = 'c=IN IP4 both.example.com\r\na=rtcp:9 IN IP6 both.example.com\r\n';
    await all.lookUp(sdp);
    expect(asked).toEqual(['both.example.com 4', 'both.example.com 6']);
    expect(all.withAddresses(sdp)).toBe('c=IN IP4 192.0.2.1\r\na=rtcp:9 IN IP6 2001:db8::1\r\n');
  });

  it('remembers no more than a peer can need', async () => {
    const all = new MediaHosts(async () => '192.0.2.1');
    const named = (n: number): string => `c=IN IP4 h${n}.example.com\r\n`;
    for (let n = 0; n < 100; n++) {
      await all.lookUp(named(n));
      expect(all.knows(named(n))).toBe(true);
    }
    expect([0, 63, 64, 99].map((n) => all.knows(named(n)))).toEqual([false, false, true, true]);
  });

  it('looks up no more than eight', async () => {
    const { all, asked } = hosts();
    const sdp = Array.from({ length: 20 }, (_, n) => `c=IN IP4 h${n}.example.com\r\n`).join('');
    await all.lookUp(sdp);
    expect(asked.length).toBe(8);
    expect(() => all.withAddresses(sdp)).toThrow(/does not resolve/);
  });
});
