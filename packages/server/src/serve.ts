// The gateway with its HTTP API on its ports: what `sipcast serve` runs.

import type { IncomingMessage } from 'node:http';
import { createRestRouter, nodeListener } from '@sipcast/rest';
import type { RestRouter } from '@sipcast/rest';
import { openAccess, stateDirOf } from './access.ts';
import { openCertificate } from './certificate.ts';
import type { Certificate, CertificateOptions } from './certificate.ts';
import { ConsolePages } from './console-pages.ts';
import { describe, ServerError } from './errors.ts';
import { GatewayMetrics } from './gateway-metrics.ts';
import { openEvents } from './event-deliveries.ts';
import { Listeners } from './listeners.ts';
import type { ListenerHandler } from './listeners.ts';
import { openGateway } from './open-gateway.ts';
import { OutgoingPolicy, PolicyError } from './outgoing-policy.ts';
import { RequestGate } from './request-gate.ts';
import type { ServeHandle, ServeOptions } from './serve-options.ts';
import { StatusPages } from './status-pages.ts';
import { logStatuses, printable } from './status-log.ts';

type Https = CertificateOptions & { readonly port?: number | undefined };

/** How often the certificate is looked at: it may have been replaced, or be over soon. */
const CERTIFICATE_CHECK_MS = 3_600_000;

/**
 * Starts the gateway and its HTTP API at `/rest-api`.
 *
 * @throws ServerError (rejection) `INVALID_ARGUMENT`, `PORT_UNAVAILABLE`; nothing is left open then.
 */
export async function serve(options: ServeOptions = {}): Promise<ServeHandle> {
  const { profile = 'dev', port = 8081, log = logToStandardOutput, listeners: more = [] } = options;
  const isProduction = profile === 'production';
  const host = options.host ?? (isProduction ? '0.0.0.0' : '127.0.0.1');
  const isLocal = [host, ...more.map((one) => one.host ?? host)].every(isLoopback);
  const policy = openPolicy(options);
  const https = httpsOf(options);
  const certificate =
    https || more.some((one) => one.https === true)
      ? await openCertificate(https ?? {}, stateDirOf(options.stateDir), Date.now())
      : undefined;
  const authorize = await openAccess(options, isLocal, log);
  const gate = new RequestGate({
    // A page that borrows our address has no password; without one, only our own names count.
    allowedHosts: options.allowedHosts ?? (authorize ? undefined : []),
    requestsPerSecond: options.requestsPerSecond ?? (isProduction ? 50 : 0),
    startupsPerSecond: options.startupsPerSecond ?? (isProduction ? 10 : 0),
    now: () => performance.now(),
  });
  const gateway = await openGateway(options, policy, log);
  const opened: (() => unknown)[] = [logStatuses(gateway, log)];
  try {
    const events = openEvents(gateway, options, policy, log);
    opened.push(() => events.close(0));
    const cors = corsOf(options) ?? (!isProduction && isLocal && !authorize ? '*' : undefined);
    const router = createRestRouter(gateway, {
      ...(authorize && { authorize }),
      ...(cors && { cors }),
      admit: gate.admit,
      onInternalError: (error) => log(`error: ${printable(describe(error))}`),
    });
    opened.push(() => router.close());
    const pages = openConsole(options.console ?? true);
    const metrics = new GatewayMetrics(gateway);
    opened.push(() => metrics.close());
    const status = new StatusPages(gateway, metrics);
    const handler = handlerOf(router, gate, [status, ...(pages ? [pages] : [])]);
    const listeners = new Listeners(handler, options.maxConnections ?? 256);
    opened.push(() => void listeners.close()());
    const httpPort = await listeners.open(host, port, undefined, 'port');
    const httpsPort =
      https && (await listeners.open(host, https.port ?? 8444, certificate, 'https.port'));
    for (const [index, one] of more.entries()) {
      const secured = one.https === true ? certificate : undefined;
      await listeners.open(one.host ?? host, one.port, secured, `listeners.${index}.port`);
    }
    if (pages?.isBuilt === false) log('warning: no console: it is not built (npm run build)');
    if (certificate) opened.push(watchCertificate(certificate, options, listeners, log));
    if (!isLocal && !authorize)
      log('warning: everyone who reaches this address can place calls: set a user and password');
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
      // The ends of the calls are events, too.
      await events.close();
      await end();
      for (const stop of opened) stop();
    }
  } catch (error) {
    for (const stop of opened) stop();
    await gateway.close();
    throw error;
  }
}

/** The rules for connections of ours; undefined: all may be made. @throws ServerError naming the list */
export function openPolicy({ profile, outgoing }: ServeOptions): OutgoingPolicy | undefined {
  if (profile !== 'production' && outgoing === undefined) return undefined;
  try {
    return new OutgoingPolicy({ ...outgoing, lan: outgoing?.lan ?? profile !== 'production' });
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    const field = `outgoing.${error.field}`;
    throw new ServerError('INVALID_ARGUMENT', `${field}: ${error.message}`, field, error);
  }
}

function httpsOf({ profile, https = profile === 'production' }: ServeOptions): Https | undefined {
  if (typeof https === 'object') return https;
  return https ? {} : undefined;
}

function corsOf({ cors }: ServeOptions): '*' | readonly string[] | undefined {
  return cors?.includes('*') ? '*' : cors;
}

function handlerOf(
  router: RestRouter,
  gate: RequestGate,
  pages: readonly (ConsolePages | StatusPages)[],
): ListenerHandler {
  const listener = nodeListener(router);
  const checkPage = async (request: IncomingMessage): Promise<void> => {
    const { authorization, host } = request.headers;
    const clientAddress = (request.socket.remoteAddress ?? 'unknown').replace(/^::ffff:/, '');
    gate.admit({ clientAddress, host, isStartup: false });
    await router.authorize({ authorization, clientAddress }, 'read');
  };
  return {
    request: (request, response) => {
      if (!pages.some((one) => one.answer(request, response, checkPage)))
        void listener(request, response);
    },
    upgrade: (request, socket, head) => {
      if (!router.upgrade(request, socket, head)) socket.destroy();
    },
  };
}

/** Says whose certificate it is, and takes over a new one. @returns Stops it. */
function watchCertificate(
  first: Certificate,
  options: ServeOptions,
  listeners: Listeners,
  log: (line: string) => void,
): () => void {
  let current = first;
  const tell = ({ isSelfSigned, fingerprint256, expiresMs }: Certificate): void => {
    const kind = isSelfSigned ? 'self-signed certificate' : 'certificate';
    const until = new Date(expiresMs).toISOString().slice(0, 10);
    log(`${kind} until ${until}, SHA-256 ${fingerprint256}`);
    if (expiresMs < Date.now()) log('warning: the certificate is over');
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
    look().catch((error: unknown) => log(`warning: ${printable(describe(error))}`));
  }, CERTIFICATE_CHECK_MS).unref();
  return () => clearInterval(timer);
}

function openConsole(wanted: boolean | { readonly dir: string }): ConsolePages | undefined {
  if (wanted === false) return undefined;
  return new ConsolePages(wanted === true ? undefined : wanted.dir);
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

function logToStandardOutput(line: string): void {
  console.log(`${new Date().toISOString()} ${line}`);
}
