// A request to keep an account registered, and what it resolves to.

import { resolveStartup } from '../call/startup.ts';
import type { AllowsPort } from '../call/startup.ts';
import type { StartupRequest } from '../call/startup-request.ts';
import { invalidArgument } from '../errors.ts';
import type { RegistrationAccount } from '../registration/account-registration.ts';

/** An account to keep registered, for calls that come in. */
export interface AccountRequest
  extends Pick<
    StartupRequest,
    | 'sipLogin'
    | 'sipAuthenticationName'
    | 'sipPassword'
    | 'sipRealms'
    | 'sipOutboundProxy'
    | 'sipPort'
    | 'sipTransport'
  > {
  /** Host part of the account, and the registrar. */
  readonly sipDomain: string;
  /** Asked for; the registrar decides. Default 3,600. */
  readonly expiresSeconds?: number;
}

/**
 * An account, validated.
 *
 * @param allowsPort - Default: all ports.
 * @throws GatewayError `INVALID_ARGUMENT`, with `field`.
 */
export function resolveAccount(
  request: AccountRequest,
  allowsPort?: AllowsPort,
): RegistrationAccount {
  if (typeof request !== 'object' || request === null)
    throw invalidArgument('request', 'must be an object');
  const { sipDomain, expiresSeconds = 3600, ...account } = request;
  if (typeof sipDomain !== 'string' || sipDomain === '')
    throw invalidArgument('sipDomain', 'is required');
  if (!Number.isInteger(expiresSeconds) || expiresSeconds < 1 || expiresSeconds > 0x7fff_ffff)
    throw invalidArgument('expiresSeconds', 'must be an integer from 1');
  // A call to the domain itself says all of it.
  const { registrar, from, transport, credentials, registrarHop } = resolveStartup(
    { ...account, sipDomain, callee: 'registrar' },
    () => 'none',
    allowsPort,
  );
  return {
    registrar,
    from,
    transport,
    outboundProxy: registrarHop,
    expiresSeconds,
    ...(credentials && { credentials }),
  };
}
