// A SIP server that takes every datagram as it came, refuses every call, and says what about them is not as it should be.

import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import { once } from 'node:events';
import { createResponse, formatMessage, parseDatagram } from '@sipcast/sip';
import type { SipMessage } from '@sipcast/sip';

/** Headers of the requests that we send. */
const KNOWN = new Set(
  (
    'via from to call-id cseq contact max-forwards route content-type content-length allow supported user-agent ' +
    'authorization proxy-authorization expires session-expires min-se accept require date'
  ).split(' '),
);

/** The API's users may name headers of their own: those begin with `X-Fine` here. */
function isKnown(name: string): boolean {
  return KNOWN.has(name) || name.startsWith('x-fine');
}

/** An open trap. */
export class SipTrap {
  readonly datagrams: Buffer[] = [];
  readonly #socket: Socket;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('message', (octets, from) => {
      this.datagrams.push(octets);
      const { message } = parseDatagram(octets);
      if (message?.kind !== 'request' || message.method === 'ACK') return;
      const isCall = message.method === 'INVITE';
      const response = isCall
        ? createResponse(message, 486, 'Busy Here', 'trap')
        : createResponse(message, 200, 'OK', 'trap');
      socket.send(formatMessage(response), from.port, from.address);
    });
  }

  static async open(host = '127.0.0.1', port = 0): Promise<SipTrap> {
    const socket = createSocket('udp4');
    socket.bind(port, host);
    await once(socket, 'listening');
    return new SipTrap(socket);
  }

  get port(): number {
    return this.#socket.address().port;
  }

  close(): void {
    this.#socket.close();
  }
}

/** What in a request got out of the field that it was written into; nothing: undefined. */
export function escapedFrom(octets: Buffer): string | undefined {
  const text = octets.toString('latin1');
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return 'no end of the headers';
  const [start = '', ...lines] = text.slice(0, end).split('\r\n');
  if (!/^(?:INVITE|ACK|BYE|CANCEL|OPTIONS|REGISTER|INFO|UPDATE|PRACK) \S+ SIP\/2\.0$/.test(start))
    return `start line ${JSON.stringify(start)}`;
  // oxlint-disable-next-line no-control-regex -- finding control characters is the point
  const control = /[\u0000-\u0008\u000a-\u001f\u007f]/.exec([start, ...lines].join(''));
  if (control) return `control character ${control[0].charCodeAt(0)}`;
  for (const line of lines) {
    const name = /^([\w\-.!%*+`'~]+):/.exec(line)?.[1]?.toLowerCase();
    if (name === undefined || !isKnown(name)) return `header ${JSON.stringify(line)}`;
  }
  for (const name of ['from', 'to', 'call-id', 'cseq', 'content-length', 'max-forwards']) {
    const count = lines.filter((line) => line.toLowerCase().startsWith(`${name}:`)).length;
    if (count !== 1) return `${count} × ${name}`;
  }
  const length = Number(/^content-length:\s*(\d+)$/im.exec(lines.join('\n'))?.[1]);
  if (length !== octets.length - Buffer.byteLength(text.slice(0, end + 4), 'latin1'))
    return `a body that is not ${length} octets long`;
  const { message } = parseDatagram(octets);
  if (message === undefined) return 'what cannot be read';
  const to = message.headers.get('to') ?? '';
  const from = message.headers.get('from') ?? '';
  // One address in each, whatever is quoted in front of it.
  for (const value of [to, from]) {
    const bare = value.replace(/"(?:[^"\\]|\\.)*"/g, '');
    if ((bare.match(/</g) ?? []).length > 1 || /,\s*(?:<|sip)/.test(bare))
      return `addresses ${JSON.stringify(value)}`;
  }
  return undefined;
}

/** The first header of a message that no sender here writes; none: undefined. */
export function strangeHeader({ headers }: SipMessage): string | undefined {
  for (const [name, value] of headers)
    if (!isKnown(name)) return `header ${JSON.stringify(`${name}: ${value}`)}`;
  return undefined;
}
