// The gateway with its HTTP API on its ports: what `sipcast serve` runs.

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { createRestRouter, nodeListener } from '@sipcast/rest';
import type { RestRouter } from '@sipcast/rest';
import { openAccess, stateDirOf } from '../access/access.ts';
import { openCertificate } from '../http/certificate.ts';
import type { Certificate, CertificateOptions } from '../http/certificate.ts';
import { ConsolePages } from '../http/console-pages.ts';
import { describe } from '../errors.ts';
import { GatewayMetrics } from '../http/gateway-metrics.ts';
import { openEvents } from './event-deliveries.ts';
import { FfmpegWatch } from '../http/ffmpeg-watch.ts';
import { DEFAULT_CONNECTIONS, DEFAULT_KEEP_ALIVE_MS, Listeners } from '../http/listeners.ts';
import { openLog } from '../log/log.ts';
import type { ServerLogger } from '../log/log.ts';
import { LogOutput } from '../log/log-output.ts';
import type { ListenerHandler } from '../http/listeners.ts';
import { asServerError, openGateway } from './open-gateway.ts';
import { OutgoingPolicy } from '../access/outgoing-policy.ts';
import { Redaction } from '../log/redaction.ts';
import { secretsOf } from './secrets.ts';
import { RequestGate } from '../access/request-gate.ts';
import type { ServeOptions } from '../config/serve-options.ts';
import type { ServeHandle } from './serve-handle.ts';
import { sendFailure, StatusPages } from '../http/status-pages.ts';

type Https = CertificateOptions & { readonly port?: number | undefined };

/** How often the certificate is checked: it may have been replaced, or expire soon. */
const CERTIFICATE_CHECK_MS = 3_600_000;
/** How long to wait for the last log lines: their reader may have stalled. */
const LOG_FLUSH_MS = 500;

/** A log, and the redaction of its secrets. */
export interface OpenLog {
  readonly log: ServerLogger;
  readonly redaction: Redaction;
  /** Number of dropped lines. */
  readonly lost: () => number;
  /** Resolves when everything is written, or after `limitMs`. */
  readonly flush: (limitMs: number) => Promise<void>;
  /** For the last moment of the process. */
  readonly flushNow: () => void;
}

/** Opens the configured log. Lines go to `log.write`, else to standard output. */
export function openServerLog(options: ServeOptions): OpenLog {
  const { profile, log: { write: take, ...logging } = {} } = options;
  const redaction = new Redaction();
  redaction.hold(secretsOf(options));
  if (take) {
    const write = (line: string): void => take(line.trimEnd());
    const log = openLog({ ...logging, format: 'line' }, redaction, write, { withTime: false });
    return { log, redaction, lost: () => 0, flush: () => Promise.resolve(), flushNow: () => {} };
  }
  const { format = profile === 'production' ? 'json' : 'line' } = logging;
  const output = new LogOutput(1, (lost) => log.warn(`${lost} log lines were lost`));
  const log = openLog({ ...logging, format }, redaction, (line) => output.write(line));
  return {
    log,
    redaction,
    lost: () => output.lost,
    flush: (limitMs) => output.flush(limitMs),
    flushNow: () => output.flushNow(),
  };
}

/**
 * Starts the gateway and its HTTP API at `/rest-api`.
 *
 * @throws ServerError (rejection) `INVALID_ARGUMENT`, `PORT_UNAVAILABLE`; nothing stays open then
 */
export async function serve(options: ServeOptions = {}): Promise<ServeHandle> {
  return serveLogged(options, openServerLog(options));
}

