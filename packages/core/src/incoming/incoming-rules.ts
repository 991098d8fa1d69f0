// Who may call us, and what happens to the call: declarative rules, matched against an INVITE. Pure functions.

import { BlockList, isIP } from 'node:net';
import { resolveStartup } from '../call/startup.ts';
import type { ResolvedStartup } from '../call/startup.ts';
import { GatewayError, invalidArgument } from '../errors.ts';
import type { GatewayErrorCode } from '../errors.ts';
import type { OutputFormOptions } from '../stream/output-form.ts';

/** What happens to incoming calls. Without rules and without a listener for `incomingCall` they are not answered. */
export interface IncomingOptions {
  /** The first that matches decides. */
  readonly rules: readonly IncomingRule[];
  /** Digest realm of rules with `auth`. Default `sipcast`. */
  readonly realm?: string;
}

/** One rule: which callers it matches, and what happens to the call. Exactly one of `accept` and `reject`. */
export interface IncomingRule {
  /** Default: all callers. */
  readonly match?: IncomingMatch;
  /** The caller must know the password of one of these users (digest). */
  readonly auth?: {
    readonly users: Readonly<Record<string, string>>;
    /** Algorithms of the challenge, preferred first. Default SHA-256 and MD5; MD5 alone for phones that fail on the other. */
    readonly algorithms?: readonly ('SHA-256' | 'MD5')[];
  };
  /** Takes the call. */
  readonly accept?: IncomingAccept;
  /** Refuses it: a SIP status, 300–699. Default phrase: `Declined`. */
  readonly reject?: { readonly code: number; readonly reason?: string };
}

/** All given conditions must match. `*` matches anything; case is ignored. */
export interface IncomingMatch {
  /** User part of the Request-URI. */
  readonly calledUser?: string;
  /** Host of the Request-URI. */
  readonly calledDomain?: string;
  /** User part of From: what the caller claims to be. */
  readonly callerUser?: string;
  /** Host of From. */
  readonly callerDomain?: string;
  /** Address that the INVITE came from: IP addresses or `address/prefix`. */
  readonly source?: string | readonly string[];
  /** Values of headers, by name. */
  readonly headers?: Readonly<Record<string, string>>;
}

/**
 * How an incoming call is taken: the fields of a startup that apply to it. In `toStream`, `rtmpStream` and `rtmpUrl`
 * `{called}`, `{caller}` and `{callId}` are replaced; characters that a stream name cannot contain become `_`.
 */
export interface IncomingAccept extends OutputFormOptions {
  readonly toStream?: string;
  readonly rtmpUrl?: string;
  readonly rtmpStream?: string;
  /** `false`: we only receive. Default true. */
  readonly hasAudio?: boolean;
  /** As `hasAudio`, for video. Default true. */
  readonly hasVideo?: boolean;
  readonly appKey?: string;
  /** Default: the gateway's `offer.srtp`. */
  readonly srtp?: 'off' | 'optional' | 'required';
  readonly record?: boolean | { readonly dir: string };
  readonly custom?: Readonly<Record<string, unknown>>;
}

/** What an INVITE says about its caller and callee. */
export interface IncomingFacts {
  readonly callId: string;
  readonly called: { readonly user: string; readonly host: string };
  readonly caller: {
    readonly user: string;
    readonly host: string;
    readonly displayName: string;
  };
  /** IP address that it came from. */
  readonly source: string;
  /** The first value of a header. */
  header(name: string): string | undefined;
}

/** Another call uses a name of this one. */
const IN_USE: ReadonlySet<GatewayErrorCode> = new Set([
  'CALL_EXISTS',
  'STREAM_EXISTS',
  'RTMP_STREAM_EXISTS',
]);
/** The gateway has no room for the call at present. */
const FULL: ReadonlySet<GatewayErrorCode> = new Set([
  'TOO_MANY_CALLS',
  'DRAINING',
  'OVERLOADED',
  'NO_PORTS',
  'TRANSCODERS_BUSY',
  'TRANSCODER_LOST',
  'GATEWAY_CLOSED',
]);

