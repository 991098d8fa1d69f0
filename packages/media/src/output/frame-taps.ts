// Consumers that take frames of a stream instead of tags.

import type { AacFormat } from '../codec/aac.ts';
import type { AudioCodec } from '../codec/codec.ts';
import type { Sink, StreamAudio, StreamVideo, VideoFrame } from '../codec/frame.ts';

/** An audio frame for taps. */
interface Sound {
  readonly codec: AudioCodec | 'aac';
  readonly payload: Uint8Array;
  readonly durationMs: number;
  readonly format?: AacFormat;
}

/** Costs nothing without listeners. A tap that throws is removed; the stream and the other taps go on. */
export class FrameTaps {
  readonly #onFailed: (error: unknown) => void;
  #audio: readonly Sink<StreamAudio>[] = [];
  #video: readonly Sink<StreamVideo>[] = [];

  /** @param onFailed - A tap has thrown, and was removed. */
  constructor(onFailed: (error: unknown) => void) {
    this.#onFailed = onFailed;
  }

  /** @returns an idempotent function that removes the tap. */
  addAudio(sink: Sink<StreamAudio>): () => void {
    // A wrapper, so that the same sink can be added twice.
    const tap: Sink<StreamAudio> = (frame) => sink(frame);
    this.#audio = [...this.#audio, tap];
    return () => this.#remove(tap);
  }

  /** @returns an idempotent function that removes the tap. */
  addVideo(sink: Sink<StreamVideo>): () => void {
    const tap: Sink<StreamVideo> = (frame) => sink(frame);
    this.#video = [...this.#video, tap];
    return () => this.#remove(tap);
  }

  pushAudio({ codec, payload, durationMs, format }: Sound, timestampMs: number): void {
    if (this.#audio.length === 0) return;
    const frame = { codec, payload, durationMs, timestampMs, ...(format && { format }) };
    for (const tap of this.#audio) this.#give(tap, frame);
  }

  pushVideo(picture: VideoFrame, decodeMs: number, compositionMs: number): void {
    if (this.#video.length === 0) return;
    const { isKeyFrame } = picture;
    const times = { isKeyFrame, decodeMs, presentMs: decodeMs + compositionMs };
    const frame: StreamVideo =
      picture.codec === 'h264'
        ? { ...times, codec: 'h264', nalus: picture.nalus }
        : { ...times, codec: 'vp8', payload: picture.payload };
    for (const tap of this.#video) this.#give(tap, frame);
  }

  clear(): void {
    this.#audio = [];
    this.#video = [];
  }

  #give<Frame>(tap: Sink<Frame>, frame: Frame): void {
    try {
      tap(frame);
    } catch (error) {
      this.#remove(tap);
      this.#onFailed(error);
    }
  }

  #remove(tap: unknown): void {
    this.#audio = this.#audio.filter((one) => one !== tap);
    this.#video = this.#video.filter((one) => one !== tap);
  }
}
