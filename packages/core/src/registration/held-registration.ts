// One account at its registrar: registered as long as it is held, refreshed in time, retried after failures.

import type { Registration, SipError } from '@sipcast/sip';
import { SafeEmitter } from '../emitter.ts';
import { GatewayError } from '../errors.ts';
import type { Logger } from '../logger.ts';
import type {
  AccountRegistration,
  RegistrationAccount,
  RegistrationEvents,
  RegistrationState,
  RegistrationView,
} from './account-registration.ts';

/** What a registration needs: the registrar, the clock, randomness and the log. */
export interface RegistrationDeps {
  /** `register` of the SIP user agent. */
  readonly register: (account: RegistrationAccount) => Promise<Registration>;
  readonly logger: Logger;
  /** Wall clock in milliseconds. */
  readonly wallClock: () => number;
  /** 0 ≤ n < 1. */
  readonly random: () => number;
  /** Calls back after this many milliseconds, at most 2³¹ − 1. Returns a function that cancels it. */
  readonly startTimer: (delayMs: number, callback: () => void) => () => void;
}

const LONGEST_REFRESH_MS = 24 * 3_600_000;
/** RFC 5626 §4.5: base-time when all flows have failed, and max-time. */
const RETRY_BASE_MS = 30_000;
const RETRY_MAX_MS = 1_800_000;

/** A binding is refreshed after 75 to 85 % of its lifetime: time is left for a retry, and not all bindings refresh at once. */
export function refreshDelayMs(expiresSeconds: number, random: number): number {
  const delayMs = expiresSeconds * 1000 * (0.75 + 0.1 * random);
  return Math.min(LONGEST_REFRESH_MS, Math.max(1000, delayMs));
}

/**
 * RFC 5626 §4.5: the wait doubles with each failure, up to half an hour; the result is a random 50 to 100 % of it.
 *
 * @param failures - In a row, 1 at least.
 */
export function retryDelayMs(failures: number, random: number): number {
  const waitMs = Math.min(RETRY_MAX_MS, RETRY_BASE_MS * 2 ** Math.min(failures, 30));
  return waitMs * (0.5 + 0.5 * random);
}

