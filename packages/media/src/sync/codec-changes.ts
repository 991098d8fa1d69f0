// How often a peer may change its codec: each change may start an encoder, and a process takes longer to start than a
// packet to come.

/** A phone changes once or twice in a call, when somebody transfers it. */
const MAX_CHANGES_PER_MINUTE = 6;
const MINUTE_MS = 60_000;

/** One medium's codec, as it comes. Pure: time is an argument. */
export class CodecChanges<Codec extends string> {
  #codec: Codec | null = null;
  readonly #times: number[] = [];

  /** The codec that is taken at present; null before the first frame. */
  get codec(): Codec | null {
    return this.#codec;
  }

  /** @returns whether a frame of this codec is taken: false for another one than before, after too many changes. */
  take(codec: Codec, nowMs: number): boolean {
    if (codec === this.#codec) return true;
    const times = this.#times;
    while (times[0] !== undefined && nowMs - times[0] > MINUTE_MS) times.shift();
    if (times.length > MAX_CHANGES_PER_MINUTE) return false;
    times.push(nowMs);
    this.#codec = codec;
    return true;
  }
}
