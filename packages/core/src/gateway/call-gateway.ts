// The gateway: the calls of one process, their streams, pushes and accounts.

import { randomBytes, randomUUID } from 'node:crypto';
import {
  openFfmpegTranscoders,
  openFileSound,
  openMediaSession,
  openRtmpPublisher,
} from '@sipcast/media';
import type { FfmpegBinary, FlvViewerTarget, OutputForm } from '@sipcast/media';
import { maskSecrets, SipUserAgent } from '@sipcast/sip';
import { Admission } from './admission.ts';
import type {
  AccountRegistration,
  RegistrationView,
} from '../registration/account-registration.ts';
import { Call } from '../call/call.ts';
import type { CallDeps, CallOptions, CallView } from '../call/call-contract.ts';
import { CallTable } from './call-table.ts';
import type { DtmfType } from '../call/dtmf-info.ts';
import { SafeEmitter } from '../emitter.ts';
import { Encoders } from './encoders.ts';
import type { CallEncoders } from './encoders.ts';
import { GatewayError } from '../errors.ts';
import type {
  CallFilter,
  CallGatewayEvents,
  CallGatewayOptions,
  GatewayDeps,
  PushFilter,
  PushRequest,
  StreamFilter,
  Viewer,
} from './gateway-contract.ts';
import { FaultLog } from '../fault-log.ts';
import {
  asGatewayError,
  rtmpOptionsOf,
  sipOptionsOf,
  validateGatewayOptions,
  validateRtmp,
} from './gateway-options.ts';
import type { IncomingCall } from '../incoming/incoming-call.ts';
import { IncomingCalls } from '../incoming/incoming-calls.ts';
import { resolveIncoming } from '../incoming/incoming-rules.ts';
import type { IncomingAccept } from '../incoming/incoming-rules.ts';
import { findSound } from '../stream/media-folder.ts';
import { MediaOpener } from './media-opener.ts';
import { Streams } from './streams.ts';
import { childLogger, guardLogger, silentLogger } from '../logger.ts';
import type { Logger } from '../logger.ts';
import { formOptionsOf, resolveAccount, resolveStartup } from '../call/options.ts';
import type { AccountRequest, ResolvedStartup, StartupRequest } from '../call/options.ts';
import type { NamedStream, StreamView } from '../stream/named-stream.ts';
import { prepareFolder } from '../stream/recording.ts';
import { Recordings } from './recordings.ts';
import { nodeAddress } from './node-address.ts';
import { PushTable, pushTarget } from './push-table.ts';
import { Reservations } from './reservations.ts';
import { Registrations } from '../registration/registrations.ts';
import type { RtmpPush, RtmpPushView } from '../stream/rtmp-push.ts';
import type { SipTraceEntry } from '../trace/sip-trace.ts';
import { SipTraces } from '../trace/sip-traces.ts';

/** For whoever writes SIP down: the same masks as in `trace()`. */
export { maskSecrets };

/** How long the peers' goodbyes are waited for when the gateway closes. */
const CLOSE_GRACE_MS = 2000;

const DEFAULT_DEPS: GatewayDeps = {
  createUserAgent: (...args) => new SipUserAgent(...args),
  openMediaSession,
  openFfmpegTranscoders,
  openRtmpPublisher,
  now: () => performance.now(),
  wallClock: () => Date.now(),
  random: () => Math.random(),
};

/**
 * Opens a gateway: binds the SIP port and is ready to call.
 *
 * @throws GatewayError `INVALID_ARGUMENT` for a wrong option. Rejects with MediaError `NO_TRANSCODER` when there is no
 * ffmpeg, unless `transcoding` is false. Rejects with the socket's error when the port is busy.
 */
