// The named streams of a gateway: those of calls, and those that applications publish.

import { FlvViewer } from '@sipcast/media';
import type {
  FlvViewerTarget,
  FrameStream,
  FrameStreamHandler,
  FrameStreamMedia,
  HlsFile,
  OutputForm,
} from '@sipcast/media';
import { GatewayError } from '../errors.ts';
import { HlsStreams } from '../hls/hls-streams.ts';
import type { Snapshot, SnapshotFormat } from '../snapshot/snapshots.ts';
import { FramePublication } from '../stream/frame-publication.ts';
import type { GatewayStream } from '../stream/gateway-stream.ts';
import type { StreamView } from '../stream/named-stream.ts';
import { checkStreamName } from '../stream/names.ts';
import type { OutputFormOptions } from '../stream/output-form.ts';
import type { PublishOptions, StreamFilter, Streams, Viewer } from './streams.ts';

/** Limits of the streams. */
export interface StreamTableOptions {
  /** Default 100. */
  readonly maxViewersPerStream?: number;
  /** Default: any number. */
  readonly maxViewers?: number;
  /** Default `black`. */
  readonly videoPlaceholder?: 'black' | 'none';
}

/** What the gateway does for its streams. */
export interface StreamTableHandler {
  /** Those of the live calls. */
  callStreams(): readonly GatewayStream[];
  /** Whether the name is reserved for a call that is starting. */
  isReserved(name: string): boolean;
  /** Opens the source of a published stream. */
  openSource(
    media: FrameStreamMedia,
    form: OutputFormOptions,
    handler: FrameStreamHandler,
  ): FrameStream;
  /** An output of a stream was removed. @param callId - `null`: of a published stream. */
  onOutputFailed(streamName: string, callId: string | null, error: unknown): void;
  /** @throws GatewayError as `Streams.snapshot` */
  takeSnapshot(stream: GatewayStream, format: SnapshotFormat): Promise<Snapshot>;
  /** What browsers play. */
  viewerForm(): OutputForm;
}

/** The streams of the live calls, and those that applications publish. */
export class StreamTable implements Streams {
  readonly #handler: StreamTableHandler;
  readonly #maxViewersPerStream: number;
  readonly #maxViewers: number;
  readonly #placeholder: boolean;
  readonly #hls: HlsStreams;
  readonly #published = new Map<string, FramePublication>();

  constructor(options: StreamTableOptions, handler: StreamTableHandler) {
    this.#handler = handler;
    this.#maxViewersPerStream = options.maxViewersPerStream ?? 100;
    this.#placeholder = options.videoPlaceholder !== 'none';
    this.#hls = new HlsStreams({
      viewerForm: () => handler.viewerForm(),
      placeholder: this.#placeholder,
      requireRoom: (stream) => this.#requireRoom(stream),
      onFailed: (streamName, callId, error) => handler.onOutputFailed(streamName, callId, error),
    });
    this.#maxViewers = options.maxViewers ?? Number.POSITIVE_INFINITY;
  }

  find({ streamName }: StreamFilter = {}): StreamView[] {
    return this.#all()
      .filter(({ name }) => streamName === undefined || name === streamName)
      .map((stream) => stream.view());
  }

  has(streamName: string): boolean {
    return this.#all().some(({ name }) => name === streamName);
  }

  get(streamName: string): GatewayStream {
    const stream = this.#all().find(({ name }) => name === streamName);
    if (!stream)
      throw new GatewayError('STREAM_NOT_FOUND', 'No such stream', { field: 'streamName' });
    return stream;
  }

  publish(name: string, options: PublishOptions): FramePublication {
    checkStreamName('name', name);
    if (this.has(name) || this.#handler.isReserved(name))
      throw new GatewayError('STREAM_EXISTS', 'A live stream has this name', { field: 'name' });
    const { form = {}, onKeyFrameWanted, ...media } = options;
    const onOutputFailed = (error: unknown): void =>
      this.#handler.onOutputFailed(name, null, error);
    const source = this.#handler.openSource(media, form, {
      onOutputFailed,
      ...(onKeyFrameWanted && { onKeyFrameWanted }),
    });
    const published = new FramePublication(name, source, {
      onOutputFailed,
      onClosed: () => this.#published.delete(name),
    });
    this.#published.set(name, published);
    return published;
  }

  watch(streamName: string, target: FlvViewerTarget, onEnded: () => void): Viewer {
    const stream = this.get(streamName);
    this.#requireRoom(stream);
    const viewer = new FlvViewer(target, {
      onKeyFrameWanted: () => stream.requestKeyFrame(),
      onStalled: () => {
        close();
        onEnded();
      },
      onEnded,
    });
    // The stream may end the viewer before `addOutput` returns.
    let close = (): void => {};
    close = stream.addOutput(viewer, this.#handler.viewerForm(), {
      isViewer: true,
      placeholder: this.#placeholder,
    });
    return { close: () => close(), stats: () => viewer.stats };
  }

  async hls(streamName: string, file: string, query = ''): Promise<HlsFile> {
    const ended = this.has(streamName) ? undefined : this.#hls.endedFile(streamName, file, query);
    return ended ?? this.#hls.file(this.get(streamName), file, query);
  }

  async writeHls(streamName: string, dir: string): Promise<() => void> {
    return this.#hls.writeTo(this.get(streamName), dir);
  }

  async snapshot(streamName: string, format: SnapshotFormat = 'png'): Promise<Snapshot> {
    return this.#handler.takeSnapshot(this.get(streamName), format);
  }

  /** Closes the published streams, and HLS. */
  async close(): Promise<void> {
    this.#hls.close();
    await Promise.all([...this.#published.values()].map((one) => one.close()));
  }

  #requireRoom(stream: GatewayStream): void {
    if (stream.viewers >= this.#maxViewersPerStream)
      throw new GatewayError('TOO_MANY_VIEWERS', 'This stream has as many viewers as are allowed');
    const all = this.#all().reduce((sum, { viewers }) => sum + viewers, 0);
    if (all >= this.#maxViewers)
      throw new GatewayError('TOO_MANY_VIEWERS', 'There are as many viewers as are allowed');
  }

  #all(): GatewayStream[] {
    const own = [...this.#published.values()].map(({ stream }) => stream);
    return [...this.#handler.callStreams(), ...own];
  }
}
