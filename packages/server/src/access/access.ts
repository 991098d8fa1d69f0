// Who may use the server: the configured users and tokens, or in production a single user with a generated password.

import { mkdir, readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Authorize } from '@sipcast/rest';
import { Authenticator } from './authenticator.ts';
import type { BearerToken, User } from './authenticator.ts';
import { describe, ServerError } from '../errors.ts';
import type { ServerLogger } from '../log/log.ts';
import { hashPassword, isPasswordHash, randomSecret, verifyPassword } from './password-hash.ts';
import { replaceFile } from '../replace-file.ts';

/** Users that are not in the configuration. */
const USERS_FILE = 'users.json';

/** Users and tokens of the server. */
export interface AccessOptions {
  readonly profile?: 'dev' | 'production';
  readonly users?: readonly User[];
  readonly tokens?: readonly BearerToken[];
  /** One user with all rights, in plain text. */
  readonly basicAuth?: { readonly username: string; readonly password: string };
  readonly stateDir?: string;
}

/** The folder for persistent state. */
export function stateDirOf(
  given: string | undefined,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): string {
  if (given !== undefined) return given;
  const { STATE_DIRECTORY, XDG_STATE_HOME } = environment;
  if (STATE_DIRECTORY !== undefined && STATE_DIRECTORY !== '')
    return STATE_DIRECTORY.split(':')[0] ?? STATE_DIRECTORY;
  return join(XDG_STATE_HOME || join(homedir(), '.local', 'state'), 'sipcast');
}

/**
 * How requests are authorized. Undefined: everyone is allowed.
 * @param isLoopback - The server is reachable from this machine only.
 * @param announce - Shows the line with a generated password, which must not go to the log.
 * @throws ServerError (rejection) `INVALID_ARGUMENT` naming `users`, `tokens` or `basicAuth`
 */
export async function openAccess(
  options: AccessOptions,
  isLoopback: boolean,
  log: ServerLogger,
  announce: (line: string) => void,
): Promise<Authorize | undefined> {
  const { profile = 'dev', basicAuth, tokens = [] } = options;
  const users = [...(options.users ?? [])];
  if (basicAuth?.password === '')
    throw new ServerError(
      'INVALID_ARGUMENT',
      'basicAuth: the password is empty',
      'basicAuth.password',
    );
  if (basicAuth)
    users.push({ name: basicAuth.username, password: await hashPassword(basicAuth.password) });
  if (profile === 'production' && users.length === 0 && tokens.length === 0)
    users.push(...(await keptUsers(stateDirOf(options.stateDir), announce)));
  if (users.length === 0 && tokens.length === 0) return undefined;
  await check(users, tokens, isLoopback, log);
  const authenticator = new Authenticator({
    users,
    tokens,
    now: () => performance.now(),
    onLocked: (address) =>
      log
        .child({ area: 'rest' })
        .warn(`${address} gave five wrong passwords: refused for a minute`),
  });
  return (credentials, scope) => authenticator.check(credentials, scope);
}

async function check(
  users: readonly User[],
  tokens: readonly BearerToken[],
  isLoopback: boolean,
  log: ServerLogger,
): Promise<void> {
  const names = new Set<string>();
  for (const [index, { name, password }] of users.entries()) {
    const field = `users.${index}`;
    if (names.has(name))
      throw new ServerError('INVALID_ARGUMENT', `users: ${name} is listed twice`, `${field}.name`);
    names.add(name);
    if (!isPasswordHash(password)) {
      const problem = `users: the password of ${name} must be what sipcast passwd prints`;
      throw new ServerError('INVALID_ARGUMENT', problem, `${field}.password`);
    }
    if (name !== 'admin' || !(await verifyPassword('admin', password))) continue;
    // The default account of the documented API, which is public knowledge.
    if (!isLoopback)
      throw new ServerError(
        'INVALID_ARGUMENT',
        'users: admin with the password admin is allowed on loopback only',
        `${field}.password`,
      );
    log.warn('the password of admin is admin');
  }
  for (const [index, { hash }] of tokens.entries()) {
    if (!/^sha256\$[0-9a-f]{64}$/.test(hash)) {
      const problem = 'tokens: the hash must be what sipcast passwd --token prints';
      throw new ServerError('INVALID_ARGUMENT', problem, `tokens.${index}.hash`);
    }
  }
}

/** The users in the folder. If there are none, creates `admin` with a new password, which is shown only once. */
async function keptUsers(
  stateDir: string,
  announce: (line: string) => void,
): Promise<readonly User[]> {
  const kept = await readUsers(stateDir);
  if (kept) return kept;
  const password = randomSecret();
  await saveUser(stateDir, { name: 'admin', password: await hashPassword(password) });
  announce(
    `first start: user admin, password ${password} (shown only once; change it: sipcast passwd --save)`,
  );
  return (await readUsers(stateDir)) ?? [];
}

/** Adds a user to the folder, or changes its password. @throws ServerError (rejection) naming `stateDir` */
export async function saveUser(stateDir: string, user: User): Promise<void> {
  const others = ((await readUsers(stateDir)) ?? []).filter(({ name }) => name !== user.name);
  try {
    await mkdir(stateDir, { recursive: true, mode: 0o700 });
    const text = `${JSON.stringify([...others, user], undefined, 2)}\n`;
    await replaceFile(join(stateDir, USERS_FILE), text);
  } catch (error) {
    throw new ServerError('INVALID_ARGUMENT', `stateDir: ${describe(error)}`, 'stateDir', error);
  }
}

async function readUsers(stateDir: string): Promise<readonly User[] | undefined> {
  const path = join(stateDir, USERS_FILE);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new ServerError('INVALID_ARGUMENT', `stateDir: ${describe(error)}`, 'stateDir', error);
  }
  try {
    const users = JSON.parse(text) as readonly User[];
    if (users.every(({ name, password }) => typeof name === 'string' && isPasswordHash(password)))
      return users;
  } catch {
    // Ignored: the error below covers it.
  }
  // Creating a new password here would let in anyone who can damage the file and read the log.
  throw new ServerError(
    'INVALID_ARGUMENT',
    `${path} is damaged: remove it to start over`,
    'stateDir',
  );
}
