// One ffmpeg child process over pipes, supervised: bounded input, a watchdog, restarts, and its CPU time.
// The caller handles input and output.

import type { ChildProcessByStdio } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import type { Readable, Writable } from 'node:stream';
import { MediaError } from '../errors.ts';
import { spawnFfmpeg } from './spawn.ts';

/** Options of an {@link FfmpegChild}. */
export interface FfmpegChildOptions {
  /** Path of the binary. */
  readonly path: string;
  /** Fixed words and numbers only: nothing from a peer may appear here. */
  readonly args: readonly string[];
  /** Limit of input queued for the child; more is refused. */
  readonly maxWaitingBytes: number;
}

/** What a child reports. Never after `close()`. */
export interface FfmpegChildHandler {
  /**
   * A process is being started: the first time from within the constructor, later after each crash or hang, and from
   * within `renew`. Earlier input is lost.
   * @returns the consumer of this process's output; it is not called after a crash or a hang.
   */
  onStart(): (octets: Uint8Array) => void;
  /** It kept crashing and was given up; `TRANSCODER_FAILED` with its last output. At most once, as the last call. */
  onFailed(error: MediaError): void;
}

/** A child with input and without output for this long, counting only time in which it could run, hangs. */
const HANG_MS = 3000;
/** It gets more time for its first output: on an overloaded machine, a restart would only start over. */
const START_MS = 8000;
const WATCH_MS = 500;
const RESTART_DELAY_MS = 250;
const MAX_RESTARTS_PER_MINUTE = 3;
const KILL_AFTER_MS = 500;
/** It may have just started. */
const FINISH_MS = 2000;
/** All of it is read, so that the child never blocks; this much of its end is kept. */
const MAX_STDERR_BYTES = 64 * 1024;
const MAX_LAST_WORDS = 500;
const NICENESS = 10;
/** A child that wants the processor and gets less than this share of it is starved: a new process would not do better. */
const STARVED_SHARE = 0.5;
/** Shorter spans mean little, as the kernel counts in steps of 10 ms. */
const LOAD_SPAN_MS = 1000;
/** `USER_HZ`: 100 on every Linux that Node.js runs on. */
const TICKS_PER_SECOND = 100;

type Child = ChildProcessByStdio<Writable, Readable, Readable>;

/**
 * Runs one ffmpeg until it is closed. One that crashes, or hangs with input for three seconds, eight at its start, is started again after
 * 250 ms, at most three times a minute; the next time it is given up. Time in which other processes keep the processor from it,
 * or this process itself stands still, does not count. Nothing here throws, a shortage of processes or file descriptors included.
 */
export class FfmpegChild {
  readonly #options: FfmpegChildOptions;
  readonly #handler: FfmpegChildHandler;
  readonly #watch: NodeJS.Timeout;
  readonly #restartTimes: number[] = [];
  #child: Child | undefined;
  /** The previous process, after `renew`: it may still have output. */
  #former: Child | undefined;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;
  #restarts = 0;
  #stderr = '';
  #fedSinceOutputMs = Number.NaN;
  #patienceMs = START_MS;
  #watchedAtMs = performance.now();
  /** CPU time at the last turn of the watch, if an output was already due. */
  #watchedCpuSeconds: number | undefined;
  /** The last reading of the CPU time. */
  #cpuSeconds = 0;
  #cpuReadAtMs = 0;
  #load: number | null = null;

  constructor(options: FfmpegChildOptions, handler: FfmpegChildHandler) {
    this.#options = options;
    this.#handler = handler;
    this.#watch = setInterval(() => this.#checkHang(), WATCH_MS);
    this.#start();
  }

  /** Number of restarts after a crash or a hang. */
  get restarts(): number {
    return this.#restarts;
  }

