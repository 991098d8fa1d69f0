// Lets no picture through that refers to one that is missing: closed until an IDR, closed again by a loss.

import type { H264AccessUnit, Sink } from './frame.ts';

/** Why a key frame is wanted. */
export type KeyFrameCause = 'start' | 'loss';

/** Stands behind a depacketizer: `onFrame → push`, `onBroken → break`. Starts closed. */
export class KeyFrameGate {
  readonly #next: Sink<H264AccessUnit>;
  readonly #onKeyFrameNeeded: (cause: KeyFrameCause) => void;
  #open = false;
  #cause: KeyFrameCause = 'start';
  #dropped = 0;

  /**
   * @param onKeyFrameNeeded called for every access unit that is dropped and at every `break`: the owner asks the
   *   sender, and throttles (see KeyFrameRequester).
   */
  constructor(next: Sink<H264AccessUnit>, onKeyFrameNeeded: (cause: KeyFrameCause) => void) {
    this.#next = next;
    this.#onKeyFrameNeeded = onKeyFrameNeeded;
  }

  /** True while access units pass. */
  get isOpen(): boolean {
    return this.#open;
  }

  /** Access units held back so far. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Passes the access unit on, or drops it. */
  push(accessUnit: H264AccessUnit): void {
    if (!this.#open) {
      if (!accessUnit.isKeyFrame) {
        this.#dropped++;
        this.#onKeyFrameNeeded(this.#cause);
        return;
      }
      this.#open = true;
    }
    this.#next(accessUnit);
  }

  /** Something is missing before the next access unit. */
  break(): void {
    if (this.#open) this.#cause = 'loss';
    this.#open = false;
    this.#onKeyFrameNeeded(this.#cause);
  }
}
