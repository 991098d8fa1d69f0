// One call: its SIP session, its media, its named stream, and the statuses that clients see.

import type { MediaSession, MediaStats } from '@sipcast/media';
import { formatMessage, maskSecrets } from '@sipcast/sip';
import type {
  IncomingSession,
  InviteSession,
  InviteSessionHandler,
  Registration,
  SessionEnding,
  SipMessage,
  SipResponse,
  TransportAddress,
} from '@sipcast/sip';
import type {
  CallChange,
  CallDeps,
  CallEvents,
  CallOptions,
  CallView,
  EndedBy,
} from './call-contract.ts';
import {
  describe,
  INFO,
  infoOf,
  infoOfMediaFailure,
  isOrderly,
  isTheirDescription,
  soundFailure,
} from './call-ending.ts';
import { describeCall } from './call-view.ts';
import { registrationInfo } from '../registration/account-registration.ts';
import { CallChanges } from './call-changes.ts';
import { CallDescriptions } from './call-descriptions.ts';
import type { DtmfType } from './dtmf-info.ts';
import { DtmfSender } from './dtmf-sender.ts';
import { SafeEmitter } from '../emitter.ts';
import { GatewayError } from '../errors.ts';
import { InfoRequests } from './info-requests.ts';
import { childLogger } from '../logger.ts';
import { NamedStream } from '../stream/named-stream.ts';
import type { ResolvedStartup } from './options.ts';
import type { RtmpPush } from '../stream/rtmp-push.ts';
import type { SipTraceEntry } from '../trace/sip-trace.ts';
import { CALL_TRANSITIONS, isFinal, mayFollow, statusOfProvisional } from '../status.ts';
import type { CallStatus, RtmpStreamStatus } from '../status.ts';

