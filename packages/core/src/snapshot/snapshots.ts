// Pictures of named streams. Thumbnails of many viewers cost one encoder run a second and stream.

import { takeSnapshot } from '@sipcast/media';
import type { FfmpegBinary } from '@sipcast/media';
import { GatewayError } from '../errors.ts';
import type { GatewayStream } from '../stream/gateway-stream.ts';

/** Image formats. */
export type SnapshotFormat = 'png' | 'jpeg';

/** An image of a stream. */
export interface Snapshot {
  readonly format: SnapshotFormat;
  readonly data: Buffer;
}

/** What {@link Snapshots} needs. */
export interface SnapshotsDeps {
  readonly ffmpeg: () => FfmpegBinary | undefined;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

interface Made {
  readonly image: Promise<Buffer>;
  readonly atMs: number;
}

/** An image is shown again for this long. */
const MIN_AGE_MS = 1000;
/** Wait for a key frame this long if the latest is older than `MIN_AGE_MS`. */
const KEY_FRAME_WAIT_MS = 700;
const MAX_RUNNING = 2;
/** Requests that wait for a place; more are refused. */
const MAX_WAITING = 64;

/** Makes the images of a gateway's streams. */
export class Snapshots {
  readonly #deps: SnapshotsDeps;
  readonly #made: Record<SnapshotFormat, WeakMap<GatewayStream, Made>> = {
    png: new WeakMap(),
    jpeg: new WeakMap(),
  };
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(deps: SnapshotsDeps) {
    this.#deps = deps;
  }

  /**
   * The newest key frame of a stream as an image, at most a second old where the peer sends key frames on request.
   *
   * @throws GatewayError (rejection) `NO_PICTURE` before the first key frame; `NOT_IMPLEMENTED` without ffmpeg;
   * `TRANSCODERS_BUSY` when too many wait.
   */
  async take(stream: GatewayStream, format: SnapshotFormat): Promise<Snapshot> {
    const made = this.#made[format].get(stream);
    if (made && this.#deps.now() - made.atMs < MIN_AGE_MS)
      return { format, data: await made.image };
    const next: Made = { image: this.#make(stream, format), atMs: this.#deps.now() };
    this.#made[format].set(stream, next);
    try {
      return { format, data: await next.image };
    } catch (error) {
      if (this.#made[format].get(stream) === next) this.#made[format].delete(stream);
      throw error;
    }
  }

  async #make(stream: GatewayStream, format: SnapshotFormat): Promise<Buffer> {
    const ffmpeg = this.#deps.ffmpeg();
    if (!ffmpeg)
      throw new GatewayError('NOT_IMPLEMENTED', 'Snapshots need ffmpeg, and transcoding is off');
    await this.#freshPicture(stream);
    const picture = stream.stillPicture;
    if (!picture) throw new GatewayError('NO_PICTURE', 'The stream has no picture yet');
    await this.#place();
    try {
      return await takeSnapshot({ ffmpegPath: ffmpeg.path, picture, format });
    } catch (cause) {
      throw new GatewayError('NO_PICTURE', 'The picture does not decode', { cause });
    } finally {
      this.#running--;
      this.#waiting.shift()?.();
    }
  }

  /** Asks for a key frame and waits a little for it. A peer may send none, and then the latest has to do. */
  async #freshPicture(stream: GatewayStream): Promise<void> {
    const picture = stream.stillPicture;
    const isFresh = picture && this.#deps.now() - picture.arrivalMs < MIN_AGE_MS;
    if (isFresh || !stream.live) return;
    let stop = (): void => {};
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      timer = setTimeout(resolve, KEY_FRAME_WAIT_MS);
      stop = stream.tapVideo(() => resolve());
    });
    clearTimeout(timer);
    stop();
  }

  async #place(): Promise<void> {
    if (this.#running >= MAX_RUNNING) {
      if (this.#waiting.length >= MAX_WAITING)
        throw new GatewayError('TRANSCODERS_BUSY', 'Too many snapshots are wanted at once');
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
    }
    this.#running++;
  }
}
