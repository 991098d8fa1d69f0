// What the gateway gives each of its calls.

import type { Registration, SipUserAgent } from '@sipcast/sip';
import type { Logger } from '../logger.ts';
import type { OfferOptions } from '../negotiation/negotiation.ts';
import type { RegistrationView } from '../registration/account-registration.ts';
import type { SipTraceEntry } from '../trace/sip-trace.ts';

/** Settings of a call that are the gateway's. */
export interface CallOptions {
  readonly nodeId: string;
  readonly sessionId: string;
  readonly offer: OfferOptions;
  readonly inviteTimeoutMs: number;
  /** As in `InviteOptions` of the SIP package. */
  readonly maxRedirects?: number;
  /** May RTP go to this address? `host`: the name that led there, or the address. Default: to all. */
  readonly mayConnect?: (address: string, host: string) => boolean;
  /** What `trace()` shows. */
  readonly trace: { entries(): SipTraceEntry[] };
}

/** What a call needs: the network, the clock and the log. */
export interface CallDeps {
  readonly userAgent: Pick<SipUserAgent, 'localAddressFor' | 'invite' | 'resolve'> & {
    /**
     * Registers, or shares the registration of other calls; `unregister` when it is not needed any more. `onState` is told
     * how it stands, until then. `signal`: when it is not needed any more, even before it is there.
     */
    register(
      account: Parameters<SipUserAgent['register']>[0],
      onState: (view: RegistrationView) => void,
      signal: AbortSignal,
    ): Promise<Pick<Registration, 'unregister'>>;
  };
  /** Of this call: its lines need not say which. */
  readonly logger: Logger;
  /** Wall clock in milliseconds. */
  readonly wallClock: () => number;
}