/** One call. Made by the gateway's `startup`. */
export class Call extends SafeEmitter<CallEvents> {
  readonly stream: NamedStream;
  readonly #startup: ResolvedStartup;
  readonly #options: CallOptions;
  readonly #deps: CallDeps;
  readonly #media: MediaSession;
  readonly #createdAtMs: number;
  #status: CallStatus = 'NEW';
  #sipStatus: number | null = null;
  #info: string | null = null;
  #endedBy: EndedBy | null = null;
  #establishedAtMs: number | null = null;
  #endedAtMs: number | null = null;
  #rtmpPush: RtmpPush | undefined;
  #session: InviteSession | undefined;
  #registration: Pick<Registration, 'unregister'> | undefined;
  readonly #descriptions: CallDescriptions;
  /** An incoming call: keeps the encoders of its push from the answer to the ACK. */
  #heldForm: (() => void) | undefined;
  /** RTP came before the answer. */
  #earlyMedia = false;
  #lastMessage: SipMessage | undefined;
  #terminating = false;
  /** Aborts with the end: nobody waits for a registrar that is slow. */
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
    this.#createdAtMs = deps.wallClock();
    this.#descriptions = new CallDescriptions(startup, media, options, deps);
    const { agreement } = this.#descriptions;
    this.#changes = new CallChanges(agreement, {
      session: () => {
        const isUp = this.#establishedAtMs !== null && !this.ended && !this.#terminating;
        return isUp ? this.#session : undefined;
      },
      onAnswer: (sdp) => agreement.read(sdp, () => this.#onReanswer(sdp)),
    });
    this.stream = new NamedStream(startup.toStream, startup.callId, media.stream);
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

  get callId(): string {
    return this.#startup.callId;
  }

  get status(): CallStatus {
    return this.#status;
  }

  /** `null` without `rtmpUrl`. */
  get rtmpStreamStatus(): RtmpStreamStatus | null {
    return this.#rtmpPush?.status ?? null;
  }

  /** The call has ended: its status is final. */
  get ended(): boolean {
    return isFinal(this.#status);
  }

  /** The request, validated, without the password. */
  get request(): Omit<ResolvedStartup, 'credentials'> {
    const { credentials: _, ...request } = this.#startup;
    return request;
  }

  /** A snapshot as clients see it. */
  view(): CallView {
    const { nodeId, sessionId } = this.#options;
    const raw = this.#lastMessage;
    const { remote } = this.#descriptions.agreement;
    return describeCall(this.#startup, {
      nodeId,
      sessionId,
      status: this.#status,
      sipStatus: this.#sipStatus,
      rtmpStreamStatus: this.rtmpStreamStatus,
      sdp: remote && maskSecrets(remote),
      sipMessageRaw: raw ? maskSecrets(Buffer.from(formatMessage(raw)).toString()) : null,
      target: this.#changes.transferTarget,
      info: this.#info,
      endedBy: this.#endedBy,
      createdAtMs: this.#createdAtMs,
      establishedAtMs: this.#establishedAtMs,
      endedAtMs: this.#endedAtMs,
      media: this.stats(),
      pushes: this.stream.pushes.map((push) => push.view()),
    });
  }

  /** The call's SIP messages so far, both ways, oldest first, without secrets; also after its end. */
  trace(): SipTraceEntry[] {
    return this.#options.trace.entries();
  }

  /** What was measured of the media; `null` before the answer. The last values after the end. */
  stats(): MediaStats | null {
    if (this.#establishedAtMs === null) return null;
    return this.ended ? this.#lastMediaStats : this.#media.stats();
  }

  /**
   * Waits for the answer.
   * @throws GatewayError `CALL_FAILED` when the call ends without one.
   */
  async established(): Promise<void> {
    await this.#answered;
    if (this.#establishedAtMs !== null) return;
    const message = `Call ${this.callId} ended ${this.#status}: ${this.#info}`;
    const details = this.#sipStatus === null ? {} : { sipStatus: this.#sipStatus };
    throw new GatewayError('CALL_FAILED', message, details);
  }

  /** Resolves when the call has ended and everything that it held is released. */
  closed(): Promise<void> {
    return this.#closed;
  }

  /** Ends the call: CANCEL, BYE, or simply no INVITE, as its state demands. Idempotent; resolves as `closed()`. */
  terminate(): Promise<void> {
    if (!this.ended && !this.#terminating) {
      this.#terminating = true;
      this.#hungUp = this.#session?.terminate();
      // RFC 3261 §15.1.1: with the BYE the session is over, whether the peer answers it or not; a CANCEL may still fail.
      if (!this.#session || this.#establishedAtMs !== null) {
        this.#end('FINISH', INFO.normal, 'local');
      }
    }
    return this.#closed;
  }

  /**
   * Sends digits (`0-9 * # A-D`, `,` is a pause), after those that are still being sent; before the answer they wait
   * for it. Resolves when they are sent; also when the call ends before.
   *
   * @throws GatewayError `INVALID_ARGUMENT` for another character or type; `CALL_STATE` when RFC 4733 was asked for and the
   * peer did not negotiate it.
   */
  sendDtmf(digits: string, type: DtmfType = 'RFC2833'): Promise<void> {
    return this.#dtmf.send(digits, type);
  }

  /** For the gateway: the push that `rtmpUrl` and `rtmpStream` ask for. */
  attachRtmpPush(push: RtmpPush): void {
    this.#rtmpPush = push;
    push.on('status', (status) => {
      this.emit('rtmpStreamStatus', status);
      this.#changed(['rtmpStreamStatus']);
    });
    this.stream.attach(push);
  }

  /** For the gateway: something inside went wrong; this call ends, and no other. */
  fail(error: unknown): void {
    if (this.ended) return;
    this.#deps.logger.error(error instanceof Error ? String(error.stack) : String(error));
    this.#abandon(infoOfMediaFailure(error));
  }

  /** For the gateway: the peer sends nothing any more. */
  onInactive(kind: 'rtp' | 'rtcp'): void {
    if (this.ended) return;
    const logger = childLogger(this.#deps.logger, { area: 'rtp' });
    logger.warn(`no ${kind.toUpperCase()} from the peer`);
    this.#abandon(INFO.rtpActivity);
  }

  /** For the gateway: the peer pressed a key, by RFC 4733. */
  onDigit(digit: string): void {
    this.emit('dtmf', { digit, type: 'RFC2833' });
  }

  /** For the gateway: whether the media of this call may be sent to an address. */
  maySendTo(address: string): boolean {
    return this.#descriptions.maySendTo(address);
  }

  /** For the gateway: a second has passed. */
  onSecond(): void {
    if (this.listenerCount('stats') === 0) return;
    const stats = this.stats();
    if (stats && !this.ended) this.emit('stats', stats);
  }

  /** For the gateway: a key frame is needed, and RTCP was in vain. */
  onKeyFrameByInfo(): void {
    if (this.#session && !this.ended) this.#infos.askForPicture(this.#session);
  }

  /** For the gateway: everything else was in vain. */
  onKeyFrameByReinvite(): void {
    this.#changes.repeat();
  }

  /**
   * What the peer hears from now on: the sound of a named stream, decoded and encoded as the call negotiated. Before the
   * answer it waits for it. Replaces the stream that was injected before.
   *
   * @throws GatewayError `CALL_STATE` when the call has ended or the peer takes no audio.
   */
  injectStream(source: Pick<NamedStream, 'tapAudio'>): void {
    this.#soundOf(() => this.#media.injectAudio((sink) => source.tapAudio(sink)));
  }

  /** The peer hears silence again. Nothing injected: changes nothing. */
  stopInjection(): void {
    this.#media.injectAudio(undefined);
  }

  /**
   * Plays a sound file to the peer, once, in place of what it hears otherwise. Before the answer it waits for it.
   *
   * @param path - A WAV, MP3 or FLV file; not checked here.
   * @throws GatewayError as {@link injectStream}, and `NOT_IMPLEMENTED` when there is no ffmpeg to decode it.
   */
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

  /**
   * Puts the call on hold: the peer is told to send nothing, and hears silence; streams and pushes go on. Resolves when the
   * peer has agreed. On hold already: changes nothing.
   *
   * @throws GatewayError (rejection) `CALL_STATE` when the call is not established, or the peer refuses: `sipStatus`.
   */
  hold(): Promise<void> {
    return this.#changes.hold(true);
  }

  /** Ends {@link hold}; a peer that holds, too, keeps the call in HOLD. @throws GatewayError as {@link hold}. */
  resume(): Promise<void> {
    return this.#changes.hold(false);
  }

  /**
   * Asks the peer to call `target` in place of us (REFER, RFC 3515). Resolves when that call stands; this one is then ended.
   * Until then `target` and `holdForTransfer` of the view tell of it.
   *
   * @param target - SIP URI.
   * @throws GatewayError (rejection) `CALL_STATE` when the call is not established, or the transfer fails, with `sipStatus`:
   * this call goes on. `INVALID_ARGUMENT` for `target`.
   */
  async transfer(target: string): Promise<void> {
    await this.#changes.transfer(target);
    void this.terminate();
  }

  #abandon(info: string): void {
    if (this.#session && this.#session.state !== 'ended') this.#hangUp(info);
    else this.#end('FAILED', info, 'gateway');
  }

  /** For the gateway: RTP comes before the answer. */
  onEarlyMedia(): void {
    this.#earlyMedia = true;
    this.#ringWithMedia();
  }

  /** For the gateway, once: dials. What goes wrong ends the call; it never rejects. */
  async place(): Promise<void> {
    // A listener of the gateway's `call` may have ended it.
    if (this.ended) return;
    this.#move('PENDING', {});
    try {
      await this.#dial();
    } catch (error) {
      if (this.ended) return;
      // The registration was refused or not answered, or there is no way to the peer.
      const { statusCode } = error as { statusCode?: number };
      if (statusCode === undefined) return this.#end('FAILED', infoOf(error), 'network');
      this.#sipStatus = statusCode;
      const info = infoOf(error, { statusCode, reasonPhrase: describe(error) });
      this.#end('FAILED', info, 'remote');
    }
  }

  async #dial(): Promise<void> {
    const startup = this.#startup;
    const { userAgent } = this.#deps;
    const { host, port } = startup.nextHop;
    const address = await userAgent.localAddressFor(host, port, startup.transport);
    if (this.ended) return;
    const credentials = startup.credentials ? { credentials: startup.credentials } : {};
    const outboundProxy = startup.outboundProxy ? { outboundProxy: startup.outboundProxy } : {};
    const { transport } = startup;
    if (startup.registerRequired) {
      const { registrar, from, registrarHop } = startup;
      const registration = await userAgent.register(
        { registrar, from, transport, ...credentials, outboundProxy: registrarHop },
        (view) => {
          if (!this.ended) this.#info = registrationInfo(view);
        },
        this.#over.signal,
      );
      if (this.ended) return;
      this.#registration = registration;
    }
    this.#descriptions.describe(address, Math.floor(this.#createdAtMs));
    const { inviteTimeoutMs, maxRedirects } = this.#options;
    this.#session = userAgent.invite(
      {
        callId: startup.callId,
        target: startup.target,
        from: startup.from,
        transport,
        headers: startup.headers,
        offer: this.#descriptions.agreement.firstOffer(),
        inviteTimeoutMs,
        ...(maxRedirects !== undefined && { maxRedirects }),
        ...credentials,
        ...outboundProxy,
      },
      this.sessionHandler,
    );
  }

  /** For the gateway, once: answers a call that came in. What goes wrong ends the call; it never rejects. */
  async receive(
    session: IncomingSession,
    offer: string | undefined,
    source: TransportAddress,
  ): Promise<void> {
    if (this.ended) return session.reject(603, 'Decline');
    this.#session = session;
    const descriptions = this.#descriptions;
    descriptions.onPeer(source.address);
    this.#move('PENDING', {});
    try {
      const address = await this.#deps.userAgent.localAddressFor(source.address, source.port);
      descriptions.describe(address, Math.floor(this.#createdAtMs));
      if (this.ended) return;
      let sdp: string;
      if (offer === undefined) sdp = descriptions.agreement.firstOffer();
      else {
        await descriptions.agreement.hosts.lookUp(offer);
        if (this.ended) return;
        sdp = descriptions.answerFirst(offer);
      }
      // A call that cannot be published as it asked to be is not answered first.
      if (this.#rtmpPush) this.#heldForm = this.#rtmpPush.prepare(this.#media.stream);
      session.answer(sdp);
    } catch (error) {
      if (this.ended) return;
      descriptions.warn(`unusable offer: ${describe(error)}`);
      const isTheirs = isTheirDescription(error);
      this.#sipStatus = isTheirs ? 488 : 500;
      this.#end('FAILED', infoOfMediaFailure(error), 'gateway');
      session.reject(this.#sipStatus, isTheirs ? 'Not Acceptable Here' : 'Server Internal Error');
    }
  }

  /** For the gateway: what the SIP session of this call reports to. */
  readonly sessionHandler: InviteSessionHandler = {
    // What goes wrong in here is ours, and must not reach the user agent.
    onProvisional: (response) => this.#guard(() => this.#onProvisional(response)),
    onAnswered: (response, answer) =>
      this.#guard(() => {
        const described = this.#descriptions.firstAnswerIn(response, answer);
        const { agreement } = this.#descriptions;
        return agreement.read(described, () => this.#onAnswered(response, described));
      }),
    onReoffer: (sdp) => this.#onReoffer(sdp),
    onOfferWanted: () => this.#descriptions.agreement.freshOffer(),
    onReanswer: (sdp) =>
      this.#guard(() => this.#descriptions.agreement.read(sdp, () => this.#onReanswer(sdp))),
    answerInUse: () => this.#descriptions.agreement.reading,
    onRefer: (refer) => {
      if (this.listenerCount('refer') === 0) return false;
      this.emit('refer', refer);
      return true;
    },
    onDialogRequest: (request) => this.#infos.answer(request),
    onMessage: (direction, message, remote) => {
      if (direction !== 'in') return;
      this.#lastMessage = message;
      this.#descriptions.onPeer(remote.address);
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
    this.#move(statusOfProvisional(response.statusCode), { sipStatus: response.statusCode });
    this.#ringWithMedia();
  }

  /** Early media has been announced, and flows. RTP alone may be that of a peer which is just answering. */
  #ringWithMedia(): void {
    if (this.#earlyMedia && this.#descriptions.hasEarly) this.#move('RING_MEDIA', {});
  }

  #onAnswered(response: SipResponse, described: string): void {
    if (this.ended) return;
    let release = this.#heldForm;
    this.#heldForm = undefined;
    try {
      this.#media.start(this.#descriptions.begin(described, response));
      // Before the call counts as established: one that cannot be published as it asked to be has failed.
      if (this.#rtmpPush) release ??= this.#rtmpPush.prepare(this.#media.stream);
    } catch (error) {
      release?.();
      this.#descriptions.warn(`unusable answer: ${describe(error)}`);
      return this.#hangUp(infoOfMediaFailure(error), response.statusCode);
    }
    if (!this.#terminating) {
      this.#establishedAtMs = this.#deps.wallClock();
      this.#move('ESTABLISHED', { sipStatus: response.statusCode });
      this.stream.goLive();
    }
    release?.();
    if (this.#terminating) return;
    this.#resolveAnswered();
  }

  #onReoffer(sdp: string): ReturnType<InviteSessionHandler['onReoffer']> {
    const reply = this.#descriptions.onReoffer(sdp);
    if ('statusCode' in reply) return reply;
    this.#move(reply.held ? 'HOLD' : 'ESTABLISHED', {});
    return { answer: reply.answer };
  }

  /** The answer to an offer of ours inside the call. @throws SipError, and the session goes on as it was */
  #onReanswer(sdp: string): void {
    if (this.ended) return;
    const held = this.#descriptions.onReanswer(sdp);
    this.#move(held ? 'HOLD' : 'ESTABLISHED', {});
  }

  /** Ends an answered call for a reason of our own: as in `terminate`, a peer that is gone need not answer the BYE. */
  #hangUp(info: string, sipStatus = this.#sipStatus): void {
    this.#hungUp = this.#session?.terminate();
    this.#sipStatus = sipStatus;
    this.#end('FAILED', info, 'gateway');
  }

  #onEnded(ending: SessionEnding): void {
    if (this.ended) return;
    const sipStatus = ending.statusCode;
    if (sipStatus !== undefined) this.#sipStatus = sipStatus;
    if (this.#terminating || ending.cancelled) return this.#end('FINISH', INFO.normal, 'local');
    if (isOrderly(ending)) {
      return this.#end('FINISH', INFO.normal, ending.endedBy);
    }
    if (sipStatus === 486 || sipStatus === 600) {
      return this.#end('BUSY', ending.reasonPhrase ?? 'Busy', ending.endedBy);
    }
    this.#end('FAILED', infoOf(ending.error, ending), ending.endedBy);
  }

  /** The one way into a final status. Releases everything the call holds; see docs/lifecycle.md. */
  #end(status: 'BUSY' | 'FINISH' | 'FAILED', info: string, endedBy: EndedBy): void {
    if (this.ended) return;
    this.#heldForm?.();
    this.#heldForm = undefined;
    this.#lastMediaStats = this.#establishedAtMs === null ? null : this.#media.stats();
    this.#info = info;
    this.#endedBy = endedBy;
    this.#over.abort();
    this.#endedAtMs = this.#deps.wallClock();
    this.#move(status, { sipStatus: this.#sipStatus });
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
      await this.stream.end();
    } finally {
      await this.#media.close();
    }
  }

  /** The one place where the status moves; emits last. */
  #move(status: CallStatus, { sipStatus }: { sipStatus?: number | null }): void {
    const previous = this.#status;
    const changed: CallChange[] = [];
    if (sipStatus !== undefined && (sipStatus !== this.#sipStatus || isFinal(status))) {
      this.#sipStatus = sipStatus;
      changed.push('sipStatus');
    }
    if (status !== previous && mayFollow(CALL_TRANSITIONS, previous, status)) {
      this.#status = status;
      changed.push('status');
    }
    if (changed.length === 0) return;
    if (this.#status !== previous) {
      const reason = isFinal(this.#status) && this.#info !== null ? ` (${this.#info})` : '';
      const logger = childLogger(this.#deps.logger, {
        status: this.#status,
        previous,
        ...(this.#sipStatus !== null && { sipStatus: this.#sipStatus }),
      });
      logger.info(`${previous} -> ${this.#status}${reason}`);
      this.emit('status', this.#status, previous);
    }
    this.#changed(changed);
  }

  #changed(changed: readonly CallChange[]): void {
    if (this.listenerCount('change') > 0) this.emit('change', this.view(), changed);
  }
}
