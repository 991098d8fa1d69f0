// A phone that says exactly what a test writes, octet for octet, over UDP or TCP: for what real devices send against the
// grammar. Reads with expressions of its own, so that no parser of ours stands between the test and the wire.

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { loadClip, RtpPort, RtpSender } from '@sipcast/testkit';
import type { RtpLineOptions, RtpSenderOptions } from '@sipcast/testkit';
import { afterTest } from './cleanup.ts';

/** A message as it stood on the wire. */
export class RawMessage {
  readonly text: string;
  readonly reply: (octets: string | Uint8Array) => void;

  constructor(text: string, reply: (octets: string | Uint8Array) => void) {
    this.text = text;
    this.reply = reply;
  }

  get startLine(): string {
    return this.text.slice(0, this.text.indexOf('\r\n'));
  }

  get method(): string {
    return this.startLine.split(' ', 1)[0] ?? '';
  }

  get body(): string {
    return this.text.slice(this.text.indexOf('\r\n\r\n') + 4);
  }

  /** The first value of a header; `''` where there is none. */
  header(name: string): string {
    return this.headers(name)[0] ?? '';
  }

  headers(name: string): string[] {
    const head = this.text.slice(0, this.text.indexOf('\r\n\r\n'));
    return head
      .split('\r\n')
      .filter((line) => line.toLowerCase().startsWith(`${name.toLowerCase()}:`))
      .map((line) => line.slice(name.length + 1).trim());
  }

  /** The m-sections of the body, line by line. */
  get sections(): string[][] {
    return this.body
      .split(/\r\n(?=m=)/)
      .slice(1)
      .map((section) => section.trim().split('\r\n'));
  }

  /** Port of the first section of a kind; 0 where there is none. */
  port(kind: 'audio' | 'video'): number {
    const lines = this.sections.map(([line = '']) => line.split(' '));
    return Number(lines.find(([type, port]) => type === `m=${kind}` && port !== '0')?.[1] ?? 0);
  }
}

/** How a response or request differs from the usual. */
export interface RawParts {
  /** Replaces headers of this name; `null` leaves them out; others are added. */
  readonly headers?: Readonly<Record<string, string | readonly string[] | null>>;
  readonly body?: string;
  /** Of `body`. Default `application/sdp`. */
  readonly type?: string;
  /** The last change to the text before it is sent. */
  readonly change?: (text: string) => string;
}

/** What the phone sends. Defaults: H.264 as 112 and PCMA as 8. */
export interface RawMedia {
  readonly audio?: Partial<NonNullable<RtpSenderOptions['audio']>> | false;
  readonly video?: Partial<NonNullable<RtpSenderOptions['video']>> | false;
  readonly sender?: Omit<RtpSenderOptions, 'audio' | 'video'>;
}

/** A phone of raw text, with RTP ports. A BYE is answered by itself. */
export class RawPhone {
  readonly protocol: 'UDP' | 'TCP';
  readonly port: number;
  readonly audio: RtpPort;
  readonly video: RtpPort;
  readonly received: RawMessage[] = [];
  readonly tag = `raw${Math.random().toString(36).slice(2)}`;
  readonly #send: (octets: string | Uint8Array, port: number) => void;
  #waiting: (() => void)[] = [];
  #sequence = 100;

  private constructor(
    protocol: 'UDP' | 'TCP',
    port: number,
    ports: readonly [RtpPort, RtpPort],
    send: (octets: string | Uint8Array, port: number) => void,
  ) {
    this.protocol = protocol;
    this.port = port;
    [this.audio, this.video] = ports;
    this.#send = send;
  }

