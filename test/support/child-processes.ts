// What this process has started and that still runs. Small images of Linux have no `ps`; other systems have no `/proc`.

import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';

/** Command lines of the children of this process, without those that have ended and wait for their exit code to be read. */
export function childCommands(): string[] {
  if (!existsSync('/proc/self/stat')) {
    const rows = execFileSync('ps', ['-A', '-o', 'ppid=,args=']).toString().split('\n');
    const ours = rows.filter((row) => Number.parseInt(row, 10) === process.pid);
    return ours.map((row) => row.trim().replace(/^\d+\s+/, ''));
  }
  const commands: string[] = [];
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      // The name in brackets may hold anything; behind it come the state and the parent.
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      if (Number(parent) !== process.pid || state === 'Z') continue;
      commands.push(readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').join(' ').trim());
    } catch {
      // It has ended in between.
    }
  }
  return commands;
}
