// Who may ask us for something outside of our calls, and how often: rate limits, bans for scanners, silence for strangers.
// Requests in dialogs and responses never come here, so that a forged source cannot cut off a call.

import { BlockList, isIP, isIPv6 } from 'node:net';
import { checkInteger, invalidArgument } from '../message/arguments.ts';
import type { SipRequest } from '../message/message.ts';
import type { Clock } from '../timers.ts';

/** How strangers are treated. All have defaults. */
export interface SourceGuardOptions {
  /** Addresses, or networks like `10.0.0.0/8`, that no limit holds for and that are no strangers. Default: none. */
  readonly trusted?: readonly string[];
  /**
   * Strangers are all that we never sent a request to: `drop` leaves their requests without an answer, but for INVITEs that
   * `onInvite` takes or refuses; `answer` answers all. Default `drop`.
   */
  readonly strangers?: 'drop' | 'answer';
  /** Requests of one address a second, in the long run; twice as many at once. Default 50. */
  readonly perSource?: number;
  /** The same for all strangers together. Default 1,000. */
  readonly total?: number;
  /** Requests that were malformed or refused, within a minute, before an address is banned. Default 20. */
  readonly strikes?: number;
  /** How long it is banned. Default 600,000 ms. */
  readonly banMs?: number;
}

/** Why a request got no answer. */
export type GuardFault =
  /** Too many requests from that address, or from strangers in all. */
  | 'rate-limit'
  /** The address is banned for a while: too many bad requests, or a known scanner. Once for each ban. */
  | 'source-banned'
  /** A request from a banned address. */
  | 'banned-source'
  /** A request from an address that we have nothing to do with. */
  | 'stranger';

interface Source {
  tokens: number;
  filledAtMs: number;
  strikes: number;
  strikesSinceMs: number;
  bannedUntilMs: number;
}

const STRIKE_WINDOW_MS = 60_000;
const MAX_SOURCES = 10_000;
/** How scanners name themselves, those that care for no disguise. */
const SCANNERS =
  /friendly-scanner|sipvicious|sundayddr|sip-?scan|sipcli|vaxsip|iwar|sipsscuser|siparmyknife|smap\b|pplsip|sip-?ptk|cloudphone-scan/i;

/** Decides about requests by where they come from. Memory is bounded; each decision takes constant time. */
export class SourceGuard {
  readonly #options: Required<SourceGuardOptions>;
  readonly #clock: Clock;
  readonly #isKnown: (address: string) => boolean;
  readonly #report: (fault: GuardFault, address: string) => void;
  readonly #trusted: BlockList;
  /** The latest last. */
  readonly #sources = new Map<string, Source>();
  readonly #all: Source;

  /**
   * @param isKnown - We have sent requests to this address.
   * @param report - Told of each request that is refused, and of each ban.
   * @throws SipError `INVALID_ARGUMENT` naming the option, e.g. `guard.trusted`
   */
  constructor(
    options: SourceGuardOptions,
    clock: Clock,
    isKnown: (address: string) => boolean,
    report: (fault: GuardFault, address: string) => void,
  ) {
    const { strangers = 'drop', trusted = [] } = options;
    if (strangers !== 'drop' && strangers !== 'answer')
      throw invalidArgument('guard.strangers', 'must be drop or answer');
    const { perSource = 50, total = 1000, strikes = 20, banMs = 600_000 } = options;
    for (const [name, value] of Object.entries({ perSource, total, strikes, banMs }))
      checkInteger(`guard.${name}`, value, 1, 0x7fff_ffff);
    this.#options = { trusted, strangers, perSource, total, strikes, banMs };
    this.#trusted = blockListOf(trusted);
    this.#clock = clock;
    this.#isKnown = isKnown;
    this.#report = report;
    this.#all = newSource(2 * total, clock.now());
  }

