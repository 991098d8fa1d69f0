// `sipcast serve`: starts, drains at the first signal, and exits at once at the second.

import type { ConfigArguments } from './arguments.ts';
import { ServerError } from '../errors.ts';
import { loadConfig, placed } from './load-config.ts';
import { openServerLog, serveLogged } from '../serve/serve.ts';
import { STOP_SIGNALS } from './stop-signals.ts';

/** In the production profile, running calls may continue for this long. */
const DRAIN_MS = 30_000;
/** After an internal error: the time for BYEs. */
const LAST_GRACE_MS = 2000;

/** @throws ConfigError, ServerError `PORT_UNAVAILABLE` (rejections): the server has not started */
export async function runServe(args: ConfigArguments): Promise<void> {
  const loaded = await loadConfig(args);
  const { config, options } = loaded;
  const opened = openServerLog(options);
  const { log } = opened;
  process.on('exit', opened.flushNow);
  const server = await serveLogged(options, opened).catch((error: unknown) => {
    if (error instanceof ServerError && error.code === 'INVALID_ARGUMENT')
      throw placed(error, loaded);
    throw error;
  });
  const { drainMs = config.profile === 'production' ? DRAIN_MS : 0 } = config;
  let isStopping = false;
  for (const signal of STOP_SIGNALS) {
    process.on(signal, () => {
      if (isStopping) process.exit(1);
      isStopping = true;
      const { length } = server.gateway.calls.live;
      const patience =
        drainMs > 0 && length > 0
          ? `${length} calls may finish within ${Math.ceil(drainMs / 1000)} s`
          : `ending ${length} calls`;
      log.info(`${signal}: ${patience}; repeat to exit at once`);
      void server
        .drain(drainMs)
        .then(() => {
          const left = server.gateway.calls.live.length;
          if (left > 0 && drainMs > 0) log.info(`ending ${left} calls`);
          return server.close();
        })
        .then(() => process.exit(0));
    });
  }
  const end = async (isClosing: boolean): Promise<void> => {
    if (!isClosing)
      await server.close(LAST_GRACE_MS).catch((error: unknown) => {
        log.error(`closing failed: ${String(error)}`);
      });
    await opened.flush(LAST_GRACE_MS);
    process.exit(3);
  };
  process.on('uncaughtException', (error: unknown) => {
    const words = error instanceof Error ? (error.stack ?? error.message) : String(error);
    log.error(`internal error, stopping the server: ${words}`);
    void end(isStopping);
    isStopping = true;
  });
  const places = [server.url, server.httpsUrl].filter((url) => url !== undefined);
  log.info(`HTTP API at ${places.join(' and ')}, SIP port ${server.gateway.sipPort}`);
  if (server.consoleUrl !== undefined) log.info(`Console at ${server.consoleUrl}`);
}
