// A stream as applications see it: the media of one call, or frames that an application supplies, to which pushes and other
// outputs are attached.

import type {
  Output,
  OutputForm,
  Sink,
  StreamAudio,
  StreamFigures,
  StreamVideo,
} from '@sipcast/media';
import type { RtmpPush } from './rtmp-push.ts';

/** What is told of a stream. Codecs as they come from its source; what is not known yet is `null`. */
export interface StreamView extends StreamFigures {
  readonly streamName: string;
  /** `null`: it is no call's. */
  readonly callId: string | null;
  /** `false` while it is only reserved, or its call rings. */
  readonly live: boolean;
  readonly viewers: number;
  readonly pushes: number;
}

/** How an output is attached. */
export interface AddOutputOptions {
  /** It counts among the stream's viewers. Default false. */
  readonly isViewer?: boolean;
}

/** A stream. That of a call is reserved when the call starts, and live from its answer to its end. */
export interface NamedStream {
  /** The call's `toStream`, or `null` for one that cannot be found by name. */
  readonly name: string | null;
  /** `null`: it is no call's. */
  readonly callId: string | null;
  /** Media is negotiated, and the call goes on. */
  readonly live: boolean;
  /** All pushes of this stream that were not terminated. */
  readonly pushes: readonly RtmpPush[];
  /** How many watch; recordings and other outputs are not among them. */
  readonly viewers: number;
  /** A snapshot, for a stream that has a name. */
  view(): StreamView;
  /**
   * Gives the stream's FLV tags to an output, now or when the stream goes live: metadata, sequence headers and the newest key
   * frame at once, then what comes; a fresh key frame is asked for. See {@link Output} for what it gets and owes.
   *
   * @param form - Default: the stream's own.
   * @returns what ends it, once; `onEnded` is not called then.
   * @throws what the encoders throw that the form needs, and what `onLive` throws, when the stream is live
   */
  addOutput(output: Output, form?: Partial<OutputForm>, options?: AddOutputOptions): () => void;
  /** Asks the source for a key frame; throttled. */
  requestKeyFrame(): void;
  /**
   * The stream's sound in frames, from now on: of a call gap-free, of whatever codec it has. The sink must neither throw nor
   * block.
   * @returns what ends it. After the end of the stream nothing comes any more.
   */
  tapAudio(sink: Sink<StreamAudio>): () => void;
  /**
   * The stream's pictures, as they came, from the next key frame on, which is asked for. The sink must neither throw nor block.
   * @returns what ends it. After the end of the stream nothing comes any more.
   */
  tapVideo(sink: Sink<StreamVideo>): () => void;
}
