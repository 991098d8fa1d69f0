// One client's connection to the RTMP sink: the server side of handshake, commands and acknowledgements.

import type { Socket } from 'node:net';
import {
  amf0Object,
  ChunkReader,
  ChunkWriter,
  decodeAmf0,
  encodeAmf0,
  findHandshakeDigest,
  HANDSHAKE_BYTES,
  handshakeSignature,
  signHandshakePacket,
} from '@sipcast/media/wire';
import type { Amf0Value, ChunkMessage } from '@sipcast/media/wire';
import type { SinkAuthenticator } from './rtmp-sink-auth.ts';
import type { PublicationParts, ReceivedTag, RtmpPublication } from './rtmp-publication.ts';
import type { RtmpRefusal, RtmpSinkOptions } from './rtmp-sink-options.ts';

/** The dependencies of a connection. */
export interface SinkConnectionDeps {
  readonly options: RtmpSinkOptions;
  readonly authenticator: SinkAuthenticator | undefined;
  refusal(): RtmpRefusal | undefined;
  publish(parts: PublicationParts): RtmpPublication;
  onTag(tag: ReceivedTag, publication: RtmpPublication): void;
}

const PACKET_BYTES = 1536;
const C1_END = 1 + PACKET_BYTES;
const COMMAND = 20;
const STREAM_ID = 1;

/** One client's connection. */
export class SinkConnection {
  readonly socket: Socket;
  readonly #deps: SinkConnectionDeps;
  readonly #reader: ChunkReader;
  readonly #writer = new ChunkWriter();
  readonly #commands: string[] = [];
  #handshake = Buffer.alloc(0);
  #serverDigest: Buffer | undefined;
  #handshakeDone = false;
  #received = 0;
  #acknowledged = 0;
  #windowBytes = Number.POSITIVE_INFINITY;
  #bytesPerSecond = Number.POSITIVE_INFINITY;
  #paused: NodeJS.Timeout | undefined;
  #deaf = false;
  #streams = 0;
  #connectObject: ReadonlyMap<string, Amf0Value> = new Map();
  #publication: RtmpPublication | undefined;

