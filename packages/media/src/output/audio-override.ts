// A decorator of outputs that replaces the audio of the stream by silence or a sound, without a break.

import type { FlvTag } from '../codec/frame.ts';
import { silencedTag } from '../flv/audio-tag.ts';
import type { Output, OutputContents } from './output.ts';
import { SoundReplacement } from './sound-replacement.ts';
import type { OpenSound, SoundReplacementHandler } from './sound-replacement.ts';

/** Decides what its outputs hear; all of them hear the same. */
export class AudioOverride {
  /** Replaces all audio by silence, including a played sound. */
  muted: boolean;
  #sound: SoundReplacement | undefined;

  /** @param muted - Default false. */
  constructor(muted = false) {
    this.muted = muted;
  }

  /** A sound is being played instead of the audio. */
  get isPlaying(): boolean {
    return this.#sound !== undefined;
  }

  /**
   * Plays a sound instead of the audio, from the next tag until it ends. Ends the previous sound.
   *
   * @param open - Called with the codec of the stream, and again when that changes.
   */
  play(open: OpenSound, handler: SoundReplacementHandler = {}): void {
    this.stop();
    const sound: SoundReplacement = new SoundReplacement(open, {
      onEnded: () => {
        if (this.#sound === sound) this.#sound = undefined;
        handler.onEnded?.();
      },
      onClosed: () => handler.onClosed?.(),
    });
    this.#sound = sound;
  }

  /** Ends the sound: the stream's own audio resumes. */
  stop(): void {
    this.#sound?.close();
    this.#sound = undefined;
  }

  /** @returns an output that passes its tags to this one, with the audio replaced. */
  over(output: Output): Output {
    return new OverriddenOutput(this, output);
  }

  /** For {@link over}: passes a tag to an output, with its audio replaced. */
  push(tag: FlvTag, output: Output): void {
    if (this.#sound === undefined) {
      output.push(this.muted ? silencedTag(tag) : tag);
      return;
    }
    for (const heard of this.#sound.replace(tag))
      output.push(this.muted ? silencedTag(heard) : heard);
  }
}

class OverriddenOutput implements Output {
  readonly #override: AudioOverride;
  readonly #output: Output;

  constructor(override: AudioOverride, output: Output) {
    this.#override = override;
    this.#output = output;
  }

  onLive(contents: OutputContents): void {
    this.#output.onLive?.(contents);
  }

  push(tag: FlvTag): void {
    this.#override.push(tag, this.#output);
  }

  onEnded(error?: unknown): void | Promise<void> {
    return this.#output.onEnded?.(error);
  }
}
