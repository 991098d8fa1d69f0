// `sipcast push`: pushes a named stream of a running server to one more RTMP server, with a live status line.

import { setTimeout as pause } from 'node:timers/promises';
import { RestClient, RestClientError } from '@sipcast/rest/client';
import type { RtmpPushView } from '@sipcast/core';
import type { PushArguments } from './arguments.ts';
import { describe } from '../errors.ts';
import { printable } from '../printable.ts';
import { StatusLine } from './status-line.ts';
import { onStopSignal } from './stop-signals.ts';

const PERIOD_MS = 1000;
/** A server that does not respond for this long is gone. */
const MAX_SILENCE_MS = 15_000;
const REQUEST_TIMEOUT_MS = 5000;

/**
 * Starts the push, and returns when it has ended.
 * @returns the exit code: 0 if the stream ended or Ctrl-C was pressed, else 1
 */
export async function runPush(request: PushArguments): Promise<number> {
  const { server, streamName, rtmpUrl, isMuted, basicAuth, token } = request;
  const client = new RestClient({
    url: server,
    timeoutMs: REQUEST_TIMEOUT_MS,
    ...(basicAuth && { basicAuth }),
    ...(token !== undefined && { token }),
  });
  const line = new StatusLine(process.stdout);
  let push: RtmpPushView;
  try {
    const wanted = { streamName, rtmpUrl, rtmpTransponderFullUrl: true, muted: isMuted };
    push = await client.startPush(wanted);
  } catch (error) {
    process.stderr.write(`sipcast: ${problemOf(error)}\n`);
    return 1;
  }
  const stop = new AbortController();
  const forget = onSignals(stop, line);
  try {
    return await watch(client, push, stop.signal, line);
  } finally {
    forget();
  }
}

async function watch(
  client: RestClient,
  started: RtmpPushView,
  stop: AbortSignal,
  line: StatusLine,
): Promise<number> {
  const { mediaSessionId } = started;
  let push: RtmpPushView | undefined = started;
  let answeredMs = performance.now();
  let wasActive = false;
  for (;;) {
    if (stop.aborted) return end(client, mediaSessionId, line);
    if (push === undefined) {
      line.say(
        wasActive
          ? 'ENDED: the stream has ended'
          : 'ENDED: the stream has ended before it was published',
      );
      return wasActive ? 0 : 1;
    }
    line.show(describePush(push));
    wasActive ||= push.status === 'RTMP_STREAM_ACTIVE';
    if (push.status === 'RTMP_CONNECTION_FAILED') {
      line.say(`FAILED: ${printable(push.lastError ?? 'gave up')}`);
      await terminate(client, mediaSessionId, line);
      return 1;
    }
    await pause(PERIOD_MS, undefined, { signal: stop }).catch(() => {
      // Ignored: the signal ends the wait.
    });
    if (stop.aborted) continue;
    try {
      const found = await client.findPushes({ streamName: started.streamName });
      push = found.find((one) => one.mediaSessionId === mediaSessionId);
      answeredMs = performance.now();
    } catch (error) {
      if (error instanceof RestClientError && error.status < 500) {
        line.say(`FAILED: ${problemOf(error)}`);
        return 1;
      }
      if (performance.now() - answeredMs < MAX_SILENCE_MS) continue;
      line.say(`FAILED: ${problemOf(error)}`);
      return 1;
    }
  }
}

async function end(client: RestClient, mediaSessionId: string, line: StatusLine): Promise<number> {
  if (!(await terminate(client, mediaSessionId, line))) return 1;
  line.say('ENDED');
  return 0;
}

/** @returns whether the push is gone; says why where it is not. */
async function terminate(
  client: RestClient,
  mediaSessionId: string,
  line: StatusLine,
): Promise<boolean> {
  try {
    await client.terminatePush(mediaSessionId);
  } catch (error) {
    // It has meanwhile ended by itself.
    if (error instanceof RestClientError && error.status === 404) return true;
    line.say(`The push continues: ${problemOf(error)}`);
    return false;
  }
  return true;
}

/**
 * The first signal ends the push. The second ends the program, and the push continues. @returns a function that stops
 * listening
 */
function onSignals(stop: AbortController, line: StatusLine): () => void {
  const onSignal = (): void => {
    if (stop.signal.aborted) process.exit(1);
    line.say('ending the push; press Ctrl-C again to exit at once');
    stop.abort();
  };
  return onStopSignal(onSignal);
}

/** Describes a push in one line. */
function describePush(push: RtmpPushView): string {
  const { status, width, height, bytesSent, droppedFrames, reconnects, muted, lastError } = push;
  const parts: string[] = [status, `${(bytesSent / 1e6).toFixed(1)} MB`];
  if (width !== null && height !== null) parts.push(`${width}x${height}`);
  if (droppedFrames > 0) parts.push(`${droppedFrames} frames dropped`);
  if (reconnects > 0) parts.push(`${reconnects} reconnects`);
  if (muted) parts.push('muted');
  if (status !== 'RTMP_STREAM_ACTIVE' && lastError !== null) parts.push(printable(lastError));
  return parts.join('  ');
}

function problemOf(error: unknown): string {
  if (error instanceof RestClientError)
    return `${error.status} ${error.code}: ${printable(error.message)}`;
  // `fetch failed` explains nothing; its cause does.
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  return `the server does not respond: ${printable(describe(cause))}`;
}
