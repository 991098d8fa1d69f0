// Where a fault run works: a folder of its own with the program in it, and everything that has to be put away afterwards.

import { copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildConsole } from '../../packages/server/console-build.ts';
import { bundle } from '../bundle.ts';
import { ServerProcess } from './server-process.ts';
import type { ServerProcessOptions } from './server-process.ts';

const SERVER = fileURLToPath(new URL('../../packages/server/', import.meta.url));

/** A folder with the program; what is opened here is closed when it is tidied up. */
export class Workshop {
  readonly folder: string;
  readonly #program: string;
  readonly #cleanups: (() => unknown)[] = [];
  readonly #servers = new Set<ServerProcess>();

  private constructor(folder: string, program: string) {
    this.folder = folder;
    this.#program = program;
  }

  /** Bundles the program with its console, as it is now: the same code as in the package, in one file. */
  static async open(): Promise<Workshop> {
    const folder = await mkdtemp(join(tmpdir(), 'sipcast-faults-'));
    const dist = join(folder, 'program', 'dist');
    await mkdir(dist, { recursive: true });
    await copyFile(join(SERVER, 'package.json'), join(folder, 'program', 'package.json'));
    const program = join(dist, 'cli.js');
    await Promise.all([
      bundle(join(SERVER, 'src/cli.ts'), program),
      buildConsole(join(dist, 'console')),
    ]);
    return new Workshop(folder, program);
  }

  /** A place of its own in the same folder, tidied up by itself. */
  branch(): Workshop {
    return new Workshop(this.folder, this.#program);
  }

  /** A new, empty folder. */
  emptyFolder(name: string): Promise<string> {
    return mkdtemp(join(this.folder, `${name}-`));
  }

  /** Starts a server and waits until it serves. */
  async startServer(
    options: Omit<ServerProcessOptions, 'program' | 'stateDir'>,
  ): Promise<ServerProcess> {
    const stateDir = await this.emptyFolder('state');
    const server = new ServerProcess({ ...options, program: this.#program, stateDir });
    this.#servers.add(server);
    await server.started();
    return server;
  }

  /** What the servers that are open printed last: for a figure that could not be taken. */
  lastWords(): string {
    return [...this.#servers].map(({ output }) => output.slice(-3000)).join('\n');
  }

  /** Ends a server before the figure does. */
  async forget(server: ServerProcess): Promise<void> {
    await server.kill();
    this.#servers.delete(server);
  }

  /** Done when the figure is. */
  later(cleanup: () => unknown): void {
    this.#cleanups.push(cleanup);
  }

  /** Ends servers and closes what was opened since the last time, the newest first. */
  async tidy(): Promise<void> {
    for (const server of this.#servers) await this.forget(server);
    for (const cleanup of this.#cleanups.splice(0).toReversed()) await cleanup();
  }

  /** Removes the folder. */
  async close(): Promise<void> {
    await this.tidy();
    await rm(this.folder, { recursive: true, force: true });
  }
}
