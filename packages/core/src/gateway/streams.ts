// The named streams of a gateway as applications see them.

import type { FlvViewerStats, FlvViewerTarget, FrameStreamMedia } from '@sipcast/media';
import type { NamedStream, StreamView } from '../stream/named-stream.ts';
import type { OutputFormOptions } from '../stream/output-form.ts';
import type { PublishedStream } from '../stream/published-stream.ts';

/** What is published. At least one of both media. */
export interface PublishOptions extends FrameStreamMedia {
  /** Of outputs that want nothing else. Default: the gateway's. */
  readonly form?: OutputFormOptions;
  /** An output needs a key frame: make one soon. At most twice a second. */
  readonly onKeyFrameWanted?: () => void;
}

/** What `streams.find` compares. */
export interface StreamFilter {
  readonly streamName?: string;
}

/** One viewer of a stream. */
export interface Viewer {
  /** Ends it. Idempotent. */
  close(): void;
  /** What was sent so far. */
  stats(): FlvViewerStats;
}

/** See `CallGateway.streams`. */
export interface Streams {
  /** Named streams that match all given fields, those included that are only reserved; none: an empty array. */
  find(filter?: StreamFilter): StreamView[];
  /** Whether a stream has this name. */
  has(streamName: string): boolean;
  /** The stream of this name: for outputs of your own, and for its frames. @throws GatewayError `STREAM_NOT_FOUND`. */
  get(streamName: string): NamedStream;
  /**
   * A stream of your own: frames that you push. It is found, watched, pushed, recorded by an output, and injected into calls
   * like that of a call.
   *
   * @param name - As `toStream` of a call.
   * @throws GatewayError `INVALID_ARGUMENT`, `STREAM_EXISTS`; MediaError `TRANSCODING_DISABLED`.
   */
  publish(name: string, options: PublishOptions): PublishedStream;
  /**
   * A live FLV file of a named stream for one viewer, with AAC wherever it can be made: what browsers play. It begins when
   * the stream goes live.
   *
   * @param target - Takes the octets.
   * @param onEnded - The stream has ended, or the viewer took nothing for ten seconds. Once; not after `close`.
   * @returns what ends it.
   * @throws GatewayError `STREAM_NOT_FOUND`, `TOO_MANY_VIEWERS`, `TRANSCODERS_BUSY`, `TRANSCODER_LOST`.
   */
  watch(streamName: string, target: FlvViewerTarget, onEnded: () => void): Viewer;
}
