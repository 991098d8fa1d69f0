// One output attached to one stream.

import type { FlvTag, Output, OutputContents, OutputForm } from '@sipcast/media';

/** An output may take this long to flush; after that the stream closes without it. */
const END_PATIENCE_MS = 30_000;

/** What an attachment reports. */
export interface AttachmentHandler {
  /** Its source has removed it, and has reported why. */
  onRemoved(error?: unknown): void;
  /** The output failed: remove it. */
  onFailed(error: unknown): void;
  /** The output threw when it was told that it has ended, or took too long. */
  onEndFailed(error: unknown): void;
}

/** An output attached to a stream. */
export class Attachment implements Output {
  readonly output: Output;
  readonly form: OutputForm;
  readonly isViewer: boolean;
  readonly #handler: AttachmentHandler;
  #ended = false;
  /** See `OutputOptions` of the media package. */
  placeholder = false;
  /** Begins to ask for key frames; undefined: it does not want them. */
  wantsKeyFrames: (() => () => void) | undefined;
  unwantKeyFrames: (() => void) | undefined;
  /** Releases the encoders. */
  release: (() => void) | undefined;

  constructor(output: Output, form: OutputForm, isViewer: boolean, handler: AttachmentHandler) {
    this.output = output;
    this.form = form;
    this.isViewer = isViewer;
    this.#handler = handler;
  }

  onLive(contents: OutputContents): void {
    this.output.onLive?.(contents);
  }

  push(tag: FlvTag): void {
    // `push` returns nothing by contract, but an `async` function that rejects would end the process.
    const wrong: unknown = this.output.push(tag);
    if (wrong instanceof Promise) wrong.catch((error: unknown) => this.#handler.onFailed(error));
  }

  /** Called by the renditions: the output threw, and gets no more tags. */
  onEnded(error?: unknown): void {
    this.#handler.onRemoved(error);
  }

  /** Ends the output, once. Never throws or rejects, whatever the output does. */
  async end(reason?: unknown): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((_, reject) => {
      const tooLong = new Error('an output took too long to end');
      timer = setTimeout(() => reject(tooLong), END_PATIENCE_MS);
    });
    try {
      await Promise.race([this.output.onEnded?.(reason), patience]);
    } catch (error) {
      this.#handler.onEndFailed(error);
    } finally {
      clearTimeout(timer);
    }
  }
}
