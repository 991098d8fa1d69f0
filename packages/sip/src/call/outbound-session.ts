// An outgoing call, from INVITE to its end: early dialogs, forks, challenges, CANCEL and BYE (RFC 3261 §9, §12–§15).

import { checkText } from '../message/arguments.ts';
import { Dialog, dialogKey, requestUri } from '../dialog/dialog.ts';
import { DialogUsage } from '../dialog/dialog-usage.ts';
import { DigestClient } from '../auth/digest.ts';
import { SipError } from '../errors.ts';
import { asSipError } from '../errors.ts';
import { checkInviteOptions } from './call-session.ts';
import { contactFor } from '../dialog/session-deps.ts';
import { lostSession } from '../dialog/session-handler.ts';
import type { DialogHandler, SessionDeps } from '../dialog/session-deps.ts';
import type { InviteOptions, InviteSession, InviteSessionState } from './call-session.ts';
import type {
  InviteSessionHandler,
  PeerDescription,
  SessionEnding,
} from '../dialog/session-handler.ts';
import type { TransportPreference } from '../transport/next-hop.ts';
import {
  EMPTY_BODY,
  SipHeaders,
  type SipMessage,
  type SipRequest,
  type SipResponse,
} from '../message/message.ts';
import { nextHopTo, redirectedPreference } from '../transport/next-hop.ts';
import { ALLOWED_METHODS } from '../dialog/request-policy.ts';
import { Redirects } from '../transport/redirects.ts';
import { mayFailOver } from '../transport/server-locator.ts';
import type { TimerHandle } from '../timers.ts';
import { tagOf } from '../transaction/matching.ts';
import type {
  ClientTransaction,
  Hop,
  ServerTransaction,
} from '../transaction/transaction-layer.ts';
import type { SessionOffer } from '../dialog/session-changes.ts';
import type { TransferOutcome } from '../dialog/transfers.ts';
import type { TransportAddress } from '../transport/transport.ts';
import { formatNameAddress } from '../message/name-address.ts';
import { sessionDescriptionIn } from '../message/body.ts';
import { parseCSeq, type SipUri } from '../message/uri.ts';

/** RFC 3261 §18.1.1: a larger request should not use UDP. */
const UDP_REQUEST_BYTES = 1300;
const AUTO_CONNECT_MS = 500;
/** Maximum number of dialogs from one INVITE. A forking proxy reaches a handful; more is an attack. */
const MAX_FORKS = 32;
const DEFAULT_INVITE_TIMEOUT_MS = 180_000;

/** The only outgoing {@link InviteSession}, created by `SipUserAgent.invite`. */
export class OutboundSession implements InviteSession, DialogHandler {
  readonly callId: string;
  readonly #deps: SessionDeps;
  readonly #options: InviteOptions;
  readonly #handler: InviteSessionHandler;
  readonly #redirects: Redirects;
  #target: SipUri;
  #preference: TransportPreference;
  /** Request-URI: the target, or the current redirection target. */
  #requestUri: string;
  readonly #localTag: string;
  readonly #digest: DigestClient | undefined;
  readonly #early = new Map<string, Dialog>();
  /** By To tag: functions that resend the ACK. */
  readonly #acks = new Map<string, () => void>();
  /** By To tag of an early dialog: RSeq of the latest reliable provisional response (RFC 3262 §4). */
  readonly #reliable = new Map<string, number>();
  /** To tags of early dialogs in which a reliable provisional response has answered our offer. */
  readonly #settled = new Set<string>();
  readonly #usage: DialogUsage;
  readonly #ended: Promise<void>;
  #resolveEnded: () => void = () => {};
  #state: InviteSessionState = 'starting';
  #hop: Hop | undefined;
  /** Alternative servers for the INVITE (RFC 3263 §4.3). */
  #others: Hop[] = [];
  #triedTcp = false;
  /** What our INVITE offers. */
  #offered: string | undefined;
  #sequence = 0;
  #attempts = 0;
  #invite: ClientTransaction | undefined;
  #provisional = false;
  #dialog: Dialog | undefined;
  /** Of the 2xx that was taken. */
  #ack: SipRequest | undefined;
  /** How often that 2xx came again. */
  #repetitions = 0;
  #answered = false;
  /** How the session will end once the peer has been notified. */
  #plan: SessionEnding | undefined;
  #reason: string | undefined;
  #cancelSent = false;
  #byeSent = false;
  #inviteTimer: TimerHandle | undefined;
  #cancelTimer: TimerHandle | undefined;

