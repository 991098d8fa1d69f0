// Replaces the audio of a stream by a sound file, frame by frame in the tags.

import type { FlvTag } from '../codec/frame.ts';
import { codecOfTag, soundBytesOf, withSound } from '../flv/audio-tag.ts';
import type { FlvAudioCodec } from '../flv/audio-tag.ts';
import type { SoundSource } from '../codec/sound-source.ts';

/** Opens a sound in the codec of a stream. */
export type OpenSound = (codec: FlvAudioCodec) => SoundSource;

/** What a sound replacement reports. */
export interface SoundReplacementHandler {
  /** The last frame was sent, or the file cannot be decoded. Once, and not after `close`. */
  onEnded?(): void;
  /** The sound is closed, for whatever reason. Once. */
  onClosed?(): void;
}

/** Duration of a file's packets; those of the stream may differ. */
const OPUS_STEP_MS = 20;

/** One sound being played. */
export class SoundReplacement {
  readonly #open: OpenSound;
  readonly #handler: SoundReplacementHandler;
  #codec: FlvAudioCodec | undefined;
  #source: SoundSource | undefined;
  /** G.711 left over, less than one tag. */
  #rest: Buffer = Buffer.alloc(0);
  #ended = false;
  /** Several outputs may take the same tag, and must hear the same. */
  #last: { readonly tag: FlvTag; readonly sent: readonly FlvTag[] } | undefined;
  /** End of the Opus sent so far; NaN before the first. */
  #opusEndMs = Number.NaN;

  constructor(open: OpenSound, handler: SoundReplacementHandler = {}) {
    this.#open = open;
    this.#handler = handler;
  }

  /**
   * The tags to send for a tag of the stream: one, but for Opus as many packets as are due. Tags without sound, and tags
   * after the end of the file, are returned unchanged.
   */
  replace(tag: FlvTag): readonly FlvTag[] {
    if (this.#last?.tag !== tag) this.#last = { tag, sent: this.#replaced(tag) };
    return this.#last.sent;
  }

  #replaced(tag: FlvTag): readonly FlvTag[] {
    const codec = this.#ended ? undefined : codecOfTag(tag);
    if (codec === undefined) return [tag];
    const source = this.#sourceOf(codec);
    if (codec === 'opus') return this.#packets(source, tag);
    const isG711 = codec === 'pcma' || codec === 'pcmu';
    const sound = isG711 ? this.#octets(source, soundBytesOf(tag, codec)) : source.read();
    if (sound !== undefined) return [withSound(tag, codec, sound)];
    // Not decoded yet, for some tenths of a second, or ended: the stream's own sound continues.
    if (source.ended) this.#end();
    return [tag];
  }

  /** When the stream changes its codec, the file restarts in the new one. */
  #sourceOf(codec: FlvAudioCodec): SoundSource {
    if (this.#source && codec === this.#codec) return this.#source;
    this.#source?.close();
    this.#codec = codec;
    this.#rest = Buffer.alloc(0);
    this.#opusEndMs = Number.NaN;
    this.#source = this.#open(codec);
    return this.#source;
  }

  /** Ends it; `onEnded` is not called. Idempotent. */
  close(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#source?.close();
    this.#source = undefined;
    this.#handler.onClosed?.();
  }

  /** As many octets of G.711 as the tag had: the stream's packets may have any length. */
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
        // The stream's own sound continues, unless this tag's time is already filled.
        this.#opusEndMs = Number.NaN;
        return tags.length > 0 ? tags : [tag];
      }
      tags.push({ ...withSound(tag, 'opus', sound), timestampMs: this.#opusEndMs });
      this.#opusEndMs += OPUS_STEP_MS;
    }
    return tags;
  }

  #end(): void {
    if (this.#ended) return;
    this.close();
    this.#handler.onEnded?.();
  }
}
