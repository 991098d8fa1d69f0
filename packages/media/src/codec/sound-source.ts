// What can be played to the peer, as the RTP line takes it.

/** Sound on its way to the peer, in the codec of the line that plays it. */
export interface SoundSource {
  /**
   * The next 20 ms as one RTP payload, or undefined when there is nothing at present. Called once in 20 ms; must not
   * throw or block.
   */
  read(): Uint8Array | undefined;
  /** True when nothing will come any more. */
  readonly ended: boolean;
  /** Frees what it holds. Idempotent. */
  close(): void;
}
