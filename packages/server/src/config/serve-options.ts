// Options of `serve`: those of a configuration file, and those that only code can set.

import type { CallGatewayOptions } from '@sipcast/core';
import type { Config } from './schema.ts';

type SipTls = NonNullable<CallGatewayOptions['sipTls']>;
type Rtmp = NonNullable<CallGatewayOptions['rtmp']>;

/** Options of the gateway. Certificates may be given as files. */
export interface ServeGatewayOptions extends Omit<CallGatewayOptions, 'sipTls' | 'rtmp'> {
  readonly sipTls?: SipTls & {
    readonly certFile?: string;
    readonly keyFile?: string;
    readonly caFile?: string;
  };
  readonly rtmp?: Omit<Rtmp, 'tls'> & {
    readonly tls?: NonNullable<Rtmp['tls']> & { readonly caFile?: string };
  };
}

/**
 * Options of `serve`. All have defaults. Names, bounds and defaults are those of the configuration file (see its reference).
 */
export interface ServeOptions extends Omit<Config, 'gateway' | 'log'> {
  readonly gateway?: ServeGatewayOptions;
  readonly log?: NonNullable<Config['log']> & {
    /** Receives each line, without time and line end, instead of standard output. */
    readonly write?: (line: string) => void;
  };
  /** One user with all rights. The password is plain text and must not be empty. */
  readonly basicAuth?: { readonly username: string; readonly password: string };
}
