// Which sources may send requests outside our calls, and how often: rate limits, bans for scanners, silence for
// strangers. Responses and requests in dialogs are not checked, so a forged source cannot cut off a call.

import { BlockList, isIP, isIPv6 } from 'node:net';
import { checkInteger, invalidArgument } from '../message/arguments.ts';
import type { SipRequest } from '../message/message.ts';
import type { Clock } from '../timers.ts';

/** How to treat strangers. All have defaults. */
export interface SourceGuardOptions {
  /** Addresses, or networks like `10.0.0.0/8`, that are exempt from all limits and are not strangers. Default: none. */
  readonly trusted?: readonly string[];
  /**
   * Strangers are all addresses that we have never sent a request to. `drop`: leave their requests unanswered, except
   * INVITEs that `onInvite` accepts or refuses. `answer`: answer all. Default `drop`.
   */
  readonly strangers?: 'drop' | 'answer';
  /** Sustained requests per second from one address; twice as many in a burst. Default 50. */
  readonly perSource?: number;
  /** The same limit for all strangers together. Default 1,000. */
  readonly total?: number;
  /** Malformed or refused requests within a minute before an address is banned. Default 20. */
  readonly strikes?: number;
  /** Duration of a ban. Default 600,000 ms. */
  readonly banMs?: number;
}

/** Why a request was not answered. */
export type GuardFault =
  /** Too many requests from that address, or from strangers in total. */
  | 'rate-limit'
  /** The address is banned for a while, after too many bad requests or as a known scanner. Reported once per ban. */
  | 'source-banned'
  /** A request from a banned address. */
  | 'banned-source'
  /** A request from an address that we have no contact with. */
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
/** User-Agent names of scanners that do not disguise themselves. */
const SCANNERS =
  /friendly-scanner|sipvicious|sundayddr|sip-?scan|sipcli|vaxsip|iwar|sipsscuser|siparmyknife|smap\b|pplsip|sip-?ptk|cloudphone-scan/i;

/** Decides about requests by their source, with bounded memory and in constant time. */
export class SourceGuard {
  readonly #options: Required<SourceGuardOptions>;
  readonly #clock: Clock;
  readonly #isKnown: (address: string) => boolean;
  readonly #report: (fault: GuardFault, address: string) => void;
  readonly #trusted: BlockList;
  /** Most recent last. */
  readonly #sources = new Map<string, Source>();
  readonly #all: Source;

  /**
   * @param isKnown - Whether we have sent requests to this address.
   * @param report - Called for each refused request and each ban.
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
   * Whether this request may be processed. `false`: it must get no answer at all.
   *
   * @param request - `undefined` for one that could not be parsed.
   */
  admits(address: string, request: SipRequest | undefined): boolean {
    if (this.#isTrusted(address)) return true;
    const { perSource, total, strangers } = this.#options;
    const nowMs = this.#clock.now();
    const source = this.#sourceOf(address, nowMs);
    // A peer that we call is not a scanner, whatever arrives under its forged address.
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

  /** Whether this address is a stranger to which we reveal nothing. */
  meetsSilence(address: string): boolean {
    if (this.#options.strangers !== 'drop') return false;
    return !this.#isTrusted(address) && !this.#isKnown(address);
  }

  /** Records a malformed or refused request from this address. */
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

/** A token bucket with a capacity of two seconds. */
function spend(source: Source, perSecond: number, nowMs: number): boolean {
  const filled = source.tokens + ((nowMs - source.filledAtMs) / 1000) * perSecond;
  source.tokens = Math.min(2 * perSecond, filled);
  source.filledAtMs = nowMs;
  if (source.tokens < 1) return false;
  source.tokens--;
  return true;
}

/** The owner of one IPv6 address usually has 2⁶⁴ of them. */
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
      if (isIP(address) === 0) throw new Error('not an IP address');
      if (prefix === undefined) list.addAddress(address, family);
      else list.addSubnet(address, Number(prefix), family);
    } catch (cause) {
      throw invalidArgument('guard.trusted', `'${network}' is not an address or network`, cause);
    }
  }
  return list;
}
