import { answerReoffer, formatOffer, parseAnswer } from '@sipcast/sip';
import { describe, expect, it } from 'vitest';
import { describeSession, isHeld, negotiatedMedia } from './negotiation.ts';
import type { OfferOptions } from './negotiation.ts';

const describeWith = (
  parts: { hasAudio?: boolean; hasVideo?: boolean; options?: OfferOptions } = {},
) =>
  describeSession({
    address: '192.0.2.1',
    callId: 'abc',
    sessionId: 7,
    audio: { rtpPort: 30_000, rtcpPort: 30_001, ssrc: 11 },
    video: { rtpPort: 30_002, rtcpPort: 30_003, ssrc: 22 },
    hasAudio: true,
    hasVideo: true,
    options: {},
    ...parts,
  });

const negotiate = (sdp: string, parts = {}) => {
  const offer = describeWith(parts);
  return negotiatedMedia(offer, parseAnswer(offer, sdp));
};

const ANSWER = `v=0
o=- 1 1 IN IP4 192.0.2.9
s=-
c=IN IP4 192.0.2.9
t=0 0
m=audio 4000 RTP/AVP 0 101
a=rtpmap:101 telephone-event/8000
m=video 4002 RTP/AVP 97
a=rtpmap:97 H264/90000
a=fmtp:97 packetization-mode=1;profile-level-id=42e01e;sprop-parameter-sets=Z0LAHtoCgL/lwEQAAAMABAAAAwDIPFi6gA==,aM4PyA==
a=rtcp:5003
a=rtcp-fb:97 nack pli
`.replaceAll('\n', '\r\n');

describe('the offer', () => {
  it('has both m-lines whatever is sent, with their directions', () => {
    const sdp = formatOffer(describeWith({ hasAudio: false, hasVideo: true }));
    const [, audio = '', video = ''] = sdp.split(/(?=^m=)/m);
    expect(audio).toMatch(/^m=audio 30000 RTP\/AVP 8 0 99 98 9 96 101 102 103\r\n/);
    expect(audio).toContain('a=recvonly');
    expect(video).toMatch(/^m=video 30002 RTP\/AVP 112 113 114\r\n/);
    expect(video).toContain('a=sendrecv');
    expect(video).toContain('a=fmtp:112 packetization-mode=1; profile-level-id=420020');
    expect(audio).toContain('a=ssrc:11 cname:rtp/audio/abc');
  });

  it('takes codecs, their order, the profile and extra lines from the options', () => {
    const options: OfferOptions = {
      audioCodecs: ['pcmu'],
      videoCodecs: ['h264-mode0', 'h264-mode1'],
      profileLevelId: '42801f',
      extraVideoLines: ['b=TIAS:1000000'],
    };
    const sdp = formatOffer(describeWith({ options }));
    // Of the events only those on the clock of an offered codec.
    expect(sdp).toContain('m=audio 30000 RTP/AVP 0 101\r\n');
    expect(sdp).toContain('m=video 30002 RTP/AVP 113 112');
    expect(sdp).toContain('profile-level-id=42801f');
    expect(sdp).toContain('b=TIAS:1000000\r\n');
  });
});

describe('the answer', () => {
  it('becomes addresses, payload types, feedback and parameter sets', () => {
    const { audio, video } = negotiate(ANSWER);
    expect(audio).toMatchObject({
      address: '192.0.2.9',
      rtpPort: 4000,
      rtcpPort: 4001,
      send: true,
      codecs: [{ payloadType: 0, codec: 'pcmu' }],
      receive: true,
      telephoneEvents: [{ payloadType: 101, clockRateHz: 8000 }],
    });
    expect(video).toMatchObject({
      rtpPort: 4002,
      rtcpPort: 5003,
      codecs: [{ payloadType: 97, codec: 'h264' }],
      feedback: { pli: true, fir: false, nack: false },
    });
    expect(video?.parameterSets?.map((nalu) => (nalu[0] ?? 0) & 0x1f)).toEqual([7, 8]);
  });

  it('sends only where we offered to and the peer takes it', () => {
    expect(negotiate(ANSWER, { hasAudio: false }).audio?.send).toBe(false);
    const sendonly = ANSWER.replace('m=video', 'a=sendonly\r\nm=video');
    expect(negotiate(sendonly).audio?.send).toBe(false);
    expect(negotiate(sendonly).video?.send).toBe(true);
  });

  it('leaves refused media out', () => {
    const { audio, video } = negotiate(ANSWER.replace('m=video 4002', 'm=video 0'));
    expect(video).toBeUndefined();
    expect(audio?.rtpPort).toBe(4000);
  });
});

