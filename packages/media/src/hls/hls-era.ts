// Segments of media that do not change their form, by mediabunny, which is loaded when the first is wanted.

import type {
  EncodedAudioPacketSource,
  EncodedPacket,
  EncodedVideoPacketSource,
  Output,
} from 'mediabunny';
import { decodeAvcConfiguration, NAL_TYPE, nalType, parseSps } from '../codec/h264.ts';
import type { FlvTag } from '../codec/frame.ts';
import { MediaError } from '../errors.ts';

/** One media segment. */
export interface HlsSegment {
  readonly name: string;
  readonly durationS: number;
  /** Name of its initialization. */
  readonly init: string;
}

/** Options of an {@link HlsEra}. */
export interface HlsEraOptions {
  /** Begins the names of its files. */
  readonly prefix: string;
  readonly segmentMs: number;
  /** Bodies of the sequence headers; at least one. */
  readonly videoHeader?: Uint8Array;
  readonly audioHeader?: Uint8Array;
}

/** What an era reports. */
export interface HlsEraHandler {
  onInit(name: string, octets: Uint8Array): void;
  onSegment(segment: HlsSegment, octets: Uint8Array): void;
  onFailed(error: unknown): void;
}

/** FrameType, CodecID, AVCPacketType, CompositionTime (FLV 10.1 §E.4.3); SoundFormat and AACPacketType (§E.4.2). */
const VIDEO_HEAD_BYTES = 5;
const AUDIO_HEAD_BYTES = 2;
/** AudioSpecificConfig, ISO/IEC 14496-3 table 1.18. */
const AAC_RATES = [
  96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8000,
  7350,
];
const AAC_FRAME_SAMPLES = 1024;
/** Tags that wait for mediabunny; more means that it hangs. */
const MAX_QUEUED = 2000;

/** Takes tags in order; never throws. */
export class HlsEra {
  readonly #options: HlsEraOptions;
  readonly #handler: HlsEraHandler;
  readonly #initName: string;
  /** Ends with everything that was pushed. */
  #work: Promise<void>;
  #queued = 0;
  #failed = false;
  #output: Output | undefined;
  #video: EncodedVideoPacketSource | undefined;
  #audio: EncodedAudioPacketSource | undefined;
  #packets: typeof EncodedPacket | undefined;
  #videoConfig: VideoDecoderConfig | undefined;
  #audioConfig: AudioDecoderConfig | undefined;
  /** The last segment that was written, until the playlist tells its duration. */
  #written: { readonly name: string; readonly octets: Uint8Array } | undefined;

  constructor(options: HlsEraOptions, handler: HlsEraHandler) {
    this.#options = options;
    this.#handler = handler;
    this.#initName = `init-${options.prefix}.mp4`;
    this.#work = this.#guard(() => this.#open());
  }

