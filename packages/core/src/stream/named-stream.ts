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

/** A snapshot of a stream. Codecs are those of its source; `null`: not known yet. */
export interface StreamView extends StreamFigures {
  readonly streamName: string;
  /** `null`: the stream does not belong to a call. */
  readonly callId: string | null;
  /** `false` while the name is only reserved, or the call is ringing. */
  readonly live: boolean;
  readonly viewers: number;
  readonly pushes: number;
}

/** How an output is attached. */
export interface AddOutputOptions {
  /** Counts as a viewer of the stream. Default false. */
  readonly isViewer?: boolean;
  /** Black pictures until the first of a video that is expected. Default false. */
  readonly placeholder?: boolean;
  /** Asks the source for a key frame when the last is this old, at least 1,000. Default: never. */
  readonly keyFrameIntervalMs?: number;
}

/** A stream. The stream of a call is reserved when the call starts, and live from the answer to the end. */
export interface NamedStream {
  readonly name: string;
  /** `null`: the stream does not belong to a call. */
  readonly callId: string | null;
  /** `slides`: the second video of a call. */
  readonly content: 'main' | 'slides';
  /** Media is negotiated and the stream has not ended. */
  readonly live: boolean;
  /** All pushes of this stream that were not terminated. */
  readonly pushes: readonly RtmpPush[];
  /** Number of viewers, without recordings and other outputs. */
  readonly viewers: number;
  /** A snapshot, for a stream that has a name. */
  view(): StreamView;
  /**
   * Sends the stream's FLV tags to an output, now or when the stream goes live: metadata, sequence headers and the latest key
   * frame at once, then each tag as it comes. A new key frame is requested. See {@link Output} for the contract.
   *
   * @param form - Default: the stream's own.
   * @returns an idempotent function that detaches the output; `onEnded` is then not called
   * @throws if the stream is live: errors of the encoders that the form needs, and of `onLive`
   */
  addOutput(output: Output, form?: Partial<OutputForm>, options?: AddOutputOptions): () => void;
  /** Asks the source for a key frame. Throttled. */
  requestKeyFrame(): void;
  /**
   * Passes on the stream's audio frames from now on, in the stream's codec; of a call without gaps. The sink must not throw or
   * block.
   * @returns a function that ends the tap. Nothing is passed on after the end of the stream.
   */
  tapAudio(sink: Sink<StreamAudio>): () => void;
  /**
   * Passes on the stream's pictures unchanged, starting with the next key frame, which is requested. The sink must not throw or
   * block.
   * @returns a function that ends the tap. Nothing is passed on after the end of the stream.
   */
  tapVideo(sink: Sink<StreamVideo>): () => void;
}