/** Rules, compiled once. */
export class IncomingRules {
  readonly #rules: readonly {
    readonly rule: IncomingRule;
    matches(facts: IncomingFacts): boolean;
  }[];

  /** @throws GatewayError `INVALID_ARGUMENT` naming e.g. `incoming.rules.0.match.source` */
  constructor(options: IncomingOptions) {
    const { rules } = options;
    if (!Array.isArray(rules)) throw invalidArgument('incoming.rules', 'must be an array');
    this.#rules = options.rules.map((rule, index) => compile(rule, `incoming.rules.${index}`));
  }

  /** The first rule that matches. */
  find(facts: IncomingFacts): IncomingRule | undefined {
    return this.#rules.find((one) => one.matches(facts))?.rule;
  }
}

/**
 * Checks the rules, and that a call could be taken by each `accept`.
 *
 * @throws GatewayError `INVALID_ARGUMENT` naming e.g. `incoming.rules.0.accept.rtmpUrl`
 */
export function requireIncomingOptions(options: IncomingOptions): void {
  void new IncomingRules(options);
  for (const [index, { accept }] of options.rules.entries())
    if (accept !== undefined) tryOut(accept, `incoming.rules.${index}.accept`);
}

/** Replaces the placeholders of a rule's names. */
export function fillIn(accept: IncomingAccept, facts: IncomingFacts): IncomingAccept {
  const values: Readonly<Record<string, string>> = {
    called: facts.called.user,
    caller: facts.caller.user,
    callId: facts.callId,
  };
  const fill = (text: string): string =>
    text.replaceAll(/\{(called|caller|callId)\}/g, (_, name: string) =>
      (values[name] ?? '').replaceAll(/[^A-Za-z0-9~@+:-]/g, '_'),
    );
  const { toStream, rtmpUrl, rtmpStream } = accept;
  return {
    ...accept,
    ...(toStream !== undefined && { toStream: fill(toStream) }),
    ...(rtmpUrl !== undefined && { rtmpUrl: fill(rtmpUrl) }),
    ...(rtmpStream !== undefined && { rtmpStream: fill(rtmpStream) }),
  };
}

/**
 * Resolves an incoming call as if it had been placed.
 *
 * @throws GatewayError `INVALID_ARGUMENT` naming the field
 */
export function resolveIncoming(accept: IncomingAccept, facts: IncomingFacts): ResolvedStartup {
  const { called, caller, callId } = facts;
  const host = called.host.includes(':') ? `[${called.host}]` : called.host;
  const callee = called.user === '' ? called.host : called.user;
  const resolved = resolveStartup(
    {
      ...accept,
      callId,
      callee: `sip:${host}`,
      ...(caller.user !== '' && { sipLogin: caller.user }),
      visibleName: caller.displayName === '' ? caller.user : caller.displayName,
    },
    () => callId,
  );
  return { ...resolved, incoming: true, callee };
}

/** A typical call, to try rules with. */
const SAMPLE: IncomingFacts = {
  callId: 'sample',
  called: { user: 'called', host: 'localhost' },
  caller: { user: 'caller', host: 'localhost', displayName: '' },
  source: '127.0.0.1',
  header: () => undefined,
};

/** Finds mistakes at the start that would otherwise refuse every call. */
function tryOut(accept: IncomingAccept, place: string): void {
  if (typeof accept !== 'object' || accept === null)
    throw invalidArgument(place, 'must be an object');
  for (const field of ['toStream', 'rtmpUrl', 'rtmpStream'] as const) {
    if (accept[field] !== undefined && typeof accept[field] !== 'string')
      throw invalidArgument(`${place}.${field}`, 'must be a text');
  }
  try {
    resolveIncoming(fillIn(accept, SAMPLE), SAMPLE);
  } catch (cause) {
    const { field, message } = cause as { field?: string; message: string };
    if (field === undefined) throw cause;
    throw new GatewayError('INVALID_ARGUMENT', `${place}.${message}`, {
      field: `${place}.${field}`,
      cause,
    });
  }
}

/** The SIP response to a call that the gateway cannot take. */
export function refusalOf(code: GatewayErrorCode | undefined): {
  readonly statusCode: number;
  readonly reasonPhrase: string;
  readonly headers: readonly (readonly [string, string])[];
} {
  if (code !== undefined && IN_USE.has(code))
    return { statusCode: 486, reasonPhrase: 'Busy Here', headers: [] };
  if (code !== undefined && FULL.has(code)) {
    const headers = [['retry-after', '10']] as const;
    return { statusCode: 503, reasonPhrase: 'Service Unavailable', headers };
  }
  return { statusCode: 500, reasonPhrase: 'Server Internal Error', headers: [] };
}

