// Takes the frames of an application into a stream.

import type { FrameStream, PictureTimes } from '@sipcast/media';
import { GatewayError } from '../errors.ts';
import { GatewayStream } from './gateway-stream.ts';
import type { PublishedStream } from './published-stream.ts';

/** What a publication reports. */
export interface FramePublicationHandler {
  /** An output was removed. */
  onOutputFailed(error: unknown): void;
  /** The name is free again. */
  onClosed(): void;
}

/** A published stream as the gateway drives it. */
export class FramePublication implements PublishedStream {
  readonly name: string;
  readonly stream: GatewayStream;
  readonly #source: FrameStream;
  readonly #handler: FramePublicationHandler;
  #closing: Promise<void> | undefined;

  constructor(name: string, source: FrameStream, handler: FramePublicationHandler) {
    this.name = name;
    this.stream = new GatewayStream(name, { callId: null }, source.stream, (error) =>
      handler.onOutputFailed(error),
    );
    this.#source = source;
    this.#handler = handler;
    this.stream.goLive();
  }

  pushAudio(payload: Uint8Array, timestampMs: number): void {
    this.#push(() => this.#source.pushAudio(payload, timestampMs));
  }

  pushVideo(
    picture: Uint8Array | readonly Uint8Array[],
    timestampMs: number,
    times?: PictureTimes,
  ): void {
    this.#push(() => this.#source.pushVideo(picture, timestampMs, times));
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#handler.onClosed();
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
