// Starts the installed program in its folder as the guide says, with `npx`.

import { execFile, spawn } from 'node:child_process';
import { promisify } from 'node:util';

const sh = promisify(execFile);

/** A running `npx sipcast serve`. */
export class Program {
  #child;
  #exited;
  #output = '';
  #shown = '';
  urls = [];

  /** Resolves when its addresses are told. */
  static async start(app, stateDir, ...args) {
    const program = new Program(app, stateDir, args);
    await program.#ready();
    return program;
  }

  constructor(app, stateDir, args) {
    this.#child = spawn('npx', ['--no-install', 'sipcast', 'serve', ...args], {
      cwd: app,
      env: { ...process.env, STATE_DIRECTORY: stateDir },
      // A group of its own: whatever happens, all of it can be ended.
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#exited = new Promise((resolve) => {
      this.#child.on('close', (code, signal) => resolve(code ?? signal));
    });
    this.#child.stdout.setEncoding('utf8').on('data', (text) => (this.#output += text));
    this.#child.stderr.setEncoding('utf8').on('data', (text) => (this.#shown += text));
  }

  /** The first password, which is shown beside the log. */
  get password() {
    return /password (\S+) /.exec(this.#shown)?.[1];
  }

  get log() {
    return this.#output + this.#shown;
  }

  /** SIGTERM to the program alone: npx passes on what it gets, and a second one would not be orderly. */
  async terminate() {
    const { stdout } = await sh('ps', ['-A', '-o', 'pid=,pgid=,args=']);
    const own = stdout
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .filter(
        ([, group, , file = '']) => Number(group) === this.#child.pid && file.endsWith('sipcast'),
      );
    if (own.length !== 1) throw new Error(`Which of them is the program?\n${stdout}`);
    process.kill(Number(own[0][0]), 'SIGTERM');
  }

  /** Fails unless it ended with 0. */
  async ended() {
    const code = await this.#exited;
    if (code !== 0) throw new Error(`The program ended with ${code}:\n${this.log}`);
  }

  async stop() {
    await this.terminate();
    await this.ended();
  }

  /** Ends whatever is left. Idempotent. */
  kill() {
    try {
      process.kill(-this.#child.pid, 'SIGKILL');
    } catch {
      // There is nothing left.
    }
  }

  async #ready() {
    let isOver = false;
    void this.#exited.then(() => (isOver = true));
    const deadline = performance.now() + 60_000;
    for (;;) {
      const found = /HTTP API at (http\S+?)(?: and (https\S+?))?, SIP/.exec(this.#output);
      if (found) {
        this.urls = found.slice(1).filter(Boolean);
        return;
      }
      if (isOver || performance.now() > deadline) {
        this.kill();
        throw new Error(`The program does not start:\n${this.log}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}
