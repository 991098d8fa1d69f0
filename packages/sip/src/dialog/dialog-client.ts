// Our requests inside the dialogs of one call: next hop, credentials, final outcome (RFC 3261 §12.2.1, §22).

import { isIP } from 'node:net';
import { forbiddenDestination, forbiddenPort } from '../transport/destination-ports.ts';
import type { Dialog } from './dialog.ts';
import type { DigestClient } from '../auth/digest.ts';
import { SipError } from '../errors.ts';
import { asSipError } from '../errors.ts';
import type { SessionDeps } from './session-deps.ts';
import type { TransportPreference } from '../transport/next-hop.ts';
import type { SipRequest, SipResponse } from '../message/message.ts';
import { defaultPort, nextHopTo } from '../transport/next-hop.ts';
import type { ClientTransaction, Hop } from '../transaction/transaction-layer.ts';
import { isForbiddenDestination } from '../transport/transport.ts';
import type { TransportAddress } from '../transport/transport.ts';
import { transportError } from '../errors.ts';
import { parseCSeq, parseUri } from '../message/uri.ts';

/** Maximum number of cached next hops. */
const MAX_HOPS = 16;

/** Final outcome of a request. */
export type Outcome = { readonly response: SipResponse } | { readonly error: SipError };

/** The parts of a request that do not come from its dialog. */
export interface RequestContent {
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Uint8Array;
}

/** A dialog, and where its INVITE was sent to or came from. */
interface DialogWay {
  readonly dialog: Dialog;
  readonly first: Hop;
}

interface ReinviteAttempt {
  readonly content: RequestContent;
  readonly limitMs: number;
  /** From 1. */
  readonly attempt: number;
}

/** Sends requests in the dialogs of one call. */
export class DialogClient {
  readonly #deps: SessionDeps;
  readonly #digest: DigestClient | undefined;
  /** Transport preference of the call; changes on a redirection. */
  preference: TransportPreference;
  readonly #hops = new Map<string, Hop | Promise<Hop>>();
  /** Sources of the peer's offers, for which its Contact at the time is allowed. */
  readonly #sources = new Set<string>();

  constructor(
    deps: SessionDeps,
    digest: DigestClient | undefined,
    preference: TransportPreference,
  ) {
    this.#deps = deps;
    this.#digest = digest;
    this.preference = preference;
  }

  /** Adds our credentials, once challenged. */
  authorized(request: SipRequest): SipRequest {
    const fields = this.#digest?.authorization(request.method, request.uri, request.body) ?? [];
    for (const [name, value] of fields) request.headers.append(name, value);
    return request;
  }

