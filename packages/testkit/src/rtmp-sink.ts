// An RTMP server for tests: takes publications, records them as FLV, and misbehaves on request.

import { createWriteStream } from 'node:fs';
import type { WriteStream } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import {
  amf0Object,
  ChunkReader,
  ChunkWriter,
  decodeAmf0,
  encodeAmf0,
  formatFlvHeader,
  formatFlvTag,
  HANDSHAKE_BYTES,
} from '@sipcast/media';
import type { Amf0Value, RtmpMessage } from '@sipcast/media';

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
  /** Acknowledge as the publisher's window asks. Default true; false is how Node-Media-Server behaves. */
  readonly acknowledge?: boolean;
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

  constructor(parts: {
    app: string;
    streamName: string;
    connectObject: ReadonlyMap<string, Amf0Value>;
    commands: string[];
    filePath: string | undefined;
  }) {
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
  readonly #connections = new Set<Connection>();
  readonly #waiting: ((publication: RtmpPublication) => void)[] = [];
  #server: Server | undefined;
  #port = 0;
  #refusal: RtmpRefusal | undefined;
  #stalled = false;
  #handedOut = 0;

  private constructor(options: RtmpSinkOptions) {
    this.#options = options;
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

  /** `rtmp://host:port/live`: any application is accepted. */
  get url(): string {
    return `rtmp://${this.#options.host ?? '127.0.0.1'}:${this.#port}/live`;
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
    const server = createServer((socket) => this.#accept(socket));
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
    const connection = new Connection(socket, {
      acknowledge: this.#options.acknowledge ?? true,
      refusal: () => this.#refusal,
      publish: (parts) => this.#publish(parts),
      onTag: (tag, publication) => {
        publication.take(tag, this.#options.keepTags ?? true);
        this.#options.onTag?.(tag, publication);
      },
    });
    this.#connections.add(connection);
    socket.on('close', () => this.#connections.delete(connection));
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

interface PublicationParts {
  app: string;
  streamName: string;
  connectObject: ReadonlyMap<string, Amf0Value>;
  commands: string[];
}

interface ConnectionOwner {
  acknowledge: boolean;
  refusal(): RtmpRefusal | undefined;
  publish(parts: PublicationParts): RtmpPublication;
  onTag(tag: ReceivedTag, publication: RtmpPublication): void;
}

const C1_END = 1 + 1536;
const COMMAND = 20;
const STREAM_ID = 1;

class Connection {
  readonly socket: Socket;
  readonly #owner: ConnectionOwner;
  readonly #reader: ChunkReader;
  readonly #writer = new ChunkWriter();
  readonly #commands: string[] = [];
  #handshake = Buffer.alloc(0);
  #handshakeDone = false;
  #received = 0;
  #acknowledged = 0;
  #windowBytes = Number.POSITIVE_INFINITY;
  #connectObject: ReadonlyMap<string, Amf0Value> = new Map();
  #publication: RtmpPublication | undefined;

  constructor(socket: Socket, owner: ConnectionOwner) {
    this.socket = socket;
    this.#owner = owner;
    this.#reader = new ChunkReader(16 * 1024 * 1024, {
      onMessage: (message) => this.#onMessage(message),
      onFault: () => socket.destroy(),
    });
    socket.setNoDelay(true);
    socket.on('data', (octets) => this.#onOctets(octets));
    socket.on('error', () => {}); // 'close' follows.
    socket.on('close', () => this.#publication?.end());
  }

  #onOctets(octets: Buffer): void {
    if (!this.#handshakeDone) return this.#onHandshake(octets);
    this.#received += octets.length;
    this.#reader.push(octets);
    if (!this.#owner.acknowledge || this.#received - this.#acknowledged < this.#windowBytes) return;
    this.#acknowledged = this.#received;
    this.#control(3, this.#received);
  }

  #onHandshake(octets: Buffer): void {
    const before = this.#handshake.length;
    this.#handshake = Buffer.concat([this.#handshake, octets]);
    if (before < C1_END && this.#handshake.length >= C1_END) {
      // S0, S1, and S2 as the echo of C1.
      this.socket.write(
        Buffer.concat([Buffer.from([3]), Buffer.alloc(1536), this.#handshake.subarray(1, C1_END)]),
      );
    }
    if (this.#handshake.length < HANDSHAKE_BYTES) return;
    this.#handshakeDone = true;
    const rest = this.#handshake.subarray(HANDSHAKE_BYTES);
    this.#handshake = Buffer.alloc(0);
    if (rest.length > 0) this.#onOctets(rest);
  }

  #onMessage(message: RtmpMessage): void {
    const { type, payload, timestampMs } = message;
    if (type === 5 && payload.length >= 4) {
      this.#windowBytes = Buffer.from(payload).readUInt32BE(0);
    } else if (type === COMMAND) {
      this.#onCommand(payload);
    } else if ((type === 8 || type === 9 || type === 18) && this.#publication) {
      const body = type === 18 ? withoutSetDataFrame(payload) : payload;
      this.#owner.onTag(
        { type, timestampMs, body, arrivalMs: performance.now() },
        this.#publication,
      );
    }
  }

  #onCommand(payload: Uint8Array): void {
    const values = decodeAmf0(payload);
    if (typeof values === 'string') return void this.socket.destroy();
    const [name, transaction, detail, argument] = values;
    this.#commands.push(textOf(name));
    if (name === 'connect') this.#onConnect(transaction, detail);
    else if (name === 'createStream') this.#command('_result', transaction, null, STREAM_ID);
    else if (name === 'publish') this.#onPublish(textOf(argument));
    else if (name === 'FCUnpublish' || name === 'deleteStream') {
      if (this.#publication) this.#publication.endedOrderly = true;
    }
  }

  #onConnect(transaction: Amf0Value, detail: Amf0Value): void {
    const refusal = this.#owner.refusal();
    if (refusal?.at === 'connect')
      return this.#command('_error', transaction, null, status('error', refusal));
    this.#connectObject = detail instanceof Map ? detail : new Map();
    this.#control(5, 5_000_000);
    const code = { code: 'NetConnection.Connect.Success', description: 'Connection succeeded.' };
    this.#command(
      '_result',
      transaction,
      amf0Object({ fmsVer: 'FMS/3,0,1,123' }),
      status('status', code),
    );
  }

  #onPublish(streamName: string): void {
    const refusal = this.#owner.refusal();
    if (refusal?.at === 'publish')
      return this.#command('onStatus', 0, null, status('error', refusal));
    this.#publication = this.#owner.publish({
      app: textOf(this.#connectObject.get('app')),
      streamName,
      connectObject: this.#connectObject,
      commands: this.#commands,
    });
    const code = {
      code: 'NetStream.Publish.Start',
      description: `${streamName} is now published.`,
    };
    this.#command('onStatus', 0, null, status('status', code));
  }

  #control(type: number, value: number): void {
    const payload = Buffer.alloc(4);
    payload.writeUInt32BE(value % 0x1_0000_0000);
    this.#write({ chunkStreamId: 2, type, streamId: 0, timestampMs: 0, payload });
  }

  #command(...values: Amf0Value[]): void {
    const payload = encodeAmf0(...values);
    this.#write({ chunkStreamId: 3, type: COMMAND, streamId: 0, timestampMs: 0, payload });
  }

  #write(message: RtmpMessage): void {
    const out: Uint8Array[] = [];
    this.#writer.write(message, out);
    this.socket.write(Buffer.concat(out));
  }
}

function textOf(value: Amf0Value): string {
  return typeof value === 'string' ? value : '';
}

function status(
  level: string,
  parts: { code: string; description?: string },
): Map<string, Amf0Value> {
  return amf0Object({ level, code: parts.code, description: parts.description ?? parts.code });
}

function withoutSetDataFrame(payload: Uint8Array): Uint8Array {
  const prefix = encodeAmf0('@setDataFrame');
  const starts = Buffer.compare(prefix, payload.subarray(0, prefix.length)) === 0;
  return starts ? payload.subarray(prefix.length) : payload;
}
