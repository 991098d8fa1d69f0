#!/usr/bin/env node
// The program `sipcast`. Exit codes: 0 after an orderly end, 1 when it cannot start, 2 for a wrong command line.

import { readFileSync } from 'node:fs';
import { HELP, parseCommand, UsageError } from './arguments.ts';
import type { Command } from './arguments.ts';
import { ServerError } from './errors.ts';
import { serve } from './serve.ts';
import type { ServeOptions } from './serve.ts';

function fail(exitCode: number, problem: string): never {
  process.stderr.write(`sipcast: ${problem}\n`);
  process.exit(exitCode);
}

function readCommand(): Command {
  try {
    return parseCommand(process.argv.slice(2), process.env);
  } catch (error) {
    if (error instanceof UsageError) fail(2, `${error.message}. See sipcast --help.`);
    throw error;
  }
}

function log(line: string): void {
  process.stdout.write(`${new Date().toISOString()} ${line}\n`);
}

async function run(options: ServeOptions): Promise<void> {
  const server = await serve({ ...options, log }).catch((error: unknown) => {
    if (!(error instanceof ServerError)) throw error;
    return fail(error.code === 'INVALID_ARGUMENT' ? 2 : 1, error.message);
  });
  let stopping = false;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (stopping) process.exit(1);
      stopping = true;
      log(`${signal}: ending ${server.gateway.calls.length} calls; once more to exit at once`);
      void server.close().then(() => process.exit(0));
    });
  }
  log(`HTTP API at ${server.url}, SIP port ${server.gateway.sipPort}`);
  if (server.consoleUrl !== undefined) log(`Console at ${server.consoleUrl}`);
}

// A reader that went away must not end calls.
process.stdout.on('error', () => {});
const command = readCommand();
if (command.kind === 'help') process.stdout.write(HELP);
else if (command.kind === 'serve') await run(command.options);
else {
  const manifest = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  const { version } = JSON.parse(manifest) as { version: string };
  process.stdout.write(`${version}\n`);
}
