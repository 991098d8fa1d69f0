// The peer's requests inside the dialogs of one call (RFC 3261 §12.2.2, §14.2; RFC 3311).

import { AcceptedReinvite } from './accepted-reinvite.ts';
import type { Dialog } from './dialog.ts';
import { sessionDescriptionIn } from '../message/body.ts';
import type { InviteSessionHandler } from './session-handler.ts';
import type { SessionDeps } from './session-deps.ts';
import {
  EMPTY_BODY,
  type MessageSource,
  type SipRequest,
  type SipResponse,
} from '../message/message.ts';
import {
  ALLOWED_METHODS,
  CAPABILITIES,
  judgeRequest,
  refuseBody,
  refuseExtensions,
  type Verdict,
} from './request-policy.ts';
import { createResponse, tagOf } from '../transaction/matching.ts';
import type { ServerTransaction } from '../transaction/transaction-layer.ts';
import type { SessionTimer } from './session-timer.ts';
import type { TransportAddress } from '../transport/transport.ts';
import { parseCSeq } from '../message/uri.ts';

const NO_DIALOG: Verdict = { statusCode: 481, reasonPhrase: 'Call/Transaction Does Not Exist' };
const OK: Verdict = { statusCode: 200, reasonPhrase: 'OK' };

interface DialogServerOptions {
  readonly timer: SessionTimer;
  readonly localTag: string;
  /** Our session description. `''`: none yet. */
  readonly localSdp: string;
}

/** The call that the requests belong to. */
export interface DialogServerHandler {
  /** The dialog with the peer's tag, early or confirmed. */
  dialogOf(remoteTag: string): Dialog | undefined;
  /**
   * `early`: our first INVITE, and so its offer, is open. `answering`: the peer's first INVITE is open. `offering`: our
   * offer or re-INVITE waits for its answer. `leaving`: our BYE is on its way.
   */
  phase(): 'early' | 'answering' | 'confirmed' | 'offering' | 'leaving';
  /** In the early dialog with this tag, offer and answer were exchanged reliably (RFC 3262 §5): no offer is open. */
  isSettled(remoteTag: string): boolean;
  /** Our Contact value. */
  contact(): string;
  /** The peer sent its current Contact from this source. */
  onTarget(source: TransportAddress): void;
  /** The peer's BYE; it is already answered. */
  onBye(): void;
  /** No ACK arrived for our 2xx to a re-INVITE. */
  onUnacknowledged(): void;
  /** REFER, NOTIFY and PRACK. The verdict is sent as the answer; `undefined` if the request is unexpected. */
  onExtension(transaction: ServerTransaction): Verdict | undefined;
}

/** Answers the peer's requests. */
export class DialogServer {
  readonly #deps: SessionDeps;
  readonly #handler: DialogServerHandler;
  readonly #session: InviteSessionHandler;
  readonly #timer: SessionTimer;
  readonly #localTag: string;
  /** Our current session description, sent again when the peer requests an offer. */
  localSdp: string;
  #reinvite: AcceptedReinvite | undefined;
  /** Receives the ACK of the first INVITE, with the answer in it. */
  #acknowledged:
    | ((answer: string | undefined, source: MessageSource | undefined) => void)
    | undefined;
  #idle: (() => void)[] = [];

  constructor(
    deps: SessionDeps,
    handler: DialogServerHandler,
    session: InviteSessionHandler,
    { timer, localTag, localSdp }: DialogServerOptions,
  ) {
    this.#deps = deps;
    this.#handler = handler;
    this.#session = session;
    this.#timer = timer;
    this.#localTag = localTag;
    this.localSdp = localSdp;
  }

  /** Stops retransmitting a 2xx: the call has ended. */
  stop(): void {
    this.#reinvite?.stop();
    this.#settled();
  }

  /**
   * Resolves when none of our 2xx to a re-INVITE waits for its ACK and every answer is applied, so that we may send a
   * re-INVITE (RFC 3261 §14.1).
   */
  async idle(): Promise<void> {
    for (;;) {
      const reading = this.#session.answerInUse?.();
      if (this.#reinvite === undefined && reading === undefined) return;
      await (reading ??
        new Promise<void>((resolve) => {
          this.#idle.push(resolve);
        }));
    }
  }

  #settled(): void {
    this.#reinvite = undefined;
    const waiting = this.#idle;
    this.#idle = [];
    for (const resolve of waiting) resolve();
  }

