// What real devices send against the grammar or against habit, and what it comes to: each over real sockets, with media.
// The table for people is docs/interop.md.

import { describe, expect, it } from 'vitest';
import { openSink } from '../../support/call-ends.ts';
import { AUDIO, BOTH, callIn, LIMIT, open, shows, VIDEO } from '../../support/raw-calls.ts';
import { RawPhone, SPROP } from '../../support/raw-phone.ts';
import type { RawMedia, RawMessage, RawParts } from '../../support/raw-phone.ts';

const PIDF = '<?xml version="1.0"?><presence/>';

function multipart(sdp: string, parts: readonly string[], order: 'first' | 'last' = 'first') {
  const description = `Content-Type: application/sdp\r\n\r\n${sdp}`;
  const all = order === 'first' ? [description, ...parts] : [...parts, description];
  const body = all.map((part) => `--unique-boundary-1\r\n${part}\r\n`).join('');
  return `${body}--unique-boundary-1--\r\n`;
}
const MIXED = 'multipart/mixed;boundary="unique-boundary-1"';
const LOCATION = `Content-Type: application/pidf+xml\r\nContent-Disposition: render;handling=optional\r\n\r\n${PIDF}`;
const ISUP = 'Content-Type: application/isup;version=itu-t92+\r\n\r\n\u0001\u0002\u0003';

interface AnswerCase {
  readonly name: string;
  readonly lines?: readonly string[];
  readonly shows?: 'both' | 'audio' | 'video';
  readonly plays?: RawMedia;
  readonly protocol?: 'TCP';
  /** The codec needs an encoder. */
  readonly encodes?: true;
  readonly parts?: (phone: RawPhone, sdp: string, invite: RawMessage) => RawParts;
  /** Before the 200. */
  readonly before?: (phone: RawPhone, invite: RawMessage, sdp: string) => void;
}

const ANSWERS: readonly AnswerCase[] = [
  { name: 'as the book has it' },
  // Cisco, Kurento
  ...[
    'm=video 0 RTP/AVP 255',
    'm=video 0 RTP/AVP',
    'm=video 0 RTP/AVP *',
    'm=video 0 - 0',
    'm=video 0',
  ].map((line) => ({
    name: `refuses the video by ${line}`,
    lines: [...AUDIO, line],
    shows: 'audio' as const,
  })),
  {
    name: 'refuses the video and writes nonsense below it',
    lines: [...AUDIO, 'm=video 0 RTP/AVP 300', 'c=IN IP4', 'a=rtpmap:300 H264', 'a=crypto:x'],
    shows: 'audio',
  },
  {
    name: 'refuses the audio by a number that is none',
    lines: ['m=audio 0 RTP/AVP 255', ...VIDEO],
    shows: 'video',
  },
  // Sonus
  {
    name: 'puts a location beside the description',
    parts: (_, sdp) => ({ body: multipart(sdp, [LOCATION]), type: MIXED }),
  },
  {
    name: 'puts ISUP in front of the description',
    parts: (_, sdp) => ({ body: multipart(sdp, [ISUP], 'last'), type: MIXED }),
  },
  // P5
  {
    name: 'describes media in the 183 and names Bob in the 200',
    parts: (phone, _, invite) => ({
      body: '',
      headers: { To: `"Bob" ${invite.header('to')};tag=${phone.tag}` },
    }),
    before: (phone, invite, sdp) => phone.respond(invite, '183 Session Progress', { body: sdp }),
  },
  // OpenSIPS, Cisco
  ...[
    [
      'of OpenSIPS with quotes in it',
      (phone: RawPhone) => `<sip:127.0.0.1:${phone.port};thinfo="VG8+aXM=">`,
    ],
    [
      'with a comma in a bare name',
      (phone: RawPhone) => `Room, Big <sip:raw@127.0.0.1:${phone.port}>`,
    ],
    ['with a space in the user', (phone: RawPhone) => `<sip:big room@127.0.0.1:${phone.port}>`],
    ['with a name beyond ASCII', (phone: RawPhone) => `Büro Ä <sip:raw@127.0.0.1:${phone.port}>`],
    ['with an open quote', (phone: RawPhone) => `"Room <sip:raw@127.0.0.1:${phone.port}>`],
    ['that is no address', () => 'none'],
    ['of another scheme', () => '<im:raw@127.0.0.1>'],
    ['with port 0', () => '<sip:raw@127.0.0.1:0>'],
    [
      'with transport=tcp in a dialog over UDP',
      (phone: RawPhone) => `<sip:raw@127.0.0.1:${phone.port};transport=tcp>`,
    ],
  ].map(([name, contact]) => ({
    name: `writes a Contact ${name as string}`,
    parts: (phone: RawPhone, sdp: string) => ({
      body: sdp,
      headers: { Contact: (contact as (phone: RawPhone) => string)(phone) },
    }),
  })),
  {
    name: 'writes no Contact',
    parts: (_, sdp) => ({ body: sdp, headers: { Contact: null } }),
  },
  {
    name: 'writes To with doubled quotes',
    parts: (phone, sdp, invite) => ({
      body: sdp,
      headers: { To: `""unknown"" ${invite.header('to')};tag=${phone.tag}` },
    }),
  },
  // OpenSIPS 3.5
  {
    name: 'puts a zero octet between two messages on TCP',
    protocol: 'TCP',
    before: (phone, invite) => {
      phone.respond(invite, '180 Ringing');
      invite.reply(Uint8Array.of(0));
    },
  },
  {
    name: 'puts zeros and line ends between two messages on TCP',
    protocol: 'TCP',
    before: (phone, invite) => {
      phone.respond(invite, '180 Ringing');
      invite.reply(Uint8Array.of(13, 10, 0, 0, 10, 0));
    },
  },
  // P13
  {
    name: 'writes G722/16000',
    lines: ['m=audio AUDIO RTP/AVP 9', 'a=rtpmap:9 G722/16000', ...VIDEO],
    plays: { audio: { codec: 'G722', payloadType: 9 } },
    encodes: true,
  },
  {
    name: 'writes opus/48000 with one channel',
    lines: ['m=audio AUDIO RTP/AVP 96', 'a=rtpmap:96 OPUS/48000', ...VIDEO],
    plays: { audio: { codec: 'opus', payloadType: 96 } },
    encodes: true,
  },
];

