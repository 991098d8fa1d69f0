// Deviations from public reports about SIP devices and stacks, each over real sockets, with media. docs/interop.md has the
// table with device, outcome and source.

import { describe, expect, it } from 'vitest';
import { AUDIO, BOTH, callIn, LIMIT, open, shows, VIDEO } from '../../support/raw-calls.ts';
import { RawPhone, SPROP } from '../../support/raw-phone.ts';
import type { RawMedia, RawMessage, RawParts } from '../../support/raw-phone.ts';

const H264 = /H264/g;

/** Changes of the text of the 200, or of its description. */
interface AnswerRow {
  readonly name: string;
  /** The description. */
  readonly sdp?: (usual: string, phone: RawPhone) => string;
  /** The whole response. */
  readonly change?: (text: string, phone: RawPhone) => string;
  readonly headers?: (phone: RawPhone, invite: RawMessage) => RawParts['headers'];
  readonly shows?: 'both' | 'audio';
  readonly plays?: RawMedia;
  readonly protocol?: 'TCP';
}

const inHead = (change: (head: string) => string) => (text: string) => {
  const end = text.indexOf('\r\n\r\n');
  return change(text.slice(0, end)) + text.slice(end);
};

const ANSWERS: readonly AnswerRow[] = [
  // --- the message
  {
    name: 'compact header names',
    change: inHead((head) =>
      head
        .replace(/^Via:/gm, 'v:')
        .replace(/^From:/m, 'f:')
        .replace(/^To:/m, 't:')
        .replace(/^Call-ID:/m, 'i:')
        .replace(/^Contact:/m, 'm:')
        .replace(/^Content-Type:/m, 'c:')
        .replace(/^Content-Length:/m, 'l:'),
    ),
  },
  {
    name: 'line feeds alone in the headers',
    change: inHead((head) => head.replaceAll('\r\n', '\n')),
  },
  { name: 'line feeds alone everywhere', change: (text) => text.replaceAll('\r\n', '\n') },
  {
    name: 'spaces before the colons',
    change: inHead((head) => head.replaceAll(/^([A-Z][\w-]+):/gm, '$1  :')),
  },
  {
    name: 'tabs behind the colons',
    change: inHead((head) => head.replaceAll(/^([A-Z][\w-]+): /gm, '$1:\t')),
  },
  {
    name: 'folded headers',
    change: inHead((head) =>
      head.replace(/^To: /m, 'To:\r\n ').replace(/;tag=raw/, '\r\n\t;tag=raw'),
    ),
  },
  {
    name: 'header names in capitals',
    change: inHead((head) => head.replaceAll(/^([A-Z][\w-]+):/gm, (all) => all.toUpperCase())),
  },
  { name: 'no reason phrase', change: (text) => text.replace('SIP/2.0 200 OK', 'SIP/2.0 200 ') },
  {
    name: 'neither reason phrase nor space',
    change: (text) => text.replace('SIP/2.0 200 OK', 'SIP/2.0 200'),
  },
  {
    name: 'a reason phrase beyond ASCII',
    change: (text) => text.replace('200 OK', '200 D\u00e9croch\u00e9'),
  },
  {
    name: 'no Content-Length over UDP',
    change: (text) => text.replace(/Content-Length: \d+\r\n/, ''),
  },
  {
    name: 'a Content-Length beyond the datagram',
    change: (text) => text.replace(/(Content-Length: )(\d+)/, '$19$2'),
  },
  {
    name: 'a Content-Length of nothing over UDP',
    change: (text) => text.replace(/Content-Length: \d+/, 'Content-Length:'),
  },
  {
    name: 'the same Content-Length twice',
    change: (text) => text.replace(/(Content-Length: \d+\r\n)/, '$1$1'),
  },
  {
    name: 'empty headers',
    change: inHead((head) => `${head}\r\nSupported:\r\nServer: \r\nSubject:`),
  },
  { name: 'a header line without a colon', change: inHead((head) => `${head}\r\nNonsense`) },
  {
    name: 'commas at the end of lists',
    change: inHead((head) => `${head}\r\nAllow: INVITE, ACK,\r\nSupported: timer,,replaces,`),
  },
  {
    name: 'a header with octets that are no UTF-8',
    change: inHead((head) => `${head}\r\nOrganization: \u00ff\u00fe`),
  },
  {
    name: 'a Date and a Warning that follow no grammar',
    change: inHead((head) => `${head}\r\nDate: now\r\nWarning: hello`),
  },
  { name: 'octets behind the body', change: (text) => `${text}\0\0` },
  { name: 'an empty line in front', change: (text) => `\r\n${text}` },
  // --- addresses
  {
    name: 'a Contact with # in the user',
    headers: ({ port }) => ({ Contact: `<sip:PBX#1000@127.0.0.1:${port}>` }),
  },
  {
    name: 'several Contacts',
    headers: ({ port }) => ({
      Contact: [`<sip:a@127.0.0.1:${port}>`, `<sip:b@127.0.0.1:${port}>`],
    }),
  },
  {
    name: 'a Contact that nobody listens on',
    headers: () => ({ Contact: '<sip:raw@127.0.0.1:9>' }),
  },
  {
    name: 'a Contact without brackets',
    headers: ({ port }) => ({ Contact: `sip:raw@127.0.0.1:${port};expires=60` }),
  },
  {
    name: 'a Contact with unknown parameters and quotes',
    headers: ({ port }) => ({
      Contact: `"Conf \\"A\\"" <sip:raw@127.0.0.1:${port};ob>;+sip.ice;x="a,b";isfocus`,
    }),
  },
  {
    name: 'an empty display name',
    headers: (phone, invite) => ({ To: `"" ${invite.header('to')};tag=${phone.tag}` }),
  },
  {
    name: 'a display name without space behind it',
    headers: (phone, invite) => ({ To: `"Bob"${invite.header('to')};tag=${phone.tag}` }),
  },
  {
    name: 'a display name with a colon and without quotes',
    headers: (phone, invite) => ({ To: `Room: 5 ${invite.header('to')};tag=${phone.tag}` }),
  },
  {
    name: 'a Record-Route without brackets',
    headers: ({ port }) => ({ 'Record-Route': `sip:127.0.0.1:${port};lr` }),
  },
  {
    name: 'a Record-Route with lr=on',
    headers: ({ port }) => ({ 'Record-Route': `<sip:127.0.0.1:${port};lr=on;ftag=x>` }),
  },
  {
    name: 'Record-Routes on one line',
    headers: ({ port }) => ({
      'Record-Route': `<sip:127.0.0.1:${port};lr>,<sip:127.0.0.1:${port};lr;r2=on>`,
    }),
  },
  {
    name: 'spaces in Via',
    change: inHead((head) => head.replace('Via: SIP/2.0/UDP ', 'Via: SIP / 2.0 / UDP  ')),
  },
  // --- session timers
  {
    name: 'Session-Expires first in the 200',
    headers: () => ({ 'Session-Expires': '1800;refresher=uac' }),
  },
  {
    name: 'Session-Expires without a refresher',
    headers: () => ({ 'Session-Expires': '1800', Require: 'timer' }),
  },
  { name: 'a Session-Expires that is no number', headers: () => ({ 'Session-Expires': 'never' }) },
  // --- the description
  { name: 'an empty session name', sdp: (usual) => usual.replace('s=-', 's=') },
  { name: 'no session name', sdp: (usual) => usual.replace('s=-\r\n', '') },
  { name: 'no time', sdp: (usual) => usual.replace('t=0 0\r\n', '') },
  {
    name: 'a session attribute before the time',
    sdp: (usual) => usual.replace('t=0 0', 'a=tool:x\r\nt=0 0'),
  },
  {
    name: 'a bandwidth behind attributes',
    sdp: (usual) => `${usual}b=AS:1024\r\na=rtcp-fb:112 ccm fir\r\n`,
  },
  { name: 'blank lines at the end', sdp: (usual) => `${usual}\r\n\r\n` },
  { name: 'spaces at the ends of lines', sdp: (usual) => usual.replaceAll('\r\n', '  \r\n') },
  { name: 'carriage returns alone', sdp: (usual) => usual.replaceAll('\r\n', '\r') },
  { name: 'no line end at the end', sdp: (usual) => usual.trimEnd() },
  {
    name: 'an origin with a name and a huge version',
    sdp: (usual) =>
      usual.replace('o=raw 1 1 IN IP4 127.0.0.1', 'o=- 99999999999999999999 -1 IN IP4 phone.local'),
  },
  { name: 'no origin', sdp: (usual) => usual.replace(/o=.*\r\n/, '') },
  {
    name: 'the address in the media sections alone',
    sdp: (usual) =>
      usual
        .replace('c=IN IP4 127.0.0.1\r\n', '')
        .replaceAll(/(m=.*\r\n)/g, '$1c=IN IP4 127.0.0.1\r\n'),
  },
  {
    name: 'an address with a TTL',
    sdp: (usual) => usual.replace('c=IN IP4 127.0.0.1', 'c=IN IP4 127.0.0.1/127'),
  },
  { name: 'a port with a count', sdp: (usual) => usual.replace(/m=audio (\d+)/, 'm=audio $1/2') },
  { name: 'two spaces in m=', sdp: (usual) => usual.replaceAll('RTP/AVP ', ' RTP/AVP  ') },
  {
    name: 'kinds in capitals',
    sdp: (usual) => usual.replace('m=audio', 'm=AUDIO').replace('m=video', 'm=Video'),
  },
  { name: 'codecs in small letters', sdp: (usual) => usual.replace(H264, 'h264') },
  {
    name: 'PCMA with a channel',
    sdp: (usual) => usual.replace('a=rtpmap:101', 'a=rtpmap:8 pcma/8000/1\r\na=rtpmap:101'),
  },
  { name: 'a space behind rtpmap:', sdp: (usual) => usual.replaceAll('a=rtpmap:', 'a=rtpmap: ') },
  { name: 'two spaces in fmtp', sdp: (usual) => usual.replace('a=fmtp:112 ', 'a=fmtp:112  ') },
  {
    name: 'fmtp with spaces around = and ;',
    sdp: (usual) =>
      usual.replace(
        /(a=fmtp:112 )(.*)/,
        (_, head: string, rest: string) =>
          head + rest.replaceAll(';', ' ; ').replace('mode=', 'mode = '),
      ),
  },
  {
    name: 'an empty fmtp',
    sdp: (usual) => usual.replace('a=rtpmap:101', 'a=fmtp:8\r\na=fmtp:101 \r\na=rtpmap:101'),
  },
  {
    name: 'the same rtpmap twice',
    sdp: (usual) =>
      usual.replace(
        'a=rtpmap:112 H264/90000',
        'a=rtpmap:112 H264/90000\r\na=rtpmap:112 H264/90000',
      ),
  },
  {
    name: 'two clocks for one number of events',
    sdp: (usual) =>
      usual.replace('a=rtpmap:101', 'a=rtpmap:101 telephone-event/16000\r\na=rtpmap:101'),
  },
  { name: 'the events first', sdp: (usual) => usual.replace('AVP 8 101', 'AVP 101 8') },
  {
    name: 'events under a number of ours for something else',
    sdp: (usual) => usual.replaceAll('101', '96'),
  },
  {
    name: 'CN, with and without rtpmap',
    sdp: (usual) =>
      usual
        .replace('AVP 8 101', 'AVP 8 101 13 19')
        .replace('a=rtpmap:101', 'a=rtpmap:13 CN/8000\r\na=rtpmap:101'),
  },
  {
    name: 'dynamic numbers without rtpmap',
    sdp: (usual) => usual.replace('AVP 8 101', 'AVP 8 101 120 121'),
  },
  {
    name: 'no rtpmap for our own H.264',
    sdp: (usual) => usual.replace('a=rtpmap:112 H264/90000\r\n', ''),
  },
  { name: 'H.264 without fmtp', sdp: (usual) => usual.replace(/a=fmtp:112.*\r\n/, '') },
  {
    name: 'H.264 with a profile alone',
    sdp: (usual) => usual.replace(';packetization-mode=1', ''),
  },
  {
    name: 'H.264 of another profile and level',
    sdp: (usual) => usual.replace(/profile-level-id=\w+/, 'profile-level-id=640034'),
  },
  {
    name: 'a profile-level-id that is none',
    sdp: (usual) => usual.replace(/profile-level-id=\w+/, 'profile-level-id=42e0'),
  },
  {
    name: 'parameter sets that are none',
    sdp: (usual) => usual.replace(/sprop-parameter-sets=[^;\r]*/, 'sprop-parameter-sets=,,!!'),
  },
  {
    name: 'packetization-mode 2',
    sdp: (usual) =>
      usual
        .replace('RTP/AVP 112', 'RTP/AVP 120 112')
        .concat('a=rtpmap:120 H264/90000\r\na=fmtp:120 packetization-mode=2\r\n'),
  },
  {
    name: 'red, ulpfec and rtx beside H.264',
    sdp: (usual) =>
      `${usual.replace('RTP/AVP 112', 'RTP/AVP 112 116 117 118')}a=rtpmap:116 red/90000\r\na=rtpmap:117 ulpfec/90000\r\na=rtpmap:118 rtx/90000\r\na=fmtp:118 apt=112\r\n`,
  },
  {
    name: 'H264-SVC beside H.264',
    sdp: (usual) =>
      `${usual.replace('RTP/AVP 112', 'RTP/AVP 97 112')}a=rtpmap:97 H264-SVC/90000\r\n`,
  },
  { name: 'AVPF where AVP was offered', sdp: (usual) => usual.replaceAll('RTP/AVP', 'RTP/AVPF') },
  {
    name: 'inactive for the video alone',
    sdp: (usual) => `${usual}a=inactive\r\n`,
    plays: { video: false },
    shows: 'audio',
  },
  { name: 'a direction twice', sdp: (usual) => `${usual}a=sendrecv\r\na=sendrecv\r\n` },
  { name: 'a direction in capitals', sdp: (usual) => `${usual}a=SENDRECV\r\n` },
  { name: 'an rtcp port of 0', sdp: (usual) => `${usual}a=rtcp:0\r\n` },
  {
    name: 'ICE and DTLS attributes',
    sdp: (usual) =>
      `${usual}a=ice-ufrag:x\r\na=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\na=fingerprint:sha-256 AA\r\na=setup:active\r\n`,
  },
  {
    name: 'a crypto line where none was offered',
    sdp: (usual) =>
      `${usual}a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n`,
  },
  {
    name: 'a third section',
    sdp: (usual) => `${usual}m=application 0 UDP/BFCP *\r\nm=video 0 RTP/AVP 31\r\n`,
  },
  {
    name: 'the video left out',
    sdp: (usual) => usual.slice(0, usual.indexOf('m=video')),
    shows: 'audio',
  },
  {
    name: 'a maxptime and a ptime of 30',
    sdp: (usual) =>
      usual.replace(
        'a=rtpmap:101',
        'a=ptime:30\r\na=maxptime:30\r\na=silenceSupp:off - - - -\r\na=rtpmap:101',
      ),
  },
  { name: 'Latin-1 in a text', sdp: (usual) => usual.replace('s=-', 's=T\u00e9l\u00e9phone') },
];

