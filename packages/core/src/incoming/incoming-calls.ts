// Decides about incoming calls: by the rules, else by a listener, else by silence.

import { DigestServer, parseNameAddress, parseUri } from '@sipcast/sip';
import type { IncomingInvite, InviteDecision } from '@sipcast/sip';
import { describe } from '../call/call-ending.ts';
import type { FaultLog } from '../fault-log.ts';
import type { IncomingCall } from './incoming-call.ts';
import { fillIn, IncomingRules } from './incoming-rules.ts';
import type { IncomingFacts, IncomingOptions, IncomingRule } from './incoming-rules.ts';
import { childLogger } from '../logger.ts';
import type { Logger } from '../logger.ts';
import { PendingInvite } from './pending-invite.ts';
import type { LaunchIncoming } from './pending-invite.ts';
import { UnansweredChallenges } from './unanswered-challenges.ts';

/** What the gateway does with callers. */
export interface IncomingCallsHandler {
  /** Makes the call that takes an INVITE. */
  readonly launch: LaunchIncoming;
  /** Whether a listener waits for calls that match no rule. */
  isAwaited(): boolean;
  /** Hands the call to the listeners. */
  onIncoming(incoming: IncomingCall): void;
  /** Whether the gateway no longer takes calls. */
  isClosed(): boolean;
}

/** What deciding needs. */
export interface IncomingCallsDeps {
  /** Monotonic milliseconds. */
  readonly now: () => number;
  readonly faults: FaultLog;
  readonly logger: Logger;
}

/** Admits callers. */
export class IncomingCalls {
  readonly #rules: IncomingRules | undefined;
  readonly #realm: string;
  readonly #handler: IncomingCallsHandler;
  readonly #deps: IncomingCallsDeps;
  readonly #unanswered: UnansweredChallenges;
  readonly #digests = new Map<IncomingRule, DigestServer>();

  /** @throws GatewayError `INVALID_ARGUMENT` naming the option */
  constructor(
    options: IncomingOptions | undefined,
    handler: IncomingCallsHandler,
    deps: IncomingCallsDeps,
  ) {
    this.#handler = handler;
    this.#deps = deps;
    this.#rules = options === undefined ? undefined : new IncomingRules(options);
    this.#unanswered = new UnansweredChallenges({
      now: deps.now,
      after: (delayMs, callback) => void setTimeout(callback, delayMs).unref(),
      warn: (problem) => childLogger(deps.logger, { area: 'sip' }).warn(problem),
    });
    this.#realm = options?.realm ?? 'sipcast';
  }

  /** Whether a rule matches this caller, or a listener waits for any caller. */
  recognizes(invite: Pick<IncomingInvite, 'request' | 'source'>): boolean {
    const facts = this.#factsOf(invite);
    return (
      this.#handler.isAwaited() || (facts !== undefined && this.#rules?.find(facts) !== undefined)
    );
  }

  /** Decides about an INVITE; see `SipUserAgentHandler.onInvite`. */
  decide(invite: IncomingInvite): InviteDecision {
    const { source, request } = invite;
    if (this.#handler.isClosed())
      return {
        statusCode: 503,
        reasonPhrase: 'Service Unavailable',
        headers: [['retry-after', '60']],
      };
    const facts = this.#factsOf(invite);
    if (facts === undefined) return { statusCode: 400, reasonPhrase: 'Bad From or Request-URI' };
    const rule = this.#rules?.find(facts);
    if (rule?.auth !== undefined) {
      const judged = this.#digestOf(rule).judge(request, source.address);
      if (judged.outcome === 'locked') return this.#refuse('sip-caller-locked', facts);
      if (judged.outcome === 'challenge') {
        if (judged.reason === 'missing') this.#unanswered.challenged(source.address, rule);
        else this.#unanswered.answered(source.address);
        if (judged.reason === 'wrong') this.#deps.faults.count('sip-caller-auth', source.address);
        return { statusCode: 401, reasonPhrase: 'Unauthorized', headers: judged.headers };
      }
    }
    this.#unanswered.answered(source.address);
    if (rule?.reject !== undefined) {
      this.#deps.faults.count('sip-caller-rejected', source.address);
      return {
        statusCode: rule.reject.code,
        reasonPhrase: rule.reject.reason ?? 'Declined',
      };
    }
    if (rule?.accept !== undefined) {
      const incoming = new PendingInvite(invite, facts, this.#handler.launch);
      incoming.accept(fillIn(rule.accept, facts)).catch((error: unknown) => {
        const about = { area: 'sip', callId: facts.callId } as const;
        const logger = childLogger(this.#deps.logger, about);
        logger.warn(`an incoming call was refused: ${describe(error)}`);
      });
      return 'taken';
    }
    return this.#offer(invite, facts);
  }

  #offer(invite: IncomingInvite, facts: IncomingFacts): InviteDecision {
    // Only taken, and so answered with 100, if there is a listener.
    if (this.#handler.isAwaited()) {
      this.#handler.onIncoming(new PendingInvite(invite, facts, this.#handler.launch));
      return 'taken';
    }
    return this.#refuse('sip-unknown-caller', facts);
  }

  /** RFC 3261 §26: an unknown caller learns nothing, not even that something listens here. */
  #refuse(fault: string, facts: IncomingFacts): 'drop' {
    this.#deps.faults.count(fault, facts.source);
    return 'drop';
  }

  #digestOf(rule: IncomingRule): DigestServer {
    const known = this.#digests.get(rule);
    if (known !== undefined) return known;
    const users = new Map(Object.entries(rule.auth?.users ?? {}));
    const digest = new DigestServer({
      realm: this.#realm,
      passwordOf: (username) => users.get(username),
      clock: { now: this.#deps.now },
      ...(rule.auth?.algorithms && { algorithms: rule.auth.algorithms }),
    });
    this.#digests.set(rule, digest);
    return digest;
  }

  #factsOf({
    request,
    source,
  }: Pick<IncomingInvite, 'request' | 'source'>): IncomingFacts | undefined {
    try {
      const called = parseUri(request.uri);
      const from = parseNameAddress(request.headers.get('from') ?? '');
      const caller = parseUri(from.uri);
      return {
        callId: request.headers.get('call-id') ?? '',
        called: { user: called.user ?? '', host: called.host },
        caller: {
          user: caller.user ?? '',
          host: caller.host,
          displayName: from.displayName ?? '',
        },
        source: source.address,
        header: (name) => request.headers.get(name),
      };
    } catch {
      return undefined;
    }
  }
}