describe('a peer that answers', () => {
  for (const row of ANSWERS) {
    it(row.name, LIMIT, async () => {
      const phone = await RawPhone.open(row.protocol);
      const gateway = await open(row.encodes && { transcoding: {} });
      const call = await gateway.startup({
        callee: phone.uri,
        ...(row.protocol === 'TCP' && { sipTransport: 'tcp' }),
      });
      const invite = await phone.request('INVITE');
      const sdp = phone.sdp(...(row.lines ?? BOTH));
      row.before?.(phone, invite, sdp);
      await phone.respondUntil(
        invite,
        '200 OK',
        'ACK',
        row.parts?.(phone, sdp, invite) ?? { body: sdp },
      );
      await call.established();
      phone.play(invite, row.plays);
      await shows(call, row.shows ?? 'both');
      await call.terminate();
      await phone.request('BYE');
      expect(call.view()).toMatchObject({ status: 'FINISH' });
    });
  }
});

const SAVP = [
  'm=audio 40000 RTP/SAVP 8',
  'a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz',
];
const PORTS_OF = (message: RawMessage): string[] =>
  message.sections.map(([line = '']) => {
    const [kind = '', port] = line.slice(2).split(' ');
    return port === '0' ? `${kind} 0` : kind;
  });

interface OfferCase {
  readonly name: string;
  readonly lines?: readonly string[];
  readonly parts?: (sdp: string) => RawParts;
  /** Kinds of the sections of the answer, with 0 where it refuses. */
  readonly answer?: readonly string[];
  readonly shows?: 'both' | 'audio' | 'video';
  readonly plays?: RawMedia;
}

