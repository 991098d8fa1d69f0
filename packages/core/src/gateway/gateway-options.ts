// Options of a gateway.

import type {
  KeepAliveIntervals,
  PingOptions,
  PortRange,
  SessionTimerOptions,
  SipDns,
  SipTimers,
  SipTlsOptions,
  SourceGuardOptions,
  TransportFactory,
} from '@sipcast/sip';
import type { IncomingOptions } from '../incoming/incoming-rules.ts';
import type { Logger } from '../logger.ts';
import type { OfferOptions } from '../negotiation/negotiation.ts';
import type { RecordingOptions } from '../stream/recording.ts';
import type { RtmpOptions } from '../stream/rtmp-options.ts';
import type { SipTraceOptions } from '../trace/sip-traces.ts';
import type { TranscodingOptions } from './encoders.ts';

/** Options of a gateway. All have defaults. */
export interface CallGatewayOptions {
  /** Address that SIP and RTP sockets are bound to. `::` is IPv6, and for SIP IPv4, too. Default `0.0.0.0`: IPv4. */
  readonly bindAddress?: string;
  /**
   * Address that peers shall use, where it is not the local one (NAT); one for each family at most. Default: found per
   * destination.
   */
  readonly publicAddress?: string | readonly string[];
  /** Without `publicAddress`: register the address that registrars over UDP see us at. Default true. */
  readonly learnsAddress?: boolean;
  /** UDP and TCP port for SIP. Default 0: any free port. */
  readonly sipPort?: number;
  /** First and last port for RTP and RTCP; two pairs for each call. Default 30000–39999. */
  readonly rtpPorts?: { readonly min: number; readonly max: number };
  /** User-Agent header. Default `sipcast`. */
  readonly userAgentName?: string;
  /** Certificates and trust for SIP over TLS; connections are accepted where there is a `cert`. Default: the system's trust. */
  readonly sipTls?: SipTlsOptions;
  /** How NAT bindings are kept open. Default: every 25 s over UDP while registered, every 100 s on connections. */
  readonly sipKeepAlive?: KeepAliveIntervals;
  /** Servers that are checked with OPTIONS; one that does not answer is tried last. Default: none. */
  readonly sipPing?: PingOptions;
  /** Limits, bans and silence for requests outside of calls; false: every request is answered. Default: on. */
  readonly sipGuard?: false | SourceGuardOptions;
  /** In place of the system's resolver. */
  readonly sipDns?: SipDns;
  /** Your own transports instead of UDP, TCP and TLS (see `Transport` of `@sipcast/sip`). */
  readonly sipTransports?: readonly TransportFactory[];
  /** SIP timers (RFC 3261 §17.1.1.1), in milliseconds. */
  readonly sipTimers?: Partial<SipTimers>;
  /** Session timers (RFC 4028). Default: one where the peer wants it. */
  readonly sessionTimer?: SessionTimerOptions;
  /** Redirections (3xx) that one call follows, 0–10; no address is tried twice. Default 3. */
  readonly maxRedirects?: number;
  /** Incoming calls. Default: denied without an answer, and counted as the fault `sip-unknown-caller`. */
  readonly incoming?: IncomingOptions;
  /** What is kept of SIP messages for `call.trace()`, and a capture file. */
  readonly sipTrace?: SipTraceOptions;
  /** A call without a final answer ends after this time. Default 180,000 ms. */
  readonly inviteTimeoutMs?: number;
  /**
   * How long to wait for a missing RTP packet: a fixed time, or a range within which the delay adapts to the measured jitter.
   * Default `{ minMs: 20, maxMs: 200 }`.
   */
  readonly jitterDelayMs?: number | { readonly minMs: number; readonly maxMs: number };
  /**
   * What RTMP servers get of the audio: AAC-LC (`aac`, the default, unless `transcoding` is false), which most platforms
   * and browsers want, or G.711 and 16 kHz Speex as they come (`passthrough`); other codecs become AAC either way.
   */
  readonly audio?: 'aac' | 'passthrough';
  /**
   * H.264 goes out unchanged (`passthrough`, the default) or is encoded again (`reencode`). VP8 is always encoded, unless
   * `rtmp.enhanced` lets it pass.
   */
  readonly video?: 'passthrough' | 'reencode';
  /**
   * Asks the peer for a key frame when the last is this old, while there are outputs that others join later: RTMP, recordings, HLS.
   * Less than 1,000 counts as 1,000; 0: never. Default: what the platform needs, or 2,000 ms.
   */
  readonly keyFrameIntervalMs?: number;
  /** Encoding by ffmpeg child processes and its options; false: a call that needs it ends FAILED. Default: on. */
  readonly transcoding?: false | TranscodingOptions;
  /** A video-only call carries a silent AAC track, which platforms ask for. Default true, unless `audio` is `passthrough`. */
  readonly silentAudio?: boolean;
  /** Without video for this long (hold, mute), the last key frame is repeated; 0: never. Default 2,000 ms. */
  readonly videoFreezeMs?: number;
  /**
   * What viewers, HLS and platforms that need pictures get while video is negotiated and has not come (the camera is off):
   * `black` pictures from one second on, or `none`, and then some players wait. Default `black`.
   */
  readonly videoPlaceholder?: 'black' | 'none';
  /** After a loss: `wait` (the default) drops video until the next key frame, `continue` lets broken pictures through. */
  readonly videoLoss?: 'wait' | 'continue';
  /** Sends black video to peers that take H.264: some MCUs start their own video only then. Default false. */
  readonly blackVideo?: boolean;
  /**
   * Take a second video of a call that is marked as slides (RFC 4796) as a stream of its own, `<toStream>-slides`. Default true.
   */
  readonly slides?: boolean;
  /** The call ends when the peer should send RTP and has not for this long; 0: never. Default 60,000 ms. */
  readonly rtpTimeoutMs?: number;
  /** As `rtpTimeoutMs`, for RTCP, which some devices never send. Default 0: never. */
  readonly rtcpTimeoutMs?: number;
  /** Folder of the sound files that may be played. Default: none; no sounds can be played. */
  readonly mediaFolder?: string;
  /** Where and how calls with `record` are recorded. */
  readonly recording?: RecordingOptions;
  /** Viewers of one stream (HTTP-FLV, WebSocket) at once. Default 100. */
  readonly maxViewersPerStream?: number;
  /** Viewers of all streams together. Default: no limit. */
  readonly maxViewers?: number;
  /** Live calls at once; further calls are refused. Default 1,000. */
  readonly maxCalls?: number;
  /**
   * New calls are refused while the event loop lags by this much, measured over a second; 0: never. Default 0.
   */
  readonly maxLoopLagMs?: number;
  /**
   * Whether a SIP request, an RTMP connection, or the RTP and RTCP of a call may go to this IP address. `host`: the name that
   * resolved to it, or the address. Called with the very address that is connected to. A call whose peer describes a forbidden
   * address is refused (488) or ended; to a private address of a peer behind a NAT nothing is sent. Must not throw. Default: all
   * addresses are allowed.
   */
  readonly mayConnect?: (address: string, purpose: ConnectPurpose, host: string) => boolean;
  /**
   * Ports that SIP requests may go to when a caller, DNS or a peer names them. A `startup` that names another port is refused
   * (`INVALID_ARGUMENT`); a call that DNS or a redirection leads to one ends FAILED. Within a dialog requests may also go to the
   * address that the peer sends from, which replaces a forbidden Contact. Servers of `sipPing` that are named with a port may be
   * called there. Default: all.
   */
  readonly sipDestinationPorts?: readonly PortRange[];
  /** Ended calls that `calls.history()` remembers. Default 1,000. */
  readonly historySize?: number;
  readonly offer?: OfferOptions;
  readonly rtmp?: RtmpOptions;
  /** Default: silent. */
  readonly logger?: Logger;
}

/** What a connection is for. */
export type ConnectPurpose = 'sip' | 'rtmp' | 'rtp';
