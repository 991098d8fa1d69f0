// A sound file in place of the audio of a push: its frames take the places of those of the stream. Opus comes in the tags of
// Enhanced RTMP, with the FourCC behind the first octet.

import type { AudioCodec, FlvTag } from '@sipcast/media';
import type { SoundSource } from '@sipcast/media/wire';

/** Codecs of audio tags by their FLV sound format (FLV 10.1 §E.4.2.1). */
const CODECS: Readonly<Record<number, AudioCodec | 'aac'>> = {
  7: 'pcma',
  8: 'pcmu',
  9: 'opus',
  10: 'aac',
  11: 'speex-wb',
};

/** Of an Opus tag before its packet: what it is, and its FourCC. */
const ENHANCED_HEAD_BYTES = 5;
/** Packets of a file; those of the stream may be of another length. */
const OPUS_STEP_MS = 20;

/** Makes the source of a file, in the codec of the stream. */
export type OpenPushSound = (codec: AudioCodec | 'aac') => SoundSource;

/** One file being played. */
export class PushSound {
  readonly #open: OpenPushSound;
  readonly #onEnded: () => void;
  readonly #onClosed: () => void;
  #codec: AudioCodec | 'aac' | undefined;
  #source: SoundSource | undefined;
  /** Of G.711, less than a tag's worth. */
  #rest: Buffer = Buffer.alloc(0);
  #ended = false;
  /** A push that changes its connection sends a tag twice. */
  #last: { readonly tag: FlvTag; readonly sent: readonly FlvTag[] } | undefined;
  /** Where the Opus that was sent ends; NaN before the first. */
  #opusEndMs = Number.NaN;

  /**
   * @param onEnded - The last frame was sent, or the file cannot be decoded. Once.
   * @param onClosed - Nothing is open any more, whoever ended it. Once.
   */
  constructor(open: OpenPushSound, onEnded: () => void, onClosed: () => void = () => {}) {
    this.#open = open;
    this.#onEnded = onEnded;
    this.#onClosed = onClosed;
  }

  /**
   * The tags to send for an audio tag of the stream: one, but for Opus as many packets as are due. Others, and those behind the
   * end of the file, are sent as they are.
   */
  replace(tag: FlvTag): readonly FlvTag[] {
    if (this.#last?.tag !== tag) this.#last = { tag, sent: this.#replaced(tag) };
    return this.#last.sent;
  }

  #replaced(tag: FlvTag): readonly FlvTag[] {
    if (tag.role !== 'audio' || this.#ended) return [tag];
    const head = tag.body[0] ?? 0;
    const codec = CODECS[head >> 4];
    if (codec === undefined) return [tag];
    if (codec !== this.#codec) {
      // The stream changed its codec: the file begins anew in that.
      this.#source?.close();
      this.#codec = codec;
      this.#rest = Buffer.alloc(0);
      this.#opusEndMs = Number.NaN;
      this.#source = this.#open(codec);
    }
    const source = this.#source!;
    if (codec === 'opus') return this.#packets(source, tag);
    const sound =
      codec === 'pcma' || codec === 'pcmu'
        ? this.#octets(source, tag.body.length - 1)
        : source.read();
    if (source.ended && sound === undefined) {
      this.#end();
      return [tag];
    }
    // Not decoded yet, for some tenths of a second: the stream's own sound goes on.
    if (sound === undefined) return [tag];
    const start = codec === 'aac' ? [head, 1] : [head];
    return [{ ...tag, body: Buffer.concat([Buffer.from(start), sound]) }];
  }

  /** Ends it; `onEnded` is not called. Idempotent. */
  close(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#source?.close();
    this.#source = undefined;
    this.#onClosed();
  }

  /** As many octets of G.711 as the tag had: the stream's packets may be of any length. */
  #octets(source: SoundSource, length: number): Uint8Array | undefined {
    while (this.#rest.length < length) {
      const frame = source.read();
      if (frame === undefined) return undefined;
      this.#rest = Buffer.concat([this.#rest, frame]);
    }
    const octets = this.#rest.subarray(0, length);
    this.#rest = this.#rest.subarray(length);
    return octets;
  }

  #packets(source: SoundSource, tag: FlvTag): readonly FlvTag[] {
    if (Number.isNaN(this.#opusEndMs)) this.#opusEndMs = tag.timestampMs;
    const tags: FlvTag[] = [];
    while (this.#opusEndMs <= tag.timestampMs) {
      const sound = source.read();
      if (sound === undefined) {
        if (source.ended) this.#end();
        // The stream's own goes on, unless this tag's time is filled.
        this.#opusEndMs = Number.NaN;
        return tags.length > 0 ? tags : [tag];
      }
      const body = Buffer.concat([tag.body.subarray(0, ENHANCED_HEAD_BYTES), sound]);
      tags.push({ ...tag, timestampMs: this.#opusEndMs, body });
      this.#opusEndMs += OPUS_STEP_MS;
    }
    return tags;
  }

  #end(): void {
    if (this.#ended) return;
    this.close();
    this.#onEnded();
  }
}
