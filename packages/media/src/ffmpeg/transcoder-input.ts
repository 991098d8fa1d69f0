// What a video transcoder's child reads: VP8 in IVF, H.264 in FLV. Times are milliseconds from 0 for each child.

import { DecodeTimestamps } from '../sync/decode-timestamps.ts';
import { FlvMuxer } from '../flv/flv-muxer.ts';
import { formatFlvHeader, formatFlvTag } from '../flv/flv-file.ts';
import type { FlvTag, VideoFrame } from '../codec/frame.ts';
import { NAL_TYPE, nalType, parseSps } from '../codec/h264.ts';
import type { VideoSource } from './transcoder.ts';
import { parseVp8FrameTag } from '../codec/vp8.ts';

/** Pixels. */
export interface PictureSize {
  readonly width: number;
  readonly height: number;
}

/** Formats the pictures of one source, for one child after another. */
export interface TranscoderInput {
  /** Size from this key frame on; undefined while unknown. Call it for each key frame, before formatting it. */
  sizeAt(keyFrame: VideoFrame): PictureSize | undefined;
  /** A new child: the next picture is a key frame, and starts a stream. */
  restart(): void;
  /** The octets of a picture and what must precede it; empty if it cannot be formatted. */
  format(frame: VideoFrame, presentationMs: number): readonly Uint8Array[];
}

/** Makes the writer for a codec. */
export function createTranscoderInput(source: VideoSource): TranscoderInput {
  return source.codec === 'vp8' ? new IvfInput() : new FlvInput(source.parameterSets ?? []);
}

const IVF_HEADER_BYTES = 32;
const IVF_FRAME_HEADER_BYTES = 12;

/**
 * IVF as libvpx defined it, little-endian:
 * `| 'DKIF' version(2) header size(2) 'VP80' width(2) height(2) rate(4) scale(4) frames(4) unused(4) |`, then
 * `| size(4) presentation time(8) octets |` each.
 */
class IvfInput implements TranscoderInput {
  #size: PictureSize | undefined;
  #begun = false;
  #lastMs = -1;

  sizeAt(keyFrame: VideoFrame): PictureSize | undefined {
    if (keyFrame.codec === 'vp8') this.#size = parseVp8FrameTag(keyFrame.payload);
    return this.#size;
  }

  restart(): void {
    this.#begun = false;
    this.#lastMs = -1;
  }

  format(frame: VideoFrame, presentationMs: number): readonly Uint8Array[] {
    if (frame.codec !== 'vp8' || this.#size === undefined) return [];
    // Two pictures with the same time would be merged.
    this.#lastMs = Math.max(this.#lastMs + 1, Math.round(presentationMs));
    const head = Buffer.allocUnsafe(IVF_FRAME_HEADER_BYTES);
    head.writeUInt32LE(frame.payload.length, 0);
    head.writeBigUInt64LE(BigInt(this.#lastMs), 4);
    if (this.#begun) return [head, frame.payload];
    this.#begun = true;
    return [ivfHeader(this.#size), head, frame.payload];
  }
}

function ivfHeader({ width, height }: PictureSize): Buffer {
  const head = Buffer.alloc(IVF_HEADER_BYTES);
  head.write('DKIF', 0, 'latin1');
  head.writeUInt16LE(IVF_HEADER_BYTES, 6);
  head.write('VP80', 8, 'latin1');
  head.writeUInt16LE(width, 12);
  head.writeUInt16LE(height, 14);
  head.writeUInt32LE(1000, 16); // rate and scale: a unit of time is 1/1000 s
  head.writeUInt32LE(1, 20);
  return head;
}

/** FLV, by the muxer of the outputs. It outlives the children, since parameter sets may arrive only once. */
class FlvInput implements TranscoderInput {
  readonly #muxer: FlvMuxer;
  #size: PictureSize | undefined;
  #reorderFrames: number | undefined;
  #timestamps = new DecodeTimestamps();
  #begun = false;
  #octets: Uint8Array[] = [];

  constructor(parameterSets: readonly Uint8Array[]) {
    this.#muxer = new FlvMuxer({ audioCodec: null, hasVideo: true }, (tag) => this.#onTag(tag));
    this.#muxer.setParameterSets(parameterSets);
    this.#noteParameters(parameterSets);
  }

  sizeAt(keyFrame: VideoFrame): PictureSize | undefined {
    if (keyFrame.codec === 'h264') this.#noteParameters(keyFrame.nalus);
    return this.#size;
  }

  restart(): void {
    this.#begun = false;
    this.#timestamps = new DecodeTimestamps();
  }

  format(frame: VideoFrame, presentationMs: number): readonly Uint8Array[] {
    if (frame.codec !== 'h264') return [];
    this.#octets = [];
    this.#timestamps.setReorderFrames(this.#reorderFrames);
    const decodeMs = this.#timestamps.push(presentationMs, frame.isKeyFrame);
    this.#muxer.push(frame, decodeMs, this.#timestamps.compositionMs);
    return this.#octets;
  }

  #noteParameters(nalus: readonly Uint8Array[]): void {
    const sps = nalus.findLast((nal) => nalType(nal) === NAL_TYPE.sps);
    const parameters = sps && parseSps(sps);
    if (!parameters) return;
    this.#size = parameters;
    this.#reorderFrames = parameters.maxReorderFrames;
  }

  #onTag(tag: FlvTag): void {
    if (!this.#begun) {
      if (tag.role !== 'key-frame') return; // It is in the preamble by now.
      this.#begun = true;
      this.#octets.push(formatFlvHeader({ hasAudio: false, hasVideo: true }));
      for (const { type, body } of this.#muxer.preamble) {
        this.#octets.push(formatFlvTag({ type, timestampMs: tag.timestampMs, body }));
      }
    }
    this.#octets.push(formatFlvTag(tag));
  }
}
