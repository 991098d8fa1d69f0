// The targets of redirections, and which of them to try (RFC 3261 §8.1.3.4).

import type { SipResponse } from '../message/message.ts';
import { isForbiddenDestination } from './transport.ts';
import { parseNameAddress } from '../message/name-address.ts';
import { equalUris, parseUri, type SipUri } from '../message/uri.ts';

/** Contacts of one 3xx that are examined. */
const MAX_CONTACTS = 16;

/** An address to try. */
export interface RedirectTarget {
  readonly uri: SipUri;
  readonly text: string;
}

/** The targets of one call. Each is tried once, with at most `maxHops` beyond the first. */
export class Redirects {
  readonly #seen: SipUri[];
  readonly #waiting: RedirectTarget[] = [];
  readonly #mayRedirect: (target: string) => boolean;
  #hopsLeft: number;

  /** `first`: the called URI. `maxHops`: default 3. */
  constructor(first: string, maxHops = 3, mayRedirect: (target: string) => boolean = () => true) {
    this.#seen = [parseUri(first)];
    this.#hopsLeft = maxHops;
    this.#mayRedirect = mayRedirect;
  }

  /**
   * The best address not yet tried: from this 3xx, ordered by `q`, then from earlier ones.
   * @param response - Any other response, or undefined: the last address failed without naming others.
   */
  next(response: SipResponse | undefined): RedirectTarget | undefined {
    if (this.#hopsLeft <= 0) return undefined;
    const fresh = contactsOf(response).filter(({ uri, text }) => {
      if (isForbiddenDestination(uri.host) || !this.#mayRedirect(text)) return false;
      // RFC 3261 §8.1.3.4: a secure call must not become insecure without consent.
      if (this.#seen[0]?.scheme === 'sips' && uri.scheme !== 'sips') return false;
      // A target is never added twice, so loops end.
      if (this.#seen.some((one) => equalUris(one, uri))) return false;
      this.#seen.push(uri);
      return true;
    });
    this.#waiting.unshift(...fresh);
    const target = this.#waiting.shift();
    if (target !== undefined) this.#hopsLeft--;
    return target;
  }
}

/** SIP addresses of the Contacts, highest `q` first, otherwise in message order. */
function contactsOf(response: SipResponse | undefined): RedirectTarget[] {
  if (response === undefined || response.statusCode < 300 || response.statusCode >= 400) return [];
  const found: (RedirectTarget & { readonly q: number })[] = [];
  for (const value of response.headers.getAll('contact').slice(0, MAX_CONTACTS)) {
    try {
      const { uri: text, parameters } = parseNameAddress(value);
      const uri = parseUri(text);
      const q = Number(parameters.get('q') ?? 1);
      found.push({ uri, text, q: Number.isNaN(q) ? 1 : q });
    } catch {
      // Ignored: another scheme, e.g. tel or mailto, which we cannot call.
    }
  }
  return found.toSorted((a, b) => b.q - a.q);
}
