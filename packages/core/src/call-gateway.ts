// The gateway: the calls of one process, and the one place where the protocol packages are composed.

import { randomBytes, randomUUID } from 'node:crypto';
import { networkInterfaces } from 'node:os';
import {
  decodeSpropParameterSets,
  openFfmpegTranscoders,
  openMediaSession,
  openRtmpPublisher,
  parseRtmpUrl,
  PortPool,
  Ticker,
} from '@sipcast/media';
import type { OpenAudioTranscoder } from '@sipcast/media';
import {
  answerReoffer,
  formatMessage,
  formatOffer,
  parseAnswer,
  parseUri,
  SipUserAgent,
} from '@sipcast/sip';
import type { SipTimers, TransportFactory } from '@sipcast/sip';
import { Call } from './call.ts';
import type { CallChange, CallDeps, CallView, DtmfType } from './call.ts';
import { SafeEmitter } from './emitter.ts';
import { GatewayError } from './errors.ts';
import { FaultLog } from './fault-log.ts';
import { asGatewayError, validateGatewayOptions } from './gateway-options.ts';
import { guardLogger, silentLogger } from './logger.ts';
import type { Logger } from './logger.ts';
import type { OfferOptions } from './negotiation.ts';
import { invalid, resolveStartup, validateRtmpTarget } from './options.ts';
import type { StartupRequest } from './options.ts';
import { RtmpPush } from './rtmp-push.ts';
import type { RtmpOptions, RtmpPushView } from './rtmp-push.ts';

/** Options of a gateway. All have defaults. */
export interface CallGatewayOptions {
  /** Address that SIP and RTP sockets are bound to. Default `0.0.0.0`. */
  readonly bindAddress?: string;
  /** Address that peers shall use, where it is not the local one (NAT). Default: found per destination. */
  readonly publicAddress?: string;
  /** UDP and TCP port for SIP. Default 0: one that is free. */
  readonly sipPort?: number;
  /** First and last port for RTP and RTCP; two pairs a call. Default 30000–39999. */
  readonly rtpPorts?: { readonly min: number; readonly max: number };
  /** User-Agent header. Default `sipcast`. */
  readonly userAgentName?: string;
  /** Transports of your own in place of UDP and TCP (see `Transport` of `@sipcast/sip`). */
  readonly sipTransports?: readonly TransportFactory[];
  /** SIP timers (RFC 3261 §17.1.1.1), in milliseconds. */
  readonly sipTimers?: Partial<SipTimers>;
  /** No final answer for this long ends a call. Default 180,000 ms. */
  readonly inviteTimeoutMs?: number;
  /** How long a missing RTP packet is waited for. Default 60 ms. */
  readonly jitterDelayMs?: number;
  /**
   * What RTMP servers get: G.711 as it comes (`passthrough`, the default), or AAC by an ffmpeg child process for each
   * call, which most platforms and browsers want.
   */
  readonly audio?: 'passthrough' | 'aac';
  /** Path of ffmpeg, for `audio: 'aac'`. Default: the environment's `FFMPEG_PATH`, else `ffmpeg` on the `PATH`. */
  readonly ffmpegPath?: string;
  /** An encoder of your own in place of ffmpeg, for `audio: 'aac'`. */
  readonly openAudioTranscoder?: OpenAudioTranscoder;
  /** More live calls are refused. Default 1,000. */
  readonly maxCalls?: number;
  /** Ended calls that `history()` remembers. Default 1,000. */
  readonly historySize?: number;
  readonly offer?: OfferOptions;
  readonly rtmp?: RtmpOptions;
  /** Default: silent. */
  readonly logger?: Logger;
}

/** What `find` compares; all that are given must be equal. */
export type CallFilter = Partial<
  Pick<
    CallView,
    | 'callId'
    | 'callee'
    | 'caller'
    | 'rtmpUrl'
    | 'rtmpStream'
    | 'status'
    | 'sipStatus'
    | 'rtmpStreamStatus'
    | 'hasAudio'
    | 'hasVideo'
    | 'streamName'
  >
