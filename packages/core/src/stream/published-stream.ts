// A stream whose frames the application supplies.

import type { PictureTimes } from '@sipcast/media';
import type { NamedStream } from './named-stream.ts';

/** Made by `gateway.streams.publish`; lives until `close()`, or until the gateway closes. */
export interface PublishedStream {
  readonly name: string;
  /** The stream as `streams.get` returns it: outputs, figures, pushes. */
  readonly stream: NamedStream;
  /**
   * Sends one packet of audio: G.711 and G.722 of any length, one packet of Opus or Speex, or one AAC frame without ADTS header.
   * Call it in real time.
   *
   * @param payload - Kept; do not change it afterwards.
   * @param timestampMs - Of the first sample, on a clock that audio and video share. Must not decrease.
   * @throws GatewayError `INVALID_ARGUMENT`
   */
  pushAudio(payload: Uint8Array, timestampMs: number): void;
  /**
   * Sends one picture in decoding order: H.264 in Annex B or as NAL units without start codes, with SPS and PPS in or before the
   * first key frame; or one VP8 frame. Call it in real time.
   *
   * @param picture - Kept; do not change it afterwards.
   * @param timestampMs - Presentation time, on the same clock.
   * @throws GatewayError `INVALID_ARGUMENT`
   */
  pushVideo(
    picture: Uint8Array | readonly Uint8Array[],
    timestampMs: number,
    times?: PictureTimes,
  ): void;
  /** Flushes and ends everything attached; later frames are dropped. The name is free at once. Idempotent. */
  close(): Promise<void>;
}