/** Like `serve`, with an open log. */
export async function serveLogged(
  options: ServeOptions,
  { log, redaction, lost, flush }: OpenLog,
): Promise<ServeHandle> {
  const { profile = 'dev', http = {} } = options;
  const { port = 8081, listeners: more = [] } = http;
  const isProduction = profile === 'production';
  const host = http.host ?? (isProduction ? '0.0.0.0' : '127.0.0.1');
  const isLocal = [host, ...more.map((one) => one.host ?? host)].every(isLoopback);
  const policy = openPolicy(options);
  const https = httpsOf(options);
  const certificate =
    https || more.some((one) => one.https === true)
      ? await openCertificate(https ?? {}, stateDirOf(options.stateDir), Date.now())
      : undefined;
  const authorize = await openAccess(options, isLocal, log, showOnce);
  const gate = new RequestGate({
    // A page that abuses DNS rebinding has no password. Without passwords, only our own names are allowed.
    allowedHosts: http.allowedHosts ?? (authorize ? undefined : []),
    requestsPerSecond: http.requestsPerSecond ?? (isProduction ? 50 : 0),
    startupsPerSecond: http.startupsPerSecond ?? (isProduction ? 10 : 0),
    now: () => performance.now(),
  });
  const gateway = await openGateway(options, policy, log);
  redaction.follow(gateway);
  const opened: (() => unknown)[] = [];
  try {
    const events = openEvents(gateway, options, policy, log);
    opened.push(() => events.close(0));
    const cors = corsOf(http.cors) ?? (!isProduction && isLocal && !authorize ? '*' : undefined);
    const router = createRestRouter(gateway, {
      ...(authorize && { authorize }),
      ...(cors && { cors }),
      admit: gate.admit,
      onInternalError: (error) => log.child({ area: 'rest' }).error(describe(error)),
    });
    opened.push(() => router.close());
    const pages = http.console === false ? undefined : new ConsolePages(http.consoleDir);
    const metrics = new GatewayMetrics(gateway, {
      linesLost: lost,
      connections: () => listeners.stats,
    });
    opened.push(() => metrics.close());
    const ffmpeg = new FfmpegWatch(gateway, log.child({ area: 'media' }));
    ffmpeg.start();
    opened.push(() => ffmpeg.close());
    const status = new StatusPages(gateway, metrics, ffmpeg);
    const handler = handlerOf(router, gate, [status, ...(pages ? [pages] : [])], log);
    const { maxConnections = DEFAULT_CONNECTIONS } = http;
    const { maxConnectionsPerAddress = Math.ceil(maxConnections / 2) } = http;
    const listeners = new Listeners(handler, {
      most: maxConnections,
      mostPerNetwork: maxConnectionsPerAddress,
      keepAliveMs: http.keepAliveMs ?? DEFAULT_KEEP_ALIVE_MS,
    });
    opened.push(() => void listeners.close()());
    const httpPort = await listeners.open(host, port, undefined, 'http.port');
    const httpsPort =
      https && (await listeners.open(host, https.port ?? 8444, certificate, 'https.port'));
    for (const [index, one] of more.entries()) {
      const secured = one.https === true ? certificate : undefined;
      await listeners.open(one.host ?? host, one.port, secured, `http.listeners.${index}.port`);
    }
    if (pages?.isBuilt === false) log.warn('no console: it is not built (npm run build)');
    if (certificate) opened.push(watchCertificate(certificate, options, listeners, log));
    if (!isLocal && !authorize)
      log.warn('anyone who can reach this address can place calls: set a user and password');
    let closing: Promise<void> | undefined;
    const origin = originOf('http', host, httpPort);
    return {
      url: origin + router.mount,
      httpsUrl:
        httpsPort === undefined ? undefined : originOf('https', host, httpsPort) + router.mount,
      consoleUrl: pages?.isBuilt ? `${origin}/console/` : undefined,
      port: httpPort,
      httpsPort,
      gateway,
      drain: (deadlineMs) => gateway.drain(deadlineMs),
      close: (graceMs = 5000) => {
        closing ??= close(graceMs);
        return closing;
      },
    };

    async function close(graceMs: number): Promise<void> {
      const end = listeners.close();
      await within(graceMs, gateway.close());
      // The ends of the calls are events as well.
      await events.close();
      await end();
      for (const stop of opened) stop();
      await flush(LOG_FLUSH_MS);
    }
  } catch (error) {
    for (const stop of opened) stop();
    await gateway.close();
    throw error;
  }
}

/** The rules for outgoing connections. Undefined: no limits. @throws ServerError naming the list */
export function openPolicy({ profile, outgoing }: ServeOptions): OutgoingPolicy | undefined {
  if (profile !== 'production' && outgoing === undefined) return undefined;
  try {
    return new OutgoingPolicy({ ...outgoing, lan: outgoing?.lan ?? profile !== 'production' });
  } catch (error) {
    throw asServerError(error);
  }
}

