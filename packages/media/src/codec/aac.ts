// AAC-LC as streams carry it: ADTS frames from an encoder, and the configuration that a decoder needs first (ISO/IEC 14496-3).
//
//  ADTS header, 7 octets (9 with CRC)
//  syncword(12) id(1) layer(2) no-crc(1) | profile(2) frequency(4) private(1) channels(3) … length(13) fullness(11) blocks(2)

/** Samples of one AAC-LC frame, per channel. */
export const AAC_FRAME_SAMPLES = 1024;

/**
 * A mono AAC-LC frame of digital silence, of any sampling rate: one channel without a coded band, fill, end
 * (ISO/IEC 14496-3 §4.4.2.1). Shared: not to be written to.
 */
export const AAC_SILENCE: Uint8Array = Uint8Array.of(0x01, 0x18, 0x20, 0x07);

/** The same for two channels, as a channel pair element. */
export const AAC_STEREO_SILENCE: Uint8Array = Uint8Array.of(0x21, 0x10, 0x04, 0x60, 0x8c, 0x1c);

/** The first three bits of a frame are the type of its first element; 1 is a channel pair (ISO/IEC 14496-3 table 4.85). */
export function isAacStereo(frame: Uint8Array): boolean {
  return (frame[0] ?? 0) >> 5 === 1;
}

const OBJECT_TYPE_LC = 2;
const HEADER_BYTES = 7;
const FREQUENCIES_HZ = [
  96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8000,
] as const;

/** Properties that all frames of a stream share. */
export interface AacFormat {
  readonly sampleRateHz: number;
  /** 1–7. */
  readonly channels: number;
  /** AudioSpecificConfig (ISO/IEC 14496-3 §1.6.2.1), two octets. */
  readonly audioSpecificConfig: Uint8Array;
}

/** Receives what an {@link AdtsReader} finds. */
export interface AdtsReaderHandler {
  /** Before the first frame, and when it changes. */
  onFormat(format: AacFormat): void;
  /** One frame without its header. The receiver may keep it. */
  onFrame(frame: Uint8Array): void;
}

/** Cuts an ADTS stream into frames. Feed it pieces of any size; octets that belong to no frame are skipped and counted. */
export class AdtsReader {
  readonly #handler: AdtsReaderHandler;
  #pending: Buffer = Buffer.alloc(0);
  #format = -1;
  #skippedBytes = 0;

  constructor(handler: AdtsReaderHandler) {
    this.#handler = handler;
  }

  /** Octets that belonged to no frame. */
  get skippedBytes(): number {
    return this.#skippedBytes;
  }

  /** Takes the next octets. */
  push(octets: Uint8Array): void {
    const bytes = Buffer.concat([this.#pending, octets]);
    let at = 0;
    while (at + HEADER_BYTES <= bytes.length) {
      const length = frameLength(bytes, at);
      if (length === undefined) {
        at++;
        this.#skippedBytes++;
        continue;
      }
      if (at + length > bytes.length) break;
      this.#takeFrame(bytes, at, length);
      at += length;
    }
    this.#pending = Buffer.from(bytes.subarray(at));
  }

  #takeFrame(bytes: Buffer, at: number, length: number): void {
    const profile = bytes[at + 2]! >> 6;
    const frequency = (bytes[at + 2]! >> 2) & 0x0f;
    const channels = ((bytes[at + 2]! & 1) << 2) | (bytes[at + 3]! >> 6);
    const format = (profile << 8) | (frequency << 4) | channels;
    if (format !== this.#format) {
      this.#format = format;
      this.#handler.onFormat(formatOf(profile + 1, frequency, channels));
    }
    const headerBytes = (bytes[at + 1]! & 1) === 1 ? HEADER_BYTES : HEADER_BYTES + 2;
    this.#handler.onFrame(Uint8Array.from(bytes.subarray(at + headerBytes, at + length)));
  }
}

/** Mono AAC-LC at a rate. */
export function monoAacFormat(sampleRateHz: 44_100 | 48_000): AacFormat {
  return formatOf(OBJECT_TYPE_LC, FREQUENCIES_HZ.indexOf(sampleRateHz), 1);
}

/** Parses an AudioSpecificConfig; undefined unless it is AAC-LC, mono or stereo, at a standard rate. */
export function aacFormatOf(audioSpecificConfig: Uint8Array): AacFormat | undefined {
  const [high = 0, low = 0] = audioSpecificConfig;
  const frequency = ((high & 7) << 1) | (low >> 7);
  const channels = (low >> 3) & 0x0f;
  const sampleRateHz = FREQUENCIES_HZ[frequency];
  const isLc = audioSpecificConfig.length >= 2 && high >> 3 === OBJECT_TYPE_LC;
  if (!isLc || sampleRateHz === undefined || channels < 1 || channels > 2) return undefined;
  return { sampleRateHz, channels, audioSpecificConfig };
}

function formatOf(objectType: number, frequency: number, channels: number): AacFormat {
  const config = (objectType << 11) | (frequency << 7) | (channels << 3);
  return {
    sampleRateHz: FREQUENCIES_HZ[frequency]!,
    channels,
    audioSpecificConfig: Uint8Array.of(config >> 8, config & 0xff),
  };
}

/** A frame with an ADTS header, for use outside a container. */
export function formatAdts(frame: Uint8Array, { audioSpecificConfig }: AacFormat): Buffer {
  const config = ((audioSpecificConfig[0] ?? 0) << 8) | (audioSpecificConfig[1] ?? 0);
  const [objectType, frequency, channels] = [config >> 11, (config >> 7) & 0x0f, (config >> 3) & 7];
  const length = HEADER_BYTES + frame.length;
  const bytes = Buffer.alloc(length);
  bytes.writeUInt16BE(0xfff1, 0);
  bytes[2] = ((objectType - 1) << 6) | (frequency << 2) | (channels >> 2);
  bytes[3] = ((channels & 3) << 6) | (length >> 11);
  bytes[4] = (length >> 3) & 0xff;
  // Buffer fullness 0x7ff: a variable bit rate.
  bytes[5] = ((length & 7) << 5) | 0x1f;
  bytes[6] = 0xfc;
  bytes.set(frame, HEADER_BYTES);
  return bytes;
}

/** Octets of the frame that begins here, or `undefined` when none does. */
function frameLength(bytes: Buffer, at: number): number | undefined {
  if (bytes[at] !== 0xff || (bytes[at + 1]! & 0xf6) !== 0xf0) return undefined;
  if (((bytes[at + 2]! >> 2) & 0x0f) >= FREQUENCIES_HZ.length) return undefined;
  const length = ((bytes[at + 3]! & 3) << 11) | (bytes[at + 4]! << 3) | (bytes[at + 5]! >> 5);
  return length > HEADER_BYTES + 2 ? length : undefined;
}
