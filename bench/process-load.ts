// What a process costs, as the system counts it. Other processes can be looked at on Linux only.

import { existsSync, readdirSync, readFileSync } from 'node:fs';

/** True where other processes' processor time and memory can be read. */
export const canReadProcesses: boolean =
  existsSync('/proc/self/schedstat') && existsSync('/proc/self/smaps_rollup');

/** Processor time of all threads since the start, user and system. */
export function cpuSeconds(pid: number): number {
  let nanoseconds = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    nanoseconds += Number(
      readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0],
    );
  }
  return nanoseconds / 1e9;
}

/** Memory of a process in octets. */
export interface Memory {
  /** Resident, shared pages included. */
  readonly rssBytes: number;
  /** Resident, each shared page divided by the number of processes that share it. */
  readonly pssBytes: number;
}

/** Memory at this moment. */
export function memory(pid: number): Memory {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const field = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? Number.NaN) * 1024;
  return { rssBytes: field('Rss'), pssBytes: field('Pss') };
}
