// A publisher as its caller sees it: options, handler, counters. `publication.ts` implements it.

import type { LookupFunction } from 'node:net';
import type { RtmpError } from '../errors.ts';
import type { FlvTag } from '../codec/frame.ts';
import type { MayConnect } from './guarded-lookup.ts';
import type { RtmpCapabilities, RtmpEnhancedMode } from './capabilities.ts';

/** How the server of an `rtmps:` address is checked. Without any of these: by the system's authorities, and by name. */
export interface RtmpTlsOptions {
  /** Certificates (PEM) of authorities that are trusted instead of the system's. */
  readonly ca?: string | Uint8Array | readonly (string | Uint8Array)[];
  /** SHA-256 of the server's certificate, 64 hexadecimal digits, colons allowed. Name, dates and chain then do not count. */
  readonly fingerprint256?: string;
  /** Checks nothing: anybody on the way can read and change the stream. Default false. */
  readonly insecure?: boolean;
}

/** How one connection is made. All times in milliseconds. */
export interface RtmpPublisherOptions {
  /** `rtmp[s]://[user:password@]host[:port]/app[/instance][?query]`. User and password answer Adobe and Limelight demands. */
  readonly url: string;
  /** Stream name (key), sent as given, with its query if it has one. */
  readonly streamName: string;
  /** Only for `rtmps:`. */
  readonly tls?: RtmpTlsOptions;
  /** Enhanced RTMP: not offered, offered and believed as answered, or taken for granted. Default `off`. */
  readonly enhanced?: RtmpEnhancedMode;
  /**
   * May a redirect of the server be followed to this address? It is asked at most twice, and never for one that would
   * give up TLS. Default: no redirect is followed.
   */
  readonly mayRedirect?: (url: string) => boolean;
  /** Asked for each address that would be connected to, also behind a redirect. Default: all may be. */
  readonly mayConnect?: MayConnect;
  /** In place of the system's resolver. */
  readonly lookup?: LookupFunction;
  /** TCP. Default 5,000. */
  readonly connectTimeoutMs?: number;
  /** TLS and RTMP handshake, each. Default 5,000. */
  readonly handshakeTimeoutMs?: number;
  /** From the end of the handshake to NetStream.Publish.Start. Default 10,000. */
  readonly publishTimeoutMs?: number;
  /** Octets that should have arrived, and for so long did not: the connection ends STALLED. Default 8,000. */
  readonly stallTimeoutMs?: number;
  /** At the end: how long queued octets may take to leave. Default 1,000. */
  readonly flushTimeoutMs?: number;
  /**
   * Largest Window Acknowledgement Size asked of the server, in octets; it is lowered to one second of media where
   * that is less. Default 62,500: one second of 500 kbit/s.
   */
  readonly windowBytes?: number;
  /**
   * Asks a server that acknowledges late or never whether it still listens: by PingRequest, and where it answers none,
   * by createStream. Default true.
   */
  readonly probe?: boolean;
  /** Media outstanding before video is dropped. Default 2,000. */
  readonly highWaterMs?: number;
  /**
   * Audio waits at most this long for the next picture, so that one write carries both; a picture itself leaves
   * at the end of the event-loop turn, and with 0 audio does, too. Default 40: one picture at 25 fps.
   */
  readonly coalesceMs?: number;
  /** `flashVer` of `connect`: some platforms look at it. Default `FMLE/3.0 (compatible; sipcast)`. */
  readonly flashVersion?: string;
}

/** What the owner of a publisher is told. */
export interface RtmpPublisherHandler {
  /** Once, when the server has accepted the publication: tags may be sent. */
  onPublishing(capabilities: RtmpCapabilities): void;
  /** The first key frame has been sent, or the first audio. Once each, from within `push`. */
  onFirstSent?(role: 'key-frame' | 'audio'): void;
  /** Video was skipped and a key frame would end that; at most once per 500 ms. */
  onKeyFrameWanted(): void;
  /**
   * The server asks for a new connection (NetConnection.Connect.ReconnectRequest) and goes on taking this one.
   * At most once. @param url - Where to, resolved against the present address; `undefined`: the same.
   */
  onReconnectRequested?(url: string | undefined): void;
  /** Exactly once, last. Without an error after `close()`. */
  onEnded(error: RtmpError | undefined): void;
}

/** Counters of one connection. */
export interface RtmpPublisherStats {
  /** Octets handed to the socket after the handshake. */
  readonly bytesSent: number;
  /** Octets that the server has acknowledged, or `null` while it never did. */
  readonly bytesAcknowledged: number | null;
  /** Octets written and not known to have arrived. */
  readonly outstandingBytes: number;
  /** Tags skipped because of a backlog. */
  readonly droppedFrames: number;
}

/** One publication. */
export interface RtmpPublisher {
  /** Sends or skips a tag; before `onPublishing` and after the end it is skipped. Never throws: it may be an output. */
  push(tag: FlvTag): 'sent' | 'skipped';
  readonly stats: RtmpPublisherStats;
  /** Flushes what is queued, says FCUnpublish and deleteStream, and closes. Resolves after `onEnded`. Idempotent. */
  close(): Promise<void>;
}
