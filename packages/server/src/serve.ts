// The gateway with its HTTP API on a port: what `sipcast serve` runs.

import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createCallGateway } from '@sipcast/core';
import type { CallGateway, CallGatewayOptions } from '@sipcast/core';
import { createRestRouter, deliverCallEvents, nodeListener } from '@sipcast/rest';
import { ConsolePages } from './console-pages.ts';
import { ServerError } from './errors.ts';
import { logStatuses, printable } from './status-log.ts';

/** Options of {@link serve}. All have defaults. */
export interface ServeOptions {
  /** IP address that HTTP is listened for on. Default `127.0.0.1`. */
  readonly host?: string;
  /** TCP port of the HTTP API; 0: one that is free. Default 8081. */
  readonly port?: number;
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
  /** HTTP Basic on every query. Default: none. */
  readonly basicAuth?: { readonly username: string; readonly password: string };
  /** The web console at `/console/`; false: none; `dir`: a build of it in another folder. Default true. */
  readonly console?: boolean | { readonly dir: string };
  /** More options of the gateway; those above have precedence. */
  readonly gateway?: CallGatewayOptions;
  /** Takes one line, without time and line end. Default: standard output with the time in front. */
  readonly log?: (line: string) => void;
}

/** A running server. */
export interface ServeHandle {
  /** Of the HTTP API, e.g. `http://127.0.0.1:8081/rest-api`. */
  readonly url: string;
  /** Of the console, e.g. `http://127.0.0.1:8081/console/`; undefined when it is switched off or not built. */
  readonly consoleUrl: string | undefined;
  /** TCP port of the HTTP API. */
  readonly port: number;
  readonly gateway: CallGateway;
  /**
   * Ends every call with BYE or CANCEL, delivers the last events and closes every socket. Idempotent.
   * @param graceMs - Peers that do not answer are waited for so long. Default 5,000 ms.
   */
  close(graceMs?: number): Promise<void>;
}

/** Most HTTP connections at a time. */
const MAX_CONNECTIONS = 256;

/**
 * Starts the gateway and its HTTP API at `/rest-api`.
 *
 * @throws ServerError (rejection) `INVALID_ARGUMENT`, `PORT_UNAVAILABLE`; nothing is left open then.
 */
export async function serve(options: ServeOptions = {}): Promise<ServeHandle> {
  const { host = '127.0.0.1', port = 8081, log = logToStandardOutput } = options;
  const gateway = await openGateway(options, log);
  const opened: (() => unknown)[] = [logStatuses(gateway, log)];
  try {
    const { callAppUrl } = options;
    const events = callAppUrl === undefined ? undefined : openEvents(gateway, callAppUrl, log);
    if (events) opened.push(() => events.close());
    const router = createRestRouter(gateway, {
      ...(options.basicAuth === undefined ? {} : { basicAuth: options.basicAuth }),
      // Web clients in development live on another port. Beyond this machine, origins are for the configuration to list.
      ...(isLoopback(host) && options.basicAuth === undefined ? { cors: '*' } : {}),
      onInternalError: (error) => log(`error: ${printable(describe(error))}`),
    });
    const listener = nodeListener(router);
    const pages = openConsole(options.console ?? true, log);
    const isAuthorized = (header: string | undefined): boolean => router.isAuthorized(header);
    const server = createServer(
      { headersTimeout: 10_000, requestTimeout: 15_000, connectionsCheckingInterval: 1000 },
      (request, response) => {
        if (!pages?.answer(request, response, isAuthorized)) void listener(request, response);
      },
    );
    server.maxConnections = MAX_CONNECTIONS;
    server.on('upgrade', (request, socket, head) => {
      if (!router.upgrade(request, socket, head)) socket.destroy();
    });
    opened.push(() => router.close());
    await listen(server, host, port);
    const address = server.address() as AddressInfo;
    if (!isLoopback(host) && options.basicAuth === undefined)
      log('warning: everyone who reaches this address can place calls: set a user and password');
    let closing: Promise<void> | undefined;
    const origin = `http://${host.includes(':') ? `[${host}]` : host}:${address.port}`;
    return {
      url: origin + router.mount,
      consoleUrl: pages?.isBuilt ? `${origin}/console/` : undefined,
      port: address.port,
      gateway,
      close: (graceMs = 5000) => {
        closing ??= close(graceMs);
        return closing;
      },
    };

    async function close(graceMs: number): Promise<void> {
      const closed = once(server, 'close');
      server.close();
      await within(graceMs, gateway.close());
      // The ends of the calls are events, too.
      await events?.close();
      server.closeAllConnections();
      await closed;
      for (const stop of opened) stop();
    }
  } catch (error) {
    for (const stop of opened) stop();
    await gateway.close();
    throw error;
  }
}