const CODECS = `v=0
o=- 1 1 IN IP4 192.0.2.9
s=-
c=IN IP4 192.0.2.9
t=0 0
m=audio 4000 RTP/AVP 9 120 121 110 111 100
a=rtpmap:120 OPUS/48000/2
a=rtpmap:121 telephone-event/48000
a=rtpmap:110 SPEEX/16000
a=rtpmap:111 speex/8000
a=rtpmap:100 speex/32000
m=video 4002 RTP/AVP 98
a=rtpmap:98 VP8/90000
a=rtcp-fb:98 nack
`.replaceAll('\n', '\r\n');

describe('codecs', () => {
  it('are found by name and clock, whatever their case and payload type', () => {
    const audioCodecs = ['g722', 'opus', 'speex-nb', 'speex-wb'] as const;
    const { audio, video } = negotiate(CODECS, { options: { audioCodecs } });
    expect(audio?.codecs).toEqual([
      { payloadType: 9, codec: 'g722' },
      { payloadType: 120, codec: 'opus' },
      { payloadType: 110, codec: 'speex-wb' },
      { payloadType: 111, codec: 'speex-nb' },
    ]);
    expect(audio?.telephoneEvents).toEqual([{ payloadType: 121, clockRateHz: 48_000 }]);
    expect(video).toMatchObject({
      codecs: [{ payloadType: 98, codec: 'vp8' }],
      feedback: { nack: true, pli: false },
    });
  });
});