  /**
   * May this request be looked at? `false`: it must get no answer at all.
   *
   * @param request - `undefined` for one that could not be read.
   */
  admits(address: string, request: SipRequest | undefined): boolean {
    if (this.#isTrusted(address)) return true;
    const { perSource, total, strangers } = this.#options;
    const nowMs = this.#clock.now();
    const source = this.#sourceOf(address, nowMs);
    // Whom we call ourselves is no scanner, whatever somebody writes in his name.
    const known = this.#isKnown(address);
    if (!known) {
      if (source.bannedUntilMs > nowMs) return this.#refuse('banned-source', address);
      const agent = request?.headers.get('user-agent')?.slice(0, 200) ?? '';
      if (SCANNERS.test(agent)) {
        this.#ban(address, source, nowMs);
        return this.#refuse('banned-source', address);
      }
    }
    if (!spend(source, perSource, nowMs)) return this.#refuse('rate-limit', address);
    if (known) return true;
    if (!spend(this.#all, total, nowMs)) return this.#refuse('rate-limit', address);
    if (strangers === 'drop' && request?.method !== 'INVITE' && request?.method !== 'CANCEL') {
      this.strike(address);
      return this.#refuse('stranger', address);
    }
    return true;
  }

  /** This address is that of a stranger, and strangers learn nothing. */
  meetsSilence(address: string): boolean {
    if (this.#options.strangers !== 'drop') return false;
    return !this.#isTrusted(address) && !this.#isKnown(address);
  }

  /** What this address asked for was malformed, or refused. */
  strike(address: string): void {
    if (this.#isTrusted(address) || this.#isKnown(address)) return;
    const nowMs = this.#clock.now();
    const source = this.#sourceOf(address, nowMs);
    if (source.bannedUntilMs > nowMs) return;
    if (nowMs - source.strikesSinceMs > STRIKE_WINDOW_MS) {
      source.strikes = 0;
      source.strikesSinceMs = nowMs;
    }
    if (++source.strikes >= this.#options.strikes) this.#ban(address, source, nowMs);
  }

  #ban(address: string, source: Source, nowMs: number): void {
    source.bannedUntilMs = nowMs + this.#options.banMs;
    source.strikes = 0;
    this.#report('source-banned', address);
  }

  #refuse(fault: GuardFault, address: string): false {
    this.#report(fault, address);
    return false;
  }

  #isTrusted(address: string): boolean {
    if (this.#options.trusted.length === 0 || isIP(address) === 0) return false;
    return this.#trusted.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
  }

  #sourceOf(address: string, nowMs: number): Source {
    const key = networkOf(address);
    const known = this.#sources.get(key);
    const source = known ?? newSource(2 * this.#options.perSource, nowMs);
    if (known !== undefined) this.#sources.delete(key);
    this.#sources.set(key, source);
    if (this.#sources.size > MAX_SOURCES) {
      for (const oldest of this.#sources.keys()) {
        this.#sources.delete(oldest);
        break;
      }
    }
    return source;
  }
}

function newSource(tokens: number, nowMs: number): Source {
  return { tokens, filledAtMs: nowMs, strikes: 0, strikesSinceMs: nowMs, bannedUntilMs: -Infinity };
}

/** A token bucket of two seconds. */
function spend(source: Source, perSecond: number, nowMs: number): boolean {
  const filled = source.tokens + ((nowMs - source.filledAtMs) / 1000) * perSecond;
  source.tokens = Math.min(2 * perSecond, filled);
  source.filledAtMs = nowMs;
  if (source.tokens < 1) return false;
  source.tokens--;
  return true;
}

/** Whoever has one address of IPv6 has 2⁶⁴ of them. */
function networkOf(address: string): string {
  if (!address.includes(':')) return address;
  const [left = '', right] = address.split('::');
  const before = left === '' ? [] : left.split(':');
  const after = right === undefined || right === '' ? [] : right.split(':');
  const zeros = Array.from({ length: Math.max(0, 8 - before.length - after.length) }, () => '0');
  return [...before, ...zeros, ...after].slice(0, 4).join(':');
}

function blockListOf(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const network of networks) {
    const [address = '', prefix] = network.split('/');
    const family = isIPv6(address) ? 'ipv6' : 'ipv4';
    try {
      if (isIP(address) === 0) throw new Error('no IP address');
      if (prefix === undefined) list.addAddress(address, family);
      else list.addSubnet(address, Number(prefix), family);
    } catch (cause) {
      throw invalidArgument('guard.trusted', `'${network}' is no address or network`, cause);
    }
  }
  return list;
}
