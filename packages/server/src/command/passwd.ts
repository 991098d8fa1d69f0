// `sipcast passwd`: creates a password hash, or a token, for the configuration.

import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { saveUser, stateDirOf } from '../access/access.ts';
import { UsageError } from './arguments.ts';
import type { Command } from './arguments.ts';
import { hashPassword, hashToken, randomSecret } from '../access/password-hash.ts';

const MIN_CHARACTERS = 8;

/** @throws UsageError (rejection) for an invalid password; ServerError if it cannot be saved */
export async function runPasswd(
  { user, scope, isToken, isSaved, stateDir }: Extract<Command, { kind: 'passwd' }>,
  input: Readable & { isTTY?: boolean },
  output: Writable,
): Promise<void> {
  const write = (line: string): void => void output.write(`${line}\n`);
  if (isToken) {
    if (isSaved)
      throw new UsageError('--save does not work with --token: tokens belong in the configuration');
    const token = randomSecret();
    write(`# The token, shown only once: ${token}`);
    write(`tokens:\n  - name: ${JSON.stringify(user)}`);
    write(`    hash: ${hashToken(token)}\n    scope: ${scope}`);
    return;
  }
  if (!/^[^:\p{Cc}]{1,64}$/u.test(user))
    throw new UsageError('A user name must not contain a colon');
  const password = await readPassword(input);
  // The documented default account of the API, which an operator may want on loopback.
  if (password.length < MIN_CHARACTERS && !(user === 'admin' && password === 'admin'))
    throw new UsageError(`A password must have at least ${MIN_CHARACTERS} characters`);
  const hash = await hashPassword(password);
  if (isSaved) {
    await saveUser(stateDirOf(stateDir), { name: user, password: hash, scope });
    write(`Saved in ${stateDirOf(stateDir)}: used by a server without users in its configuration`);
    return;
  }
  write(`users:\n  - name: ${JSON.stringify(user)}\n    password: ${hash}\n    scope: ${scope}`);
}

/** Reads one line without showing it. */
async function readPassword(input: Readable & { isTTY?: boolean }): Promise<string> {
  const isTerminal = input.isTTY === true;
  // Readline echoes its input to its output, so it gets none except for the prompt.
  if (isTerminal) process.stderr.write('Password: ');
  const lines = createInterface({ input, terminal: isTerminal });
  try {
    for await (const line of lines) return line;
  } finally {
    lines.close();
    if (isTerminal) process.stderr.write('\n');
  }
  return '';
}
