// SipPeer against SIP messages written by hand: it does what its script says, and sees what a caller does wrong.

import { createHash } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { createConnection } from 'node:net';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RtpPacket } from '@sipcast/media/wire';
import { RtpPort } from '@sipcast/testkit';
import type { CallScript, SipPeerOptions, SipPeer } from '@sipcast/testkit';
import { describe, expect, it } from 'vitest';
import { openPhone } from '../../support/call-ends.ts';
import { afterTest } from '../../support/cleanup.ts';

const openPeer = (options: SipPeerOptions): Promise<SipPeer> => openPhone({ t1Ms: 50, ...options });

/** Sends text, collects text. */
class Caller {
  readonly received: string[] = [];
  readonly port: number;
  readonly #send: (text: string) => void;

  private constructor(port: number, send: (text: string) => void) {
    this.port = port;
    this.#send = send;
  }

  static async udp(peer: SipPeer): Promise<Caller> {
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    const caller = new Caller(socket.address().port, (text) =>
      socket.send(text, peer.port, '127.0.0.1'),
    );
    socket.on('message', (datagram) => caller.received.push(datagram.toString()));
    afterTest(() => new Promise<void>((resolve) => socket.close(() => resolve())));
    return caller;
  }

  static async tcp(peer: SipPeer): Promise<Caller> {
    const socket = createConnection(peer.port, '127.0.0.1');
    await once(socket, 'connect');
    const caller = new Caller(socket.localPort!, (text) => void socket.write(text));
    socket.on('data', (chunk) => {
      for (const text of chunk.toString().split(/(?=^SIP\/2\.0 |^[A-Z]+ sip:\S+ SIP\/2\.0\r\n)/m)) {
        caller.received.push(text);
      }
    });
    afterTest(() => Promise.resolve(socket.destroy()));
    return caller;
  }

  send(text: string): void {
    this.#send(text);
  }

  /** The first message that begins so, and has all these lines in it; waits for it. */
  async expect(start: string, ...contains: string[]): Promise<string> {
    for (let waited = 0; waited < 2000; waited += 5) {
      const found = this.received.find(
        (text) => text.startsWith(start) && contains.every((part) => text.includes(part)),
      );
      if (found !== undefined) return found;
      await sleep(5);
    }
    throw new Error(`No ${start} ${contains.join()} in:\n${this.received.join('\n')}`);
  }

  count(start: string): number {
    return this.received.filter((text) => text.startsWith(start)).length;
  }
}

const OFFER =
  'v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n' +
  'm=audio 9 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=recvonly\r\n' +
  'm=video 11 RTP/AVP 112 113\r\na=rtpmap:112 H264/90000\r\na=fmtp:112 packetization-mode=1\r\n' +
  'a=rtpmap:113 H264/90000\r\na=fmtp:113 packetization-mode=0\r\na=recvonly\r\n';

interface Parts {
  readonly branch?: string;
  readonly cseq?: number;
  readonly uri?: string;
  readonly to?: string;
  readonly extra?: string;
  readonly body?: string;
  readonly protocol?: string;
  readonly omit?: RegExp;
}

/** A request without a fault; `parts` brings them in. */
function message(peer: SipPeer, caller: Caller, method: string, parts: Parts = {}): string {
  const { branch = 'z9hG4bK1', cseq = 1, uri = peer.uri, to = '', protocol = 'UDP' } = parts;
  const body = parts.body ?? (method === 'INVITE' ? OFFER : '');
  const contact = method === 'INVITE' ? `Contact: <sip:me@127.0.0.1:${caller.port}>\r\n` : '';
  const head =
    `${method} ${uri} SIP/2.0\r\nVia: SIP/2.0/${protocol} 127.0.0.1:${caller.port};rport;branch=${branch}\r\n` +
    `Max-Forwards: 70\r\nFrom: <sip:me@127.0.0.1>;tag=me\r\nTo: <${peer.uri}>${to}\r\nCall-ID: call@x\r\n` +
    `CSeq: ${cseq} ${method}\r\n${contact}${parts.extra ?? ''}` +
    `${body === '' ? '' : 'Content-Type: application/sdp\r\n'}Content-Length: ${body.length}\r\n\r\n`;
  return (parts.omit === undefined ? head : head.replace(parts.omit, '')) + body;
}

const header = (text: string, name: string): string =>
  new RegExp(`^${name}: (.*)$`, 'mi').exec(text)?.[1] ?? '';
