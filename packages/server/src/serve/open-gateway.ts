// The gateway of a server: its options out of those of `serve`, and what is wrong in the words of `serve`.

import { readFile } from 'node:fs/promises';
import { createCallGateway } from '@sipcast/core';
import type { CallGateway, CallGatewayOptions, Logger } from '@sipcast/core';
import { describe, ServerError, unavailable } from '../errors.ts';
import { DEFAULT_CONNECTIONS } from '../http/listeners.ts';
import { type OutgoingPolicy, PolicyError, sipPortsOf } from '../access/outgoing-policy.ts';
import type { ServeOptions } from './serve-options.ts';

/** Late by more than this for a second, a process hurts the calls that it has. */
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
    if (wrongOption && field !== undefined)
      throw new ServerError('INVALID_ARGUMENT', describe(error), field, error);
    const port = options.sipPort ?? options.gateway?.sipPort ?? 0;
    throw unavailable('sipPort', `SIP port ${port}`, error);
  }
}

/** What is wrong in a list of `outgoing`, in the words of `serve`; else what was thrown. */
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

/** What `serve` opens its gateway with. @throws ServerError (rejection) for a file that cannot be read, or a list of `outgoing` */
export async function gatewayOptionsOf(
  options: ServeOptions,
  policy: OutgoingPolicy | undefined,
  logger: Logger,
): Promise<CallGatewayOptions> {
  const { sipPort, sipPcap, rtpPorts, publicAddress, audio, mediaFolder, recordDir } = options;
  const sipTls = options.sipTls && {
    ...options.gateway?.sipTls,
    ...(await readSipTls(options.sipTls)),
  };
  const sipDestinationPorts = destinationPorts(options);
  const { rtmpCaFile } = options;
  const rtmpCa = rtmpCaFile && (await read('rtmp.tls.caFile', rtmpCaFile));
  const rtmp = options.gateway?.rtmp;
  return {
    logger,
    maxLoopLagMs: MAX_LOOP_LAG_MS,
    // Whoever watches holds a connection for as long: queries must still find one.
    maxViewers: Math.floor((options.maxConnections ?? DEFAULT_CONNECTIONS) / 2),
    ...options.gateway,
    ...(options.maxLoopLagMs === undefined ? {} : { maxLoopLagMs: options.maxLoopLagMs }),
    ...(policy && {
      mayConnect: (address, _purpose, host) => policy.mayConnect(address, host),
    }),
    ...(sipDestinationPorts && { sipDestinationPorts }),
    ...(rtmpCa && { rtmp: { ...rtmp, tls: { ...rtmp?.tls, ca: rtmpCa } } }),
    ...(sipPort === undefined ? {} : { sipPort }),
    ...(sipTls === undefined ? {} : { sipTls }),
    ...(sipPcap === undefined ? {} : { sipTrace: { ...options.gateway?.sipTrace, pcap: sipPcap } }),
    ...(rtpPorts === undefined ? {} : { rtpPorts }),
    ...(publicAddress === undefined ? {} : { publicAddress }),
    ...(audio === undefined ? {} : { audio }),
    ...transcodingOf(options),
    ...(mediaFolder === undefined ? {} : { mediaFolder }),
    ...(recordDir === undefined
      ? {}
      : { recording: { ...options.gateway?.recording, dir: recordDir } }),
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
  port,
}: NonNullable<ServeOptions['sipTls']>): Promise<NonNullable<CallGatewayOptions['sipTls']>> {
  return {
    ...(certFile === undefined ? {} : { cert: await read('sipTls.certFile', certFile) }),
    ...(keyFile === undefined ? {} : { key: await read('sipTls.keyFile', keyFile) }),
    ...(caFile === undefined ? {} : { ca: await read('sipTls.caFile', caFile) }),
    ...(port === undefined ? {} : { port }),
  };
}

function transcodingOf({
  transcoding,
  ffmpegPath,
  gateway,
}: ServeOptions): Pick<CallGatewayOptions, 'transcoding'> {
  if (transcoding === false) return { transcoding };
  // A path does not undo what else is said of encoding.
  return ffmpegPath === undefined
    ? {}
    : { transcoding: { ...(gateway?.transcoding || undefined), ffmpegPath } };
}