/** A registration as the gateway drives it. */
export class HeldRegistration
  extends SafeEmitter<RegistrationEvents>
  implements AccountRegistration
{
  readonly #account: RegistrationAccount;
  readonly #deps: RegistrationDeps;
  readonly #onReleased: () => void;
  #state: RegistrationState = 'registering';
  #binding: Registration | undefined;
  #problem: { readonly sipStatus: number | null; readonly text: string } | undefined;
  #failures = 0;
  #holders = 0;
  #stands = false;
  #attempt: Promise<void> | undefined;
  #cancelTimer: (() => void) | undefined;
  #expiresAtMs: number | undefined;
  #nextAttemptAtMs: number | undefined;
  #closing: Promise<void> | undefined;

  /** @param onReleased - Called once, when nothing holds the registration: it is about to close and can no longer be held. */
  constructor(account: RegistrationAccount, deps: RegistrationDeps, onReleased: () => void) {
    super(deps.logger);
    this.#account = account;
    this.#deps = deps;
    this.#onReleased = onReleased;
  }

  get state(): RegistrationState {
    return this.#state;
  }

  view(): RegistrationView {
    return {
      account: this.#account.from.uri,
      registrar: this.#account.registrar,
      state: this.#state,
      sipStatus: this.#problem?.sipStatus ?? null,
      problem: this.#problem?.text ?? null,
      contact: this.#binding?.contact ?? null,
      expiresAt: isoOrNull(this.#expiresAtMs),
      nextAttemptAt: isoOrNull(this.#nextAttemptAtMs),
    };
  }

  async registered(): Promise<void> {
    if (this.#closing !== undefined)
      throw new GatewayError('GATEWAY_CLOSED', 'The registration has ended');
    // A binding that could not be refreshed is still valid until it expires.
    if (this.#binding !== undefined && this.#deps.wallClock() < (this.#expiresAtMs ?? 0)) return;
    await (this.#attempt ??= this.#try());
  }

  /** Keeps the account registered until the returned function is called. If it was the last holder, that resolves after the un-REGISTER. */
  hold(): () => Promise<void> {
    this.#holders++;
    let held = true;
    return async () => {
      if (held) this.#holders--;
      held = false;
      if (this.#holders === 0) await this.#end();
    };
  }

  /** For `gateway.accounts.register`: held until `close`. */
  stand(): void {
    if (this.#stands) return;
    this.#stands = true;
    this.#holders++;
    this.#begin();
  }

  async close(): Promise<void> {
    if (this.#stands) this.#holders--;
    this.#stands = false;
    if (this.#holders === 0) await this.#end();
  }

  #begin(): void {
    this.registered().catch(() => {
      // Ignored: events report the failure.
    });
  }

  async #try(): Promise<void> {
    this.#stopTimer();
    const binding = this.#binding;
    // While a binding is valid, a refresh does not change the state.
    if (binding === undefined) this.#move('registering');
    try {
      if (binding === undefined) {
        const made = await this.#deps.register(this.#account);
        this.#binding = made;
      } else await binding.refresh();
      this.#attempt = undefined;
      this.#succeeded();
    } catch (error) {
      this.#attempt = undefined;
      this.#failed(error);
      throw error;
    }
  }

  #succeeded(): void {
    const { expiresSeconds = 0 } = this.#binding ?? {};
    this.#failures = 0;
    this.#problem = undefined;
    this.#expiresAtMs = this.#deps.wallClock() + expiresSeconds * 1000;
    this.#again(refreshDelayMs(expiresSeconds, this.#deps.random()));
    this.#move('registered');
  }

  #failed(error: unknown): void {
    const { code, statusCode, retryAfterSeconds = 0 } = error as Partial<SipError>;
    const text = error instanceof Error ? error.message : String(error);
    this.#problem = { sipStatus: statusCode ?? null, text };
    this.#failures++;
    // A wrong password or name stays wrong, and retries may lock the account: retry rarely.
    const hopeless = code === 'AUTH_FAILED' || statusCode === 403 || statusCode === 404;
    const waitMs = retryDelayMs(hopeless ? 30 : this.#failures, this.#deps.random());
    // RFC 3261 §20.33: not before Retry-After, but after half an hour at the latest.
    const leastMs = Math.min(RETRY_MAX_MS, retryAfterSeconds * 1000);
    const leftMs = (this.#expiresAtMs ?? 0) - this.#deps.wallClock();
    if (this.#binding !== undefined && leftMs > 0) {
      // The binding is still valid: retry before it expires.
      this.#again(Math.max(leastMs, Math.min(waitMs, Math.max(5000, leftMs / 2))));
      if (leastMs > leftMs) this.#awaitLapse(leftMs);
      this.#deps.logger.warn(`${this.#account.from.uri}: registration not refreshed: ${text}`);
      return;
    }
    this.#again(Math.max(leastMs, waitMs));
    this.#lose();
  }

  /** Retry-After is later than the end of the binding. */
  #awaitLapse(leftMs: number): void {
    const cancelAttempt = this.#cancelTimer;
    if (cancelAttempt === undefined) return;
    const cancelLapse = this.#deps.startTimer(leftMs, () => this.#lose());
    this.#cancelTimer = () => {
      cancelLapse();
      cancelAttempt();
    };
  }

  #lose(): void {
    this.#binding?.abandon();
    this.#binding = undefined;
    this.#expiresAtMs = undefined;
    this.#move('failed');
  }

  #again(delayMs: number): void {
    this.#stopTimer();
    if (this.#holders === 0 || this.#state === 'closed') return;
    this.#nextAttemptAtMs = this.#deps.wallClock() + delayMs;
    this.#cancelTimer = this.#deps.startTimer(delayMs, () => {
      this.#attempt ??= this.#try();
      this.#attempt.catch(() => {
        // Ignored: events report the failure.
      });
    });
  }

  #stopTimer(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#nextAttemptAtMs = undefined;
  }

  #end(): Promise<void> {
    this.#closing ??= this.#unregister();
    return this.#closing;
  }

  async #unregister(): Promise<void> {
    this.#onReleased();
    this.#stopTimer();
    await this.#attempt?.catch(() => {
      // Ignored: events report the failure.
    });
    this.#stopTimer();
    const binding = this.#binding;
    this.#binding = undefined;
    try {
      await binding?.unregister();
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      this.#deps.logger.warn(`${this.#account.from.uri}: not un-registered: ${text}`);
    }
    this.#expiresAtMs = undefined;
    this.#move('closed');
  }

  #move(state: RegistrationState): void {
    const previous = this.#state;
    if (state === previous) return;
    this.#state = state;
    const reason = this.#problem === undefined ? '' : ` (${this.#problem.text})`;
    this.#deps.logger.info(`${this.#account.from.uri}: registration ${state}${reason}`);
    this.emit('state', this.view(), previous);
  }
}

function isoOrNull(ms: number | undefined): string | null {
  return ms === undefined ? null : new Date(ms).toISOString();
}
