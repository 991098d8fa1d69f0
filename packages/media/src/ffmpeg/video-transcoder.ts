// VP8 or H.264 to H.264 by an ffmpeg child process, over pipes only.

import { MAX_FRAME_BYTES } from '../rtp/h264-depacketizer.ts';
import { MediaError } from '../errors.ts';
import type { FfmpegBinary } from './binary.ts';
import { FfmpegChild } from './child.ts';
import { FlvReader } from '../flv/flv-file.ts';
import type { FlvFileTag } from '../flv/flv-file.ts';
import type { VideoFrame } from '../codec/frame.ts';
import { decodeAvcConfiguration } from '../codec/h264.ts';
import type {
  OpenVideoTranscoder,
  VideoSource,
  VideoTranscoder,
  VideoTranscoderHandler,
  TranscoderStats,
} from './transcoder.ts';
import { createTranscoderInput } from './transcoder-input.ts';
import type { PictureSize, TranscoderInput } from './transcoder-input.ts';

/** x264's presets that are fast enough for live video, the fastest first. */
export const VIDEO_PRESETS = [
  'ultrafast',
  'superfast',
  'veryfast',
  'faster',
  'fast',
  'medium',
] as const;

/** One of {@link VIDEO_PRESETS}. */
export type VideoPreset = (typeof VIDEO_PRESETS)[number];

/** Encoding parameters. */
export interface FfmpegVideoOptions {
  /** Average and, over a second, highest bitrate, 50,000–20,000,000. Default 800,000. */
  readonly videoBitrateBps?: number;
  /** Maximum width: larger pictures are scaled down, keeping their shape; 16–4096, even. Default: no limit. */
  readonly videoWidth?: number;
  /** Maximum height, like `videoWidth`. */
  readonly videoHeight?: number;
  /** Maximum pictures per second, 1–120; surplus ones are dropped evenly. Default: no limit. */
  readonly videoFps?: number;
  /** Slower ones look better at the same bitrate. Default `veryfast`. */
  readonly videoPreset?: VideoPreset;
}

/** Limit of input queued for the child: seconds of video. More is dropped, up to the next key frame. */
const MAX_WAITING_BYTES = 2 * 1024 * 1024;
/** Level 5.1 of H.264 (table A-1: 36,864 macroblocks): larger ones are attacks rather than telephones. */
const MAX_PICTURE_PIXELS = 36_864 * 256;
/** Limit of size changes of the source that start a new encoder; beyond it the encoder scales to its own size. */
const MAX_RENEWALS_PER_MINUTE = 6;
/** Rate that the encoder assumes before it sees the real one; it then goes by the times. */
const NOMINAL_FPS = 25;
const MAX_OUTPUT_TAG_BYTES = MAX_FRAME_BYTES + 1024;
const AVC_CODEC = 7;
const AVC_HEAD_BYTES = 5;

/**
 * Prepares transcoders of video.
 *
 * @returns a function that opens one transcoder, that is, one child process, for the video of one call. The picture keeps the source's
 * size unless limited; when the source changes its size at a key frame, a new encoder starts there, with new
 * parameter sets (at most six times a minute; more changes are scaled to the encoder's size). Undefined when the binary
 * cannot encode H.264 or cannot decode VP8 and H.264.
 * @throws MediaError `INVALID_ARGUMENT` naming the option.
 */
export function openFfmpegVideo(
  { path, capabilities: { encoders, decoders } }: FfmpegBinary,
  options: FfmpegVideoOptions = {},
): OpenVideoTranscoder | undefined {
  const encoder = encoderArguments(options);
  if (encoders.h264 !== 'libx264' || !decoders.vp8 || !decoders.h264) return undefined;
  return (source, handler) => new FfmpegVideoTranscoder(path, encoder, source, handler);
}

