// `/health`, `/ready` and `/metrics`: for whatever watches the server.

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { CallGateway } from '@sipcast/core';
import { describeError } from '@sipcast/rest';
import type { FfmpegWatch } from './ffmpeg-watch.ts';
import type { GatewayMetrics } from './gateway-metrics.ts';
import { pathAndQuery } from './request-target.ts';

const NO_FFMPEG =
  '{"status":"not ready","reason":"ffmpeg is gone or does not work; the log says more"}\n';

/** Answers those who watch. */
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
   * Answers a request for one of the pages. `/health`: the process answers. `/ready`: new calls are taken; 503 while it drains, and
   * while the ffmpeg that calls need is gone or broken. Both are for everybody and say no more than that: the path is in the log. `/metrics` is for who may read.
   *
   * @param check - Rejects with a `RestError` when whoever asks may not see it.
   * @returns false when it is for something else
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

/** Tells somebody who wanted a page, in plain words, why there is none. */
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
