// One call: its SIP session, its media, its named stream, and the statuses that clients see.

import type { decodeSpropParameterSets, MediaSession, MediaStats } from '@sipcast/media';
import type {
  answerReoffer,
  formatOffer,
  InviteSession,
  parseAnswer,
  Registration,
  SessionDescription,
  SessionEnding,
  SipMessage,
  SipResponse,
  SipUserAgent,
} from '@sipcast/sip';
import { SafeEmitter } from './emitter.ts';
import { GatewayError } from './errors.ts';
import type { Logger } from './logger.ts';
import { NamedStream } from './named-stream.ts';
import { describeSession, negotiatedMedia } from './negotiation.ts';
import type { OfferOptions } from './negotiation.ts';
import type { ResolvedStartup } from './options.ts';
import type { RtmpPush, RtmpPushView } from './rtmp-push.ts';
import { CALL_TRANSITIONS, isFinal, mayFollow, statusOfProvisional } from './status.ts';
import type { CallStatus, RtmpStreamStatus } from './status.ts';

/** How DTMF travels: RFC 4733 events in RTP, or SIP INFO in one of two forms. */
export type DtmfType = 'RFC2833' | 'INFO' | 'INFO_RELAY';

/** Whose doing an ending was. */
export type EndedBy = 'local' | 'remote' | 'network' | 'gateway';

/** A call as clients see it: every key always there, `null` when unset. */
export interface CallView {
  readonly custom: Readonly<Record<string, unknown>>;
  readonly nodeId: string;
  readonly appKey: string;
  readonly sessionId: string;
  readonly callId: string;
  readonly parentCallId: null;
  readonly incoming: boolean;
  readonly status: CallStatus;
  /** Last SIP status code, e.g. 180, 200, 486. */
  readonly sipStatus: number | null;
  readonly rtmpUrl: string | null;
  readonly rtmpStream: string | null;
  readonly streamName: string | null;
  readonly rtmpStreamStatus: RtmpStreamStatus | null;
  readonly caller: string;
  readonly callee: string;
  readonly hasAudio: boolean;
  readonly hasVideo: boolean;
  /** The peer's answer. */
  readonly sdp: string | null;
  readonly visibleName: string;
  readonly inviteParameters: null;
  readonly mediaProvider: 'Flash';
  /** The last SIP message received. */
  readonly sipMessageRaw: string | null;
  readonly isMsrp: false;
  readonly target: null;
  readonly holdForTransfer: false;
  /** Why the call ended, once it has. */
  readonly info: string | null;
  readonly endedBy: EndedBy | null;
  /** ISO 8601. */
  readonly createdAt: string;
  readonly establishedAt: string | null;
  readonly endedAt: string | null;
  readonly media: MediaStats | null;
  readonly pushes: readonly RtmpPushView[];
}

/** What a change was about: those fields that are new. */
export type CallChange = 'status' | 'sipStatus' | 'rtmpStreamStatus';

/** Events of a call. */
export interface CallEvents {
  /** After each change of the status. */
  status: (status: CallStatus, previous: CallStatus) => void;
  /** After each change of the status of the stream that `rtmpUrl` and `rtmpStream` name. */
  rtmpStreamStatus: (status: RtmpStreamStatus) => void;
  /** After each change of status, sipStatus or rtmpStreamStatus; one event for those that change together. */
  change: (view: CallView, changed: readonly CallChange[]) => void;
  /** Once, after the last status: everything that the call held is released. */
  closed: () => void;
}

/** What a call needs of its surroundings. */
export interface CallDeps {
  readonly userAgent: Pick<SipUserAgent, 'localAddressFor' | 'invite' | 'register'>;
  /** `formatMessage` of the SIP package. */
  readonly formatMessage: (message: SipMessage) => Uint8Array;
  /** `formatOffer` of the SIP package. */
  readonly formatOffer: typeof formatOffer;
  /** `parseAnswer` of the SIP package. */
  readonly parseAnswer: typeof parseAnswer;
  /** `answerReoffer` of the SIP package. */
  readonly answerReoffer: typeof answerReoffer;
  /** `decodeSpropParameterSets` of the media package. */
  readonly decodeParameterSets: typeof decodeSpropParameterSets;
  readonly offer: OfferOptions;
  readonly inviteTimeoutMs: number;
  readonly logger: Logger;
  /** Wall clock in milliseconds. */
  readonly wallClock: () => number;
  readonly nodeId: string;
}

