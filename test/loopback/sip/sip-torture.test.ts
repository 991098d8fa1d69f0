// The 49 messages of RFC 4475 over UDP, and over TCP cut at each octet: what a user agent that takes no calls answers to each.

import { createSocket, type Socket } from 'node:dgram';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { connect, type Socket as TcpSocket } from 'node:net';
import { SipUserAgent } from '@sipcast/sip';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../../support/wait.ts';

const FOLDER = new URL('../../vectors/rfc4475/', import.meta.url);

/**
 * Status of the one final answer; `undefined`: silence. An acceptable INVITE is refused with 403; wsinv carries a To tag
 * of a dialog that nobody knows.
 */
const ANSWERS: Readonly<Record<string, number | undefined>> = {
  wsinv: 481,
  intmeth: 501,
  esc01: 403,
  escnull: 405,
  esc02: 501,
  lwsdisp: 200,
  longreq: 403,
  dblreq: 405,
  semiuri: 200,
  transports: 200,
  mpart01: 405,
  unreason: undefined,
  noreason: undefined,
  badinv01: 400,
  clerr: 400,
  ncl: 400,
  scalar02: 400,
  scalarlg: undefined,
  quotbal: 400,
  ltgtruri: 400,
  lwsruri: 400,
  lwsstart: 400,
  trws: 400,
  escruri: 400,
  baddate: 403,
  regbadct: 400,
  badaspec: 400,
  baddn: 400,
  badvers: 505,
  mismatch01: 400,
  mismatch02: 400,
  bigcode: undefined,
  badbranch: 200,
  insuf: 400,
  unkscm: 416,
  novelsc: 416,
  unksm2: 405,
  bext01: 420,
  invut: 415,
  regaut01: 405,
  multi01: 400,
  mcl01: 400,
  bcast: undefined,
  zeromf: 200,
  cparam01: 405,
  cparam02: 405,
  regescrt: 405,
  sdp01: 406,
  inv2543: 403,
};

/** A refusal copies From and To as they came, so that a parser may refuse it in its turn: only this much is read. */
interface Answer {
  readonly statusCode: number;
  readonly callId: string | undefined;
}

let userAgent: SipUserAgent;
let socket: Socket;
let received: Answer[] = [];

beforeAll(async () => {
  // Several messages share a branch: each must find the transaction of the one before gone.
  const timers = { timerHMs: 5, timerJMs: 5 };
  userAgent = new SipUserAgent({ bindAddress: '127.0.0.1', timers });
  await userAgent.open();
  socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  socket.on('message', (datagram) => {
    const text = datagram.toString();
    received.push({
      statusCode: Number(/^SIP\/2\.0 (\d{3}) /.exec(text)?.[1]),
      callId: /^Call-ID: (.*)\r$/m.exec(text)?.[1],
    });
  });
});

afterAll(async () => {
  socket.close();
  await userAgent.close();
});

describe('RFC 4475 over UDP', () => {
  it('covers all 49 messages', () => {
    const names = readdirSync(FOLDER).filter((name) => name.endsWith('.dat'));
    expect(names.map((name) => name.slice(0, -4)).toSorted()).toEqual(
      Object.keys(ANSWERS).toSorted(),
    );
  });

  for (const [name, statusCode] of Object.entries(ANSWERS)) {
    it(`${name} → ${statusCode ?? 'silence'}`, async () => {
      await until(() => userAgent.stats.serverTransactions === 0);
      received = [];
      socket.send(readFileSync(new URL(`${name}.dat`, FOLDER)), userAgent.localPort, '127.0.0.1');
      // The answer to this probe comes after all answers to the message before it.
      const probe = `probe-${name}`;
      socket.send(
        `OPTIONS sip:us SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK${probe};rport\r\n` +
          `From: <sip:p@p>;tag=p\r\nTo: <sip:us>\r\nCall-ID: ${probe}\r\nCSeq: 1 OPTIONS\r\n\r\n`,
        userAgent.localPort,
        '127.0.0.1',
      );
      await until(() => received.at(-1)?.callId === probe);
      const statusCodes = received.slice(0, -1).map((answer) => answer.statusCode);
      expect(statusCodes).toEqual(statusCode === undefined ? [] : [statusCode]);
    });
  }
});

/**
 * Over TCP a message ends where its Content-Length says (RFC 3261 §18.3); what follows is the next one, and where that is
 * none the connection ends after a 400.
 */
