// The form in which an output wants a stream: what passes through, and what is encoded. Pure.

import type { AudioCodec, VideoCodec } from '../codec/codec.ts';
import type { RtmpCapabilities } from '../rtmp/capabilities.ts';

/** The form of a stream that an output wants. */
export interface OutputForm {
  /** AAC-LC; or G.711 and 16 kHz Speex as received, and AAC for the other codecs. */
  readonly audio: 'aac' | 'passthrough';
  /** H.264 as received, or everything re-encoded. VP8 becomes H.264, unless `enhanced` says otherwise. */
  readonly video: 'passthrough' | 'reencode';
  /**
   * Media that the output accepts in tags of Enhanced RTMP v2. They pass through: Opus even if `audio` is `aac`, VP8
   * unless `video` is `reencode`. Default: none.
   */
  readonly enhanced?: EnhancedMedia;
}

/** Media that only Enhanced RTMP can carry. */
export interface EnhancedMedia {
  readonly vp8: boolean;
  readonly opus: boolean;
}

/** FLV has sound formats for these; Speex is 16 kHz by definition (FLV 10.1 §E.4.2.1). */
const PASSABLE: ReadonlySet<AudioCodec> = new Set(['pcma', 'pcmu', 'speex-wb']);

/** Whether audio of this codec needs no encoder in this form. */
export function passesAudio(form: OutputForm, codec: AudioCodec | 'aac'): boolean {
  if (codec === 'aac') return true;
  if (codec === 'opus') return form.enhanced?.opus === true;
  return form.audio === 'passthrough' && PASSABLE.has(codec);
}

/** Whether video of this codec needs no encoder in this form. */
export function passesVideo(form: OutputForm, codec: VideoCodec): boolean {
  return form.video === 'passthrough' && (codec === 'h264' || form.enhanced?.vp8 === true);
}

/** Whether two forms result in the same tags. */
export function sameForm(one: OutputForm, other: OutputForm): boolean {
  return (
    one.audio === other.audio &&
    one.video === other.video &&
    (one.enhanced?.vp8 === true) === (other.enhanced?.vp8 === true) &&
    (one.enhanced?.opus === true) === (other.enhanced?.opus === true)
  );
}

/** The form for a server with these capabilities; the plain form if it has none. */
export function enhancedForm(
  form: OutputForm,
  { vp8, opus }: Partial<RtmpCapabilities>,
): OutputForm {
  const { audio, video } = form;
  if (vp8 !== true && opus !== true) return { audio, video };
  return { audio, video, enhanced: { vp8: vp8 === true, opus: opus === true } };
}