export async function createCallGateway(
  options: CallGatewayOptions = {},
  deps: Partial<GatewayDeps> = {},
): Promise<CallGateway> {
  return CallGateway.open(options, { ...DEFAULT_DEPS, ...deps });
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
  readonly #incoming: IncomingCalls;
  readonly #media: MediaOpener;
  readonly #calls: CallTable;
  readonly #reservations: Reservations;
  readonly #pushes: PushTable;
  /** Named streams: of calls, and of your own. */
  readonly streams: Streams;
  readonly #recordings: Recordings;
  readonly #traces: SipTraces;
  readonly #registrations: Registrations;
  /** Whether calls are taken at present. */
  readonly admission: Admission;
  readonly #encoders: Encoders;
  #sessions = 0;
  #closed: Promise<void> | undefined;

  private constructor(
    options: CallGatewayOptions,
    encoders: Encoders,
    logger: Logger,
    deps: GatewayDeps,
  ) {
    super(logger);
    this.#encoders = encoders;
    this.#options = options;
    this.#deps = deps;
    this.#logger = logger;
    this.admission = new Admission(options);
    this.#faults = new FaultLog(logger, deps.now);
    this.#calls = new CallTable(options.historySize ?? 1000, {
      onChange: (call, view, changed) => this.emit('callChange', call, view, changed),
      onDtmf: (call, dtmf) => this.emit('callDtmf', call, dtmf),
      onClosed: (call) => this.emit('callClosed', call),
    });
    this.#recordings = new Recordings(options.recording, {
      ffmpeg: encoders.ffmpeg,
      logger,
      wallClock: deps.wallClock,
    });
    this.#pushes = new PushTable(
      {
        rtmp: rtmpOptionsOf(options),
        ...(options.silentAudio !== undefined && { silentAudio: options.silentAudio }),
      },
      { ...deps, logger },
      {
        onChange: (push, callId) => this.emit('pushChange', push.view(), callId),
        onClosed: (push, callId) => this.emit('pushClosed', push.view(), callId),
      },
    );
    const sipLogger = childLogger(logger, { area: 'sip' });
    this.#traces = new SipTraces(options, { ...deps, faults: this.#faults, logger: sipLogger });
    this.#media = new MediaOpener(options, encoders, { ...deps, faults: this.#faults });
    this.streams = new Streams(options, {
      callStreams: () => this.calls.map(({ stream }) => stream),
      isReserved: (name) => this.#reservations.hasStream(name),
      openSource: (...args) => {
        if (this.#closed) throw new GatewayError('GATEWAY_CLOSED', 'The gateway is closing');
        return this.#media.openSource(...args, this.#pushes.enhancedOf(null, {}));
      },
      viewerForm: () => encoders.viewerForm,
    });
    this.#reservations = new Reservations(this.#calls.live, (name) => this.streams.has(name));
    this.#registrations = new Registrations(
      { ...deps, register: (account) => this.#userAgent.register(account), logger: sipLogger },
      (view, previous) => this.emit('registration', view, previous),
    );
    this.#incoming = new IncomingCalls(
      options.incoming,
      {
        launch: (...args) => this.#takeCall(...args),
        isAwaited: () => this.listenerCount('incomingCall') > 0,
        onIncoming: (incoming) => this.emit('incomingCall', incoming),
        isClosed: () => this.#closed !== undefined || this.admission.isDraining,
      },
      { now: deps.now, faults: this.#faults, logger },
    );
    this.nodeId = `${randomBytes(16).toString('hex')}@${nodeAddress(options)}`;
    try {
      this.#userAgent = deps.createUserAgent(sipOptionsOf(options), {
        recognizes: (request, source) => this.#incoming.recognizes({ request, source }),
        onInvite: (invite) => this.#incoming.decide(invite),
        onFault: (fault, example) => this.#faults.count(`sip-${fault}`, example.source),
        onTraffic: (traffic) => this.#traces.record(traffic),
        onServer: (state) => {
          const { server, protocol, address, port, statusCode } = state;
          const isThere = state.state === 'answers';
          sipLogger[isThere ? 'info' : 'warn'](
            `${server}: ${protocol} ${address} port ${port} ${isThere ? 'answers' : 'is silent'} (${statusCode ?? 'no response'})`,
          );
          this.emit('sipServer', state);
        },
      });
    } catch (error) {
      throw asGatewayError(error);
    }
  }

  /** See {@link createCallGateway}. */
  static async open(options: CallGatewayOptions, deps: GatewayDeps): Promise<CallGateway> {
    validateGatewayOptions(options);
    const logger = guardLogger(options.logger ?? silentLogger);
    const encoders = await Encoders.open(
      options,
      deps.openFfmpegTranscoders,
      childLogger(logger, { area: 'media' }),
    );
    const gateway = new CallGateway(options, encoders, logger, deps);
    if (options.sipTls?.insecure === true)
      childLogger(logger, { area: 'sip' }).warn(
        'sipTls.insecure: SIP peers need not prove who they are',
      );
    await gateway.#traces.open(() => gateway.#userAgent.open());
    gateway.admission.open();
    return gateway;
  }

  /** Port on which SIP is spoken. */
  get sipPort(): number {
    return this.#userAgent.localPort;
  }

  /** Port on which SIP over TLS is accepted; 0 without a certificate. */
  get sipTlsPort(): number {
    return this.#userAgent.tlsPort;
  }

  /** Live calls, in order of their start. */
  get calls(): readonly Call[] {
    return [...this.#calls.live.values()];
  }

  /** Encoders that run or are reserved for calls. */
  get encoders(): { readonly audio: number; readonly video: number } {
    return this.#encoders.taken;
  }

  /** What encodes: found at the start and used ever since; undefined where transcoding is off. */
  get ffmpeg(): FfmpegBinary | undefined {
    return this.#encoders.ffmpeg;
  }

  /**
   * Asks `ffmpeg` once more, by running it: not for every request. Until the next time, what needs a new encoder and cannot have it
   * is refused (`TRANSCODER_LOST`); calls that need none, and those that run, go on.
   * @returns what is wrong, for those who run the gateway; undefined while all is well, or calls need no ffmpeg
   */
  checkFfmpeg(): Promise<string | undefined> {
    return this.#encoders.checkFfmpeg();
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
   * @throws GatewayError (rejection) `INVALID_ARGUMENT`, `CALL_EXISTS`, `RTMP_STREAM_EXISTS`, `STREAM_EXISTS`,
   * `TOO_MANY_CALLS`, `DRAINING`, `OVERLOADED`, `TRANSCODERS_BUSY`, `TRANSCODER_LOST`, `NO_PORTS`, `GATEWAY_CLOSED`.
   */
  async startup(request: StartupRequest, clientAddress = 'local'): Promise<Call> {
    if (this.#closed) throw new GatewayError('GATEWAY_CLOSED', 'The gateway is closing');
    const startup = resolveStartup(request, () => randomUUID(), this.#allowsPort);
    return this.#launch(startup, clientAddress, (call) => void call.place());
  }

  /** Takes a call that came in; see `IncomingCall.accept`. */
  async #takeCall(
    accept: IncomingAccept,
    { facts }: IncomingCall,
    begin: (call: Call) => void,
  ): Promise<Call> {
    if (this.#closed) throw new GatewayError('GATEWAY_CLOSED', 'The gateway is closing');
    const startup = resolveIncoming(accept, facts);
    return this.#launch(startup, facts.source, begin);
  }

  async #launch(
    startup: ResolvedStartup,
    clientAddress: string,
    begin: (call: Call) => void,
  ): Promise<Call> {
    validateRtmp(startup.rtmp);
    const form = this.#encoders.formOf(startup.form);
    const { rtmpUrl, rtmp } = startup;
    const enhanced = this.#pushes.enhancedOf(rtmpUrl, rtmp);
    const ownForm = this.#media.ownForm(form, enhanced);
    const recordDir = this.#recordings.dirOf(startup.record);
    this.admission.check(this.#calls.live.size);
    const letGo = this.#reservations.take(startup);
    let encoders: CallEncoders | undefined;
    try {
      if (recordDir !== undefined) await prepareFolder(recordDir);
      encoders = this.#encoders.reserve(form, startup.rtmpUrl !== null || recordDir !== undefined);
      let call: Call | undefined;
      const media = await this.#media.openCall(startup.callId, ownForm, encoders, () => call);
      if (this.#closed) {
        await media.close();
        throw new GatewayError('GATEWAY_CLOSED', 'The gateway is closing');
      }
      this.#sessions++;
      const trace = this.#traces.openCall(startup.callId);
      if (startup.incoming) this.#traces.catchUp(startup.callId, trace);
      call = new Call(
        startup,
        media,
        { ...this.#callOptions(), sessionId: `${clientAddress}:${this.#sessions}`, trace },
        this.#callDeps(startup.callId),
      );
      call.once('closed', () => this.#traces.retireCall(startup.callId, trace));
      const held = encoders;
      call.once('closed', () => held.release());
      encoders = undefined;
      this.#calls.add(call);
      // Before anything that is told of it. A listener may end it at once.
      this.emit('call', call);
      if (!call.ended) this.#attachOutputs(call, startup, form, recordDir);
      begin(call);
      return call;
    } finally {
      encoders?.release();
      letGo();
    }
  }

  #attachOutputs(
    call: Call,
    { rtmpUrl, rtmpStream, rtmp }: ResolvedStartup,
    form: OutputForm,
    recordDir: string | undefined,
  ): void {
    if (rtmpUrl !== null && rtmpStream !== null)
      call.attachRtmpPush(this.#pushes.create(call.callId, rtmpStream, rtmpUrl, { form, rtmp }));
    if (recordDir !== undefined) this.#recordings.start(call, recordDir, form);
  }

  /** Live calls that match all given fields; none: an empty array. */
  find(filter: CallFilter = {}): CallView[] {
    return this.#calls.find(filter);
  }

  /** The live call. @throws GatewayError `CALL_NOT_FOUND`. */
  get(callId: string): Call {
    return this.#calls.get(callId);
  }

  /** As {@link Call.trace}; also of a call that has ended, while `history` knows it. @throws GatewayError `CALL_NOT_FOUND`. */
  trace(callId: string): SipTraceEntry[] {
    return this.#traces.find(callId) ?? this.get(callId).trace();
  }

  /**
   * Keeps an account registered, so that calls can come in, until its `close`; the same for the same account. Calls of that
   * account share it.
   * @throws GatewayError `INVALID_ARGUMENT`, `GATEWAY_CLOSED`.
   */
  register(account: AccountRequest): AccountRegistration {
    if (this.#closed) throw new GatewayError('GATEWAY_CLOSED', 'The gateway is closing');
    return this.#registrations.stand(resolveAccount(account, this.#allowsPort));
  }

  /** Accounts that are registered or shall be, for calls and standing. */
  get registrations(): readonly RegistrationView[] {
    return this.#registrations.views();
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
   * Lets the peer of a call hear a named stream. See {@link Call.injectStream}.
   * @throws GatewayError `CALL_NOT_FOUND`, `STREAM_NOT_FOUND`, `CALL_STATE`.
   */
  injectStream(callId: string, streamName: string): void {
    const call = this.get(callId);
    call.injectStream(this.streams.get(streamName));
  }

  /** Ends {@link injectStream}. @throws GatewayError `CALL_NOT_FOUND`. */
  stopInjection(callId: string): void {
    this.get(callId).stopInjection();
  }

  /**
   * Plays a WAV, MP3 or FLV file of `mediaFolder` to the peer of a call, once. Resolves when it begins.
   * @throws GatewayError (rejection) `CALL_NOT_FOUND`, `FILE_NOT_FOUND`, `INVALID_ARGUMENT` for `fileName`, `CALL_STATE`,
   * `NOT_IMPLEMENTED`, `TRANSCODERS_BUSY`, `TRANSCODER_LOST`.
   */
  async injectSound(callId: string, fileName: string): Promise<void> {
    const call = this.get(callId);
    call.injectSound(await findSound(this.#options.mediaFolder, fileName));
  }

  /** As `streams.find`. */
  findStreams(filter: StreamFilter = {}): StreamView[] {
    return this.streams.find(filter);
  }

  /** As `streams.get`. @throws GatewayError `STREAM_NOT_FOUND`. */
  getStream(streamName: string): NamedStream {
    return this.streams.get(streamName);
  }

  /** As `streams.watch`. @throws GatewayError `STREAM_NOT_FOUND`, `TOO_MANY_VIEWERS`, `TRANSCODERS_BUSY`, `TRANSCODER_LOST`. */
  watchStream(streamName: string, target: FlvViewerTarget, onEnded: () => void): Viewer {
    return this.streams.watch(streamName, target, onEnded);
  }

  /**
   * Pushes a named stream to one more RTMP server; also one that is only reserved.
   *
   * @throws GatewayError `INVALID_ARGUMENT`, `STREAM_NOT_FOUND`, `PUSH_EXISTS`, `TRANSCODERS_BUSY`,
   * `TRANSCODER_LOST`.
   */
  startPush(request: PushRequest): RtmpPushView {
    validateRtmp(request.rtmp ?? {});
    const target = pushTarget(request);
    const stream = this.streams.get(request.streamName);
    const { callId } = stream;
    const wanted = callId === null ? {} : this.get(callId).request.form;
    const form = (): OutputForm => this.#encoders.formOf({ ...wanted, ...formOptionsOf(request) });
    return this.#pushes.start(stream, request, target, form).view();
  }

  /** Pushes that match all given fields, those of calls' own `rtmpUrl` included. */
  findPushes(filter: PushFilter = {}): RtmpPushView[] {
    return this.#pushes.find(filter);
  }

  /** The push. @throws GatewayError `PUSH_NOT_FOUND`. */
  getPush(mediaSessionId: string): RtmpPush {
    return this.#pushes.get(mediaSessionId);
  }

  /** Ends a push; the stream and its other pushes go on. @throws GatewayError `PUSH_NOT_FOUND`. */
  terminatePush(mediaSessionId: string): Promise<void> {
    return this.getPush(mediaSessionId).close();
  }

  /** Sends silence instead of the audio, without a break. @throws GatewayError `PUSH_NOT_FOUND`. */
  mutePush(mediaSessionId: string): void {
    this.#pushes.change(mediaSessionId, (push) => (push.muted = true));
  }

  /** Sends the audio again. @throws GatewayError `PUSH_NOT_FOUND`. */
  unmutePush(mediaSessionId: string): void {
    this.#pushes.change(mediaSessionId, (push) => (push.muted = false));
  }

  /**
   * Replaces the audio of a push by a WAV, MP3 or FLV file of `mediaFolder`; behind it comes the stream's audio again.
   *
   * @param loop - Again and again, until `stopPushSound`. Default: once.
   * @throws GatewayError (rejection) `PUSH_NOT_FOUND`, `FILE_NOT_FOUND`, `INVALID_ARGUMENT` for `soundFile`,
   * `TRANSCODERS_BUSY`, `TRANSCODER_LOST`, `NOT_IMPLEMENTED` when there is no ffmpeg to decode it.
   */
  async playPushSound(mediaSessionId: string, soundFile: string, loop = false): Promise<void> {
    const push = this.getPush(mediaSessionId);
    const path = await findSound(this.#options.mediaFolder, soundFile, 'soundFile');
    const { ffmpeg, aacRateHz } = this.#encoders;
    if (!ffmpeg) {
      const problem = 'Sound needs ffmpeg, and transcoding is off';
      throw new GatewayError('NOT_IMPLEMENTED', problem, { field: 'soundFile' });
    }
    if (!push.takesSounds) {
      const problem = 'No sound can stand in for the AAC of a stream of your own';
      throw new GatewayError('NOT_IMPLEMENTED', problem, { field: 'soundFile' });
    }
    const free = this.#encoders.takeSoundSlot();
    push.playSound((codec) => openFileSound({ ffmpeg, path, codec, aacRateHz, loop }), free);
    this.#pushes.change(mediaSessionId, () => {});
  }

  /** Ends {@link playPushSound}. @throws GatewayError `PUSH_NOT_FOUND`. */
  stopPushSound(mediaSessionId: string): void {
    this.#pushes.change(mediaSessionId, (push) => push.stopSound());
  }

  /** Ended calls, newest first, at most `historySize`, or as many of them as `limit` says. */
  history(limit = Number.POSITIVE_INFINITY): readonly CallView[] {
    return this.#calls.history(limit);
  }

  /** Takes no more calls (`DRAINING`; by SIP 503). Resolves when the last has ended, at the latest after `deadlineMs`. */
  drain(deadlineMs: number): Promise<void> {
    return this.admission.drain(deadlineMs, () => this.calls[0]);
  }

  /** Ends every call (BYE or CANCEL, deleteStream, un-REGISTER) and closes every socket. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const ending = this.calls.map((call) => call.terminate());
    const released = Promise.all([
      ...ending,
      this.#calls.released(),
      this.streams.close(),
      this.#registrations.close(),
    ]);
    // Time for BYE, deleteStream and un-REGISTER; the user agent then ends what a silent peer holds up.
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, CLOSE_GRACE_MS);
    });
    await Promise.race([released, patience]);
    clearTimeout(timer);
    await this.#userAgent.close();
    await released;
    this.admission.close();
    await this.#traces.close();
    this.emit('closed');
  }

  readonly #allowsPort = (host: string, port: number): boolean =>
    this.#userAgent.allowsPort(host, port);

  #callOptions(): Omit<CallOptions, 'sessionId' | 'trace'> {
    const { mayConnect, offer = {}, inviteTimeoutMs = 180_000, maxRedirects } = this.#options;
    return {
      nodeId: this.nodeId,
      offer,
      inviteTimeoutMs,
      ...(maxRedirects !== undefined && { maxRedirects }),
      ...(mayConnect && { mayConnect: (address, host) => mayConnect(address, 'rtp', host) }),
    };
  }

  #callDeps(callId: string): CallDeps {
    const userAgent = this.#userAgent;
    return {
      userAgent: {
        localAddressFor: (...to) => userAgent.localAddressFor(...to),
        invite: (...call) => userAgent.invite(...call),
        resolve: (...host) => userAgent.resolve(...host),
        register: (...account) => this.#registrations.acquire(...account),
      },
      logger: childLogger(this.#logger, { area: 'call', callId }),
      wallClock: this.#deps.wallClock,
    };
  }
}
