// Call transfer in one dialog: REFER either way, and the NOTIFYs that tell what became of it (RFC 3515, RFC 3892).

import type { Outcome, RequestContent } from './dialog-client.ts';
import { SipError } from '../errors.ts';
import { EMPTY_BODY, type SipRequest } from '../message/message.ts';
import type { Verdict } from './request-policy.ts';
import type { Clock, TimerHandle } from '../timers.ts';
import { parseNameAddress } from '../message/name-address.ts';
import { parseUri } from '../message/uri.ts';

/** Without a final NOTIFY for so long, a transfer counts as failed. */
const OUTCOME_LIMIT_MS = 180_000;
const OK: Verdict = { statusCode: 200, reasonPhrase: 'OK' };
const DECLINE: Verdict = { statusCode: 603, reasonPhrase: 'Decline' };

/** What became of a call that the peer placed on our behalf: its final status. */
export interface TransferOutcome {
  /** 200–699. */
  readonly statusCode: number;
  readonly reasonPhrase: string;
}

/** The peer asks us to call somebody else (RFC 3515). */
export interface ReferRequest {
  /** SIP URI of Refer-To, with its headers, e.g. an escaped Replaces. */
  readonly target: string;
  /** URI of Referred-By, where there is one. */
  readonly referredBy: string | undefined;
  /** The request as received. */
  readonly request: SipRequest;
  /** Tells the peer how it goes, by NOTIFY: 100–199 as often as wanted, then one final status. */
  report(statusCode: number, reasonPhrase: string): void;
}

/** The dialog. */
export interface TransfersHandler {
  send(method: string, content: RequestContent, done: (outcome: Outcome) => void): void;
  contact(): string;
  /** Decides about the peer's REFER: true to take it. */
  onRefer(refer: ReferRequest): boolean;
  /** The peer has lost the dialog. */
  onLost(error: SipError): void;
}

interface Sent {
  readonly settle: (outcome: TransferOutcome | SipError) => void;
  readonly timer: TimerHandle;
}

/** Transfers of one dialog: one of ours and one of the peer's at a time. */
export class Transfers {
  readonly #handler: TransfersHandler;
  readonly #clock: Clock;
  #sent: Sent | undefined;
  /** The peer's REFER that we have taken, and not yet told the end of. */
  #taken = false;
  /** What the peer is still to be told of it: one NOTIFY at a time, so that none overtakes another. */
  #reports: { readonly statusCode: number; readonly reasonPhrase: string }[] = [];
  #notifying = false;
  #stopped = false;

  constructor(handler: TransfersHandler, clock: Clock) {
    this.#handler = handler;
    this.#clock = clock;
  }

