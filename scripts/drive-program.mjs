// Starts the installed program as the guide says, in both profiles, and asks it with curl.
import { execFile, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const sh = promisify(execFile);

/** What the guide's queries answer, with or without the user. */
const QUERIES = [
  ['POST', '/call/find_all', undefined, 404],
  ['GET', '/call/find_all', undefined, 404],
  ['GET', '/call/history', undefined, 200],
  ['POST', '/call/startup', '{}', 400],
  ['POST', '/call/startup', '{"callee":', 400],
  ['POST', '/call/terminate', '{"callId":"none"}', 404],
  ['GET', '/call/terminate', undefined, 405],
  ['POST', '/push/find_all', '{}', 404],
  ['POST', '/no/such', '{}', 404],
];

async function curl(...args) {
  const { stdout } = await sh('curl', ['-sk', '-o', '/dev/null', '-w', '%{http_code}', ...args]);
  return Number(stdout);
}

async function expect(status, ...args) {
  const found = await curl(...args);
  if (found !== status)
    throw new Error(`curl ${args.join(' ')} answers ${found}, and not ${status}`);
}

/** Starts `npx sipcast serve` and waits for its addresses. */
async function start(app, stateDir, ...args) {
  const child = spawn('npx', ['--no-install', 'sipcast', 'serve', '--port', '0', ...args], {
    cwd: app,
    env: { ...process.env, STATE_DIRECTORY: stateDir },
    // One group: a signal to npx alone might not reach the program.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = new Promise((resolve) => child.on('close', resolve));
  let output = '';
  // The first password is shown beside the log.
  let shown = '';
  child.stderr.setEncoding('utf8').on('data', (text) => {
    shown += text;
    process.stderr.write(text);
  });
  child.stdout.setEncoding('utf8');
  const urls = await new Promise((resolve, reject) => {
    child.stdout.on('data', (text) => {
      output += text;
      const found = /HTTP API at (\S+?)(?: and (\S+))?, SIP/.exec(output);
      if (found) resolve(found.slice(1).filter(Boolean));
    });
    void exited.then(() => reject(new Error(`The program ended: ${output}`)));
  });
  const stop = async () => {
    process.kill(-child.pid, 'SIGTERM');
    const code = await exited;
    // npx tells a program that ended by itself after a signal as 0 or as the signal.
    if (code !== 0 && code !== null && code !== 143)
      throw new Error(`The program ended with ${code}`);
  };
  return { urls, stop, password: () => /password (\S+) /.exec(shown)?.[1] };
}

async function query(url, ...account) {
  for (const [method, path, body, status] of QUERIES) {
    const data = body === undefined ? [] : ['-H', 'content-type: application/json', '-d', body];
    await expect(status, '-X', method, ...account, ...data, url + path);
  }
}

/** @param app - A folder where the package is installed. */
export async function driveProgram(app) {
  const stateDir = await mkdtemp(join(tmpdir(), 'sipcast-state-'));
  const common = ['--no-transcoding'];
  try {
    const dev = await start(app, stateDir, ...common);
    try {
      await query(dev.urls[0]);
      await expect(200, new URL('/console/', dev.urls[0]).href);
    } finally {
      await dev.stop();
    }
    const production = ['--profile', 'production', '--host', '127.0.0.1', '--https-port', '0'];
    const first = await start(app, stateDir, ...common, ...production);
    const password = first.password();
    try {
      if (first.urls.length !== 2 || password === undefined)
        throw new Error('No HTTPS, or no first password');
      for (const url of first.urls) {
        await expect(401, `${url}/call/history`);
        await query(url, '-u', `admin:${password}`);
        await expect(401, new URL('/console/', url).href);
        await expect(200, '-u', `admin:${password}`, new URL('/console/', url).href);
      }
      await expect(401, '-u', 'admin:admin', `${first.urls[0]}/call/history`);
    } finally {
      await first.stop();
    }
    const again = await start(app, stateDir, ...common, ...production);
    try {
      await expect(200, '-u', `admin:${password}`, `${again.urls[1]}/call/history`);
    } finally {
      await again.stop();
    }
  } finally {
    await rm(stateDir, { recursive: true, force: true });
  }
}
