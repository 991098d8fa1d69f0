// Frames to FLV tags (Adobe FLV 10.1, annex E).

import type { AacFormat } from '../codec/aac.ts';
import { amf0Object, EcmaArray, encodeAmf0 } from './amf0.ts';
import type { Amf0Value } from './amf0.ts';
import { SOUND_FORMAT } from './audio-tag.ts';
import type { FlvAudioCodec } from './audio-tag.ts';
import {
  ENHANCED_CODEC_ID,
  enhancedOpusHeader,
  enhancedOpusTag,
  enhancedVp8Header,
  enhancedVp8Tag,
} from './enhanced-tags.ts';
import { NAL_HEADROOM_BYTES } from '../codec/frame.ts';
import type { AudioCodec, VideoCodec } from '../codec/codec.ts';
import type { AudioFrame, FlvTag, H264Picture, Sink, Vp8Frame } from '../codec/frame.ts';
import {
  encodeAvcConfiguration,
  isPictureNal,
  NAL_TYPE,
  nalType,
  parseSps,
} from '../codec/h264.ts';
import { parseVp8FrameTag } from '../codec/vp8.ts';

/** What a stream carries: known before its first frame. */
export interface FlvMuxerOptions {
  /** The audio codec of the stream, or `null` for one without audio. */
  readonly audioCodec: FlvAudioCodec | null;
  readonly hasVideo: boolean;
  /** Of the video. Default `h264`; VP8 goes into tags of Enhanced RTMP. */
  readonly videoCodec?: VideoCodec;
  /** `encoder` of the metadata. Default `sipcast`. */
  readonly encoderName?: string;
}

/** What is known about a stream's video, from its sequence parameter set or the header of a VP8 key frame. */
export interface VideoFormat {
  /** Cropped size in pixels. */
  readonly width: number;
  readonly height: number;
  /** H.264: `profile_idc`, `constraint flags` and `level_idc`, as six hexadecimal digits. */
  readonly profileLevelId?: string;
}

/** Access unit delimiter, end of sequence, end of stream, filler: FLV frames access units itself. */
const NAL_TYPES_LEFT_OUT = new Set([9, 10, 11, 12]);
const VIDEO_CODEC_AVC = 7;
const MAX_COMPOSITION_MS = 0x7fffff;
/** Longer ones are garbage; real ones stay below 200 octets. */
const MAX_PARAMETER_SET_BYTES = 4096;
/** Limit for each kind; the record has room for 31 SPS, and real streams have one. */
const MAX_PARAMETER_SETS = 31;
const SOUND_FORMAT_OF: Readonly<Partial<Record<AudioCodec, number>>> = SOUND_FORMAT;
/** `audiocodecid` of the metadata. */
const AUDIO_CODEC_ID: Readonly<Record<FlvAudioCodec, number>> = {
  ...SOUND_FORMAT,
  opus: ENHANCED_CODEC_ID.opus,
};
const SAMPLE_RATE_HZ: Readonly<Record<Exclude<FlvAudioCodec, 'aac'>, number>> = {
  pcma: 8000,
  pcmu: 8000,
  'speex-wb': 16_000,
  opus: 48_000,
};
/** AAC is always marked as 44 kHz stereo: its own configuration has the real values (FLV 10.1 §E.4.2.1). */
const AAC_HEAD = 0xaf;
const SOUND_SIZE_16_BIT = 0x02;

/**
 * Turns frames into tags, and keeps the headers for outputs that join later. The metadata comes before the
 * first tag and again when the video's format changes; a sequence header comes only when the parameter sets
 * change, right before the IDR that uses them.
 */
export class FlvMuxer {
  #options: FlvMuxerOptions;
  readonly #sink: Sink<FlvTag>;
  /** In order of arrival, one for each id. */
  #sps: Uint8Array[] = [];
  #pps: Uint8Array[] = [];
  #parameterSetsChanged = false;
  /** The sets in the current sequence header. */
  #inHeader: readonly Uint8Array[] = [];
  #video: VideoFormat | undefined;
  #metadata: FlvTag | undefined;
  #metadataIsStale = false;
  #sequenceHeader: FlvTag | undefined;
  /** Of AAC or Opus. */
  #audioHeader: FlvTag | undefined;
  #aacFormat: AacFormat | undefined;
  #framesWithoutParameterSets = 0;
  /** Latest stream time of the audio. */
  #audioMs = 0;