>;

/** A push to start. */
export interface PushRequest {
  /** Name of a stream, that is, `toStream` of a call. */
  readonly streamName: string;
  /** `rtmp://host[:port]/app[/instance][?query]`. */
  readonly rtmpUrl: string;
  /** `rtmpUrl` ends in the name to publish under. Default false: it is the stream's name. */
  readonly rtmpTransponderFullUrl?: boolean;
  /** Begin muted. Default false. */
  readonly muted?: boolean;
}

/** What `findPushes` compares. */
export interface PushFilter {
  /** With or without a leading `rtmp_`. */
  readonly streamName?: string;
  readonly rtmpUrl?: string;
}

/** Events of a gateway. */
export interface CallGatewayEvents {
  /** A call was accepted and can be found. */
  call: (call: Call) => void;
  /** A call's status, sipStatus or rtmpStreamStatus changed. In order for each call. */
  callChange: (call: Call, view: CallView, changed: readonly CallChange[]) => void;
  /** A call ended, and all that it held is released. */
  callClosed: (call: Call) => void;
}

/** What the gateway is composed of; tests may replace parts. */
export interface GatewayDeps {
  /** Makes the SIP user agent. */
  readonly createUserAgent: (...args: ConstructorParameters<typeof SipUserAgent>) => SipUserAgent;
  /** Opens one call's media. */
  readonly openMediaSession: typeof openMediaSession;
  /** Opens one RTMP connection. */
  readonly openRtmpPublisher: typeof openRtmpPublisher;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Wall clock in milliseconds. */
  readonly wallClock: () => number;
  /** 0 ≤ n < 1. */
  readonly random: () => number;
}

/** How long the peers' goodbyes are waited for when the gateway closes. */
const CLOSE_GRACE_MS = 2000;

const DEFAULT_DEPS: GatewayDeps = {
  createUserAgent: (...args) => new SipUserAgent(...args),
  openMediaSession,
  openRtmpPublisher,
  now: () => performance.now(),
  wallClock: () => Date.now(),
  random: () => Math.random(),
};

/**
 * Opens a gateway: binds the SIP port and is ready to call.
 *
 * @throws GatewayError `INVALID_ARGUMENT` for a wrong option. Rejects with MediaError `NO_TRANSCODER` when AAC is asked
 * for and there is no ffmpeg for it. Rejects with the socket's error when the port is busy.
 */
export async function createCallGateway(
  options: CallGatewayOptions = {},
  deps: Partial<GatewayDeps> = {},
): Promise<CallGateway> {
  const gateway = new CallGateway(options, { ...DEFAULT_DEPS, ...deps });
  await gateway.open();
  return gateway;
}

/** The calls of one process. Several gateways may live in one process. */
export class CallGateway extends SafeEmitter<CallGatewayEvents> {
  /** `<32 hexadecimal characters>@<address>`: one for each gateway. */
  readonly nodeId: string;
  readonly #options: CallGatewayOptions;
  readonly #deps: GatewayDeps;
  readonly #logger: Logger;
  readonly #faults: FaultLog;
  readonly #userAgent: SipUserAgent;
  readonly #portPool: PortPool;
  readonly #ticker = new Ticker();
  readonly #calls = new Map<string, Call>();
  /** Call-IDs and stream names of calls that are being started. */
  readonly #reserved = new Set<string>();
  /** Calls that have ended and still hold something. */
  readonly #closing = new Set<Call>();
  readonly #pushes = new Map<string, { push: RtmpPush; call: Call }>();
  readonly #history: CallView[] = [];
  #openAudioTranscoder: OpenAudioTranscoder | undefined;
  #sessions = 0;
  #closed: Promise<void> | undefined;

