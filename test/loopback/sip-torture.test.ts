// The 49 messages of RFC 4475 over UDP: what a user agent that takes no calls answers to each.

import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { SipUserAgent } from '@sipcast/sip';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from './sip-peer.ts';

const FOLDER = new URL('../vectors/rfc4475/', import.meta.url);

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
