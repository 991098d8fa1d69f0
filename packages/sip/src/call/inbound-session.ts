// An incoming call, from the peer's INVITE to its end (RFC 3261 §13.3, §15; RFC 3262 §3).

import { checkInteger, checkText, invalidArgument } from '../message/arguments.ts';
import { Dialog, dialogKey } from '../dialog/dialog.ts';
import { DialogUsage } from '../dialog/dialog-usage.ts';
import { SipError } from '../errors.ts';
import { asSipError } from '../errors.ts';
import { contactFor } from '../dialog/session-deps.ts';
import type { DialogHandler, SessionDeps } from '../dialog/session-deps.ts';
import type { IncomingSession, InviteSessionState } from './call-session.ts';
import type {
  InviteSessionHandler,
  PeerDescription,
  SessionEnding,
} from '../dialog/session-handler.ts';
import { lostSession } from '../dialog/session-handler.ts';
import {
  EMPTY_BODY,
  type MessageSource,
  type SipMessage,
  type SipRequest,
  type SipResponse,
} from '../message/message.ts';
import { createResponse } from '../transaction/matching.ts';
import { ReliableProvisional } from '../dialog/reliable-provisional.ts';
import { sessionDescriptionIn } from '../message/body.ts';
import { ALLOWED_METHODS, type Verdict } from '../dialog/request-policy.ts';
import type { TimerHandle } from '../timers.ts';
import type { Hop, ServerTransaction } from '../transaction/transaction-layer.ts';
import type { SessionOffer } from '../dialog/session-changes.ts';
import type { TransferOutcome } from '../dialog/transfers.ts';
import type { TransportAddress } from '../transport/transport.ts';
import { parseNameAddress } from '../message/name-address.ts';

/** Time limit for answering. RFC 3261 §13.3.1.1: a proxy may give up three minutes after the last response. */
const ANSWER_LIMIT_MS = 180_000;
/** RFC 3261 §13.3.1.1: a waiting caller gets another provisional response each minute. */
const RING_AGAIN_MS = 60_000;

/** The only {@link IncomingSession}, created by `IncomingInvite.take`. */
export class InboundSession implements IncomingSession, DialogHandler {
  readonly callId: string;
  readonly #deps: SessionDeps;
  readonly #handler: InviteSessionHandler;
  readonly #transaction: ServerTransaction;
  readonly #released: () => void;
  readonly #localTag: string;
  readonly #localUri: string;
  readonly #dialog: Dialog;
  readonly #usage: DialogUsage;
  readonly #ended: Promise<void>;
  #resolveEnded: () => void = () => {};
  #state: InviteSessionState = 'proceeding';
  #hop: Hop | undefined;
  /** Actions that wait until our address towards the peer is known. */
  #waiting: (() => void)[] = [];
  #reliable: ReliableProvisional | undefined;
  #rseq: number;
  /** What a reliable provisional response contained: an answer, or our offer if the INVITE had none. */
  #early: 'answer' | 'offer' | undefined;
  /** That description; a PRACK or an UPDATE may have replaced it since. */
  #earlySdp: string | undefined;
  /** The peer's answer to our offer, from its PRACK. */
  #earlyAnswer: string | undefined;
  #answerSent = false;
  /** The ACK has arrived. */
  #confirmed = false;
  #plan: SessionEnding | undefined;
  #reason: string | undefined;
  #byeSent = false;
  readonly #limit: TimerHandle;
  #ringing: TimerHandle | undefined;

