// nginx with its RTMP module, recording everything that is published to it.

import { mkdirSync, readdirSync, readlinkSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freeTcpPort, waitForTcp } from './ports.ts';
import { start } from './programs.ts';
import type { Running } from './programs.ts';
import { until } from './wait.ts';

/** A running nginx. */
export interface NginxRtmp {
  readonly port: number;
  /** `rtmp://127.0.0.1:port/live`. */
  readonly url: string;
  /** Recorded files, oldest first. */
  recordings(): string[];
  /** Recorded files whose path has this in it, oldest first, when nginx has closed them: there is at least one. */
  finished(name?: string): Promise<readonly string[]>;
  /** SIGKILL: no goodbye to anybody. */
  kill(): Promise<void>;
  /** SIGSTOP: it reads nothing, and its connections stay. */
  pause(): void;
  /** Undoes it. */
  unpause(): void;
  /** Starts it again; resolves when its port is open. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts nginx on a free port; its files are in `dir`. */
export async function startNginxRtmp(dir: string): Promise<NginxRtmp> {
  const port = await freeTcpPort();
  const recordDir = join(dir, 'record');
  mkdirSync(recordDir, { recursive: true });
  mkdirSync(join(dir, 'logs'), { recursive: true });
  const config = join(dir, 'nginx.conf');
  writeFileSync(
    config,
    `load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
daemon off;
master_process off;
pid ${dir}/nginx.pid;
error_log ${dir}/error.log info;
events { worker_connections 256; }
rtmp {
  access_log off;
  server {
    listen 127.0.0.1:${port};
    application live {
      live on;
      record all;
      record_path ${recordDir};
      record_suffix -%s.flv;
      record_unique on;
    }
  }
}
`,
  );
  let running: Running | undefined;
  const open = async (): Promise<void> => {
    running = start('nginx', ['-c', config, '-p', dir]);
    try {
      await waitForTcp(port);
    } catch (error) {
      throw new Error(`nginx did not start: ${running.output()}`, { cause: error });
    }
  };
  await open();
  const recordings = (): string[] =>
    readdirSync(recordDir)
      .map((name) => join(recordDir, name))
      .toSorted((a, b) => statSync(a).birthtimeMs - statSync(b).birthtimeMs);
  const openFiles = (): string[] => {
    const folder = `/proc/${running?.child.pid}/fd`;
    return readdirSync(folder).flatMap((name) => {
      try {
        return readlinkSync(join(folder, name));
      } catch {
        // Closed in between.
        return [];
      }
    });
  };
  const kill = async (): Promise<void> => {
    await running?.stop('SIGKILL');
  };
  return {
    port,
    url: `rtmp://127.0.0.1:${port}/live`,
    recordings,
    finished: async (name = '') => {
      const named = (): string[] => recordings().filter((path) => path.includes(name));
      const isFinished = (): boolean => {
        const files = named();
        return files.length > 0 && !openFiles().some((path) => files.includes(path));
      };
      await until(isFinished, `nginx has closed its recordings ${name}`);
      return named();
    },
    kill,
    pause: () => void running?.child.kill('SIGSTOP'),
    unpause: () => void running?.child.kill('SIGCONT'),
    restart: open,
    stop: kill,
  };
}
