// An RTMP or RTMPS server for tests: accepts publications, records them as FLV, and misbehaves on request.

import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import type { Amf0Value } from '@sipcast/media/wire';
import { SinkAuthenticator } from './rtmp-sink-auth.ts';
import { SinkConnection } from './rtmp-sink-connection.ts';
import { RtmpPublication } from './rtmp-publication.ts';
import type { PublicationParts } from './rtmp-publication.ts';
import type { RtmpRefusal, RtmpSinkOptions } from './rtmp-sink-options.ts';

/** A scriptable RTMP server on one port. */
export class RtmpSink {
  /** All publications, in order of their start. */
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

  /** Number of connected clients. */
  get connectionCount(): number {
    return this.#connections.size;
  }

  /** Resolves with the next publication not yet returned. */
  nextPublication(): Promise<RtmpPublication> {
    const known = this.publications[this.#handedOut];
    this.#handedOut++;
    if (known) return Promise.resolve(known);
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }

  /** Refuses new clients from now on; `undefined` accepts them again. */
  refuse(refusal: RtmpRefusal | undefined): void {
    this.#refusal = refusal;
  }

  /** Stops reading (like SIGSTOP, seen from outside) until `resume()`. */
  stall(): void {
    this.#stalled = true;
    for (const connection of this.#connections) connection.socket.pause();
  }

  /** Ends a stall. */
  resume(): void {
    this.#stalled = false;
    for (const connection of this.#connections) connection.socket.resume();
  }

  /** Reads every octet from now on, but ignores all and sends nothing: alive for TCP, dead for RTMP. No FIN. */
  halfOpen(): void {
    this.#deaf = true;
    for (const connection of this.#connections) connection.goDeaf();
  }

  /** Limits the octets per second read from each client. `Infinity`: no limit. */
  slow(bytesPerSecond: number): void {
    this.#bytesPerSecond = bytesPerSecond;
    for (const connection of this.#connections) connection.throttle(bytesPerSecond);
  }

  /** Resets every connection after half of a message. New ones are accepted. */
  async dieInMessage(): Promise<void> {
    await Promise.all([...this.#connections].map((connection) => connection.dieInMessage()));
  }

  /** Sends arbitrary octets to every client, e.g. invalid RTMP. */
  sendRaw(octets: Uint8Array): void {
    for (const connection of this.#connections) connection.writeRaw(octets);
  }

  /** Sends a status to every client, e.g. `{ level: 'error', code: 'NetStream.Publish.BadName' }`. */
  sendStatus(information: Readonly<Record<string, Amf0Value>>): void {
    for (const connection of this.#connections) connection.sendStatus(information);
  }

  /** Asks every client to reconnect (Enhanced RTMP v2), to `tcUrl` if given. */
  requestReconnect(tcUrl?: string): void {
    const code = 'NetConnection.Connect.ReconnectRequest';
    this.sendStatus({ level: 'status', code, ...(tcUrl === undefined ? {} : { tcUrl }) });
  }

  /** Resets every connection and stops listening (like SIGKILL, seen from outside). */
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
    server.on('tlsClientError', () => {}); // The client reports the problem.
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
