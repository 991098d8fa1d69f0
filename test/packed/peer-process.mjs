// Starts the other ends, and asks them what came there.

import { fork } from 'node:child_process';
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';

/** The process of the phone, the RTMP sink and the application. */
export class PeerProcess {
  #child;
  #exited;
  #pending = new Map();
  #number = 0;

  /** @param app - The folder with the installed packages. */
  static async open(app) {
    const file = join(app, 'peers.mjs');
    await copyFile(new URL('peers.mjs', import.meta.url), file);
    const peers = new PeerProcess(fork(file, { cwd: app }));
    Object.assign(peers, await peers.ask('addresses'));
    return peers;
  }

  constructor(child) {
    this.#child = child;
    child.on('message', ({ number, value, problem }) => {
      const { resolve, reject } = this.#pending.get(number);
      this.#pending.delete(number);
      if (problem === undefined) resolve(value);
      else reject(new Error(`The phone's process: ${problem}`));
    });
    this.#exited = new Promise((resolve) => child.on('exit', resolve));
    void this.#exited.then((code) => {
      for (const { reject } of this.#pending.values())
        reject(new Error(`The phone's process ended with ${code}`));
    });
  }

  ask(question, ...words) {
    const number = this.#number++;
    return new Promise((resolve, reject) => {
      this.#pending.set(number, { resolve, reject });
      this.#child.send({ number, question, words });
    });
  }

  /** Asks until `holds` of the answer. */
  async until(what, holds, question, ...words) {
    const deadline = performance.now() + 30_000;
    for (;;) {
      const value = await this.ask(question, ...words);
      if (value !== null && holds(value)) return value;
      if (performance.now() > deadline) {
        const found = JSON.stringify(value);
        throw new Error(`The phone's process has not seen ${what}, but ${question}: ${found}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async close() {
    this.#child.disconnect();
    await this.#exited;
  }
}
