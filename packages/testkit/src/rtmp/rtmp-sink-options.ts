// Options for the behavior and misbehavior of the RTMP sink.

import type { TlsOptions } from 'node:tls';
import type { ReceivedTag, RtmpPublication } from './rtmp-publication.ts';
import type { RtmpSinkAuth } from './rtmp-sink-auth.ts';

/** Options of a sink. */
export interface RtmpSinkOptions {
  /** Default: one that is free. */
  readonly port?: number;
  /** Default `127.0.0.1`. */
  readonly host?: string;
  /** Record each publication to `<dir>/<stream name>-<number>.flv`. Default: no recording. */
  readonly recordDir?: string;
  /** Keep all tags in memory. Default true. */
  readonly keepTags?: boolean;
  /** Use TLS with this key and certificate. Default: plain TCP. */
  readonly tls?: TlsOptions;
  /** `digest`: accept only clients that sign their handshake. Default: any client, with the plain handshake. */
  readonly handshake?: 'digest';
  /** Acknowledge as the publisher's window requires. Default true; Node-Media-Server behaves like false. */
  readonly acknowledge?: boolean;
  /** Answer a PingRequest of the client. Default true; Node-Media-Server does not. */
  readonly answerPings?: boolean;
  /** Answer createStream while a stream is being published. Default true. */
  readonly answerCreateStream?: boolean;
  /** Require a user and password. Default: none. */
  readonly auth?: RtmpSinkAuth;
  /** Respond as an Enhanced RTMP v2 server that accepts these codecs (FourCC). Default: plain RTMP. */
  readonly enhanced?: {
    readonly video?: readonly string[];
    readonly audio?: readonly string[];
    readonly reconnect?: boolean;
  };
  /** Called for each tag as it arrives. */
  readonly onTag?: (tag: ReceivedTag, publication: RtmpPublication) => void;
  /** Called when a publication starts. */
  readonly onPublication?: (publication: RtmpPublication) => void;
}

/** A refusal that the sink sends instead of accepting. */
export interface RtmpRefusal {
  /** The command to refuse. */
  readonly at: 'connect' | 'publish';
  /** E.g. `NetStream.Publish.BadName`. */
  readonly code: string;
  readonly description?: string;
  /** At `connect`: redirects the client to this URL. */
  readonly redirect?: string;
}
