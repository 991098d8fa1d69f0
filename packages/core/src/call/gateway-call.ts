// A call as the gateway drives it: its SIP session, its media, its named stream, and the statuses that clients see.

import type { MediaProblem, MediaSession, MediaStats } from '@sipcast/media';
import { formatMessage, maskSecrets } from '@sipcast/sip';
import type {
  IncomingInvite,
  IncomingSession,
  InviteSession,
  InviteSessionHandler,
  MessageSource,
  Registration,
  SessionEnding,
  SipMessage,
  SipResponse,
} from '@sipcast/sip';
import { SafeEmitter } from '../emitter.ts';
import { GatewayError } from '../errors.ts';
import { childLogger } from '../logger.ts';
import { registrationInfo } from '../registration/account-registration.ts';
import { statusOfProvisional } from '../status.ts';
import type { CallStatus, FinalCallStatus, RtmpStreamStatus } from '../status.ts';
import type { GatewayPush } from '../stream/gateway-push.ts';
import { CallSlides } from '../slides/call-slides.ts';
import { GatewayStream } from '../stream/gateway-stream.ts';
import type { NamedStream } from '../stream/named-stream.ts';
import type { SipTraceEntry } from '../trace/sip-trace.ts';
import type { Call, CallEvents } from './call.ts';
import { CallChanges } from './call-changes.ts';
import { CallDescriptions } from './call-descriptions.ts';
import {
  describe,
  INFO,
  infoOf,
  infoOfMediaFailure,
  reasonOfMediaFailure,
  warningOf,
  isOrderly,
  isTheirDescription,
  soundFailure,
} from './call-ending.ts';
import type { EndedBy } from './call-ending.ts';
import type { CallDeps, CallOptions } from './call-options.ts';
import { CallProgress } from './call-progress.ts';
import { problemText } from './call-problem.ts';
import type { CallProblem } from './call-problem.ts';
import type { CallChange } from './call-progress.ts';
import { describeCall } from './call-view.ts';
import type { CallView } from './call-view.ts';
import type { DtmfType } from './dtmf-info.ts';
import { DtmfSender } from './dtmf-sender.ts';
import { InfoRequests } from './info-requests.ts';
import type { ResolvedStartup } from './startup.ts';

/** A call as the gateway drives it. */
export class GatewayCall extends SafeEmitter<CallEvents> implements Call {
  readonly stream: GatewayStream;
  readonly #startup: ResolvedStartup;
  readonly #options: CallOptions;
  readonly #deps: CallDeps;
  readonly #media: MediaSession;
  readonly #progress: CallProgress;
  readonly #slides: CallSlides | undefined;
  #rtmpPush: GatewayPush | undefined;
  #session: InviteSession | undefined;
  #registration: Pick<Registration, 'unregister'> | undefined;
  readonly #descriptions: CallDescriptions;
  /** Incoming call: keeps the encoders of its push between the answer and the ACK. */
  #heldForm: (() => void) | undefined;
  /** RTP arrived before the answer. */
  #earlyMedia = false;
  #lastMessage: SipMessage | undefined;
  #terminating = false;
  /** Aborted when the call ends, so that it does not wait for a slow registrar. */
  readonly #over = new AbortController();
  /** Our BYE, until its answer. */
  #hungUp: Promise<void> | undefined;
  readonly #infos: InfoRequests;
  readonly #changes: CallChanges;
  readonly #dtmf: DtmfSender;
  #answered: Promise<void>;
  #resolveAnswered: () => void = () => {};
  #closed: Promise<void>;
  #resolveClosed: () => void = () => {};
  #lastMediaStats: MediaStats | null = null;

