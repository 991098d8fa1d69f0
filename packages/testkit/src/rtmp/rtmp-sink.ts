// An RTMP or RTMPS server for tests: takes publications, records them as FLV, and misbehaves on request.

import { createWriteStream } from 'node:fs';
import type { WriteStream } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import type { TlsOptions } from 'node:tls';
import { formatFlvHeader, formatFlvTag } from '@sipcast/media';
import type { Amf0Value } from '@sipcast/media';
import { SinkAuthenticator } from './rtmp-sink-auth.ts';
import type { RtmpSinkAuth } from './rtmp-sink-auth.ts';
import { SinkConnection } from './rtmp-sink-connection.ts';
import type { PublicationParts } from './rtmp-sink-connection.ts';

/** One audio, video or data message as it arrived. */
export interface ReceivedTag {
  /** 8 audio, 9 video, 18 data. */
  readonly type: 8 | 9 | 18;
  /** Milliseconds of the message, u32. */
  readonly timestampMs: number;
  /** For data, without the `@setDataFrame` in front. */
  readonly body: Uint8Array;
  /** `performance.now()` at arrival. */
  readonly arrivalMs: number;
}

/** How a sink behaves. */
export interface RtmpSinkOptions {
  /** Default: one that is free. */
  readonly port?: number;
  /** Default `127.0.0.1`. */
  readonly host?: string;
  /** Record each publication to `<dir>/<stream name>-<number>.flv`. Default: no recording. */
  readonly recordDir?: string;
  /** Keep all tags in memory. Default true. */
  readonly keepTags?: boolean;
  /** Speaks TLS with this key and certificate. Default: plain TCP. */
  readonly tls?: TlsOptions;
  /** `digest`: lets only clients in that sign their handshake. Default: anybody, with the plain handshake. */
  readonly handshake?: 'digest';
  /** Acknowledge as the publisher's window asks. Default true; false is how Node-Media-Server behaves. */
  readonly acknowledge?: boolean;
  /** Answer a PingRequest of the client. Default true; Node-Media-Server does not. */
  readonly answerPings?: boolean;
  /** Answer createStream while a stream is being published. Default true. */
  readonly answerCreateStream?: boolean;
  /** Demand a user and password. Default: let anybody in. */
  readonly auth?: RtmpSinkAuth;
  /** Answer as an Enhanced RTMP v2 server that takes these codecs (FourCC). Default: plain RTMP. */
  readonly enhanced?: {
    readonly video?: readonly string[];
    readonly audio?: readonly string[];
    readonly reconnect?: boolean;
  };
  /** Called for each tag as it arrives. */
  readonly onTag?: (tag: ReceivedTag, publication: RtmpPublication) => void;
  /** Called when a publication begins. */
  readonly onPublication?: (publication: RtmpPublication) => void;
}

/** A refusal that the sink answers with instead of accepting. */
export interface RtmpRefusal {
  /** The command that is refused. */
  readonly at: 'connect' | 'publish';
  /** E.g. `NetStream.Publish.BadName`. */
  readonly code: string;
  readonly description?: string;
  /** At `connect`: where the client shall go instead. */
  readonly redirect?: string;
}

/** One stream that a client publishes or has published. */
export class RtmpPublication {
  readonly app: string;
  readonly streamName: string;
  /** All keys of the `connect` command's object. */
  readonly connectObject: ReadonlyMap<string, Amf0Value>;
  /** Where it is recorded, where it is. */
  readonly filePath: string | undefined;
  /** In order of arrival; empty when the sink keeps none. */
  readonly tags: ReceivedTag[] = [];
  /** Names of the commands received, in order. */
  readonly commands: string[];
  /** Resolves when the connection is closed and the recording is on disk. */
  readonly ended: Promise<void>;
  tagCount = 0;
  byteCount = 0;
  /** The publisher said FCUnpublish or deleteStream before it left. */
  endedOrderly = false;
  readonly #file: WriteStream | undefined;
  #resolveEnded: () => void = () => {};

  constructor(parts: PublicationParts & { readonly filePath: string | undefined }) {
    this.app = parts.app;
    this.streamName = parts.streamName;
    this.connectObject = parts.connectObject;
    this.commands = parts.commands;
    this.filePath = parts.filePath;
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
    if (parts.filePath !== undefined) {
      this.#file = createWriteStream(parts.filePath);
      this.#file.write(formatFlvHeader({ hasAudio: true, hasVideo: true }));
    }
  }

  /** For the sink: one more tag. */
  take(tag: ReceivedTag, keep: boolean): void {
    this.tagCount++;
    this.byteCount += tag.body.length;
    if (keep) this.tags.push(tag);
    this.#file?.write(formatFlvTag(tag));
  }

  /** For the sink: the connection is gone. */
  end(): void {
    if (this.#file) this.#file.end(() => this.#resolveEnded());
    else this.#resolveEnded();
  }
}

/** A scriptable RTMP server on one port. */
export class RtmpSink {
  /** Every publication, in order of its beginning. */
  readonly publications: RtmpPublication[] = [];
  readonly #options: RtmpSinkOptions;
  readonly #connections = new Set<SinkConnection>();
  readonly #waiting: ((publication: RtmpPublication) => void)[] = [];
  #server: Server | undefined;
  #port = 0;
  #refusal: RtmpRefusal | undefined;
  #stalled = false;
  #deaf = false;
  #bytesPerSecond = Number.POSITIVE_INFINITY;
  #handedOut = 0;
  readonly #authenticator: SinkAuthenticator | undefined;

