// `sipcast serve` as a process of its own, and what can be seen of it from outside.

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';
import { join } from 'node:path';
import { PrintedLines } from '../../test/support/printed-lines.ts';
import { pause } from './pace.ts';

/** How a server is started. */
export interface ServerProcessOptions {
  /** Path of the program. */
  readonly program: string;
  readonly stateDir: string;
  /** Its configuration, without `stateDir` and the addresses of HTTP. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Default: one that is free. */
  readonly httpPort?: number;
  /** A module that is loaded before the program, with a channel for messages. */
  readonly preload?: URL;
  readonly environment?: Readonly<Record<string, string>>;
}

/** A question to the server. */
export interface Question {
  readonly method?: string;
  /** Sent as it is. */
  readonly body?: string | Buffer;
  readonly headers?: Readonly<Record<string, string>>;
  /** Address that the connection comes from. Default `127.0.0.1`. */
  readonly from?: string;
}

/** What it answers. */
export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

interface CallStatuses {
  readonly status: string;
  readonly rtmpStreamStatus: string | null;
}

const START_TIMEOUT_MS = 60_000;
const ANSWER_TIMEOUT_MS = 30_000;

/** A running server. */
export class ServerProcess {
  /** `performance.now()` when it was spawned. */
  readonly spawnedMs: number = performance.now();
  readonly #process: ChildProcess;
  readonly #printed: PrintedLines;
  #port = 0;
  #sipPort = 0;
  #authorization: string | undefined;

