import { describe, expect, it } from 'vitest';
import { SipError } from '../errors.ts';
import { formatOffer, parseFmtp, readDescription, SDP_LIMITS } from './sdp.ts';
import type { SessionDescription } from './sdp.ts';

const OFFER: SessionDescription = {
  address: '192.0.2.10',
  sessionId: 1234567890123,
  sessionVersion: 1,
  sessionName: 'sipcast',
  media: [
    {
      kind: 'audio',
      port: 30000,
      rtcpPort: 30001,
      direction: 'sendrecv',
      ssrc: 111,
      cname: 'rtp/audio/call-1',
      ptimeMs: 20,
      codecs: [
        { payloadType: 8, encodingName: 'PCMA', clockRateHz: 8000 },
        { payloadType: 0, encodingName: 'PCMU', clockRateHz: 8000, channels: 1 },
        { payloadType: 101, encodingName: 'telephone-event', clockRateHz: 8000, fmtp: '0-16' },
      ],
    },
    {
      kind: 'video',
      port: 30002,
      rtcpPort: 30003,
      direction: 'recvonly',
      ssrc: 4294967295,
      cname: 'rtp/video/call-1',
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
  extraLines: { video: ['b=AS:1000', 'a=framerate:25'] },
};

const audio = OFFER.media[0];
if (audio === undefined) throw new Error('no audio');

const PEER = [
  'v=0',
  'o=- 1 1 IN IP4 192.0.2.20',
  's=-',
  'c=IN IP4 192.0.2.20',
  't=0 0',
  'a=recvonly',
  'm=audio 4000/2 RTP/AVP 8 101 99',
  'a=rtpmap:101 telephone-event/8000',
  'a=fmtp:101 0-16',
  'a=ptime:30',
  'a=rtcp:4100',
  'm=video 4002 RTP/AVP 97',
  'c=IN IP6 2001:db8::1',
  'a=rtpmap:97 H264/90000',
  'a=fmtp:97 profile-level-id=42801F; packetization-mode=1;sprop-parameter-sets=Z0==,aM4=',
  'a=rtcp:4200 IN IP6 2001:db8::2',
  'a=rtcp-fb:* nack pli',
  'a=rtcp-fb:97 ccm fir',
  'a=sendonly',
];

const BAD = expect.objectContaining({ name: 'SipError', code: 'BAD_SDP' });

describe('formatOffer', () => {
  it('writes the whole offer', () => {
    expect(formatOffer(OFFER)).toBe(
      [
        'v=0',
        'o=- 1234567890123 1 IN IP4 192.0.2.10',
        's=sipcast',
        't=0 0',
        'm=audio 30000 RTP/AVP 8 0 101',
        'c=IN IP4 192.0.2.10',
        'a=rtpmap:8 PCMA/8000',
        'a=rtpmap:0 PCMU/8000',
        'a=rtpmap:101 telephone-event/8000',
        'a=fmtp:101 0-16',
        'a=ptime:20',
        'a=rtcp:30001 IN IP4 192.0.2.10',
        'a=sendrecv',
        'a=ssrc:111 cname:rtp/audio/call-1',
        'm=video 30002 RTP/AVP 112 113',
        'c=IN IP4 192.0.2.10',
        'a=rtpmap:112 H264/90000',
        'a=fmtp:112 packetization-mode=1; profile-level-id=420020',
        'a=rtpmap:113 H264/90000',
        'a=fmtp:113 packetization-mode=0; profile-level-id=420020',
        'a=rtcp-fb:* ccm fir',
        'a=rtcp-fb:* nack',
        'a=rtcp-fb:* nack pli',
        'a=rtcp:30003 IN IP4 192.0.2.10',
        'a=recvonly',
        'a=ssrc:4294967295 cname:rtp/video/call-1',
        'b=AS:1000',
        'a=framerate:25',
        '',
      ].join('\r\n'),
    );
  });

  it('writes IP6 for an IPv6 address', () => {
    const text = formatOffer({ ...OFFER, address: '2001:db8::10' });
    expect(text).toContain('o=- 1234567890123 1 IN IP6 2001:db8::10\r\n');
    expect(text).toContain('\r\nc=IN IP6 2001:db8::10\r\n');
    expect(text).toContain('\r\na=rtcp:30001 IN IP6 2001:db8::10\r\n');
    expect(text).not.toContain('IP4');
  });

  it.each<[string, Partial<SessionDescription>]>([
    ['address', { address: 'example.com' }],
    ['address', { address: 'fe80::1%eth0' }],
    ['sessionId', { sessionId: -1 }],
    ['port', { media: [{ ...audio, port: 65536 }] }],
    ['rtcpPort', { media: [{ ...audio, rtcpPort: 65536 }] }],
    ['ssrc', { media: [{ ...audio, ssrc: 2 ** 32 }] }],
    ['codecs', { media: [{ ...audio, codecs: [] }] }],
    [
      'payloadType',
      { media: [{ ...audio, codecs: [{ payloadType: 128, encodingName: 'x', clockRateHz: 1 }] }] },
    ],
    ['extraLines', { extraLines: { audio: ['no line'] } }],
  ])('names the invalid %s', (field, change) => {
    expect(() => formatOffer({ ...OFFER, ...change })).toThrowError(
      expect.objectContaining({ code: 'INVALID_ARGUMENT', field }),
    );
  });

  it.each<[string, Partial<SessionDescription>]>([
    ['sessionName', { sessionName: 'a\r\nm=audio 1 RTP/AVP 0' }],
    ['cname', { media: [{ ...audio, cname: 'a\nb' }] }],
    ['extraLines', { extraLines: { audio: ['a=x\0'] } }],
    ['feedback', { media: [{ ...audio, feedback: ['nack\r\n'] }] }],
  ])('refuses line breaks in %s', (field, change) => {
    expect(() => formatOffer({ ...OFFER, ...change })).toThrowError(
      expect.objectContaining({ code: 'ILLEGAL_CHARACTER', field }),
    );
  });
});

describe('parseFmtp', () => {
  it('reads parameters whose values hold `=`, flags, and odd spacing', () => {
    expect([
      ...parseFmtp(
        'Profile-Level-Id=42801F; packetization-mode = 1;;sprop-parameter-sets=Z0==,aM4=; 0-16;x=1;X=2; __proto__=y',
      ),
    ]).toEqual([
      ['profile-level-id', '42801F'],
      ['packetization-mode', '1'],
      ['sprop-parameter-sets', 'Z0==,aM4='],
      ['0-16', ''],
      ['x', '1'],
      ['__proto__', 'y'],
    ]);
  });
});

describe('readDescription', () => {
  it('reads what offer and answer need', () => {
    const [first, second] = readDescription(PEER.join('\r\n'));
    expect(first).toMatchObject({
      type: 'audio',
      port: 4000,
      protocol: 'RTP/AVP',
      codecs: [
        { payloadType: 8, encodingName: 'PCMA', clockRateHz: 8000 },
        { payloadType: 101, encodingName: 'telephone-event', clockRateHz: 8000, fmtp: '0-16' },
      ],
      unnamed: [99],
      address: '192.0.2.20',
      rtcpPort: 4100,
      rtcpAddress: undefined,
      direction: 'recvonly',
      ptimeMs: 30,
    });
    expect(second).toMatchObject({
      address: '2001:db8::1',
      rtcpPort: 4200,
      rtcpAddress: '2001:db8::2',
      direction: 'sendonly',
      feedback: [
        { payload: '*', text: 'nack pli' },
        { payload: '97', text: 'ccm fir' },
      ],
    });
  });

  it('accepts a bare LF as a line end, and skips other lines', () => {
    const lines = [
      ...PEER,
      'a=crypto:1 x y',
      'a=candidate:1 1 UDP 1 192.0.2.1 1 typ host',
      'b=AS:64',
      'k=prompt',
    ];
    expect(readDescription(lines.join('\n')).length).toBe(2);
  });

  const replaced = (from: string, to: string) =>
    PEER.map((line) => (line.startsWith(from) ? to : line)).join('\r\n');

  it.each([
    ['nothing', ''],
    ['no v=', PEER.slice(1).join('\r\n')],
    ['another version', replaced('v=', 'v=1')],
    ['no m-line', PEER.slice(0, 6).join('\r\n')],
    ['NUL', replaced('a=fmtp:101', 'a=fmtp:101 0\0-16')],
    ['a long line', replaced('s=', `s=${'x'.repeat(SDP_LIMITS.lineCharacters)}`)],
    ['1,000 m-lines', PEER.join('\r\n') + '\r\nm=audio 0 RTP/AVP 0'.repeat(1000)],
    ['too many lines', PEER.join('\r\n') + '\r\na=x'.repeat(SDP_LIMITS.lines)],
    ['too many characters', PEER.join('\r\n') + ' '.repeat(SDP_LIMITS.characters)],
  ])('is BAD_SDP with %s', (_, text) => {
    expect(() => readDescription(text)).toThrowError(BAD);
  });

  it.each([
    ['port 65536', replaced('m=audio', 'm=audio 65536 RTP/AVP 8'), 'the port is not 0–65535'],
    ['port -1', replaced('m=audio', 'm=audio -1 RTP/AVP 8'), 'the port is not 0–65535'],
    ['no port', replaced('m=audio', 'm=audio RTP/AVP 8'), 'the port is not 0–65535'],
    ['no format', replaced('m=audio', 'm=audio 1 RTP/AVP'), 'no profile or format'],
    ['payload type 128', replaced('m=audio', 'm=audio 1 RTP/AVP 128'), /^no payload type/],
    ['a payload type x', replaced('m=audio', 'm=audio 1 RTP/AVP x'), /^no payload type/],
    ['a malformed address', replaced('c=IN IP4', 'c=IN IP4 <script>'), 'malformed address'],
    ['another network', replaced('c=IN IP4', 'c=TN RFC2543 +1-201'), 'malformed address'],
  ])('keeps the other section beside one with %s', (_, text, problem) => {
    const [spoken, video] = readDescription(text);
    expect(spoken?.problem).toEqual(
      typeof problem === 'string' ? problem : expect.stringMatching(problem),
    );
    expect(video).toMatchObject({ port: 4002, codecs: [{ encodingName: 'H264' }] });
    expect(video?.problem).toBeUndefined();
  });

  it.each([
    ['m=video 0 RTP/AVP 255', ''],
    ['m=video 0 RTP/AVP', ''],
    ['m=video 0', ''],
    ['m=video 0 RTP/AVP - x', 'a=rtpmap:300 H264/90000'],
    ['m=video 0 udp/x y', 'a=rtcp:70000\r\nc=nothing\r\nnonsense\r\na=fmtp'],
    ['m=application 0 UDP/BFCP *', 'a=floorctrl:c-only'],
    ['m=image 0 udptl t38', ''],
  ])('ignores the contents of the refused section %s', (line, more) => {
    const [spoken, refused] = readDescription(
      [
        ...PEER.slice(
          0,
          PEER.findIndex((one) => one.startsWith('m=video')),
        ),
        line,
        more,
      ].join('\r\n'),
    );
    expect(spoken?.problem).toBeUndefined();
    expect(spoken?.codecs.length).toBeGreaterThan(0);
    expect(refused).toMatchObject({ port: 0 });
    expect(refused?.problem).toBeUndefined();
  });

  it.each([
    ['invalid payload types among valid ones', 'm=audio', 'm=audio 4000 RTP/AVP 300 8 x 101'],
    ['an rtpmap of payload type 300', 'a=rtpmap:97', 'a=rtpmap:300 H264/90000'],
    ['an RTCP port out of range', 'a=rtcp:4100', 'a=rtcp:70000'],
    ['a line without a type', 's=', 'm =video 1 RTP/AVP 0'],
    ['an IPv6 zone', 'c=IN IP6', 'c=IN IP6 fe80::1%eth0'],
    ['a nonsensical ptime', 'a=ptime:30', 'a=ptime:-5'],
    ['empty rtcp', 'a=rtcp:4100', 'a=rtcp:'],
    ['an rtpmap without a rate', 'a=rtpmap:97', 'a=rtpmap:97 H264'],
    ['fmtp without text', 'a=fmtp:97', 'a=fmtp:97'],
    ['fmtp of an unknown type', 'a=fmtp:97', 'a=fmtp:x y'],
  ])('tolerates %s', (_, from, to) => {
    const sections = readDescription(replaced(from, to));
    expect(sections.map(({ problem }) => problem)).toEqual([undefined, undefined]);
  });

  it.each([
    ['G722/16000', ['G722', 8000]],
    ['G722/8000/1', ['G722', 8000]],
    ['g.722/16000', ['G722', 8000]],
    ['G711A/8000', ['PCMA', 8000]],
    ['opus/48000', ['opus', 48000]],
    ['OPUS/48000/2', ['OPUS', 48000]],
    ['H264/9000', ['H264', 90000]],
    ['telephone-events/8000', ['telephone-event', 8000]],
    ['speex/16000/1', ['speex', 16000]],
    ['PCMA/16000', ['PCMA', 16000]],
  ])('understands the codec %s', (text, [encodingName, clockRateHz]) => {
    for (const gap of ['', ' ']) {
      const line = `a=rtpmap:${gap}97 ${gap}${text}`;
      const [, video] = readDescription(replaced('a=rtpmap:97', line));
      expect(video?.codecs[0]).toMatchObject({ encodingName, clockRateHz });
    }
  });

  it('never throws anything but SipError', () => {
    const text = PEER.join('\r\n');
    const pieces = [
      '\0',
      '\r\n',
      '=',
      ' ',
      '/',
      ':',
      '-1',
      '99999',
      '*',
      'm=',
      'c=',
      'a=',
      '\ufffd',
      ';',
      'IP9',
    ];
    let state = 8866;
    const below = (limit: number) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * limit);
    };
    let refused = 0;
    for (let i = 0; i < 5000; i++) {
      let mutated = text;
      for (let edits = 1 + below(3); edits > 0; edits--) {
        const at = below(mutated.length);
        const cut = below(3) === 0 ? below(30) : below(2);
        mutated =
          mutated.slice(0, at) + (pieces[below(pieces.length)] ?? '') + mutated.slice(at + cut);
      }
      try {
        for (const media of readDescription(mutated)) {
          expect(media.port).toBeLessThanOrEqual(65535);
          for (const codec of media.codecs) expect(codec.payloadType).toBeLessThanOrEqual(127);
        }
      } catch (error) {
        if (!(error instanceof SipError)) throw error;
        expect(error.code).toBe('BAD_SDP');
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(50);
    expect(refused).toBeLessThan(4500);
  });
});