/** Fixed words and checked numbers only: nothing from a peer may appear in an argument. */
function encoderArguments(options: FfmpegVideoOptions): readonly string[] {
  const bitrate = inRange(
    'videoBitrateBps',
    options.videoBitrateBps ?? 800_000,
    50_000,
    20_000_000,
  );
  const preset = VIDEO_PRESETS.find((name) => name === (options.videoPreset ?? 'veryfast'));
  if (preset === undefined) {
    throw new MediaError('INVALID_ARGUMENT', `videoPreset must be of ${VIDEO_PRESETS.join(', ')}`, {
      field: 'videoPreset',
    });
  }
  const quick = ['-preset', preset, '-tune', 'zerolatency', '-bf', '0', '-threads', '1'];
  return (
    ['-an', '-filter_threads', '1', '-vf', filters(options)]
      .concat(['-enc_time_base', '1:1000', '-c:v', 'libx264', '-profile:v', 'baseline'], quick)
      .concat(['-b:v', bitrate, '-maxrate', bitrate, '-bufsize', bitrate])
      // From the unit of time x264 would infer 1000 pictures a second, and give each almost no bits.
      .concat(['-x264-params', `fps=${options.videoFps ?? NOMINAL_FPS}`])
      // By time, not by number, as the source may have any rate; `-g` alone would be 10 s at 25 a second.
      .concat(['-force_key_frames', 'expr:if(isnan(prev_forced_t),1,gte(t,prev_forced_t+2))'])
      .concat(['-flush_packets', '1', '-f', 'flv', 'pipe:1'])
  );
}

/** Sides must be even for 4:2:0. */
function filters(options: FfmpegVideoOptions): string {
  const { videoWidth, videoHeight, videoFps } = options;
  const bounds = ['1'];
  if (videoWidth !== undefined) bounds.push(`${even('videoWidth', videoWidth)}/iw`);
  if (videoHeight !== undefined) bounds.push(`${even('videoHeight', videoHeight)}/ih`);
  const factor = bounds.reduce((least, bound) => `min(${least},${bound})`);
  const side = (name: string): string => `max(2,trunc(${name}*${factor}/2+0.001)*2)`;
  const chain = [`scale=w='${side('iw')}':h='${side('ih')}'`, 'format=yuv420p'];
  if (videoFps !== undefined) {
    // One picture per slot of 1/fps. Pictures are slightly early or late, so they are not aligned with the slots' ends.
    const slot = (time: string): string =>
      `floor(${time}*${inRange('videoFps', videoFps, 1, 120)}+0.25)`;
    chain.unshift(`select='isnan(prev_selected_t)+gt(${slot('t')},${slot('prev_selected_t')})'`);
  }
  return chain.join(',');
}

function inRange(field: string, value: number, from: number, to: number): string {
  if (!Number.isInteger(value) || value < from || value > to) {
    throw new MediaError('INVALID_ARGUMENT', `${field} must be a whole number, ${from}–${to}`, {
      field,
    });
  }
  return String(value);
}

function even(field: string, value: number): string {
  inRange(field, value, 16, 4096);
  if (value % 2 === 0) return String(value);
  throw new MediaError('INVALID_ARGUMENT', `${field} must be even`, { field });
}

function allArguments(codec: VideoSource['codec'], encoder: readonly string[]): readonly string[] {
  const quick = ['-probesize', '32', '-analyzeduration', '0', '-threads', '1'];
  return ['-hide_banner', '-nostdin', '-loglevel', 'error', '-protocol_whitelist', 'pipe'].concat(
    ['-copyts'],
    quick,
    ['-f', codec === 'vp8' ? 'ivf' : 'flv', '-i', 'pipe:0'],
    encoder,
  );
}

/** One child process and its stream. */
interface Run {
  /** Media time of its 0; NaN before its first picture. */
  baseMs: number;
  /** The size it started with. */
  size: PictureSize | undefined;
  /** Of its output. */
  parameterSets: readonly Uint8Array[];
}

class FfmpegVideoTranscoder implements VideoTranscoder {
  readonly #codec: VideoSource['codec'];
  readonly #handler: VideoTranscoderHandler;
  readonly #input: TranscoderInput;
  readonly #child: FfmpegChild;
  #closed = false;
  #framesIn = 0;
  #framesOut = 0;
  #framesDropped = 0;

  /** The current process has received all pictures since a key frame. */
  #open = false;
  #run: Run = { baseMs: Number.NaN, size: undefined, parameterSets: [] };
  #renewing = false;
  readonly #renewalTimes: number[] = [];
  #lastOutMs = Number.NEGATIVE_INFINITY;

