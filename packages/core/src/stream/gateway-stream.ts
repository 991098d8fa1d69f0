// A stream as the gateway drives it: its source, its outputs and its pushes, from the reservation to the end.

import type {
  Output,
  OutputForm,
  Sink,
  StillPicture,
  StreamAudio,
  StreamFigures,
  StreamSource,
  StreamVideo,
} from '@sipcast/media';
import { Attachment } from './attachment.ts';
import type { GatewayPush } from './gateway-push.ts';
import type { AddOutputOptions, NamedStream, StreamView } from './named-stream.ts';

const NOTHING: StreamFigures = {
  audioCodec: null,
  videoCodec: null,
  width: null,
  height: null,
  fps: null,
  bitrateBps: null,
};

/** What a stream belongs to. */
export interface StreamOrigin {
  /** Of the call that owns it; `null`: of none. */
  readonly callId: string | null;
  /** Default `main`. */
  readonly content?: 'main' | 'slides';
}

/** A stream as the gateway drives it. */
export class GatewayStream implements NamedStream {
  readonly name: string;
  readonly callId: string | null;
  readonly content: 'main' | 'slides';
  readonly #source: StreamSource;
  readonly #onOutputFailed: (error: unknown) => void;
  readonly #pushes = new Set<GatewayPush>();
  readonly #attachments = new Set<Attachment>();
  #state: 'reserved' | 'live' | 'ended' = 'reserved';

  /**
   * @param onOutputFailed - An output was removed, or failed to end, for a reason that its source does not report itself.
   */
  constructor(
    name: string,
    { callId, content = 'main' }: StreamOrigin,
    source: StreamSource,
    onOutputFailed: (error: unknown) => void,
  ) {
    this.name = name;
    this.callId = callId;
    this.content = content;
    this.#source = source;
    this.#onOutputFailed = onOutputFailed;
  }

  get live(): boolean {
    return this.#state === 'live';
  }

  get pushes(): readonly GatewayPush[] {
    return [...this.#pushes].filter((push) => !push.terminated);
  }

  get viewers(): number {
    let viewers = 0;
    for (const { isViewer } of this.#attachments) if (isViewer) viewers++;
    return viewers;
  }

  view(): StreamView {
    return {
      streamName: this.name,
      callId: this.callId,
      live: this.live,
      ...(this.live ? this.#source.figures() : NOTHING),
      viewers: this.viewers,
      pushes: this.pushes.length,
    };
  }

  /**
   * Attaches a push. It connects now, or when the stream goes live.
   * @throws MediaError `TRANSCODERS_BUSY` when its form needs an encoder and none is free
   */
  attach(push: GatewayPush): void {
    if (this.#state === 'live') push.start(this.#source);
    this.#pushes.add(push);
    push.once('closed', () => this.#pushes.delete(push));
  }

  addOutput(
    output: Output,
    form?: Partial<OutputForm>,
    { isViewer = false, placeholder = false, keyFrameIntervalMs }: AddOutputOptions = {},
  ): () => void {
    const own = this.#source.form;
    const wanted = form ? { audio: own.audio, video: own.video, ...form } : own;
    const attachment = new Attachment(output, wanted, isViewer, {
      onRemoved: (error) => this.#dismiss(attachment, error),
      onFailed: (error) => this.#fail(attachment, error),
      onEndFailed: (error) => this.#onOutputFailed(error),
    });
    attachment.placeholder = placeholder;
    if (keyFrameIntervalMs !== undefined)
      attachment.wantsKeyFrames = () => this.#source.wantKeyFrames(keyFrameIntervalMs);
    if (this.#state === 'live') this.#connect(attachment);
    if (this.#state === 'ended') void attachment.end();
    else this.#attachments.add(attachment);
    return () => this.#leave(attachment);
  }

  /** The latest key frame; `null` before the first, and after the end. */
  get stillPicture(): StillPicture | null {
    return this.#state === 'live' ? this.#source.stillPicture : null;
  }

  requestKeyFrame(): void {
    if (this.#state === 'live') this.#source.requestKeyFrame();
  }

  tapAudio(sink: Sink<StreamAudio>): () => void {
    return this.#source.tapAudio(sink);
  }

  tapVideo(sink: Sink<StreamVideo>): () => void {
    let begun = false;
    const end = this.#source.tapVideo((picture) => {
      begun ||= picture.isKeyFrame;
      if (begun) sink(picture);
    });
    this.requestKeyFrame();
    return end;
  }

  /** Media is flowing: starts the pushes and outputs. */
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
        this.#fail(attachment, error);
      }
    }
  }

  /** Lets media in flight reach the outputs, then flushes and closes every push and ends every other output. */
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
    attachment.release = this.#source.prepare(form, (error) => this.#fail(attachment, error));
    try {
      attachment.onLive(this.#source.contents(form));
    } catch (error) {
      this.#leave(attachment);
      throw error;
    }
    attachment.unwantKeyFrames = attachment.wantsKeyFrames?.();
    const { placeholder } = attachment;
    this.#source.addOutput(attachment, form, { placeholder });
  }

  /** Removes an output, and says why. */
  #fail(attachment: Attachment, error: unknown): void {
    if (this.#attachments.has(attachment)) this.#onOutputFailed(error);
    this.#dismiss(attachment, error);
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
    attachment.unwantKeyFrames?.();
    attachment.unwantKeyFrames = undefined;
  }
}
