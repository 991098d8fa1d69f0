// Packages a stream as HLS (RFC 8216): segments of fragmented MP4 that begin with a key frame, and a playlist of the newest.
// A change of size or codec begins a new sequence of segments behind EXT-X-DISCONTINUITY, with an initialization of its own.

import type { FlvTag } from '../codec/frame.ts';
import type { Output } from '../output/output.ts';
import { TrackStart } from '../flv/track-start.ts';
import { HlsEra } from './hls-era.ts';
import type { HlsSegment } from './hls-era.ts';

/** Options of an {@link HlsPackager}. */
export interface HlsPackagerOptions {
  /** Least duration of a segment with pictures: it ends with the next key frame. Default 2,000 ms. */
  readonly segmentMs?: number;
  /** Segments of the playlist. Default 6. */
  readonly windowSegments?: number;
}

/** What a packager reports. */
export interface HlsPackagerHandler {
  /** There is a new segment: the playlist has changed. */
  onSegment?(): void;
  /** It cannot go on. Once. */
  onFailed(error: unknown): void;
}

/** One file of the stream. */
export interface HlsFile {
  readonly contentType: string;
  readonly octets: Uint8Array;
}

/** Segments that have left the playlist stay for clients that read it before (RFC 8216 §6.2.2). */
const KEPT_SEGMENTS = 3;
const MP4 = 'video/mp4';

/** An output. `playlist` and `file` give what clients ask for. */
export class HlsPackager implements Output {
  readonly #segmentMs: number;
  readonly #window: number;
  readonly #handler: HlsPackagerHandler;
  readonly #files = new Map<string, Uint8Array>();
  #segments: HlsSegment[] = [];
  /** Number of the first segment of the playlist, and of the discontinuities before it. */
  #sequence = 0;
  #discontinuities = 0;
  #targetS: number;
  #era: HlsEra | undefined;
  #eras = 0;
  #ended = false;
  #failed = false;
  readonly #start = new TrackStart();
  #firstWaiters: (() => void)[] = [];

  constructor(options: HlsPackagerOptions, handler: HlsPackagerHandler) {
    this.#segmentMs = options.segmentMs ?? 2000;
    this.#window = options.windowSegments ?? 6;
    this.#targetS = Math.ceil(this.#segmentMs / 1000);
    this.#handler = handler;
  }

  /** There is at least one segment. */
  get isReady(): boolean {
    return this.#segments.length > 0;
  }

  /** Resolves when there is a segment, or none will come. */
  ready(): Promise<void> {
    if (this.isReady || this.#ended || this.#failed) return Promise.resolve();
    return new Promise((resolve) => {
      this.#firstWaiters.push(resolve);
    });
  }

  /**
   * The media playlist.
   * @param query - Appended to the addresses of segments, with its question mark.
   */
  playlist(query = ''): string {
    const lines = [
      '#EXTM3U',
      '#EXT-X-VERSION:7',
      `#EXT-X-TARGETDURATION:${this.#targetS}`,
      `#EXT-X-MEDIA-SEQUENCE:${this.#sequence}`,
      `#EXT-X-DISCONTINUITY-SEQUENCE:${this.#discontinuities}`,
      '#EXT-X-INDEPENDENT-SEGMENTS',
    ];
    let era: string | undefined;
    for (const { name, durationS, init } of this.#segments) {
      if (init !== era) {
        if (era !== undefined) lines.push('#EXT-X-DISCONTINUITY');
        lines.push(`#EXT-X-MAP:URI="${init}${query}"`);
        era = init;
      }
      lines.push(`#EXTINF:${durationS.toFixed(3)},`, `${name}${query}`);
    }
    if (this.#ended) lines.push('#EXT-X-ENDLIST');
    return `${lines.join('\n')}\n`;
  }

  /** An initialization or a segment by its name. */
  file(name: string): HlsFile | undefined {
    const octets = this.#files.get(name);
    return octets && { contentType: MP4, octets };
  }

  push(tag: FlvTag): void {
    if (this.#failed || this.#ended) return;
    if (tag.role === 'metadata' || tag.role === 'sequence-header') this.#describe(tag);
    else if (this.#era) this.#era.push(tag);
    else this.#begin(this.#start.hold(tag));
  }

  async onEnded(): Promise<void> {
    await this.#era?.end();
    this.#era = undefined;
    this.#ended = true;
    this.#settle();
  }

  /** Media of another form have other segments. What is on its way in the former still arrives. */
  #describe(tag: FlvTag): void {
    if (!this.#start.describe(tag)) return;
    void this.#era?.end();
    this.#era = undefined;
  }

  #begin(tags: readonly FlvTag[]): void {
    if (tags.length === 0) return;
    const { videoHeader, audioHeader } = this.#start;
    const prefix = `${this.#eras++}`;
    this.#era = new HlsEra(
      {
        prefix,
        segmentMs: this.#segmentMs,
        ...(videoHeader && { videoHeader: videoHeader.body }),
        ...(audioHeader && { audioHeader: audioHeader.body }),
      },
      {
        onInit: (name, octets) => this.#files.set(name, octets),
        onSegment: (segment, octets) => this.#add(segment, octets),
        onFailed: (error) => this.#fail(error),
      },
    );
    for (const tag of tags) this.#era.push(tag);
  }

  #add(segment: HlsSegment, octets: Uint8Array): void {
    this.#files.set(segment.name, octets);
    this.#segments.push(segment);
    // RFC 8216 §4.3.3.1: no segment may be longer, rounded; and it must not change, so it only grows.
    this.#targetS = Math.max(this.#targetS, Math.round(segment.durationS));
    while (this.#segments.length > this.#window) this.#drop();
    this.#settle();
    this.#handler.onSegment?.();
  }

  #drop(): void {
    const [dropped, next] = this.#segments;
    if (!dropped) return;
    this.#segments.shift();
    this.#sequence++;
    if (next && next.init !== dropped.init) this.#discontinuities++;
    const listed = new Set(this.#segments.flatMap(({ name, init }) => [name, init]));
    const old = [...this.#files.keys()].filter((name) => !listed.has(name));
    for (const name of old.slice(0, Math.max(0, old.length - KEPT_SEGMENTS)))
      this.#files.delete(name);
  }

  #fail(error: unknown): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#settle();
    this.#handler.onFailed(error);
  }

  #settle(): void {
    for (const resolve of this.#firstWaiters.splice(0)) resolve();
  }
}