  /** Opens a phone on 127.0.0.1; closed when the test ends. */
  static async open(protocol: 'UDP' | 'TCP' = 'UDP'): Promise<RawPhone> {
    const ports = [await RtpPort.open(), await RtpPort.open()] as const;
    afterTest(() => Promise.all(ports.map((one) => one.close())));
    let phone: RawPhone;
    if (protocol === 'UDP') {
      const socket = createSocket('udp4');
      socket.bind(0, '127.0.0.1');
      await once(socket, 'listening');
      afterTest(() => socket.close());
      socket.on('message', (datagram, { port }) =>
        phone.#take(datagram.toString('latin1'), (octets) =>
          socket.send(octets, port, '127.0.0.1'),
        ),
      );
      phone = new RawPhone('UDP', socket.address().port, ports, (octets, port) =>
        socket.send(octets, port, '127.0.0.1'),
      );
      return phone;
    }
    let connection: Socket | undefined;
    const server = createServer((socket) => {
      connection = socket;
      afterTest(() => socket.destroy());
      let buffered = '';
      socket.on('error', () => {});
      socket.on('data', (chunk) => {
        buffered += chunk.toString('latin1').replace(/^(?:\r\n)+/, '');
        for (;;) {
          const head = buffered.indexOf('\r\n\r\n');
          const length = Number(/^content-length:\s*(\d+)/im.exec(buffered)?.[1] ?? 0);
          if (head < 0 || buffered.length < head + 4 + length) return;
          const text = buffered.slice(0, head + 4 + length);
          buffered = buffered.slice(text.length);
          phone.#take(text, (octets) => socket.write(octets));
        }
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    afterTest(() => server.close());
    const { port } = server.address() as AddressInfo;
    phone = new RawPhone('TCP', port, ports, (octets) => connection?.write(octets));
    return phone;
  }

  get uri(): string {
    return `sip:raw@127.0.0.1:${this.port}${this.protocol === 'TCP' ? ';transport=tcp' : ''}`;
  }

  #take(text: string, reply: RawMessage['reply']): void {
    const arrived = new RawMessage(text, reply);
    this.received.push(arrived);
    if (arrived.method === 'BYE') this.respond(arrived, '200 OK');
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }

  async #find(matches: (message: RawMessage) => boolean, nth: number): Promise<RawMessage> {
    for (;;) {
      // A repetition is the same message.
      const texts = new Set<string>();
      const found = this.received.filter(
        (one) => matches(one) && !texts.has(one.text) && texts.add(one.text),
      )[nth - 1];
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
    }
  }

  /** The `nth` request of this method, now or later; repetitions are not counted. */
  request(method: string, nth = 1): Promise<RawMessage> {
    return this.#find((one) => one.method === method, nth);
  }

  /** The final response to a request of this phone, now or later. */
  response(cseq: string): Promise<RawMessage> {
    return this.#find(
      (one) => /^SIP\/2.0 [2-6]/.test(one.startLine) && one.header('cseq') === cseq,
      1,
    );
  }

  /** Sends a response to where the request came from. */
  respond(request: RawMessage, status: string, parts: RawParts = {}): void {
    const to = request.header('to');
    const isTagged = to.includes(';tag=') || status.startsWith('100');
    request.reply(
      message(
        `SIP/2.0 ${status}`,
        {
          Via: request.headers('via'),
          From: request.header('from'),
          To: isTagged ? to : `${to};tag=${this.tag}`,
          'Call-ID': request.header('call-id'),
          CSeq: request.header('cseq'),
          Contact: `<${this.uri}>`,
        },
        parts,
      ),
    );
  }

  /** Sends a response as RFC 3261 §13.3.1.4 has it: again until a request comes, with T1 of 50 ms. */
  async respondUntil(
    request: RawMessage,
    status: string,
    method: string,
    parts: RawParts = {},
  ): Promise<RawMessage> {
    const before = this.received.filter((one) => one.method === method).length;
    let timer: NodeJS.Timeout | undefined;
    const send = (waitMs: number): void => {
      this.respond(request, status, parts);
      timer = setTimeout(() => send(waitMs * 2), waitMs);
    };
    send(50);
    const found = await this.request(method, before + 1);
    clearTimeout(timer);
    return found;
  }

  /** Sends a request in the dialog of an INVITE that came in. @returns its CSeq value */
  inDialog(invite: RawMessage, method: string, parts: RawParts = {}): string {
    const cseq = `${method === 'ACK' ? this.#sequence : ++this.#sequence} ${method}`;
    const target = /<([^>]*)>/.exec(invite.header('contact'))?.[1] ?? '';
    const text = message(
      `${method} ${target} SIP/2.0`,
      {
        Via: this.#via(),
        'Max-Forwards': '70',
        From: `${invite.header('to')};tag=${this.tag}`,
        To: invite.header('from'),
        'Call-ID': invite.header('call-id'),
        CSeq: cseq,
        Contact: `<${this.uri}>`,
      },
      parts,
    );
    this.#send(text, Number(/:(\d+)/.exec(target)?.[1]));
    return cseq;
  }

