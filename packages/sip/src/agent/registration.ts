// REGISTER and un-REGISTER of one binding (RFC 3261 §10.2), with failover between the registrar's servers (RFC 3263
// §4.3). The caller decides when to refresh.

import {
  checkCallId,
  checkHeaders,
  checkInteger,
  checkProxy,
  checkText,
  checkTransport,
  checkUriArgument,
} from '../message/arguments.ts';
import { DigestClient, type DigestCredentials } from '../auth/digest.ts';
import { SipError } from '../errors.ts';
import { contactFor } from '../dialog/session-deps.ts';
import type { OutboundProxy, TransportPreference } from '../transport/next-hop.ts';
import type { SessionDeps } from '../dialog/session-deps.ts';
import { EMPTY_BODY, SipHeaders, type SipRequest, type SipResponse } from '../message/message.ts';
import { type NextHop, nextHopTo } from '../transport/next-hop.ts';
import { mayFailOver } from '../transport/server-locator.ts';
import type { Hop } from '../transaction/transaction-layer.ts';
import { transportError } from '../errors.ts';
import { formatNameAddress, parseNameAddress } from '../message/name-address.ts';
import { parseVia } from '../message/via.ts';

/** An account to register. */
export interface RegisterOptions {
  /** SIP URI of the registrar without user, for the Request-URI. */
  readonly registrar: string;
  /** The account, for From and To. */
  readonly from: { readonly uri: string; readonly displayName?: string };
  readonly credentials?: DigestCredentials;
  readonly outboundProxy?: OutboundProxy;
  readonly transport: TransportPreference;
  /** Requested expiry in seconds. Default 3,600. */
  readonly expiresSeconds?: number;
  /** Default: random. All REGISTERs of one registration share it. */
  readonly callId?: string;
  readonly headers?: readonly (readonly [string, string])[];
}

/** A binding that the registrar has confirmed. */
export interface Registration {
  readonly callId: string;
  /** Expiry granted by the registrar, in seconds. */
  readonly expiresSeconds: number;
  /** The binding's Contact value. */
  readonly contact: string;
  /** The last final response. */
  readonly response: SipResponse;
  /** The registrar's address, and our address towards it. */
  readonly hop: Hop;
  /**
   * Registers again with the originally requested expiry, and updates the values above. Tries the server that answered
   * last first. Rejects with SipError as `register` does; the binding then stays until it expires. Do not call it while
   * another operation is running.
   */
  refresh(): Promise<void>;
  /** Drops the binding without notifying the registrar. Idempotent. */
  abandon(): void;
  /** Removes the binding. Rejects with SipError as `register` does. A second call does nothing. */
  unregister(): Promise<void>;
}

/**
 * Registers an account.
 *
 * @throws SipError (rejection) `INVALID_ARGUMENT` or `ILLEGAL_CHARACTER` naming the field, `AUTH_FAILED`, `REJECTED`
 * with `statusCode`, `TIMEOUT`, `TRANSPORT`, `CLOSED`
 */
export async function register(deps: SessionDeps, options: RegisterOptions): Promise<Registration> {
  const binding = new Binding(deps, options);
  await binding.refresh();
  return binding;
}

class Binding implements Registration {
  readonly callId: string;
  readonly #deps: SessionDeps;
  readonly #options: RegisterOptions;
  readonly #digest: DigestClient | undefined;
  readonly #next: NextHop;
  readonly #localTag: string;
  #hop: Hop | undefined;
  #sequence = 0;
  #expiresSeconds = 0;
  #contact = '';
  #response: SipResponse | undefined;
  /** A binding under an address that proved not to be ours, until it is removed. */
  #stale: string | undefined;
  #removed = false;
  #endKeepAlive: () => void = () => {};

  constructor(deps: SessionDeps, options: RegisterOptions) {
    const registrar = checkUriArgument('registrar', options.registrar);
    checkUriArgument('from.uri', options.from?.uri);
    if (options.from.displayName !== undefined) {
      checkText('from.displayName', options.from.displayName);
    }
    checkProxy(options.outboundProxy);
    checkTransport(options.transport);
    checkHeaders(options.headers);
    if (options.expiresSeconds !== undefined) {
      checkInteger('expiresSeconds', options.expiresSeconds, 1, 0xffff_ffff);
    }
    if (options.callId !== undefined) checkCallId(options.callId);
    this.#deps = deps;
    this.#options = options;
    this.#next = nextHopTo(registrar, options.transport, options.outboundProxy);
    this.callId = options.callId ?? deps.token();
    this.#localTag = deps.token();
    this.#digest = options.credentials && new DigestClient(options.credentials, () => deps.token());
  }

  get expiresSeconds(): number {
    return this.#expiresSeconds;
  }

  get contact(): string {
    return this.#contact;
  }