const OFFERS: readonly OfferCase[] = [
  { name: 'as the book has it', answer: ['audio', 'video'] },
  // Polycom VVX, Eltex
  {
    name: 'SAVP first and AVP second',
    lines: [...SAVP, ...BOTH],
    answer: ['audio 0', 'audio', 'video'],
  },
  {
    name: 'dead sections in front',
    lines: ['m=audio 0 RTP/AVP 8', 'm=video 0 RTP/AVP 97', ...BOTH],
    answer: ['audio 0', 'video 0', 'audio', 'video'],
  },
  {
    name: 'video before audio, and a data channel',
    lines: [...VIDEO, 'm=application 9 UDP/BFCP *', 'a=floorctrl:c-only', ...AUDIO],
    answer: ['video', 'application 0', 'audio'],
  },
  {
    name: 'a first video with codecs that nobody has',
    lines: [...AUDIO, 'm=video VIDEO RTP/AVP 34', 'a=rtpmap:34 H263/90000', ...VIDEO],
    answer: ['audio', 'video 0', 'video'],
  },
  {
    name: 'an image and text beside the sound',
    lines: ['m=image 40000 udptl t38', 'm=text 40002 RTP/AVP 98', ...AUDIO],
    answer: ['image 0', 'text 0', 'audio'],
    shows: 'audio',
  },
  // P4
  ...[LOCATION, ISUP].map((part, index) => ({
    name: `${index === 0 ? 'a location' : 'ISUP'} beside the description`,
    parts: (sdp: string) => ({
      body: multipart(sdp, [part], index === 0 ? 'first' : 'last'),
      type: MIXED,
    }),
    answer: ['audio', 'video'],
  })),
  {
    name: 'a boundary without quotes, spaces and bare line feeds',
    parts: (sdp) => ({
      body: multipart(sdp, [ISUP]).replaceAll('\r\n', '\n'),
      type: 'Multipart/Mixed; boundary=unique-boundary-1',
    }),
    answer: ['audio', 'video'],
  },
];

describe('a peer that offers', () => {
  for (const row of OFFERS) {
    it(row.name, LIMIT, async () => {
      const phone = await RawPhone.open();
      const gateway = await open();
      const sdp = phone.sdp(...(row.lines ?? BOTH));
      const { accepted, call } = await callIn(gateway, phone, row.parts?.(sdp) ?? { body: sdp });
      if (row.answer) expect(PORTS_OF(accepted)).toEqual(row.answer);
      phone.play(accepted, row.plays);
      await shows(call, row.shows ?? 'both');
    });
  }

  it('with a required part that cannot be understood, is refused', LIMIT, async () => {
    const phone = await RawPhone.open();
    const gateway = await open();
    const part = `Content-Type: application/isup\r\nContent-Disposition: signal;handling=required\r\n\r\nx`;
    const invite = phone.invite(gateway.sipPort, {
      body: multipart(phone.sdp(...BOTH), [part]),
      type: MIXED,
    });
    const refused = await phone.response(invite.header('cseq'));
    expect(refused.startLine).toMatch(/^SIP\/2.0 415 /);
  });
});

const REOFFERS: readonly (OfferCase & { readonly renumbers?: RawMedia })[] = [
  {
    name: 'with a location beside the description',
    parts: (sdp) => ({ body: multipart(sdp, [LOCATION]), type: MIXED }),
  },
  {
    name: 'with ISUP in front of the description',
    parts: (sdp) => ({ body: multipart(sdp, [ISUP], 'last'), type: MIXED }),
  },
  // P3
  {
    name: 'that kills the old video section and opens a third',
    lines: [...AUDIO, 'm=video 0 RTP/AVP 112', ...VIDEO],
    answer: ['audio', 'video 0', 'video'],
  },
  {
    name: 'that renumbers the video',
    lines: [...AUDIO, ...VIDEO.map((line) => line.replaceAll('112', '97'))],
    renumbers: { video: { payloadType: 97 } },
  },
];

