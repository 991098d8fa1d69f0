// How a call begins: admitted, its names and encoders reserved, its media opened, its outputs attached.

import type { OutputForm } from '@sipcast/media';
import type { CallDeps, CallOptions } from '../call/call-options.ts';
import { GatewayCall } from '../call/gateway-call.ts';
import type { ResolvedStartup } from '../call/startup.ts';
import { GatewayError } from '../errors.ts';
import { childLogger } from '../logger.ts';
import type { SlidesMedia, SlidesMediaHandler } from '../slides/call-slides.ts';
import { checkStreamName } from '../stream/names.ts';
import { prepareFolder } from '../stream/recording.ts';
import type { SipTraces } from '../trace/sip-traces.ts';
import type { Admission } from './admission.ts';
import type { CallTable } from './call-table.ts';
import type { CallEncoders, Encoders } from './encoders.ts';
import type { MediaOpener } from './media-opener.ts';
import type { PushTable } from './push-table.ts';
import type { Recordings } from './recordings.ts';
import type { Reservations } from './reservations.ts';

/** What a gateway's calls share. */
export interface CallLauncherDeps extends CallDeps {
  readonly admission: Admission;
  readonly calls: CallTable;
  readonly reservations: Reservations;
  readonly encoders: Encoders;
  readonly media: MediaOpener;
  readonly pushes: PushTable;
  readonly recordings: Recordings;
  readonly traces: SipTraces;
  /** Slides are taken. */
  readonly slides: boolean;
}

/** What a launcher asks and reports. */
export interface CallLauncherHandler {
  /** The gateway is closing: no call may begin. */
  isClosed(): boolean;
  /** A call can now be found. Called before any other event of the call; a listener may end it at once. */
  onCall(call: GatewayCall): void;
}

/** Starts the calls of a gateway. */
export class CallLauncher {
  readonly #options: Omit<CallOptions, 'sessionId' | 'trace'>;
  readonly #deps: CallLauncherDeps;
  readonly #handler: CallLauncherHandler;
  #sessions = 0;

  constructor(
    options: Omit<CallOptions, 'sessionId' | 'trace'>,
    deps: CallLauncherDeps,
    handler: CallLauncherHandler,
  ) {
    this.#options = options;
    this.#deps = deps;
    this.#handler = handler;
  }

  /** @throws GatewayError `GATEWAY_CLOSED` */
  requireOpen(): void {
    if (this.#handler.isClosed())
      throw new GatewayError('GATEWAY_CLOSED', 'The gateway is closing');
  }

  /**
   * Makes a call and begins it.
   *
   * @param clientAddress - Where the request for it came from.
   * @param begin - Dials or answers.
   * @throws GatewayError (rejection) as `CallGateway.startup`; nothing is then held
   */
  async launch(
    startup: ResolvedStartup,
    clientAddress: string,
    begin: (call: GatewayCall) => void,
  ): Promise<GatewayCall> {
    const { admission, calls, reservations, pushes, recordings, media } = this.#deps;
    const form = this.#deps.encoders.formOf(startup.form);
    const { callId, rtmpUrl, rtmp } = startup;
    const ownForm = media.ownForm(form, pushes.enhancedOf(rtmpUrl, rtmp));
    if (rtmpUrl !== null) pushes.requireUsable(rtmpUrl);
    const recordDir = recordings.dirOf(startup.record);
    admission.check(calls.byCallId.size);
    const releaseNames = reservations.take(startup);
    let encoders: CallEncoders | undefined;
    try {
      if (recordDir !== undefined) await prepareFolder(recordDir);
      const publishes = rtmpUrl !== null || recordDir !== undefined;
      encoders = this.#deps.encoders.reserve(form, publishes);
      let call: GatewayCall | undefined;
      const session = await media.openCall(callId, ownForm, encoders, () => call);
      if (this.#handler.isClosed()) {
        await session.close();
        this.requireOpen();
      }
      call = this.#make(startup, clientAddress, session);
      const held = encoders;
      call.once('closed', () => held.release());
      encoders = undefined;
      calls.add(call);
      // Before all its other events. A listener may end it at once.
      this.#handler.onCall(call);
      if (!call.ended) this.#attachOutputs(call, startup, form, recordDir);
      begin(call);
      return call;
    } finally {
      encoders?.release();
      releaseNames();
    }
  }

  #make(
    startup: ResolvedStartup,
    clientAddress: string,
    session: ConstructorParameters<typeof GatewayCall>[1],
  ): GatewayCall {
    const { traces, userAgent, wallClock, onOutputFailed } = this.#deps;
    const { callId } = startup;
    this.#sessions++;
    const trace = traces.openCall(callId);
    if (startup.incoming) traces.catchUp(callId, trace);
    const call = new GatewayCall(
      startup,
      session,
      { ...this.#options, sessionId: `${clientAddress}:${this.#sessions}`, trace },
      {
        userAgent,
        wallClock,
        onOutputFailed,
        ...(this.#deps.slides && {
          openSlides: (streamName, handler) => this.#openSlides(startup, streamName, handler),
        }),
        logger: childLogger(this.#deps.logger, { area: 'call', callId }),
      },
    );
    call.once('closed', () => traces.retireCall(callId, trace));
    return call;
  }

  async #openSlides(
    { callId, form: wanted, rtmpUrl, rtmp }: ResolvedStartup,
    streamName: string,
    handler: SlidesMediaHandler,
  ): Promise<SlidesMedia> {
    const { reservations, media, pushes } = this.#deps;
    const logger = childLogger(this.#deps.logger, { area: 'rtp', callId });
    checkStreamName('toStream', streamName);
    const releaseName = reservations.takeStream(streamName);
    try {
      const form = this.#deps.encoders.formOf(wanted);
      const encoders = this.#deps.encoders.reserve(form, false);
      const release = (): void => {
        releaseName();
        encoders.release();
      };
      const ownForm = media.ownForm(form, pushes.enhancedOf(rtmpUrl, rtmp));
      try {
        const session = await media.openSlides(callId, ownForm, encoders, handler);
        const floor = await media.openFloor(handler).catch((error: unknown) => {
          // The slides go on: many devices send them without asking.
          logger.warn(`no floor control for slides: ${String(error)}`);
          return undefined;
        });
        return { session, floor, release };
      } catch (error) {
        encoders.release();
        throw error;
      }
    } catch (error) {
      releaseName();
      throw error;
    }
  }

  #attachOutputs(
    call: GatewayCall,
    { callId, rtmpUrl, rtmpStream, rtmp, form: wanted }: ResolvedStartup,
    form: OutputForm,
    recordDir: string | undefined,
  ): void {
    const { pushes, recordings } = this.#deps;
    if (rtmpUrl !== null && rtmpStream !== null)
      call.attachRtmpPush(
        pushes.create({
          callId,
          streamName: rtmpStream,
          rtmpUrl,
          form,
          keyFrameIntervalMs: wanted.keyFrameIntervalMs,
          rtmp,
        }),
      );
    if (recordDir !== undefined) recordings.start(call, recordDir, form, wanted.keyFrameIntervalMs);
  }
}
