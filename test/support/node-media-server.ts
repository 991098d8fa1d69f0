// Node-Media-Server in a process of its own, as it is installed from npm.

import { createRequire } from 'node:module';
import { freeTcpPort, waitForTcp } from './ports.ts';
import { start } from './programs.ts';
import type { Running } from './programs.ts';

/** A running Node-Media-Server. */
export interface NodeMediaServer {
  /** `rtmp://127.0.0.1:port/live`. */
  readonly url: string;
  /** `http://127.0.0.1:port/live`: streams as `<name>.flv` below it. */
  readonly httpUrl: string;
  readonly running: Running;
  /** SIGSTOP: it reads nothing, and its connections stay. */
  pause(): void;
  /** Undoes it. */
  unpause(): void;
  stop(): Promise<void>;
}

/**
 * Starts it on free ports.
 *
 * @param dir - For what it stores.
 * @param publishSecret - Signs the names that may be published. Default: anybody may.
 */
export async function startNodeMediaServer(
  dir: string,
  { publishSecret }: { readonly publishSecret?: string } = {},
): Promise<NodeMediaServer> {
  const [rtmp, http] = [await freeTcpPort(), await freeTcpPort()];
  const auth = publishSecret === undefined ? {} : { publish: true, secret: publishSecret };
  const config = {
    bind: '127.0.0.1',
    rtmp: { port: rtmp },
    http: { port: http },
    store: { path: `${dir}/store` },
    auth: { play: false, publish: false, ...auth },
  };
  const path = createRequire(import.meta.url).resolve('node-media-server');
  const program = `new (require(${JSON.stringify(path)}))(${JSON.stringify(config)}).run()`;
  const running = start('node', ['--input-type=commonjs', '-e', program], { cwd: dir });
  try {
    await waitForTcp(rtmp);
    await waitForTcp(http);
  } catch (error) {
    throw new Error(`Node-Media-Server did not start: ${running.output()}`, { cause: error });
  }
  return {
    url: `rtmp://127.0.0.1:${rtmp}/live`,
    httpUrl: `http://127.0.0.1:${http}/live`,
    running,
    pause: () => void running.child.kill('SIGSTOP'),
    unpause: () => void running.child.kill('SIGCONT'),
    stop: () => running.stop('SIGKILL'),
  };
}
