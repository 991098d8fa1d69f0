// What incoming and outgoing calls share once they have a dialog: the peer's requests, our changes, timers, transfers.

import { checkText, checkUriArgument } from '../message/arguments.ts';
import type { Dialog } from './dialog.ts';
import { DialogClient, type Outcome, type RequestContent } from './dialog-client.ts';
import { DialogServer } from './dialog-server.ts';
import type { DigestClient } from '../auth/digest.ts';
import { SipError } from '../errors.ts';
import type { InviteSessionHandler, PeerDescription } from './session-handler.ts';
import type { SessionDeps } from './session-deps.ts';
import type { TransportPreference } from '../transport/next-hop.ts';
import type { SipHeaders, SipRequest } from '../message/message.ts';
import type { Verdict } from './request-policy.ts';
import { SessionChanges, type SessionOffer } from './session-changes.ts';
import { SessionTimer } from './session-timer.ts';
import type { Hop, ServerTransaction } from '../transaction/transaction-layer.ts';
import { type TransferOutcome, Transfers } from './transfers.ts';
import { transportError } from '../errors.ts';

/** The call that uses the dialog. */
export interface DialogUsageHandler {
  /** The dialog with the peer's tag, early or confirmed. */
  dialogOf(remoteTag: string): Dialog | undefined;
  /** The confirmed dialog. */
  confirmed(): Dialog | undefined;
  /** `early`: our INVITE is open. `answering`: the peer's INVITE is open. `leaving`: our BYE is on its way. */
  phase(): 'early' | 'answering' | 'confirmed' | 'leaving';
  /** In the early dialog with this tag, offer and answer were exchanged reliably (RFC 3262 §5): no offer is open. */
  isSettled(remoteTag: string): boolean;
  /** Whether our requests may be sent in the dialog: it is confirmed, and neither side has sent BYE. */
  isEstablished(): boolean;
  /** Where the INVITE was sent to, or came from. */
  hop(): Hop | undefined;
  /** Our Contact value. */
  contact(): string;
  /** URI of our side, for Referred-By. */
  localUri(): string;
  /** The peer's BYE; it is already answered. */
  onBye(): void;
  /**
   * The peer is gone or has lost the dialog: send BYE and end. The error has a `statusCode` if there was a response.
   */
  onLost(error: SipError): void;
  /** The peer's PRACK. Absent: there is nothing to acknowledge. */
  onPrack?(request: SipRequest): Verdict | undefined;
}

/** The dialog of one call. */
export class DialogUsage {
  readonly client: DialogClient;
  readonly server: DialogServer;
  readonly timer: SessionTimer;
  readonly changes: SessionChanges;
  readonly #transfers: Transfers;
  readonly #handler: DialogUsageHandler;
  /** Methods in the peer's latest Allow. */
  #peerAllows = '';

