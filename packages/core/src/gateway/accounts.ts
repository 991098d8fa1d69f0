// The accounts of a gateway as applications see them.

import type {
  AccountRegistration,
  RegistrationView,
} from '../registration/account-registration.ts';
import type { AccountRequest } from './account-request.ts';

/** See `CallGateway.accounts`. */
export interface Accounts {
  /**
   * Keeps an account registered, so that calls can come in, until its `close`; the same for the same account. Calls of that
   * account share it.
   * @throws GatewayError `INVALID_ARGUMENT`, `GATEWAY_CLOSED`.
   */
  register(account: AccountRequest): AccountRegistration;
  /** Accounts that are registered or are to be, for calls or because of `register`. */
  list(): readonly RegistrationView[];
}