const tagOf = (text: string): string => /;tag=[^;\r]+/.exec(header(text, 'To'))?.[0] ?? '';
const rules = (peer: SipPeer): string[] => peer.violations.map(({ rule }) => rule);

/** INVITE, 200, ACK; gives the To tag of the phone. */
async function answered(peer: SipPeer, caller: Caller, parts: Parts = {}): Promise<string> {
  caller.send(message(peer, caller, 'INVITE', parts));
  const to = tagOf(await caller.expect('SIP/2.0 200', 'INVITE'));
  caller.send(message(peer, caller, 'ACK', { ...parts, branch: 'z9hG4bK2', to, body: '' }));
  await peer.calls[0]!.confirmed;
  return to;
}

describe('SipPeer', () => {
  it('rings, answers with SDP, sends media, answers INFO and BYE', async () => {
    const peer = await openPeer({ script: { ring: 10, answerAfterMs: 40 } });
    const caller = await Caller.udp(peer);
    const to = await answered(peer, caller);
    const call = await peer.nextCall();
    expect(caller.received.map((text) => text.slice(8, 11))).toEqual(['100', '180', '200']);
    expect(tagOf(caller.received[0]!)).toBe('');
    expect(tagOf(caller.received[1]!)).toBe(to);
    const ok = caller.received[2]!;
    expect(header(ok, 'Via')).toContain(`rport=${caller.port}`);
    expect(header(ok, 'Contact')).toBe(`<${peer.uri}>`);
    expect(ok).toContain(`m=audio ${call.audio!.port} RTP/AVP 0 101\r\n`);
    expect(ok).toMatch(/m=video \d+ RTP\/AVP 112\r\n/);
    expect(ok).toMatch(/sprop-parameter-sets=Z[\w+/=]+,aM[\w+/=]+/);
    expect(ok.match(/a=sendonly/g)).toHaveLength(2);
    const info = 'Signal=5\r\nDuration=160\r\n';
    const type = 'Content-Type: application/dtmf-relay\r\n';
    caller.send(
      message(peer, caller, 'INFO', { branch: 'z9hG4bK3', cseq: 2, to, extra: type })
        .replace('Content-Length: 0', `Content-Length: ${info.length}`)
        .concat(info),
    );
    await caller.expect('SIP/2.0 200', '2 INFO');
    expect(call.digits).toMatchObject([{ digit: '5', via: 'info', durationMs: 160 }]);
    caller.send(message(peer, caller, 'BYE', { branch: 'z9hG4bK4', cseq: 3, to }));
    await caller.expect('SIP/2.0 200', '3 BYE');
    expect(await call.ended).toMatchObject({ by: 'caller', how: 'bye' });
    expect(call.sender!.stats.video!.frames).toBeGreaterThan(0);
    expect(call.acks).toBe(1);
    expect(rules(peer)).toEqual([]);
  });

  it('speaks TCP, on the connection of the caller also for its own requests', async () => {
    const peer = await openPeer({ script: { hangUpAfterMs: 50 } });
    const caller = await Caller.tcp(peer);
    const uri = `${peer.uri};transport=tcp`;
    await answered(peer, caller, { protocol: 'TCP', uri });
    const bye = await caller.expect('BYE ');
    expect(bye).toContain(`sip:me@127.0.0.1:${caller.port}`);
    const copied = ['Via', 'From', 'To', 'Call-ID', 'CSeq'].map(
      (name) => `${name}: ${header(bye, name)}`,
    );
    caller.send(
      `SIP/2.0 200 OK\r\n${copied.join('\r\n').replace(';rport', `;rport=${peer.port}`)}\r\nContent-Length: 0\r\n\r\n`,
    );
    expect(await peer.calls[0]!.ended).toMatchObject({ by: 'phone', how: 'bye' });
    await sleep(30);
    expect(rules(peer)).toEqual([]);
  });

  it.each([
    ['MD5', 401],
    ['SHA-256', 407],
  ] as const)('asks for digest %s with %i', async (algorithm, status) => {
    const auth = { realm: 'r', username: 'u', password: 'p', algorithm, status };
    const peer = await openPeer({ script: { auth, media: false } });
    const caller = await Caller.udp(peer);
    caller.send(message(peer, caller, 'INVITE'));
    const challenged = await caller.expect(`SIP/2.0 ${status}`);
    const to = tagOf(challenged);
    caller.send(message(peer, caller, 'ACK', { to }));
    const challenge = header(
      challenged,
      status === 407 ? 'Proxy-Authenticate' : 'WWW-Authenticate',
    );
    const nonce = /nonce="(\w+)"/.exec(challenge)![1]!;
    const hash = (text: string) =>
      createHash(algorithm === 'MD5' ? 'md5' : 'sha256')
        .update(text)
        .digest('hex');
    const response = hash(
      `${hash('u:r:p')}:${nonce}:00000001:c:auth:${hash(`INVITE:${peer.uri}`)}`,
    );
    const extra =
      `${status === 407 ? 'Proxy-Authorization' : 'Authorization'}: Digest username="u", realm="r", nonce="${nonce}", ` +
      `uri="${peer.uri}", opaque="testkit-opaque", algorithm=${algorithm}, qop=auth, nc=00000001, cnonce="c", response="${response}"\r\n`;
    caller.send(message(peer, caller, 'INVITE', { branch: 'z9hG4bK5', cseq: 2, extra }));
    const ok = await caller.expect('SIP/2.0 200', '2 INVITE');
    caller.send(
      message(peer, caller, 'ACK', { branch: 'z9hG4bK6', cseq: 2, to: tagOf(ok), extra }),
    );
    await peer.calls[0]!.confirmed;
    expect(peer.calls).toHaveLength(1);
    expect(peer.calls[0]!.challenges).toBe(1);
    expect(rules(peer)).toEqual([]);
  });

  it.each<[CallScript, string]>([
    [{ answer: 486 }, 'SIP/2.0 486 Busy Here'],
    [{ answer: 603, reason: 'No Way' }, 'SIP/2.0 603 No Way'],
    [{ answer: 302, redirectTo: ['<sip:b@127.0.0.1:9>'] }, 'SIP/2.0 302'],
  ])('refuses as scripted: %j', async (script, start) => {
    const peer = await openPeer({ script });
    const caller = await Caller.udp(peer);
    caller.send(message(peer, caller, 'INVITE'));
    const refused = await caller.expect(start);
    if (script.redirectTo) expect(header(refused, 'Contact')).toBe(script.redirectTo[0]);
    // Timer G: again and again until the ACK.
    await sleep(180);
    const times = caller.count(start);
    expect(times).toBeGreaterThanOrEqual(2);
    caller.send(message(peer, caller, 'ACK', { to: tagOf(refused) }));
    await sleep(250);
    expect(caller.count(start)).toBe(times);
    expect(await peer.calls[0]!.ended).toMatchObject({ by: 'phone', how: 'rejected' });
    expect(rules(peer)).toEqual([]);
  });

  it('sends the 200 until the ACK, and hangs up when none comes', async () => {
    const peer = await openPeer({ t1Ms: 10, script: { media: false } });
    const caller = await Caller.udp(peer);
    caller.send(message(peer, caller, 'INVITE'));
    await caller.expect('BYE ');
    expect(caller.count('SIP/2.0 200')).toBeGreaterThan(5);
    expect(rules(peer)).toContain('2xx was never acknowledged');
  });

  it('is silent as scripted, and takes CANCEL after a provisional response', async () => {
    const peer = await openPeer({ script: { answer: 'none', trying: false, ring: 30 } });
    const caller = await Caller.udp(peer);
    caller.send(message(peer, caller, 'INVITE'));
    await caller.expect('SIP/2.0 180');
    caller.send(message(peer, caller, 'CANCEL'));
    await caller.expect('SIP/2.0 200', 'CANCEL');
    const terminated = await caller.expect('SIP/2.0 487', '1 INVITE');
    caller.send(message(peer, caller, 'ACK', { to: tagOf(terminated) }));
    expect(await peer.calls[0]!.ended).toMatchObject({ by: 'caller', how: 'cancel' });
    await sleep(60);
    expect(rules(peer)).toEqual([]);
  });

  it('sends early media, refuses a medium, and uses the configured codecs', async () => {
    const peer = await openPeer({
      script: {
        earlyMedia: true,
        ring: false,
        answerAfterMs: 80,
        video: false,
        audioCodec: 'PCMA',
        direction: 'inactive',
      },
    });
    const caller = await Caller.udp(peer);
    caller.send(message(peer, caller, 'INVITE'));
    const early = await caller.expect('SIP/2.0 183');
    expect(early).toMatch(/m=audio \d+ RTP\/AVP 8 101\r\n/);
    expect(early).toContain('m=video 0 RTP/AVP 112\r\n');
    expect(early).toContain('a=inactive');
    const ok = await caller.expect('SIP/2.0 200');
    expect(ok.split('\r\n\r\n')[1]).toBe(early.split('\r\n\r\n')[1]);
    expect(peer.calls[0]!.sender).toBeUndefined();
  });

  it('answers VP8 where it is offered, and sends it', async () => {
    const peer = await openPeer({ script: { videoCodec: 'VP8' } });
    const caller = await Caller.udp(peer);
    const media = await RtpPort.open();
    afterTest(() => media.close());
    const packets: RtpPacket[] = [];
    media.listen({ onRtp: (packet) => packets.push(packet) });
    const vp8 = `m=video ${media.port} RTP/AVP 112 97\r\na=rtpmap:97 VP8/90000\r\n`;
    caller.send(
      message(peer, caller, 'INVITE', {
        body: OFFER.replace('m=video 11 RTP/AVP 112 113\r\n', vp8),
      }),
    );
    const ok = await caller.expect('SIP/2.0 200', 'a=rtpmap:97 VP8/90000');
    expect(ok).toMatch(/m=video \d+ RTP\/AVP 97\r\n/);
    caller.send(message(peer, caller, 'ACK', { to: tagOf(ok) }));
    await expect.poll(() => packets.length).toBeGreaterThan(5);
    // X, S and partition 0 of a key frame with a PictureID.
    expect(packets[0]).toMatchObject({ payloadType: 97 });
    expect([...packets[0]!.payload.subarray(0, 2)]).toEqual([0x90, 0x80]);

    const without = await openPeer({ script: { videoCodec: 'VP8' } });
    const other = await Caller.udp(without);
    other.send(message(without, other, 'INVITE'));
    await other.expect('SIP/2.0 200', 'm=video 0 RTP/AVP 112');
  });

  it('registers with digest', async () => {
    const peer = await openPeer({
      register: { auth: { username: 'u', password: 'p' }, maxExpiresS: 60 },
    });
    const caller = await Caller.udp(peer);
    const uri = `sip:127.0.0.1:${peer.port}`;
    const extra = `Contact: <sip:me@127.0.0.1:${caller.port}>;expires=300\r\n`;
    caller.send(message(peer, caller, 'REGISTER', { uri, extra }));
    const challenged = await caller.expect('SIP/2.0 401');
    const nonce = /nonce="(\w+)"/.exec(challenged)![1]!;
    const md5 = (text: string) => createHash('md5').update(text).digest('hex');
    const response = md5(
      `${md5('u:testkit:p')}:${nonce}:00000001:c:auth:${md5(`REGISTER:${uri}`)}`,
    );
    const credentials = `Authorization: Digest username="u", realm="testkit", nonce="${nonce}", uri="${uri}", opaque="testkit-opaque", qop=auth, nc=00000001, cnonce="c", response="${response}"\r\n`;
    caller.send(
      message(peer, caller, 'REGISTER', {
        uri,
        branch: 'z9hG4bKr',
        cseq: 2,
        extra: extra + credentials,
      }),
    );
    const ok = await caller.expect('SIP/2.0 200', '2 REGISTER');
    expect(header(ok, 'Contact')).toBe(`<sip:me@127.0.0.1:${caller.port}>;expires=60`);
    expect(peer.registrations).toMatchObject([{ addressOfRecord: peer.uri, expiresS: 60 }]);
    expect(rules(peer)).toEqual([]);
  });

  it('answers OPTIONS outside of a call, and 481 to what belongs to none', async () => {
    const peer = await openPeer({});
    const caller = await Caller.udp(peer);
    caller.send(message(peer, caller, 'OPTIONS', { branch: 'z9hG4bKo' }));
    await caller.expect('SIP/2.0 200', '1 OPTIONS', 'Allow: ');
    caller.send(message(peer, caller, 'BYE', { branch: 'z9hG4bKb', to: ';tag=x' }));
    await caller.expect('SIP/2.0 481');
    expect(rules(peer)).toEqual(['BYE of no call']);
  });
});