describe('an answer with', () => {
  for (const row of ANSWERS) {
    it(row.name, LIMIT, async () => {
      const phone = await RawPhone.open(row.protocol);
      const gateway = await open();
      const call = await gateway.startup({ callee: phone.uri });
      const invite = await phone.request('INVITE');
      const usual = phone.sdp(...BOTH);
      await phone.respondUntil(invite, '200 OK', 'ACK', {
        body: row.sdp?.(usual, phone) ?? usual,
        headers: row.headers?.(phone, invite) ?? {},
        change: (text) => row.change?.(text, phone) ?? text,
      });
      await call.established();
      phone.play(invite, row.plays);
      await expect.poll(() => call.stats()?.audio?.packets ?? 0).toBeGreaterThan(3);
      if (row.shows === undefined)
        await expect.poll(() => call.stats()?.video?.frames ?? 0).toBeGreaterThan(2);
      await call.terminate();
      await phone.request('BYE');
      expect(call.view()).toMatchObject({ status: 'FINISH' });
    });
  }
});

interface InviteRow {
  readonly name: string;
  readonly parts: (phone: RawPhone, sdp: string) => RawParts;
}

const INVITES: readonly InviteRow[] = [
  {
    name: 'several Contact and Allow headers',
    parts: ({ port }, body) => ({
      body,
      headers: {
        Contact: [`<sip:a@127.0.0.1:${port}>`, `<sip:a@127.0.0.1:${port}>`],
        Allow: ['INVITE,ACK', 'INVITE,ACK,BYE'],
      },
    }),
  },
  {
    name: 'empty headers and commas at the end of lists',
    parts: (_, body) => ({
      body,
      headers: { Supported: 'timer, 100rel,', 'User-Agent': '', Subject: '' },
    }),
  },
  {
    name: 'no Max-Forwards',
    parts: (_, body) => ({ body, headers: { 'Max-Forwards': null } }),
  },
  {
    name: 'headers of vendors',
    parts: (_, body) => ({
      body,
      headers: {
        'P-Key-Flags': 'keys="3"',
        'Cisco-Guid': '1-2-3',
        'Remote-Party-ID': '"x"<sip:x@y>;party=calling',
        'P-Asserted-Identity': '<tel:+1>',
        'Call-Info': '<sip:x>;method="NOTIFY;Event=telephone-event;Duration=2000"',
        Date: 'yesterday',
      },
    }),
  },
  {
    name: 'a CSeq near 2³¹',
    parts: (_, body) => ({ body, headers: { CSeq: '2147483646 INVITE' } }),
  },
  {
    name: 'Session-Expires without Supported',
    parts: (_, body) => ({ body, headers: { 'Session-Expires': '1800', 'Min-SE': '90' } }),
  },
  {
    name: 'a long Call-ID and From without a display name',
    parts: ({ tag }, body) => ({
      body,
      headers: { 'Call-ID': `${'x'.repeat(200)}@h`, From: `sip:raw@127.0.0.1;tag=${tag}` },
    }),
  },
  {
    name: 'Accept, Expires and a Timestamp',
    parts: (_, body) => ({
      body,
      headers: { Accept: 'application/sdp, */*', Expires: '180', Timestamp: '54.1' },
    }),
  },
  {
    name: 'a content type in capitals with a parameter',
    parts: (_, body) => ({ body, type: 'APPLICATION/SDP;charset=utf-8' }),
  },
];

