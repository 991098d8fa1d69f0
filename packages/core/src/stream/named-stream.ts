// The media of one call, or frames of one's own, as a stream with a name, to which pushes and other outputs are attached.

import type {
  FlvTag,
  Output,
  OutputContents,
  OutputForm,
  Sink,
  StreamAudio,
  StreamFigures,
  StreamSource,
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

const NOTHING: StreamFigures = {
  audioCodec: null,
  videoCodec: null,
  width: null,
  height: null,
  fps: null,
  bitrateBps: null,
};

/** So long an output may take to flush; then the stream counts as closed without it. */
const END_PATIENCE_MS = 30_000;

/** One output at one stream. */
class Attachment implements Output {
  readonly output: Output;
  readonly form: OutputForm;
  readonly isViewer: boolean;
  readonly #onThrown: (attachment: Attachment, error: unknown) => void;
  #ended = false;
  /** Lets go of the encoders. */
  release: (() => void) | undefined;

  constructor(
    output: Output,
    form: OutputForm,
    isViewer: boolean,
    onThrown: (attachment: Attachment, error: unknown) => void,
  ) {
    this.output = output;
    this.form = form;
    this.isViewer = isViewer;
    this.#onThrown = onThrown;
  }

  onLive(contents: OutputContents): void {
    this.output.onLive?.(contents);
  }

  push(tag: FlvTag): void {
    // The contract has no promise; an `async` function that fails would else end the process.
    const wrong: unknown = this.output.push(tag);
    if (wrong instanceof Promise) wrong.catch((error: unknown) => this.#onThrown(this, error));
  }

  /** From the renditions: it has thrown, and gets nothing any more. */
  onEnded(error?: unknown): void {
    this.#onThrown(this, error);
  }

  /** Tells the output, once. Never throws or rejects: what it does wrong is its own affair. */
  async end(reason?: unknown): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, END_PATIENCE_MS);
    });
    try {
      await Promise.race([this.output.onEnded?.(reason), patience]);
    } catch {
      // There is nobody to tell.
    } finally {
      clearTimeout(timer);
    }
  }
}

/** A stream. That of a call is reserved when the call starts, and live from its answer to its end. */
export class NamedStream {
  /** The call's `toStream`, or `null` for one that cannot be found by name. */
  readonly name: string | null;
  /** `null`: it is no call's. */
  readonly callId: string | null;
  readonly #source: StreamSource;
  readonly #pushes = new Set<RtmpPush>();
  readonly #attachments = new Set<Attachment>();
  #state: 'reserved' | 'live' | 'ended' = 'reserved';

  /** For the owner of its source. */
  constructor(name: string | null, callId: string | null, source: StreamSource) {
    this.name = name;
    this.callId = callId;
    this.#source = source;
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
    for (const { isViewer } of this.#attachments) if (isViewer) viewers++;
    return viewers;
  }

  /** A snapshot, for a stream that has a name. */
  view(): StreamView {
    return {
      streamName: this.name ?? '',
      callId: this.callId,
      live: this.live,
      ...(this.live ? this.#source.figures() : NOTHING),
      viewers: this.viewers,
      pushes: this.pushes.length,
    };
  }

  /**
   * Attaches a push; it connects now, or when the stream goes live.
   * @throws MediaError `TRANSCODERS_BUSY` when its form needs an encoder that cannot be had.
   */
  attach(push: RtmpPush): void {
    if (this.#state === 'live') push.start(this.#source);
    this.#pushes.add(push);
    push.once('closed', () => this.#pushes.delete(push));
  }

  /**
   * Gives the stream's FLV tags to an output, now or when the stream goes live: metadata, sequence headers and the newest key
   * frame at once, then what comes; a fresh key frame is asked for. See {@link Output} for what it gets and owes.
   *
   * @param form - Default: the stream's own.
   * @returns what ends it, once; `onEnded` is not called then.
   * @throws what the encoders throw that the form needs, and what `onLive` throws, when the stream is live
   */
  addOutput(
    output: Output,
    form?: Partial<OutputForm>,
    { isViewer = false }: AddOutputOptions = {},
  ): () => void {
    const own = this.#source.form;
    const wanted = form ? { audio: own.audio, video: own.video, ...form } : own;
    const attachment = new Attachment(output, wanted, isViewer, (thrower, error) =>
      this.#dismiss(thrower, error),
    );
    if (this.#state === 'live') this.#connect(attachment);
    if (this.#state === 'ended') void attachment.end();
    else this.#attachments.add(attachment);
    return () => this.#leave(attachment);
  }

  /** Asks the source for a key frame; throttled. */
  requestKeyFrame(): void {
    if (this.#state === 'live') this.#source.requestKeyFrame();
  }

  /**
   * The stream's sound in frames, from now on: of a call gap-free, of whatever codec it has. The sink must neither throw nor
   * block.
   * @returns what ends it. After the end of the stream nothing comes any more.
   */
  tapAudio(sink: Sink<StreamAudio>): () => void {
    return this.#source.tapAudio(sink);
  }

  /**
   * The stream's pictures, as they came, from the next key frame on, which is asked for. The sink must neither throw nor block.
   * @returns what ends it. After the end of the stream nothing comes any more.
   */
  tapVideo(sink: Sink<StreamVideo>): () => void {
    let begun = false;
    const end = this.#source.tapVideo((picture) => {
      begun ||= picture.isKeyFrame;
      if (begun) sink(picture);
    });
    this.requestKeyFrame();
    return end;
  }

  /** For the owner: media comes. */
  goLive(): void {
    this.#state = 'live';
    for (const push of this.#pushes) {
      try {
        push.start(this.#source);
      } catch (error) {
        push.refuse(error);
      }
    }
    for (const attachment of this.#attachments) {
      try {
        this.#connect(attachment);
      } catch (error) {
        this.#dismiss(attachment, error);
      }
    }
  }

  /** For the owner: what is still on its way reaches the outputs; every push is flushed and closed, every other output ended. */
  async end(): Promise<void> {
    this.#state = 'ended';
    await this.#source.finish();
    const attachments = [...this.#attachments];
    for (const attachment of attachments) this.#leave(attachment);
    await Promise.all([
      ...attachments.map((attachment) => attachment.end()),
      ...[...this.#pushes].map((push) => push.close()),
    ]);
  }

  #connect(attachment: Attachment): void {
    const { form } = attachment;
    attachment.release = this.#source.prepare(form, (error) => this.#dismiss(attachment, error));
    try {
      attachment.onLive(this.#source.contents(form));
    } catch (error) {
      this.#leave(attachment);
      throw error;
    }
    this.#source.addOutput(attachment, form);
  }

  #dismiss(attachment: Attachment, error: unknown): void {
    this.#leave(attachment);
    void attachment.end(error);
  }

  #leave(attachment: Attachment): void {
    this.#attachments.delete(attachment);
    this.#source.removeOutput(attachment);
    attachment.release?.();
    attachment.release = undefined;
  }
}
