// Why a medium that should arrive is not on air. Pure: counters in, a problem with a name out; time is an argument.

import type { MediaKind } from '../codec/frame.ts';
import type { RtpSessionStats } from '../rtp/rtp-session.ts';

/** Why nothing of a medium reaches the outputs. */
export type MediaProblem =
  /** Nothing arrives, or nothing more. */
  | 'NO_PACKETS'
  /** All packets have a payload type that was not negotiated: this one. */
  | `UNKNOWN_PAYLOAD_TYPE ${number}`
  /** Intact pictures arrive, but no decoder can start with one of them. */
  | 'NO_KEY_FRAME'
  /** Packets arrive, but no frame: they are malformed, incomplete, encrypted with other keys, or lack parameter sets. */
  | 'UNDECODABLE'
  /** The sound is silence, or the sender announced a pause. */
  | 'SILENT'
  /** There was a picture, and now no packets arrive, or only the same picture again: outputs repeat it. */
  | 'FROZEN'
  /** Either side holds the call while outputs are attached: they get silence and the last picture. */
  | 'HELD';

/** Counters of one medium since the session was opened; they only grow. */
export interface MediumActivity {
  /** The medium is to be received: negotiated, and not held by either side. */
  readonly expected: boolean;
  /** Either side holds the call, and outputs are attached. Default false. */
  readonly heldOnAir?: boolean;
  /** RTP packets of negotiated types. */
  readonly packets: number;
  /** RTP packets of other types, and the type of the last one. */
  readonly unknown: number;
  readonly unknownType: number | undefined;
  /** Packets that could not be decrypted or parsed. */
  readonly unreadable: number;
  /** Frames passed on: pictures, sound that is not silence, pressed keys. */
  readonly frames: number;
  /** Intact pictures withheld until a key frame. */
  readonly withheld: number;
  /** Pictures that were the one before again; not among `frames`. */
  readonly repeated: number;
  /** Packets of silence and comfort noise. */
  readonly silent: number;
}

/** Faults of datagrams that are no legible RTP packet. */
const UNREADABLE = /^(srtp-|rtp-(short|version|csrc|extension|padding)$)/;
/** How long nothing may reach the outputs before that is a problem. */
const PROBLEM_AFTER_MS = 3000;
/** Speech has pauses: silence after sound is a problem only when it lasts … */
const SILENT_AFTER_MS = 10_000;
/** … and is over when there is sound in so many checks in a row, not with a click. */
const SOUND_CHECKS = 2;

/** The counters that an RTP session keeps. */
export function arrived(
  rtp: RtpSessionStats,
): Pick<MediumActivity, 'packets' | 'unknown' | 'unknownType' | 'unreadable'> {
  let unreadable = 0;
  for (const [fault, count] of Object.entries(rtp.faults))
    if (UNREADABLE.test(fault)) unreadable += count;
  return {
    packets: rtp.packets,
    unknown: rtp.faults['rtp-payload-type'] ?? 0,
    unknownType: rtp.unknownPayloadType ?? undefined,
    unreadable,
  };
}

/** Watches one medium. */
export class MediaProblems {
  readonly #kind: MediaKind;
  #problem: MediaProblem | null = null;
  /** The last time that all was well; NaN while the medium is not expected. */
  #goodMs = Number.NaN;
  /** Since when the call is held on air. */
  #heldMs: number | undefined;
  #before: MediumActivity | undefined;
  /** Checks in a row, up to the last one, that found frames. */
  #soundChecks = 0;
  /** When each counter grew for the last time. */
  readonly #grewMs = {
    packets: Number.NEGATIVE_INFINITY,
    unknown: Number.NEGATIVE_INFINITY,
    unreadable: Number.NEGATIVE_INFINITY,
    frames: Number.NEGATIVE_INFINITY,
    withheld: Number.NEGATIVE_INFINITY,
    repeated: Number.NEGATIVE_INFINITY,
    silent: Number.NEGATIVE_INFINITY,
  };

  constructor(kind: MediaKind) {
    this.#kind = kind;
  }

  /** The present problem; null while there is none. */
  get problem(): MediaProblem | null {
    return this.#problem;
  }

  /** Since when nothing has reached the outputs, on the clock of `check`; null while there is no problem. */
  get sinceMs(): number | null {
    return this.#problem === null ? null : (this.#heldMs ?? this.#goodMs);
  }

  /** Call it about once a second. @returns whether the problem has changed. */
  check(activity: MediumActivity, nowMs: number): boolean {
    const before = this.#before;
    this.#before = activity;
    for (const name of [
      'packets',
      'unknown',
      'unreadable',
      'frames',
      'withheld',
      'repeated',
      'silent',
    ] as const)
      if (activity[name] > (before?.[name] ?? 0)) this.#grewMs[name] = nowMs;
    this.#soundChecks = this.#grewMs.frames === nowMs ? this.#soundChecks + 1 : 0;
    const isGood =
      this.#problem === 'SILENT' ? this.#soundChecks >= SOUND_CHECKS : this.#soundChecks > 0;
    if (!activity.expected) this.#goodMs = Number.NaN;
    else if (Number.isNaN(this.#goodMs) || isGood) this.#begin(nowMs);
    this.#heldMs = activity.heldOnAir === true ? (this.#heldMs ?? nowMs) : undefined;
    const problem = this.#heldMs === undefined ? this.#judge(activity, nowMs) : 'HELD';
    if (problem === this.#problem) return false;
    this.#problem = problem;
    return true;
  }

  /** What arrived before is no sign of what arrives now. */
  #begin(nowMs: number): void {
    if (Number.isNaN(this.#goodMs) && this.#grewMs.frames !== nowMs)
      this.#grewMs.frames = Number.NEGATIVE_INFINITY;
    this.#goodMs = nowMs;
  }

  #judge({ unknownType }: MediumActivity, nowMs: number): MediaProblem | null {
    // False while nothing is expected (NaN).
    if (!(nowMs - this.#goodMs >= PROBLEM_AFTER_MS)) return null;
    const { packets, unknown, unreadable, frames, withheld, repeated, silent } = this.#grewMs;
    const isRecent = (atMs: number): boolean => nowMs - atMs < PROBLEM_AFTER_MS;
    const isPause = Number.isFinite(frames) && nowMs - this.#goodMs < SILENT_AFTER_MS;
    if (isRecent(withheld)) return 'NO_KEY_FRAME';
    if (isRecent(repeated)) return 'FROZEN';
    if (isRecent(silent)) return isPause ? null : 'SILENT';
    if (isRecent(packets) || isRecent(unreadable)) return 'UNDECODABLE';
    if (isRecent(unknown)) return `UNKNOWN_PAYLOAD_TYPE ${unknownType ?? 0}`;
    // RFC 3389 §4: after comfort noise a sender may pause for as long as the silence lasts.
    if (silent >= packets && Number.isFinite(silent)) return isPause ? null : 'SILENT';
    return this.#kind === 'video' && Number.isFinite(frames) ? 'FROZEN' : 'NO_PACKETS';
  }
}