describe('SRTP', () => {
  const cryptoLines = (sdp: string): string[] =>
    sdp.split('\r\n').filter((line) => line.startsWith('a=crypto:'));

  it('is not offered unless it is asked for', () => {
    expect(cryptoLines(formatOffer(describeWith()))).toEqual([]);
  });

  it('optional: keys beside RTP/AVP, fresh ones for each medium', () => {
    const sdp = formatOffer(describeWith({ options: { srtp: 'optional' } }));
    expect(sdp).toMatch(/m=audio \d+ RTP\/AVP /);
    const lines = cryptoLines(sdp);
    expect(lines[0]).toMatch(/^a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:[A-Za-z0-9+/]{40}$/);
    expect(lines[1]).toMatch(/^a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:[A-Za-z0-9+/]{40}$/);
    expect(new Set(lines.map((line) => line.split('inline:')[1])).size).toBe(4);
  });

  const secured = (protocol: string, crypto: string): string =>
    ANSWER.replaceAll('RTP/AVP', protocol).replaceAll(
      /(a=rtpmap:(?:101|97) [^\r]*)/g,
      `$1\r\n${crypto}`,
    );
  const key = Buffer.alloc(30, 5).toString('base64');
  const line = `a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:${key}|2^20`;

  it('takes the peer’s choice, in RTP/SAVP and in RTP/AVP', () => {
    for (const [srtp, protocol] of [
      ['required', 'RTP/SAVP'],
      ['optional', 'RTP/AVP'],
    ] as const) {
      const offer = describeWith({ options: { srtp } });
      const media = negotiatedMedia(offer, parseAnswer(offer, secured(protocol, line)));
      expect(media.audio?.srtp?.suite).toBe('AES_CM_128_HMAC_SHA1_32');
      expect(media.audio?.srtp?.receive).toEqual(Buffer.alloc(30, 5));
      const own = formatOffer(offer).match(/a=crypto:2 \S+ inline:(\S+)/)?.[1] ?? '';
      expect(media.audio?.srtp?.send).toEqual(Buffer.from(own, 'base64'));
      expect(media.video?.srtp?.send).not.toEqual(media.audio?.srtp?.send);
    }
  });

  it('optional goes on in the clear with a peer without keys; required does not', () => {
    expect(negotiate(ANSWER, { options: { srtp: 'optional' } }).audio?.srtp).toBeUndefined();
    for (const answer of [ANSWER, secured('RTP/SAVP', 'a=x'), secured('RTP/AVP', 'a=x')]) {
      expect(() => negotiate(answer, { options: { srtp: 'required' } })).toThrow(
        /No usable medium/,
      );
    }
  });

  it.each([
    ['a tag that was not offered', `a=crypto:9 AES_CM_128_HMAC_SHA1_32 inline:${key}`],
    ['the other suite under the tag', `a=crypto:1 AES_CM_128_HMAC_SHA1_32 inline:${key}`],
    ['a key that is too short', 'a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAA'],
    ['an MKI', `a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:${key}|2^20|1:4`],
    ['an MKI without a lifetime', `a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:${key}|1:4`],
    ['no encryption', `a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:${key} UNENCRYPTED_SRTP`],
    ['no key', 'a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:'],
  ])('refuses an answer with %s', (_, crypto) => {
    const answer = secured('RTP/SAVP', crypto);
    expect(() => negotiate(answer, { options: { srtp: 'required' } })).toThrow(/No usable medium/);
  });

  it('answers an offer with the first line that it can, and keeps its key in later ones', () => {
    const current = describeWith({ options: { srtp: 'optional' } });
    const offered = secured('RTP/SAVP', `a=crypto:1 F8_128_HMAC_SHA1_80 inline:${key}\r\n${line}`);
    const first = answerReoffer(current, offered);
    expect(cryptoLines(first.sdp).length).toBe(2);
    expect(first.sdp).toMatch(/m=audio \d+ RTP\/SAVP /);
    expect(cryptoLines(first.sdp)[0]).toMatch(/^a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:/);
    const again = answerReoffer(first.description, offered);
    expect(cryptoLines(again.sdp)).toEqual(cryptoLines(first.sdp));
    expect(again.description.sessionVersion).toBe(first.description.sessionVersion);
    const off = describeWith();
    expect(() => answerReoffer(off, offered)).toThrow(/No usable medium/);
  });
});

describe('hold', () => {
  const both = (direction: string) =>
    ANSWER.replace('m=video', `a=${direction}\r\nm=video`) + `a=${direction}\r\n`;

  const reoffer = (sdp: string, parts = {}) => {
    const offer = describeWith(parts);
    const { description, peer } = answerReoffer(offer, sdp);
    const { direction = '' } = parts as { direction?: string };
    const before = parseAnswer(offer, direction === '' ? ANSWER : both(direction));
    const media = negotiatedMedia(description, peer);
    return { held: isHeld(peer, before), media };
  };
  it('is what takes nothing of what we could send', () => {
    expect(reoffer(ANSWER).held).toBe(false);
    expect(reoffer(both('sendonly'))).toMatchObject({
      held: true,
      media: { audio: { send: false, receive: true }, video: { send: false, receive: true } },
    });
    expect(reoffer(both('inactive'))).toMatchObject({
      held: true,
      media: { audio: { receive: false }, video: { receive: false } },
    });
    expect(reoffer(ANSWER.replace('c=IN IP4 192.0.2.9', 'c=IN IP4 0.0.0.0')).held).toBe(true);
    // One medium goes on.
    expect(reoffer(`${ANSWER}a=sendonly\r\n`).held).toBe(false);
  });

  it('is not sendonly of a peer that never listened', () => {
    const receiving = { hasAudio: false, hasVideo: false, direction: 'sendonly' };
    expect(reoffer(both('sendonly'), receiving).held).toBe(false);
    expect(reoffer(both('inactive'), receiving).held).toBe(true);
    const nowhere = both('sendonly').replace('c=IN IP4 192.0.2.9', 'c=IN IP4 0.0.0.0');
    expect(reoffer(nowhere, receiving).held).toBe(true);
  });
});