  /** Use {@link createCallGateway}. */
  constructor(options: CallGatewayOptions, deps: GatewayDeps) {
    validateGatewayOptions(options);
    const logger = guardLogger(options.logger ?? silentLogger);
    super(logger);
    this.#options = options;
    this.#deps = deps;
    this.#logger = logger;
    this.#faults = new FaultLog(logger, deps.now);
    const { min, max } = options.rtpPorts ?? { min: 30_000, max: 39_999 };
    this.#portPool = new PortPool({ min, max });
    this.nodeId = `${randomBytes(16).toString('hex')}@${nodeAddress(options)}`;
    try {
      this.#userAgent = deps.createUserAgent(
        {
          port: options.sipPort ?? 0,
          ...(options.bindAddress === undefined ? {} : { bindAddress: options.bindAddress }),
          ...(options.publicAddress === undefined ? {} : { publicAddress: options.publicAddress }),
          userAgentName: options.userAgentName ?? 'sipcast',
          ...(options.sipTimers === undefined ? {} : { timers: options.sipTimers }),
          ...(options.sipTransports === undefined ? {} : { transports: options.sipTransports }),
        },
        { onFault: (fault, example) => this.#faults.count(`sip-${fault}`, example.source) },
      );
    } catch (error) {
      throw asGatewayError(error);
    }
  }

  /** For {@link createCallGateway}. */
  async open(): Promise<void> {
    const { audio = 'passthrough', ffmpegPath, openAudioTranscoder } = this.#options;
    if (audio !== 'passthrough' && audio !== 'aac')
      throw invalid('audio', 'must be passthrough or aac');
    if (audio === 'aac')
      this.#openAudioTranscoder = openAudioTranscoder ?? (await this.#findEncoder(ffmpegPath));
    await this.#userAgent.open();
  }