  constructor(socket: Socket, deps: SinkConnectionDeps) {
    this.socket = socket;
    this.#deps = deps;
    this.#reader = new ChunkReader(16 * 1024 * 1024, {
      onMessage: (message) => this.#onMessage(message),
      onFault: () => socket.destroy(),
    });
    socket.setNoDelay(true);
    socket.on('data', (octets) => this.#onOctets(octets));
    socket.on('error', () => {}); // 'close' follows.
    socket.on('close', () => {
      clearTimeout(this.#paused);
      this.#publication?.end();
    });
  }

  /** Limits the read rate. */
  throttle(bytesPerSecond: number): void {
    this.#bytesPerSecond = bytesPerSecond;
  }

  /** Reads every octet from now on, but ignores all and sends nothing. */
  goDeaf(): void {
    this.#deaf = true;
  }

  /** Sends arbitrary octets. */
  writeRaw(octets: Uint8Array): void {
    this.socket.write(octets);
  }

  /** Sends a status of the connection or of its stream. */
  sendStatus(information: Readonly<Record<string, Amf0Value>>): void {
    this.#command('onStatus', 0, null, amf0Object(information));
  }

  /** Sends half of a message, then resets the connection. */
  async dieInMessage(): Promise<void> {
    const payload = encodeAmf0('onStatus', 0, null, amf0Object({ level: 'status', code: 'x' }));
    const out: Uint8Array[] = [];
    this.#writer.write(
      { chunkStreamId: 3, type: COMMAND, streamId: 0, timestampMs: 0, payload },
      out,
    );
    const whole = Buffer.concat(out);
    await new Promise((resolve) => {
      this.socket.write(whole.subarray(0, whole.length / 2), resolve);
    });
    this.socket.resetAndDestroy();
  }

  #onOctets(octets: Buffer): void {
    if (this.#deaf) return;
    if (this.#bytesPerSecond !== Number.POSITIVE_INFINITY) {
      this.socket.pause();
      clearTimeout(this.#paused);
      const waitMs = (octets.length / this.#bytesPerSecond) * 1000;
      this.#paused = setTimeout(() => this.socket.resume(), waitMs);
    }
    if (!this.#handshakeDone) return this.#onHandshake(octets);
    this.#received += octets.length;
    this.#reader.push(octets);
    const { acknowledge = true } = this.#deps.options;
    if (!acknowledge || this.#received - this.#acknowledged < this.#windowBytes) return;
    this.#acknowledged = this.#received;
    this.#control(3, this.#received);
  }

  #onHandshake(octets: Buffer): void {
    const before = this.#handshake.length;
    this.#handshake = Buffer.concat([this.#handshake, octets]);
    if (before < C1_END && this.#handshake.length >= C1_END) {
      const answer = this.#answerHandshake(this.#handshake.subarray(1, C1_END));
      if (!answer) return void this.socket.destroy();
      this.socket.write(Buffer.concat([Buffer.from([3]), ...answer]));
    }
    if (this.#handshake.length < HANDSHAKE_BYTES) return;
    const c2 = this.#handshake.subarray(C1_END, HANDSHAKE_BYTES);
    const digest = this.#serverDigest;
    if (digest && !c2.subarray(-32).equals(handshakeSignature(c2, digest, 'player')))
      return void this.socket.destroy();
    this.#handshakeDone = true;
    const rest = this.#handshake.subarray(HANDSHAKE_BYTES);
    this.#handshake = Buffer.alloc(0);
    if (rest.length > 0) this.#onOctets(rest);
  }

  /** S1 and S2: an echo of C1 in the plain handshake, signed with the digest. `undefined`: the client is refused. */
  #answerHandshake(c1: Buffer): [Buffer, Buffer] | undefined {
    const plain: [Buffer, Buffer] = [Buffer.alloc(PACKET_BYTES), c1];
    if (this.#deps.options.handshake !== 'digest') return plain;
    const digest = findHandshakeDigest(c1, 'player');
    if (!digest) return undefined;
    const s1 = Buffer.alloc(PACKET_BYTES, 1);
    s1.set([0, 0, 0, 0, 3, 5, 1, 1]);
    signHandshakePacket(s1, 'server');
    this.#serverDigest = findHandshakeDigest(s1, 'server');
    const s2 = Buffer.alloc(PACKET_BYTES, 2);
    s2.set(handshakeSignature(s2, digest, 'server'), PACKET_BYTES - 32);
    return [s1, s2];
  }

  #onMessage(message: ChunkMessage): void {
    const { type, payload, timestampMs } = message;
    const bytes = Buffer.from(payload);
    if (type === 5 && bytes.length >= 4) {
      this.#windowBytes = bytes.readUInt32BE(0);
    } else if (type === 4 && bytes.length >= 6 && bytes.readUInt16BE(0) === 6) {
      if (this.#deps.options.answerPings === false) return;
      bytes.writeUInt16BE(7, 0);
      this.#write({ chunkStreamId: 2, type: 4, streamId: 0, timestampMs: 0, payload: bytes });
    } else if (type === COMMAND) {
      this.#onCommand(payload);
    } else if ((type === 8 || type === 9 || type === 18) && this.#publication) {
      const body = type === 18 ? withoutSetDataFrame(payload) : payload;
      this.#deps.onTag(
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
    else if (name === 'createStream') this.#onCreateStream(transaction);
    else if (name === 'publish') this.#onPublish(textOf(argument));
    else if (name === 'FCUnpublish' || name === 'deleteStream') {
      if (this.#publication) this.#publication.endedOrderly = true;
    }
  }

  #onCreateStream(transaction: Amf0Value): void {
    if (this.#publication && this.#deps.options.answerCreateStream === false) return;
    this.#command('_result', transaction, null, STREAM_ID + this.#streams++);
  }

  #onConnect(transaction: Amf0Value, detail: Amf0Value): void {
    this.#connectObject = detail instanceof Map ? (detail as Map<string, Amf0Value>) : new Map();
    const refusal = this.#deps.refusal();
    if (refusal?.at === 'connect') return this.#refuse(transaction, refusal);
    const allowed = this.#deps.authenticator?.check(textOf(this.#connectObject.get('app'))) ?? true;
    if (allowed !== true) {
      const code = 'NetConnection.Connect.Rejected';
      return this.#refuse(transaction, { at: 'connect', code, description: allowed });
    }
    this.#control(5, 5_000_000);
    const code = { code: 'NetConnection.Connect.Success', description: 'Connection succeeded.' };
    this.#command(
      '_result',
      transaction,
      amf0Object({ fmsVer: 'FMS/3,0,1,123', ...this.#capabilities() }),
      status('status', code),
    );
  }

  #refuse(transaction: Amf0Value, refusal: RtmpRefusal): void {
    const information = status('error', refusal);
    const { redirect } = refusal;
    if (redirect !== undefined) information.set('ex', amf0Object({ code: 302, redirect }));
    this.#command('_error', transaction, null, information);
    this.#command('close', 0, null);
    this.socket.end();
  }

  #capabilities(): Record<string, Amf0Value> {
    const { enhanced } = this.#deps.options;
    if (!enhanced) return {};
    const map = (fourCcs: readonly string[]): Map<string, Amf0Value> =>
      amf0Object(Object.fromEntries(fourCcs.map((fourCc) => [fourCc, 0x05])));
    return {
      videoFourCcInfoMap: map(enhanced.video ?? []),
      audioFourCcInfoMap: map(enhanced.audio ?? []),
      capsEx: enhanced.reconnect === true ? 1 : 0,
    };
  }

  #onPublish(streamName: string): void {
    const refusal = this.#deps.refusal();
    if (refusal?.at === 'publish')
      return this.#command('onStatus', 0, null, status('error', refusal));
    this.#publication = this.#deps.publish({
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

  #write(message: ChunkMessage): void {
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
