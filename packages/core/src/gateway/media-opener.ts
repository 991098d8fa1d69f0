// Opens the media of calls and of published streams, with the gateway's options, ports, ticker and encoders.

import { enhancedForm, FrameStream, PortPool, Ticker } from '@sipcast/media';
import type {
  FrameStreamHandler,
  FrameStreamMedia,
  MediaSession,
  MediaSessionOptions,
  openMediaSession,
  OutputForm,
  RtmpEnhancedMode,
} from '@sipcast/media';
import type { GatewayCall } from '../call/gateway-call.ts';
import type { CallEncoders, Encoders } from './encoders.ts';
import { openFloor } from '../bfcp/bfcp-socket.ts';
import type { SlidesFloor, SlidesMediaHandler } from '../slides/call-slides.ts';
import { GatewayError } from '../errors.ts';
import type { FaultLog } from '../fault-log.ts';
import type { OutputFormOptions } from '../stream/output-form.ts';
import type { CallGatewayOptions } from './gateway-options.ts';
import { asGatewayError } from './sip-options.ts';

/** What opening media needs. */
export interface MediaOpenerDeps {
  /** Opens one call's media. */
  readonly openMediaSession: typeof openMediaSession;
  readonly faults: FaultLog;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Wall clock in milliseconds. */
  readonly wallClock: () => number;
  /** 0 ≤ n < 1. */
  readonly random: () => number;
}

/** Opens media. */
export class MediaOpener {
  readonly #options: CallGatewayOptions;
  readonly #encoders: Encoders;
  readonly #deps: MediaOpenerDeps;
  readonly #portPool: PortPool;
  readonly #ticker = new Ticker();

  constructor(options: CallGatewayOptions, encoders: Encoders, deps: MediaOpenerDeps) {
    this.#options = options;
    this.#encoders = encoders;
    this.#deps = deps;
    const { min, max } = options.rtpPorts ?? { min: 30_000, max: 39_999 };
    this.#portPool = new PortPool({ min, max });
  }

  /** Form of the media session itself: codecs that cannot be encoded here pass through if a push will use Enhanced RTMP. */
  ownForm(form: OutputForm, enhanced: RtmpEnhancedMode): OutputForm {
    return enhanced === 'off' ? form : enhancedForm(form, this.#encoders.cannot);
  }

  /**
   * The media of a call.
   * @param call - The call that gets the events, once it exists.
   * @throws GatewayError (rejection) `NO_PORTS`
   */
  async openCall(
    callId: string,
    form: OutputForm,
    encoders: CallEncoders,
    call: () => GatewayCall | undefined,
  ): Promise<MediaSession> {
    const { faults } = this.#deps;
    return this.#openSession(
      {
        ...this.#sessionOptions(form, encoders),
        ...(this.#options.mayConnect && {
          maySendTo: (address: string) => call()?.maySendTo(address) ?? false,
        }),
        audioCname: `rtp/audio/${callId}`,
        videoCname: `rtp/video/${callId}`,
      },
      {
        onFault: (fault, medium, source) => faults.count(`${medium}-${fault}`, source),
        onEarlyMedia: () => call()?.onEarlyMedia(),
        onDigit: (digit) => call()?.onDigit(digit),
        onKeyFrameByInfo: () => call()?.onKeyFrameByInfo(),
        onKeyFrameByReinvite: () => call()?.onKeyFrameByReinvite(),
        onInactive: (kind) => call()?.onInactive(kind),
        onProblem: (medium, problem) => call()?.onProblem(medium, problem),
        onSecond: () => call()?.onSecond(),
        onOutputFailed: (error) => call()?.onOutputFailed(error),
        onFailure: (error) => call()?.fail(error),
      },
    );
  }

  /**
   * The media of a call's slides: a second video. Slides may be still for hours, so their silence ends nothing.
   * @throws GatewayError (rejection) `NO_PORTS`
   */
  openSlides(
    callId: string,
    form: OutputForm,
    encoders: CallEncoders,
    handler: SlidesMediaHandler,
  ): Promise<MediaSession> {
    const { faults } = this.#deps;
    return this.#openSession(
      {
        ...this.#sessionOptions(form, encoders),
        ...(this.#options.mayConnect && {
          maySendTo: (address: string) => handler.maySendTo(address),
        }),
        audioCname: `rtp/slides-audio/${callId}`,
        videoCname: `rtp/slides/${callId}`,
        blackVideo: false,
        rtpTimeoutMs: 0,
        rtcpTimeoutMs: 0,
      },
      {
        onFault: (fault, _medium, source) => faults.count(`slides-${fault}`, source),
        onOutputFailed: (error) => handler.onOutputFailed(error),
        onFailure: (error) => handler.onFailure(error),
      },
    );
  }

  /** The floor control of a call's slides (BFCP). Rejects if there is no port. */
  openFloor(handler: SlidesMediaHandler): Promise<SlidesFloor> {
    const { faults } = this.#deps;
    return openFloor({
      ports: this.#portPool,
      bindAddress: this.#options.bindAddress ?? '0.0.0.0',
      maySendTo: (address) => handler.maySendTo(address),
      onFault: (fault, source) => faults.count(`slides-${fault}`, source),
    });
  }

  #sessionOptions(
    form: OutputForm,
    encoders: CallEncoders,
  ): Omit<MediaSessionOptions, 'audioCname' | 'videoCname'> {
    const options = this.#options;
    const { now, wallClock, random } = this.#deps;
    return {
      portPool: this.#portPool,
      ticker: this.#ticker,
      bindAddress: options.bindAddress ?? '0.0.0.0',
      form,
      ...(encoders.transcoders && { transcoders: encoders.transcoders }),
      ...(options.jitterDelayMs !== undefined && { jitterDelayMs: options.jitterDelayMs }),
      silentAudio: options.silentAudio ?? form.audio === 'aac',
      videoFreezeMs: options.videoFreezeMs ?? 2000,
      videoLoss: options.videoLoss ?? 'wait',
      blackVideo: options.blackVideo ?? false,
      rtpTimeoutMs: options.rtpTimeoutMs ?? 60_000,
      rtcpTimeoutMs: options.rtcpTimeoutMs ?? 0,
      now,
      wallClock,
      random,
    };
  }

  async #openSession(...session: Parameters<typeof openMediaSession>): Promise<MediaSession> {
    try {
      return await this.#deps.openMediaSession(...session);
    } catch (cause) {
      const { code, message } = cause as { code?: string; message: string };
      if (code === 'NO_PORTS') throw new GatewayError('NO_PORTS', message, { cause });
      throw cause;
    }
  }

  /**
   * Opens the source of a published stream. Its encoders count like those of calls.
   * @throws GatewayError `INVALID_ARGUMENT`; MediaError `TRANSCODING_DISABLED`
   */
  openSource(
    media: FrameStreamMedia,
    wanted: OutputFormOptions,
    handler: FrameStreamHandler,
    enhanced: RtmpEnhancedMode,
  ): FrameStream {
    const { silentAudio, videoFreezeMs } = this.#options;
    const encoders = this.#encoders;
    const form = encoders.formOf(wanted);
    try {
      return new FrameStream(
        {
          media,
          form: this.ownForm(form, enhanced),
          transcoders: encoders.reserve(form, false).transcoders,
          silentAudio: silentAudio ?? form.audio === 'aac',
          ...(videoFreezeMs !== undefined && { videoFreezeMs }),
          ticker: this.#ticker,
          now: this.#deps.now,
        },
        handler,
      );
    } catch (error) {
      throw asGatewayError(error);
    }
  }
}
