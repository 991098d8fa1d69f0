// How the server hands out the console: what it is made of does not matter here.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { get } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { serve } from 'sipcast';
import type { ServeHandle, ServeOptions } from 'sipcast';
import { describe, expect, it } from 'vitest';
import { afterTest } from '../../support/cleanup.ts';
import { makeFolder } from '../../support/folder.ts';

const FILES = {
  'index.html': '<p>page',
  'console.js': 'run()',
  'console.css': 'p{}',
  'icon.svg': '<svg/>',
};

async function openServer(
  http: ServeOptions['http'] = {},
  options: ServeOptions = {},
): Promise<ServeHandle & { origin: string; lines: string[] }> {
  const dir = await makeFolder();
  for (const [name, text] of Object.entries(FILES)) await writeFile(join(dir, name), text);
  const lines: string[] = [];
  const server = await serve({
    ...options,
    http: { port: 0, consoleDir: dir, ...http },
    gateway: { transcoding: false },
    log: { write: (line) => lines.push(line) },
  });
  afterTest(() => server.close());
  return { ...server, origin: `http://127.0.0.1:${server.port}`, lines };
}

describe('the console', () => {
  it('is at /console/, where / leads to, with the query', async () => {
    const { origin, consoleUrl } = await openServer();
    expect(consoleUrl).toBe(`${origin}/console/`);
    for (const path of ['/', '/console']) {
      const moved = await fetch(`${origin}${path}?call=1`, { redirect: 'manual' });
      expect([moved.status, moved.headers.get('location')]).toEqual([302, './console/?call=1']);
    }
    for (const [name, text] of Object.entries(FILES))
      expect(await (await fetch(`${origin}/console/${name}`)).text()).toBe(text);
    const page = await fetch(`${origin}/?call=1`);
    expect([page.url, await page.text()]).toEqual([`${origin}/console/?call=1`, '<p>page']);
  });

  it('lets nothing inline and nothing foreign run', async () => {
    const { headers } = await fetch((await openServer()).consoleUrl ?? '');
    const policy = headers.get('content-security-policy') ?? '';
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("script-src 'self';");
    expect(policy).not.toMatch(/unsafe|https?:|\*/);
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('content-type')).toBe('text/html; charset=utf-8');
  });

  it('is sent packed to those that take it, and not again to those that have it', async () => {
    const { consoleUrl = '' } = await openServer();
    const response = await new Promise<IncomingMessage>((resolve) => {
      get(`${consoleUrl}console.js`, { headers: { 'accept-encoding': 'br, gzip' } }, resolve);
    });
    const parts: Buffer[] = [];
    for await (const part of response) parts.push(part as Buffer);
    expect(gunzipSync(Buffer.concat(parts)).toString()).toBe('run()');
    const etag = response.headers.etag ?? '';
    const again = await fetch(`${consoleUrl}console.js`, { headers: { 'if-none-match': etag } });
    expect([again.status, await again.text()]).toEqual([304, '']);
    const head = await fetch(`${consoleUrl}console.js`, { method: 'HEAD' });
    expect([head.status, await head.text()]).toEqual([200, '']);
  });

  it('is for those that have the account, where there is one', async () => {
    const basicAuth = { username: 'user', password: 'word' };
    const { consoleUrl = '' } = await openServer({}, { basicAuth });
    const refused = await fetch(consoleUrl);
    expect(refused.status).toBe(401);
    expect(refused.headers.get('www-authenticate')).toMatch(/^Basic /);
    const authorization = `Basic ${Buffer.from('user:word').toString('base64')}`;
    expect((await fetch(consoleUrl, { headers: { authorization } })).status).toBe(200);
  });

  it('leaves everything else to the API, also files that it does not have', async () => {
    const { origin } = await openServer();
    for (const path of ['/console/other.js', '/console/../package.json', '/console/%2e%2e/x'])
      expect((await fetch(origin + path)).status).toBe(404);
    expect((await fetch(`${origin}/console/`, { method: 'POST' })).status).toBe(404);
    expect((await fetch(`${origin}/rest-api/call/history`)).status).toBe(200);
  });

  it('says that it is not built, and can be switched off', async () => {
    const absent = await openServer({ consoleDir: '/nowhere' });
    expect(absent.consoleUrl).toBeUndefined();
    expect(absent.lines).toContain('warning: no console: it is not built (npm run build)');
    const page = await fetch(`${absent.origin}/console/`);
    expect([page.status, await page.text()]).toEqual([
      503,
      'The console is not built: npm run build\n',
    ]);
    const off = await openServer({ console: false });
    expect((await fetch(off.origin)).status).toBe(404);
    expect([off.consoleUrl, off.lines]).toEqual([undefined, []]);
  });
});
