import { describe, expect, it } from 'vitest';
import { SipError } from '../errors.ts';
import { answerReoffer, parseAnswer } from './offer-answer.ts';
import { formatOffer, readDescription } from './sdp.ts';
import type { SessionDescription } from './sdp.ts';

const OFFER: SessionDescription = {
  address: '192.0.2.10',
  sessionId: 7,
  sessionVersion: 1,
  sessionName: '-',
  media: [
    {
      kind: 'audio',
      port: 30000,
      rtcpPort: 30001,
      direction: 'sendrecv',
      ssrc: 1,
      cname: 'a',
      codecs: [
        { payloadType: 8, encodingName: 'PCMA', clockRateHz: 8000 },
        { payloadType: 0, encodingName: 'PCMU', clockRateHz: 8000 },
        { payloadType: 101, encodingName: 'telephone-event', clockRateHz: 8000, fmtp: '0-16' },
      ],
    },
    {
      kind: 'video',
      port: 30002,
      rtcpPort: 30003,
      direction: 'sendrecv',
      ssrc: 2,
      cname: 'v',
      codecs: [
        {
          payloadType: 112,
          encodingName: 'H264',
          clockRateHz: 90000,
          fmtp: 'packetization-mode=1; profile-level-id=420020',
        },
        {
          payloadType: 113,
          encodingName: 'H264',
          clockRateHz: 90000,
          fmtp: 'packetization-mode=0; profile-level-id=420020',
        },
      ],
      feedback: ['ccm fir', 'nack', 'nack pli'],
    },
  ],
};

const SESSION = ['v=0', 'o=- 1 1 IN IP4 192.0.2.20', 's=-', 'c=IN IP4 192.0.2.20', 't=0 0'];
const AUDIO = ['m=audio 4000 RTP/AVP 8'];
const VIDEO = [
  'm=video 4002 RTP/AVP 97',
  'a=rtpmap:97 H264/90000',
  'a=fmtp:97 packetization-mode=1',
];

function sdp(...lines: (string | string[])[]): string {
  return `${[...SESSION, ...lines.flat()].join('\r\n')}\r\n`;
}

function answer(...lines: (string | string[])[]) {
  const [audio, video] = parseAnswer(OFFER, sdp(...lines));
  if (audio === undefined || video === undefined) throw new Error('an entry is missing');
  return { audio, video };
}

/** Whether video is accepted when these types were offered and the answer uses mode 0. */
const acceptsModeZero = (...offered: number[]) => {
  const media = OFFER.media.map((one) =>
    one.kind === 'video'
      ? { ...one, codecs: one.codecs.filter((codec) => offered.includes(codec.payloadType)) }
      : one,
  );
  const text = sdp(
    AUDIO,
    'm=video 4002 RTP/AVP 97',
    'a=rtpmap:97 h264/90000',
    'a=fmtp:97 profile-level-id=42801F',
  );
  return parseAnswer({ ...OFFER, media }, text)[1]?.accepted;
};