describe('a re-INVITE', () => {
  for (const row of REOFFERS) {
    it(row.name, LIMIT, async () => {
      const phone = await RawPhone.open();
      const gateway = await open();
      const { accepted, call } = await callIn(gateway, phone, { body: phone.sdp(...BOTH) });
      const first = phone.play(accepted);
      await shows(call, 'both');
      const sdp = phone.sdp(...(row.lines ?? BOTH)).replace('o=raw 1 1', 'o=raw 1 2');
      const cseq = phone.asCaller(accepted, 'INVITE', row.parts?.(sdp) ?? { body: sdp });
      const again = await phone.response(cseq);
      expect(again.startLine).toBe('SIP/2.0 200 OK');
      if (row.answer) expect(PORTS_OF(again)).toEqual(row.answer);
      phone.asCaller(again, 'ACK');
      // What is on its way still has the former numbers.
      const framesOf = () => call.stats()?.video?.frames ?? 0;
      const before = framesOf();
      await expect.poll(framesOf).toBeGreaterThan(before + 5);
      if (row.renumbers) {
        first.stop();
        phone.play(again, row.renumbers);
        const between = framesOf();
        await expect.poll(framesOf).toBeGreaterThan(between + 5);
      }
      await shows(call, 'both');
    });
  }

  it('ends the former numbers after two seconds', LIMIT, async () => {
    const phone = await RawPhone.open();
    const gateway = await open();
    const { accepted, call } = await callIn(gateway, phone, { body: phone.sdp(...BOTH) });
    phone.play(accepted);
    await shows(call, 'both');
    const renumbered = phone.sdp(...AUDIO, ...VIDEO.map((line) => line.replaceAll('112', '97')));
    const cseq = phone.asCaller(accepted, 'INVITE', { body: renumbered });
    phone.asCaller(await phone.response(cseq), 'ACK');
    await expect
      .poll(() => call.stats()?.video?.faults['rtp-payload-type'] ?? 0, { timeout: 8000 })
      .toBeGreaterThan(0);
  });
});

const NUMBERS: readonly (AnswerCase & { readonly codecs: readonly [string, string] })[] = [
  {
    name: 'answers 97 and sends 112',
    lines: [...AUDIO, ...VIDEO.map((line) => line.replaceAll('112', '97'))],
    plays: { video: { payloadType: 112 } },
    codecs: ['pcma', 'h264'],
  },
  {
    name: 'answers 112 and sends 97 of its own description',
    lines: [
      ...AUDIO,
      'm=video VIDEO RTP/AVP 112 97',
      ...VIDEO.slice(1),
      `a=rtpmap:97 H264/90000`,
      `a=fmtp:97 ${SPROP}`,
    ],
    plays: { video: { payloadType: 97 } },
    codecs: ['pcma', 'h264'],
  },
  {
    name: 'answers with the number of another codec of ours',
    lines: [...AUDIO, ...VIDEO.map((line) => line.replaceAll('112', '114'))],
    plays: { video: { payloadType: 114 } },
    codecs: ['pcma', 'h264'],
  },
  {
    name: 'answers PCMA and sends PCMU',
    plays: { audio: { codec: 'PCMU', payloadType: 0 } },
    codecs: ['pcmu', 'h264'],
  },
  // Chrome behind Janus
  {
    name: 'answers Opus and sends PCMA',
    lines: ['m=audio AUDIO RTP/AVP 96', 'a=rtpmap:96 opus/48000/2', ...VIDEO],
    encodes: true,
    codecs: ['pcma', 'h264'],
  },
  {
    name: 'answers Opus as 111 and sends it as 96',
    lines: ['m=audio AUDIO RTP/AVP 111', 'a=rtpmap:111 opus/48000/2', ...VIDEO],
    plays: { audio: { codec: 'opus', payloadType: 96 } },
    encodes: true,
    codecs: ['opus', 'h264'],
  },
];