/** The reference product's words for the reasons of an end. */
const INFO = {
  normal: 'Normal call clearing',
  noCommonCodecs: 'No common codecs',
  requestTimeout: 'Failed by request timeout',
  error: 'Failed by error',
} as const;

const INFO_DIGIT_MS = 160;
const INFO_GAP_MS = 100;
const INFO_PAUSE_MS = 1000;

/** One call. Made by the gateway's `startup`. */
export class Call extends SafeEmitter<CallEvents> {
  readonly stream: NamedStream;
  readonly #startup: ResolvedStartup;
  readonly #deps: CallDeps;
  readonly #media: MediaSession;
  readonly #sessionId: string;
  readonly #createdAtMs: number;
  #status: CallStatus = 'NEW';
  #sipStatus: number | null = null;
  #info: string | null = null;
  #endedBy: EndedBy | null = null;
  #establishedAtMs: number | null = null;
  #endedAtMs: number | null = null;
  #rtmpPush: RtmpPush | undefined;
  #session: InviteSession | undefined;
  #registration: Registration | undefined;
  #description: SessionDescription | undefined;
  #answer: string | null = null;
  /** The newest session description of a provisional response, and To of that response. */
  #earlyAnswer: { readonly to: string | undefined; readonly sdp: string } | undefined;
  /** RTP came before the answer. */
  #earlyMedia = false;
  #lastMessage: SipMessage | undefined;
  #terminating = false;
  /** Our BYE, until its answer. */
  #hungUp: Promise<void> | undefined;
  /** Why we hang up, where it is not at the caller's wish. */
  #ownEnding: { status: 'FINISH' | 'FAILED'; info: string } | undefined;
  /** Digits are sent one request after the other. */
  #dtmf: Promise<void> = Promise.resolve();
  #answered: Promise<void>;
  #resolveAnswered: () => void = () => {};
  #closed: Promise<void>;
  #resolveClosed: () => void = () => {};
  #lastMediaStats: MediaStats | null = null;

