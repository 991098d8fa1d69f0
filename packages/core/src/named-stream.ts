// The media of one call as a stream with a name, to which pushes and other outputs are attached.

import type {
  AudioFrame,
  MediaSession,
  MediaStats,
  OutputForm,
  Sink,
  StreamOutput,
} from '@sipcast/media';
import type { RtmpPush } from './rtmp-push.ts';

/** What is told of a stream. */
export interface StreamView {
  readonly streamName: string;
  readonly callId: string;
  /** `false` while it is only reserved, or its call rings. */
  readonly live: boolean;
  /** Codecs as they come from the peer; `null` while nothing came. */
  readonly audioCodec: string | null;
  readonly videoCodec: string | null;
  readonly width: number | null;
  readonly height: number | null;
  readonly fps: number | null;
  /** Of both media, as received. */
  readonly bitrateBps: number | null;
  readonly viewers: number;
  readonly pushes: number;
}

/** An output of your own. It has its own queue and its own drops, and never throws. */
export interface StreamSubscriber extends StreamOutput {
  /** It counts among the stream's viewers. Default false. */
  readonly isViewer?: boolean;
  /** The stream is live: which media will come. Before the first tag, once. */
  onLive?(contents: { readonly hasAudio: boolean; readonly hasVideo: boolean }): void;
  /**
   * Nothing comes any more: the stream has ended, or the encoders for its form cannot be had (`error`). Once. The call waits
   * for the promise before it counts as closed.
   */
  onEnded?(error?: unknown): void | Promise<void>;
}

interface Subscription {
  readonly subscriber: StreamSubscriber;
  readonly form: OutputForm;
  /** Lets go of the encoders. */
  release: (() => void) | undefined;
}

/** The media of one call. Reserved when the call starts, live from its answer to its end. */
export class NamedStream {
  /** The call's `toStream`, or `null` for one that cannot be found by name. */
  readonly name: string | null;
  readonly callId: string;
  readonly #media: MediaSession;
  readonly #pushes = new Set<RtmpPush>();
  readonly #subscriptions = new Set<Subscription>();
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

  /** How many watch; recordings and other outputs are not among them. */
  get viewers(): number {
    let viewers = 0;
    for (const { subscriber } of this.#subscriptions) if (subscriber.isViewer) viewers++;
    return viewers;
  }

  /** A snapshot, for a stream that has a name. */
  view(): StreamView {
    const stats: MediaStats | undefined = this.live ? this.#media.stats() : undefined;
    const { audio, video } = stats ?? {};
    const rates = [audio?.bitrateBps, video?.bitrateBps].filter((rate) => typeof rate === 'number');
    return {
      streamName: this.name ?? '',
      callId: this.callId,
      live: this.live,
      audioCodec: audio?.codec ?? null,
      videoCodec: video?.codec ?? null,
      width: video?.width ?? null,
      height: video?.height ?? null,
      fps: video?.fps ?? null,
      bitrateBps: rates.length === 0 ? null : rates.reduce((sum, rate) => sum + rate, 0),
      viewers: this.viewers,
      pushes: this.pushes.length,
    };
  }

  /**
   * Attaches a push; it connects now, or when the stream goes live.
   * @throws MediaError `TRANSCODERS_BUSY` when its form needs an encoder that cannot be had.
   */
  attach(push: RtmpPush): void {
    if (this.#state === 'live') push.start(this.#media);
    this.#pushes.add(push);
    push.once('closed', () => this.#pushes.delete(push));
  }

  /**
   * Gives the stream's FLV tags to an output: metadata, sequence headers and the newest key frame at once, then what comes;
   * now, or when the stream goes live.
   *
   * @returns what ends it, once; `onEnded` is not called then.
   * @throws what the encoders throw that the form needs, when the stream is live
   */
  subscribe(subscriber: StreamSubscriber, form: OutputForm): () => void {
    const subscription: Subscription = { subscriber, form, release: undefined };
    if (this.#state === 'live') this.#connect(subscription);
    if (this.#state === 'ended') void subscriber.onEnded?.();
    else this.#subscriptions.add(subscription);
    return () => this.#leave(subscription);
  }

  /** Asks the source for a key frame; throttled. */
  requestKeyFrame(): void {
    if (this.#state === 'live') this.#media.requestKeyFrame();
  }

  /**
   * The stream's audio, gap-free, from now on; frames of whatever codec the call has.
   * @returns what ends it. After the end of the stream nothing comes any more.
   */
  tapAudio(sink: Sink<AudioFrame>): () => void {
    return this.#media.tapAudio(sink);
  }

  /** For the call: media is negotiated. */
  goLive(): void {
    this.#state = 'live';
    for (const push of this.#pushes) {
      try {
        push.start(this.#media);
      } catch (error) {
        push.refuse(error);
      }
    }
    for (const subscription of this.#subscriptions) {
      try {
        this.#connect(subscription);
      } catch (error) {
        this.#leave(subscription);
        void subscription.subscriber.onEnded?.(error);
      }
    }
  }

  /** For the call: flushes and closes every push, and ends every other output. */
  async end(): Promise<void> {
    this.#state = 'ended';
    const subscriptions = [...this.#subscriptions];
    for (const subscription of subscriptions) this.#leave(subscription);
    await Promise.all([
      ...subscriptions.map(({ subscriber }) => subscriber.onEnded?.()),
      ...[...this.#pushes].map((push) => push.close()),
    ]);
  }

  #connect(subscription: Subscription): void {
    const { subscriber, form } = subscription;
    subscription.release = this.#media.prepare(form, (error) => {
      this.#leave(subscription);
      void subscriber.onEnded?.(error);
    });
    subscriber.onLive?.(this.#media.contents(form));
    this.#media.addOutput(subscriber, form);
  }

  #leave(subscription: Subscription): void {
    this.#subscriptions.delete(subscription);
    this.#media.removeOutput(subscription.subscriber);
    subscription.release?.();
    subscription.release = undefined;
  }
}
