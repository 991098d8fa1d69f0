// `sipcast call`: one call from the terminal, with a live status line.

import type { Call, CallView } from '@sipcast/core';
import type { CallArguments, ConfigArguments } from './arguments.ts';
import { UsageError } from './arguments.ts';
import { describe } from '../errors.ts';
import { loadConfig } from './load-config.ts';
import { openGateway } from '../serve/open-gateway.ts';
import { openLog } from '../log/log.ts';
import { StatusLine } from './status-line.ts';
import { Redaction } from '../log/redaction.ts';
import { secretsOf } from '../serve/secrets.ts';
import { openPolicy } from '../serve/serve.ts';
import { printable } from '../printable.ts';
import { onStopSignal } from './stop-signals.ts';

const PERIOD_MS = 1000;

/**
 * Places the call, and returns when it has ended.
 * @returns the exit code: 0 if the call was answered and ended normally, or a signal cancelled it before the answer;
 * else 1
 * @throws ConfigError, UsageError, ServerError (rejections)
 */
export async function runCall(args: ConfigArguments, request: CallArguments): Promise<number> {
  const { options } = await loadConfig(args);
  const redaction = new Redaction();
  redaction.hold(secretsOf(options));
  // The status line shows normal progress.
  const logging = { level: 'warn', format: 'line', ...options.log } as const;
  const log = openLog(logging, redaction, (text) => process.stderr.write(text), {
    withTime: false,
  });
  const gateway = await openGateway(options, openPolicy(options), log);
  const line = new StatusLine(process.stdout);
  try {
    const call = await gateway.startup(startupOf(request), 'terminal').catch((error: unknown) => {
      throw new UsageError(describe(error), { cause: error });
    });
    const stop = onSignals(call, line);
    const show = (): void => line.show(describeCall(call.view(), performance.now()));
    const timer = setInterval(show, PERIOD_MS);
    call.on('change', show);
    call.on('recorded', (file) => line.say(`recorded ${printable(file.path)}`));
    show();
    await call.closed();
    clearInterval(timer);
    stop();
    const { status, info, sipStatus } = call.view();
    const code = sipStatus === null ? '' : ` (SIP ${sipStatus})`;
    line.say(`${status}: ${printable(info ?? 'ended')}${code}`);
    return status === 'FINISH' ? 0 : 1;
  } finally {
    await gateway.close();
  }
}

function startupOf(request: CallArguments) {
  const { callee, rtmp, record, login, password, transport, hasAudio, hasVideo } = request;
  return {
    callee,
    hasAudio,
    hasVideo,
    ...(rtmp !== undefined && splitRtmp(rtmp)),
    ...(record !== undefined && { record: { dir: record } }),
    ...(login !== undefined && { sipLogin: login }),
    ...(password !== undefined && { sipPassword: password }),
    ...(transport !== undefined && { sipTransport: transport }),
  };
}

/** The last part of the path is the stream name. */
function splitRtmp(url: string): { readonly rtmpUrl: string; readonly rtmpStream: string } {
  const [path = '', ...query] = url.split('?');
  const at = path.lastIndexOf('/');
  const name = [path.slice(at + 1), ...query].join('?');
  if (!/^rtmps?:\/\/[^/]+\/./i.test(path.slice(0, at)) || name === '')
    throw new UsageError('--rtmp must look like rtmp://server/app/name');
  return { rtmpUrl: path.slice(0, at), rtmpStream: name };
}

/** The first signal ends the call, the second the program. @returns a function that stops listening */
function onSignals(call: Call, line: StatusLine): () => void {
  let isStopping = false;
  const onSignal = (): void => {
    if (isStopping) process.exit(1);
    isStopping = true;
    line.say('ending the call; press Ctrl-C again to exit at once');
    void call.terminate();
  };
  return onStopSignal(onSignal);
}

/** Describes a call in one line. */
function describeCall(view: CallView, nowMs: number): string {
  const { status, establishedAt, media, rtmpStreamStatus, pushes } = view;
  const parts: string[] = [status];
  if (establishedAt !== null) {
    const seconds = Math.max(
      0,
      Math.floor((performance.timeOrigin + nowMs - Date.parse(establishedAt)) / 1000),
    );
    const minutes = String(Math.floor(seconds / 60)).padStart(2, '0');
    parts.push(`${minutes}:${String(seconds % 60).padStart(2, '0')}`);
  }
  for (const received of [media?.audio, media?.video]) {
    if (!received) continue;
    const loss = 100 * (received.lossRatio ?? 0);
    const size =
      'width' in received && received.width !== null ? ` ${received.width}x${received.height}` : '';
    parts.push(`${received.codec}${size} ${loss.toFixed(1)} % lost`);
  }
  if (rtmpStreamStatus !== null) {
    const [push] = pushes;
    const sent = push ? ` ${(push.bytesSent / 1e6).toFixed(1)} MB` : '';
    parts.push(`${rtmpStreamStatus}${sent}`);
    if (push?.lastError) parts.push(printable(push.lastError));
  }
  return parts.join('  ');
}
