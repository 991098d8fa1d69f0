// One output attached to one stream.

import type { FlvTag, Output, OutputContents, OutputForm } from '@sipcast/media';

/** An output may take this long to flush; after that the stream closes without it. */
const END_PATIENCE_MS = 30_000;

/** An output attached to a stream. */
export class Attachment implements Output {
  readonly output: Output;
  readonly form: OutputForm;
  readonly isViewer: boolean;
  readonly #onThrown: (attachment: Attachment, error: unknown) => void;
  #ended = false;
  /** Releases the encoders. */
  release: (() => void) | undefined;

  constructor(
    output: Output,
    form: OutputForm,
    isViewer: boolean,
    onThrown: (attachment: Attachment, error: unknown) => void,
  ) {
    this.output = output;
    this.form = form;
    this.isViewer = isViewer;
    this.#onThrown = onThrown;
  }

  onLive(contents: OutputContents): void {
    this.output.onLive?.(contents);
  }

  push(tag: FlvTag): void {
    // `push` returns nothing by contract, but an `async` function that rejects would end the process.
    const wrong: unknown = this.output.push(tag);
    if (wrong instanceof Promise) wrong.catch((error: unknown) => this.#onThrown(this, error));
  }

  /** Called by the renditions: the output threw, and gets no more tags. */
  onEnded(error?: unknown): void {
    this.#onThrown(this, error);
  }

  /** Ends the output, once. Never throws or rejects, whatever the output does. */
  async end(reason?: unknown): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, END_PATIENCE_MS);
    });
    try {
      await Promise.race([this.output.onEnded?.(reason), patience]);
    } catch {
      // The output has failed to end; nothing depends on it any longer.
    } finally {
      clearTimeout(timer);
    }
  }
}
