// The slides of one call: a second video of the peer (RFC 4796), as a stream of its own.

import type { MediaSession, NegotiatedMedium } from '@sipcast/media';
import { offersSlides } from '@sipcast/sip';
import type { RemoteMedia, ServedSection } from '@sipcast/sip';
import type { Logger } from '../logger.ts';
import { GatewayStream } from '../stream/gateway-stream.ts';

/** Floor control of slides. */
export interface SlidesFloor {
  /**
   * Answers the peer's section for it.
   * @param label - Of the section with the slides.
   */
  answer(section: RemoteMedia, label: string): ServedSection | undefined;
  close(): Promise<void>;
}

/** Media of slides that is open. */
export interface SlidesMedia {
  readonly session: MediaSession;
  /** Floor control (BFCP); undefined: the section for it is refused. */
  readonly floor: SlidesFloor | undefined;
  /** Frees the stream's name and its encoders. Idempotent. */
  release(): void;
}

/** What the media of slides asks and reports. */
export interface SlidesMediaHandler {
  /** Whether RTP and RTCP may be sent to an address. */
  maySendTo(address: string): boolean;
  /** An output was removed. */
  onOutputFailed(error: unknown): void;
  /** The media cannot go on. */
  onFailure(error: unknown): void;
}

/** Opens the ports and reserves the stream's name. Rejects if there are no ports, or if the name is taken. */
export type OpenSlidesMedia = (
  streamName: string,
  handler: SlidesMediaHandler,
) => Promise<SlidesMedia>;

/** What slides need. */
export interface CallSlidesDeps {
  readonly callId: string;
  readonly logger: Logger;
  readonly open: OpenSlidesMedia;
}

/** What slides report. */
export interface CallSlidesHandler {
  /** The ports are open, or closed (undefined): the description of the call changes. */
  onMedia(media: SlidesMedia | undefined): void;
  /** As {@link SlidesMediaHandler.maySendTo}. */
  maySendTo(address: string): boolean;
  /** An output of the stream was removed. */
  onOutputFailed(streamName: string, error: unknown): void;
}

interface OpenSlides {
  readonly media: SlidesMedia;
  readonly stream: GatewayStream;
}

/** Opens, changes and ends the slides of a call as its peer offers them and takes them back. */
export class CallSlides {
  readonly #streamName: string;
  readonly #deps: CallSlidesDeps;
  readonly #handler: CallSlidesHandler;
  #open: OpenSlides | undefined;
  #opening: Promise<void> | undefined;
  /** Could not be opened: refused from then on. */
  #failed = false;
  #closed = false;
  /** Slides that were taken back, while their outputs flush. */
  readonly #ending = new Set<Promise<void>>();

  /** @param toStream - Name of the call's own stream. */
  constructor(toStream: string, deps: CallSlidesDeps, handler: CallSlidesHandler) {
    this.#streamName = `${toStream}-slides`;
    this.#deps = deps;
    this.#handler = handler;
  }

  /** The stream while the peer shows slides, or may begin to. */
  get stream(): GatewayStream | undefined {
    return this.#open?.stream;
  }

  /** Whether this offer has slides whose ports are not open yet. {@link prepare} opens them. */
  needs(offer: string): boolean {
    if (this.#open || this.#failed || this.#closed) return false;
    return offersSlides(offer);
  }

  /** Opens the ports. Never rejects: slides that cannot be opened are refused. */
  prepare(): Promise<void> {
    this.#opening ??= this.#prepare().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  async #prepare(): Promise<void> {
    let media: SlidesMedia;
    try {
      media = await this.#deps.open(this.#streamName, {
        maySendTo: (address) => this.#handler.maySendTo(address),
        onOutputFailed: (error) => this.#handler.onOutputFailed(this.#streamName, error),
        onFailure: (error) => this.fail(error),
      });
    } catch (error) {
      this.#failed = true;
      const problem = error instanceof Error ? error.message : String(error);
      this.#deps.logger.warn(`slides are refused: ${problem}`);
      return;
    }
    if (this.#closed) {
      return closeMedia(media);
    }
    const name = this.#streamName;
    const stream = new GatewayStream(
      name,
      { callId: this.#deps.callId, content: 'slides' },
      media.session.stream,
      (error) => this.#handler.onOutputFailed(name, error),
    );
    this.#open = { media, stream };
    this.#handler.onMedia(media);
  }

  /**
   * Applies what was negotiated. Undefined: the peer has taken its slides back, and their stream ends.
   * @param held - Either side holds the call.
   */
  apply(video: NegotiatedMedium | undefined, held: boolean): void {
    const open = this.#open;
    if (open === undefined) return;
    if (video === undefined) return this.#takeBack(open);
    try {
      if (open.stream.live) return open.media.session.update({ video, held });
      open.media.session.start({ video, held });
      open.stream.goLive();
    } catch (error) {
      // Such as VP8 where nothing may be encoded.
      this.fail(error);
    }
  }

  /** The slides end; the call goes on. */
  fail(error: unknown): void {
    if (this.#open === undefined) return;
    this.#deps.logger.warn(
      `the slides have failed: ${error instanceof Error ? error.message : String(error)}`,
    );
    this.#failed = true;
    this.#takeBack(this.#open);
  }

  /** The stream ends with the call. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#open) this.#takeBack(this.#open);
    await Promise.all([this.#opening, ...this.#ending]);
  }

  #takeBack(open: OpenSlides): void {
    this.#open = undefined;
    this.#handler.onMedia(undefined);
    const ending = this.#end(open).finally(() => this.#ending.delete(ending));
    this.#ending.add(ending);
  }

  async #end({ media, stream }: OpenSlides): Promise<void> {
    try {
      await stream.end();
    } finally {
      await closeMedia(media);
    }
  }
}

async function closeMedia(media: SlidesMedia): Promise<void> {
  media.release();
  await Promise.all([media.session.close(), media.floor?.close()]);
}
