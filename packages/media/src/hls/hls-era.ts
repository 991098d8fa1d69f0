// Segments of media that do not change their form.

import type { FlvTag } from '../codec/frame.ts';
import { PacketMuxer } from '../mp4/packet-muxer.ts';
import type { Bunny } from '../mp4/packet-muxer.ts';

/** One media segment. */
export interface HlsSegment {
  readonly name: string;
  readonly durationS: number;
  /** Name of its initialization. */
  readonly init: string;
}

/** Options of an {@link HlsEra}. */
export interface HlsEraOptions {
  /** Begins the names of its files. */
  readonly prefix: string;
  readonly segmentMs: number;
  /** Bodies of the sequence headers; at least one. */
  readonly videoHeader?: Uint8Array;
  readonly audioHeader?: Uint8Array;
}

/** What an era reports. */
export interface HlsEraHandler {
  onInit(name: string, octets: Uint8Array): void;
  onSegment(segment: HlsSegment, octets: Uint8Array): void;
  onFailed(error: unknown): void;
}

/** Takes tags in order; never throws. */
export class HlsEra {
  readonly #options: HlsEraOptions;
  readonly #handler: HlsEraHandler;
  readonly #initName: string;
  readonly #muxer: PacketMuxer;
  /** The last segment that was written, until the playlist tells its duration. */
  #written: { readonly name: string; readonly octets: Uint8Array } | undefined;

  constructor(options: HlsEraOptions, handler: HlsEraHandler) {
    this.#options = options;
    this.#handler = handler;
    this.#initName = `init-${options.prefix}.mp4`;
    this.#muxer = new PacketMuxer(options, {
      open: (bunny) => this.#open(bunny),
      onFailed: (error) => handler.onFailed(error),
    });
  }

  push(tag: FlvTag): void {
    this.#muxer.push(tag);
  }

  /** Writes the last segment. Never rejects. */
  end(): Promise<void> {
    return this.#muxer.end();
  }

  #open(bunny: Bunny) {
    const { prefix, segmentMs } = this.#options;
    const format = new bunny.HlsOutputFormat({
      segmentFormat: new bunny.CmafOutputFormat(),
      targetDuration: segmentMs / 1000,
      live: true,
      maxLiveSegmentCount: 1,
      getInitPath: () => this.#initName,
      getSegmentPath: ({ n }) => `${prefix}-${n}.m4s`,
      onInit: (target) => this.#handler.onInit(this.#initName, octetsOf(target)),
      onSegment: (target, { n }) => {
        this.#written = { name: `${prefix}-${n}.m4s`, octets: octetsOf(target) };
      },
      onPlaylist: (playlist) => this.#onPlaylist(playlist),
    });
    const target = new bunny.PathedTarget('index.m3u8', () => new bunny.BufferTarget());
    return { format, target };
  }

  /** The only place that tells how long a segment is: `#EXTINF:2.04,` before its name. */
  #onPlaylist(playlist: string): void {
    const segment = this.#written;
    if (!segment) return;
    this.#written = undefined;
    const lines = playlist.split('\n');
    const at = lines.indexOf(segment.name);
    const durationS = Number(/^#EXTINF:([\d.]+)/.exec(lines[at - 1] ?? '')?.[1]);
    // The muxer fails with it.
    if (Number.isNaN(durationS)) throw new Error('a segment without a duration');
    const { name, octets } = segment;
    this.#handler.onSegment({ name, durationS, init: this.#initName }, octets);
  }
}

function octetsOf(target: object): Uint8Array {
  const { buffer } = target as { buffer: ArrayBuffer | null };
  return new Uint8Array(buffer ?? new ArrayBuffer(0));
}