  constructor(options: ServerProcessOptions) {
    const { program, stateDir, config, preload, environment } = options;
    const file = join(stateDir, 'sipcast.json');
    const { http, ...rest } = config;
    writeFileSync(
      file,
      JSON.stringify({
        log: { format: 'line' },
        ...rest,
        stateDir,
        http: { ...(http as object), host: '127.0.0.1', port: options.httpPort ?? 0 },
      }),
    );
    const isTypeScript = preload?.href.endsWith('.ts') === true;
    const imports = [...(isTypeScript ? ['tsx'] : []), ...(preload ? [preload.href] : [])];
    this.#process = spawn(
      process.execPath,
      [...imports.flatMap((module) => ['--import', module]), program, 'serve', '--config', file],
      {
        env: { ...process.env, ...environment },
        cwd: isTypeScript ? process.cwd() : stateDir,
        stdio: ['ignore', 'pipe', 'pipe', ...(preload ? (['ipc'] as const) : [])],
      },
    );
    this.#printed = new PrintedLines(this.#process);
    const account = environment?.['SIPCAST_BASIC_AUTH'];
    if (account !== undefined)
      this.#authorization = `Basic ${Buffer.from(account).toString('base64')}`;
  }

  /** Resolves when it says where it serves. */
  async started(): Promise<void> {
    const [, port, sipPort] = await this.line(
      /HTTP API at http:\/\/127\.0\.0\.1:(\d+)\S*(?: and \S+)?, SIP port (\d+)/,
    );
    this.#port = Number(port);
    this.#sipPort = Number(sipPort);
    const password = /user admin, password (\S+) /.exec(this.output)?.[1];
    if (password !== undefined)
      this.#authorization ??= `Basic ${Buffer.from(`admin:${password}`).toString('base64')}`;
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  get port(): number {
    return this.#port;
  }

  get sipPort(): number {
    return this.#sipPort;
  }

  /** Everything printed, in lines. */
  get lines(): readonly string[] {
    return this.#printed.all;
  }

  /** Everything printed. */
  get output(): string {
    return this.#printed.text;
  }

  /** Resolves with the exit code, or the name of the signal. */
  get exited(): Promise<number | string> {
    return this.#printed.exited;
  }

  /** Headers of somebody who may do everything. */
  get credentials(): Readonly<Record<string, string>> {
    return this.#authorization === undefined ? {} : { authorization: this.#authorization };
  }

  /** The first line that matches, printed already or later. */
  line(pattern: RegExp, timeoutMs = START_TIMEOUT_MS): Promise<RegExpExecArray> {
    return this.#printed.first(pattern, timeoutMs);
  }

  /** Asks by a path as it stands; a connection of its own. @throws when there is no answer */
  ask(path: string, question: Question = {}): Promise<Answer> {
    const { body, from = '127.0.0.1', method = body === undefined ? 'GET' : 'POST' } = question;
    return new Promise((resolve, reject) => {
      const request = httpRequest(
        {
          host: '127.0.0.1',
          port: this.#port,
          localAddress: from,
          agent: false,
          path,
          method,
          timeout: ANSWER_TIMEOUT_MS,
          headers: {
            ...this.credentials,
            ...(body !== undefined && {
              'content-type': 'application/json',
              'content-length': Buffer.byteLength(body),
            }),
            ...question.headers,
          },
        },
        (response) => {
          let text = '';
          response.setEncoding('utf8');
          response.on('data', (part: string) => (text += part));
          response.on('error', reject);
          response.on('end', () =>
            resolve({ status: response.statusCode ?? 0, headers: response.headers, text }),
          );
        },
      );
      request.on('timeout', () => request.destroy(new Error('No answer')));
      request.on('error', reject);
      request.end(body);
    });
  }

  /**
   * As `ask`, and again while it answers 503, for twenty seconds: the RTP ports of calls that have ended rest for one, and what is
   * refused for want of them was not tried.
   */
  async askUntilTaken(path: string, question: Question): Promise<Answer> {
    let answer = await this.ask(path, question);
    for (let again = 0; answer.status === 503 && again < 80; again++) {
      await pause(250);
      answer = await this.ask(path, question);
    }
    return answer;
  }

  /** A query of the API. */
  query(path: string, body: Readonly<Record<string, unknown>> = {}): Promise<Answer> {
    return this.ask(`/rest-api${path}`, { body: JSON.stringify(body) });
  }

  /** As `query`, and what it found; undefined for anything but 200. */
  async found<T>(
    path: string,
    body: Readonly<Record<string, unknown>> = {},
  ): Promise<T | undefined> {
    const { status, text } = await this.query(path, body);
    return status === 200 ? (JSON.parse(text) as T) : undefined;
  }

  /** Resolves when a call has this status, its own or that of its RTMP stream. @throws when it is gone, or too late */
  async reached(callId: string, status: string): Promise<void> {
    const untilMs = performance.now() + START_TIMEOUT_MS;
    for (;;) {
      const [call] = (await this.found<CallStatuses[]>('/call/find', { callId })) ?? [];
      if (call?.status === status || call?.rtmpStreamStatus === status) return;
      if (!call || performance.now() > untilMs) {
        const found = call ? `${call.status} and ${call.rtmpStreamStatus}` : 'gone';
        throw new Error(`${callId} did not reach ${status}: ${found}\n${this.output.slice(-2000)}`);
      }
      await pause(20);
    }
  }

  /** Asks the module that was loaded before the program. */
  probe<T>(question: string): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#process.once('message', (answer) => resolve(answer as T));
      this.#process.send(question, (error) => {
        if (error) reject(error);
      });
    });
  }

  /** Resident memory, in octets. */
  rssBytes(): number {
    const [, pages = '0'] = readFileSync(`/proc/${this.pid}/statm`, 'utf8').split(' ');
    return Number(pages) * 4096;
  }

  /** Open files, sockets among them. */
  openFiles(): number {
    return readdirSync(`/proc/${this.pid}/fd`).length;
  }

  /** Processes that it started, and theirs. */
  descendants(): readonly number[] {
    return descendantsOf(this.pid);
  }

  signal(name: NodeJS.Signals): void {
    this.#process.kill(name);
  }

  /** Ends it in any case, and what it started. */
  async kill(): Promise<void> {
    const children = this.#printed.ended ? [] : this.descendants();
    if (!this.#printed.ended) this.#process.kill('SIGKILL');
    await this.exited;
    for (const pid of children) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // Gone with it, as it should.
      }
    }
  }
}

/** Children and theirs; Linux alone can say. */
function descendantsOf(pid: number): readonly number[] {
  const found: number[] = [];
  const tasks = `/proc/${pid}/task`;
  if (!existsSync(tasks)) return found;
  for (const task of readdirSync(tasks)) {
    try {
      const children = readFileSync(join(tasks, task, 'children'), 'utf8')
        .split(' ')
        .filter(Boolean);
      for (const child of children.map(Number)) found.push(child, ...descendantsOf(child));
    } catch {
      // The thread ended meanwhile.
    }
  }
  return found;
}

/** Whether a process runs; one that only waits to be collected does not. */
export function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** Whether a process has ended, and waits to be collected. */
export function isZombie(pid: number): boolean {
  try {
    return /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** Its arguments, or nothing. */
export function argumentsOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}
