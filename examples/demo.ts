// The main use in one file: calls a phone and puts its media on air. `npm run demo -- --help`

import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createCallGateway } from '@sipcast/core';
import type { Call, CallGateway } from '@sipcast/core';
import { RtmpSink, SipPeer } from '@sipcast/testkit';
import { summarizeFlv } from './flv-summary.ts';

const HELP = `npm run demo -- [options]

  --seconds <n>         how long the call lasts (default 10)
  --callee <sip:…>      dial your own phone instead of the embedded one
  --rtmp <rtmp://…/app> publish to your own server instead of the embedded one
  --stream <name>       name to publish under (default demo)
  --output <folder>     where the embedded server records (default demo-output)
`;

interface Choices {
  readonly seconds: number;
  readonly callee: string | undefined;
  readonly rtmp: string | undefined;
  readonly stream: string;
  readonly output: string;
}

function readChoices(): Choices {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    options: {
      seconds: text,
      callee: text,
      rtmp: text,
      stream: text,
      output: text,
      help: { type: 'boolean' },
    },
  });
  if (values.help) {
    console.log(HELP);
    process.exit();
  }
  const seconds = Number(values.seconds ?? 10);
  if (!(seconds > 0 && seconds <= 86_400)) throw new Error('--seconds must be from 1 to 86400');
  if (values.rtmp === undefined && values.stream !== undefined)
    throw new Error('--stream needs --rtmp');
  return {
    seconds,
    callee: values.callee,
    rtmp: values.rtmp,
    stream: values.stream ?? 'demo',
    output: values.output ?? fileURLToPath(new URL('../demo-output', import.meta.url)),
  };
}

let live = false;
function say(line: string): void {
  if (live) process.stdout.write('\r\u001b[K');
  live = false;
  console.log(line);
}

/** Overwritten in place on a terminal. */
function sayLive(line: string): void {
  if (!process.stdout.isTTY) return console.log(line);
  process.stdout.write(`\r\u001b[K${line}`);
  live = true;
}

function liveLine(call: Call, second: number): string {
  const { audio, video } = call.stats() ?? {};
  const fps = video?.fps ?? null;
  const bitrateBps = (video?.bitrateBps ?? 0) + (audio?.bitrateBps ?? 0);
  const lossRatio = video?.lossRatio ?? null;
  const rate = bitrateBps === 0 ? '-' : Math.round(bitrateBps / 1000).toString();
  const loss = lossRatio === null ? '-' : (lossRatio * 100).toFixed(1);
  return `${String(second).padStart(3)} s  ${fps?.toFixed(1) ?? '-'} fps  ${rate} kbit/s  loss ${loss} %`;
}

/** Places the call, and shows its progress until the time is up, the peer hangs up, or publishing fails. */
async function watchCall(
  gateway: CallGateway,
  callee: string,
  choices: Choices & { rtmp: string },
): Promise<void> {
  const { rtmp: rtmpUrl, stream: rtmpStream, seconds } = choices;
  const call = await gateway.startup({ callee, sipLogin: 'demo', rtmpUrl, rtmpStream });
  call.on('status', (status) => say(`call  ${status}`));
  let published = false;
  call.on('rtmpStreamStatus', (status) => {
    say(`rtmp  ${status}`);
    published ||= status === 'RTMP_STREAM_ACTIVE';
  });
  say(`call  ${call.status} to ${callee}`);
  say(`rtmp  ${String(call.rtmpStreamStatus)}`);
  process.once('SIGINT', () => void call.terminate());
  await call.established();
  for (let second = 1; second <= seconds && !call.ended; second++) {
    await Promise.race([sleep(1000, undefined, { ref: false }), call.closed()]);
    if (call.rtmpStreamStatus === 'RTMP_CONNECTION_FAILED') {
      const [push] = call.view().pushes;
      throw new Error(`Publishing failed: ${push?.lastError ?? 'no response'}`);
    }
    if (!call.ended) sayLive(liveLine(call, second));
  }
  const [push] = call.view().pushes;
  await call.terminate();
  if (!published) throw new Error(`Nothing was published: ${push?.lastError ?? 'no response'}`);
}

function showFile(path: string): void {
  const { videoCodec, audioCodec, width, height, frames, keyFrames, durationMs, bytes } =
    summarizeFlv(path);
  const shown = relative(process.cwd(), path);
  say('');
  say(`recorded  ${shown.startsWith('..') ? path : shown}`);
  say(
    `video     ${videoCodec ?? 'none'} ${width}×${height}, ${frames} frames, ${keyFrames} key frames`,
  );
  say(`audio     ${audioCodec ?? 'none'}`);
  say(`duration  ${(durationMs / 1000).toFixed(1)} s, ${Math.round(bytes / 1024)} KiB`);
  const picture = path.replace(/\.flv$/, '.png');
  // Decoded from the start, because FLV has no index.
  const middle = ['-ss', (durationMs / 2000).toFixed(3), '-frames:v', '1'];
  const { status } = spawnSync('ffmpeg', [
    '-v',
    'error',
    '-nostdin',
    '-y',
    '-i',
    path,
    ...middle,
    picture,
  ]);
  if (status === 0) say(`picture   ${relative(process.cwd(), picture)}`);
}

async function main(): Promise<void> {
  const choices = readChoices();
  const closers: (() => Promise<unknown>)[] = [];
  try {
    if (choices.rtmp === undefined) mkdirSync(choices.output, { recursive: true });
    const sink =
      choices.rtmp === undefined
        ? await RtmpSink.open({ recordDir: choices.output, keepTags: false })
        : undefined;
    if (sink) closers.push(() => sink.close());
    const phone =
      choices.callee === undefined
        ? await SipPeer.open({ script: { ring: 300, answerAfterMs: 1000 } })
        : undefined;
    if (phone) closers.push(() => phone.close());
    // With embedded parts only, nothing leaves this machine.
    const gateway = await createCallGateway(sink && phone ? { bindAddress: '127.0.0.1' } : {});
    closers.push(() => gateway.close());
    const rtmp = choices.rtmp ?? sink?.url ?? '';
    await watchCall(gateway, choices.callee ?? phone?.uri ?? '', { ...choices, rtmp });
    const [publication] = sink?.publications ?? [];
    await publication?.ended;
    if (publication?.filePath !== undefined) showFile(publication.filePath);
    else if (sink) throw new Error('The call ended before anything was published');
  } finally {
    for (const close of closers.toReversed()) await close();
  }
}

try {
  await main();
} catch (error) {
  say(`demo: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
