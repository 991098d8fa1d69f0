// The registration of an account as applications see it.

import type { SipUserAgent } from '@sipcast/sip';
import type { Emitter } from '../emitter.ts';

/** `registering`: no answer yet. `failed`: see `problem`; retried while the registration is held. */
export type RegistrationState = 'registering' | 'registered' | 'failed' | 'closed';

/** A snapshot of a registration. */
export interface RegistrationView {
  /** URI of the account. */
  readonly account: string;
  readonly registrar: string;
  readonly state: RegistrationState;
  /** SIP status of the last failure, if there was one. */
  readonly sipStatus: number | null;
  readonly problem: string | null;
  /** Our binding, e.g. `<sip:alice@192.0.2.1:5060>`. */
  readonly contact: string | null;
  /** ISO 8601: when the binding expires unless it is refreshed. */
  readonly expiresAt: string | null;
  /** ISO 8601: when it is refreshed or retried. */
  readonly nextAttemptAt: string | null;
}

/** Events of a registration. */
export interface RegistrationEvents {
  /** After each change of the state. */
  state: (view: RegistrationView, previous: RegistrationState) => void;
}

/** What to register: `RegisterOptions` of the SIP package. */
export type RegistrationAccount = Parameters<SipUserAgent['register']>[0];

/** One account at its registrar. Made by `gateway.accounts.register`. */
export interface AccountRegistration extends Emitter<RegistrationEvents> {
  readonly state: RegistrationState;
  /** A snapshot. */
  view(): RegistrationView;
  /**
   * Resolves when the account is registered; at once if it is.
   * @throws (rejection) SipError: why the current attempt failed; the next one follows by itself. GatewayError `GATEWAY_CLOSED`
   * after the end.
   */
  registered(): Promise<void>;
  /** Un-REGISTERs, unless calls need the account. Idempotent; never rejects. */
  close(): Promise<void>;
}

/** `info` of a call that needs the account, before the call itself has any. */
export function registrationInfo({ state, problem }: RegistrationView): string {
  if (state === 'registering') return 'Registering';
  if (state === 'registered') return 'Registered';
  return state === 'failed' ? `Registration failed: ${problem ?? 'no answer'}` : 'Unregistered';
}
