// `sipcast passwd`: makes the hash of a password, or a token, for the configuration.

import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { saveUser, stateDirOf } from '../access/access.ts';
import { UsageError } from './arguments.ts';
import type { Command } from './arguments.ts';
import { hashPassword, hashToken, randomSecret } from '../access/password-hash.ts';

const MIN_CHARACTERS = 8;

/** @throws UsageError (rejection) for a password that is none; ServerError when it cannot be kept */
export async function runPasswd(
  { user, scope, isToken, isSaved, stateDir }: Extract<Command, { kind: 'passwd' }>,
  input: Readable & { isTTY?: boolean },
  output: Writable,
): Promise<void> {
  const write = (line: string): void => void output.write(`${line}\n`);
  if (isToken) {
    if (isSaved) throw new UsageError('A token stands in the configuration: not with --save');
    const token = randomSecret();
    write(`# The token, shown this once: ${token}`);
    write(`tokens:\n  - name: ${JSON.stringify(user)}`);
    write(`    hash: ${hashToken(token)}\n    scope: ${scope}`);
    return;
  }
  if (!/^[^:\p{Cc}]{1,64}$/u.test(user)) throw new UsageError('A user name has no colon');
  const password = await readPassword(input);
  // The documented default of the API that is re-created: an operator may want it on loopback.
  if (password.length < MIN_CHARACTERS && !(user === 'admin' && password === 'admin'))
    throw new UsageError(`A password has at least ${MIN_CHARACTERS} characters`);
  const hash = await hashPassword(password);
  if (isSaved) {
    await saveUser(stateDirOf(stateDir), { name: user, password: hash, scope });
    write(`Kept in ${stateDirOf(stateDir)}: a server without users in its configuration takes it`);
    return;
  }
  write(`users:\n  - name: ${JSON.stringify(user)}\n    password: ${hash}\n    scope: ${scope}`);
}

/** One line; nothing of it is shown. */
async function readPassword(input: Readable & { isTTY?: boolean }): Promise<string> {
  const isTerminal = input.isTTY === true;
  // Readline echoes what it reads to its output: it has none but for the question.
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
