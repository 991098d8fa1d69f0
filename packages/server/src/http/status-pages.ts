// `/health`, `/ready` and `/metrics`, for monitoring.

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { CallGateway } from '@sipcast/core';
import { describeError } from '@sipcast/rest';
import type { FfmpegWatch } from './ffmpeg-watch.ts';
import type { GatewayMetrics } from './gateway-metrics.ts';
import { pathAndQuery } from './request-target.ts';

const NO_FFMPEG =
  '{"status":"not ready","reason":"ffmpeg is missing or does not work; see the log"}\n';

/** Answers monitoring requests. */
export class StatusPages {
  readonly #gateway: CallGateway;
  readonly #metrics: GatewayMetrics;
  readonly #ffmpeg: FfmpegWatch;

  constructor(gateway: CallGateway, metrics: GatewayMetrics, ffmpeg: FfmpegWatch) {
    this.#gateway = gateway;
    this.#metrics = metrics;
    this.#ffmpeg = ffmpeg;
  }

  /**
   * Answers a request for one of the pages. `/health`: the process responds. `/ready`: new calls are accepted; 503
   * while the server drains, or while the ffmpeg that calls need is missing or broken. Both are public and reveal
   * nothing more; the path is in the log. `/metrics` requires read access.
   *
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
    const [path] = pathAndQuery(url).split('?', 1);
    if (path === '/health') {
      send(response, 200, '{"status":"up"}\n');
      return true;
    }
    if (path === '/ready') {
      if (this.#gateway.isDraining)
        send(response, 503, '{"status":"draining"}\n', { 'retry-after': '60' });
      else if (this.#ffmpeg.problem !== undefined) send(response, 503, NO_FFMPEG);
      else send(response, 200, '{"status":"ready"}\n');
      return true;
    }
    if (path !== '/metrics') return false;
    void check(request)
      .then(() => this.#metrics.text())
      .then(
        (text) => send(response, 200, text, { 'content-type': this.#metrics.contentType }),
        (error: unknown) => sendFailure(response, error),
      );
    return true;
  }
}

/** Explains in plain text why a requested page is not available. */
export function sendFailure(response: ServerResponse, error: unknown): void {
  const { status, message, headers } = describeError(error);
  send(response, status, `${message}\n`, {
    'content-type': 'text/plain; charset=utf-8',
    ...headers,
  });
}

function send(
  response: ServerResponse,
  status: number,
  text: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  response
    .writeHead(status, {
      'content-type': 'application/json',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      ...headers,
    })
    .end(text);
}