describe('an INVITE with', () => {
  for (const { name, parts } of INVITES) {
    it(name, LIMIT, async () => {
      const phone = await RawPhone.open();
      const gateway = await open();
      const { accepted, call } = await callIn(gateway, phone, parts(phone, phone.sdp(...BOTH)));
      phone.play(accepted);
      await shows(call, 'both');
    });
  }
});

describe('in a call', () => {
  async function up() {
    const phone = await RawPhone.open();
    const gateway = await open();
    const { accepted, call } = await callIn(gateway, phone, { body: phone.sdp(...BOTH) });
    return { phone, accepted, call };
  }

  const REQUESTS: readonly [string, string, RawParts['headers']][] = [
    ['OPTIONS', 'a question', {}],
    ['NOTIFY', 'the keep-alive of a PBX', { Event: 'keep-alive' }],
    ['NOTIFY', 'messages waiting', { Event: 'message-summary', 'Subscription-State': 'active' }],
    ['SUBSCRIBE', 'a subscription', { Event: 'conference' }],
    ['MESSAGE', 'a text', {}],
    ['PUBLISH', 'quality reports', { Event: 'vq-rtcpxr' }],
    ['INFO', 'a package that we do not know', { 'Info-Package': 'x' }],
    ['UPDATE', 'a refresh without a description', {}],
    ['FOO', 'a method of its own', {}],
  ];
  for (const [method, name, headers] of REQUESTS)
    it(`${method} (${name}) is answered, and the call goes on`, LIMIT, async () => {
      const { phone, accepted, call } = await up();
      const cseq = phone.asCaller(accepted, method, { headers: headers ?? {} });
      expect((await phone.response(cseq)).startLine).toMatch(/^SIP\/2.0 [2-5]/);
      phone.play(accepted);
      await shows(call, 'both');
      expect(call.status).toBe('ESTABLISHED');
    });

  it('a re-INVITE without a description gets an offer', LIMIT, async () => {
    const { phone, accepted, call } = await up();
    const again = await phone.response(phone.asCaller(accepted, 'INVITE'));
    expect(again.port('audio')).toBe(accepted.port('audio'));
    phone.asCaller(again, 'ACK', { body: phone.sdp(...BOTH) });
    phone.play(accepted);
    await shows(call, 'both');
  });

  it('a re-INVITE with another description under the same version is taken', LIMIT, async () => {
    const { phone, accepted, call } = await up();
    const body = phone.sdp(...AUDIO, ...VIDEO.map((line) => line.replaceAll('112', '97')));
    const again = await phone.response(phone.asCaller(accepted, 'INVITE', { body }));
    phone.asCaller(again, 'ACK');
    phone.play(again, { video: { payloadType: 97 } });
    await shows(call, 'both');
  });

  it('a hold by 0.0.0.0 and by port 0 for the video is a hold, and is undone', LIMIT, async () => {
    const { phone, accepted, call } = await up();
    const held = phone
      .sdp(...AUDIO, 'm=video 0 RTP/AVP 112')
      .replace('c=IN IP4 127.0.0.1', 'c=IN IP4 0.0.0.0');
    for (const [body, status] of [
      [held, 'HOLD'],
      [phone.sdp(...BOTH), 'ESTABLISHED'],
    ] as const) {
      const again = await phone.response(phone.asCaller(accepted, 'INVITE', { body }));
      phone.asCaller(again, 'ACK');
      await expect.poll(() => call.status).toBe(status);
    }
    phone.play(accepted);
    await shows(call, 'both');
  });

  it('requests with a CSeq of 2³¹ and above are answered', LIMIT, async () => {
    const { phone, accepted, call } = await up();
    for (const number of ['2147483648', '4294967295']) {
      const cseq = `${number} INFO`;
      phone.asCaller(accepted, 'INFO', { headers: { CSeq: cseq } });
      expect((await phone.response(cseq)).startLine).toBe('SIP/2.0 200 OK');
    }
    expect(call.status).toBe('ESTABLISHED');
  });
});

