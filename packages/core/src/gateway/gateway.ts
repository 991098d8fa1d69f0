// The gateway: composes what one process needs for its calls, and opens and closes it.

import { randomBytes, randomUUID } from 'node:crypto';
import { openFfmpegTranscoders, openMediaSession, openRtmpPublisher } from '@sipcast/media';
import type { FfmpegBinary } from '@sipcast/media';
import { SipUserAgent } from '@sipcast/sip';
import type { ServerState } from '@sipcast/sip';
import type { Call } from '../call/call.ts';
import type { CallOptions } from '../call/call-options.ts';
import { resolveStartup } from '../call/startup.ts';
import type { StartupRequest } from '../call/startup-request.ts';
import { SafeEmitter } from '../emitter.ts';
import { FaultLog } from '../fault-log.ts';
import { IncomingCalls } from '../incoming/incoming-calls.ts';
import { resolveIncoming } from '../incoming/incoming-rules.ts';
import { childLogger, guardLogger, silentLogger } from '../logger.ts';
import type { Logger } from '../logger.ts';
import { Registrations } from '../registration/registrations.ts';
import { Snapshots } from '../snapshot/snapshots.ts';
import { SipTraces } from '../trace/sip-traces.ts';
import { resolveAccount } from './account-request.ts';
import type { Accounts } from './accounts.ts';
import { Admission } from './admission.ts';
import type { CallGateway, CallGatewayEvents } from './call-gateway.ts';
import { CallLauncher } from './call-launcher.ts';
import { CallTable } from './call-table.ts';
import { Encoders } from './encoders.ts';
import type { CallGatewayOptions } from './gateway-options.ts';
import { MediaOpener } from './media-opener.ts';
import { nodeAddress } from './node-address.ts';
import { PushTable } from './push-table.ts';
import { Recordings } from './recordings.ts';
import { Reservations } from './reservations.ts';
import { asGatewayError, rtmpOptionsOf, sipOptionsOf } from './sip-options.ts';
import { StreamTable } from './stream-table.ts';
import { validateGatewayOptions } from './validate-gateway-options.ts';

/** How long peers may take for their goodbyes when the gateway closes. */
const CLOSE_GRACE_MS = 2000;

/** What a gateway gets from outside: sockets, processes, the clock and randomness. Tests may replace each. */
export interface GatewayDeps {
  /** Makes the SIP user agent. */
  readonly createUserAgent: (...args: ConstructorParameters<typeof SipUserAgent>) => SipUserAgent;
  /** Opens one call's media. */
  readonly openMediaSession: typeof openMediaSession;
  /** Finds ffmpeg. */
  readonly openFfmpegTranscoders: typeof openFfmpegTranscoders;
  /** Opens one RTMP connection. */
  readonly openRtmpPublisher: typeof openRtmpPublisher;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Wall clock in milliseconds. */
  readonly wallClock: () => number;
  /** 0 ≤ n < 1. */
  readonly random: () => number;
}

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
 * @throws GatewayError (rejection) `INVALID_ARGUMENT` for a wrong option; MediaError `NO_TRANSCODER` when there is no ffmpeg,
 * unless `transcoding` is false; the socket's error when the port is busy.
 */
export async function createCallGateway(
  options: CallGatewayOptions = {},
  deps: Partial<GatewayDeps> = {},
): Promise<CallGateway> {
  return Gateway.open(options, { ...DEFAULT_DEPS, ...deps });
}

class Gateway extends SafeEmitter<CallGatewayEvents> implements CallGateway {
  readonly nodeId: string;
  readonly calls: CallTable;
  readonly pushes: PushTable;
  readonly streams: StreamTable;
  readonly accounts: Accounts;
  readonly #admission: Admission;
  readonly #encoders: Encoders;
  readonly #faults: FaultLog;
  readonly #launcher: CallLauncher;
  readonly #logger: Logger;
  readonly #registrations: Registrations;
  readonly #traces: SipTraces;
  readonly #userAgent: SipUserAgent;
  #closed: Promise<void> | undefined;