describe('payload types of both sides', () => {
  for (const row of NUMBERS) {
    it(row.name, LIMIT, async () => {
      const phone = await RawPhone.open();
      const gateway = await open(row.encodes && { transcoding: {} });
      const call = await gateway.startup({ callee: phone.uri });
      const invite = await phone.request('INVITE');
      await phone.respondUntil(invite, '200 OK', 'ACK', {
        body: phone.sdp(...(row.lines ?? BOTH)),
      });
      await call.established();
      phone.play(invite, row.plays);
      await shows(call, 'both');
      expect([call.stats()?.audio?.codec, call.stats()?.video?.codec]).toEqual(row.codecs);
    });
  }

  it('sends Opus that it did not list to a gateway without encoders', LIMIT, async () => {
    const phone = await RawPhone.open();
    const gateway = await open();
    const call = await gateway.startup({ callee: phone.uri });
    const invite = await phone.request('INVITE');
    await phone.respondUntil(invite, '200 OK', 'ACK', { body: phone.sdp(...BOTH) });
    await call.established();
    phone.play(invite, { audio: { codec: 'opus', payloadType: 96 } });
    const unknown = () => call.stats()?.audio?.faults['rtp-payload-type'] ?? 0;
    await expect.poll(unknown).toBeGreaterThan(20);
    await expect.poll(() => call.stats()?.video?.frames ?? 0).toBeGreaterThan(2);
    await expect.poll(() => call.stats()?.audio?.problem).toBe('UNKNOWN_PAYLOAD_TYPE 96');
    expect(call.status).toBe('ESTABLISHED');
  });

  for (const type of [101, 110]) {
    it(`keys come as ${type} where the answer says 110`, LIMIT, async () => {
      const phone = await RawPhone.open();
      const gateway = await open();
      const call = await gateway.startup({ callee: phone.uri });
      const invite = await phone.request('INVITE');
      const lines = AUDIO.map((line) => line.replaceAll('101', '110'));
      await phone.respondUntil(invite, '200 OK', 'ACK', { body: phone.sdp(...lines, ...VIDEO) });
      await call.established();
      const digits: string[] = [];
      call.on('dtmf', ({ digit }) => digits.push(digit));
      const sender = phone.play(invite, { audio: { eventPayloadType: type } });
      await sender.sendDigits('5');
      await expect.poll(() => digits).toEqual(['5']);
    });
  }
});

describe('an UPDATE before the 200', () => {
  const RELIABLE = { Require: '100rel', RSeq: '7' };
  const MOVED = [...AUDIO, ...VIDEO.map((line) => line.replaceAll('112', '97'))];

  async function early(headers: RawParts['headers'] = RELIABLE) {
    const phone = await RawPhone.open();
    const gateway = await open();
    const call = await gateway.startup({ callee: phone.uri });
    const invite = await phone.request('INVITE');
    const progress = { body: phone.sdp(...BOTH), headers: { ...headers } };
    phone.respond(invite, '183 Session Progress', progress);
    if ('Require' in progress.headers) phone.respond(await phone.request('PRACK'), '200 OK');
    return { phone, call, invite };
  }

  for (const answer of ['without a body', 'with the first answer again'] as const) {
    it(`is answered, and stands in spite of a 200 ${answer}`, LIMIT, async () => {
      const { phone, call, invite } = await early();
      const cseq = phone.inDialog(invite, 'UPDATE', { body: phone.sdp(...MOVED) });
      const updated = await phone.response(cseq);
      expect(updated.startLine).toBe('SIP/2.0 200 OK');
      expect(updated.body).toContain('RTP/AVP 97');
      const body = answer === 'without a body' ? '' : phone.sdp(...BOTH);
      await phone.respondUntil(invite, '200 OK', 'ACK', { body });
      await call.established();
      phone.play(updated, { video: { payloadType: 97 } });
      await shows(call, 'both');
      // What was agreed on is what is held and resumed.
      const held = call.hold();
      const reinvite = await phone.request('INVITE', 2);
      expect(reinvite.body).toContain('RTP/AVP 97');
      await phone.respondUntil(reinvite, '200 OK', 'ACK', { body: phone.sdp(...MOVED) });
      await held;
    });
  }

  it('is answered each time', LIMIT, async () => {
    const { phone, invite, call } = await early();
    for (const lines of [MOVED, AUDIO, BOTH]) {
      const cseq = phone.inDialog(invite, 'UPDATE', { body: phone.sdp(...lines) });
      expect((await phone.response(cseq)).startLine).toBe('SIP/2.0 200 OK');
    }
    await phone.respondUntil(invite, '200 OK', 'ACK');
    await call.established();
    phone.play(invite);
    await shows(call, 'both');
  });

  it('of one fork says nothing about another', LIMIT, async () => {
    const { phone, invite, call } = await early();
    const cseq = phone.inDialog(invite, 'UPDATE', { body: phone.sdp(...AUDIO) });
    expect((await phone.response(cseq)).startLine).toBe('SIP/2.0 200 OK');
    await phone.respondUntil(invite, '200 OK', 'ACK', {
      body: phone.sdp(...BOTH),
      headers: { To: `${invite.header('to')};tag=other` },
    });
    await call.established();
    phone.play(invite);
    await shows(call, 'both');
  });

  it('that nothing can be agreed on in is refused, and the call goes on', LIMIT, async () => {
    const { phone, invite, call } = await early();
    const nothing = phone.sdp('m=audio AUDIO RTP/AVP 34');
    const cseq = phone.inDialog(invite, 'UPDATE', { body: nothing });
    expect((await phone.response(cseq)).startLine).toMatch(/^SIP\/2.0 488 /);
    await phone.respondUntil(invite, '200 OK', 'ACK');
    await call.established();
    phone.play(invite);
    await shows(call, 'both');
  });

  it('while our offer is really open is refused by 491', LIMIT, async () => {
    const { phone, invite } = await early({});
    const cseq = phone.inDialog(invite, 'UPDATE', { body: phone.sdp(...MOVED) });
    expect((await phone.response(cseq)).startLine).toMatch(/^SIP\/2.0 491 /);
    phone.respond(invite, '486 Busy Here');
  });
});

