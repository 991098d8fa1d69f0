// How the RTMP sink behaves, and misbehaves.

import type { TlsOptions } from 'node:tls';
import type { ReceivedTag, RtmpPublication } from './rtmp-publication.ts';
import type { RtmpSinkAuth } from './rtmp-sink-auth.ts';

/** How a sink behaves. */
export interface RtmpSinkOptions {
  /** Default: one that is free. */
  readonly port?: number;
  /** Default `127.0.0.1`. */
  readonly host?: string;
  /** Record each publication to `<dir>/<stream name>-<number>.flv`. Default: no recording. */
  readonly recordDir?: string;
  /** Keep all tags in memory. Default true. */
  readonly keepTags?: boolean;
  /** Speaks TLS with this key and certificate. Default: plain TCP. */
  readonly tls?: TlsOptions;
  /** `digest`: lets only clients in that sign their handshake. Default: anybody, with the plain handshake. */
  readonly handshake?: 'digest';
  /** Acknowledge as the publisher's window asks. Default true; false is how Node-Media-Server behaves. */
  readonly acknowledge?: boolean;
  /** Answer a PingRequest of the client. Default true; Node-Media-Server does not. */
  readonly answerPings?: boolean;
  /** Answer createStream while a stream is being published. Default true. */
  readonly answerCreateStream?: boolean;
  /** Demand a user and password. Default: let anybody in. */
  readonly auth?: RtmpSinkAuth;
  /** Answer as an Enhanced RTMP v2 server that takes these codecs (FourCC). Default: plain RTMP. */
  readonly enhanced?: {
    readonly video?: readonly string[];
    readonly audio?: readonly string[];
    readonly reconnect?: boolean;
  };
  /** Called for each tag as it arrives. */
  readonly onTag?: (tag: ReceivedTag, publication: RtmpPublication) => void;
  /** Called when a publication begins. */
  readonly onPublication?: (publication: RtmpPublication) => void;
}

/** A refusal that the sink answers with instead of accepting. */
export interface RtmpRefusal {
  /** The command that is refused. */
  readonly at: 'connect' | 'publish';
  /** E.g. `NetStream.Publish.BadName`. */
  readonly code: string;
  readonly description?: string;
  /** At `connect`: where the client shall go instead. */
  readonly redirect?: string;
}
