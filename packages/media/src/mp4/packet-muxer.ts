// Muxes tags whose parameters do not change, by mediabunny, which is loaded when the first is wanted.

import type {
  EncodedAudioPacketSource,
  EncodedPacket,
  EncodedVideoPacketSource,
  Output,
  OutputFormat,
} from 'mediabunny';
import { decodeAvcConfiguration, NAL_TYPE, nalType, parseSps } from '../codec/h264.ts';
import type { FlvTag } from '../codec/frame.ts';
import { MediaError } from '../errors.ts';

/** What is muxed. */
export interface PacketMuxerOptions {
  /** Bodies of the sequence headers; at least one. */
  readonly videoHeader?: Uint8Array;
  readonly audioHeader?: Uint8Array;
  /** Stream time that is 0 of the result. Default 0. */
  readonly startMs?: number;
}

/** What a muxer asks and reports. */
export interface PacketMuxerHandler {
  /** Where the result goes, and in which form. */
  open(bunny: Bunny): {
    readonly format: OutputFormat;
    readonly target: ConstructorParameters<typeof Output>[0]['target'];
  };
  /** It cannot go on. Once. */
  onFailed(error: unknown): void;
}

/** The library. */
export type Bunny = Awaited<ReturnType<typeof loadBunny>>;

function loadBunny() {
  return import('mediabunny');
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
export class PacketMuxer {
  readonly #options: PacketMuxerOptions;
  readonly #handler: PacketMuxerHandler;
  readonly #startMs: number;
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

  constructor(options: PacketMuxerOptions, handler: PacketMuxerHandler) {
    this.#options = options;
    this.#handler = handler;
    this.#startMs = options.startMs ?? 0;
    this.#work = this.#guard(() => this.#open());
  }

  push(tag: FlvTag): void {
    if (this.#failed) return;
    if (this.#queued >= MAX_QUEUED) return this.#fail(new Error('packets are not written in time'));
    this.#queued++;
    this.#work = this.#work.then(() =>
      this.#guard(async () => {
        this.#queued--;
        await this.#add(tag);
      }),
    );
  }

  /** Completes the result. Never rejects. */
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
    const { videoHeader, audioHeader } = this.#options;
    const bunny = await loadBunny();
    this.#packets = bunny.EncodedPacket;
    const output = new bunny.Output(this.#handler.open(bunny));
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

  async #add({ type, body, role, ...tag }: FlvTag): Promise<void> {
    const timestampMs = Math.max(0, tag.timestampMs - this.#startMs);
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
