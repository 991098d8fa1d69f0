// The accounts of a gateway: one registration for each, shared by the calls and applications that need it.

import type { Registration } from '@sipcast/sip';
import type {
  RegistrationAccount,
  RegistrationState,
  RegistrationView,
} from './account-registration.ts';
import { HeldRegistration } from './held-registration.ts';
import type { RegistrationDeps } from './held-registration.ts';

/** All registrations of a gateway. */
export class Registrations {
  readonly #deps: RegistrationDeps;
  readonly #onState: (view: RegistrationView, previous: RegistrationState) => void;
  /** By the fields that identify an account. */
  readonly #byKey = new Map<string, HeldRegistration>();
  /** Un-REGISTERs in progress, by the same key. */
  readonly #ending = new Map<string, Promise<void>>();

  /** @param onState - Called at each change of each registration. */
  constructor(
    deps: Omit<RegistrationDeps, 'startTimer'> & Partial<RegistrationDeps>,
    onState: (view: RegistrationView, previous: RegistrationState) => void,
  ) {
    const { register, logger, wallClock, random, startTimer = systemTimer } = deps;
    this.#deps = { register, logger, wallClock, random, startTimer };
    this.#onState = onState;
  }

  /** The registrations that are held. */
  views(): RegistrationView[] {
    return [...this.#byKey.values()].map((registration) => registration.view());
  }

  /**
   * For one call: resolves when the account is registered. `unregister` releases it; the last release un-REGISTERs.
   *
   * @param onState - Called with the state now and at each change, until the registration is released.
   * @param signal - Also releases it, even while it is pending: a binding that the registrar confirms later is removed.
   * @throws SipError (rejection) as the SIP package's `register`
   */
  async acquire(
    account: RegistrationAccount,
    onState: (view: RegistrationView) => void = () => {},
    signal?: AbortSignal,
  ): Promise<Pick<Registration, 'unregister'>> {
    const registration = this.#of(account);
    const hold = registration.hold();
    onState(registration.view());
    registration.on('state', onState);
    const release = (): Promise<void> => {
      registration.off('state', onState);
      return hold();
    };
    signal?.addEventListener('abort', () => void release(), { once: true });
    try {
      await registration.registered();
    } catch (error) {
      void release();
      throw error;
    }
    return { unregister: release };
  }

  /** Holds an account until `close` of the result; the same result for the same account. */
  stand(account: RegistrationAccount): HeldRegistration {
    const registration = this.#of(account);
    registration.stand();
    return registration;
  }

  /** Un-REGISTERs all. Never rejects. */
  async close(): Promise<void> {
    const closing = [...this.#byKey.values()].map((registration) => registration.close());
    await Promise.all([...closing, ...this.#ending.values()]);
  }

  #of(account: RegistrationAccount): HeldRegistration {
    const key = keyOf(account);
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    // Both concern the same contact: the old binding must be removed before the new one is made.
    const before = this.#ending.get(key);
    const register: RegistrationDeps['register'] = async (one) => {
      await before;
      return this.#deps.register(one);
    };
    const registration = new HeldRegistration(account, { ...this.#deps, register }, () => {
      this.#byKey.delete(key);
      const ended = new Promise<void>((resolve) => {
        registration.on('state', ({ state }) => {
          if (state === 'closed') resolve();
        });
      });
      this.#ending.set(key, ended);
      void ended.then(() => {
        if (this.#ending.get(key) === ended) this.#ending.delete(key);
      });
    });
    registration.on('state', (view, previous) => this.#onState(view, previous));
    this.#byKey.set(key, registration);
    return registration;
  }
}

function systemTimer(delayMs: number, callback: () => void): () => void {
  const timer = setTimeout(callback, delayMs);
  return () => clearTimeout(timer);
}

function keyOf(account: RegistrationAccount): string {
  const { registrar, from, transport, credentials, outboundProxy } = account;
  const { host, port } = outboundProxy ?? {};
  const { username, password, realms } = credentials ?? {};
  return JSON.stringify([registrar, from.uri, transport, host, port, username, password, realms]);
}