  push(tag: FlvTag): void {
    if (this.#failed) return;
    if (this.#queued >= MAX_QUEUED)
      return this.#fail(new Error('segments are not written in time'));
    this.#queued++;
    this.#work = this.#work.then(() =>
      this.#guard(async () => {
        this.#queued--;
        await this.#add(tag);
      }),
    );
  }

  /** Writes the last segment. Never rejects. */
  end(): Promise<void> {
    this.#work = this.#work.then(() => this.#guard(async () => this.#output?.finalize()));
    return this.#work;
  }

  async #guard(work: () => Promise<void> | undefined): Promise<void> {
    if (this.#failed) return;
    try {
      await work();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#handler.onFailed(error);
  }

  async #open(): Promise<void> {
    const { prefix, segmentMs, videoHeader, audioHeader } = this.#options;
    const bunny = await import('mediabunny');
    this.#packets = bunny.EncodedPacket;
    const format = new bunny.HlsOutputFormat({
      segmentFormat: new bunny.CmafOutputFormat(),
      targetDuration: segmentMs / 1000,
      live: true,
      maxLiveSegmentCount: 1,
      getInitPath: () => this.#initName,
      getSegmentPath: ({ n }) => `${prefix}-${n}.m4s`,
      onInit: (target) => this.#handler.onInit(this.#initName, octetsOf(target)),
      onSegment: (target, { n }) => {
        this.#written = { name: `${prefix}-${n}.m4s`, octets: octetsOf(target) };
      },
      onPlaylist: (playlist) => this.#onPlaylist(playlist),
    });
    const target = new bunny.PathedTarget('index.m3u8', () => new bunny.BufferTarget());
    const output = new bunny.Output({ format, target });
    if (videoHeader) {
      this.#videoConfig = videoConfigOf(videoHeader);
      this.#video = new bunny.EncodedVideoPacketSource('avc');
      output.addVideoTrack(this.#video);
    }
    if (audioHeader) {
      this.#audioConfig = audioConfigOf(audioHeader);
      this.#audio = new bunny.EncodedAudioPacketSource('aac');
      output.addAudioTrack(this.#audio);
    }
    await output.start();
    this.#output = output;
  }

  async #add({ type, body, role, timestampMs }: FlvTag): Promise<void> {
    const Packet = this.#packets;
    if (!Packet) return;
    if (type === 8 && this.#audio && this.#audioConfig && body[1] === 1) {
      const durationS = AAC_FRAME_SAMPLES / this.#audioConfig.sampleRate;
      const frame = body.subarray(AUDIO_HEAD_BYTES);
      const packet = new Packet(frame, 'key', timestampMs / 1000, durationS);
      await this.#audio.add(packet, { decoderConfig: this.#audioConfig });
    } else if (type === 9 && this.#video && this.#videoConfig && body[1] === 1) {
      const compositionMs = Buffer.from(body.buffer, body.byteOffset, 5).readIntBE(2, 3);
      const kind = role === 'key-frame' ? 'key' : 'delta';
      const shownS = (timestampMs + compositionMs) / 1000;
      const packet = new Packet(body.subarray(VIDEO_HEAD_BYTES), kind, shownS, 0);
      await this.#video.add(packet, { decoderConfig: this.#videoConfig });
    }
  }

  /** The only place that tells how long a segment is: `#EXTINF:2.04,` before its name. */
  #onPlaylist(playlist: string): void {
    const segment = this.#written;
    if (!segment) return;
    this.#written = undefined;
    const lines = playlist.split('\n');
    const at = lines.indexOf(segment.name);
    const durationS = Number(/^#EXTINF:([\d.]+)/.exec(lines[at - 1] ?? '')?.[1]);
    if (Number.isNaN(durationS)) return this.#fail(new Error('a segment without a duration'));
    const { name, octets } = segment;
    this.#handler.onSegment({ name, durationS, init: this.#initName }, octets);
  }
}

function octetsOf(target: object): Uint8Array {
  const { buffer } = target as { buffer: ArrayBuffer | null };
  return new Uint8Array(buffer ?? new ArrayBuffer(0));
}

function videoConfigOf(header: Uint8Array): VideoDecoderConfig {
  const description = header.subarray(VIDEO_HEAD_BYTES);
  const spsNal = decodeAvcConfiguration(description).find((nal) => nalType(nal) === NAL_TYPE.sps);
  const sps = spsNal && parseSps(spsNal);
  if (!sps) throw new MediaError('INVALID_ARGUMENT', 'a sequence header without parameter sets');
  const { profileIdc, constraintFlags, levelIdc, width, height } = sps;
  const hex = [profileIdc, constraintFlags, levelIdc].map((octet) =>
    octet.toString(16).padStart(2, '0'),
  );
  return { codec: `avc1.${hex.join('')}`, codedWidth: width, codedHeight: height, description };
}

function audioConfigOf(header: Uint8Array): AudioDecoderConfig {
  const description = header.subarray(AUDIO_HEAD_BYTES);
  const bits = ((description[0] ?? 0) << 8) | (description[1] ?? 0);
  const sampleRate = AAC_RATES[(bits >> 7) & 0xf];
  const numberOfChannels = (bits >> 3) & 0xf;
  if (sampleRate === undefined || numberOfChannels === 0)
    throw new MediaError('INVALID_ARGUMENT', 'a form of AAC that is not known');
  return { codec: 'mp4a.40.2', sampleRate, numberOfChannels, description };
}