describe('a key', () => {
  const KEYS: readonly [string, string, string, RawParts['headers']?][] = [
    ['INFO', 'audio/telephone-event', '7'],
    ['INFO', 'Application/DTMF-Relay', 'Signal= 7\r\nDuration= 160\r\n'],
    ['INFO', 'application/dtmf-relay;charset=utf-8', 'SIGNAL=7\nDURATION=160'],
    ['INFO', 'application/dtmf', '7\r\n'],
    ['INFO', 'application/vnd.nortelnetworks.digits', 'p=Digit-Collection\r\ny=Digits\r\nd=7\r\n'],
    ['INFO', 'audio/telephone-event', '0x078A0640'],
    [
      'NOTIFY',
      'audio/telephone-event',
      '078A0640',
      { Event: 'telephone-event;rate=1000', 'Subscription-State': 'active' },
    ],
  ];
  for (const [method, type, body, headers = {}] of KEYS) {
    it(`comes by ${method} as ${type} ${JSON.stringify(body)}`, LIMIT, async () => {
      const phone = await RawPhone.open();
      const gateway = await open();
      const call = await gateway.startup({ callee: phone.uri });
      const invite = await phone.request('INVITE');
      await phone.respondUntil(invite, '200 OK', 'ACK', { body: phone.sdp(...BOTH) });
      await call.established();
      const digits: string[] = [];
      call.on('dtmf', ({ digit }) => digits.push(digit));
      const cseq = phone.inDialog(invite, method, { body, type, headers });
      expect((await phone.response(cseq)).startLine).toBe('SIP/2.0 200 OK');
      expect(digits).toEqual(['7']);
    });
  }
});

describe('a challenge of a second realm', () => {
  const challenge = (realm: string) => ({
    headers: { 'Proxy-Authenticate': `Digest realm="${realm}",nonce="n-${realm}",algorithm=MD5` },
  });
  const realmsIn = (invite: RawMessage) =>
    invite.headers('proxy-authorization').map((one) => /realm="([^"]*)"/.exec(one)?.[1]);

  async function twice(sipRealms?: string | readonly string[]) {
    const phone = await RawPhone.open();
    const gateway = await open();
    const call = await gateway.startup({
      callee: phone.uri,
      sipPassword: 'secret',
      ...(sipRealms !== undefined && { sipRealms }),
    });
    const first = await phone.request('INVITE');
    phone.respond(first, '407 Proxy Authentication Required', challenge('a'));
    const second = await phone.request('INVITE', 2);
    expect(realmsIn(second)).toEqual(['a']);
    phone.respond(second, '407 Proxy Authentication Required', challenge('b'));
    return { phone, call };
  }

  for (const sipRealms of ['any', 'b', ['x', 'b']])
    it(`is answered with sipRealms ${JSON.stringify(sipRealms)}`, LIMIT, async () => {
      const { phone, call } = await twice(sipRealms);
      const third = await phone.request('INVITE', 3);
      expect(realmsIn(third)).toEqual(['a', 'b']);
      await phone.respondUntil(third, '200 OK', 'ACK', { body: phone.sdp(...BOTH) });
      await call.established();
    });

  for (const sipRealms of [undefined, ['x']])
    it(`gets no password with sipRealms ${JSON.stringify(sipRealms)}`, LIMIT, async () => {
      const { call } = await twice(sipRealms);
      await call.closed();
      expect(call.view()).toMatchObject({ status: 'FAILED', sipStatus: 407 });
    });
});