function compile(
  rule: IncomingRule,
  field: string,
): { readonly rule: IncomingRule; matches(facts: IncomingFacts): boolean } {
  if (typeof rule !== 'object' || rule === null) throw invalidArgument(field, 'must be an object');
  const { match = {}, accept, reject, auth } = rule;
  if ((accept === undefined) === (reject === undefined))
    throw invalidArgument(field, 'must have one of accept and reject');
  const code = reject?.code ?? 603;
  if (!Number.isInteger(code) || code < 300 || code > 699)
    throw invalidArgument(`${field}.reject.code`, 'must be an integer from 300 to 699');
  if (auth !== undefined) {
    checkUsers(auth.users, `${field}.auth.users`);
    checkAlgorithms(auth.algorithms, `${field}.auth.algorithms`);
  }
  const source = sourcesIn(match.source, `${field}.match.source`);
  const texts = (['calledUser', 'calledDomain', 'callerUser', 'callerDomain'] as const).map(
    (name) => [name, pattern(match[name], `${field}.match.${name}`)] as const,
  );
  const headers = Object.entries(match.headers ?? {}).map(
    ([name, value]) => [name, pattern(value, `${field}.match.headers.${name}`)] as const,
  );
  const read: Readonly<Record<(typeof texts)[number][0], (facts: IncomingFacts) => string>> = {
    calledUser: ({ called }) => called.user,
    calledDomain: ({ called }) => called.host,
    callerUser: ({ caller }) => caller.user,
    callerDomain: ({ caller }) => caller.host,
  };
  return {
    rule,
    matches: (facts) =>
      texts.every(([name, wanted]) => wanted?.test(read[name](facts)) ?? true) &&
      headers.every(([name, wanted]) => {
        const value = facts.header(name);
        return value !== undefined && (wanted?.test(value) ?? true);
      }) &&
      (source === undefined || isIn(source, facts.source)),
  };
}

/** A text with `*`, as an expression without nested repetition. */
function pattern(text: unknown, field: string): RegExp | undefined {
  if (text === undefined) return undefined;
  if (typeof text !== 'string' || text === '' || text.length > 256)
    throw invalidArgument(field, 'must be a text of 1 to 256 characters');
  const parts = text.split(/\*+/).map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  if (parts.length > 5) throw invalidArgument(field, 'must hold at most four *');
  return new RegExp(`^${parts.join('.*?')}$`, 'is');
}

function sourcesIn(source: IncomingMatch['source'], field: string): BlockList | undefined {
  if (source === undefined) return undefined;
  const list = new BlockList();
  for (const one of typeof source === 'string' ? [source] : source) {
    const match = /^([0-9A-Fa-f.:]+)(?:\/(\d{1,3}))?$/.exec(one);
    const family = isIP(match?.[1] ?? '');
    const prefix = match?.[2];
    const bits = family === 6 ? 128 : 32;
    if (match?.[1] === undefined || family === 0 || Number(prefix ?? 0) > bits)
      throw invalidArgument(field, `has no address or network: ${JSON.stringify(one)}`);
    list.addSubnet(match[1], Number(prefix ?? bits), family === 6 ? 'ipv6' : 'ipv4');
  }
  return list;
}

function isIn(list: BlockList, address: string): boolean {
  const family = isIP(address);
  return family !== 0 && list.check(address, family === 6 ? 'ipv6' : 'ipv4');
}

function checkAlgorithms(algorithms: unknown, field: string): void {
  if (algorithms === undefined) return;
  const known = (one: unknown): boolean => one === 'SHA-256' || one === 'MD5';
  if (!Array.isArray(algorithms) || algorithms.length === 0 || !algorithms.every(known))
    throw invalidArgument(field, 'must be a list of SHA-256 and MD5');
}

function checkUsers(users: unknown, field: string): void {
  const isRecord = typeof users === 'object' && users !== null && !Array.isArray(users);
  const entries = isRecord ? Object.entries(users) : [];
  if (entries.length === 0) throw invalidArgument(field, 'must name at least one user');
  for (const [name, password] of entries as [string, unknown][]) {
    if (typeof password !== 'string' || password.length < 8)
      throw invalidArgument(`${field}.${name}`, 'must be a password of at least 8 characters');
  }
}
