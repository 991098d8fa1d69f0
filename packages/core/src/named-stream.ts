// The media of one call as a stream with a name, to which pushes are attached.

import type { MediaSession } from '@sipcast/media';
import type { RtmpPush } from './rtmp-push.ts';

/** The media of one call. Reserved when the call starts, live from its answer to its end. */
export class NamedStream {
  /** The call's `toStream`, or `null` for one that cannot be found by name. */
  readonly name: string | null;
  readonly callId: string;
  readonly #media: MediaSession;
  readonly #pushes = new Set<RtmpPush>();
  #state: 'reserved' | 'live' | 'ended' = 'reserved';

  /** For the call: its media. */
  constructor(name: string | null, callId: string, media: MediaSession) {
    this.name = name;
    this.callId = callId;
    this.#media = media;
  }

  /** Media is negotiated, and the call goes on. */
  get live(): boolean {
    return this.#state === 'live';
  }

  /** All pushes of this stream that were not terminated. */
  get pushes(): readonly RtmpPush[] {
    return [...this.#pushes].filter((push) => !push.terminated);
  }

  /** Attaches a push; it connects now, or when the stream goes live. */
  attach(push: RtmpPush): void {
    this.#pushes.add(push);
    push.once('closed', () => this.#pushes.delete(push));
    if (this.#state === 'live') push.start(this.#media);
  }

  /** For the call: media is negotiated. */
  goLive(): void {
    this.#state = 'live';
    for (const push of this.#pushes) push.start(this.#media);
  }

  /** For the call: flushes and closes every push. */
  async end(): Promise<void> {
    this.#state = 'ended';
    await Promise.all([...this.#pushes].map((push) => push.close()));
  }
}