describe('before the answer', () => {
  it(
    'two 183s with different descriptions and a 200 without: the later one counts',
    LIMIT,
    async () => {
      const phone = await RawPhone.open();
      const gateway = await open();
      const call = await gateway.startup({ callee: phone.uri });
      const invite = await phone.request('INVITE');
      const none = 'm=video 0 RTP/AVP 112';
      for (const lines of [[...AUDIO, none], BOTH])
        phone.respond(invite, '183 Session Progress', { body: phone.sdp(...lines) });
      await phone.respondUntil(invite, '200 OK', 'ACK');
      await call.established();
      phone.play(invite);
      await shows(call, 'both');
    },
  );

  it('a 180 without To tag, and one with another Contact', LIMIT, async () => {
    const phone = await RawPhone.open();
    const gateway = await open();
    const call = await gateway.startup({ callee: phone.uri });
    const invite = await phone.request('INVITE');
    phone.respond(invite, '180 Ringing', { headers: { To: invite.header('to') } });
    phone.respond(invite, '181 Call Is Being Forwarded', {
      headers: { Contact: '<sip:127.0.0.1:9>' },
    });
    await phone.respondUntil(invite, '200 OK', 'ACK', { body: phone.sdp(...BOTH) });
    await call.established();
    phone.play(invite);
    await shows(call, 'both');
  });

  it('a PRACK is challenged by 401', LIMIT, async () => {
    const phone = await RawPhone.open();
    const gateway = await open();
    const call = await gateway.startup({ callee: phone.uri, sipPassword: 'secret' });
    const invite = await phone.request('INVITE');
    phone.respond(invite, '183 Session Progress', {
      body: phone.sdp(...BOTH),
      headers: { Require: '100rel', RSeq: '1' },
    });
    phone.respond(await phone.request('PRACK'), '401 Unauthorized', {
      headers: { 'WWW-Authenticate': 'Digest realm="r",nonce="n"' },
    });
    const again = await phone.request('PRACK', 2);
    expect(again.header('authorization')).toContain('nonce="n"');
    phone.respond(again, '200 OK');
    await phone.respondUntil(invite, '200 OK', 'ACK');
    await call.established();
    phone.play(invite);
    await shows(call, 'both');
  });
});

