// A request for a call.

import type { OutputFormOptions } from '../stream/output-form.ts';
import type { PushRtmpOptions } from '../stream/rtmp-options.ts';

/** Whom to call and where to publish: the fields of `POST /call/startup`. */
export interface StartupRequest extends OutputFormOptions {
  /** SIP Call-ID, unique among live calls (RFC 3261 `callid`, at most 256 characters). Default: generated. */
  readonly callId?: string;
  /** User, `user@host`, or SIP URI. */
  readonly callee: string;
  /** User part of From. Default `sipcast`. */
  readonly sipLogin?: string;
  /** Digest user. Default: `sipLogin`. */
  readonly sipAuthenticationName?: string;
  /** Digest password; never shown again. */
  readonly sipPassword?: string;
  /**
   * Realms of further proxies whose challenges are answered with the password; `any`: all that challenge, up to four. Default: the
   * domain's own and the outbound proxy's only.
   */
  readonly sipRealms?: string | readonly string[];
  /** Host part of From, of a callee without one, and the registrar. Default: the callee's host. */
  readonly sipDomain?: string;
  /** Next hop, `host` or `host:port`. Default: the host of the callee's URI. */
  readonly sipOutboundProxy?: string;
  /** Port of the next hop. Default: what SRV records of the host say, else 5060, or 5061 for TLS. */
  readonly sipPort?: number;
  /**
   * `auto`: what NAPTR and SRV records say, else UDP, but TCP for requests above 1,300 bytes. Default: `tls` for a `sips:`
   * callee, else the `transport` of its URI, else `udp`.
   */
  readonly sipTransport?: 'udp' | 'tcp' | 'tls' | 'auto';
  /** REGISTER before the INVITE, un-REGISTER after the call. Default false. */
  readonly sipRegisterRequired?: boolean;
  /** From display name. Default: `sipLogin`. */
  readonly visibleName?: string;
  /** Copied to events. Default `defaultApp`. */
  readonly appKey?: string;
  /** Publish the received media as a local stream of this name. */
  readonly toStream?: string;
  /** RTMP server; together with `rtmpStream`. */
  readonly rtmpUrl?: string;
  /** Name (key) to publish under; together with `rtmpUrl`. */
  readonly rtmpStream?: string;
  /** Options of the push to `rtmpUrl` that differ from the gateway's `rtmp`. */
  readonly rtmp?: PushRtmpOptions;
  /** `true`: `a=sendrecv`; `false`: `a=recvonly`. Default true. */
  readonly hasAudio?: boolean;
  /** As `hasAudio`, for video. Default true. */
  readonly hasVideo?: boolean;
  /** SRTP with keys in the description. Default: the gateway's `offer.srtp`. */
  readonly srtp?: 'off' | 'optional' | 'required';
  /** Record the call into the gateway's `recording.dir`, or into another folder. Default false. */
  readonly record?: boolean | { readonly dir: string };
  /** Repeated in the call and its events; at most 4 KiB as JSON. Default `{}`. */
  readonly custom?: Readonly<Record<string, unknown>>;
  /** Extra headers of the INVITE: at most 32, and 8 KiB in all. */
  readonly sipHeaders?: Readonly<Record<string, string>>;
}
