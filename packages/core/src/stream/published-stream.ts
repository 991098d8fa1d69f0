// A stream of one's own: the handle of whoever pushes frames into it.

import type { FrameStream, PictureTimes } from '@sipcast/media';
import { GatewayError } from '../errors.ts';
import { NamedStream } from './named-stream.ts';

/** Made by `gateway.streams.publish`; lives until `close()`, or until the gateway closes. */
export class PublishedStream {
  readonly name: string;
  /** The same as everybody finds it: outputs, figures, pushes. */
  readonly stream: NamedStream;
  readonly #source: FrameStream;
  readonly #onClosed: () => void;
  #closing: Promise<void> | undefined;

  /** @param onClosed - The name is free again. */
  constructor(name: string, source: FrameStream, onClosed: () => void) {
    this.name = name;
    this.stream = new NamedStream(name, null, source.stream);
    this.#source = source;
    this.#onClosed = onClosed;
    this.stream.goLive();
  }

  /**
   * One packet of sound: of G.711 and G.722 any length, of Opus and Speex one packet, of AAC one frame without ADTS header. At
   * the pace of the clock.
   *
   * @param payload - Kept: not to be changed afterwards.
   * @param timestampMs - Of its first sample, on a clock of your own that both media share. Must not decrease.
   * @throws GatewayError `INVALID_ARGUMENT`
   */
  pushAudio(payload: Uint8Array, timestampMs: number): void {
    this.#push(() => this.#source.pushAudio(payload, timestampMs));
  }

  /**
   * One picture in decoding order: H.264 in annex B, or as NAL units without start codes, with SPS and PPS in or before the
   * first key frame; VP8 as it is. At the pace of the clock.
   *
   * @param picture - Kept: not to be changed afterwards.
   * @param timestampMs - When it is shown, on the same clock.
   * @throws GatewayError `INVALID_ARGUMENT`
   */
  pushVideo(
    picture: Uint8Array | readonly Uint8Array[],
    timestampMs: number,
    times?: PictureTimes,
  ): void {
    this.#push(() => this.#source.pushVideo(picture, timestampMs, times));
  }

  /** Flushes and ends what is attached; what is pushed afterwards is left out. The name is free at once. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#onClosed();
    await this.stream.end();
    this.#source.close();
  }

  #push(push: () => void): void {
    if (this.#closing) return;
    try {
      push();
    } catch (cause) {
      const { code, field, message } = cause as { code?: string; field?: string; message: string };
      if (code !== 'INVALID_ARGUMENT') throw cause;
      throw new GatewayError('INVALID_ARGUMENT', message, {
        ...(field !== undefined && { field }),
        cause,
      });
    }
  }
}
