// The named streams of a gateway as applications see them.

import type { FlvViewerStats, FlvViewerTarget, FrameStreamMedia, HlsFile } from '@sipcast/media';
import type { NamedStream, StreamView } from '../stream/named-stream.ts';
import type { OutputFormOptions } from '../stream/output-form.ts';
import type { Snapshot, SnapshotFormat } from '../snapshot/snapshots.ts';
import type { PublishedStream } from '../stream/published-stream.ts';

/** The media of a published stream: audio, video or both. */
export interface PublishOptions extends FrameStreamMedia {
  /** Form of outputs that ask for none. Default: the gateway's. */
  readonly form?: OutputFormOptions;
  /** An output needs a key frame: send one soon. Called at most twice a second. */
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
  /** Named streams that match all given fields, including reserved ones; an empty array if there are none. */
  find(filter?: StreamFilter): StreamView[];
  /** Whether a stream has this name. */
  has(streamName: string): boolean;
  /** The stream of this name: for outputs of your own, and for its frames. @throws GatewayError `STREAM_NOT_FOUND`. */
  get(streamName: string): NamedStream;
  /**
   * Publishes a stream of frames that the application supplies. It can be found, watched, pushed, recorded and injected into calls
   * like the stream of a call.
   *
   * @param name - As `toStream` of a call.
   * @throws GatewayError `INVALID_ARGUMENT`, `STREAM_EXISTS`; MediaError `TRANSCODING_DISABLED`.
   */
  publish(name: string, options: PublishOptions): PublishedStream;
  /**
   * Sends a named stream as live FLV to one viewer, with AAC if it can be encoded, as browsers need it. Starts when the stream
   * goes live.
   *
   * @param target - Takes the octets.
   * @param onEnded - The stream has ended, or the viewer took no data for ten seconds. Called once; not after `close`.
   * @returns the viewer
   * @throws GatewayError `STREAM_NOT_FOUND`, `TOO_MANY_VIEWERS`, `TRANSCODERS_BUSY`, `TRANSCODER_LOST`.
   */
  watch(streamName: string, target: FlvViewerTarget, onEnded: () => void): Viewer;
  /**
   * The newest key frame of a stream as an image. At most one a second and stream is encoded; requests in between get the same.
   *
   * @throws GatewayError (rejection) `STREAM_NOT_FOUND`; `NO_PICTURE` before the first key frame; `NOT_IMPLEMENTED` without
   * ffmpeg; `TRANSCODERS_BUSY` when too many wait for one.
   */
  snapshot(streamName: string, format?: SnapshotFormat): Promise<Snapshot>;
  /**
   * A file of a stream's HLS: `index.m3u8`, or one that it names. The first request begins packaging, which counts as one viewer and
   * ends after 30 s without a request; it waits for the first segment.
   *
   * @param query - Appended to the addresses in the playlist, e.g. `?token=…`. Default none.
   * @throws GatewayError (rejection) `STREAM_NOT_FOUND`, `FILE_NOT_FOUND`, `TOO_MANY_VIEWERS`, `TRANSCODERS_BUSY`,
   * `TRANSCODER_LOST`; `NO_PICTURE` when no segment was made within 15 s
   */
  hls(streamName: string, file: string, query?: string): Promise<HlsFile>;
  /**
   * Writes a stream's HLS to a folder, for a web server or a CDN: `index.m3u8` and the segments that it names.
   *
   * @returns a function that ends it; the files stay
   * @throws GatewayError (rejection) `STREAM_NOT_FOUND`, `TRANSCODERS_BUSY`, `TRANSCODER_LOST`; errors of the file system
   */
  writeHls(streamName: string, dir: string): Promise<() => void>;
}
