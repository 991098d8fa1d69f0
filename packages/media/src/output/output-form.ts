// In which form an output wants a stream: what passes as it comes, and what is encoded. Pure.

import type { AudioCodec, VideoCodec } from '../codec/codec.ts';
import type { RtmpCapabilities } from '../rtmp/capabilities.ts';

/** What an output wants of a stream. */
export interface OutputForm {
  /** AAC-LC; or G.711 and 16 kHz Speex as they come, and AAC of the other codecs. */
  readonly audio: 'aac' | 'passthrough';
  /** H.264 as it comes, or everything encoded anew. VP8 becomes H.264, unless `enhanced` says otherwise. */
  readonly video: 'passthrough' | 'reencode';
  /**
   * What the output takes in the tags of Enhanced RTMP v2: that passes as it comes, Opus also where `audio` is `aac`, VP8
   * unless `video` is `reencode`. Default: nothing.
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

/** Whether audio of this codec goes out in this form without an encoder. */
export function passesAudio(form: OutputForm, codec: AudioCodec | 'aac'): boolean {
  if (codec === 'aac') return true;
  if (codec === 'opus') return form.enhanced?.opus === true;
  return form.audio === 'passthrough' && PASSABLE.has(codec);
}

/** Whether video of this codec goes out in this form without an encoder. */
export function passesVideo(form: OutputForm, codec: VideoCodec): boolean {
  return form.video === 'passthrough' && (codec === 'h264' || form.enhanced?.vp8 === true);
}

/** Whether the two forms give the same tags. */
export function sameForm(one: OutputForm, other: OutputForm): boolean {
  return (
    one.audio === other.audio &&
    one.video === other.video &&
    (one.enhanced?.vp8 === true) === (other.enhanced?.vp8 === true) &&
    (one.enhanced?.opus === true) === (other.enhanced?.opus === true)
  );
}

/** The form for a server that takes this; for one that takes nothing of it, the plain form. */
export function enhancedForm(
  form: OutputForm,
  { vp8, opus }: Partial<RtmpCapabilities>,
): OutputForm {
  const { audio, video } = form;
  if (vp8 !== true && opus !== true) return { audio, video };
  return { audio, video, enhanced: { vp8: vp8 === true, opus: opus === true } };
}