  private constructor(options: RtmpSinkOptions) {
    this.#options = options;
    this.#authenticator = options.auth && new SinkAuthenticator(options.auth);
  }

  /** Listens. Close it when done. */
  static async open(options: RtmpSinkOptions = {}): Promise<RtmpSink> {
    const sink = new RtmpSink(options);
    await sink.#listen(options.port ?? 0);
    return sink;
  }

  get port(): number {
    return this.#port;
  }

  /** `rtmp://host:port/live`, or `rtmps:`: any application is accepted. */
  get url(): string {
    const scheme = this.#options.tls ? 'rtmps' : 'rtmp';
    return `${scheme}://${this.#options.host ?? '127.0.0.1'}:${this.#port}/live`;
  }

  /** Clients that are connected now. */
  get connectionCount(): number {
    return this.#connections.size;
  }

  /** The next publication that was not handed out yet; waits for it. */
  nextPublication(): Promise<RtmpPublication> {
    const known = this.publications[this.#handedOut];
    this.#handedOut++;
    if (known) return Promise.resolve(known);
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }

  /** From now on refuses new clients so; `undefined` accepts them again. */
  refuse(refusal: RtmpRefusal | undefined): void {
    this.#refusal = refusal;
  }

  /** Reads nothing any more (SIGSTOP seen from outside) until `resume()`. */
  stall(): void {
    this.#stalled = true;
    for (const connection of this.#connections) connection.socket.pause();
  }

  /** Ends a stall. */
  resume(): void {
    this.#stalled = false;
    for (const connection of this.#connections) connection.socket.resume();
  }

  /** Takes every octet from now on, and heeds and says nothing more: alive for TCP, dead for RTMP. No FIN. */
  halfOpen(): void {
    this.#deaf = true;
    for (const connection of this.#connections) connection.goDeaf();
  }

  /** Reads at most so many octets a second from each client. `Infinity`: as fast as it can. */
  slow(bytesPerSecond: number): void {
    this.#bytesPerSecond = bytesPerSecond;
    for (const connection of this.#connections) connection.throttle(bytesPerSecond);
  }

  /** Resets every connection after half of a message. New ones are accepted. */
  async dieInMessage(): Promise<void> {
    await Promise.all([...this.#connections].map((connection) => connection.dieInMessage()));
  }

  /** Sends octets that are no RTMP, or anything else, to every client. */
  sendRaw(octets: Uint8Array): void {
    for (const connection of this.#connections) connection.writeRaw(octets);
  }

  /** A status to every client, e.g. `{ level: 'error', code: 'NetStream.Publish.BadName' }`. */
  sendStatus(information: Readonly<Record<string, Amf0Value>>): void {
    for (const connection of this.#connections) connection.sendStatus(information);
  }

  /** Asks every client to connect anew (Enhanced RTMP v2), to `tcUrl` where one is given. */
  requestReconnect(tcUrl?: string): void {
    const code = 'NetConnection.Connect.ReconnectRequest';
    this.sendStatus({ level: 'status', code, ...(tcUrl === undefined ? {} : { tcUrl }) });
  }

  /** Drops every connection with RST and stops listening (SIGKILL seen from outside). */
  async die(): Promise<void> {
    for (const connection of this.#connections) connection.socket.resetAndDestroy();
    await this.#stopListening();
  }

  /** Listens again, on the same port. */
  async comeBack(): Promise<void> {
    await this.#listen(this.#port);
  }

  /** Ends every connection and stops listening. Idempotent. */
  async close(): Promise<void> {
    for (const connection of this.#connections) connection.socket.destroy();
    await this.#stopListening();
    await Promise.all(this.publications.map((publication) => publication.ended));
  }

  async #listen(port: number): Promise<void> {
    const { tls } = this.#options;
    const server = tls
      ? createTlsServer(tls, (socket) => this.#accept(socket))
      : createServer((socket) => this.#accept(socket));
    server.on('tlsClientError', () => {}); // The client says what it did not like.
    server.listen(port, this.#options.host ?? '127.0.0.1');
    await once(server, 'listening');
    this.#server = server;
    this.#port = (server.address() as AddressInfo).port;
  }

  async #stopListening(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (!server) return;
    await new Promise((resolve) => server.close(resolve));
  }

  #accept(socket: Socket): void {
    const connection = new SinkConnection(socket, {
      options: this.#options,
      authenticator: this.#authenticator,
      refusal: () => this.#refusal,
      publish: (parts) => this.#publish(parts),
      onTag: (tag, publication) => {
        publication.take(tag, this.#options.keepTags ?? true);
        this.#options.onTag?.(tag, publication);
      },
    });
    this.#connections.add(connection);
    socket.on('close', () => this.#connections.delete(connection));
    if (this.#deaf) connection.goDeaf();
    connection.throttle(this.#bytesPerSecond);
    if (this.#stalled) socket.pause();
  }

  #publish(parts: PublicationParts): RtmpPublication {
    const { recordDir } = this.#options;
    const safeName = parts.streamName.replace(/[^A-Za-z0-9_-]/g, '_').slice(0, 64);
    const filePath =
      recordDir === undefined
        ? undefined
        : join(recordDir, `${safeName}-${this.publications.length}.flv`);
    const publication = new RtmpPublication({ ...parts, filePath });
    this.publications.push(publication);
    this.#options.onPublication?.(publication);
    this.#waiting.shift()?.(publication);
    return publication;
  }
}