  static async open(options: CallGatewayOptions, deps: GatewayDeps): Promise<CallGateway> {
    validateGatewayOptions(options);
    const logger = guardLogger(options.logger ?? silentLogger);
    const encoders = await Encoders.open(
      options,
      deps.openFfmpegTranscoders,
      childLogger(logger, { area: 'media' }),
    );
    const gateway = new Gateway(options, encoders, logger, deps);
    if (options.sipTls?.insecure === true)
      childLogger(logger, { area: 'sip' }).warn(
        'sipTls.insecure: SIP peers need not prove who they are',
      );
    await gateway.#traces.open(() => gateway.#userAgent.open());
    gateway.#admission.open();
    return gateway;
  }

  private constructor(
    options: CallGatewayOptions,
    encoders: Encoders,
    logger: Logger,
    deps: GatewayDeps,
  ) {
    super(logger);
    this.#logger = logger;
    const faults = new FaultLog(logger, deps.now);
    const sipLogger = childLogger(logger, { area: 'sip' });
    const { mediaFolder, silentAudio, keyFrameIntervalMs, videoPlaceholder } = options;
    this.nodeId = `${randomBytes(16).toString('hex')}@${nodeAddress(options)}`;
    this.#encoders = encoders;
    this.#faults = faults;
    this.#admission = new Admission(options);
    this.#traces = new SipTraces(options, { ...deps, faults, logger: sipLogger });
    this.#userAgent = this.#createUserAgent(options, logger, deps);
    this.#registrations = new Registrations(
      { ...deps, register: (account) => this.#userAgent.register(account), logger: sipLogger },
      (view, previous) => this.emit('registration', view, previous),
    );
    this.calls = new CallTable(options, this.#traces, {
      onChange: (call, view, changed) => this.emit('callChange', call, view, changed),
      onDtmf: (call, dtmf) => this.emit('callDtmf', call, dtmf),
      onProblem: (call, problem) => this.emit('callProblem', call, problem),
      onClosed: (call) => this.emit('callClosed', call),
    });
    this.pushes = new PushTable(
      {
        rtmp: rtmpOptionsOf(options),
        ...(silentAudio !== undefined && { silentAudio }),
        ...(keyFrameIntervalMs !== undefined && { keyFrameIntervalMs }),
        ...(videoPlaceholder !== undefined && { videoPlaceholder }),
        ...(mediaFolder !== undefined && { mediaFolder }),
      },
      encoders,
      { ...deps, ffmpeg: () => encoders.ffmpeg, logger },
      {
        streamOf: (name) => this.streams.get(name),
        formOf: (callId) => this.calls.get(callId).request.form,
        onStarted: (push, callId) => this.calls.byCallId.get(callId)?.onPush(push),
        onChange: (push, callId) => this.emit('pushChange', push.view(), callId),
        onClosed: (push, callId) => this.emit('pushClosed', push.view(), callId),
      },
    );
    const media = new MediaOpener(options, encoders, { ...deps, faults });
    const snapshots = new Snapshots({ ffmpeg: () => encoders.ffmpeg, now: deps.now });
    this.streams = new StreamTable(options, {
      takeSnapshot: (stream, format) => snapshots.take(stream, format),
      callStreams: () => this.calls.live.flatMap(({ streams }) => streams),
      isReserved: (name) => reservations.hasStream(name),
      openSource: (...source) => {
        this.#launcher.requireOpen();
        return media.openSource(...source, this.pushes.enhancedOf(null, {}));
      },
      viewerForm: () => encoders.viewerForm,
      onOutputFailed: (...failure) => this.#outputFailed(...failure),
    });
    const reservations = new Reservations(this.calls.byCallId, (name) => this.streams.has(name));
    const recordings = new Recordings(options.recording, keyFrameIntervalMs, {
      logger,
      wallClock: deps.wallClock,
    });
    this.accounts = {
      register: (account) => {
        this.#launcher.requireOpen();
        return this.#registrations.stand(resolveAccount(account, this.#allowsPort));
      },
      list: () => this.#registrations.views(),
    };
    this.#launcher = new CallLauncher(
      callOptionsOf(options, this.nodeId),
      {
        admission: this.#admission,
        calls: this.calls,
        reservations,
        encoders,
        media,
        pushes: this.pushes,
        recordings,
        traces: this.#traces,
        slides: options.slides ?? true,
        userAgent: {
          localAddressFor: (...to) => this.#userAgent.localAddressFor(...to),
          invite: (...call) => this.#userAgent.invite(...call),
          resolve: (...host) => this.#userAgent.resolve(...host),
          register: (...account) => this.#registrations.acquire(...account),
        },
        onOutputFailed: (streamName, callId, error) =>
          this.#outputFailed(streamName, callId, error),
        logger,
        wallClock: deps.wallClock,
      },
      {
        isClosed: () => this.#closed !== undefined,
        onCall: (call) => this.emit('call', call),
      },
    );
  }

  /** An output is a guest of its stream: what it throws, or what it lacks, costs that output and says so. */
  #outputFailed(streamName: string, callId: string | null, error: unknown): void {
    this.#faults.add('output-failed');
    const reason = error instanceof Error ? error.message : String(error);
    const words = error instanceof Error ? (error.stack ?? reason) : reason;
    const about = { area: 'media', ...(callId !== null && { callId }) } as const;
    childLogger(this.#logger, about).warn(
      `an output of stream ${streamName} was removed: ${words}`,
    );
    this.emit('outputFailed', { streamName, callId, reason });
  }

  #createUserAgent(
    options: CallGatewayOptions,
    logger: Logger,
    { createUserAgent, now }: GatewayDeps,
  ): SipUserAgent {
    const sipLogger = childLogger(logger, { area: 'sip' });
    const incoming = new IncomingCalls(
      options.incoming,
      {
        launch: async (accept, facts, begin) => {
          this.#launcher.requireOpen();
          return this.#launcher.launch(resolveIncoming(accept, facts), facts.source, begin);
        },
        isAwaited: () => this.listenerCount('incomingCall') > 0,
        onIncoming: (call) => this.emit('incomingCall', call),
        isClosed: () => this.#closed !== undefined || this.#admission.isDraining,
      },
      { now, faults: this.#faults, logger },
    );
    try {
      return createUserAgent(sipOptionsOf(options), {
        recognizes: (request, source) => incoming.recognizes({ request, source }),
        onInvite: (invite) => incoming.decide(invite),
        onFault: (fault, example) => this.#faults.count(`sip-${fault}`, example.source),
        onTraffic: (traffic) => this.#traces.record(traffic),
        onServer: (state) => {
          sipLogger[state.state === 'answers' ? 'info' : 'warn'](describeServer(state));
          this.emit('sipServer', state);
        },
      });
    } catch (error) {
      throw asGatewayError(error);
    }
  }

  get sipPort(): number {
    return this.#userAgent.localPort;
  }

  get sipTlsPort(): number {
    return this.#userAgent.tlsPort;
  }

  get encoders(): { readonly audio: number; readonly video: number } {
    return this.#encoders.taken;
  }

  get ffmpeg(): FfmpegBinary | undefined {
    return this.#encoders.ffmpeg;
  }

  get faults(): Readonly<Record<string, number>> {
    return this.#faults.counts;
  }

  get isDraining(): boolean {
    return this.#admission.isDraining;
  }

  async startup(request: StartupRequest, clientAddress = 'local'): Promise<Call> {
    this.#launcher.requireOpen();
    const startup = resolveStartup(request, () => randomUUID(), this.#allowsPort);
    return this.#launcher.launch(startup, clientAddress, (call) => void call.place());
  }

  checkFfmpeg(): Promise<string | undefined> {
    return this.#encoders.checkFfmpeg();
  }

  drain(deadlineMs: number): Promise<void> {
    return this.#admission.drain(deadlineMs, () => this.calls.live[0]);
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const ending = this.calls.live.map((call) => call.terminate());
    const released = Promise.all([
      ...ending,
      this.calls.released(),
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
    this.#admission.close();
    await this.#traces.close();
    this.emit('closed');
  }

  readonly #allowsPort = (host: string, port: number): boolean =>
    this.#userAgent.allowsPort(host, port);
}

function callOptionsOf(
  { mayConnect, offer = {}, inviteTimeoutMs = 180_000, maxRedirects }: CallGatewayOptions,
  nodeId: string,
): Omit<CallOptions, 'sessionId' | 'trace'> {
  return {
    nodeId,
    offer,
    inviteTimeoutMs,
    ...(maxRedirects !== undefined && { maxRedirects }),
    ...(mayConnect && { mayConnect: (address, host) => mayConnect(address, 'rtp', host) }),
  };
}

function describeServer({
  server,
  protocol,
  address,
  port,
  state,
  statusCode,
}: ServerState): string {
  const verb = state === 'answers' ? 'answers' : 'is silent';
  return `${server}: ${protocol} ${address} port ${port} ${verb} (${statusCode ?? 'no response'})`;
}