  async #findEncoder(ffmpegPath: string | undefined): Promise<OpenAudioTranscoder> {
    const found = await openFfmpegTranscoders(ffmpegPath === undefined ? {} : { ffmpegPath });
    this.#logger.info(`audio is encoded by ffmpeg ${found.version} (${found.path})`);
    return found.openAudio;
  }

  /** Port on which SIP is spoken. */
  get sipPort(): number {
    return this.#userAgent.localPort;
  }

  /** Live calls, in order of their start. */
  get calls(): readonly Call[] {
    return [...this.#calls.values()];
  }

  /** Bad input from the wire, counted by name. */
  get faults(): Readonly<Record<string, number>> {
    return this.#faults.counts;
  }

  /**
   * Starts a call. Resolves when it is accepted and can be found, not when it is answered: wait for
   * `call.established()`.
   *
   * @param clientAddress - Of the request, for the call's `sessionId`. Default `local`.
   * @throws GatewayError (rejection) `INVALID_ARGUMENT`, `NOT_IMPLEMENTED`, `CALL_EXISTS`, `RTMP_STREAM_EXISTS`,
   * `STREAM_EXISTS`, `TOO_MANY_CALLS`, `NO_PORTS`, `GATEWAY_CLOSED`.
   */
  async startup(request: StartupRequest, clientAddress = 'local'): Promise<Call> {
    if (this.#closed) throw new GatewayError('GATEWAY_CLOSED', 'The gateway is closing');
    const parsers = { parseSipUri: parseUri, parseRtmpUrl };
    const startup = resolveStartup(request, parsers, () => randomUUID());
    const reservations = this.#reserve(startup);
    try {
      let call: Call | undefined;
      const media = await this.#openMedia(startup.callId, () => call);
      if (this.#closed) {
        await media.close();
        throw new GatewayError('GATEWAY_CLOSED', 'The gateway is closing');
      }
      this.#sessions++;
      call = new Call(startup, `${clientAddress}:${this.#sessions}`, media, this.#callDeps());
      this.#add(call);
      if (startup.rtmpUrl !== null && startup.rtmpStream !== null) {
        call.attachRtmpPush(this.#createPush(call, startup.rtmpStream, startup.rtmpUrl, {}));
      }
      this.emit('call', call);
      void call.place();
      return call;
    } finally {
      for (const name of reservations) this.#reserved.delete(name);
    }
  }

  /** Live calls that match all given fields; none: an empty array. */
  find(filter: CallFilter = {}): CallView[] {
    const found: CallView[] = [];
    // The Call-ID is the key: a poller of one call costs nothing, however many there are.
    const one = filter.callId === undefined ? undefined : this.#calls.get(filter.callId);
    const candidates = filter.callId === undefined ? this.#calls.values() : one ? [one] : [];
    for (const call of candidates) {
      const view = call.view();
      if (
        Object.entries(filter).every(
          ([key, value]) => value === undefined || view[key as keyof CallFilter] === value,
        )
      ) {
        found.push(view);
      }
    }
    return found;
  }

  /** The live call. @throws GatewayError `CALL_NOT_FOUND`. */
  get(callId: string): Call {
    const call = this.#calls.get(callId);
    if (!call) throw new GatewayError('CALL_NOT_FOUND', 'No such call', { field: 'callId' });
    return call;
  }

  /** Ends a call; resolves when all that it held is released. @throws GatewayError `CALL_NOT_FOUND`. */
  terminate(callId: string): Promise<void> {
    return this.get(callId).terminate();
  }

  /** As {@link Call.sendDtmf}. @throws GatewayError also `CALL_NOT_FOUND`. */
  sendDtmf(callId: string, digits: string, type: DtmfType = 'RFC2833'): Promise<void> {
    return this.get(callId).sendDtmf(digits, type);
  }

  /**
   * Pushes a named stream to one more RTMP server; also one that is only reserved.
   *
   * @throws GatewayError `INVALID_ARGUMENT`, `NOT_IMPLEMENTED`, `STREAM_NOT_FOUND`, `PUSH_EXISTS`.
   */
  startPush(request: PushRequest): RtmpPushView {
    const { streamName, rtmpUrl, rtmpTransponderFullUrl = false, muted = false } = request;
    const [connectUrl, publishName] = rtmpTransponderFullUrl
      ? splitFullUrl(rtmpUrl)
      : [rtmpUrl, streamName];
    const nameField = rtmpTransponderFullUrl ? 'rtmpUrl' : 'streamName';
    validateRtmpTarget(connectUrl, publishName, { parseSipUri: parseUri, parseRtmpUrl }, nameField);
    const call = this.calls.find(
      (one) => one.stream.name !== null && one.stream.name === streamName,
    );
    if (!call)
      throw new GatewayError('STREAM_NOT_FOUND', 'No such stream', { field: 'streamName' });
    // The call's own push may go to the same server under another name.
    const exists = call.stream.pushes.some(
      ({ target }) => target.rtmpUrl === rtmpUrl && target.streamName === streamName,
    );
    if (exists)
      throw new GatewayError('PUSH_EXISTS', 'This stream is pushed there already', {
        field: 'rtmpUrl',
      });
    const push = this.#createPush(call, streamName, rtmpUrl, {
      muted,
      ...(rtmpTransponderFullUrl ? { connectUrl, publishName } : {}),
    });
    call.stream.attach(push);
    return push.view();
  }

  /** Pushes that match all given fields, those of calls' own `rtmpUrl` included. */
  findPushes(filter: PushFilter = {}): RtmpPushView[] {
    const bare = (name: string): string => name.replace(/^rtmp_/, '');
    const found: RtmpPushView[] = [];
    for (const { push } of this.#pushes.values()) {
      if (push.terminated) continue;
      const { streamName, rtmpUrl } = push.target;
      if (filter.streamName !== undefined && bare(filter.streamName) !== bare(streamName)) continue;
      if (filter.rtmpUrl !== undefined && filter.rtmpUrl !== rtmpUrl) continue;
      found.push(push.view());
    }
    return found;
  }

  /** The push. @throws GatewayError `PUSH_NOT_FOUND`. */
  getPush(mediaSessionId: string): RtmpPush {
    const entry = this.#pushes.get(mediaSessionId);
    if (!entry || entry.push.terminated)
      throw new GatewayError('PUSH_NOT_FOUND', 'No such push', { field: 'mediaSessionId' });
    return entry.push;
  }

  /** Ends a push; the stream and its other pushes go on. @throws GatewayError `PUSH_NOT_FOUND`. */
  terminatePush(mediaSessionId: string): Promise<void> {
    return this.getPush(mediaSessionId).close();
  }

  /** Sends silence instead of the audio, without a break. @throws GatewayError `PUSH_NOT_FOUND`. */
  mutePush(mediaSessionId: string): void {
    this.getPush(mediaSessionId).muted = true;
  }

  /** Sends the audio again. @throws GatewayError `PUSH_NOT_FOUND`. */
  unmutePush(mediaSessionId: string): void {
    this.getPush(mediaSessionId).muted = false;
  }

  /** Ended calls, newest first, at most `historySize`. */
  history(): readonly CallView[] {
    return this.#history;
  }

  /** Ends every call (BYE or CANCEL, deleteStream, un-REGISTER) and closes every socket. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const ending = this.calls.map((call) => call.terminate());
    const released = Promise.all([...ending, ...[...this.#closing].map((call) => call.closed())]);
    // Time for BYE, deleteStream and un-REGISTER; the user agent then ends what a silent peer holds up.
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, CLOSE_GRACE_MS);
    });
    await Promise.race([released, patience]);
    clearTimeout(timer);
    await this.#userAgent.close();
    await released;
  }

  #reserve(startup: {
    callId: string;
    toStream: string | null;
    rtmpUrl: string | null;
    rtmpStream: string | null;
  }): string[] {
    const maxCalls = this.#options.maxCalls ?? 1000;
    if (this.#calls.size >= maxCalls)
      throw new GatewayError('TOO_MANY_CALLS', `${maxCalls} calls are live`);
    const { callId, toStream, rtmpUrl, rtmpStream } = startup;
    const names = [`call ${callId}`];
    if (this.#calls.has(callId) || this.#reserved.has(`call ${callId}`)) {
      throw new GatewayError('CALL_EXISTS', 'A live call has this callId', { field: 'callId' });
    }
    const calls = this.calls;
    if (toStream !== null) {
      names.push(`stream ${toStream}`);
      if (
        calls.some((call) => call.stream.name === toStream) ||
        this.#reserved.has(`stream ${toStream}`)
      ) {
        throw new GatewayError('STREAM_EXISTS', 'A live stream has this name', {
          field: 'toStream',
        });
      }
    }
    if (rtmpUrl !== null) {
      const target = `rtmp ${rtmpUrl} ${rtmpStream}`;
      names.push(target);
      const taken = calls.some(
        ({ request }) => request.rtmpUrl === rtmpUrl && request.rtmpStream === rtmpStream,
      );
      if (taken || this.#reserved.has(target)) {
        throw new GatewayError('RTMP_STREAM_EXISTS', 'A live call publishes there', {
          field: 'rtmpStream',
        });
      }
    }
    for (const name of names) this.#reserved.add(name);
    return names;
  }

  async #openMedia(
    callId: string,
    call: () => Call | undefined,
  ): ReturnType<typeof openMediaSession> {
    try {
      return await this.#deps.openMediaSession(
        {
          portPool: this.#portPool,
          ticker: this.#ticker,
          bindAddress: this.#options.bindAddress ?? '0.0.0.0',
          audioCname: `rtp/audio/${callId}`,
          videoCname: `rtp/video/${callId}`,
          jitterDelayMs: this.#options.jitterDelayMs ?? 60,
          ...(this.#openAudioTranscoder && { openAudioTranscoder: this.#openAudioTranscoder }),
          now: this.#deps.now,
          wallClock: this.#deps.wallClock,
          random: this.#deps.random,
        },
        {
          onFault: (fault, medium, source) => this.#faults.count(`${medium}-${fault}`, source),
          onEarlyMedia: () => call()?.onEarlyMedia(),
          onFailure: (error) => call()?.fail(error),
        },
      );
    } catch (cause) {
      const { code } = cause as { code?: string };
      if (code === 'NO_PORTS') throw new GatewayError('NO_PORTS', 'No free RTP ports', { cause });
      throw cause;
    }
  }

  #callDeps(): CallDeps {
    return {
      userAgent: this.#userAgent,
      formatMessage,
      formatOffer,
      parseAnswer,
      answerReoffer,
      decodeParameterSets: decodeSpropParameterSets,
      offer: this.#options.offer ?? {},
      inviteTimeoutMs: this.#options.inviteTimeoutMs ?? 180_000,
      logger: this.#logger,
      wallClock: this.#deps.wallClock,
      nodeId: this.nodeId,
    };
  }

  #add(call: Call): void {
    this.#calls.set(call.callId, call);
    call.on('change', (view, changed) => {
      if (call.ended && this.#calls.get(call.callId) === call) this.#retire(call, view);
      this.emit('callChange', call, view, changed);
    });
    call.once('closed', () => {
      this.#closing.delete(call);
      this.emit('callClosed', call);
    });
  }

  #retire(call: Call, view: CallView): void {
    this.#calls.delete(call.callId);
    this.#closing.add(call);
    this.#history.unshift(view);
    if (this.#history.length > (this.#options.historySize ?? 1000)) this.#history.pop();
  }

  #createPush(
    call: Call,
    streamName: string,
    rtmpUrl: string,
    parts: { muted?: boolean; connectUrl?: string; publishName?: string },
  ): RtmpPush {
    const mediaSessionId = `${call.callId}-${randomBytes(6).toString('hex')}`;
    const rtmp = this.#options.rtmp ?? {};
    const push = new RtmpPush(
      {
        mediaSessionId,
        streamName,
        rtmpUrl,
        connectUrl: parts.connectUrl ?? rtmpUrl,
        publishName: parts.publishName ?? `${rtmp.streamPrefix ?? ''}${streamName}`,
        muted: parts.muted ?? false,
      },
      rtmp,
      {
        openRtmpPublisher: this.#deps.openRtmpPublisher,
        logger: this.#logger,
        now: this.#deps.now,
        random: this.#deps.random,
      },
    );
    this.#pushes.set(mediaSessionId, { push, call });
    push.once('closed', () => this.#pushes.delete(mediaSessionId));
    return push;
  }
}

/** `rtmp://host/app/key?query` into where to connect and what to publish. */
function splitFullUrl(url: string): [string, string] {
  const query = url.indexOf('?');
  const path = query < 0 ? url : url.slice(0, query);
  const slash = path.lastIndexOf('/');
  const key = path.slice(slash + 1) + (query < 0 ? '' : url.slice(query));
  if (!/^rtmps?:\/\/[^/]+\/.+\/[^/]+$/i.test(path)) {
    throw invalid('rtmpUrl', 'must end in /app/name when rtmpTransponderFullUrl is true');
  }
  return [path.slice(0, slash), key];
}

function nodeAddress(options: CallGatewayOptions): string {
  if (options.publicAddress !== undefined) return options.publicAddress;
  const bound = options.bindAddress;
  if (bound !== undefined && bound !== '0.0.0.0' && bound !== '::') return bound;
  for (const addresses of Object.values(networkInterfaces())) {
    for (const { family, internal, address } of addresses ?? []) {
      if (family === 'IPv4' && !internal) return address;
    }
  }
  return '127.0.0.1';
}
