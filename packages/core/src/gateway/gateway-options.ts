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
  /** Without `publicAddress`: believe registrars over UDP how they see us, and register that address. Default true. */
  readonly learnsAddress?: boolean;
  /** UDP and TCP port for SIP. Default 0: one that is free. */
  readonly sipPort?: number;
  /** First and last port for RTP and RTCP; two pairs a call. Default 30000–39999. */
  readonly rtpPorts?: { readonly min: number; readonly max: number };
  /** User-Agent header. Default `sipcast`. */
  readonly userAgentName?: string;
  /** Certificates and trust for SIP over TLS; connections are accepted where there is a `cert`. Default: the system's trust. */
  readonly sipTls?: SipTlsOptions;
  /** How ways through NATs are kept open. Default: every 25 s over UDP while registered, every 100 s on connections. */
  readonly sipKeepAlive?: KeepAliveIntervals;
  /** Servers that are asked by OPTIONS whether they are there; one that is silent is called last. Default: none. */
  readonly sipPing?: PingOptions;
  /** Limits, bans and silence for those who ask for something outside of calls; false: all are answered. Default: on. */
  readonly sipGuard?: false | SourceGuardOptions;
  /** In place of the system's resolver. */
  readonly sipDns?: SipDns;
  /** Transports of your own in place of UDP, TCP and TLS (see `Transport` of `@sipcast/sip`). */
  readonly sipTransports?: readonly TransportFactory[];
  /** SIP timers (RFC 3261 §17.1.1.1), in milliseconds. */
  readonly sipTimers?: Partial<SipTimers>;
  /** Session timers (RFC 4028). Default: one where the peer wants it. */
  readonly sessionTimer?: SessionTimerOptions;
  /** Redirections (3xx) of one call that are followed, 0–10; no address is asked twice. Default 3. */
  readonly maxRedirects?: number;
  /** Who may call us. Default: nobody; an unknown caller meets silence, and the fault `sip-unknown-caller` counts it. */
  readonly incoming?: IncomingOptions;
  /** What is kept of SIP messages for `call.trace()`, and a capture file. */
  readonly sipTrace?: SipTraceOptions;
  /** No final answer for this long ends a call. Default 180,000 ms. */
  readonly inviteTimeoutMs?: number;
  /**
   * How long a missing RTP packet is waited for: always so many milliseconds, or between two bounds, by what the line
   * shows. Default `{ minMs: 20, maxMs: 200 }`.
   */
  readonly jitterDelayMs?: number | { readonly minMs: number; readonly maxMs: number };
  /**
   * What RTMP servers get of the audio: AAC-LC (`aac`, the default, unless `transcoding` is false), which most platforms
   * and browsers want, or G.711 and 16 kHz Speex as they come (`passthrough`); other codecs become AAC either way.
   */
  readonly audio?: 'aac' | 'passthrough';
  /**
   * H.264 goes out as it comes (`passthrough`, the default), or is encoded anew (`reencode`); VP8 is, unless `rtmp.enhanced` lets
   * it pass.
   */
  readonly video?: 'passthrough' | 'reencode';
  /** Encoding by ffmpeg child processes and its options; false: a call that needs it ends FAILED. Default: on. */
  readonly transcoding?: false | TranscodingOptions;
  /** A video-only call carries a silent AAC track, which platforms ask for. Default true, unless `audio` is `passthrough`. */
  readonly silentAudio?: boolean;
  /** When no picture came for so long (hold, mute), the last key frame is sent again; 0: never. Default 2,000 ms. */
  readonly videoFreezeMs?: number;
  /** After a loss nothing until the next key frame (`wait`, the default), or broken pictures, too (`continue`). */
  readonly videoLoss?: 'wait' | 'continue';
  /** Sends a black picture to peers that take H.264: some MCUs start their video only then. Default false. */
  readonly blackVideo?: boolean;
  /** A peer that sends no RTP for so long, while it should, ends the call; 0: never. Default 60,000 ms. */
  readonly rtpTimeoutMs?: number;
  /** The same for RTCP, which some devices never send. Default 0: never. */
  readonly rtcpTimeoutMs?: number;
  /** Folder of the files that may be played to peers. Default: none, and there are no sounds. */
  readonly mediaFolder?: string;
  /** Where and how calls with `record` are recorded. */
  readonly recording?: RecordingOptions;
  /** Viewers of one stream (HTTP-FLV, WebSocket) that may watch at once. Default 100. */
  readonly maxViewersPerStream?: number;
  /** Viewers of all streams together. Default: any number. */
  readonly maxViewers?: number;
  /** More live calls are refused. Default 1,000. */
  readonly maxCalls?: number;
  /**
   * New calls are refused while events wait this long for the process, measured over a second; 0: never. Default 0.
   */
  readonly maxLoopLagMs?: number;
  /**
   * May a SIP request, an RTMP connection, or the RTP and RTCP of a call go to this IP address? `host`: the name that led there,
   * or the address. It is asked about the very address that is connected to. A call whose peer describes a forbidden address
   * is refused (488) or ended; a private one of a peer behind a NAT gets nothing. Must not throw. Default: to all.
   */
  readonly mayConnect?: (address: string, purpose: ConnectPurpose, host: string) => boolean;
  /**
   * Ports that SIP requests may go to, where a caller, DNS or a peer names them. A `startup` that names another one is refused
   * (`INVALID_ARGUMENT`); a call that is led to one ends FAILED. In a dialog requests may also go where the peer was met, which
   * gets them in place of a forbidden Contact. Servers of `sipPing` that are named with a port may be called there. Default: all.
   */
  readonly sipDestinationPorts?: readonly PortRange[];
  /** Ended calls that `history()` remembers. Default 1,000. */
  readonly historySize?: number;
  readonly offer?: OfferOptions;
  readonly rtmp?: RtmpOptions;
  /** Default: silent. */
  readonly logger?: Logger;
}

/** What a connection is for. */
export type ConnectPurpose = 'sip' | 'rtmp' | 'rtp';