  constructor(options: FlvMuxerOptions, sink: Sink<FlvTag>) {
    this.#options = options;
    this.#sink = sink;
  }

  /** Metadata and sequence header, as they are now. Empty before the first frame. */
  get preamble(): readonly FlvTag[] {
    const tags: FlvTag[] = [];
    if (this.#metadata) tags.push(this.#metadata);
    if (this.#sequenceHeader) tags.push(this.#sequenceHeader);
    if (this.#audioHeader) tags.push(this.#audioHeader);
    return tags;
  }

  /** Which media are in the tags. */
  get contents(): { readonly hasAudio: boolean; readonly hasVideo: boolean } {
    const { audioCodec, hasVideo } = this.#options;
    return { hasAudio: audioCodec !== null, hasVideo };
  }

  /** Known from the first sequence header on. */
  get video(): VideoFormat | undefined {
    return this.#video;
  }

  /** Video frames dropped because no SPS and PPS had arrived. */
  get framesWithoutParameterSets(): number {
    return this.#framesWithoutParameterSets;
  }

  /** What the stream carries from now on. After a change, the metadata is sent again before the next frame. */
  expect(media: Pick<FlvMuxerOptions, 'audioCodec' | 'hasVideo' | 'videoCodec'>): void {
    const { audioCodec, hasVideo, videoCodec = 'h264' } = this.#options;
    const newCodec = media.videoCodec ?? 'h264';
    if (media.audioCodec === audioCodec && media.hasVideo === hasVideo && newCodec === videoCodec)
      return;
    this.#options = { ...this.#options, ...media, videoCodec: newCodec };
    this.#metadataIsStale = this.#metadata !== undefined;
    // A stream that returns to a codec starts with its header again.
    if (media.audioCodec !== audioCodec) this.#audioHeader = undefined;
    if (newCodec === videoCodec) return;
    this.#sequenceHeader = undefined;
    this.#video = undefined;
    this.#inHeader = [];
    this.#parameterSetsChanged = this.#sps.length > 0;
  }

  /** Parameter sets from the session description (`sprop-parameter-sets`): in-band ones override them. */
  setParameterSets(nalus: readonly Uint8Array[]): void {
    for (const nalu of nalus) this.#takeParameterSet(nalu);
  }

  /**
   * Takes one frame, in decoding order. Media that FLV cannot carry, or that was not expected, is left out.
   * @param timestampMs - Milliseconds on the stream's time base. Here it is made to be 0 or more: an encoder's delay leads
   *   to −6, which FLV cannot write. Audio never decreases; of video `PictureFreeze` takes care, which also knows the
   *   pictures that it repeats. For video with reordered pictures the decoding time (see `DecodeTimestamps`).
   * @param compositionMs - How long after decoding a picture is shown, 0 or more. Default 0.
   */
  push(frame: H264Picture | Vp8Frame | AudioFrame, timestampMs: number, compositionMs = 0): void {
    if (frame.codec === 'h264' || frame.codec === 'vp8') {
      const decodedMs = Math.max(0, timestampMs);
      if (frame.codec === 'h264') this.#pushVideo(frame, decodedMs, compositionMs);
      else this.#pushVp8(frame, decodedMs);
      return;
    }
    this.#audioMs = Math.max(this.#audioMs, timestampMs);
    if (frame.codec === 'opus') this.#pushOpus(frame, this.#audioMs);
    else this.#pushAudio(frame, this.#audioMs);
  }

  /** The format of the AAC frames that follow. Only where `audioCodec` is `aac`. */
  setAacFormat(format: AacFormat): void {
    const known = this.#aacFormat?.audioSpecificConfig;
    if (known && Buffer.compare(known, format.audioSpecificConfig) === 0) return;
    this.#aacFormat = format;
    this.#audioHeader = undefined;
  }

  /** Takes one AAC-LC frame without ADTS header, after `setAacFormat`. The first one takes its sequence header along. */
  pushAac(frame: Uint8Array, atMs: number): void {
    if (!this.#aacFormat) return;
    this.#audioMs = Math.max(this.#audioMs, atMs);
    const timestampMs = this.#audioMs;
    if (!this.#audioHeader) this.#emitAacHeader(this.#aacFormat, timestampMs);
    else if (this.#metadataIsStale) this.#emitMetadata(timestampMs);
    const body = Buffer.allocUnsafe(2 + frame.length);
    body[0] = AAC_HEAD;
    body[1] = 1;
    body.set(frame, 2);
    this.#sink({ type: 8, timestampMs, body, role: 'audio' });
  }

  #emitAacHeader(format: AacFormat, timestampMs: number): void {
    this.#emitMetadata(timestampMs);
    const body = Buffer.from([AAC_HEAD, 0, ...format.audioSpecificConfig]);
    this.#audioHeader = { type: 8, timestampMs, body, role: 'sequence-header' };
    this.#sink(this.#audioHeader);
  }

  #pushAudio(frame: AudioFrame, timestampMs: number): void {
    const format = SOUND_FORMAT_OF[frame.codec];
    if (format === undefined) return;
    if (!this.#metadata || this.#metadataIsStale) this.#emitMetadata(timestampMs);
    const body = Buffer.allocUnsafe(1 + frame.payload.length);
    body[0] = (format << 4) | SOUND_SIZE_16_BIT;
    body.set(frame.payload, 1);
    this.#sink({ type: 8, timestampMs, body, role: 'audio' });
  }

  #pushOpus(frame: AudioFrame, timestampMs: number): void {
    if (this.#options.audioCodec !== 'opus') return;
    if (!this.#audioHeader) {
      this.#emitMetadata(timestampMs);
      this.#audioHeader = enhancedOpusHeader(timestampMs);
      this.#sink(this.#audioHeader);
    } else if (this.#metadataIsStale) this.#emitMetadata(timestampMs);
    this.#sink(enhancedOpusTag(frame.payload, timestampMs));
  }

  #pushVp8(frame: Vp8Frame, timestampMs: number): void {
    if (this.#options.videoCodec !== 'vp8') return;
    if (frame.isKeyFrame) this.#noteVp8(frame, timestampMs);
    if (!this.#sequenceHeader) return;
    if (this.#metadataIsStale) this.#emitMetadata(timestampMs);
    this.#sink(enhancedVp8Tag(frame, timestampMs));
  }

  /** Announces a new picture size or profile before the first such picture. */
  #noteVp8(keyFrame: Vp8Frame, timestampMs: number): void {
    const size = parseVp8FrameTag(keyFrame.payload);
    const header = enhancedVp8Header(keyFrame, timestampMs);
    if (!size || !header) return;
    const { width, height } = size;
    const known = this.#sequenceHeader;
    const isSame = this.#video?.width === width && this.#video.height === height;
    if (known && isSame && Buffer.compare(known.body, header.body) === 0) return;
    this.#video = { width, height };
    this.#emitMetadata(timestampMs);
    this.#sequenceHeader = header;
    this.#sink(header);
  }

  #pushVideo(frame: H264Picture, timestampMs: number, compositionMs: number): void {
    const kept: Uint8Array[] = [];
    let hasPicture = false;
    let length = 5;
    for (const nalu of frame.nalus) {
      const type = nalType(nalu);
      if (type === NAL_TYPE.sps || type === NAL_TYPE.pps) {
        // They travel in the sequence header. One that is not in it, in the middle of a GOP, stays in the stream.
        this.#takeParameterSet(nalu);
        if (frame.isKeyFrame || includesOctets(this.#inHeader, nalu)) continue;
      } else if (NAL_TYPES_LEFT_OUT.has(type)) continue;
      if (isPictureNal(nalu)) hasPicture = true;
      kept.push(nalu);
      length += 4 + nalu.length;
    }
    if (!hasPicture) return; // Parameter sets on their own, as some phones send them.
    if (frame.isKeyFrame && this.#parameterSetsChanged) this.#emitSequenceHeader(timestampMs);
    if (!this.#sequenceHeader) {
      this.#framesWithoutParameterSets++;
      return;
    }
    if (this.#metadataIsStale) this.#emitMetadata(timestampMs);
    const first = kept[0]!;
    const inPlace = kept.length === 1 && first === frame.withHeadroom;
    const body = inPlace
      ? Buffer.from(first.buffer, first.byteOffset - NAL_HEADROOM_BYTES, length)
      : Buffer.allocUnsafe(length);
    body.writeUInt16BE(((frame.isKeyFrame ? 0x17 : 0x27) << 8) | 1, 0);
    // CompositionTime (SI24), against the decoding time as it is written: rounded.
    const shownMs = Math.round(timestampMs + compositionMs) - Math.round(timestampMs);
    body.writeUIntBE(Math.max(0, Math.min(MAX_COMPOSITION_MS, shownMs)), 2, 3);
    let at = 5;
    for (const nalu of kept) {
      at = body.writeUInt32BE(nalu.length, at);
      if (!inPlace) body.set(nalu, at);
      at += nalu.length;
    }
    const role = frame.isKeyFrame ? 'key-frame' : 'inter-frame';
    this.#sink({ type: 9, timestampMs, body, role });
  }

  #takeParameterSet(nalu: Uint8Array): void {
    const type = nalType(nalu);
    const isSps = type === NAL_TYPE.sps;
    // `sprop-parameter-sets` may hold SPS extensions (13), which the record of these profiles cannot.
    if (!isSps && type !== NAL_TYPE.pps) return;
    const list = isSps ? this.#sps : this.#pps;
    if (includesOctets(list, nalu)) return;
    const id = isSps ? parseSps(nalu)?.id : ppsId(nalu);
    if (id === undefined || nalu.length > MAX_PARAMETER_SET_BYTES) return;
    const others = list.filter((known) => (isSps ? parseSps(known)?.id : ppsId(known)) !== id);
    // A copy: the view would keep the whole datagram alive for as long as the call.
    const updated = [...others, Uint8Array.from(nalu)].slice(-MAX_PARAMETER_SETS);
    if (isSps) this.#sps = updated;
    else this.#pps = updated;
    this.#parameterSetsChanged = true;
  }

  #emitSequenceHeader(timestampMs: number): void {
    const sps = this.#sps.at(-1);
    const format = sps && parseSps(sps);
    if (!sps || !format || this.#pps.length === 0) return;
    this.#parameterSetsChanged = false;
    const { width, height } = format;
    this.#video = {
      width,
      height,
      profileLevelId: Buffer.from(sps.subarray(1, 4)).toString('hex'),
    };
    this.#emitMetadata(timestampMs);
    // The newest SPS first: its profile and level come first in the record.
    const record = encodeAvcConfiguration([sps, ...this.#sps.slice(0, -1)], this.#pps);
    const body = Buffer.concat([Buffer.from([0x17, 0, 0, 0, 0]), record]);
    this.#inHeader = [...this.#sps, ...this.#pps];
    this.#sequenceHeader = { type: 9, timestampMs, body, role: 'sequence-header' };
    this.#sink(this.#sequenceHeader);
  }

  #emitMetadata(timestampMs: number): void {
    this.#metadataIsStale = false;
    const { audioCodec, hasVideo, videoCodec, encoderName } = this.#options;
    const entries: Record<string, Amf0Value> = { encoder: encoderName ?? 'sipcast' };
    if (hasVideo)
      entries['videocodecid'] = videoCodec === 'vp8' ? ENHANCED_CODEC_ID.vp8 : VIDEO_CODEC_AVC;
    if (this.#video) {
      entries['width'] = this.#video.width;
      entries['height'] = this.#video.height;
    }
    if (audioCodec) {
      entries['audiocodecid'] = AUDIO_CODEC_ID[audioCodec];
      // The rate of AAC is known from its first frame; then the metadata is sent again.
      const sampleRateHz =
        audioCodec === 'aac' ? this.#aacFormat?.sampleRateHz : SAMPLE_RATE_HZ[audioCodec];
      if (sampleRateHz !== undefined) entries['audiosamplerate'] = sampleRateHz;
      entries['audiosamplesize'] = 16;
      entries['stereo'] = audioCodec === 'opus' || (this.#aacFormat?.channels ?? 1) > 1;
    }
    const body = encodeAmf0('onMetaData', new EcmaArray(amf0Object(entries)));
    this.#metadata = { type: 18, timestampMs, body, role: 'metadata' };
    this.#sink(this.#metadata);
  }
}

function includesOctets(list: readonly Uint8Array[], nalu: Uint8Array): boolean {
  return list.some((one) => one.length === nalu.length && Buffer.compare(one, nalu) === 0);
}

/** First ue(v) of a PPS (ITU-T H.264 §7.3.2.2): at most 255, so at most 17 bits. */
function ppsId(nalu: Uint8Array): number | undefined {
  const bits = ((nalu[1] ?? 0) << 16) | ((nalu[2] ?? 0) << 8) | (nalu[3] ?? 0);
  const zeros = Math.clz32(bits) - 8;
  if (nalu.length < 2 || zeros > 8) return undefined;
  return ((bits >> (23 - 2 * zeros)) & ((1 << (zeros + 1)) - 1)) - 1;
}