it('a peer that has only Speex at 8 kHz is heard', LIMIT, async () => {
  const phone = await RawPhone.open();
  const gateway = await open({ transcoding: {} });
  const call = await gateway.startup({ callee: phone.uri });
  const invite = await phone.request('INVITE');
  const speex = ['m=audio AUDIO RTP/AVP 98', 'a=rtpmap:98 speex/8000'];
  await phone.respondUntil(invite, '200 OK', 'ACK', { body: phone.sdp(...speex, ...VIDEO) });
  await call.established();
  phone.play(invite, { audio: { codec: 'speex/8000', payloadType: 98 } });
  await shows(call, 'both');
  expect(call.stats()?.audio?.codec).toBe('speex-nb');
});

describe('a caller that gives up at a challenge', () => {
  // sofia-sip, sipp
  it('leaves a warning that names the setting', { timeout: 30_000 }, async () => {
    const lines: string[] = [];
    const warn = (line: string): void => void lines.push(line);
    const phone = await RawPhone.open();
    const gateway = await open({
      incoming: { rules: [{ auth: { users: { alice: 'long password' } }, accept: {} }] },
      logger: { debug: () => {}, info: () => {}, warn, error: () => {} },
    });
    const invite = phone.invite(gateway.sipPort, { body: phone.sdp(...BOTH) });
    expect((await phone.response(invite.header('cseq'))).startLine).toContain(' 401 ');
    await expect
      .poll(() => lines.filter((line) => line.includes('never answered')), { timeout: 8000 })
      .toEqual([expect.stringContaining('auth.algorithms: [MD5]')]);
  });
});

describe('a description that cannot be used', () => {
  const CASES: readonly [string, readonly string[], string][] = [
    ['codecs', ['m=audio AUDIO RTP/AVP 18', 'm=video 0 RTP/AVP 112'], 'audio: no codec in common'],
    ['a port', ['m=audio 99999 RTP/AVP 8', 'm=video 0 RTP/AVP 112'], 'audio: the port is not'],
    ['a profile', ['m=audio AUDIO UDP/TLS/RTP/SAVPF 8'], 'audio: UDP/TLS/RTP/SAVPF cannot be used'],
    ['no section', [], 'No m-line'],
  ];
  for (const [name, lines, problem] of CASES) {
    it(`says why: ${name}`, LIMIT, async () => {
      const phone = await RawPhone.open();
      const gateway = await open();
      const call = await gateway.startup({ callee: phone.uri });
      const invite = await phone.request('INVITE');
      await phone.respondUntil(invite, '200 OK', 'ACK', { body: phone.sdp(...lines) });
      const bye = await phone.request('BYE');
      await call.closed();
      expect(call.view().info).toContain(problem);
      expect(bye.header('reason')).toMatch(/^SIP;cause=488;text="[^"]+"$/);
      expect(bye.header('reason')).toContain(problem);
      const offered = phone.invite(gateway.sipPort, { body: phone.sdp(...lines) });
      const refused = await phone.response(offered.header('cseq'));
      expect(refused.startLine).toMatch(/^SIP\/2.0 488 /);
      expect(refused.header('warning')).toContain(problem);
    });
  }
});