  /** Whether requests of this call were sent to this address. */
  hasSentTo(address: string): boolean {
    for (const hop of this.#hops.values())
      if (!(hop instanceof Promise) && hop.address === address) return true;
    return false;
  }

  /** The peer sent a new Contact from this address, so requests may go there too. */
  met({ address, port }: TransportAddress): void {
    if (this.#sources.size >= MAX_HOPS) this.#sources.clear();
    this.#sources.add(`${address} ${port}`);
  }

  /** Sends a request, and resends it after a challenge. `done` is called once. */
  request(
    { dialog, first }: DialogWay,
    method: string,
    content: RequestContent | undefined,
    done: (outcome: Outcome) => void,
  ): void {
    const attempted = (attempt: number): void => {
      const send = (hop: Hop): void => {
        try {
          this.#deps.layer.send(this.#create(dialog, method, content), hop, {
            onResponse: (response) => {
              if (response.statusCode < 200) return;
              if (this.#answers(response, attempt)) attempted(attempt + 1);
              else done({ response });
            },
            onFailure: (error) => {
              if (error.code !== 'CLOSED' && this.detour({ dialog, first })) attempted(attempt);
              else done({ error });
            },
          });
        } catch (error) {
          done({ error: asSipError(error) });
        }
      };
      this.reach(dialog, first, send, (error) => done({ error }));
    };
    attempted(1);
  }

  /**
   * Sends a re-INVITE, resends it after a challenge, and acknowledges its 2xx with every retransmission. If there is no
   * final response within `limitMs`, the re-INVITE is cancelled and counts as timed out. `done` is called once.
   */
  reinvite(
    way: DialogWay,
    content: RequestContent,
    limitMs: number,
    done: (outcome: Outcome) => void,
  ): void {
    this.#reinvite(way, { content, limitMs, attempt: 1 }, done);
  }

  #reinvite(
    { dialog, first }: DialogWay,
    { content, limitMs, attempt }: ReinviteAttempt,
    done: (outcome: Outcome) => void,
  ): void {
    const { layer, clock } = this.#deps;
    let finished = false;
    const finish = (outcome: Outcome): void => {
      if (finished) return;
      finished = true;
      done(outcome);
    };
    const send = (hop: Hop): void => {
      const request = this.#create(dialog, 'INVITE', content);
      const { sequence } = parseCSeq(request.headers.get('cseq') ?? '');
      let transaction: ClientTransaction | undefined;
      let provisional = false;
      let acknowledge: (() => void) | undefined;
      const timer = clock.startTimer(limitMs, () => {
        // RFC 3261 §14.1 defines no separate CANCEL for a re-INVITE; §9 applies.
        if (provisional && transaction !== undefined)
          layer.cancel(transaction, { onResponse: () => {}, onFailure: () => {} });
        else transaction?.abandon();
        finish({
          error: new SipError('TIMEOUT', 'No final response in time', { statusCode: 408 }),
        });
      });
      const accepted = (response: SipResponse): void => {
        if (acknowledge !== undefined) {
          acknowledge();
          return;
        }
        acknowledge = () => {};
        dialog.refreshTarget(response.headers);
        const ack = dialog.createAck(sequence);
        for (const name of ['authorization', 'proxy-authorization'])
          for (const value of request.headers.getAll(name)) ack.headers.append(name, value);
        ack.headers.append('user-agent', this.#deps.userAgentName);
        const sendAck = (way: Hop): void => {
          acknowledge = layer.sendAck(ack, way);
          finish({ response });
        };
        this.reach(dialog, first, sendAck, () => sendAck(hop));
      };
      try {
        transaction = layer.send(request, hop, {
          onResponse: (response) => {
            const { statusCode } = response;
            if (statusCode < 200) {
              provisional = true;
              return;
            }
            timer.cancel();
            if (statusCode < 300) accepted(response);
            else if (this.#answers(response, attempt))
              this.#reinvite({ dialog, first }, { content, limitMs, attempt: attempt + 1 }, finish);
            else finish({ response });
          },
          onFailure: (error) => {
            timer.cancel();
            finish({ error });
          },
        });
      } catch (error) {
        timer.cancel();
        finish({ error: asSipError(error) });
      }
    };
    this.reach(dialog, first, send, (error) => finish({ error }));
  }

  /**
   * What went to the peer's Contact did not arrive: from now on requests go where the INVITE went to or came from. Phones behind
   * a NAT name their private address, others a transport that they do not listen on.
   * @returns false when there is no other way: the Contact leads there already, or proxies want to be on the way
   */
  detour({ dialog, first }: DialogWay): boolean {
    if (dialog.routeSet.length > 0) return false;
    const { nextHop } = dialog;
    const tried = this.#hops.get(nextHop);
    if (tried === undefined || tried instanceof Promise) return false;
    const { protocol, address, port } = tried;
    if (protocol === first.protocol && address === first.address && port === first.port)
      return false;
    this.#remember(nextHop, first);
    return true;
  }

  #create(dialog: Dialog, method: string, content: RequestContent | undefined): SipRequest {
    const request = dialog.createRequest(method, content?.body);
    request.headers.append('user-agent', this.#deps.userAgentName);
    for (const [name, value] of content?.headers ?? []) request.headers.append(name, value);
    return this.authorized(request);
  }

  /** Whether the challenge can be answered with another attempt. */
  #answers(response: SipResponse, attempt: number): boolean {
    const { statusCode } = response;
    if (statusCode !== 401 && statusCode !== 407) return false;
    return this.#digest?.challenged(response, attempt) === 'retry';
  }

  /** Resolves the next hop of a dialog's requests: synchronously for IP literals, else once the name is resolved. */
  reach(
    dialog: Dialog,
    first: Hop,
    use: (hop: Hop) => void,
    failed: (error: SipError) => void,
  ): void {
    let found: Hop | Promise<Hop> | undefined;
    try {
      const { nextHop } = dialog;
      found = this.#hops.get(nextHop);
      if (found === undefined) {
        found = this.#find(nextHop, first);
        // Do not cache a forbidden destination: it becomes allowed if the peer sends from there.
        if (found !== first) this.#remember(nextHop, found);
      }
    } catch (error) {
      failed(asSipError(error));
      return;
    }
    if (found instanceof Promise) {
      const { nextHop } = dialog;
      found.then(use, (error: unknown) => {
        // Let the next request try again: the name may resolve later.
        this.#hops.delete(nextHop);
        failed(asSipError(error));
      });
    } else {
      use(found);
    }
  }

  #remember(named: string, hop: Hop | Promise<Hop>): void {
    // A peer can name another Contact in every message.
    if (this.#hops.size >= MAX_HOPS) this.#hops.clear();
    this.#hops.set(named, hop);
  }

  /**
   * The named destination, or `first` if connecting to it is not allowed: the peer was reached there, and may forward.
   */
  #find(named: string, first: Hop): Hop | Promise<Hop> {
    const uri = parseUri(named);
    const settled = this.preference === 'tcp' || this.preference === 'tls';
    const next = nextHopTo(uri, settled ? this.preference : 'auto');
    const { host } = next;
    if (isIP(host) === 0)
      return this.#deps.locate(next).then(
        ([hop]) => {
          if (this.#hops.size < MAX_HOPS) this.#hops.set(named, hop);
          return hop;
        },
        (error: unknown) => {
          if (!(error instanceof SipError && error.code === 'CONNECT_FORBIDDEN')) throw error;
          this.#hops.delete(named);
          return this.#instead(error, first);
        },
      );
    if (isForbiddenDestination(host)) throw transportError(`Not a host: ${host}`);
    // Seen in: gateways that keep no listening port. The way of the INVITE is left.
    if (next.port === 0) return first;
    // The dialog may continue at the address where it began.
    const isThere = host === first.address;
    let protocol = next.preference === 'auto' ? 'UDP' : next.preference.toUpperCase();
    const port = next.port ?? defaultPort(protocol);
    if (next.preference === 'auto' && isThere && port === first.port) {
      protocol = first.protocol;
    }
    const hop = { ...first, protocol, address: host, port };
    // A connection that the peer opened needs no new connect.
    if (first.connectionId !== undefined && protocol === first.protocol) return hop;
    if (!isThere && !this.#deps.mayConnect(host)) {
      const problem = `${host} is an address that may not be connected to`;
      return this.#instead(forbiddenDestination(problem), first);
    }
    const wasThere = (isThere && port === first.port) || this.#sources.has(`${host} ${port}`);
    if (!wasThere && !this.#deps.allowsPort(host, port))
      return this.#instead(forbiddenPort(host, port), first);
    return hop;
  }

  #instead({ message }: SipError, first: Hop): Hop {
    this.#deps.onForbidden(message, first);
    return first;
  }
}