  /** `digest`: absent for incoming calls, whose peer has no claim to our password (RFC 3261 §22.1). */
  constructor(
    deps: SessionDeps,
    handler: DialogUsageHandler,
    session: InviteSessionHandler,
    parts: {
      readonly localTag: string;
      readonly localSdp: string;
      readonly transport: TransportPreference;
      readonly digest: DigestClient | undefined;
      readonly ownsCallId: boolean;
    },
  ) {
    this.#handler = handler;
    this.client = new DialogClient(deps, parts.digest, parts.transport);
    this.timer = new SessionTimer(deps.sessionTimer, deps.clock, {
      refresh: () => this.changes.refresh(),
      expired: () =>
        handler.onLost(new SipError('SESSION_EXPIRED', 'The session was not refreshed in time')),
    });
    this.server = new DialogServer(
      deps,
      {
        dialogOf: (tag) => handler.dialogOf(tag),
        phase: () => {
          const phase = handler.phase();
          return phase === 'confirmed' && this.changes.offering ? 'offering' : phase;
        },
        isSettled: (tag) => handler.isSettled(tag),
        contact: () => handler.contact(),
        onTarget: (source) => this.client.met(source),
        onBye: () => handler.onBye(),
        onUnacknowledged: () =>
          handler.onLost(new SipError('TIMEOUT', 'The peer sent no ACK', { statusCode: 408 })),
        onExtension: (transaction) => this.#onExtension(transaction),
      },
      session,
      { timer: this.timer, localTag: parts.localTag, localSdp: parts.localSdp },
    );
    this.changes = new SessionChanges({
      handler: {
        send: (method, content, limitMs, done) => {
          const dialog = handler.confirmed();
          const hop = handler.hop();
          if (dialog === undefined || hop === undefined) done(NOTHING_THERE);
          else if (method === 'INVITE')
            this.client.reinvite({ dialog, first: hop }, content, limitMs, done);
          else
            this.client.request({ dialog, first: hop }, method, content, (outcome) => {
              if ('response' in outcome && outcome.response.statusCode < 300)
                dialog.refreshTarget(outcome.response.headers);
              done(outcome);
            });
        },
        contact: () => handler.contact(),
        localSdp: () => this.server.localSdp,
        agreed: (sdp) => {
          this.server.localSdp = sdp;
        },
        onRefreshed: ({ sdp, source }) => session.onReanswer?.(sdp, source),
        idle: () => this.server.idle(),
        takesUpdate: () => this.#peerAllows.includes('UPDATE'),
        onLost: (error) => handler.onLost(error),
      },
      timer: this.timer,
      clock: deps.clock,
      ownsCallId: parts.ownsCallId,
      random: deps.random,
    });
    this.#transfers = new Transfers(
      {
        send: (method, content, done) => this.request(handler.confirmed(), method, content, done),
        contact: () => handler.contact(),
        onRefer: (refer) => session.onRefer?.(refer) === true,
        onLost: (error) => handler.onLost(error),
      },
      deps.clock,
    );
  }

  /** Records the peer's Allow, from its INVITE or its responses to ours. */
  learn(headers: SipHeaders): void {
    const allow = headers.getAll('allow');
    if (allow.length > 0) this.#peerAllows = allow.join(',').toUpperCase();
  }

  /** See `InviteSession.reoffer`. */
  async reoffer(
    sdp: SessionOffer,
    method: 'INVITE' | 'UPDATE' = 'INVITE',
  ): Promise<PeerDescription> {
    this.#requireEstablished();
    return this.changes.offer(sdp, method);
  }

  /** See `InviteSession.refresh`. */
  async refresh(): Promise<void> {
    this.#requireEstablished();
    return this.changes.repeat();
  }

  /** See `InviteSession.refer`. */
  async refer(target: string): Promise<TransferOutcome> {
    checkUriArgument('target', target);
    this.#requireEstablished();
    return this.#transfers.refer(target, this.#handler.localUri());
  }

  /** See `InviteSession.sendInfo`. */
  async sendInfo(contentType: string, body: string): Promise<number> {
    checkText('contentType', contentType);
    this.#requireEstablished();
    const content = {
      headers: [['content-type', contentType] as const],
      body: Buffer.from(body, 'utf8'),
    };
    const outcome = await new Promise<Outcome>((resolve) => {
      this.request(this.#handler.confirmed(), 'INFO', content, resolve);
    });
    if ('error' in outcome) throw outcome.error;
    const { statusCode } = outcome.response;
    if (statusCode === 481) {
      // RFC 3261 §12.2.1.2: the peer has lost the dialog.
      this.#handler.onLost(
        new SipError('REJECTED', '481: the peer lost the dialog', { statusCode }),
      );
    }
    return statusCode;
  }

  /** Sends a request in a dialog. */
  request(
    dialog: Dialog | undefined,
    method: string,
    content: RequestContent | undefined,
    done: (outcome: Outcome) => void,
  ): void {
    const hop = this.#handler.hop();
    if (hop === undefined || dialog === undefined) done(NOTHING_THERE);
    else this.client.request({ dialog, first: hop }, method, content, done);
  }

  /** Our BYE follows: calls {@link stop}, and reports the outcome of the peer's transfer to it. */
  leave(): void {
    this.#transfers.conclude();
    this.stop();
  }

  /** The session ends: stops all retransmissions, refreshes and waits. */
  stop(): void {
    this.timer.stop();
    this.server.stop();
    this.changes.stop();
    this.#transfers.stop();
  }

  #requireEstablished(): void {
    if (!this.#handler.isEstablished()) throw new SipError('CLOSED', 'No established dialog');
  }

  #onExtension({ request }: ServerTransaction): Verdict | undefined {
    if (request.method === 'PRACK') return this.#handler.onPrack?.(request);
    if (this.#handler.phase() !== 'confirmed') return undefined;
    return request.method === 'REFER'
      ? this.#transfers.onRefer(request)
      : this.#transfers.onNotify(request);
  }
}

const NOTHING_THERE: Outcome = { error: transportError('No dialog') };