const CHALLENGES: readonly [
  string,
  string,
  Readonly<Record<string, string | readonly string[]>>,
][] = [
  [
    '401 with Proxy-Authenticate alone',
    '401',
    { 'Proxy-Authenticate': 'Digest realm="r",nonce="n"' },
  ],
  ['407 with WWW-Authenticate alone', '407', { 'WWW-Authenticate': 'Digest realm="r",nonce="n"' }],
  ['auth-int alone', '401', { 'WWW-Authenticate': 'Digest realm="r",nonce="n",qop="auth-int"' }],
  [
    'a folded challenge',
    '401',
    { 'WWW-Authenticate': 'Digest realm="r",\r\n nonce="n",algorithm=MD5,qop="auth"' },
  ],
  [
    'spaces and capitals',
    '401',
    { 'WWW-Authenticate': 'DIGEST  Realm = "r" ,  Nonce = "n" , Algorithm = "MD5"' },
  ],
  ['an empty realm', '401', { 'WWW-Authenticate': 'Digest realm="",nonce="n"' }],
  [
    'a nonce with + and /',
    '401',
    { 'WWW-Authenticate': 'Digest realm="r",nonce="a+/b==",opaque="",stale=FALSE' },
  ],
  [
    'parameters without quotes',
    '401',
    { 'WWW-Authenticate': 'Digest realm="r",nonce=n,qop=auth,algorithm=md5' },
  ],
  [
    'an unknown scheme in front',
    '401',
    { 'WWW-Authenticate': ['Bearer x="y"', 'Digest realm="r",nonce="n"'] },
  ],
  [
    'an unknown algorithm in front',
    '401',
    {
      'WWW-Authenticate': [
        'Digest realm="r",nonce="n",algorithm=AKAv1-MD5',
        'Digest realm="r",nonce="n",algorithm=MD5',
      ],
    },
  ],
  ['a comma at the end', '401', { 'WWW-Authenticate': 'Digest realm="r",nonce="n",' }],
  ['a quote inside the realm', '401', { 'WWW-Authenticate': 'Digest realm="a \\"b\\"",nonce="n"' }],
];