  /**
   * Share of one processor core that the child used since the last reading, at most once a second: 0–1,
   * more for several threads. Null without `/proc`, and while no child runs.
   */
  get load(): number | null {
    const pid = this.#child?.pid;
    if (pid === undefined) return null;
    const nowMs = performance.now();
    const spanMs = nowMs - this.#cpuReadAtMs;
    if (spanMs < LOAD_SPAN_MS && this.#load !== null) return this.#load;
    const cpuSeconds = readCpuSeconds(pid);
    if (cpuSeconds === undefined) return null;
    this.#load = ((cpuSeconds - this.#cpuSeconds) * 1000) / Math.max(spanMs, 1);
    this.#cpuSeconds = cpuSeconds;
    this.#cpuReadAtMs = nowMs;
    return this.#load;
  }

  /** Whether `write` would accept octets now. */
  get writable(): boolean {
    const stdin = this.#child?.stdin;
    return (stdin?.writable ?? false) && stdin!.writableLength <= this.#options.maxWaitingBytes;
  }

  /**
   * Writes octets to the child, all of the pieces or none; they must not be modified afterwards.
   * @returns false when they are dropped: the queue is full, or no child runs.
   */
  write(...pieces: readonly Uint8Array[]): boolean {
    if (!this.writable) return false;
    if (Number.isNaN(this.#fedSinceOutputMs)) this.#fedSinceOutputMs = performance.now();
    const { stdin } = this.#child!;
    if (pieces.length > 1) stdin.cork();
    for (const piece of pieces) stdin.write(piece);
    if (pieces.length > 1) stdin.uncork();
    return true;
  }

  /**
   * Ends the input for good; the child is drained and then ends, or is killed two seconds later. It is
   * not restarted.
   * @param onDone - Called once, when all output has arrived, or none will.
   */
  finish(onDone?: () => void): void {
    const child = this.#child;
    if (this.#closed || !child || (child.stdin as Writable | undefined) === undefined) {
      this.close();
      onDone?.();
      return;
    }
    this.#closed = true;
    clearTimeout(this.#retry);
    clearInterval(this.#watch);
    if (onDone) child.once('close', onDone);
    child.stdin.end();
    const kill = setTimeout(() => child.kill('SIGKILL'), FINISH_MS);
    child.once('exit', () => clearTimeout(kill));
  }

  /**
   * Starts another process at once, not counted as a restart. The consumer of the previous one is called until
   * the new one has output.
   */
  renew(): void {
    if (this.#child === undefined) return; // A new process is due anyway, or none will follow.
    this.#former = this.#child;
    this.#release();
    this.#start();
  }

  /** Kills a child whose output is invalid; it is restarted as after a crash. */
  kill(): void {
    this.#child?.kill('SIGKILL');
  }

  /**
   * Ends the input; a child that does not end with it is killed half a second later, one that was to finish and has not at
   * once. Idempotent.
   */
  close(): void {
    if (this.#closed) {
      this.#child?.kill('SIGKILL');
      return;
    }
    this.#closed = true;
    clearTimeout(this.#retry);
    clearInterval(this.#watch);
    this.#former = undefined;
    this.#release();
  }

  #release(): void {
    const child = this.#child;
    this.#child = undefined;
    if (!child || (child.stdin as Writable | undefined) === undefined) return;
    child.stdin.end();
    const kill = setTimeout(() => child.kill('SIGKILL'), KILL_AFTER_MS);
    child.once('exit', () => clearTimeout(kill));
  }

  #start(): void {
    this.#fedSinceOutputMs = Number.NaN;
    this.#patienceMs = START_MS;
    this.#watchedCpuSeconds = undefined;
    this.#stderr = '';
    this.#cpuSeconds = 0;
    this.#cpuReadAtMs = performance.now();
    this.#load = null;
    const consume = this.#handler.onStart();
    const { path, args } = this.#options;
    let child: Child;
    try {
      child = spawnFfmpeg(path, args);
    } catch (error) {
      // Some shortages of the system are thrown, others reported by 'error'.
      this.#restartLater(error instanceof Error ? error.message : String(error));
      return;
    }
    this.#child = child;
    // Its text has the path of the binary, and is passed to clients.
    child.once('error', (error: NodeJS.ErrnoException) =>
      this.#onExit(child, `does not run (${error.code ?? 'unknown'})`),
    );
    child.once('exit', (code, signal) => this.#onExit(child, `ended with ${signal ?? code}`));
    // Without a free file descriptor there are no pipes, whatever the types say, and 'error' follows.
    if ((child.stdin as Writable | undefined) === undefined) return;
    lowerPriority(child.pid);
    child.stdout.on('data', (octets: Buffer) => {
      if (this.#child === child) {
        this.#fedSinceOutputMs = Number.NaN;
        this.#patienceMs = HANG_MS;
        this.#former = undefined;
      } else if (this.#former !== child) return;
      consume(octets);
    });
    child.stderr.on('data', (octets: Buffer) => {
      this.#stderr = (this.#stderr + octets.toString('latin1')).slice(-MAX_STDERR_BYTES);
    });
    // 'exit' follows each of these.
    for (const pipe of [child.stdin, child.stdout, child.stderr]) pipe.on('error', () => {});
  }

  #checkHang(): void {
    const nowMs = performance.now();
    const spanMs = nowMs - this.#watchedAtMs;
    this.#watchedAtMs = nowMs;
    const pid = this.#child?.pid;
    // A working child may be some milliseconds late with a frame: no need to read /proc for that.
    if (pid === undefined || !(nowMs - this.#fedSinceOutputMs >= WATCH_MS)) {
      this.#watchedCpuSeconds = undefined;
      return;
    }
    // Output from a time when this process was stalled is read after the timers.
    this.#fedSinceOutputMs += Math.max(0, spanMs - WATCH_MS);
    if (this.#isStarved(pid, spanMs)) this.#fedSinceOutputMs += Math.min(spanMs, WATCH_MS);
    if (nowMs - this.#fedSinceOutputMs < this.#patienceMs) return;
    this.#fedSinceOutputMs = Number.NaN;
    this.kill();
  }

  /** Whether it was starved for most of the last turn. False without `/proc`. */
  #isStarved(pid: number, spanMs: number): boolean {
    const before = this.#watchedCpuSeconds;
    const cpuSeconds = readCpuSeconds(pid);
    this.#watchedCpuSeconds = cpuSeconds;
    if (before === undefined || cpuSeconds === undefined || !wantsProcessor(pid)) return false;
    return (cpuSeconds - before) * 1000 < STARVED_SHARE * spanMs;
  }

  #onExit(child: Child, how: string): void {
    if (this.#closed || this.#child !== child) return;
    this.#child = undefined;
    this.#restartLater(how);
  }

  /** Decides after the delay, too: its last output may still be in the pipe. */
  #restartLater(how: string): void {
    this.#retry = setTimeout(() => {
      const nowMs = performance.now();
      const times = this.#restartTimes;
      while (times[0] !== undefined && nowMs - times[0] > 60_000) times.shift();
      if (times.length >= MAX_RESTARTS_PER_MINUTE) {
        this.#giveUp(how);
        return;
      }
      times.push(nowMs);
      this.#restarts++;
      this.#start();
    }, RESTART_DELAY_MS);
  }

  #giveUp(how: string): void {
    this.close();
    const lastWords = this.#stderr.trim().split('\n').at(-1)!.slice(0, MAX_LAST_WORDS);
    this.#handler.onFailed(
      new MediaError('TRANSCODER_FAILED', `ffmpeg ${how}${lastWords && `: ${lastWords}`}`),
    );
  }
}

/** Lowers the priority of a child process below the packets of all calls. */
export function lowerPriority(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    setPriority(pid, NICENESS);
  } catch {
    // Ignored: a sandbox may forbid it, or the child has ended already; it works without.
  }
}

/** Whether one of its threads runs or is ready to: state `R` of proc(5). A stopped or waiting one is not. */
function wantsProcessor(pid: number): boolean {
  try {
    return readdirSync(`/proc/${pid}/task`).some((thread) => {
      const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'latin1');
      return stat[stat.lastIndexOf(')') + 2] === 'R';
    });
  } catch {
    return false;
  }
}

/** `utime` and `stime` of proc(5) `/proc/<pid>/stat`: the 14th and 15th field, counted after the name in brackets. */
function readCpuSeconds(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const seconds = (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
    return Number.isFinite(seconds) ? seconds : undefined;
  } catch {
    return undefined;
  }
}
