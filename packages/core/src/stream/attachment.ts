// One output attached to one stream.

import type { FlvTag, Output, OutputContents, OutputForm } from '@sipcast/media';

/** So long an output may take to flush; then the stream counts as closed without it. */
const END_PATIENCE_MS = 30_000;

/** One output at one stream. */
export class Attachment implements Output {
  readonly output: Output;
  readonly form: OutputForm;
  readonly isViewer: boolean;
  readonly #onThrown: (attachment: Attachment, error: unknown) => void;
  #ended = false;
  /** Lets go of the encoders. */
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
    // The contract has no promise; an `async` function that fails would else end the process.
    const wrong: unknown = this.output.push(tag);
    if (wrong instanceof Promise) wrong.catch((error: unknown) => this.#onThrown(this, error));
  }

  /** From the renditions: it has thrown, and gets nothing any more. */
  onEnded(error?: unknown): void {
    this.#onThrown(this, error);
  }

  /** Tells the output, once. Never throws or rejects: what it does wrong is its own affair. */
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
      // There is nobody to tell.
    } finally {
      clearTimeout(timer);
    }
  }
}