describe('the judge sees', () => {
  const silent: SipPeerOptions = { script: { answer: 'none' } };
  it.each<[string, Parts, string]>([
    ['a branch without the cookie', { branch: 'abc' }, 'INVITE branch without magic cookie'],
    ['no Contact', { omit: /Contact: .*\r\n/ }, 'INVITE needs exactly one Contact'],
    ['the wrong transport in Via', { protocol: 'TCP' }, 'INVITE via says TCP, came by udp'],
    ['a To tag in the first INVITE', { to: ';tag=x' }, 'INVITE of no call'],
    ['a From without tag', { omit: /;tag=me/ }, 'INVITE From without tag'],
    ['no Max-Forwards', { omit: /Max-Forwards: 70\r\n/ }, 'INVITE without max-forwards'],
    ['octets behind the body', { omit: /(?<=Content-Length: )\d/ }, 'INVITE wrong Content-Length'],
    [
      'an offer that is none',
      { body: 'v=0\r\n' },
      'INVITE offer: SyntaxError: SDP must begin with v=, o= and s= lines',
    ],
  ])('%s', async (_, parts, rule) => {
    const peer = await openPeer(silent);
    const caller = await Caller.udp(peer);
    caller.send(message(peer, caller, 'INVITE', parts));
    await sleep(60);
    expect(rules(peer)).toContain(rule);
  });

  it('CANCEL before a provisional response', async () => {
    const peer = await openPeer({ script: { answer: 'none', trying: false, ring: false } });
    const caller = await Caller.udp(peer);
    caller.send(message(peer, caller, 'INVITE'));
    caller.send(message(peer, caller, 'CANCEL'));
    await caller.expect('SIP/2.0 487');
    expect(rules(peer)).toEqual(['CANCEL before a provisional response']);
  });

  it.each<[string, Parts, string]>([
    ['the CSeq', { cseq: 2 }, 'ACK of nothing'],
    ['the branch of the INVITE', { branch: 'z9hG4bK1' }, 'ACK of 2xx has the branch of the INVITE'],
    ['another To tag', { to: ';tag=other' }, 'ACK wrong To tag other'],
    ['another target', { uri: 'sip:x@127.0.0.1' }, 'ACK to sip:x@127.0.0.1 instead of the Contact'],
    ['no Route', {}, 'ACK Route is (none), not <sip:127.0.0.1;lr>'],
  ])('an ACK of a 2xx with %s wrong', async (what, parts, rule) => {
    const recordRoute = what === 'no Route' ? ['<sip:127.0.0.1;lr>'] : [];
    const peer = await openPeer({ script: { media: false, recordRoute } });
    const caller = await Caller.udp(peer);
    caller.send(message(peer, caller, 'INVITE'));
    const to = tagOf(await caller.expect('SIP/2.0 200'));
    caller.send(message(peer, caller, 'ACK', { branch: 'z9hG4bK2', to, ...parts }));
    await sleep(40);
    expect(rules(peer).some((one) => one.startsWith(rule))).toBe(true);
  });

  it('a missing ACK of a repeated 2xx, a CSeq gap, and a BYE before the ACK', async () => {
    const peer = await openPeer({ t1Ms: 2000, script: { media: false, retransmit200: 2 } });
    const caller = await Caller.udp(peer);
    const to = await answered(peer, caller);
    await sleep(1100);
    caller.send(message(peer, caller, 'BYE', { branch: 'z9hG4bK9', cseq: 7, to }));
    await peer.calls[0]!.ended;
    expect(rules(peer)).toEqual(['BYE CSeq 7 after 1', '1 ACKs for 3 times 2xx']);
    const other = await openPeer({ script: { media: false } });
    const hasty = await Caller.udp(other);
    hasty.send(message(other, hasty, 'INVITE'));
    const tag = tagOf(await hasty.expect('SIP/2.0 200'));
    hasty.send(message(other, hasty, 'BYE', { branch: 'z9hG4bK9', cseq: 2, to: tag }));
    await other.calls[0]!.ended;
    expect(rules(other)).toContain('BYE before the ACK');
  });

  it('an INVITE that is repeated after its answer, and garbage', async () => {
    const peer = await openPeer(silent);
    const caller = await Caller.udp(peer);
    const invite = message(peer, caller, 'INVITE');
    caller.send(invite);
    await caller.expect('SIP/2.0 180');
    await sleep(60);
    caller.send(invite);
    caller.send('not SIP at all\r\n\r\n');
    await sleep(40);
    expect(peer.calls[0]!.inviteRetransmissions).toBe(1);
    expect(rules(peer)[0]).toBe('INVITE was repeated after a response');
    expect(rules(peer)[1]).toMatch(/^malformed message/);
    // A repeated INVITE gets the newest answer again.
    expect(caller.count('SIP/2.0 180')).toBe(2);
  });
});
