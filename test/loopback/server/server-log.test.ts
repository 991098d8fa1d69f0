// The log of the server as a program: JSON and lines, levels by area, and a reader that has stopped.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { openGateway, openPhone } from '../../support/call-ends.ts';
import { afterTest } from '../../support/cleanup.ts';
import { makeFolder } from '../../support/folder.ts';
import { Script } from '../../support/script.ts';

const CLI = 'packages/server/src/cli.ts';

async function folder(): Promise<string> {
  const dir = await makeFolder();
  return dir;
}

function start(args: readonly string[], environment: NodeJS.ProcessEnv = {}): Script {
  const script = new Script(
    CLI,
    ['serve', '--port', '0', '--no-transcoding', ...args],
    environment,
  );
  afterTest(() => script.kill());
  return script;
}

function post(url: string, body: unknown): Promise<Response> {
  const headers = { 'content-type': 'application/json' };
  return fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
}

describe('the log of a server', () => {
  it('is JSON in production, each call with its fields, and the first password beside it', async () => {
    const [dir, phone] = [await folder(), await openPhone()];
    const script = start(
      [
        '--profile',
        'production',
        '--host',
        '127.0.0.1',
        '--https-port',
        '0',
        '--state-dir',
        dir,
        '--lan',
      ],
      { SIPCAST_LOG_AREAS_SIP: 'debug', SIPCAST_OUTGOING_SIP_PORTS: '1-65535' },
    );
    const [, url = ''] = await script.line(/HTTP API at (\S+) and/);
    const [, password = ''] = await script.line(
      /^sipcast: first start: user admin, password (\S+) /,
    );
    const authorization = `Basic ${Buffer.from(`admin:${password}`).toString('base64')}`;
    const startup = await fetch(`${url}/call/startup`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization },
      body: JSON.stringify({ callId: 'c1', callee: phone.uri }),
    });
    expect(startup.status).toBe(200);
    await script.line(/-> ESTABLISHED/);
    script.signal('SIGTERM');
    await phone.nextCall().then((call) => call.hangUp());
    expect(await script.exited).toBe(0);
    const records = script.lines
      .filter((line) => !line.startsWith('sipcast: '))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const statuses = records.filter(({ area }) => area === 'call');
    expect(statuses.map(({ callId, status }) => [callId, status])).toEqual([
      ['c1', 'PENDING'],
      ['c1', 'TRYING'],
      ['c1', 'RING'],
      ['c1', 'ESTABLISHED'],
      ['c1', 'FINISH'],
    ]);
    expect(statuses.at(-1)).toMatchObject({
      level: 'info',
      previous: 'ESTABLISHED',
      msg: 'ESTABLISHED -> FINISH (Normal call clearing)',
    });
    const messages = records.filter(({ area }) => area === 'sip').map(({ msg }) => String(msg));
    expect(messages[0]).toMatch(/^INVITE sip:\S+ to 127\.0\.0\.1:\d+, c1$/);
    expect(messages).toContainEqual(expect.stringMatching(/^200 OK \(\d+ INVITE\) from \S+, c1$/));
    expect(JSON.stringify(records)).not.toContain(password);
  });

  it('takes levels from file, variable and option, the later before the former', async () => {
    const dir = await folder();
    const file = join(dir, 'c.yaml');
    await writeFile(file, 'log: {level: silent, areas: {rest: error, server: error}}\n');
    const phone = await openPhone();
    const script = start(
      ['--config', file, '--set', 'log.areas.server=info', '--set', 'log.areas.rest=debug'],
      { SIPCAST_LOG_AREAS_SERVER: 'warn', SIPCAST_LOG_LEVEL: 'error' },
    );
    const [, url = ''] = await script.line(/HTTP API at (\S+),/);
    await post(`${url}/call/startup?token=abc`, { callId: 'c1', callee: phone.uri });
    await script.line(/debug: POST \/rest-api\/call\/startup 200 \d+ ms$/);
    await phone.nextCall().then((call) => call.confirmed);
    expect(script.output).not.toContain('->');
    expect(script.output).not.toContain('abc');
    const wrong = start(['--log-level', 'loud']);
    expect(await wrong.exited).toBe(2);
    expect(wrong.lines[0]).toMatch(/^sipcast: --log-level: log\.level: /);
  });

  it('costs lines, but no call, when it is not read', async () => {
    const child = spawn(
      process.execPath,
      [
        '--conditions=source',
        '--import',
        'tsx',
        CLI,
        'serve',
        '--port',
        '0',
        '--no-transcoding',
        '--log-level',
        'debug',
        '--set',
        'gateway.maxLoopLagMs=0',
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const exited = once(child, 'exit');
    afterTest(async () => {
      child.kill('SIGKILL');
      await exited;
    });
    let output = '';
    child.stdout.setEncoding('utf8');
    const read = (text: string): void => void (output += text);
    child.stdout.on('data', read);
    await expect.poll(() => output, { timeout: 20_000 }).toMatch(/HTTP API at \S+,/);
    const url = /HTTP API at (\S+),/.exec(output)?.[1] ?? '';
    child.stdout.pause();
    const lost = async (): Promise<number> => {
      const text = await (await fetch(new URL('/metrics', url))).text();
      return Number(/^sipcast_log_lines_lost_total (\d+)$/m.exec(text)?.[1]);
    };
    expect(await lost()).toBe(0);
    // Long lines: a megabyte may wait, and what pipes and the reader hold.
    const path = `${url}/${'x'.repeat(1000)}`;
    await expect
      .poll(
        async () => {
          await Promise.all(Array.from({ length: 100 }, async () => (await fetch(path)).text()));
          return lost();
        },
        { timeout: 60_000, interval: 1 },
      )
      .toBeGreaterThan(0);
    const phone = await openPhone();
    expect((await post(`${url}/call/startup`, { callId: 'c1', callee: phone.uri })).status).toBe(
      200,
    );
    const call = await phone.nextCall();
    await call.confirmed;
    // Somebody reads again: the log goes on, and says what is missing.
    child.stdout.resume();
    await expect
      .poll(() => output, { timeout: 20_000 })
      .toMatch(/warning: \d+ log lines were lost/);
    child.stdout.pause();
    child.kill('SIGTERM');
    expect(await call.ended).toMatchObject({ by: 'caller', how: 'bye' });
    expect(await exited).toEqual([0, null]);
  }, 120_000);
});

describe('the log of a gateway', () => {
  it('goes to pino as it is, with a child for each call', async () => {
    const lines: string[] = [];
    const logger = pino({ base: null }, { write: (line: string) => void lines.push(line) });
    const phone = await openPhone();
    const gateway = await openGateway({ logger });
    const call = await gateway.startup({ callId: 'c1', callee: phone.uri });
    await call.established();
    await call.terminate();
    const records = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(records.map(({ callId, area, status }) => [callId, area, status])).toEqual(
      ['PENDING', 'TRYING', 'RING', 'ESTABLISHED', 'FINISH'].map((s) => ['c1', 'call', s]),
    );
  });
});