describe('a medium that is kept off the air', () => {
  it('is named with its time, in the figures, as event, and once in the log', LIMIT, async () => {
    const lines: string[] = [];
    const note = (line: string): void => void lines.push(line);
    const phone = await RawPhone.open();
    const gateway = await open({
      logger: { debug: () => {}, info: note, warn: note, error: note },
    });
    const changes: unknown[] = [];
    gateway.on('callProblem', (_, { medium, problem }) => changes.push(`${medium} ${problem}`));
    const beganMs = Date.now();
    const call = await gateway.startup({ callee: phone.uri });
    const invite = await phone.request('INVITE');
    await phone.respondUntil(invite, '200 OK', 'ACK', { body: phone.sdp(...BOTH) });
    await call.established();
    const wrong = phone.play(invite, { video: { payloadType: 120 }, audio: false });
    await expect.poll(() => changes, { timeout: 8000 }).toHaveLength(2);
    expect(changes).toEqual(['audio NO_PACKETS', 'video UNKNOWN_PAYLOAD_TYPE 120']);
    const { audio, video } = call.view().media ?? {};
    expect(audio?.problem).toBe('NO_PACKETS');
    expect(video?.problem).toBe('UNKNOWN_PAYLOAD_TYPE 120');
    expect(video?.problemSinceMs).toBeGreaterThanOrEqual(beganMs);
    expect(video?.problemSinceMs).toBeLessThan(Date.now() - 2000);
    wrong.stop();
    phone.play(invite);
    await expect.poll(() => changes, { timeout: 8000 }).toHaveLength(4);
    expect(new Set(changes.slice(2))).toEqual(new Set(['audio null', 'video null']));
    expect(call.stats()?.video?.problem).toBeNull();
    const named = lines.filter((line) => line.includes('UNKNOWN_PAYLOAD_TYPE 120'));
    expect(named).toHaveLength(1);
    expect(named[0]).toContain(call.callId);
  });

  it('by a hold while it is pushed is named, too', LIMIT, async () => {
    const sink = await openSink();
    const phone = await RawPhone.open();
    const gateway = await open();
    const call = await gateway.startup({
      callee: phone.uri,
      rtmpUrl: sink.url,
      rtmpStream: 'air',
    });
    const invite = await phone.request('INVITE');
    await phone.respondUntil(invite, '200 OK', 'ACK', { body: phone.sdp(...BOTH) });
    await call.established();
    phone.play(invite);
    await sink.nextPublication();
    const held = phone.sdp(...AUDIO, 'a=sendonly', ...VIDEO, 'a=sendonly');
    const inactive = held.replaceAll('sendonly', 'inactive');
    const cseq = phone.inDialog(invite, 'INVITE', { body: inactive });
    expect((await phone.response(cseq)).startLine).toBe('SIP/2.0 200 OK');
    phone.inDialog(invite, 'ACK');
    await expect.poll(() => call.stats()?.video?.problem, { timeout: 5000 }).toBe('HELD');
    expect(call.stats()?.audio?.problem).toBe('HELD');
  });
});

// Chrome offers VP8 first, and room systems put Opus behind G.711.
describe('an offer with several codecs in common', () => {
  const OFFER = [
    'm=audio AUDIO RTP/AVP 8 97',
    'a=rtpmap:97 opus/48000/2',
    'm=video VIDEO RTP/AVP 98 112',
    'a=rtpmap:98 VP8/90000',
    ...VIDEO.slice(1),
  ];

  it.each([
    [undefined, '8 97', '112 98'],
    ['passthrough', '8 97', '112 98'],
    ['peer', '8 97', '98 112'],
    [['opus', 'vp8'], '97 8', '98 112'],
    [['opus', 'h264'], '97 8', '112 98'],
  ] as const)('is answered by the preference %s', LIMIT, async (preference, audio, video) => {
    const gateway = await open({
      offer: preference === undefined ? {} : { preference },
      // What is preferred may need an encoder.
      transcoding: {},
    });
    const phone = await RawPhone.open();
    const { accepted } = await callIn(gateway, phone, { body: phone.sdp(...OFFER) });
    expect(accepted.sections.map(([line]) => line?.split(' ').slice(3).join(' '))).toEqual([
      audio,
      video,
    ]);
  });

  it('is an offer of ours in the order of the preference', LIMIT, async () => {
    const gateway = await open({ offer: { preference: ['opus', 'vp8'] } });
    const phone = await RawPhone.open();
    await gateway.startup({ callee: `sip:raw@127.0.0.1:${phone.port}` });
    const invite = await phone.request('INVITE');
    expect(invite.sections.map(([line]) => line?.split(' ')[3])).toEqual(['96', '114']);
  });
});
