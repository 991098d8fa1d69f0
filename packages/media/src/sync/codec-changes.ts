// How often a peer may change its codec: each change may start an encoder process, which costs far more than a packet.

/** A phone changes its codec once or twice in a call, after a transfer. */
const MAX_CHANGES_PER_MINUTE = 6;
const MINUTE_MS = 60_000;

/** Tracks one medium's codec. Pure: time is an argument. */
export class CodecChanges<Codec extends string> {
  #codec: Codec | null = null;
  readonly #times: number[] = [];

  /** The current codec; null before the first frame. */
  get codec(): Codec | null {
    return this.#codec;
  }

  /** @returns whether to accept a frame of this codec: false for another codec after too many changes. */
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
