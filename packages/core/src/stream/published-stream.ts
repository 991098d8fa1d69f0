// A stream of an application's own: the handle through which it pushes frames.

import type { PictureTimes } from '@sipcast/media';
import type { NamedStream } from './named-stream.ts';

/** Made by `gateway.streams.publish`; lives until `close()`, or until the gateway closes. */
export interface PublishedStream {
  readonly name: string;
  /** The same as everybody finds it: outputs, figures, pushes. */
  readonly stream: NamedStream;
  /**
   * One packet of sound: of G.711 and G.722 any length, of Opus and Speex one packet, of AAC one frame without ADTS header. At
   * the pace of the clock.
   *
   * @param payload - Kept: not to be changed afterwards.
   * @param timestampMs - Of its first sample, on a clock of your own that both media share. Must not decrease.
   * @throws GatewayError `INVALID_ARGUMENT`
   */
  pushAudio(payload: Uint8Array, timestampMs: number): void;
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
  ): void;
  /** Flushes and ends what is attached; what is pushed afterwards is left out. The name is free at once. Idempotent. */
  close(): Promise<void>;
}