  constructor(startup: ResolvedStartup, sessionId: string, media: MediaSession, deps: CallDeps) {
    super(deps.logger);
    this.#startup = startup;
    this.#sessionId = sessionId;
    this.#media = media;
    this.#deps = deps;
    this.#createdAtMs = deps.wallClock();
    this.stream = new NamedStream(startup.toStream, startup.callId, media);
    this.#answered = new Promise((resolve) => {
      this.#resolveAnswered = resolve;
    });
    this.#closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
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
    const startup = this.#startup;
    return {
      custom: startup.custom,
      nodeId: this.#deps.nodeId,
      appKey: startup.appKey,
      sessionId: this.#sessionId,
      callId: startup.callId,
      parentCallId: null,
      incoming: false,
      status: this.#status,
      sipStatus: this.#sipStatus,
      rtmpUrl: startup.rtmpUrl,
      rtmpStream: startup.rtmpStream,
      streamName: startup.toStream,
      rtmpStreamStatus: this.rtmpStreamStatus,
      caller: startup.caller,
      callee: startup.callee,
      hasAudio: startup.hasAudio,
      hasVideo: startup.hasVideo,
      sdp: this.#answer && withoutKeys(this.#answer),
      visibleName: startup.visibleName,
      inviteParameters: null,
      mediaProvider: 'Flash',
      sipMessageRaw: this.#lastMessage
        ? withoutKeys(Buffer.from(this.#deps.formatMessage(this.#lastMessage)).toString())
        : null,
      isMsrp: false,
      target: null,
      holdForTransfer: false,
      info: this.#info,
      endedBy: this.#endedBy,
      createdAt: new Date(this.#createdAtMs).toISOString(),
      establishedAt: isoOrNull(this.#establishedAtMs),
      endedAt: isoOrNull(this.#endedAtMs),
      media: this.stats(),
      pushes: this.stream.pushes.map((push) => push.view()),
    };
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
   * @throws GatewayError `INVALID_ARGUMENT` for another character; `CALL_STATE` when RFC 4733 was asked for and the
   * peer did not negotiate it.
   */
  sendDtmf(digits: string, type: DtmfType = 'RFC2833'): Promise<void> {
    if (!/^[0-9A-Da-d*#,]{1,128}$/.test(digits)) {
      const problem = 'dtmf must be 1 to 128 of 0-9 * # A-D and the pause ,';
      throw new GatewayError('INVALID_ARGUMENT', problem, { field: 'dtmf' });
    }
    const sent = this.#dtmf.then(async () => {
      await this.#answered;
      if (this.ended || this.#terminating) return;
      await (type === 'RFC2833' ? this.#sendEvents(digits) : this.#sendInfos(digits, type));
    });
    this.#dtmf = sent.catch(() => {});
    return sent;
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
    if (this.ended || this.#ownEnding) return;
    this.#deps.logger.error(
      `${this.callId}: ${error instanceof Error ? error.stack : String(error)}`,
    );
    if (this.#session && this.#session.state !== 'ended') this.#hangUp('FAILED', INFO.error);
    else this.#end('FAILED', INFO.error, 'gateway');
  }

  /** For the gateway: RTP comes before the answer. */
  onEarlyMedia(): void {
    this.#earlyMedia = true;
    this.#ringWithMedia();
  }

  /** For the gateway, once: dials. What goes wrong ends the call; it never rejects. */
  async place(): Promise<void> {
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
    const address = await userAgent.localAddressFor(host, port);
    if (this.ended) return;
    const credentials = startup.credentials ? { credentials: startup.credentials } : {};
    const outboundProxy = startup.outboundProxy ? { outboundProxy: startup.outboundProxy } : {};
    const { transport } = startup;
    if (startup.registerRequired) {
      const registration = await userAgent.register({
        registrar: startup.registrar,
        from: startup.from,
        transport,
        ...credentials,
        outboundProxy: startup.registrarHop,
      });
      if (this.ended) return registration.unregister();
      this.#registration = registration;
    }
    this.#description = describeSession({
      address,
      callId: startup.callId,
      sessionId: Math.floor(this.#createdAtMs),
      audio: this.#media.audio,
      video: this.#media.video,
      hasAudio: startup.hasAudio,
      hasVideo: startup.hasVideo,
      options: this.#deps.offer,
    });
    this.#session = userAgent.invite(
      {
        callId: startup.callId,
        target: startup.target,
        from: startup.from,
        transport,
        headers: startup.headers,
        offer: this.#deps.formatOffer(this.#description),
        inviteTimeoutMs: this.#deps.inviteTimeoutMs,
        ...credentials,
        ...outboundProxy,
      },
      {
        // What goes wrong in here is ours, and must not reach the user agent.
        onProvisional: (response) => this.#guard(() => this.#onProvisional(response)),
        onAnswered: (response) => this.#guard(() => this.#onAnswered(response)),
        onReoffer: (sdp) => this.#onReoffer(sdp),
        onMessage: (direction, message) => {
          if (direction === 'in') this.#lastMessage = message;
        },
        onEnded: (ending) => this.#guard(() => this.#onEnded(ending)),
      },
    );
  }

  #guard(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.fail(error);
    }
  }

  #onProvisional(response: SipResponse): void {
    if (response.body.length > 0) {
      const sdp = Buffer.from(response.body).toString('utf8');
      this.#earlyAnswer = { to: response.headers.get('to'), sdp };
    }
    this.#move(statusOfProvisional(response.statusCode), { sipStatus: response.statusCode });
    this.#ringWithMedia();
  }

  /** Early media has been announced, and flows. RTP alone may be that of a peer which is just answering. */
  #ringWithMedia(): void {
    if (this.#earlyMedia && this.#earlyAnswer) this.#move('RING_MEDIA', {});
  }

  #onAnswered(response: SipResponse): void {
    if (this.ended || !this.#description) return;
    const sdp = this.#answerIn(response);
    this.#answer = sdp;
    try {
      const answer = this.#deps.parseAnswer(this.#description, sdp);
      const negotiated = negotiatedMedia(this.#description, answer, this.#deps.decodeParameterSets);
      if (!negotiated.audio && !negotiated.video) {
        return this.#hangUp('FAILED', INFO.noCommonCodecs);
      }
      this.#media.start(negotiated);
    } catch (error) {
      this.#deps.logger.warn(`${this.callId}: unusable answer: ${describe(error)}`);
      const { code } = error as { code?: string };
      return this.#hangUp('FAILED', code === 'NO_COMMON_CODECS' ? INFO.noCommonCodecs : INFO.error);
    }
    if (this.#terminating) return;
    this.#establishedAtMs = this.#deps.wallClock();
    this.#move('ESTABLISHED', { sipStatus: response.statusCode });
    this.stream.goLive();
    this.#resolveAnswered();
  }

  /**
   * RFC 3261 §13.2.1 puts the answer into the 2xx, too, when it stood in an unreliable provisional response; gateways
   * to the telephone network are known to leave it out there.
   */
  #answerIn(accepted: SipResponse): string {
    const early = this.#earlyAnswer;
    if (accepted.body.length === 0 && early?.to === accepted.headers.get('to')) {
      return early?.sdp ?? '';
    }
    return Buffer.from(accepted.body).toString('utf8');
  }

  #onReoffer(sdp: string): { answer: string } | { statusCode: number; reasonPhrase: string } {
    if (!this.#description) return { statusCode: 488, reasonPhrase: 'Not Acceptable Here' };
    try {
      const { sdp: answer, description } = this.#deps.answerReoffer(this.#description, sdp);
      this.#description = description;
      return { answer };
    } catch (error) {
      this.#deps.logger.warn(`${this.callId}: unusable offer: ${describe(error)}`);
      return { statusCode: 488, reasonPhrase: 'Not Acceptable Here' };
    }
  }

  /** Ends an answered call for a reason of our own. */
  #hangUp(status: 'FINISH' | 'FAILED', info: string): void {
    this.#ownEnding = { status, info };
    void this.#session?.terminate();
  }

  #onEnded(ending: SessionEnding): void {
    if (this.ended) return;
    const sipStatus = ending.statusCode;
    if (sipStatus !== undefined) this.#sipStatus = sipStatus;
    if (this.#ownEnding) return this.#end(this.#ownEnding.status, this.#ownEnding.info, 'gateway');
    if (this.#terminating || ending.cancelled) return this.#end('FINISH', INFO.normal, 'local');
    if (ending.answered && ending.endedBy !== 'network') {
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
    this.#lastMediaStats = this.#establishedAtMs === null ? null : this.#media.stats();
    this.#info = info;
    this.#endedBy = endedBy;
    this.#endedAtMs = this.#deps.wallClock();
    this.#move(status, { sipStatus: this.#sipStatus });
    this.#resolveAnswered();
    void this.#release();
  }

  async #release(): Promise<void> {
    const problems = await Promise.allSettled([
      this.stream.end().then(() => this.#media.close()),
      this.#hungUp,
      this.#registration?.unregister(),
    ]);
    for (const problem of problems) {
      if (problem.status === 'rejected')
        this.#deps.logger.warn(`${this.callId}: ${describe(problem.reason)}`);
    }
    this.#resolveClosed();
    this.emit('closed');
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
      const reason = this.#info === null ? '' : ` (${this.#info})`;
      this.#deps.logger.info(`${this.callId}: ${previous} -> ${this.#status}${reason}`);
      this.emit('status', this.#status, previous);
    }
    this.#changed(changed);
  }

  #changed(changed: readonly CallChange[]): void {
    if (this.listenerCount('change') > 0) this.emit('change', this.view(), changed);
  }

  async #sendEvents(digits: string): Promise<void> {
    try {
      await this.#media.sendDtmf(digits.toUpperCase());
    } catch (cause) {
      throw new GatewayError('CALL_STATE', 'The peer takes no RFC 4733 events; use INFO', {
        cause,
      });
    }
  }

  async #sendInfos(digits: string, type: 'INFO' | 'INFO_RELAY'): Promise<void> {
    for (const digit of digits.toUpperCase()) {
      if (this.ended || !this.#session) return;
      if (digit === ',') {
        await this.#pause(INFO_PAUSE_MS);
        continue;
      }
      await (type === 'INFO'
        ? this.#session.sendInfo('application/dtmf', digit)
        : this.#session.sendInfo(
            'application/dtmf-relay',
            `Signal=${digit}\r\nDuration=${INFO_DIGIT_MS}\r\n`,
          ));
      await this.#pause(INFO_GAP_MS);
    }
  }

  async #pause(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const elapsed = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ms);
    });
    await Promise.race([elapsed, this.#closed]);
    clearTimeout(timer);
  }
}

/** RFC 4568 §9.2: the keys of a session description are secrets. */
function withoutKeys(text: string): string {
  return text.replaceAll(/inline:[^\s|;]+/gi, 'inline:***');
}

function isoOrNull(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Why it failed: the reference's words where one fits, else the peer's status line, else our own error. */
function infoOf(error: unknown, ending: Partial<SessionEnding> = {}): string {
  const { code } = (error ?? {}) as { code?: string };
  if (code === 'TIMEOUT') return INFO.requestTimeout;
  const { statusCode, reasonPhrase } = ending;
  if (statusCode !== undefined && code !== 'TRANSPORT')
    return `${statusCode} ${reasonPhrase ?? ''}`.trim();
  return error === undefined ? INFO.error : `${INFO.error}: ${describe(error)}`;
}