  /**
   * Sends our 2xx to the peer's INVITE and retransmits it until the ACK. `awaitsAnswer`: the 2xx contains an offer and
   * the ACK its answer.
   *
   * @param acknowledged - Called once with the ACK's answer. Default: the session's `onReanswer`, if any.
   */
  accept(
    transaction: ServerTransaction,
    response: SipResponse,
    awaitsAnswer: boolean,
    acknowledged?: (answer: string | undefined, source: MessageSource | undefined) => void,
  ): void {
    this.#acknowledged = acknowledged;
    // A further re-INVITE implies the ACK of the previous one.
    this.#reinvite?.stop();
    const { sequence } = parseCSeq(transaction.request.headers.get('cseq') ?? '');
    this.#reinvite = new AcceptedReinvite(
      transaction,
      response,
      { ...this.#deps, sequence, awaitsAnswer },
      () => {
        this.#settled();
        this.#handler.onUnacknowledged();
      },
    );
  }

  /** Handles an ACK for one of our 2xx. Returns false if it belongs to no dialog of this call. */
  onAck(request: SipRequest): boolean {
    const tag = tagOf(request.headers.get('from')) ?? '';
    if (this.#handler.dialogOf(tag) === undefined) return false;
    const reinvite = this.#reinvite;
    const { sequence } = parseCSeq(request.headers.get('cseq') ?? '');
    if (reinvite === undefined || reinvite.sequence !== sequence) return true;
    reinvite.stop();
    this.#settled();
    const answer = reinvite.awaitsAnswer ? sessionDescriptionIn(request) : undefined;
    const acknowledged = this.#acknowledged;
    this.#acknowledged = undefined;
    const { source } = request;
    if (acknowledged !== undefined) acknowledged(answer, source);
    else if (answer !== undefined) this.#session.onReanswer?.(answer, source);
    return true;
  }

  /** Answers a request with our tag in To. */
  onRequest(transaction: ServerTransaction): void {
    const { request } = transaction;
    const dialog = this.#handler.dialogOf(tagOf(request.headers.get('from')) ?? '');
    if (dialog === undefined) {
      this.answer(transaction, NO_DIALOG);
      return;
    }
    // RFC 3261 §12.2.2: older than a request already seen.
    if (!dialog.acceptSequence(request)) {
      this.answer(transaction, { statusCode: 500, reasonPhrase: 'CSeq Out Of Order' });
      return;
    }
    const supported = this.#timer.supported ? undefined : ['100rel'];
    const refusal = refuseExtensions(request, supported);
    if (refusal !== undefined) {
      this.answer(transaction, refusal);
      return;
    }
    switch (request.method) {
      case 'BYE':
        this.answer(transaction, OK);
        this.#handler.onBye();
        break;
      case 'INVITE':
      case 'UPDATE':
        this.#onReoffer(transaction, dialog);
        break;
      case 'OPTIONS':
        this.answer(transaction, { ...OK, headers: CAPABILITIES });
        break;
      case 'NOTIFY':
        if (isKeyPress(request)) this.#onOtherRequest(transaction);
        else this.answer(transaction, this.#handler.onExtension(transaction) ?? NO_DIALOG);
        break;
      case 'PRACK':
      case 'REFER':
        this.answer(transaction, this.#handler.onExtension(transaction) ?? NO_DIALOG);
        break;
      default:
        this.#onOtherRequest(transaction);
    }
  }

  #onReoffer(transaction: ServerTransaction, dialog: Dialog): void {
    const { request } = transaction;
    const isInvite = request.method === 'INVITE';
    const offer = sessionDescriptionIn(request);
    const hasOffer = offer !== undefined;
    const phase = this.#handler.phase();
    const isEarly = phase === 'answering' || phase === 'early';
    // Seen in: IMS, and SBCs that reserve resources: UPDATE before the 200 in every call (RFC 3311 §5.2).
    const isSettled = isEarly && !isInvite && this.#handler.isSettled(dialog.remoteTag);
    if (phase === 'leaving') {
      this.answer(transaction, NO_DIALOG);
      return;
    }
    // RFC 3261 §14.2, RFC 3311 §5.2: the peer's first INVITE comes first. The random Retry-After (up to ten seconds)
    // avoids a new collision.
    if (phase === 'answering' && !isSettled && (isInvite || hasOffer)) {
      const seconds = Math.floor(this.#deps.random() * 11);
      this.answer(transaction, {
        statusCode: 500,
        reasonPhrase: 'First INVITE Not Answered',
        headers: [['retry-after', String(seconds)]],
      });
      return;
    }
    // Our offer has no answer yet, or our own re-INVITE is open (RFC 3261 §14.2, RFC 3311 §5.2). The same holds while
    // an answer is still being applied: the peer retries after the timers of §14.1.
    const pending =
      (phase !== 'confirmed' && !isSettled) ||
      this.#reinvite?.awaitsAnswer === true ||
      this.#session.answerInUse?.() !== undefined;
    if (pending && (isInvite || hasOffer)) {
      this.answer(transaction, { statusCode: 491, reasonPhrase: 'Request Pending' });
      return;
    }
    const refusal = refuseBody(request) ?? this.#timer.refuse(request);
    if (refusal !== undefined) {
      this.answer(transaction, refusal);
      return;
    }
    let sdp: string | undefined;
    if (offer !== undefined) {
      const early = isEarly ? dialog.remoteTag : undefined;
      const reply = this.#session.onReoffer(offer, request.source, early);
      if ('statusCode' in reply) {
        this.answer(transaction, reply);
        return;
      }
      sdp = reply.answer;
    } else if (isInvite) {
      // RFC 3261 §14.2: if asked for an offer, make a full one as for a new call, so that a held session can resume.
      sdp = this.#session.onOfferWanted?.() ?? this.localSdp;
    }
    dialog.refreshTarget(request.headers);
    this.#handler.onTarget(transaction.source);
    const response = this.response(request, 200, 'OK', sdp);
    response.headers.append('contact', this.#handler.contact()).append('allow', ALLOWED_METHODS);
    if (sdp !== undefined) {
      this.localSdp = sdp;
      response.headers.append('content-type', 'application/sdp');
    }
    for (const [name, value] of this.#timer.answer(request)) response.headers.append(name, value);
    if (isInvite) this.accept(transaction, response, !hasOffer);
    else transaction.respond(response);
  }

  #onOtherRequest(transaction: ServerTransaction): void {
    const { request } = transaction;
    if (this.#session.onDialogRequest !== undefined) {
      const { statusCode, reasonPhrase } = this.#session.onDialogRequest(request);
      const phrase = reasonPhrase ?? (statusCode < 300 ? 'OK' : 'Refused');
      // RFC 3261 §21.4.6: a 405 lists the allowed methods. An unknown method gets 501 instead (§21.5.2).
      const unserved = statusCode === 405 ? judgeRequest(request, false) : undefined;
      this.answer(transaction, {
        statusCode,
        reasonPhrase: phrase,
        ...(unserved?.statusCode === 501 && unserved),
        ...(statusCode === 405 && { headers: [['allow', ALLOWED_METHODS]] }),
      });
    } else if (request.method !== 'INFO') {
      this.answer(transaction, judgeRequest(request, false) ?? NO_DIALOG);
    } else if (request.body.length === 0) {
      this.answer(transaction, OK);
    } else {
      this.answer(transaction, {
        statusCode: 415,
        reasonPhrase: 'Unsupported Media Type',
        headers: [['accept', '']],
      });
    }
  }

  /** A response with our tag and an optional session description. */
  response(request: SipRequest, statusCode: number, reason: string, sdp?: string): SipResponse {
    const body = sdp === undefined ? EMPTY_BODY : Buffer.from(sdp, 'utf8');
    const response = createResponse(request, statusCode, reason, this.#localTag);
    return {
      ...response,
      body,
      headers: response.headers.append('server', this.#deps.userAgentName),
    };
  }

  /** Sends a final response. */
  answer(transaction: ServerTransaction, verdict: Verdict): void {
    const { statusCode, reasonPhrase, sdp } = verdict;
    const response = this.response(transaction.request, statusCode, reasonPhrase, sdp);
    if (sdp !== undefined) response.headers.append('content-type', 'application/sdp');
    for (const [name, value] of verdict.headers ?? []) response.headers.append(name, value);
    transaction.respond(response);
  }
}

/** A key in a NOTIFY without a subscription: some gateways send DTMF so. */
function isKeyPress({ headers }: SipRequest): boolean {
  return /^\s*telephone-event\b/i.test(headers.get('event') ?? '');
}
