#!/usr/bin/env node
// The `sipcast` program. Exit codes: 0 after an orderly end, 1 if it cannot start, 2 for an invalid command line or
// configuration, 3 after an internal error.

import { readFileSync } from 'node:fs';
import { HELP, parseCommand, UsageError } from './command/arguments.ts';
import type { Command } from './command/arguments.ts';
import { runCall } from './command/call.ts';
import { runDoctor } from './command/doctor.ts';
import { runPasswd } from './command/passwd.ts';
import { runPush } from './command/push.ts';
import { runServe } from './command/serve.ts';
import { ConfigError } from './config/read.ts';
import { ServerError } from './errors.ts';
import { loadConfig } from './command/load-config.ts';

function fail(exitCode: number, ...problems: readonly string[]): never {
  for (const problem of problems) process.stderr.write(`sipcast: ${problem}\n`);
  process.exit(exitCode);
}

function version(): string {
  const manifest = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
}

async function run(command: Command): Promise<void> {
  switch (command.kind) {
    case 'help':
      return void process.stdout.write(HELP);
    case 'version':
      return void process.stdout.write(`${version()}\n`);
    case 'serve':
      return runServe(command.config);
    case 'call':
      process.exitCode = await runCall(command.config, command.call);
      return undefined;
    case 'push':
      process.exitCode = await runPush(command.push);
      return undefined;
    case 'doctor':
      process.exitCode = await runDoctor(command.config);
      return undefined;
    case 'config-check':
      await loadConfig({ configFile: command.file, overrides: [] });
      return void process.stdout.write(`${command.file}: valid\n`);
    case 'passwd':
      return runPasswd(command, process.stdin, process.stdout);
  }
}

// Losing the reader of the output must not end calls.
process.stdout.on('error', () => {});
process.stderr.on('error', () => {});
try {
  const command = parseCommand(process.argv.slice(2), process.env);
  // Variables may contain passwords, which no child process needs.
  for (const name of Object.keys(process.env))
    if (name.startsWith('SIPCAST_')) delete process.env[name];
  await run(command);
} catch (error) {
  if (error instanceof UsageError) fail(2, `${error.message}. See sipcast --help.`);
  if (error instanceof ConfigError) fail(2, ...error.message.split('\n'));
  if (error instanceof ServerError) fail(error.code === 'INVALID_ARGUMENT' ? 2 : 1, error.message);
  throw error;
}