/** Options of HTTPS. Undefined: off. */
export function httpsOf({ profile, https = {} }: ServeOptions): Https | undefined {
  const { enabled = profile === 'production' || https.certFile !== undefined, ...options } = https;
  return enabled ? options : undefined;
}

function corsOf(cors: readonly string[] | undefined): '*' | readonly string[] | undefined {
  return cors?.includes('*') ? '*' : cors;
}

function handlerOf(
  router: RestRouter,
  gate: RequestGate,
  pages: readonly (ConsolePages | StatusPages)[],
  log: ServerLogger,
): ListenerHandler {
  const listener = nodeListener(router);
  const requestLog = log.child({ area: 'rest' });
  const checkPage = async (request: IncomingMessage): Promise<void> => {
    const { authorization, host } = request.headers;
    const clientAddress = addressOf(request);
    gate.admit({ clientAddress, host, isStartup: false });
    await router.authorize({ authorization, clientAddress }, 'read');
  };
  /** Connections that close after their current answer; pipelined requests are not answered. */
  const leaving = new WeakSet<Socket>();
  const answerPage = (request: IncomingMessage, response: ServerResponse): void => {
    try {
      gate.admitPage(addressOf(request));
    } catch (error) {
      leaving.add(request.socket);
      sendFailure(response, error);
      return;
    }
    if (!pages.some((one) => one.answer(request, response, checkPage)))
      void listener(request, response);
  };
  return {
    request: (request, response) => {
      if (leaving.has(request.socket)) return;
      if (requestLog.isLevelEnabled('debug')) logRequest(requestLog, request, response);
      const isQuery = request.url?.startsWith(`${router.mount}/`) === true;
      if (isQuery && isReadable(request)) void listener(request, response);
      else answerPage(request, response);
    },
    upgrade: (request, socket, head) => {
      if (!router.upgrade(request, socket, head)) socket.destroy();
    },
  };
}

/** An unreadable request gets 400 before the router, and so the gate, sees it. */
function isReadable({ url = '', headers: { host = 'localhost' } }: IncomingMessage): boolean {
  return (
    !url.includes('\\') &&
    /^(?:[\w.-]+|\[[\da-f:.]+\])(?::\d+)?$/i.test(host) &&
    URL.canParse(`http://${host}`)
  );
}

/** Logs the certificate, and adopts a new one. @returns a function that stops watching */
function watchCertificate(
  first: Certificate,
  options: ServeOptions,
  listeners: Listeners,
  log: ServerLogger,
): () => void {
  let current = first;
  const tell = ({ isSelfSigned, fingerprint256, expiresMs }: Certificate): void => {
    const kind = isSelfSigned ? 'self-signed certificate' : 'certificate';
    const until = new Date(expiresMs).toISOString().slice(0, 10);
    log.info(`${kind} until ${until}, SHA-256 ${fingerprint256}`);
    if (expiresMs < Date.now()) log.warn('the certificate has expired');
  };
  tell(first);
  const look = async (): Promise<void> => {
    const stateDir = stateDirOf(options.stateDir);
    const found = await openCertificate(httpsOf(options) ?? {}, stateDir, Date.now());
    if (found.fingerprint256 === current.fingerprint256) return;
    current = found;
    listeners.renew(found);
    tell(found);
  };
  const timer = setInterval(() => {
    look().catch((error: unknown) => log.warn(describe(error)));
  }, CERTIFICATE_CHECK_MS).unref();
  return () => clearInterval(timer);
}

function originOf(scheme: string, host: string, port: number): string {
  return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}`;
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

function addressOf({ socket }: IncomingMessage): string {
  return (socket.remoteAddress ?? 'unknown').replace(/^::ffff:/, '');
}

/** Logs one line per response. The query is left out because it may contain a token. */
function logRequest(log: ServerLogger, request: IncomingMessage, response: ServerResponse): void {
  const startMs = performance.now();
  const { method = '', url = '' } = request;
  const [path = ''] = url.split('?', 1);
  const client = addressOf(request);
  response.once('close', () => {
    const ms = Math.round(performance.now() - startMs);
    const { statusCode: status } = response;
    log.child({ method, path, status, ms, client }).debug(`${method} ${path} ${status} ${ms} ms`);
  });
}

/** Bypasses the log, which is stored and passed on. */
function showOnce(line: string): void {
  process.stderr.write(`sipcast: ${line}\n`);
}