  constructor(startup: ResolvedStartup, media: MediaSession, options: CallOptions, deps: CallDeps) {
    super(deps.logger);
    this.#startup = startup;
    this.#options = options;
    this.#media = media;
    this.#deps = deps;
    this.#progress = new CallProgress(deps, {
      onStatus: (status, previous) => this.emit('status', status, previous),
      onChange: (changed) => this.#changed(changed),
    });
    this.#descriptions = new CallDescriptions(startup, media, options, deps);
    const { agreement } = this.#descriptions;
    const { openSlides } = deps;
    this.#slides =
      openSlides &&
      new CallSlides(
        startup.toStream,
        {
          callId: startup.callId,
          logger: childLogger(deps.logger, { area: 'rtp' }),
          open: openSlides,
        },
        {
          maySendTo: (address) => this.maySendTo(address),
          onMedia: (slides) => this.#descriptions.onSlidesMedia(slides),
          onOutputFailed: (streamName, error) =>
            deps.onOutputFailed(streamName, startup.callId, error),
        },
      );
    this.#changes = new CallChanges(agreement, {
      session: () => {
        const isUp = this.#progress.isEstablished && !this.ended && !this.#terminating;
        return isUp ? this.#session : undefined;
      },
      onAnswer: ({ sdp, source }) => {
        this.#descriptions.cameFrom(source);
        return agreement.read(sdp, () => this.#onReanswer(sdp));
      },
    });
    this.stream = new GatewayStream(
      startup.toStream,
      { callId: startup.callId },
      media.stream,
      (error) => this.onOutputFailed(error),
    );
    this.#answered = new Promise((resolve) => {
      this.#resolveAnswered = resolve;
    });
    this.#closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    this.#infos = new InfoRequests({
      onPictureWanted: () => media.onKeyFrameRequest(),
      onDtmf: (dtmf) => this.emit('dtmf', dtmf),
    });
    this.#dtmf = new DtmfSender({
      answered: this.#answered,
      closed: this.#closed,
      isOver: () => this.ended || this.#terminating,
      session: () => this.#session,
      sendEvents: (digits) => media.sendDtmf(digits),
    });
  }

  /** Its own stream, and that of its slides. */
  get streams(): readonly GatewayStream[] {
    const slides = this.#slides?.stream;
    return slides ? [this.stream, slides] : [this.stream];
  }

  get callId(): string {
    return this.#startup.callId;
  }

  get status(): CallStatus {
    return this.#progress.status;
  }

  get rtmpStreamStatus(): RtmpStreamStatus | null {
    return this.#rtmpPush?.status ?? null;
  }

  get rtmpStreamError(): string | null {
    const push = this.#rtmpPush;
    return push && push.status !== 'RTMP_STREAM_ACTIVE' ? push.lastError : null;
  }

  get ended(): boolean {
    return this.#progress.ended;
  }

  get request(): Omit<ResolvedStartup, 'credentials'> {
    const { credentials: _, ...request } = this.#startup;
    return request;
  }

  view(): CallView {
    const { nodeId, sessionId } = this.#options;
    const raw = this.#lastMessage;
    const { remote } = this.#descriptions.agreement;
    return describeCall(this.#startup, this.#progress, {
      nodeId,
      sessionId,
      rtmpStreamStatus: this.rtmpStreamStatus,
      rtmpStreamError: this.rtmpStreamError,
      sdp: remote && maskSecrets(remote),
      sipMessageRaw: raw ? maskSecrets(Buffer.from(formatMessage(raw)).toString()) : null,
      target: this.#changes.transferTarget,
      media: this.stats(),
      pushes: this.stream.pushes.map((push) => push.view()),
    });
  }

  trace(): SipTraceEntry[] {
    return this.#options.trace.entries();
  }

  stats(): MediaStats | null {
    if (!this.#progress.isEstablished) return null;
    return this.ended ? this.#lastMediaStats : this.#media.stats();
  }

  async established(): Promise<void> {
    await this.#answered;
    const { isEstablished, status, info, sipStatus } = this.#progress;
    if (isEstablished) return;
    const message = `Call ${this.callId} ended ${status}: ${info}`;
    const details = sipStatus === null ? {} : { sipStatus };
    throw new GatewayError('CALL_FAILED', message, details);
  }

  closed(): Promise<void> {
    return this.#closed;
  }

  terminate(): Promise<void> {
    if (!this.ended && !this.#terminating) {
      this.#terminating = true;
      this.#hungUp = this.#session?.terminate();
      // RFC 3261 §15.1.1: sending BYE ends the session, answered or not. A CANCEL may still fail.
      if (!this.#session || this.#progress.isEstablished) this.#end('FINISH', INFO.normal, 'local');
    }
    return this.#closed;
  }

  sendDtmf(digits: string, type: DtmfType = 'RFC2833'): Promise<void> {
    return this.#dtmf.send(digits, type);
  }

  /** The push that `rtmpUrl` and `rtmpStream` ask for. */
  attachRtmpPush(push: GatewayPush): void {
    this.#follow(push);
    this.stream.attach(push);
  }

  /** The stream has a further push: the call's RTMP status is its status if it replaces one that failed or was terminated. */
  onPush(push: GatewayPush): void {
    const before = this.#rtmpPush;
    if (!before || before.target.rtmpUrl !== push.target.rtmpUrl) return;
    if (!before.terminated && before.status !== 'RTMP_CONNECTION_FAILED') return;
    this.#follow(push);
    this.emit('rtmpStreamStatus', push.status, undefined);
    this.#changed(['rtmpStreamStatus']);
  }

  #follow(push: GatewayPush): void {
    this.#rtmpPush = push;
    push.on('status', (status, error) => {
      if (this.#rtmpPush !== push) return;
      this.emit('rtmpStreamStatus', status, error);
      this.#changed(['rtmpStreamStatus']);
    });
  }

  /** Ends this call, and no other, after an internal failure. */
  fail(error: unknown): void {
    if (this.ended) return;
    this.#deps.logger.error(error instanceof Error ? String(error.stack) : String(error));
    this.#abandon(infoOfMediaFailure(error));
  }

  /** The peer has stopped sending. */
  onInactive(kind: 'rtp' | 'rtcp'): void {
    if (this.ended) return;
    const logger = childLogger(this.#deps.logger, { area: 'rtp' });
    logger.warn(`no ${kind.toUpperCase()} from the peer`);
    this.#abandon(INFO.rtpActivity);
  }

  /** An output of its stream was removed. */
  onOutputFailed(error: unknown): void {
    const { toStream, callId } = this.#startup;
    this.#deps.onOutputFailed(toStream, callId, error);
  }

  /** The peer pressed a key, by RFC 4733. */
  onDigit(digit: string): void {
    this.emit('dtmf', { digit, type: 'RFC2833' });
  }

  /** What keeps a medium off the air has changed. */
  onProblem(medium: 'audio' | 'video', problem: MediaProblem | null): void {
    if (this.ended) return;
    const sinceMs = this.#media.stats()[medium]?.problemSinceMs ?? null;
    const since = problem === null || sinceMs === null ? null : new Date(sinceMs).toISOString();
    const change: CallProblem = { medium, problem, since };
    const logger = childLogger(this.#deps.logger, { area: 'rtp' });
    if (problem === null) logger.info(problemText(change));
    else logger.warn(problemText(change));
    this.emit('problem', change);
  }

  /** Whether the media of this call may be sent to an address. */
  maySendTo(address: string): boolean {
    return this.#descriptions.maySendTo(address);
  }

  /** A second has passed. */
  onSecond(): void {
    if (this.listenerCount('stats') === 0) return;
    const stats = this.stats();
    if (stats && !this.ended) this.emit('stats', stats);
  }

  /** A key frame is needed, and RTCP requests had no effect. */
  onKeyFrameByInfo(): void {
    if (this.#session && !this.ended) this.#infos.askForPicture(this.#session);
  }

  /** A key frame is needed, and no other request had an effect. */
  onKeyFrameByReinvite(): void {
    this.#changes.repeat();
  }

  injectStream(source: Pick<NamedStream, 'tapAudio'>): void {
    this.#soundOf(() => this.#media.injectAudio((sink) => source.tapAudio(sink)));
  }

  stopInjection(): void {
    this.#media.injectAudio(undefined);
  }

  injectSound(path: string): void {
    this.#soundOf(() => this.#media.playSound(path));
  }

  #soundOf(begin: () => void): void {
    if (this.ended || this.#terminating)
      throw new GatewayError('CALL_STATE', 'The call has ended', { field: 'callId' });
    try {
      begin();
    } catch (cause) {
      throw soundFailure(cause);
    }
  }

  hold(): Promise<void> {
    return this.#changes.hold(true);
  }

  resume(): Promise<void> {
    return this.#changes.hold(false);
  }

  async transfer(target: string): Promise<void> {
    await this.#changes.transfer(target);
    void this.terminate();
  }

  #abandon(info: string): void {
    if (this.#session && this.#session.state !== 'ended') this.#hangUp(info);
    else this.#end('FAILED', info, 'gateway');
  }

  /** RTP arrives before the answer. */
  onEarlyMedia(): void {
    this.#earlyMedia = true;
    this.#ringWithMedia();
  }

  /** Dials. Called once; never rejects: a failure ends the call. */
  async place(): Promise<void> {
    // A listener of the gateway's `call` may have ended it.
    if (this.ended) return;
    this.#progress.move('PENDING');
    try {
      await this.#dial();
    } catch (error) {
      if (this.ended) return;
      // The registration was refused or unanswered, or the INVITE could not be built.
      const { statusCode } = error as { statusCode?: number };
      if (statusCode === undefined) return this.#end('FAILED', infoOf(error), 'network');
      const info = infoOf(error, { statusCode, reasonPhrase: describe(error) });
      this.#end('FAILED', info, 'remote', statusCode);
    }
  }

  async #dial(): Promise<void> {
    const startup = this.#startup;
    const { userAgent } = this.#deps;
    const credentials = startup.credentials ? { credentials: startup.credentials } : {};
    const outboundProxy = startup.outboundProxy ? { outboundProxy: startup.outboundProxy } : {};
    const { transport } = startup;
    if (startup.registerRequired) {
      const { registrar, from, registrarHop } = startup;
      const registration = await userAgent.register(
        { registrar, from, transport, ...credentials, outboundProxy: registrarHop },
        (view) => {
          if (!this.ended) this.#progress.note(registrationInfo(view));
        },
        this.#over.signal,
      );
      if (this.ended) return;
      this.#registration = registration;
    }
    const { inviteTimeoutMs, maxRedirects } = this.#options;
    this.#session = userAgent.invite(
      {
        callId: startup.callId,
        target: startup.target,
        from: startup.from,
        transport,
        headers: startup.headers,
        offer: (address) => this.#offer(address),
        inviteTimeoutMs,
        ...(maxRedirects !== undefined && { maxRedirects }),
        ...credentials,
        ...outboundProxy,
      },
      this.sessionHandler,
    );
  }

  #offer(localAddress: string): string {
    this.#descriptions.describe(localAddress, Math.floor(this.#progress.createdAtMs));
    return this.#descriptions.agreement.firstOffer();
  }

  /** Answers an incoming call. Never rejects: a failure ends the call. */
  async receive(
    session: IncomingSession,
    { offer, request, source }: Pick<IncomingInvite, 'offer' | 'request' | 'source'>,
  ): Promise<void> {
    if (this.ended) return session.reject(603, 'Decline');
    this.#session = session;
    const descriptions = this.#descriptions;
    descriptions.cameFrom(source);
    this.#lastMessage = request;
    this.#progress.move('PENDING');
    try {
      const address = await this.#deps.userAgent.localAddressFor(source.address, source.port);
      descriptions.describe(address, Math.floor(this.#progress.createdAtMs));
      if (this.ended) return;
      let sdp: string;
      if (offer === undefined) sdp = descriptions.agreement.firstOffer();
      else {
        await descriptions.agreement.hosts.lookUp(offer);
        if (this.#slides?.needs(offer) === true) await this.#slides.prepare();
        if (this.ended) return;
        sdp = descriptions.answerFirst(offer);
      }
      // Reserve the encoders before answering: a call that cannot be published as requested is not answered.
      if (this.#rtmpPush) this.#heldForm = this.#rtmpPush.prepare(this.#media.stream);
      session.answer(sdp);
    } catch (error) {
      if (this.ended) return;
      descriptions.warn(`unusable offer: ${describe(error)}`);
      const isTheirs = isTheirDescription(error);
      const sipStatus = isTheirs ? 488 : 500;
      this.#end('FAILED', infoOfMediaFailure(error), 'gateway', sipStatus);
      if (isTheirs) session.reject(488, 'Not Acceptable Here', [warningOf(error)]);
      else session.reject(500, 'Server Internal Error');
    }
  }

  /** What the SIP session of this call reports to. */
  readonly sessionHandler: InviteSessionHandler = {
    // An exception here is our own bug and must not reach the user agent.
    onProvisional: (response) => this.#guard(() => this.#onProvisional(response)),
    onAnswered: (response, answer, source) =>
      this.#guard(() => {
        this.#descriptions.cameFrom(source);
        const described = this.#descriptions.firstAnswerIn(response, answer);
        const { agreement } = this.#descriptions;
        return agreement.read(described, () => this.#onAnswered(response, described));
      }),
    onReoffer: (sdp, source, earlyTag) => this.#onReoffer(sdp, source, earlyTag),
    onOfferWanted: () => this.#descriptions.agreement.freshOffer(),
    onReanswer: (sdp, source) =>
      this.#guard(() => {
        this.#descriptions.cameFrom(source);
        return this.#descriptions.agreement.read(sdp, () => this.#onReanswer(sdp));
      }),
    answerInUse: () => this.#descriptions.agreement.reading,
    onRefer: (refer) => {
      if (this.listenerCount('refer') === 0) return false;
      this.emit('refer', refer);
      return true;
    },
    onDialogRequest: (request) => this.#infos.answer(request),
    // For the view only. Everything that decides something comes with the other events.
    onMessage: (direction, message) => {
      if (direction === 'in') this.#lastMessage = message;
    },
    onEnded: (ending) => this.#guard(() => this.#onEnded(ending)),
  };

  #guard(step: () => Promise<void> | undefined | void): void {
    try {
      step()?.catch((error: unknown) => this.fail(error));
    } catch (error) {
      this.fail(error);
    }
  }

  #onProvisional(response: SipResponse): void {
    this.#descriptions.onProvisional(response);
    this.#progress.move(statusOfProvisional(response.statusCode), response.statusCode);
    this.#ringWithMedia();
  }

  /** Early media was announced and is flowing. RTP alone may come from a peer that is just answering. */
  #ringWithMedia(): void {
    if (this.#earlyMedia && this.#descriptions.hasEarly) this.#progress.move('RING_MEDIA');
  }

  #onAnswered(response: SipResponse, described: string): void {
    if (this.ended) return;
    let release = this.#heldForm;
    this.#heldForm = undefined;
    try {
      this.#media.start(this.#descriptions.begin(described, response));
      // Before the call counts as established: a call that cannot be published as requested has failed.
      if (this.#rtmpPush) release ??= this.#rtmpPush.prepare(this.#media.stream);
      this.#slides?.apply(this.#descriptions.slides, false);
    } catch (error) {
      release?.();
      this.#descriptions.warn(`unusable answer: ${describe(error)}`);
      return this.#hangUp(infoOfMediaFailure(error), {
        sipStatus: response.statusCode,
        reason: reasonOfMediaFailure(error),
      });
    }
    if (!this.#terminating) {
      this.#progress.establish(response.statusCode);
      this.stream.goLive();
    }
    release?.();
    if (this.#terminating) return;
    this.#resolveAnswered();
  }

  #onReoffer(
    sdp: string,
    source: MessageSource | undefined,
    earlyTag: string | undefined,
  ): ReturnType<InviteSessionHandler['onReoffer']> {
    this.#descriptions.cameFrom(source);
    if (earlyTag === undefined && this.#slides?.needs(sdp) === true) {
      // The answer cannot wait for the ports. The peer repeats its offer (RFC 3261 §14.1).
      void this.#slides.prepare();
      return { statusCode: 491, reasonPhrase: 'Request Pending' };
    }
    const reply = this.#descriptions.onReoffer(sdp, earlyTag);
    if ('statusCode' in reply) return reply;
    if (earlyTag === undefined) this.#slides?.apply(this.#descriptions.slides, reply.held);
    if (earlyTag !== undefined) return { answer: reply.answer };
    this.#progress.move(reply.held ? 'HOLD' : 'ESTABLISHED');
    return { answer: reply.answer };
  }

  /** Takes the answer to our offer inside the call. @throws SipError; the session then continues unchanged */
  #onReanswer(sdp: string): void {
    if (this.ended) return;
    const held = this.#descriptions.onReanswer(sdp);
    this.#slides?.apply(this.#descriptions.slides, held);
    this.#progress.move(held ? 'HOLD' : 'ESTABLISHED');
  }

  /** Ends an answered call for a reason of ours. As in `terminate`, the peer need not answer the BYE. */
  #hangUp(
    info: string,
    { sipStatus, reason }: { readonly sipStatus?: number; readonly reason?: string } = {},
  ): void {
    this.#hungUp = this.#session?.terminate(reason === undefined ? {} : { reason });
    this.#end('FAILED', info, 'gateway', sipStatus);
  }

  #onEnded(ending: SessionEnding): void {
    const { reasonPhrase, endedBy } = ending;
    // No SIP status when the next hop was not found: nothing was sent.
    const isSent = this.#startup.incoming || this.#descriptions.isDescribed;
    const statusCode = isSent ? ending.statusCode : undefined;
    if (this.#terminating || ending.cancelled)
      return this.#end('FINISH', INFO.normal, 'local', statusCode);
    if (isOrderly(ending)) return this.#end('FINISH', INFO.normal, endedBy, statusCode);
    if (statusCode === 486 || statusCode === 600)
      return this.#end('BUSY', reasonPhrase ?? 'Busy', endedBy, statusCode);
    this.#end('FAILED', infoOf(ending.error, ending), endedBy, statusCode);
  }

  /** The one way into a final status. Releases everything the call holds; see docs/lifecycle.md. */
  #end(status: FinalCallStatus, info: string, endedBy: EndedBy, sipStatus?: number): void {
    if (this.ended) return;
    this.#heldForm?.();
    this.#heldForm = undefined;
    this.#lastMediaStats = this.#progress.isEstablished ? this.#media.stats() : null;
    this.#over.abort();
    this.#progress.end(status, { info, endedBy, ...(sipStatus !== undefined && { sipStatus }) });
    this.#resolveAnswered();
    void this.#release();
  }

  async #release(): Promise<void> {
    const problems = await Promise.allSettled([
      this.#endMedia(),
      this.#hungUp,
      this.#registration?.unregister(),
    ]);
    for (const problem of problems) {
      if (problem.status === 'rejected') this.#deps.logger.warn(describe(problem.reason));
    }
    this.#resolveClosed();
    this.emit('closed');
  }

  async #endMedia(): Promise<void> {
    try {
      await Promise.all([this.stream.end(), this.#slides?.close()]);
    } finally {
      await this.#media.close();
    }
  }

  #changed(changed: readonly CallChange[]): void {
    if (this.listenerCount('change') > 0) this.emit('change', this.view(), changed);
  }
}