  /** Calls `sip:studio@127.0.0.1:port`. @returns the text of its INVITE */
  invite(port: number, parts: RawParts = {}): RawMessage {
    const text = message(
      `INVITE sip:studio@127.0.0.1:${port} SIP/2.0`,
      {
        Via: this.#via(),
        'Max-Forwards': '70',
        From: `<sip:raw@127.0.0.1>;tag=${this.tag}`,
        To: `<sip:studio@127.0.0.1:${port}>`,
        'Call-ID': `call-${this.tag}`,
        CSeq: `${++this.#sequence} INVITE`,
        Contact: `<${this.uri}>`,
        Allow: 'INVITE, ACK, CANCEL, BYE, UPDATE, PRACK, INFO',
      },
      parts,
    );
    this.#send(text, port);
    return new RawMessage(text, () => {});
  }

  /** Sends a request in the dialog that a response of the gateway's made. @returns its CSeq value */
  asCaller(accepted: RawMessage, method: string, parts: RawParts = {}): string {
    const cseq = `${method === 'ACK' ? Number.parseInt(accepted.header('cseq'), 10) : ++this.#sequence} ${method}`;
    const target = /<([^>]*)>/.exec(accepted.header('contact'))?.[1] ?? '';
    const text = message(
      `${method} ${target} SIP/2.0`,
      {
        Via: this.#via(),
        'Max-Forwards': '70',
        From: accepted.header('from'),
        To: accepted.header('to'),
        'Call-ID': accepted.header('call-id'),
        CSeq: cseq,
        Contact: `<${this.uri}>`,
      },
      parts,
    );
    this.#send(text, Number(/:(\d+)/.exec(target)?.[1]));
    return cseq;
  }

  #via(): string {
    const branch = `z9hG4bK${Math.random().toString(36).slice(2)}`;
    return `SIP/2.0/${this.protocol} 127.0.0.1:${this.port};rport;branch=${branch}`;
  }

  /** The clip, to the ports that a description of the gateway's names. */
  play(described: RawMessage, { audio = {}, video = {}, sender: how }: RawMedia = {}): RtpSender {
    const line = (kind: 'audio' | 'video'): RtpLineOptions | undefined => {
      const rtpPort = described.port(kind);
      return rtpPort === 0 ? undefined : { from: this[kind], address: '127.0.0.1', rtpPort };
    };
    const [sound, pictures] = [line('audio'), line('video')];
    const sender = RtpSender.start({
      ...how,
      ...(audio !== false && sound && { audio: { ...sound, ...audio } }),
      ...(video !== false && pictures && { video: { ...pictures, payloadType: 112, ...video } }),
    });
    afterTest(() => sender.stop());
    return sender;
  }

  /** A description with these m-sections. `AUDIO` and `VIDEO` stand for the ports of the phone. */
  sdp(...lines: readonly string[]): string {
    const text = [
      'v=0',
      'o=raw 1 1 IN IP4 127.0.0.1',
      's=-',
      'c=IN IP4 127.0.0.1',
      't=0 0',
      ...lines,
    ];
    return `${text.join('\r\n')}\r\n`
      .replaceAll('AUDIO', String(this.audio.port))
      .replaceAll('VIDEO', String(this.video.port));
  }
}

/** An fmtp text of H.264 with the parameter sets of the clip. */
export const SPROP = `profile-level-id=${loadClip().profileLevelId};packetization-mode=1;sprop-parameter-sets=${loadClip()
  .parameterSets.map((one) => Buffer.from(one).toString('base64'))
  .join(',')}`;

function message(
  startLine: string,
  usual: Readonly<Record<string, string | readonly string[]>>,
  { headers = {}, body = '', type = 'application/sdp', change }: RawParts,
): string {
  const all = { ...usual, ...(body !== '' && { 'Content-Type': type }), ...headers };
  const lines = Object.entries(all).flatMap(([name, value]) => {
    const values = value === null ? [] : typeof value === 'string' ? [value] : value;
    return values.map((one) => `${name}: ${one}`);
  });
  if (!('Content-Length' in all)) lines.push(`Content-Length: ${Buffer.byteLength(body)}`);
  const text = `${startLine}\r\n${lines.join('\r\n')}\r\n\r\n${body}`;
  return change?.(text) ?? text;
}