  /**
   * Asks the peer to call `target`. Resolves with the final status of that call.
   *
   * @param referredBy - SIP URI that Referred-By names.
   * @throws SipError (rejection) `REJECTED` with `statusCode` when the peer refuses, `TIMEOUT` without a final NOTIFY in
   * three minutes, `CLOSED` when the session ends before, `TRANSPORT`, `AUTH_FAILED`.
   */
  refer(target: string, referredBy: string): Promise<TransferOutcome> {
    if (this.#stopped) return Promise.reject(new SipError('CLOSED', 'The session has ended'));
    if (this.#sent !== undefined)
      return Promise.reject(new SipError('CLOSED', 'A transfer is under way'));
    return new Promise((resolve, reject) => {
      const settle = (outcome: TransferOutcome | SipError): void => {
        if (this.#sent?.settle !== settle) return;
        this.#sent.timer.cancel();
        this.#sent = undefined;
        if (outcome instanceof SipError) reject(outcome);
        else resolve(outcome);
      };
      const timer = this.#clock.startTimer(OUTCOME_LIMIT_MS, () =>
        settle(new SipError('TIMEOUT', 'The peer does not say what became of the transfer')),
      );
      this.#sent = { settle, timer };
      const headers: [string, string][] = [
        ['contact', this.#handler.contact()],
        ['refer-to', `<${target}>`],
        ['referred-by', `<${referredBy}>`],
      ];
      this.#handler.send('REFER', { headers, body: EMPTY_BODY }, (outcome) => {
        if ('error' in outcome) {
          settle(outcome.error);
          return;
        }
        const { statusCode, reasonPhrase } = outcome.response;
        if (statusCode < 300) return;
        const refused = statusCode === 401 || statusCode === 407 ? 'AUTH_FAILED' : 'REJECTED';
        const error = new SipError(refused, `${statusCode} ${reasonPhrase}`, { statusCode });
        settle(error);
        if (statusCode === 481) this.#handler.onLost(error);
      });
    });
  }

  /** The peer's REFER. */
  onRefer(request: SipRequest): Verdict {
    const values = request.headers.getAll('refer-to');
    const target = values.length === 1 ? uriIn(values[0]) : undefined;
    // RFC 3515 §2.4.1: exactly one Refer-To.
    if (target === undefined) return { statusCode: 400, reasonPhrase: 'Bad Refer-To' };
    if (this.#taken) return { statusCode: 491, reasonPhrase: 'Request Pending' };
    let open = true;
    const report = (statusCode: number, reasonPhrase: string): void => {
      if (!open || this.#stopped) return;
      open = statusCode < 200;
      this.#reports.push({ statusCode, reasonPhrase });
      this.#notifyNext();
    };
    const refer: ReferRequest = {
      target,
      referredBy: uriIn(request.headers.get('referred-by')),
      request,
      report,
    };
    // RFC 3515 §2.4.4: the first NOTIFY follows at once, behind the 202, which what is reported meanwhile waits for.
    this.#reports = [{ statusCode: 100, reasonPhrase: 'Trying' }];
    this.#notifying = true;
    if (!this.#handler.onRefer(refer)) {
      open = false;
      this.#notifying = false;
      return DECLINE;
    }
    this.#taken = true;
    this.#clock.startTimer(0, () => this.#onNotified());
    return { statusCode: 202, reasonPhrase: 'Accepted' };
  }

  /** A NOTIFY in the dialog; `undefined` when it is about nothing that we asked for (481). */
  onNotify(request: SipRequest): Verdict | undefined {
    const event = request.headers.get('event')?.split(';')[0]?.trim().toLowerCase();
    if (event !== 'refer' || this.#sent === undefined) return undefined;
    const match = /^SIP\/2\.0 ([1-6]\d\d) ([^\r\n]*)/i.exec(
      Buffer.from(request.body).toString('utf8'),
    );
    const statusCode = Number(match?.[1] ?? 0);
    const terminated = /^\s*terminated/i.test(request.headers.get('subscription-state') ?? '');
    if (statusCode >= 200) this.#sent.settle({ statusCode, reasonPhrase: match?.[2] ?? '' });
    else if (terminated)
      this.#sent.settle(new SipError('REJECTED', 'The peer gave up the transfer'));
    return OK;
  }

  /** Our BYE is next: what the transfer came to, which nobody could be told behind that, waits for no answer. */
  conclude(): void {
    const last = this.#reports.at(-1);
    this.#reports = [];
    if (!this.#stopped && last !== undefined && last.statusCode >= 200) this.#notify(last);
  }

  /** The session ends. */
  stop(): void {
    this.#stopped = true;
    this.#sent?.settle(new SipError('CLOSED', 'The session has ended'));
  }

  #onNotified(): void {
    this.#notifying = false;
    this.#notifyNext();
  }

  #notifyNext(): void {
    if (this.#notifying || this.#stopped) return;
    const report = this.#reports.shift();
    if (report === undefined) return;
    this.#notifying = true;
    this.#notify(report);
  }

  #notify({ statusCode, reasonPhrase }: TransferOutcome): void {
    const state = statusCode < 200 ? 'active;expires=180' : 'terminated;reason=noresource';
    this.#handler.send(
      'NOTIFY',
      {
        headers: [
          ['contact', this.#handler.contact()],
          ['event', 'refer'],
          ['subscription-state', state],
          ['content-type', 'message/sipfrag;version=2.0'],
        ],
        body: Buffer.from(`SIP/2.0 ${statusCode} ${reasonPhrase}\r\n`, 'utf8'),
      },
      // What the peer makes of it changes nothing here.
      () => {
        if (statusCode >= 200) this.#taken = false;
        this.#onNotified();
      },
    );
  }
}

/** The SIP URI of a name-addr, or `undefined`. */
function uriIn(value: string | undefined): string | undefined {
  try {
    const { uri } = parseNameAddress(value ?? '');
    parseUri(uri);
    return uri;
  } catch {
    return undefined;
  }
}
