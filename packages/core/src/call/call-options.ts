// What the gateway gives each of its calls.

import type { Registration, SipUserAgent } from '@sipcast/sip';
import type { Logger } from '../logger.ts';
import type { OfferOptions } from '../negotiation/negotiation.ts';
import type { RegistrationView } from '../registration/account-registration.ts';
import type { OpenSlidesMedia } from '../slides/call-slides.ts';
import type { SipTraceEntry } from '../trace/sip-trace.ts';

/** The gateway's settings for a call. */
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
     * Registers the account, or shares the registration of other calls. Call `unregister` when it is no longer needed; until
     * then `onState` reports its state. Aborting `signal` gives it up even while it is pending.
     */
    register(
      account: Parameters<SipUserAgent['register']>[0],
      onState: (view: RegistrationView) => void,
      signal: AbortSignal,
    ): Promise<Pick<Registration, 'unregister'>>;
  };
  /** An output of the call's stream was removed. */
  readonly onOutputFailed: (streamName: string, callId: string, error: unknown) => void;
  /** Opens the media of slides. Undefined: they are refused. */
  readonly openSlides?: OpenSlidesMedia;
  /** Logger of this call: its lines need not name the call. */
  readonly logger: Logger;
  /** Wall clock in milliseconds. */
  readonly wallClock: () => number;
}