describe('a challenge with', () => {
  for (const [name, status, headers] of CHALLENGES)
    it(name, LIMIT, async () => {
      const phone = await RawPhone.open();
      const gateway = await open();
      const call = await gateway.startup({ callee: phone.uri, sipPassword: 'secret' });
      const first = await phone.request('INVITE');
      phone.respond(first, `${status} Unauthorized`, { headers });
      const second = await phone.request('INVITE', 2);
      const credentials = second.header('authorization') + second.header('proxy-authorization');
      expect(credentials).toContain('response="');
      await phone.respondUntil(second, '200 OK', 'ACK', { body: phone.sdp(...BOTH) });
      await call.established();
    });

  it('a new nonce in the dialog and no stale=true is answered', LIMIT, async () => {
    const phone = await RawPhone.open();
    const gateway = await open();
    const call = await gateway.startup({ callee: phone.uri, sipPassword: 'secret' });
    const challenge = (nonce: string) => ({
      headers: { 'WWW-Authenticate': `Digest realm="r",nonce="${nonce}"` },
    });
    phone.respond(await phone.request('INVITE'), '401 Unauthorized', challenge('one'));
    const second = await phone.request('INVITE', 2);
    await phone.respondUntil(second, '200 OK', 'ACK', { body: phone.sdp(...BOTH) });
    await call.established();
    const held = call.hold();
    phone.respond(await phone.request('INVITE', 3), '401 Unauthorized', challenge('two'));
    const last = await phone.request('INVITE', 4);
    expect(last.header('authorization')).toContain('nonce="two"');
    await phone.respondUntil(last, '200 OK', 'ACK', { body: phone.sdp(...BOTH) });
    await held;
  });
});

it('an answer whose H.264 has another mode is understood by its own number', LIMIT, async () => {
  const phone = await RawPhone.open();
  const gateway = await open();
  const call = await gateway.startup({ callee: phone.uri });
  const invite = await phone.request('INVITE');
  const video = ['m=video VIDEO RTP/AVP 113', 'a=rtpmap:113 H264/90000'];
  const sprop = SPROP.replace('packetization-mode=1', 'packetization-mode=0');
  const body = phone.sdp(...AUDIO, ...video, `a=fmtp:113 ${sprop}`);
  await phone.respondUntil(invite, '200 OK', 'ACK', { body });
  await call.established();
  phone.play(invite, { video: { payloadType: 113, packetizationMode: 0, codec: 'H264' } });
  await shows(call, 'both');
});