  /** @throws SipError `INVALID_ARGUMENT`, `ILLEGAL_CHARACTER` naming the field */
  constructor(deps: SessionDeps, options: InviteOptions, handler: InviteSessionHandler) {
    this.#target = checkInviteOptions(options);
    this.#preference = options.transport;
    this.callId = options.callId;
    this.#deps = deps;
    this.#options = options;
    this.#handler = handler;
    this.#localTag = deps.token();
    this.#digest = options.credentials && new DigestClient(options.credentials, () => deps.token());
    this.#requestUri = options.target;
    this.#redirects = new Redirects(options.target, options.maxRedirects, options.mayRedirect);
    this.#usage = new DialogUsage(
      deps,
      {
        dialogOf: (tag) => this.#dialogOf(tag),
        confirmed: () => this.#dialog,
        phase: () => {
          if (this.#byeSent) return 'leaving';
          // Confirmed means acknowledged: before that, the answer has not been reported.
          return this.#answered ? 'confirmed' : 'early';
        },
        isSettled: (tag) => this.#settled.has(tag),
        isEstablished: () => this.#dialog !== undefined && this.#state === 'established',
        hop: () => this.#hop,
        contact: () => (this.#hop === undefined ? '' : this.#contact(this.#hop)),
        localUri: () => options.from.uri,
        onBye: () => this.#onBye(),
        onLost: (error) => this.#leave(lostSession(error)),
      },
      handler,
      {
        localTag: this.#localTag,
        localSdp: '',
        transport: options.transport,
        digest: this.#digest,
        ownsCallId: true,
      },
    );
    this.#ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
    deps.attach(this.#key, this);
    void this.#start();
  }

  get state(): InviteSessionState {
    return this.#state;
  }

  get #key(): string {
    return dialogKey(this.callId, this.#localTag);
  }

  // --- INVITE

  async #start(): Promise<void> {
    const { outboundProxy } = this.#options;
    try {
      const next = nextHopTo(this.#target, this.#preference, outboundProxy);
      const [hop, ...others] = await this.#deps.locate(next);
      if (this.#state !== 'starting') return;
      this.#hop = hop;
      this.#offer(hop);
      this.#inviteTimer?.cancel();
      this.#others = others;
      const limitMs = this.#options.inviteTimeoutMs ?? DEFAULT_INVITE_TIMEOUT_MS;
      this.#inviteTimer = this.#deps.clock.startTimer(limitMs, () => this.#giveUp());
      await this.#sendInvite(hop);
    } catch (error) {
      this.#failed(asSipError(error));
    }
  }

  /** Sends the INVITE with the next CSeq: the first one, or one with credentials. */
  async #sendInvite(hop: Hop): Promise<void> {
    this.#sequence += 1;
    this.#provisional = false;
    this.#early.clear();
    this.#reliable.clear();
    this.#settled.clear();
    const request = this.#createInvite(hop);
    let way = hop;
    if (
      this.#preference === 'auto' &&
      hop.protocol === 'UDP' &&
      !this.#triedTcp &&
      this.#deps.layer.sizeOf(request, hop) > UDP_REQUEST_BYTES
    ) {
      this.#triedTcp = true;
      const overTcp: Hop = { ...hop, protocol: 'TCP' };
      if (await this.#deps.connect(overTcp, AUTO_CONNECT_MS)) way = overTcp;
      if (this.#state !== 'starting') return;
      request.headers.set('contact', this.#contact(way));
    }
    this.#hop = way;
    this.#state = 'calling';
    this.#invite = this.#deps.layer.send(request, way, {
      onResponse: (response) => this.#onInviteResponse(request, response),
      onFailure: (error) => this.#failed(error),
    });
  }

  #createInvite(hop: Hop): SipRequest {
    const { from, target } = this.#options;
    const { timer } = this.#usage;
    const fromValue = formatNameAddress({
      ...from,
      parameters: new Map([['tag', this.#localTag]]),
    });
    const headers = new SipHeaders()
      .append('max-forwards', '70')
      .append('from', fromValue)
      .append('to', `<${target}>`)
      .append('call-id', this.callId)
      .append('cseq', `${this.#sequence} INVITE`)
      .append('contact', this.#contact(hop))
      .append('allow', ALLOWED_METHODS)
      .append('supported', timer.supported ? '100rel, timer' : '100rel')
      .append('user-agent', this.#deps.userAgentName);
    for (const [name, value] of timer.requestHeaders()) headers.append(name, value);
    const given = this.#options.headers ?? [];
    for (const [name] of given) headers.delete(name);
    for (const [name, value] of given) headers.append(name, value);
    headers.append('content-type', 'application/sdp');
    const body = Buffer.from(this.#offered ?? '', 'utf8');
    const uri = requestUri(this.#requestUri);
    return this.#usage.client.authorized({ kind: 'request', method: 'INVITE', uri, headers, body });
  }

  /** Creates the offer once. A later INVITE after a redirection repeats it. */
  #offer({ localHost }: Hop): void {
    const { offer } = this.#options;
    // An UPDATE may have changed what stands in an early dialog that is over.
    this.#offered ??= typeof offer === 'function' ? offer(localHost) : offer;
    this.#usage.server.localSdp = this.#offered;
  }

  #contact(hop: Hop): string {
    return contactFor(this.#options.from.uri, hop);
  }

  #onInviteResponse(invite: SipRequest, response: SipResponse): void {
    const { statusCode } = response;
    if (statusCode >= 200 && statusCode < 300) this.#onAccepted(invite, response);
    else if (this.#state === 'ended') return;
    else if (statusCode < 200) this.#onProvisional(invite, response);
    else this.#onRefused(response);
  }

  #onProvisional(invite: SipRequest, response: SipResponse): void {
    if (this.#dialog !== undefined) return;
    this.#provisional = true;
    const tag = tagOf(response.headers.get('to'));
    if (response.statusCode > 100 && tag !== undefined && this.#early.size < MAX_FORKS) {
      if (!this.#early.has(tag)) this.#early.set(tag, Dialog.asCaller(invite, response));
      if (!this.#acknowledgeProvisional(tag, response)) return;
    }
    this.#usage.learn(response.headers);
    if (this.#plan !== undefined) {
      this.#cancel(); // RFC 3261 §9.1: the CANCEL had to wait for this.
      return;
    }
    this.#state = 'proceeding';
    this.#handler.onProvisional(response);
  }

  /** RFC 3262 §4. False for a provisional response that is repeated or out of order. */
  #acknowledgeProvisional(tag: string, response: SipResponse): boolean {
    const { headers } = response;
    const required = headers.getAll('require').some((one) => /^\s*100rel\s*$/i.test(one));
    const sequence = /^\s*(\d{1,10})\s*$/.exec(headers.get('rseq') ?? '')?.[1];
    if (!required || sequence === undefined) return true;
    const before = this.#reliable.get(tag);
    if (before !== undefined && Number(sequence) !== before + 1) return false;
    this.#reliable.set(tag, Number(sequence));
    if (sessionDescriptionIn(response) !== undefined) this.#settled.add(tag);
    const rack = `${sequence} ${headers.get('cseq') ?? ''}`;
    this.#usage.request(
      this.#early.get(tag),
      'PRACK',
      { headers: [['rack', rack]], body: EMPTY_BODY },
      () => {}, // The peer retransmits its response until a PRACK arrives, or gives up the call.
    );
    return true;
  }

  #onRefused(response: SipResponse): void {
    const { statusCode, reasonPhrase } = response;
    if (this.#plan !== undefined) {
      this.#end(
        this.#plan.error === undefined ? { ...this.#plan, statusCode, reasonPhrase } : this.#plan,
      );
      return;
    }
    const challenged = statusCode === 401 || statusCode === 407;
    const hop = this.#hop;
    if (challenged && this.#digest !== undefined && hop !== undefined) {
      this.#attempts += 1;
      if (this.#digest.challenged(response, this.#attempts) === 'retry') {
        this.#again(() => this.#sendInvite(hop));
        return;
      }
    }
    if (statusCode === 422 && hop !== undefined && this.#usage.timer.tooSmall(response.headers)) {
      this.#again(() => this.#sendInvite(hop));
      return;
    }
    if (statusCode === 503 && this.#failOver()) return;
    // A 6xx is the callee's own answer, for all of its locations (RFC 3261 §21.6).
    if (statusCode < 600 && this.#redirect(response)) return;
    const error = new SipError(
      challenged ? 'AUTH_FAILED' : 'REJECTED',
      `${statusCode} ${reasonPhrase}`,
      {
        statusCode,
      },
    );
    this.#end({
      endedBy: 'remote',
      answered: false,
      cancelled: false,
      statusCode,
      reasonPhrase,
      error,
    });
  }

  #again(send: () => Promise<void>): void {
    this.#state = 'starting';
    send().catch((error: unknown) => this.#failed(asSipError(error)));
  }

  /**
   * RFC 3261 §8.1.3.4: tries the addresses of a 3xx, one after another. True if there is another one to try.
   * @param response - undefined: there was no response
   */
  #redirect(response: SipResponse | undefined): boolean {
    const next = this.#redirects.next(response);
    if (next === undefined) return false;
    // The password is not meant for a host that another server's response names.
    if (next.uri.host !== this.#target.host) this.#digest?.bind();
    this.#target = next.uri;
    // Targets tried earlier no longer affect the call.
    this.#early.clear();
    this.#reliable.clear();
    this.#settled.clear();
    // With an outbound proxy, the proxy routes to the new target; our next hop stays the same.
    if (this.#options.outboundProxy === undefined) {
      this.#preference = redirectedPreference(next.uri, this.#options.transport);
      this.#usage.client.preference = this.#preference;
    }
    this.#requestUri = next.text;
    // The other servers of the previous target do not serve this one.
    this.#others = [];
    this.#attempts = 0;
    this.#triedTcp = false;
    this.#again(() => this.#start());
    return true;
  }

  /** A 2xx: the first one, a retransmission, or one from another fork (RFC 3261 §13.2.2.4). */
  #onAccepted(invite: SipRequest, response: SipResponse): void {
    const tag = tagOf(response.headers.get('to')) ?? '';
    const again = this.#acks.get(tag);
    if (again !== undefined) {
      if (tag === this.#dialog?.remoteTag) this.#onAcceptedAgain(this.#dialog);
      this.#acks.get(tag)?.();
      return;
    }
    if (this.#acks.size >= MAX_FORKS) return;
    this.#acks.set(tag, () => {});
    const dialog = this.#early.get(tag) ?? Dialog.asCaller(invite, response);
    dialog.confirm(response);
    const isFirst = this.#dialog === undefined && this.#state !== 'ended';
    if (isFirst) {
      this.#dialog = dialog;
      this.#early.clear();
      this.#stopInviteTimers();
      if (this.#plan === undefined) this.#state = 'established';
      this.#usage.learn(response.headers);
      this.#usage.timer.accepted(response.headers);
    }
    const ack = dialog.createAck(this.#sequence);
    for (const name of ['authorization', 'proxy-authorization']) {
      for (const value of invite.headers.getAll(name)) ack.headers.append(name, value);
    }
    ack.headers.append('user-agent', this.#deps.userAgentName);
    if (isFirst) this.#ack = ack;
    const acknowledge = (hop: Hop | undefined): void => {
      if (hop !== undefined) this.#acks.set(tag, this.#deps.layer.sendAck(ack, hop));
      if (!isFirst) {
        this.#usage.request(dialog, 'BYE', undefined, () => {});
      } else if (this.#plan !== undefined) {
        this.#bye(this.#plan); // RFC 3261 §9.1: the 200 overtook our CANCEL.
      } else if (this.#state === 'established' && !this.#answered) {
        this.#answered = true;
        this.#handler.onAnswered(response, undefined, response.source);
      }
    };
    if (this.#hop === undefined) return;
    // The Contact is unreachable: the INVITE's own path is the best remaining guess.
    this.#usage.client.reach(dialog, this.#hop, acknowledge, () => acknowledge(this.#hop));
  }

  /** The 2xx again. Once that is a lost ACK; more often, the ACK does not reach the Contact. */
  #onAcceptedAgain(dialog: Dialog): void {
    this.#repetitions += 1;
    const first = this.#hop;
    if (this.#repetitions < 2 || first === undefined || this.#ack === undefined) return;
    if (!this.#usage.client.detour({ dialog, first })) return;
    const repeat = this.#deps.layer.sendAck(this.#ack, first);
    // This time it has just been sent.
    this.#acks.set(dialog.remoteTag, () => this.#acks.set(dialog.remoteTag, repeat));
  }

  onLateAccepted(response: SipResponse): boolean {
    const invite = this.#invite?.request;
    const { sequence } = parseCSeq(response.headers.get('cseq') ?? '');
    if (invite === undefined || sequence !== this.#sequence) return false;
    this.#onAccepted(invite, response);
    return true;
  }

  /** RFC 3263 §4.3: starts a new transaction to the next server. False if there is none, or the call is ending. */
  #failOver(): boolean {
    const next = this.#plan === undefined && !this.#provisional ? this.#others.shift() : undefined;
    if (next === undefined) return false;
    this.#attempts = 0;
    this.#triedTcp = false;
    this.#state = 'starting';
    this.#sendInvite(next).catch((error: unknown) => this.#failed(asSipError(error)));
    return true;
  }

  /** Timer B, a failed transport, or a closing user agent, before the final response. */
  #failed(error: SipError): void {
    if (mayFailOver(error) && this.#failOver()) return;
    if (this.#plan === undefined && error.code !== 'CLOSED' && this.#redirect(undefined)) return;
    const reasonPhrase = error.code === 'TIMEOUT' ? 'Request Timeout' : 'Service Unavailable';
    this.#end(
      this.#plan ?? {
        endedBy: error.code === 'CLOSED' ? 'local' : 'network',
        answered: false,
        cancelled: false,
        statusCode: error.statusCode ?? 503,
        reasonPhrase,
        error,
      },
    );
  }

  /** `inviteTimeoutMs` has elapsed. */
  #giveUp(): void {
    this.#leave({
      endedBy: 'local',
      answered: false,
      cancelled: false,
      statusCode: 408,
      reasonPhrase: 'Request Timeout',
      error: new SipError('TIMEOUT', 'No final response in time', { statusCode: 408 }),
    });
  }

  // --- the end

  async terminate(options: { readonly reason?: string } = {}): Promise<void> {
    if (options.reason !== undefined) checkText('reason', options.reason);
    if (this.#plan === undefined && this.#state !== 'ended') {
      this.#reason = options.reason;
      const answered = this.#answered;
      this.#leave(
        answered
          ? { endedBy: 'local', answered, cancelled: false, statusCode: 200, reasonPhrase: 'OK' }
          : { endedBy: 'local', answered, cancelled: true },
      );
    }
    await this.#ended;
  }

  abort(): void {
    this.#invite?.abandon();
    this.#end(
      this.#plan ?? {
        endedBy: 'local',
        answered: this.#answered,
        cancelled: !this.#answered,
        error: new SipError('CLOSED', 'The user agent is closed'),
      },
    );
  }

  /** Notifies the peer as the state requires, and ends with this plan. */
  #leave(plan: SessionEnding): void {
    if (this.#state === 'ended' || this.#plan !== undefined) return;
    const before = this.#state;
    this.#plan = plan;
    this.#inviteTimer?.cancel();
    if (before === 'starting') {
      this.#end(plan);
      return;
    }
    this.#state = 'terminating';
    if (this.#dialog !== undefined) {
      // An ACK that waits for a name lookup goes first, then checks the plan.
      if (this.#answered) this.#bye(plan);
    } else if (this.#provisional) {
      this.#cancel();
    }
  }

  #cancel(): void {
    const invite = this.#invite;
    if (this.#cancelSent || invite === undefined) return;
    this.#cancelSent = true;
    const giveUp = (): void => {
      if (this.#dialog !== undefined || this.#state === 'ended') return;
      invite.abandon();
      this.#end(this.#plan ?? { endedBy: 'local', answered: false, cancelled: true });
    };
    // RFC 3261 §9.1: without a final response 64·T1 after the CANCEL, the INVITE counts as cancelled.
    this.#cancelTimer = this.#deps.clock.startTimer(64 * this.#deps.timers.t1Ms, giveUp);
    this.#deps.layer.cancel(
      invite,
      {
        onResponse: () => {},
        onFailure: (error) => {
          if (error.code === 'TRANSPORT') giveUp();
        },
      },
      this.#reasonHeaders(),
    );
  }

  /** RFC 3326. */
  #reasonHeaders(): readonly (readonly [string, string])[] {
    return this.#reason === undefined ? [] : [['reason', this.#reason]];
  }

  #bye(plan: SessionEnding): void {
    if (this.#byeSent || this.#dialog === undefined) return;
    this.#byeSent = true;
    this.#usage.leave();
    const headers = this.#reasonHeaders();
    // Whatever the outcome of the BYE, the session has ended (RFC 3261 §15.1.1).
    this.#usage.request(this.#dialog, 'BYE', { headers, body: EMPTY_BODY }, () => this.#end(plan));
  }

  #stopInviteTimers(): void {
    this.#inviteTimer?.cancel();
    this.#cancelTimer?.cancel();
  }

  #end(ending: SessionEnding): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    this.#stopInviteTimers();
    this.#usage.stop();
    this.#deps.detach(this.#key);
    this.#handler.onEnded(ending);
    this.#resolveEnded();
  }

  // --- our requests in the dialog

  sendInfo(contentType: string, body: string): Promise<number> {
    return this.#usage.sendInfo(contentType, body);
  }

  reoffer(sdp: SessionOffer, method?: 'INVITE' | 'UPDATE'): Promise<PeerDescription> {
    return this.#usage.reoffer(sdp, method);
  }

  refresh(): Promise<void> {
    return this.#usage.refresh();
  }

  refer(target: string): Promise<TransferOutcome> {
    return this.#usage.refer(target);
  }

  // --- the peer's requests in the dialog

  trace(direction: 'in' | 'out', message: SipMessage, remote: TransportAddress): void {
    if (this.#state === 'ended') return;
    this.#handler.onMessage?.(direction, message, {
      protocol: remote.protocol,
      address: remote.address,
      port: remote.port,
    });
  }

  owns(remoteTag: string): boolean {
    return this.#dialogOf(remoteTag) !== undefined;
  }

  knows(address: string): boolean {
    return this.#hop?.address === address || this.#usage.client.hasSentTo(address);
  }

  #dialogOf(remoteTag: string): Dialog | undefined {
    return this.#dialog?.remoteTag === remoteTag ? this.#dialog : this.#early.get(remoteTag);
  }

  onAck(request: SipRequest): boolean {
    return this.#usage.server.onAck(request);
  }

  onRequest(transaction: ServerTransaction): void {
    this.#usage.server.onRequest(transaction);
  }

  #onBye(): void {
    if (this.#dialog !== undefined) {
      const answered = this.#answered;
      this.#end(
        this.#plan ?? {
          endedBy: 'remote',
          answered,
          cancelled: false,
          statusCode: 200,
          reasonPhrase: 'OK',
        },
      );
      return;
    }
    // RFC 3261 §15 forbids it, but it happens if the 200 was lost and the peer hung up at once.
    this.#leave({ endedBy: 'remote', answered: false, cancelled: false });
  }
}
