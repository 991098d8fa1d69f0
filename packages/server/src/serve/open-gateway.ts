// Opens the gateway of a server, and reports errors in its options by their names in the configuration.

import { readFile } from 'node:fs/promises';
import { createCallGateway } from '@sipcast/core';
import type { CallGateway, CallGatewayOptions, Logger } from '@sipcast/core';
import { describe, ServerError, unavailable } from '../errors.ts';
import { DEFAULT_CONNECTIONS } from '../http/listeners.ts';
import { type OutgoingPolicy, PolicyError, sipPortsOf } from '../access/outgoing-policy.ts';
import type { ServeGatewayOptions, ServeOptions } from '../config/serve-options.ts';

/** An event loop that lags this much for a second disturbs calls. */
const MAX_LOOP_LAG_MS = 250;

/** @throws ServerError (rejection) `INVALID_ARGUMENT`, `PORT_UNAVAILABLE` */
export async function openGateway(
  options: ServeOptions,
  policy: OutgoingPolicy | undefined,
  logger: Logger,
): Promise<CallGateway> {
  try {
    return await createCallGateway(await gatewayOptionsOf(options, policy, logger));
  } catch (error) {
    if (error instanceof ServerError) throw error;
    const { code, field } = error as { code?: string; field?: string };
    const wrongOption = code === 'INVALID_ARGUMENT' || code === 'NO_TRANSCODER';
    if (wrongOption && field !== undefined) {
      // The media package uses its own name for this option.
      const name = field === 'ffmpegPath' ? 'transcoding.ffmpegPath' : field;
      throw new ServerError('INVALID_ARGUMENT', describe(error), `gateway.${name}`, error);
    }
    throw unavailable('gateway.sipPort', `SIP port ${options.gateway?.sipPort ?? 0}`, error);
  }
}

/** Converts a problem in a list of `outgoing` to the option names of `serve`; other errors are returned unchanged. */
export function asServerError(error: unknown): unknown {
  if (!(error instanceof PolicyError)) return error;
  const field = `outgoing.${error.field}`;
  return new ServerError('INVALID_ARGUMENT', `${field}: ${error.message}`, field, error);
}

function destinationPorts({ profile, outgoing }: ServeOptions): ReturnType<typeof sipPortsOf> {
  try {
    return sipPortsOf(profile === 'production', outgoing);
  } catch (error) {
    throw asServerError(error);
  }
}

/**
 * The gateway options for `serve`. @throws ServerError (rejection) for an unreadable file, or an invalid list of
 * `outgoing`
 */
export async function gatewayOptionsOf(
  options: ServeOptions,
  policy: OutgoingPolicy | undefined,
  logger: Logger,
): Promise<CallGatewayOptions> {
  const { sipTls, rtmp, ...gateway } = options.gateway ?? {};
  const sipDestinationPorts = destinationPorts(options);
  return {
    logger,
    maxLoopLagMs: MAX_LOOP_LAG_MS,
    // Each viewer occupies a connection; some must stay free for queries.
    maxViewers: Math.floor((options.http?.maxConnections ?? DEFAULT_CONNECTIONS) / 2),
    ...gateway,
    ...(policy && {
      mayConnect: (address, _purpose, host) => policy.mayConnect(address, host),
    }),
    ...(sipDestinationPorts && { sipDestinationPorts }),
    ...(sipTls && { sipTls: await readSipTls(sipTls) }),
    ...(rtmp && { rtmp: await readRtmp(rtmp) }),
  };
}

async function read(field: string, file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new ServerError('INVALID_ARGUMENT', `${field}: ${describe(error)}`, field, error);
  }
}

async function readSipTls({
  certFile,
  keyFile,
  caFile,
  ...tls
}: NonNullable<ServeGatewayOptions['sipTls']>): Promise<NonNullable<CallGatewayOptions['sipTls']>> {
  return {
    ...tls,
    ...(certFile !== undefined && { cert: await read('gateway.sipTls.certFile', certFile) }),
    ...(keyFile !== undefined && { key: await read('gateway.sipTls.keyFile', keyFile) }),
    ...(caFile !== undefined && { ca: await read('gateway.sipTls.caFile', caFile) }),
  };
}

async function readRtmp({
  tls,
  ...rtmp
}: NonNullable<ServeGatewayOptions['rtmp']>): Promise<NonNullable<CallGatewayOptions['rtmp']>> {
  if (tls === undefined) return rtmp;
  const { caFile, ...checks } = tls;
  if (caFile === undefined) return { ...rtmp, tls: checks };
  return { ...rtmp, tls: { ...checks, ca: await read('gateway.rtmp.tls.caFile', caFile) } };
}
