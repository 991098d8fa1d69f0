// What `serve` takes and gives.

import type { CallGateway, CallGatewayOptions } from '@sipcast/core';
import type { CallAppOptions } from '@sipcast/rest';
import type { BearerToken, User } from '../access/authenticator.ts';
import type { CertificateOptions } from '../http/certificate.ts';
import type { LogOptions } from '../log/log.ts';
import type { OutgoingOptions } from '../access/outgoing-policy.ts';

/** One more port with the same API. */
export interface ServeListener {
  readonly port: number;
  /** IP address. Default: that of `host`. */
  readonly host?: string | undefined;
  /** HTTPS instead of HTTP. Default false. */
  readonly https?: boolean | undefined;
}

/** How events go to applications. */
export interface ServeEvents
  extends Pick<CallAppOptions, 'secret' | 'timeoutMs' | 'retries' | 'retryDelayMs' | 'maxQueued'> {
  /** Applications of their own, by `appKey`; `callAppUrl` gets the events of all other calls. */
  readonly apps?: Readonly<
    Record<string, { readonly callAppUrl: string; readonly secret?: string | undefined }>
  >;
}

/** Options of `serve`. All have defaults. */
export interface ServeOptions {
  /**
   * `dev`: for this machine; without users on loopback. `production`: HTTPS, users, limits, and no connections to private
   * addresses. Default `dev`.
   */
  readonly profile?: 'dev' | 'production';
  /** Folder for a certificate and a first password that are made. Default: `$STATE_DIRECTORY`, else `$XDG_STATE_HOME/sipcast`, else `~/.local/state/sipcast`. */
  readonly stateDir?: string;
  /** IP address that HTTP is listened for on. Default `127.0.0.1`; `0.0.0.0` in production. */
  readonly host?: string;
  /** TCP port of the HTTP API; 0: one that is free. Default 8081. */
  readonly port?: number;
  /** HTTPS, too. Default: in production. */
  readonly https?: boolean | (CertificateOptions & { readonly port?: number | undefined });
  /** More ports with the same API. */
  readonly listeners?: readonly ServeListener[];
  /** Origins that browsers may call from; `*`: any. Default: any in dev on loopback without users; else none. */
  readonly cors?: readonly string[];
  /**
   * Names that the server may be called by, beside addresses, `localhost` and the name of the machine. Default: none without users,
   * any with them.
   */
  readonly allowedHosts?: readonly string[];
  /**
   * HTTP connections of each port at a time. One more takes the place of one that asks nothing, or does not take its answer; where
   * all are being answered, it is closed. Default 256.
   */
  readonly maxConnections?: number;
  /**
   * Of them those of one address (IPv6: of one /64): nobody can take them all. Where a proxy stands in front, all are the
   * proxy's. Default half of `maxConnections`.
   */
  readonly maxConnectionsPerAddress?: number;
  /**
   * Queries of one address a second, and as many pages, `/health` and `/ready` among them; twice as many at once. Whoever asks for
   * more gets 429, and the connection is closed. 0: any number. Default 50 in production, else 0.
   */
  readonly requestsPerSecond?: number;
  /** Calls and pushes that one address may start a second. Default 10 in production, else 0. */
  readonly startupsPerSecond?: number;
  /** Who may use API and console. Default: everybody; in production `admin`, with a password that is made and shown once. */
  readonly users?: readonly User[];
  /** Bearer tokens for programs. */
  readonly tokens?: readonly BearerToken[];
  /** One user with all rights, in clear text; the password is not empty. */
  readonly basicAuth?: { readonly username: string; readonly password: string };
  /** Where the server may connect to. Default: anywhere; in production not to private addresses. */
  readonly outgoing?: OutgoingOptions;
  /** UDP and TCP port for SIP; 0: one that is free. Default 0. */
  readonly sipPort?: number;
  /** PEM files for SIP over TLS. Connections are accepted where there are `certFile` and `keyFile`. */
  readonly sipTls?: {
    readonly certFile?: string;
    readonly keyFile?: string;
    /** Authorities that are trusted instead of the system's. */
    readonly caFile?: string;
    /** Default: one above the port of UDP and TCP. */
    readonly port?: number;
  };
  /** File that all SIP is captured in, for Wireshark, without secrets. Default: none. */
  readonly sipPcap?: string;
  /** First and last port for RTP and RTCP. Default 30000–39999. */
  readonly rtpPorts?: { readonly min: number; readonly max: number };
  /** Address that peers shall use, where it is not the local one (NAT). */
  readonly publicAddress?: string;
  /** Events go to `<callAppUrl>/CallStatusEvent`. Default: nowhere. */
  readonly callAppUrl?: string;
  /** How, and to whom else. */
  readonly events?: ServeEvents;
  /** What RTMP servers get. Default `aac`, or `passthrough` where `transcoding` is false. */
  readonly audio?: 'passthrough' | 'aac';
  /**
   * Path of ffmpeg. Default: the environment's `FFMPEG_PATH`, else `ffmpeg` on the `PATH`, else the one of the package
   * `@ffmpeg-installer/ffmpeg`.
   */
  readonly ffmpegPath?: string;
  /** False: nothing is encoded, and no ffmpeg is needed. Default true. */
  readonly transcoding?: boolean;
  /** Folder of the files that `inject_sound` may play. Default: none. */
  readonly mediaFolder?: string;
  /** Folder for calls that are to be recorded. Default: none. */
  readonly recordDir?: string;
  /** The web console at `/console/`; false: none; `dir`: a build of it in another folder. Default true. */
  readonly console?: boolean | { readonly dir: string };
  /** PEM file: authorities that servers of `rtmps:` addresses are checked by. Default: the system's. */
  readonly rtmpCaFile?: string;
  /** New calls are refused while events wait this long for the processor; 0: never. Default 250 ms. */
  readonly maxLoopLagMs?: number;
  /** More options of the gateway; those above have precedence. */
  readonly gateway?: CallGatewayOptions;
  /** What is logged. Default: from `info` on, in production as JSON. */
  readonly logging?: LogOptions;
  /** Takes one line for reading, without time and line end. Default: standard output, as `logging.format` says. */
  readonly log?: (line: string) => void;
}

/** A running server. */
export interface ServeHandle {
  /** Of the HTTP API, e.g. `http://127.0.0.1:8081/rest-api`. */
  readonly url: string;
  /** Of the same over HTTPS; undefined without. */
  readonly httpsUrl: string | undefined;
  /** Of the console, e.g. `http://127.0.0.1:8081/console/`; undefined when it is switched off or not built. */
  readonly consoleUrl: string | undefined;
  /** TCP port of the HTTP API. */
  readonly port: number;
  /** TCP port of HTTPS; undefined without. */
  readonly httpsPort: number | undefined;
  readonly gateway: CallGateway;
  /** Takes no more calls (503). Resolves when the last has ended, at the latest after `deadlineMs`. */
  drain(deadlineMs: number): Promise<void>;
  /**
   * Ends every call with BYE or CANCEL, delivers the last events and closes every socket. Idempotent.
   * @param graceMs - Peers that do not answer are waited for so long. Default 5,000 ms.
   */
  close(graceMs?: number): Promise<void>;
}
