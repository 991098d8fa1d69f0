// Blocks pictures that refer to a missing one: closed until a key frame, closed again by a loss.

import type { VideoFrame } from '../codec/frame.ts';
import { hasSps, isIntraPicture } from '../codec/h264.ts';
import { recoveryFrameCount } from '../codec/h264-sei.ts';

/** Why a key frame is wanted. */
export type KeyFrameCause = 'start' | 'loss';

/** Options of a {@link KeyFrameGate}. */
export interface KeyFrameGateOptions {
  /**
   * After a loss: `wait` drops everything up to the next key frame (a still picture, never a broken one);
   * `continue` passes everything on (moving, with artefacts until the key frame). Default `wait`.
   */
  readonly afterLoss?: 'wait' | 'continue';
}

/**
 * How long a gradual recovery point is ignored: after a loss, while the last picture stands, time for three key-frame requests and
 * an answer; at the start, while there is none, for two.
 */
const GRADUAL_AFTER_MS: Readonly<Record<KeyFrameCause, number>> = { loss: 1500, start: 700 };

/**
 * Stands behind a depacketizer: `admit` for each frame, `break` for each fault. Starts closed.
 *
 * A sender with intra refresh never sends an IDR picture, however often one is requested. If a recovery point SEI says
 * that a decoder may start, the gate opens, too:
 * - at once if pictures are correct from there on (`recovery_frame_cnt` 0, an I picture);
 * - if they become correct only gradually, not before the gate has been closed for 1.5 s, at the start 0.7 s, because an IDR
 *   picture that answers the request is better: no decoder shows half a picture then. Once a sender was begun with so, and no IDR
 *   has come since, its later recovery points are taken at once: it has no IDR pictures.
 *
 * An I picture without a recovery point is taken like a gradual one, and at once if it comes with a sequence parameter set.
 * Seen in: encoders of room systems that answer a request, or change the size, with I pictures instead of IDR pictures.
 *
 * Everything from the recovery point on is passed, as a decoder needs the pictures in between to get there. The access
 * unit goes on marked as key frame, as containers know no third kind, and outputs and players begin only at those.
 */
export class KeyFrameGate<Frame extends VideoFrame = VideoFrame> {
  readonly #onKeyFrameNeeded: (cause: KeyFrameCause) => void;
  readonly #waits: boolean;
  #open = false;
  #codec: Frame['codec'] | undefined;
  #cause: KeyFrameCause = 'start';
  #dropped = 0;
  /** Arrival of the first picture that was dropped since the gate closed; NaN before. */
  #closedSinceMs = Number.NaN;
  #refreshesGradually = false;

  /**
   * @param onKeyFrameNeeded called for every dropped picture and at every `break`; the callee requests one from the
   *   sender, and throttles (see KeyFrameRequester).
   */
  constructor(onKeyFrameNeeded: (cause: KeyFrameCause) => void, options: KeyFrameGateOptions = {}) {
    this.#onKeyFrameNeeded = onKeyFrameNeeded;
    this.#waits = options.afterLoss !== 'continue';
  }

  /** True while pictures pass. */
  get isOpen(): boolean {
    return this.#open;
  }

  /** Pictures dropped so far. */
  get dropped(): number {
    return this.#dropped;
  }

  /** @returns the picture if it may pass, a recovery point marked as a key frame; `undefined` if it is dropped. */
  admit(frame: Frame): Frame | undefined {
    if (frame.codec !== this.#codec) {
      // Nothing refers to pictures of another codec, whatever the policy.
      this.#open = false;
      this.#codec = frame.codec;
    }
    if (frame.isKeyFrame) {
      this.#refreshesGradually = false;
      this.#open = true;
      return frame;
    }
    // While open, the SEI matters only if no IDR is expected: outputs that join need a place to start.
    // An I picture with a sequence parameter set may have another size, which outputs take only at a key frame.
    const begins = !this.#open || this.#refreshesGradually || isIntraWithSps(frame);
    if (begins && this.#mayBeginAt(frame)) {
      this.#open = true;
      return { ...frame, isKeyFrame: true };
    }
    if (this.#open) return frame;
    if (Number.isNaN(this.#closedSinceMs)) this.#closedSinceMs = frame.arrivalMs;
    this.#dropped++;
    this.#onKeyFrameNeeded(this.#cause);
    return undefined;
  }

  /** Something is missing before the next picture. */
  break(): void {
    if (this.#open) {
      this.#cause = 'loss';
      this.#closedSinceMs = Number.NaN;
    }
    if (this.#waits) this.#open = false;
    this.#onKeyFrameNeeded(this.#cause);
  }

  #mayBeginAt(frame: Frame): boolean {
    if (frame.codec !== 'h264') return false;
    const frames = recoveryFrameCount(frame.nalus);
    if (isIntraWithSps(frame)) return true;
    if (frames === undefined && !isIntraPicture(frame.nalus)) return false;
    if (frames === 0 || this.#refreshesGradually) return true;
    // False while nothing has been dropped yet (NaN).
    if (!(frame.arrivalMs - this.#closedSinceMs >= GRADUAL_AFTER_MS[this.#cause])) return false;
    this.#refreshesGradually = true;
    return true;
  }
}

function isIntraWithSps(frame: VideoFrame): boolean {
  return frame.codec === 'h264' && hasSps(frame.nalus) && isIntraPicture(frame.nalus);
}