  /** Sends 100. `released` is called when the INVITE has its final response. */
  constructor(
    deps: SessionDeps,
    transaction: ServerTransaction,
    handler: InviteSessionHandler,
    released: () => void,
  ) {
    const { request, source } = transaction;
    this.callId = request.headers.get('call-id') ?? '';
    this.#deps = deps;
    this.#handler = handler;
    this.#transaction = transaction;
    this.#released = released;
    this.#localTag = deps.token();
    this.#localUri = parseNameAddress(request.headers.get('to') ?? '').uri;
    this.#dialog = Dialog.asCallee(request, this.#localTag);
    this.#rseq = 1 + Math.floor(deps.random() * 0x7fff_0000);
    this.#usage = new DialogUsage(
      deps,
      {
        dialogOf: (tag) => (tag === this.#dialog.remoteTag ? this.#dialog : undefined),
        confirmed: () => (this.#confirmed ? this.#dialog : undefined),
        phase: () => {
          if (this.#byeSent) return 'leaving';
          if (this.#confirmed) return 'confirmed';
          return this.#answerSent ? 'early' : 'answering';
        },
        isSettled: () =>
          this.#reliable === undefined &&
          (this.#early === 'answer' || this.#earlyAnswer !== undefined),
        isEstablished: () => this.#state === 'established',
        hop: () => this.#hop,
        contact: () => this.#contact(),
        localUri: () => this.#localUri,
        onBye: () => this.#onBye(),
        onLost: (error) => this.#onLost(error),
        onPrack: (prack) => this.#onPrack(prack),
      },
      handler,
      {
        localTag: this.#localTag,
        localSdp: '',
        transport: source.protocol === 'UDP' ? 'udp' : 'auto',
        digest: undefined,
        ownsCallId: false,
      },
    );
    this.#usage.learn(request.headers);
    this.#ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
    deps.attach(dialogKey(this.callId, this.#localTag), this);
    this.#limit = deps.clock.startTimer(ANSWER_LIMIT_MS, () =>
      this.#refuse(
        { statusCode: 480, reasonPhrase: 'Temporarily Unavailable' },
        {
          endedBy: 'local',
          answered: false,
          cancelled: false,
          statusCode: 408,
          reasonPhrase: 'Request Timeout',
          error: new SipError('TIMEOUT', 'Not answered in time', { statusCode: 408 }),
        },
      ),
    );
    handler.onMessage?.('in', request, source);
    transaction.respond(createResponse(request, 100, 'Trying', this.#localTag));
    deps.hopTo(source).then(
      (hop) => this.#located(hop),
      (error: unknown) =>
        this.#refuse(
          { statusCode: 500, reasonPhrase: 'Server Internal Error' },
          { ...lostSession(asSipError(error)), answered: false },
        ),
    );
  }

  get state(): InviteSessionState {
    return this.#state;
  }

  // --- our answer

  ring(sdp?: string): void {
    this.#whenLocated(() => {
      if (this.#state !== 'proceeding' || this.#answerSent || this.#reliable !== undefined) return;
      const statusCode = sdp === undefined ? 180 : 183;
      const phrase = sdp === undefined ? 'Ringing' : 'Session Progress';
      const { request } = this.#transaction;
      const body = this.#undecided(sdp);
      const response = this.#usage.server.response(request, statusCode, phrase, body);
      response.headers.append('contact', this.#contact()).append('allow', ALLOWED_METHODS);
      if (body !== undefined) response.headers.append('content-type', 'application/sdp');
      this.#ringing?.cancel();
      this.#ringing = this.#deps.clock.startTimer(RING_AGAIN_MS, () => this.ring(sdp));
      const asks = (header: string): boolean =>
        request.headers.getAll(header).some((tag) => /^\s*100rel\s*$/i.test(tag));
      // RFC 3262 §3: obligatory if required. With a description, losing the response would cost the early media.
      if (!asks('require') && !(body !== undefined && asks('supported'))) {
        this.#transaction.respond(response);
        return;
      }
      if (body !== undefined) {
        this.#early = hasOffer(request) ? 'answer' : 'offer';
        this.#usage.server.localSdp = body;
        this.#earlySdp = body;
      }
      this.#rseq += 1;
      response.headers.append('require', '100rel').append('rseq', String(this.#rseq));
      this.#reliable = new ReliableProvisional(
        this.#transaction,
        response,
        { ...this.#deps, rseq: this.#rseq },
        () => {
          this.#reliable = undefined;
          const error = new SipError('TIMEOUT', 'No PRACK arrived', { statusCode: 408 });
          this.#refuse(
            { statusCode: 504, reasonPhrase: 'Server Time-out' },
            { ...lostSession(error), answered: false },
          );
        },
      );
    });
  }

  answer(sdp: string): void {
    if (typeof sdp !== 'string' || sdp === '') throw invalidArgument('sdp', 'must not be empty');
    this.#whenLocated(() => {
      if (this.#state !== 'proceeding' || this.#answerSent) return;
      if (this.#reliable !== undefined) {
        // RFC 3262 §3: the 2xx waits for the PRACK.
        this.#waiting.push(() => this.answer(sdp));
        return;
      }
      this.#answerSent = true;
      this.#limit.cancel();
      this.#ringing?.cancel();
      const { request } = this.#transaction;
      const body = this.#undecided(sdp);
      const response = this.#usage.server.response(request, 200, 'OK', body);
      response.headers
        .append('contact', this.#contact())
        .append('allow', ALLOWED_METHODS)
        .append('supported', this.#usage.timer.supported ? '100rel, timer' : '100rel');
      if (body !== undefined) response.headers.append('content-type', 'application/sdp');
      for (const [name, value] of this.#usage.timer.answer(request))
        response.headers.append(name, value);
      if (body !== undefined) this.#usage.server.localSdp = body;
      this.#released();
      const awaitsAnswer = !hasOffer(request) && body !== undefined;
      this.#usage.server.accept(this.#transaction, response, awaitsAnswer, (answer, source) =>
        this.#onConfirmed(response, answer ?? this.#earlyAnswer, source),
      );
    });
  }

  /**
   * The description for a response to the INVITE. RFC 3261 §13.2.1, RFC 3262 §5: what was agreed in the early dialog
   * holds. A second answer would be ignored; a second description of ours would be a new offer if the first was one.
   */
  #undecided(sdp: string | undefined): string | undefined {
    if (this.#earlyAnswer !== undefined) return undefined;
    const { localSdp } = this.#usage.server;
    const hasChanged = this.#early === 'answer' && localSdp !== this.#earlySdp;
    return hasChanged && sdp !== undefined ? localSdp : sdp;
  }

  reject(statusCode: number, reasonPhrase: string, headers: Verdict['headers'] = []): void {
    checkInteger('statusCode', statusCode, 300, 699);
    checkText('reasonPhrase', reasonPhrase);
    this.#refuse(
      { statusCode, reasonPhrase, headers },
      { endedBy: 'local', answered: false, cancelled: false, statusCode, reasonPhrase },
    );
  }

  #refuse(verdict: Verdict, ending: SessionEnding): void {
    if (this.#state === 'ended' || this.#answerSent) return;
    this.#usage.server.answer(this.#transaction, verdict);
    this.#end(ending);
  }

  /** The ACK of our 2xx. From here on, media may flow to an address that only a session description has named. */
  #onConfirmed(
    response: SipResponse,
    answer: string | undefined,
    source: MessageSource | undefined,
  ): void {
    if (this.#state === 'ended') return;
    this.#confirmed = true;
    if (this.#plan !== undefined) {
      this.#bye(this.#plan);
      return;
    }
    this.#state = 'established';
    this.#handler.onAnswered(response, answer, source);
  }

  // --- state

  #located(hop: Hop): void {
    if (this.#state === 'ended') return;
    this.#hop = hop;
    this.#goOn();
  }

  #whenLocated(step: () => void): void {
    if (this.#hop === undefined) this.#waiting.push(step);
    else step();
  }

  #goOn(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const step of waiting) step();
  }

  #contact(): string {
    return this.#hop === undefined ? '' : contactFor(this.#localUri, this.#hop);
  }

  // --- the end

  async terminate(options: { readonly reason?: string } = {}): Promise<void> {
    if (options.reason !== undefined) checkText('reason', options.reason);
    if (this.#plan === undefined && this.#state !== 'ended') {
      this.#reason = options.reason;
      if (this.#answerSent) {
        this.#leave({
          endedBy: 'local',
          answered: this.#confirmed,
          cancelled: false,
          statusCode: 200,
          reasonPhrase: 'OK',
        });
      } else {
        this.#refuse(
          { statusCode: 603, reasonPhrase: 'Decline' },
          { endedBy: 'local', answered: false, cancelled: true, statusCode: 603 },
        );
      }
    }
    await this.#ended;
  }

  abort(): void {
    if (!this.#answerSent)
      this.#usage.server.answer(this.#transaction, {
        statusCode: 503,
        reasonPhrase: 'Service Unavailable',
      });
    this.#end(
      this.#plan ?? {
        endedBy: 'local',
        answered: this.#confirmed,
        cancelled: !this.#confirmed,
        error: new SipError('CLOSED', 'The user agent is closed'),
      },
    );
  }

  #leave(plan: SessionEnding): void {
    if (this.#state === 'ended' || this.#plan !== undefined) return;
    this.#plan = plan;
    this.#state = 'terminating';
    // RFC 3261 §15: no BYE before the ACK, or before it is clear that none will come.
    if (this.#confirmed) this.#bye(plan);
  }

  #bye(plan: SessionEnding): void {
    if (this.#byeSent) return;
    this.#byeSent = true;
    this.#usage.leave();
    const headers = this.#reason === undefined ? [] : [['reason', this.#reason] as const];
    this.#usage.request(this.#dialog, 'BYE', { headers, body: EMPTY_BODY }, () => this.#end(plan));
  }

  #onLost(error: SipError): void {
    const plan = this.#plan ?? { ...lostSession(error), answered: this.#confirmed };
    // Even without an ACK, the peer may have a dialog (RFC 3261 §13.3.1.4).
    this.#plan ??= plan;
    this.#state = 'terminating';
    this.#bye(plan);
  }

  #onBye(): void {
    const ending: SessionEnding = {
      endedBy: 'remote',
      answered: this.#confirmed,
      cancelled: false,
      statusCode: this.#confirmed ? 200 : 487,
      reasonPhrase: this.#confirmed ? 'OK' : 'Request Terminated',
    };
    if (this.#answerSent) this.#end(this.#plan ?? ending);
    // RFC 3261 §15.1.2: a BYE in the early dialog ends the INVITE as well.
    else this.#refuse({ statusCode: 487, reasonPhrase: 'Request Terminated' }, ending);
  }

  /** The caller gives up before our answer. Its CANCEL is already answered. */
  onCancel(): void {
    this.#refuse(
      { statusCode: 487, reasonPhrase: 'Request Terminated' },
      {
        endedBy: 'remote',
        answered: false,
        cancelled: false,
        statusCode: 487,
        reasonPhrase: 'Request Terminated',
      },
    );
  }

  #end(ending: SessionEnding): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    this.#limit.cancel();
    this.#ringing?.cancel();
    this.#reliable?.stop();
    this.#usage.stop();
    this.#waiting = [];
    this.#released();
    this.#deps.detach(dialogKey(this.callId, this.#localTag));
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
    const { protocol, address, port } = remote;
    this.#handler.onMessage?.(direction, message, { protocol, address, port });
  }

  owns(remoteTag: string): boolean {
    return remoteTag === this.#dialog.remoteTag;
  }

  knows(address: string): boolean {
    return this.#transaction.source.address === address || this.#usage.client.hasSentTo(address);
  }

  onAck(request: SipRequest): boolean {
    return this.#usage.server.onAck(request);
  }

  onRequest(transaction: ServerTransaction): void {
    this.#usage.server.onRequest(transaction);
  }

  onLateAccepted(): boolean {
    return false;
  }

  #onPrack(prack: SipRequest): Verdict | undefined {
    if (this.#reliable?.matches(prack) !== true) return undefined;
    this.#reliable.stop();
    this.#reliable = undefined;
    // The answer goes out after the 200 to the PRACK.
    this.#deps.clock.startTimer(0, () => this.#goOn());
    const described = sessionDescriptionIn(prack);
    if (described === undefined) return OK;
    if (this.#early === 'offer') {
      this.#earlyAnswer ??= described;
      return OK;
    }
    // RFC 3264 §4: the first offer is unanswered, so a second one is not allowed.
    if (this.#early === undefined) return NOT_ACCEPTABLE;
    const reply = this.#handler.onReoffer(described, prack.source);
    // RFC 3262 §3 requires a 2xx, and so an answer. Without an answer, tell the peer why.
    if ('statusCode' in reply) return reply;
    this.#usage.server.localSdp = reply.answer;
    return { ...OK, sdp: reply.answer };
  }
}

const OK: Verdict = { statusCode: 200, reasonPhrase: 'OK' };
const NOT_ACCEPTABLE: Verdict = { statusCode: 488, reasonPhrase: 'Not Acceptable Here' };

/** Whether the request contains a session description. */
function hasOffer(request: SipRequest): boolean {
  return sessionDescriptionIn(request) !== undefined;
}
