// A publisher as its caller sees it: options, handler, counters. `publication.ts` implements it.

import type { LookupFunction } from 'node:net';
import type { RtmpError } from '../errors.ts';
import type { FlvTag } from '../codec/frame.ts';
import type { MayConnect } from './guarded-lookup.ts';
import type { RtmpCapabilities, RtmpEnhancedMode } from './capabilities.ts';

/** How to verify the server of an `rtmps:` address. Default: against the system's authorities, and by name. */
export interface RtmpTlsOptions {
  /** Certificates (PEM) of authorities to trust instead of the system's. */
  readonly ca?: string | Uint8Array | readonly (string | Uint8Array)[];
  /** SHA-256 of the server's certificate, 64 hexadecimal digits, colons allowed. Name, dates and chain are not checked then. */
  readonly fingerprint256?: string;
  /** Verifies nothing: anyone on the path can read and change the stream. Default false. */
  readonly insecure?: boolean;
}

/** How one connection is made. All times in milliseconds. */
export interface RtmpPublisherOptions {
  /** `rtmp[s]://[user:password@]host[:port]/app[/instance][?query]`. User and password are for Adobe and Limelight authentication. */
  readonly url: string;
  /** Stream name (key), sent as given, with its query if it has one. */
  readonly streamName: string;
  /** Only for `rtmps:`. */
  readonly tls?: RtmpTlsOptions;
  /** Enhanced RTMP: not offered, negotiated, or assumed. Default `off`. */
  readonly enhanced?: RtmpEnhancedMode;
  /**
   * May a redirect of the server be followed to this address? Called at most twice, and never for one that would
   * drop TLS. Default: no redirect is followed.
   */
  readonly mayRedirect?: (url: string) => boolean;
  /** Called for each address before a connection, also after a redirect. Default: all are allowed. */
  readonly mayConnect?: MayConnect;
  /** Replaces the system's resolver. */
  readonly lookup?: LookupFunction;
  /** TCP. Default 5,000. */
  readonly connectTimeoutMs?: number;
  /** TLS and RTMP handshake, each. Default 5,000. */
  readonly handshakeTimeoutMs?: number;
  /** From the end of the handshake to NetStream.Publish.Start. Default 10,000. */
  readonly publishTimeoutMs?: number;
  /** Without progress for this long, although octets are due, the connection ends STALLED. Default 8,000. */
  readonly stallTimeoutMs?: number;
  /** How long queued octets may take to leave at the end. Default 1,000. */
  readonly flushTimeoutMs?: number;
  /**
   * Largest Window Acknowledgement Size to request from the server, in octets; lowered to one second of media if
   * that is less. Default 62,500: one second of 500 kbit/s.
   */
  readonly windowBytes?: number;
  /**
   * Probes a server that acknowledges late or never: by PingRequest, and if it answers none, by createStream. Default
   * true.
   */
  readonly probe?: boolean;
  /** Media outstanding before video is dropped. Default 2,000. */
  readonly highWaterMs?: number;
  /**
   * How long audio may wait for the next picture, so that one write carries both. A picture is sent at the end of
   * the event-loop turn; with 0, audio is, too. Default 40: one picture at 25 fps.
   */
  readonly coalesceMs?: number;
  /** `flashVer` of `connect`, which some platforms check. Default `FMLE/3.0 (compatible; sipcast)`. */
  readonly flashVersion?: string;
}

/** What a publisher reports. */
export interface RtmpPublisherHandler {
  /**
   * At most once, before `onPublishing`: the protocol needs media before the server can accept it, so tags are wanted from now
   * on. RTMP does not.
   */
  onMediaWanted?(capabilities: RtmpCapabilities): void;
  /** Once, when the server has accepted the publication: tags are sent from now on. */
  onPublishing(capabilities: RtmpCapabilities): void;
  /** The first key frame has been sent, or the first audio. Once each, from within `push`. */
  onFirstSent?(role: 'key-frame' | 'audio'): void;
  /** Video was skipped and can resume with a key frame; at most once per 500 ms. */
  onKeyFrameWanted(): void;
  /**
   * The server requests a new connection (NetConnection.Connect.ReconnectRequest); this one continues until then.
   * At most once. @param url - The new address, resolved against the current one; `undefined`: the same.
   */
  onReconnectRequested?(url: string | undefined): void;
  /** Exactly once, as the last call. Without an error after `close()`. */
  onEnded(error: RtmpError | undefined): void;
}

/** Counters of one connection. */
export interface RtmpPublisherStats {
  /** Octets handed to the socket after the handshake. */
  readonly bytesSent: number;
  /** Octets that the server has acknowledged, or `null` if it never has. */
  readonly bytesAcknowledged: number | null;
  /** Octets written and not known to have arrived. */
  readonly outstandingBytes: number;
  /** Tags skipped because of a backlog. */
  readonly droppedFrames: number;
}

/** One publication. */
export interface RtmpPublisher {
  /** Sends or skips a tag; skips all before `onPublishing` and after the end. Never throws, so a publisher can be an output. */
  push(tag: FlvTag): 'sent' | 'skipped';
  readonly stats: RtmpPublisherStats;
  /** Flushes queued tags, sends FCUnpublish and deleteStream, and closes. Resolves after `onEnded`. Idempotent. */
  close(): Promise<void>;
}
