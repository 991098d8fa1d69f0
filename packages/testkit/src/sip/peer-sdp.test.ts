import { formatOffer } from '@sipcast/sip';
import { describe, expect, it } from 'vitest';
import { formatPhoneSdp, mirrored, parseSdp } from './peer-sdp.ts';

const OFFER = formatOffer({
  address: '127.0.0.1',
  sessionId: 7,
  sessionVersion: 2,
  sessionName: 'x',
  media: [
    {
      kind: 'audio',
      port: 30_000,
      rtcpPort: 30_009,
      direction: 'recvonly',
      codecs: [
        { payloadType: 8, encodingName: 'PCMA', clockRateHz: 8000 },
        { payloadType: 101, encodingName: 'telephone-event', clockRateHz: 8000, fmtp: '0-15' },
      ],
      ssrc: 1,
      cname: 'c',
      feedback: ['nack pli'],
    },
  ],
});

describe('the phone reads SDP', () => {
  it('an offer of @sipcast/sip', () => {
    const { sessionId, sessionVersion, media } = parseSdp(OFFER);
    expect({ sessionId, sessionVersion }).toEqual({ sessionId: '7', sessionVersion: 2n });
    expect(media).toHaveLength(1);
    expect(media[0]).toMatchObject({
      kind: 'audio',
      port: 30_000,
      rtcpPort: 30_009,
      address: '127.0.0.1',
      direction: 'recvonly',
      payloadTypes: [8, 101],
      feedback: ['nack pli'],
    });
    expect(media[0]!.encodings.get(101)).toBe('telephone-event/8000');
    expect(media[0]!.fmtp.get(101)).toBe('0-15');
  });

  it.each([
    ['v=0\r\ns=-\r\n', 'no o='],
    [OFFER.slice(0, -2), 'no CRLF at the end'],
    [OFFER.replaceAll('\r\n', '\n'), 'LF alone'],
    [OFFER.replace(/c=[^\r]*\r\n/, ''), 'no c='],
    [OFFER.replace('t=0 0\r\n', ''), 'no t='],
    [OFFER.replace('30000', '70000'), 'port'],
    [OFFER.replace(/a=rtpmap:101[^\r]*\r\n/, ''), 'a dynamic type without rtpmap'],
    [OFFER.replace('a=recvonly', 'nonsense'), 'a line without a type'],
  ])('and refuses %j: %s', (text) => {
    expect(() => parseSdp(text)).toThrow(SyntaxError);
  });

  it('and reads what it writes, a refused medium included', () => {
    const text = formatPhoneSdp({
      address: '127.0.0.1',
      sessionId: 1,
      sessionVersion: 1,
      media: [
        {
          kind: 'audio',
          port: 0,
          rtcpPort: 0,
          protocol: 'RTP/AVP',
          codecs: [{ payloadType: 8, encoding: '' }],
          direction: 'inactive',
          feedback: [],
        },
        {
          kind: 'video',
          port: 4000,
          rtcpPort: 4001,
          protocol: 'RTP/AVP',
          codecs: [{ payloadType: 112, encoding: 'H264/90000', fmtp: 'packetization-mode=1' }],
          direction: 'sendonly',
          feedback: ['ccm fir'],
        },
      ],
    });
    const { media } = parseSdp(text);
    expect(media.map(({ port, direction }) => [port, direction])).toEqual([
      [0, 'sendrecv'],
      [4000, 'sendonly'],
    ]);
    expect(media[1]!.fmtp.get(112)).toBe('packetization-mode=1');
  });

  it('answers a direction by its mirror', () => {
    expect((['sendrecv', 'sendonly', 'recvonly', 'inactive'] as const).map(mirrored)).toEqual([
      'sendrecv',
      'recvonly',
      'sendonly',
      'inactive',
    ]);
  });
});
