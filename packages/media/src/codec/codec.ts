// The codecs that can be received, and what an rtpmap says of each.

/** Audio codecs that can be received. `speex-nb` is 8 kHz Speex, `speex-wb` 16 kHz. */
export type AudioCodec = 'pcma' | 'pcmu' | 'g722' | 'opus' | 'speex-nb' | 'speex-wb';

/** The two forms of G.711. */
export type G711Codec = Extract<AudioCodec, 'pcma' | 'pcmu'>;

/** Video codecs that can be received. */
export type VideoCodec = 'h264' | 'vp8';

/** Facts about an audio codec. */
export interface AudioCodecFacts {
  /** Name in `a=rtpmap`, case-insensitive. */
  readonly encodingName: string;
  /** RTP clock. G.722 has 8000, an error of RFC 1890 that RFC 3551 §4.5.2 keeps. */
  readonly clockRateHz: number;
  /** Sampling rate of the sound itself. */
  readonly sampleRateHz: number;
  /** Static payload type (RFC 3551 §6), where there is one. */
  readonly staticPayloadType?: number;
  /** Third part of `a=rtpmap`; Opus always has 2 (RFC 7587 §7). Default 1. */
  readonly channels?: number;
}

/** Every audio codec. */
export const AUDIO_CODECS: Readonly<Record<AudioCodec, AudioCodecFacts>> = {
  pcma: { encodingName: 'PCMA', clockRateHz: 8000, sampleRateHz: 8000, staticPayloadType: 8 },
  pcmu: { encodingName: 'PCMU', clockRateHz: 8000, sampleRateHz: 8000, staticPayloadType: 0 },
  g722: { encodingName: 'G722', clockRateHz: 8000, sampleRateHz: 16_000, staticPayloadType: 9 },
  opus: { encodingName: 'opus', clockRateHz: 48_000, sampleRateHz: 48_000, channels: 2 },
  'speex-nb': { encodingName: 'speex', clockRateHz: 8000, sampleRateHz: 8000 },
  'speex-wb': { encodingName: 'speex', clockRateHz: 16_000, sampleRateHz: 16_000 },
};

/** RTP clock of all video (RFC 3551 §5). */
export const VIDEO_CLOCK_RATE_HZ = 90_000;