async function openGateway(
  options: ServeOptions,
  log: (line: string) => void,
): Promise<CallGateway> {
  const { sipPort, sipPcap, rtpPorts, publicAddress, audio, mediaFolder, recordDir } = options;
  const sipTls = options.sipTls && {
    ...options.gateway?.sipTls,
    ...(await readSipTls(options.sipTls)),
  };
  try {
    return await createCallGateway({
      logger: {
        debug() {},
        info() {},
        warn: (message) => log(`warning: ${printable(message)}`),
        error: (message) => log(`error: ${printable(message)}`),
      },
      ...options.gateway,
      ...(sipPort === undefined ? {} : { sipPort }),
      ...(sipTls === undefined ? {} : { sipTls }),
      ...(sipPcap === undefined
        ? {}
        : { sipTrace: { ...options.gateway?.sipTrace, pcap: sipPcap } }),
      ...(rtpPorts === undefined ? {} : { rtpPorts }),
      ...(publicAddress === undefined ? {} : { publicAddress }),
      ...(audio === undefined ? {} : { audio }),
      ...transcodingOf(options),
      ...(mediaFolder === undefined ? {} : { mediaFolder }),
      ...(recordDir === undefined ? {} : { recording: { dir: recordDir } }),
    });
  } catch (error) {
    const { code, field } = error as { code?: string; field?: string };
    const wrongOption = code === 'INVALID_ARGUMENT' || code === 'NO_TRANSCODER';
    if (wrongOption && field !== undefined)
      throw new ServerError('INVALID_ARGUMENT', describe(error), field, error);
    throw unavailable('sipPort', 'SIP port', sipPort ?? 0, error);
  }
}

async function readSipTls({
  certFile,
  keyFile,
  caFile,
  port,
}: NonNullable<ServeOptions['sipTls']>): Promise<NonNullable<CallGatewayOptions['sipTls']>> {
  const read = async (field: string, file: string): Promise<string> => {
    try {
      return await readFile(file, 'utf8');
    } catch (error) {
      throw new ServerError('INVALID_ARGUMENT', `${field}: ${describe(error)}`, field, error);
    }
  };
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

function openEvents(
  gateway: CallGateway,
  callAppUrl: string,
  log: (line: string) => void,
): ReturnType<typeof deliverCallEvents> {
  try {
    const onLost = (reason: string): void => log(`warning: event lost: ${printable(reason)}`);
    return deliverCallEvents(gateway, { callAppUrl, onLost });
  } catch (error) {
    const problem = 'callAppUrl must be an http or https URL';
    throw new ServerError('INVALID_ARGUMENT', problem, 'callAppUrl', error);
  }
}

function openConsole(
  wanted: boolean | { readonly dir: string },
  log: (line: string) => void,
): ConsolePages | undefined {
  if (wanted === false) return undefined;
  const pages = new ConsolePages(wanted === true ? undefined : wanted.dir);
  if (!pages.isBuilt) log('warning: no console: it is not built (npm run build)');
  return pages;
}

async function listen(server: Server, host: string, port: number): Promise<void> {
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (error) {
    throw unavailable('port', `HTTP port ${host}`, port, error);
  }
}

function unavailable(field: string, what: string, port: number, cause: unknown): ServerError {
  // The SIP side wraps the system's error in its own.
  const system = cause instanceof Error && cause.cause !== undefined ? cause.cause : cause;
  const { code } = system as { code?: string };
  const reason = code === 'EADDRINUSE' ? 'is in use' : `cannot be opened (${describe(system)})`;
  const place = what.startsWith('HTTP') ? `${what}:${port}` : `${what} ${port}`;
  return new ServerError('PORT_UNAVAILABLE', `${place} ${reason}`, field, cause);
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(?:\.\d{1,3}){3}$/.test(host);
}

async function within(ms: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const elapsed = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work, elapsed]);
  clearTimeout(timer);
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function logToStandardOutput(line: string): void {
  console.log(`${new Date().toISOString()} ${line}`);
}
