// Serves the built console from memory, under a strict Content-Security-Policy.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { describeError } from '@sipcast/rest';
import { pathAndQuery } from './request-target.ts';

const FILES: Readonly<Record<string, string>> = {
  'index.html': 'text/html; charset=utf-8',
  'console.js': 'text/javascript; charset=utf-8',
  'console.css': 'text/css; charset=utf-8',
  'icon.svg': 'image/svg+xml',
};

const HEADERS = {
  // Nothing from other origins, nothing inline, and no HTML from strings. Players keep their media in `blob:` URLs.
  'content-security-policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    'media-src blob:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; '),
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cache-control': 'no-cache',
};

const NOT_BUILT = 'The console is not built: npm run build';

interface Page {
  readonly type: string;
  readonly bytes: Buffer;
  readonly packed: Buffer;
  readonly tag: string;
}

/** The files of the console. */
export class ConsolePages {
  /** Empty if the console is not built. */
  readonly #pages: ReadonlyMap<string, Page>;

  /** @param folder - Folder of a build of the console. Default: this package's own. */
  constructor(folder?: string) {
    const folders = folder === undefined ? ownFolders() : [folder];
    this.#pages = folders.map(readPages).find((pages) => pages !== undefined) ?? new Map();
  }

  /** Whether the console can be served. */
  get isBuilt(): boolean {
    return this.#pages.size > 0;
  }

  /**
   * Answers a request for `/` or `/console/…`.
   * @param check - Rejects with a `RestError` if the client may not see it.
   * @returns false if the request is for something else
   */
  answer(
    request: IncomingMessage,
    response: ServerResponse,
    check: (request: IncomingMessage) => Promise<void>,
  ): boolean {
    const { method, url } = request;
    if (method !== 'GET' && method !== 'HEAD') return false;
    const [path = '', query] = pathAndQuery(url).split('?', 2);
    const name = /^\/console\/([a-z.]*)$/.exec(path)?.[1];
    if (path === '/' || path === '/console') {
      // Relative, because a proxy may serve it under another path.
      const location = `./console/${query === undefined ? '' : `?${query}`}`;
      response.writeHead(302, { location }).end();
      return true;
    }
    if (name === undefined) return false;
    void check(request).then(
      () => this.#answerChecked(request, response, name),
      (error: unknown) => {
        const { status, message, headers: more = {} } = describeError(error);
        send(response, status, message, more);
      },
    );
    return true;
  }

  #answerChecked(request: IncomingMessage, response: ServerResponse, name: string): void {
    if (!this.isBuilt) return send(response, 503, NOT_BUILT);
    const page = this.#pages.get(name === '' ? 'index.html' : name);
    if (page) this.#sendPage(request, response, page);
    else send(response, 404, 'No such page');
  }

  #sendPage({ headers }: IncomingMessage, response: ServerResponse, page: Page): void {
    const common = { ...HEADERS, etag: page.tag, vary: 'Accept-Encoding' };
    if (headers['if-none-match'] === page.tag) {
      response.writeHead(304, common).end();
      return;
    }
    const takesGzip = /\bgzip\b/.test(headers['accept-encoding'] ?? '');
    const bytes = takesGzip ? page.packed : page.bytes;
    response.writeHead(200, {
      ...common,
      'content-type': page.type,
      'content-length': bytes.length,
      ...(takesGzip ? { 'content-encoding': 'gzip' } : {}),
    });
    // For HEAD, Node sends only the head.
    response.end(bytes);
  }
}

/** Beside the program or, when it runs from sources, in the build folder. */
function ownFolders(): readonly string[] {
  return ['./console/', '../../dist/console/'].map((path) =>
    fileURLToPath(new URL(path, import.meta.url)),
  );
}

function readPages(folder: string): ReadonlyMap<string, Page> | undefined {
  const pages = new Map<string, Page>();
  try {
    for (const [name, type] of Object.entries(FILES)) {
      const bytes = readFileSync(join(folder, name));
      const tag = `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 22)}"`;
      pages.set(name, { type, bytes, packed: gzipSync(bytes), tag });
    }
    return pages;
  } catch {
    return undefined;
  }
}

function send(
  response: ServerResponse,
  status: number,
  text: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  const type = 'text/plain; charset=utf-8';
  response.writeHead(status, { ...HEADERS, 'content-type': type, ...headers }).end(`${text}\n`);
}
