// Our requests inside the dialogs of one call: next hop, credentials, final outcome (RFC 3261 §12.2.1, §22).

import { isIP } from 'node:net';
import type { Dialog } from './dialog.ts';
import type { DigestClient } from './digest.ts';
import type { SipError } from './errors.ts';
import { asSipError, type SessionAgent, type TransportPreference } from './invite-contract.ts';
import type { SipRequest, SipResponse } from './message.ts';
import type { Hop } from './transaction-layer.ts';
import { isForbiddenDestination, transportError } from './transport.ts';
import { parseUri, type SipUri } from './uri.ts';

/** Final outcome of a request. */
export type Outcome = { readonly response: SipResponse } | { readonly error: SipError };

/** What a request carries beyond its dialog's headers. */
export interface RequestContent {
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Uint8Array;
}

/** Sends requests in the dialogs of one call. */
export class DialogClient {
  readonly #agent: SessionAgent;
  readonly #digest: DigestClient | undefined;
  readonly #preference: TransportPreference;
  readonly #hops = new Map<string, Hop | Promise<Hop>>();

  constructor(
    agent: SessionAgent,
    digest: DigestClient | undefined,
    preference: TransportPreference,
  ) {
    this.#agent = agent;
    this.#digest = digest;
    this.#preference = preference;
  }

  /** Adds our credentials, once a challenge has asked for them. */
  authorized(request: SipRequest): SipRequest {
    const fields = this.#digest?.authorization(request.method, request.uri, request.body) ?? [];
    for (const [name, value] of fields) request.headers.append(name, value);
    return request;
  }

  /** Sends a request, and again for a challenge; `done` is called once. `first`: where the INVITE went. */
  request(
    dialog: Dialog,
    first: Hop,
    method: string,
    content: RequestContent | undefined,
    done: (outcome: Outcome) => void,
    attempt = 1,
  ): void {
    const send = (hop: Hop): void => {
      const request = dialog.createRequest(method, content?.body);
      request.headers.append('user-agent', this.#agent.userAgentName);
      for (const [name, value] of content?.headers ?? []) request.headers.append(name, value);
      try {
        this.#agent.layer.send(this.authorized(request), hop, {
          onResponse: (response) => {
            const { statusCode } = response;
            if (statusCode < 200) return;
            const retry =
              (statusCode === 401 || statusCode === 407) &&
              this.#digest?.challenged(response, attempt) === 'retry';
            if (retry) this.request(dialog, first, method, content, done, attempt + 1);
            else done({ response });
          },
          onFailure: (error) => done({ error }),
        });
      } catch (error) {
        done({ error: asSipError(error) });
      }
    };
    this.reach(dialog, first, send, (error) => done({ error }));
  }

  /** Finds the next hop of a dialog's requests: at once for IP literals, else when its name is resolved. */
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
        found = this.#find(parseUri(nextHop), first);
        this.#hops.set(nextHop, found);
      }
    } catch (error) {
      failed(asSipError(error));
      return;
    }
    if (found instanceof Promise) {
      found.then(use, (error: unknown) => failed(asSipError(error)));
    } else {
      use(found);
    }
  }

  #find(uri: SipUri, first: Hop): Hop | Promise<Hop> {
    const host = uri.parameters.get('maddr') ?? uri.host;
    const port = uri.port ?? 5060;
    const named = uri.parameters.get('transport')?.toUpperCase();
    let protocol = named === 'TCP' ? 'TCP' : 'UDP';
    if (this.#preference === 'tcp') protocol = 'TCP';
    else if (named === undefined && host === first.address && port === first.port) {
      protocol = first.protocol;
    }
    if (isIP(host) === 0) return this.#agent.locate(host, port, protocol);
    if (isForbiddenDestination(host)) throw transportError(`Not a host: ${host}`);
    const { localHost, localPort } = first;
    return { protocol, address: host, port, localHost, localPort };
  }
}