describe('parseAnswer', () => {
  it('takes the answer’s payload types, order and fmtp', () => {
    const { audio, video } = answer(
      'm=audio 4000 RTP/AVP 0 96 8 18',
      'a=rtpmap:96 Telephone-Event/8000',
      'a=fmtp:96 0-15',
      'a=ptime:30',
      VIDEO,
    );
    expect(audio).toEqual({
      kind: 'audio',
      accepted: true,
      address: '192.0.2.20',
      port: 4000,
      rtcpAddress: '192.0.2.20',
      rtcpPort: 4001,
      direction: 'sendrecv',
      codecs: [
        { payloadType: 0, encodingName: 'PCMU', clockRateHz: 8000 },
        { payloadType: 96, encodingName: 'telephone-event', clockRateHz: 8000, fmtp: '0-15' },
        { payloadType: 8, encodingName: 'PCMA', clockRateHz: 8000 },
      ],
      ptimeMs: 30,
      feedback: { nack: false, pli: false, fir: false },
    });
    expect(video.codecs).toEqual([
      { payloadType: 97, encodingName: 'H264', clockRateHz: 90000, fmtp: 'packetization-mode=1' },
    ]);
  });

  it('tells H.264 modes apart; an absent one is 0', () => {
    expect(acceptsModeZero(113)).toBe(true);
    expect(acceptsModeZero(112)).toBe(false);
    expect(acceptsModeZero(112, 113)).toBe(true);
  });

  it('recognizes one of our dynamic types without its rtpmap', () => {
    const { audio, video } = answer('m=audio 4000 RTP/AVP 8 101', 'm=video 4002 RTP/AVP 112 98');
    expect(audio.codecs.map((codec) => codec.encodingName)).toEqual(['PCMA', 'telephone-event']);
    expect(video.codecs.map((codec) => codec.payloadType)).toEqual([112]);
  });

  it('rejects a codec with another clock rate or channel count', () => {
    const { audio } = answer(
      'm=audio 4000 RTP/AVP 96 97',
      'a=rtpmap:96 PCMA/16000',
      'a=rtpmap:97 PCMA/8000/2',
      VIDEO,
    );
    expect(audio).toMatchObject({ accepted: false, codecs: [] });
  });

  it('prefers the medium’s c= and a=rtcp, with and without an address', () => {
    const { audio, video } = answer(
      AUDIO,
      'c=IN IP4 192.0.2.21',
      'a=rtcp:5000',
      VIDEO,
      'a=rtcp:5002 IN IP6 2001:db8::5',
      'a=rtcp-mux',
    );
    expect(audio).toMatchObject({
      address: '192.0.2.21',
      rtcpAddress: '192.0.2.21',
      rtcpPort: 5000,
    });
    expect(video).toMatchObject({
      address: '192.0.2.20',
      rtcpAddress: '2001:db8::5',
      rtcpPort: 5002,
    });
  });

  it('follows rtcp-mux only if it was offered', () => {
    expect(answer(AUDIO, 'a=rtcp-mux', VIDEO).audio.rtcpPort).toBe(4001);
    const offer = { ...OFFER, extraLines: { audio: ['a=rtcp-mux'] } };
    const muxed = parseAnswer(offer, sdp(AUDIO, 'a=rtcp-mux', VIDEO, 'a=rtcp-mux'));
    expect(muxed.map((media) => media.rtcpPort)).toEqual([4000, 4003]);
  });

  it('inherits the session’s direction; an RFC 2543 hold does not receive', () => {
    const { audio, video } = answer('a=sendonly', AUDIO, VIDEO, 'a=recvonly', 'c=IN IP4 0.0.0.0');
    expect(audio.direction).toBe('sendonly');
    expect(video).toMatchObject({ direction: 'inactive', address: '0.0.0.0', accepted: true });
    expect(answer(AUDIO, 'c=IN IP4 0.0.0.0', VIDEO).audio.direction).toBe('sendonly');
  });

  it('reads feedback for * and for a codec in common, not for others', () => {
    expect(
      answer(AUDIO, VIDEO, 'a=rtcp-fb:* nack', 'a=rtcp-fb:97 nack pli').video.feedback,
    ).toEqual({
      nack: true,
      pli: true,
      fir: false,
    });
    expect(answer(AUDIO, VIDEO, 'a=rtcp-fb:98 ccm fir').video.feedback.fir).toBe(false);
  });

  it.each([
    ['port 0', ['m=video 0 RTP/AVP 97']],
    ['no section at all', []],
    ['only telephone-event in common', ['m=video 4002 RTP/AVP 31']],
    [
      'SRTP, which was not offered',
      ['m=video 4002 RTP/SAVP 97', 'a=rtpmap:97 H264/90000', 'a=fmtp:97 packetization-mode=1'],
    ],
    ['another kind of medium in its place', ['m=application 4002 TCP/BFCP *']],
  ])('refused by %s', (_, lines) => {
    const { audio, video } = answer(AUDIO, lines);
    expect(audio.accepted).toBe(true);
    expect(video.accepted).toBe(false);
  });

  it('telephone-event alone is not audio', () => {
    const { audio } = answer(
      'm=audio 4000 RTP/AVP 101',
      'a=rtpmap:101 telephone-event/8000',
      VIDEO,
    );
    expect(audio.accepted).toBe(false);
  });

  it('finds video where a device left the audio section out', () => {
    const { audio, video } = answer(VIDEO);
    expect(audio.accepted).toBe(false);
    expect(video).toMatchObject({ accepted: true, port: 4002 });
  });

  it('rejects an answer without a usable medium', () => {
    for (const lines of [
      ['m=audio 0 RTP/AVP 8', 'm=video 0 RTP/AVP 97'],
      ['m=audio 4000 RTP/AVP 18'],
    ]) {
      expect(() => parseAnswer(OFFER, sdp(lines))).toThrowError(
        expect.objectContaining({ code: 'NO_COMMON_CODECS' }),
      );
    }
  });

  it.each([
    ['a refused section with a strange number', ['m=video 0 RTP/AVP 255']],
    ['a refused section without a format', ['m=video 0 RTP/AVP']],
    ['a broken section', ['m=video 4002 RTP/AVP 255']],
    ['a section without a port', ['m=video RTP/AVP 97']],
  ])('is an audio call beside %s', (_, lines) => {
    const { audio, video } = answer(AUDIO, lines);
    expect([audio.accepted, video.accepted]).toEqual([true, false]);
    expect(video.problem).toBeTypeOf('string');
  });

  it('names each section and its problem', () => {
    const text = sdp('m=audio 4000 RTP/AVP 18', 'm=video 0 RTP/AVP 97');
    expect(() => parseAnswer(OFFER, text)).toThrowError(
      'No usable medium: audio: no codec in common (the peer has G729/8000); video: the peer refused it (port 0)',
    );
  });

  it.each([
    ['a dead one', ['m=audio 0 RTP/AVP 8', 'm=video 0 RTP/AVP 97', AUDIO, VIDEO].flat()],
    [
      'one that requires keys',
      ['m=audio 4900 RTP/SAVP 8', 'm=video 4902 RTP/SAVP 97', AUDIO, VIDEO].flat(),
    ],
    [
      'one with other codecs',
      ['m=audio 4900 RTP/AVP 18', 'm=video 4902 RTP/AVP 34', AUDIO, VIDEO].flat(),
    ],
  ])('uses the first usable section of each kind behind %s', (_, lines) => {
    const { audio, video } = answer(lines);
    expect(audio).toMatchObject({ accepted: true, port: 4000 });
    expect(video).toMatchObject({ accepted: true, port: 4002 });
  });

  it('is BAD_SDP without an address', () => {
    const text = sdp(AUDIO).replace('c=IN IP4 192.0.2.20\r\n', '');
    expect(() => parseAnswer(OFFER, text)).toThrowError(
      expect.objectContaining({ code: 'BAD_SDP' }),
    );
  });

  it('200 malformed answers and re-offers give SipError or a result', () => {
    const text = sdp(AUDIO, 'a=rtcp:5000', VIDEO, 'a=rtcp-fb:* nack pli', 'a=ptime:20');
    let state = 99;
    const below = (limit: number) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * limit);
    };
    for (let i = 0; i < 200; i++) {
      const at = below(text.length);
      const mutated =
        text.slice(0, at) + String.fromCharCode(below(256)) + text.slice(at + below(12));
      for (const read of [parseAnswer, answerReoffer]) {
        try {
          read(OFFER, mutated);
        } catch (error) {
          expect(error).toBeInstanceOf(SipError);
        }
      }
    }
  });
});

