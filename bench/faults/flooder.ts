// Child process of a fault run that asks for more than anybody should: apart from whoever is watched meanwhile.

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { answer } from '../child.ts';
import { inParallel } from './pace.ts';

/** Many queries by HTTP, all alike, each on a connection of its own. */
interface HttpFlood {
  readonly port: number;
  readonly from: string;
  readonly path: string;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly count: number;
  readonly width: number;
}

/** Requests sent ahead, on connections that are opened again as soon as they are closed. */
interface AheadFlood {
  readonly port: number;
  readonly from: string;
  readonly path: string;
  readonly connections: number;
  readonly forMs: number;
}

/** Many SIP requests, each with a Call-ID, a branch and a tag of its own. */
interface SipFlood {
  readonly port: number;
  readonly from: string;
  readonly count: number;
  /** Of them over TCP. */
  readonly overTcp: number;
}

const METHODS = ['INVITE', 'REGISTER', 'OPTIONS'];
/** Sent before the event loop gets a turn. */
const BATCH = 64;

function sipRequest(port: number, from: string, n: number, transport: 'UDP' | 'TCP'): string {
  const method = METHODS[n % METHODS.length] ?? 'OPTIONS';
  return [
    `${method} sip:user${n % 1000}@127.0.0.1:${port} SIP/2.0`,
    `Via: SIP/2.0/${transport} ${from}:5060;branch=z9hG4bK${n};rport`,
    'Max-Forwards: 70',
    `From: <sip:caller${n}@${from}>;tag=${n}`,
    `To: <sip:user${n % 1000}@127.0.0.1:${port}>`,
    `Call-ID: flood-${n}`,
    `CSeq: 1 ${method}`,
    `Contact: <sip:caller@${from}:5060>`,
    'Content-Length: 0',
    '',
    '',
  ].join('\r\n');
}

const methods = {
  /** @returns How often each status was answered; 0: no answer. */
  http: async (flood: HttpFlood): Promise<Readonly<Record<number, number>>> => {
    const statuses: Record<number, number> = {};
    const { port, from, path, body, headers, count, width } = flood;
    await inParallel(width, Array.from({ length: count }), async () => {
      const status = await new Promise<number>((resolve) => {
        const request = httpRequest(
          {
            host: '127.0.0.1',
            port,
            localAddress: from,
            agent: false,
            path,
            method: 'POST',
            headers: {
              ...headers,
              'content-type': 'application/json',
              'content-length': body.length,
            },
          },
          (response) => {
            response.resume();
            response.on('close', () => resolve(response.statusCode ?? 0));
          },
        );
        request.on('error', () => resolve(0));
        request.end(body);
      });
      statuses[status] = (statuses[status] ?? 0) + 1;
    });
    return statuses;
  },
  /** @returns How often each status was answered. */
  ahead: async (flood: AheadFlood): Promise<Readonly<Record<number, number>>> => {
    const { port, from, path, connections, forMs } = flood;
    const statuses: Record<number, number> = {};
    const untilMs = performance.now() + forMs;
    const requests = Buffer.from(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`.repeat(32));
    await inParallel(connections, Array.from({ length: connections }), async () => {
      while (performance.now() < untilMs) {
        const socket = connect({ port, host: '127.0.0.1', localAddress: from });
        const timer = setTimeout(() => socket.destroy(), untilMs - performance.now());
        socket.on('error', () => {});
        socket.on('connect', () => socket.write(requests));
        socket.on('data', (octets: Buffer) => {
          const heads = octets.toString('latin1').matchAll(/HTTP\/1\.1 (\d{3})/g);
          for (const [, status] of heads)
            statuses[Number(status)] = (statuses[Number(status)] ?? 0) + 1;
          socket.write(requests);
        });
        await new Promise((resolve) => socket.once('close', resolve));
        clearTimeout(timer);
      }
    });
    return statuses;
  },
  /** As fast as it can. @returns how many were sent */
  sip: async ({ port, from, count, overTcp }: SipFlood): Promise<number> => {
    const socket = createSocket('udp4');
    socket.bind(0, from);
    await once(socket, 'listening');
    socket.on('message', () => {});
    socket.on('error', () => {});
    let sent = 0;
    while (sent < count - overTcp) {
      const step: Promise<void>[] = [];
      for (let n = 0; n < BATCH && sent < count - overTcp; n++, sent++) {
        const octets = sipRequest(port, from, sent, 'UDP');
        step.push(
          new Promise((resolve) => {
            socket.send(octets, port, '127.0.0.1', () => resolve());
          }),
        );
      }
      await Promise.all(step);
    }
    socket.close();
    // A server that bans, or has enough of one address, ends the connection: another one then.
    while (sent < count) {
      const connection = connect({ port, host: '127.0.0.1', localAddress: from });
      connection.on('error', () => {});
      connection.resume();
      const ended = once(connection, 'close').catch(() => {});
      for (let n = 0; n < 200 && sent < count && !connection.destroyed; n++, sent++) {
        const octets = sipRequest(port, from, sent, 'TCP');
        await new Promise<void>((resolve) => {
          connection.write(octets, () => resolve());
        });
      }
      connection.destroy();
      await ended;
    }
    return sent;
  },
};
export type FlooderMethods = typeof methods;

answer(methods);