  get response(): SipResponse {
    if (this.#response === undefined) throw new SipError('CLOSED', 'Not registered');
    return this.#response;
  }

  get hop(): Hop {
    if (this.#hop === undefined) throw new SipError('CLOSED', 'Not registered');
    return this.#hop;
  }

  async refresh(): Promise<void> {
    await this.#register(this.#options.expiresSeconds ?? 3600);
    if (await this.#learn()) await this.#register(this.#options.expiresSeconds ?? 3600);
  }

  abandon(): void {
    this.#removed = true;
    this.#endKeepAlive();
  }

  async unregister(): Promise<void> {
    if (this.#removed) return;
    this.abandon();
    await this.#register(0);
  }

  /** RFC 3263 §4.3: registers with the server that answered last, then with the others. */
  async #register(expiresSeconds: number): Promise<void> {
    const last = this.#hop;
    let problem: SipError | undefined;
    if (last !== undefined) {
      problem = await this.#attempt(last, expiresSeconds);
      if (problem === undefined) return;
    }
    // Un-REGISTER is a courtesy: the binding expires anyway.
    if (problem !== undefined && expiresSeconds === 0) throw problem;
    for (const hop of await this.#deps.locate(this.#next)) {
      if (last !== undefined && last.address === hop.address && last.port === hop.port) continue;
      problem = await this.#attempt(hop, expiresSeconds);
      if (problem === undefined) return;
    }
    throw problem ?? transportError('No registrar');
  }

  /**
   * Sends one REGISTER. Returns the error after which another server may be tried. @throws SipError for all other
   * errors
   */
  async #attempt(hop: Hop, expiresSeconds: number): Promise<SipError | undefined> {
    try {
      await this.#transact(hop, expiresSeconds);
      this.#hop = hop;
      if (!this.#removed) {
        const endBefore = this.#endKeepAlive;
        this.#endKeepAlive = this.#deps.keepAlive(hop);
        endBefore();
      }
      return undefined;
    } catch (error) {
      if (!(error instanceof SipError)) throw error;
      if (mayFailOver(error) || error.statusCode === 503) return error;
      throw error;
    }
  }

  /**
   * RFC 3581 §4, RFC 5626 §1: behind a NAT, the registrar sees a different address. True if that address is new, so
   * that the binding must be renewed.
   */
  async #learn(): Promise<boolean> {
    const hop = this.#hop;
    const via = this.#response?.headers.get('via');
    if (hop === undefined || via === undefined) return false;
    const { parameters } = parseVia(via);
    const [address, port] = [parameters.get('received'), Number(parameters.get('rport') || 0)];
    if (!this.#deps.learn(hop, address ?? hop.localHost, port)) return false;
    this.#stale = this.#contact;
    this.#hop = await this.#deps.hopTo(hop);
    return true;
  }

  /** Sends one REGISTER, answers challenges, and retries once if the registrar wants a longer expiry (423). */
  async #transact(hop: Hop, expiresSeconds: number): Promise<void> {
    let asked = expiresSeconds;
    let attempt = 1;
    let lengthened = false;
    for (;;) {
      const response = await this.#send(hop, asked);
      const { statusCode, reasonPhrase } = response;
      if (statusCode < 300) {
        this.#response = response;
        this.#expiresSeconds = asked === 0 ? 0 : this.#granted(response, asked);
        this.#stale = undefined;
        return;
      }
      if (statusCode === 401 || statusCode === 407) {
        if (this.#digest?.challenged(response, attempt) === 'retry') {
          attempt += 1;
          continue;
        }
        throw new SipError('AUTH_FAILED', `${statusCode} ${reasonPhrase}`, { statusCode });
      }
      const least = Number(response.headers.get('min-expires'));
      // RFC 3261 §10.2.8
      if (statusCode === 423 && !lengthened && asked > 0 && least > asked) {
        lengthened = true;
        attempt = 1;
        asked = least;
        continue;
      }
      const retryAfter = /^\s*(\d{1,9})/.exec(response.headers.get('retry-after') ?? '')?.[1];
      throw new SipError('REJECTED', `${statusCode} ${reasonPhrase}`, {
        statusCode,
        retryAfterSeconds: retryAfter === undefined ? undefined : Number(retryAfter),
      });
    }
  }

  #send(hop: Hop, expiresSeconds: number): Promise<SipResponse> {
    const { from, registrar, headers: extra = [] } = this.#options;
    this.#sequence += 1;
    this.#contact = contactFor(from.uri, hop);
    const headers = new SipHeaders()
      .append('max-forwards', '70')
      .append(
        'from',
        formatNameAddress({ ...from, parameters: new Map([['tag', this.#localTag]]) }),
      )
      .append('to', formatNameAddress({ ...from, parameters: new Map() }))
      .append('call-id', this.callId)
      .append('cseq', `${this.#sequence} REGISTER`)
      .append('contact', this.#contact)
      .append('expires', String(expiresSeconds))
      .append('user-agent', this.#deps.userAgentName);
    if (this.#stale !== undefined && this.#stale !== this.#contact) {
      headers.append('contact', `${this.#stale};expires=0`);
    }
    for (const [name] of extra) headers.delete(name);
    for (const [name, value] of extra) headers.append(name, value);
    const request: SipRequest = {
      kind: 'request',
      method: 'REGISTER',
      uri: registrar,
      headers,
      body: EMPTY_BODY,
    };
    for (const [name, value] of this.#digest?.authorization('REGISTER', registrar, EMPTY_BODY) ??
      []) {
      headers.append(name, value);
    }
    return new Promise((resolve, reject) => {
      this.#deps.layer.send(request, hop, {
        onResponse: (response) => {
          if (response.statusCode >= 200) resolve(response);
        },
        onFailure: reject,
      });
    });
  }

  /** RFC 3261 §10.2.4: the `expires` parameter of our Contact, else the Expires header, else the requested value. */
  #granted(response: SipResponse, asked: number): number {
    const ours = parseNameAddress(this.#contact).uri;
    for (const value of response.headers.getAll('contact')) {
      try {
        const contact = parseNameAddress(value);
        if (contact.uri !== ours) continue;
        const expires = contact.parameters.get('expires');
        if (expires !== undefined && /^\d{1,10}$/.test(expires)) return Number(expires);
      } catch {
        // Ignored: a malformed binding of another client does not concern us.
      }
    }
    const header = response.headers.get('expires');
    return header !== undefined && /^\d{1,10}$/.test(header) ? Number(header) : asked;
  }
}
