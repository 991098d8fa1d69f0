// The named streams of a gateway: those of calls and those of one's own.

import { FlvViewer } from '@sipcast/media';
import type {
  FlvViewerTarget,
  FrameStream,
  FrameStreamHandler,
  FrameStreamMedia,
  OutputForm,
} from '@sipcast/media';
import { GatewayError } from '../errors.ts';
import type { StreamFilter, Viewer } from './gateway-contract.ts';
import type { NamedStream, StreamView } from '../stream/named-stream.ts';
import { checkStreamName } from '../call/options.ts';
import type { OutputFormOptions } from '../call/options.ts';
import { PublishedStream } from '../stream/published-stream.ts';

/** What is published. At least one of both media. */
export interface PublishOptions extends FrameStreamMedia {
  /** Of outputs that want nothing else. Default: the gateway's. */
  readonly form?: OutputFormOptions;
  /** An output needs a key frame: make one soon. At most twice a second. */
  readonly onKeyFrameWanted?: () => void;
}

/** Limits of the streams. */
export interface StreamsOptions {
  /** Default 100. */
  readonly maxViewersPerStream?: number;
  /** Default: any number. */
  readonly maxViewers?: number;
}

/** What the gateway does for its streams. */
export interface StreamsHandler {
  /** Those of the live calls, with and without a name. */
  callStreams(): readonly NamedStream[];
  /** The name is kept for a call that is being started. */
  isReserved(name: string): boolean;
  /** Opens the source of a stream of one's own. */
  openSource(
    media: FrameStreamMedia,
    form: OutputFormOptions,
    handler: FrameStreamHandler,
  ): FrameStream;
  /** What browsers play. */
  viewerForm(): OutputForm;
}

/** See {@link CallGateway.streams}. */
export class Streams {
  readonly #handler: StreamsHandler;
  readonly #maxViewersPerStream: number;
  readonly #maxViewers: number;
  readonly #published = new Map<string, PublishedStream>();

  /** For the gateway. */
  constructor(options: StreamsOptions, handler: StreamsHandler) {
    this.#handler = handler;
    this.#maxViewersPerStream = options.maxViewersPerStream ?? 100;
    this.#maxViewers = options.maxViewers ?? Number.POSITIVE_INFINITY;
  }

  /** Named streams that match all given fields, those included that are only reserved; none: an empty array. */
  find({ streamName }: StreamFilter = {}): StreamView[] {
    return this.#all()
      .filter(({ name }) => streamName === undefined || name === streamName)
      .map((stream) => stream.view());
  }

  /** Whether a stream has this name. */
  has(streamName: string): boolean {
    return this.#all().some(({ name }) => name === streamName);
  }

  /** The stream of this name: for outputs of your own, and for its frames. @throws GatewayError `STREAM_NOT_FOUND`. */
  get(streamName: string): NamedStream {
    const stream = this.#all().find(({ name }) => name === streamName);
    if (!stream)
      throw new GatewayError('STREAM_NOT_FOUND', 'No such stream', { field: 'streamName' });
    return stream;
  }

  /**
   * A stream of your own: frames that you push. It is found, watched, pushed, recorded by an output, and injected into calls
   * like that of a call.
   *
   * @param name - As `toStream` of a call.
   * @throws GatewayError `INVALID_ARGUMENT`, `STREAM_EXISTS`; MediaError `TRANSCODING_DISABLED`.
   */
  publish(name: string, options: PublishOptions): PublishedStream {
    checkStreamName('name', name);
    if (this.has(name) || this.#handler.isReserved(name))
      throw new GatewayError('STREAM_EXISTS', 'A live stream has this name', { field: 'name' });
    const { form = {}, onKeyFrameWanted, ...media } = options;
    const source = this.#handler.openSource(media, form, {
      ...(onKeyFrameWanted && { onKeyFrameWanted }),
    });
    const published = new PublishedStream(name, source, () => this.#published.delete(name));
    this.#published.set(name, published);
    return published;
  }

  /**
   * A live FLV file of a named stream for one viewer, with AAC wherever it can be made: what browsers play. It begins when
   * the stream goes live.
   *
   * @param target - Takes the octets.
   * @param onEnded - The stream has ended, or the viewer took nothing for ten seconds. Once; not after `close`.
   * @returns what ends it.
   * @throws GatewayError `STREAM_NOT_FOUND`, `TOO_MANY_VIEWERS`, `TRANSCODERS_BUSY`, `TRANSCODER_LOST`.
   */
  watch(streamName: string, target: FlvViewerTarget, onEnded: () => void): Viewer {
    const stream = this.get(streamName);
    if (stream.viewers >= this.#maxViewersPerStream)
      throw new GatewayError('TOO_MANY_VIEWERS', 'As many watch this stream as are allowed');
    const all = this.#all().reduce((sum, { viewers }) => sum + viewers, 0);
    if (all >= this.#maxViewers)
      throw new GatewayError('TOO_MANY_VIEWERS', 'As many watch streams here as are allowed');
    const viewer = new FlvViewer(target, {
      onKeyFrameWanted: () => stream.requestKeyFrame(),
      onStalled: () => {
        close();
        onEnded();
      },
      onEnded,
    });
    // The stream may let go of it before `addOutput` returns.
    let close = (): void => {};
    close = stream.addOutput(viewer, this.#handler.viewerForm(), { isViewer: true });
    return { close: () => close(), stats: () => viewer.stats };
  }

  /** For the gateway: closes those of one's own. */
  async close(): Promise<void> {
    await Promise.all([...this.#published.values()].map((one) => one.close()));
  }

  #all(): NamedStream[] {
    const own = [...this.#published.values()].map(({ stream }) => stream);
    return [...this.#handler.callStreams().filter(({ name }) => name !== null), ...own];
  }
}