  constructor(
    path: string,
    encoder: readonly string[],
    source: VideoSource,
    handler: VideoTranscoderHandler,
  ) {
    this.#codec = source.codec;
    this.#handler = handler;
    this.#input = createTranscoderInput(source);
    let starts = 0;
    this.#child = new FfmpegChild(
      {
        path,
        args: allArguments(source.codec, encoder),
        maxWaitingBytes: MAX_WAITING_BYTES,
      },
      {
        onStart: () => this.#onStart(starts++ === 0),
        onFailed: (error) => {
          this.#closed = true;
          handler.onFailed(error);
        },
      },
    );
  }

  get stats(): TranscoderStats {
    return {
      framesIn: this.#framesIn,
      framesOut: this.#framesOut,
      framesDropped: this.#framesDropped,
      restarts: this.#child.restarts,
      load: this.#child.load,
    };
  }

  push(frame: VideoFrame, mediaTimeMs: number): void {
    if (this.#closed) return;
    this.#framesIn++;
    if (frame.isKeyFrame && frame.codec === this.#codec) this.#onKeyFrame(frame);
    if (this.#open && this.#feed(frame, mediaTimeMs)) return;
    this.#open = false;
    this.#framesDropped++;
    this.#handler.onKeyFrameWanted();
  }

  finish(onDone: () => void): void {
    this.#child.finish(onDone);
  }

  close(): void {
    this.#closed = true;
    this.#child.close();
  }

  /** Decides whether pictures from here on are passed on, and to which process. */
  #onKeyFrame(frame: VideoFrame): void {
    const size = this.#input.sizeAt(frame);
    const fits = size !== undefined && size.width * size.height <= MAX_PICTURE_PIXELS;
    const known = this.#run.size;
    if (fits && known !== undefined && !sameSize(size, known) && this.#mayRenew()) {
      this.#renewing = true;
      this.#child.renew();
      this.#renewing = false;
    }
    this.#open = fits;
    this.#run.size ??= size;
  }

  #mayRenew(): boolean {
    const nowMs = performance.now();
    const times = this.#renewalTimes;
    while (times[0] !== undefined && nowMs - times[0] > 60_000) times.shift();
    return times.length < MAX_RENEWALS_PER_MINUTE && times.push(nowMs) > 0;
  }

  #feed(frame: VideoFrame, mediaTimeMs: number): boolean {
    if (!this.#child.writable) return false;
    const run = this.#run;
    // Whole milliseconds, so that whole times stay whole.
    if (Number.isNaN(run.baseMs)) run.baseMs = Math.round(mediaTimeMs);
    const pieces = this.#input.format(frame, Math.max(0, mediaTimeMs - run.baseMs));
    return pieces.length > 0 && this.#child.write(...pieces);
  }

  #onStart(first: boolean): (octets: Uint8Array) => void {
    this.#open = false;
    const run: Run = { baseMs: Number.NaN, size: undefined, parameterSets: [] };
    this.#run = run;
    this.#input.restart();
    const reader = new FlvReader(
      { onTag: (tag) => this.#onTag(tag, run), onFault: () => this.#child.kill() },
      MAX_OUTPUT_TAG_BYTES,
    );
    if (!first && !this.#renewing) this.#handler.onKeyFrameWanted();
    return (octets) => reader.push(octets);
  }

  /** `|frame type (4) codec (4)|packet type|composition time(3)|…` (FLV 10.1 §E.4.3.1). */
  #onTag({ type, timestampMs, body }: FlvFileTag, run: Run): void {
    if (type !== 9 || ((body[0] ?? 0) & 0x0f) !== AVC_CODEC) return;
    if (body[1] === 0) {
      run.parameterSets = decodeAvcConfiguration(body.subarray(AVC_HEAD_BYTES));
      return;
    }
    if (body[1] !== 1) return; // The end of the sequence.
    const isKeyFrame = body[0]! >> 4 === 1;
    const nalus = splitNalUnits(body, AVC_HEAD_BYTES);
    if (nalus.length === 0) return;
    this.#framesOut++;
    this.#lastOutMs = Math.max(this.#lastOutMs, run.baseMs + timestampMs);
    this.#handler.onFrame(
      isKeyFrame
        ? { codec: 'h264', nalus: [...run.parameterSets, ...nalus], isKeyFrame }
        : { codec: 'h264', nalus, withHeadroom: nalus[0], isKeyFrame },
      this.#lastOutMs,
    );
  }
}

function sameSize(one: PictureSize, other: PictureSize): boolean {
  return one.width === other.width && one.height === other.height;
}

/** NAL units after lengths of 4 octets, as views; the first has the header before it as headroom. */
function splitNalUnits(body: Uint8Array, from: number): Uint8Array[] {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.length);
  const nalus: Uint8Array[] = [];
  for (let at = from; at + 4 < bytes.length; ) {
    const end = at + 4 + bytes.readUInt32BE(at);
    if (end > bytes.length) break;
    if (end > at + 4) nalus.push(bytes.subarray(at + 4, end));
    at = end;
  }
  return nalus;
}