const TCP_ANSWERS: Readonly<Record<string, readonly number[]>> = {
  /** The second message counts, too. */
  dblreq: [405, 403],
  /** The rest of the body is waited for (`WAITING`); the time limit of partial messages is tested with the transport. */
  clerr: [],
  /** Without Content-Length, which a stream cannot do without. */
  inv2543: [400],
};

/** The connections that user agents have accepted and nobody has asked for yet, by both ports. */
const accepted = new Map<string, TcpSocket>();
const onAccepted = (message: unknown): void => {
  const { socket: one } = message as { socket: TcpSocket };
  accepted.set(`${one.remotePort} ${one.localPort}`, one);
};

/** One end of a connection to a user agent in this process, which knows what the other end has read. */
class TcpPeer {
  text = '';
  closed = false;
  readonly #connection: TcpSocket;
  #changed = (): void => {};
  #sent = 0;
  #other: TcpSocket | undefined;

  constructor(port: number) {
    this.#connection = connect(port, '127.0.0.1').setNoDelay(true);
    this.#connection.on('data', (piece: Buffer) => {
      this.text += piece.toString('latin1');
      this.#changed();
    });
    this.#connection.on('error', () => {});
    this.#connection.on('close', () => {
      this.closed = true;
      this.#changed();
    });
  }

  async open(): Promise<this> {
    await once(this.#connection, 'connect');
    const ports = `${this.#connection.localPort} ${this.#connection.remotePort}`;
    while (!accepted.has(ports)) await new Promise(setImmediate);
    this.#other = accepted.get(ports)?.on('data', () => this.#changed());
    accepted.delete(ports);
    return this;
  }

  write(octets: Uint8Array): void {
    this.#sent += octets.length;
    this.#connection.write(octets);
  }

  /** Waits until the user agent has read all that was written, or has closed. */
  read(): Promise<void> {
    return this.until(() => (this.#other?.bytesRead ?? 0) >= this.#sent);
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition() && !this.closed)
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
  }

  async close(): Promise<void> {
    this.#connection.destroy();
    await this.until(() => false);
  }
}

function statusCodesIn(text: string): number[] {
  return text
    .split(/(?=SIP\/2\.0 \d{3} )/)
    .filter((one) => one.startsWith('SIP/2.0 ') && !one.includes('Call-ID: probe'))
    .map((one) => Number(one.slice(8, 11)));
}

/** What is answered to a message in two pieces, by where it is cut; 0: whole. */
async function answersAtEachCut(name: string): Promise<string[]> {
  const octets = readFileSync(new URL(`${name}.dat`, FOLDER));
  // A user agent for each message: some share a branch, and their transactions must not meet.
  const agent = new SipUserAgent({
    bindAddress: '127.0.0.1',
    timers: { timerHMs: 1, timerJMs: 1 },
  });
  await agent.open();
  const answers: string[] = [];
  let peer: TcpPeer | undefined;
  for (let cut = 0; cut < octets.length; cut++) {
    while (agent.stats.serverTransactions > 0)
      await new Promise((resolve) => {
        setTimeout(resolve, 1);
      });
    peer ??= await new TcpPeer(agent.localPort).open();
    peer.text = '';
    if (cut > 0) {
      peer.write(octets.subarray(0, cut));
      await peer.read();
    }
    peer.write(octets.subarray(cut));
    const probe =
      `OPTIONS sip:us SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bKprobe${name}${cut}\r\n` +
      `From: <sip:p@p>;tag=p\r\nTo: <sip:us>\r\nCall-ID: probe\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n`;
    peer.write(Buffer.from(probe));
    await peer.read();
    const { text } = peer;
    // What waits for more takes the probe for its body: nothing will come, and the connection is of no more use.
    const waits = WAITING.has(name);
    if (!waits) await peer.until(() => /Call-ID: probe[^]*\r\n\r\n/.test(peer?.text ?? ''));
    answers.push(statusCodesIn(waits ? text : peer.text).join(', '));
    if (waits || peer.closed) {
      await peer.close();
      peer = undefined;
    }
  }
  await peer?.close();
  await agent.close();
  return answers;
}

/** Whose Content-Length promises more than there is. */
const WAITING: ReadonlySet<string> = new Set(['clerr']);

describe('RFC 4475 over TCP, cut at each octet', () => {
  const found = new Map<string, string[]>();
  beforeAll(async () => {
    subscribe('net.server.socket', onAccepted);
    try {
      await Promise.all(
        Object.keys(ANSWERS).map(async (name) => found.set(name, await answersAtEachCut(name))),
      );
    } finally {
      unsubscribe('net.server.socket', onAccepted);
    }
  }, 120_000);

  for (const [name, statusCode] of Object.entries(ANSWERS)) {
    const expected = TCP_ANSWERS[name] ?? (statusCode === undefined ? [] : [statusCode]);
    it(`${name} → ${expected.join(', ') || 'silence'}`, () => {
      const { length } = readFileSync(new URL(`${name}.dat`, FOLDER));
      const answers = found.get(name) ?? [];
      const others = answers.flatMap((answer, cut) =>
        answer === expected.join(', ') ? [] : [`cut at ${cut}: ${answer}`],
      );
      expect([answers.length, others]).toEqual([length, []]);
    });
  }
});

describe('RFC 5118 over sockets', () => {
  const VIA = '[2001:db8::9:1];branch=z9hG4bK';
  const request = (n: number, uri: string, via: string, protocol: string): string =>
    `REGISTER ${uri} SIP/2.0\r\nVia: SIP/2.0/${protocol} ${via}${protocol}${n}\r\nTo: sip:user@example.com\r\nFrom: sip:user@example.com;tag=81x2\r\n` +
    `Call-ID: v6-${n}\r\nMax-Forwards: 70\r\nContact: "Caller" <sip:caller@[2001:db8::1]>\r\nCSeq: 98176 REGISTER\r\nContent-Length: 0\r\n\r\n`;
  // A registrar we are not: 405 says that the message was understood.
  const MESSAGES = [
    ['4.1 reference', 'sip:[2001:db8::10]', VIA, 405],
    ['4.2 no brackets', 'sip:2001:db8::10', VIA, 400],
    ['4.3 port inside', 'sip:[2001:db8::10:5070]', VIA, 405],
    ['4.4 port outside', 'sip:[2001:db8::10]:5070', VIA, 405],
    [
      '4.5 received',
      'sip:[2001:db8::10]',
      `[2001:db8::9:1];received=[2001:db8::9:255];branch=z9hG4bK`,
      405,
    ],
    [
      '4.5 received bare',
      'sip:[2001:db8::10]',
      `[2001:db8::9:1];received=2001:db8::9:255;branch=z9hG4bK`,
      405,
    ],
    ['4.9 mapped', 'sip:[::ffff:192.0.2.10]:19823', '[::ffff:192.0.2.2]:19823;branch=z9hG4bK', 405],
    ['4.10 three colons', 'sip:[2001:db8:::192.0.2.1]', VIA, 405],
  ] as const;

  it('are answered over UDP and TCP, from an IPv6 socket', async () => {
    const agent = new SipUserAgent({ bindAddress: '::' });
    await agent.open();
    const udp = createSocket('udp6');
    const connection = connect(agent.localPort, '::1');
    try {
      const answers: Record<'UDP' | 'TCP', string> = { UDP: '', TCP: '' };
      udp.on('message', (datagram) => {
        answers.UDP += datagram.toString();
      });
      connection.on('data', (piece: Buffer) => {
        answers.TCP += piece.toString();
      });
      await once(connection, 'connect');
      for (const [n, [name, uri, via, statusCode]] of MESSAGES.entries()) {
        // Without rport the answer goes to the port that Via names: here that is written by hand.
        udp.send(request(n, uri, via.replace(';', ';rport;'), 'UDP'), agent.localPort, '::1');
        connection.write(request(n, uri, via, 'TCP'));
        for (const protocol of ['UDP', 'TCP'] as const) {
          await until(
            () => answers[protocol].includes(`Call-ID: v6-${n}\r\n`),
            `${name} ${protocol}`,
          );
          const answer = answers[protocol].split(/(?=SIP\/2\.0 \d{3} )/).at(-1) ?? '';
          expect(answer.slice(8, 11), `${name} over ${protocol}`).toBe(String(statusCode));
          // What the message claims of its way is replaced by where it came from.
          expect(answer, name).toMatch(/received=\[?::1\]?/);
        }
      }
    } finally {
      connection.destroy();
      udp.close();
      await agent.close();
    }
  });
});