describe('answerReoffer', () => {
  it.each([
    [['m=audio 4900 RTP/SAVP 8', AUDIO, VIDEO].flat(), [0, 30000, 30002]],
    [['m=audio 0 RTP/AVP 8', 'm=video 0 RTP/AVP 97', AUDIO, VIDEO].flat(), [0, 0, 30000, 30002]],
    [[AUDIO, 'm=video 0 RTP/AVP 97', VIDEO].flat(), [30000, 0, 30002]],
    [[AUDIO, VIDEO, 'm=video 4004 RTP/AVP 97', 'a=rtpmap:97 H264/90000'].flat(), [30000, 30002, 0]],
    [[AUDIO, 'm=application 4006 UDP/BFCP *', VIDEO].flat(), [30000, 0, 30002]],
    [['m=video 0', AUDIO].flat(), [0, 30000]],
  ])(
    'answers the first usable section of each kind and refuses the others in place',
    (lines, ports) => {
      const first = answerReoffer(OFFER, sdp(lines));
      const read = readDescription(first.sdp);
      expect(read.map(({ port }) => port)).toEqual(ports);
      expect(read.map(({ type }) => type)).toEqual(
        lines.filter((line) => line.startsWith('m=')).map((line) => line.slice(2).split(' ')[0]),
      );
      // Asked again, and in an offer from us, each section keeps its place.
      expect(answerReoffer(first.description, sdp(lines)).sdp).toBe(first.sdp);
      expect(readDescription(formatOffer(first.description)).map(({ port }) => port)).toEqual(
        ports,
      );
    },
  );

  it('answers with the codecs in common, under the peer’s types', () => {
    const {
      sdp: text,
      description,
      peer,
    } = answerReoffer(
      OFFER,
      sdp('m=audio 4000 RTP/AVP 0 8', VIDEO, 'a=fmtp:97 x', 'a=rtcp-fb:* nack pli'),
    );
    expect(description.sessionVersion).toBe(2);
    expect(peer.map((media) => media.accepted)).toEqual([true, true]);
    expect(text).toBe(
      [
        'v=0',
        'o=- 7 2 IN IP4 192.0.2.10',
        's=-',
        't=0 0',
        'm=audio 30000 RTP/AVP 0 8',
        'c=IN IP4 192.0.2.10',
        'a=rtpmap:0 PCMU/8000',
        'a=rtpmap:8 PCMA/8000',
        'a=rtcp:30001 IN IP4 192.0.2.10',
        'a=sendrecv',
        'a=ssrc:1 cname:a',
        'm=video 30002 RTP/AVP 97',
        'c=IN IP4 192.0.2.10',
        'a=rtpmap:97 H264/90000',
        'a=fmtp:97 packetization-mode=1; profile-level-id=420020',
        'a=rtcp-fb:* nack pli',
        'a=rtcp:30003 IN IP4 192.0.2.10',
        'a=sendrecv',
        'a=ssrc:2 cname:v',
        '',
      ].join('\r\n'),
    );
  });

  it('keeps the version when nothing changes', () => {
    const first = answerReoffer(OFFER, sdp(AUDIO, VIDEO));
    const second = answerReoffer(first.description, sdp(AUDIO, VIDEO));
    expect(first.description.sessionVersion).toBe(2);
    expect(second.description.sessionVersion).toBe(2);
    expect(second.sdp).toBe(first.sdp);
    expect(answerReoffer(OFFER, formatOffer(OFFER)).description.sessionVersion).toBe(1);
  });

  it('increments the version when the answer’s keys or profile change', () => {
    const key = Buffer.alloc(30, 7).toString('base64');
    const suite = 'AES_CM_128_HMAC_SHA1_80';
    const media = OFFER.media.map((one) => ({ ...one, crypto: [{ tag: 1, suite, key }] }));
    const secured = (tag: number): string =>
      sdp(AUDIO, `a=crypto:${tag} ${suite} inline:${Buffer.alloc(30, 9).toString('base64')}`);
    const first = answerReoffer({ ...OFFER, media }, secured(1));
    expect(answerReoffer(first.description, secured(1)).sdp).toBe(first.sdp);
    const next = answerReoffer(first.description, secured(4));
    expect(next.sdp).toContain('a=crypto:4 ');
    expect(next.description.sessionVersion).toBe(first.description.sessionVersion + 1);
    const profiled = answerReoffer(first.description, secured(1).replace('RTP/AVP', 'RTP/AVPF'));
    expect(profiled.description.sessionVersion).toBe(first.description.sessionVersion + 1);
  });

  it.each([
    ['sendrecv', 'sendrecv', 'sendrecv'],
    ['sendonly', 'sendrecv', 'recvonly'],
    ['recvonly', 'sendrecv', 'sendonly'],
    ['inactive', 'sendrecv', 'inactive'],
    ['sendrecv', 'recvonly', 'recvonly'],
    ['recvonly', 'recvonly', 'inactive'],
  ] as const)('their %s and our %s give %s', (theirs, ours, expected) => {
    const current = {
      ...OFFER,
      media: OFFER.media.map((media) => ({ ...media, direction: ours })),
    };
    const { sdp: text } = answerReoffer(current, sdp(`a=${theirs}`, AUDIO, VIDEO));
    expect(readDescription(text).map((media) => media.direction)).toEqual([expected, expected]);
  });

  it('resumes after a hold, and restores its other codecs', () => {
    const held = answerReoffer(OFFER, sdp(AUDIO, 'a=sendonly', VIDEO, 'a=inactive'));
    expect(held.description.media.map((media) => media.direction)).toEqual([
      'recvonly',
      'inactive',
    ]);
    const resumed = answerReoffer(held.description, sdp('m=audio 4000 RTP/AVP 0', VIDEO));
    expect(resumed.description.media.map((media) => media.direction)).toEqual([
      'sendrecv',
      'sendrecv',
    ]);
    expect(resumed.description.media[0]?.codecs.map((codec) => codec.encodingName)).toEqual([
      'PCMU',
    ]);
    expect(resumed.description.sessionVersion).toBe(3);
  });

  it('refuses m-lines that are not ours, in their place', () => {
    const { sdp: text, peer } = answerReoffer(
      OFFER,
      sdp(
        AUDIO,
        VIDEO,
        'm=application 5000 UDP/BFCP *',
        'm=video 6000 RTP/AVP 97',
        'a=rtpmap:97 H264/90000',
      ),
    );
    expect(readDescription(text).map((media) => [media.type, media.port])).toEqual([
      ['audio', 30000],
      ['video', 30002],
      ['application', 0],
      ['video', 0],
    ]);
    // RFC 4566 §5.7: each section needs a c= line where the session has none.
    expect(text).toMatch(/m=application 0 UDP\/BFCP \*\r\nc=IN IP4 [0-9.]+\r\n/);
    expect(peer.length).toBe(2);
  });

  it('refuses a medium that the peer dropped, and accepts it again later', () => {
    const without = answerReoffer(OFFER, sdp(AUDIO, 'm=video 0 RTP/AVP 97'));
    expect(readDescription(without.sdp).map((media) => media.port)).toEqual([30000, 0]);
    const again = answerReoffer(without.description, sdp(AUDIO, VIDEO));
    expect(readDescription(again.sdp).map((media) => media.port)).toEqual([30000, 30002]);
  });

  it('throws when nothing is left in common', () => {
    expect(() => answerReoffer(OFFER, sdp('m=audio 4000 RTP/AVP 18'))).toThrowError(
      expect.objectContaining({ code: 'NO_COMMON_CODECS', statusCode: 488 }),
    );
  });
});
