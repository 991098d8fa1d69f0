// Transcoders by ffmpeg child processes, over pipes only: one binary, found and queried once, one child for each stream.

import { MediaError } from '../errors.ts';
import { findFfmpeg } from './binary.ts';
import type { FfmpegBinary, FfmpegWanted } from './binary.ts';
import { FfmpegAudioTranscoder } from './audio-transcoder.ts';
import { openFfmpegVideo } from './video-transcoder.ts';
import type { FfmpegVideoOptions } from './video-transcoder.ts';
import type { OpenAudioTranscoder, OpenVideoTranscoder } from './transcoder.ts';

/** Options of {@link openFfmpegTranscoders}. */
export interface FfmpegOptions extends Pick<FfmpegWanted, 'ffmpegPath'>, FfmpegVideoOptions {
  /** AAC bitrate, 16,000–320,000. Default 64,000. */
  readonly audioBitrateBps?: number;
  /** 44,100 (default) or 48,000. */
  readonly sampleRateHz?: 44_100 | 48_000;
}

/** A binary that was found and queried, and its transcoders. */
export interface FfmpegTranscoders extends FfmpegBinary {
  /** Opens one transcoder, that is, one child process at a time, for one call. */
  readonly openAudio: OpenAudioTranscoder;
  /** The same for video; undefined if the binary has no x264 or cannot decode VP8. */
  readonly openVideo: OpenVideoTranscoder | undefined;
}

/**
 * Finds ffmpeg (see {@link findFfmpeg}) and queries its version and its codecs.
 *
 * @throws MediaError (rejection) `INVALID_ARGUMENT` naming the option; `NO_TRANSCODER` when there is no ffmpeg, or none
 * with the required codecs.
 */
export async function openFfmpegTranscoders(
  options: FfmpegOptions = {},
): Promise<FfmpegTranscoders> {
  const { audioBitrateBps = 64_000, sampleRateHz = 44_100 } = options;
  if (
    !(Number.isInteger(audioBitrateBps) && audioBitrateBps >= 16_000 && audioBitrateBps <= 320_000)
  ) {
    throw new MediaError('INVALID_ARGUMENT', 'audioBitrateBps must be 16,000–320,000', {
      field: 'audioBitrateBps',
    });
  }
  if (sampleRateHz !== 44_100 && sampleRateHz !== 48_000) {
    throw new MediaError('INVALID_ARGUMENT', 'sampleRateHz must be 44,100 or 48,000', {
      field: 'sampleRateHz',
    });
  }
  const binary = await findFfmpeg(options);
  const openVideo = openFfmpegVideo(binary, options);
  const encoding = { bitrateBps: audioBitrateBps, sampleRateHz };
  return {
    ...binary,
    openAudio: (handler) => new FfmpegAudioTranscoder(binary, encoding, handler),
    openVideo,
  };
}
