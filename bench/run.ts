// `npm run bench`: what calls through the gateway cost in processor time and memory, beside as many `ffmpeg -c copy`
// on the same RTP, and what each stage of the media path costs.

import { cpus, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bundle } from './bundle.ts';
import { commit } from './commit.ts';
import { ffmpegVersion } from './ffmpeg.ts';
import { Generators, measureFfmpeg, measureGateway } from './load.ts';
import type { LoadPlan, LoadResult } from './load.ts';
import { canReadProcesses } from './process-load.ts';
import { measureStages } from './stages.ts';

const USAGE = `npm run bench -- [--quick] [--calls 1,20,50,100] [--seconds n] [--no-ffmpeg] [--cpu-prof folder]`;

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    calls: { type: 'string' },
    seconds: { type: 'string' },
    'no-ffmpeg': { type: 'boolean', default: false },
    'cpu-prof': { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  console.log(USAGE);
  process.exit();
}

const counts = (values.calls ?? (values.quick ? '1,20' : '1,20,50,100')).split(',').map(Number);
const plan: LoadPlan = {
  warmUpSeconds: values.quick ? 2 : 5,
  windows: 3,
  windowSeconds: Number(values.seconds ?? (values.quick ? 6 : 12)) / 3,
};
const profile = values['cpu-prof'];
const execArgv = profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`];

/** Goals: of ffmpeg's processor time and memory. */
const GOALS: Readonly<Record<number, { cpu: number; memory: number }>> = {
  20: { cpu: 1, memory: 1 / 3 },
  100: { cpu: 0.7, memory: 1 / 8 },
};

const ffmpeg = values['no-ffmpeg'] ? undefined : ffmpegVersion();
printMachine();
console.log('stages alone, best and mean of many rounds:');
await measureStages(values.quick ? 100 : 400);
console.log(
  '\nclip 640×360, 25 fps, H.264 ~500 kbit/s + PCMA; processor time per call and second of media,\n' +
    `median (lowest–highest) of ${plan.windows} windows of ${plan.windowSeconds} s\n`,
);
const script = new URL('dist/gateway.mjs', import.meta.url);
await bundle(fileURLToPath(new URL('gateway.ts', import.meta.url)), fileURLToPath(script));
const generators = await Generators.open();
const results = new Map<number, { gateway: LoadResult; ffmpeg: LoadResult | undefined }>();
try {
  for (const count of counts) {
    const options = { count, sendsAudio: true, script, execArgv };
    const gateway = await measureGateway(generators, options, plan);
    printLoad(`gateway, ${count} calls`, count, gateway);
    let crowd: LoadResult | undefined;
    if (ffmpeg !== undefined && canReadProcesses) {
      crowd = await measureFfmpeg(generators, count, plan);
      printLoad(`ffmpeg -c copy × ${count}`, count, crowd);
    }
    results.set(count, { gateway, ffmpeg: crowd });
  }
  const silentCount = counts.includes(20) ? 20 : counts[0]!;
  const silent = await measureGateway(
    generators,
    { count: silentCount, sendsAudio: false, script, execArgv },
    plan,
  );
  printLoad(`gateway, ${silentCount} calls, recvonly`, silentCount, silent);
} finally {
  await generators.close();
}
printRatios();

function printMachine(): void {
  const [processor] = cpus();
  const gibibytes = (totalmem() / 2 ** 30).toFixed(0);
  console.log(`${new Date().toISOString()}   commit ${commit()}`);
  console.log(
    `${cpus().length} × ${processor?.model.trim()}, ${gibibytes} GiB, ${process.platform}`,
  );
  console.log(`Node ${process.version}, ffmpeg ${ffmpegVersion() ?? 'not installed'}`);
  if (ffmpeg === undefined)
    console.log('skipped: the comparison with ffmpeg (not installed, or not wanted)');
  else if (!canReadProcesses) console.log('skipped: the comparison with ffmpeg needs Linux');
  console.log();
}

function printLoad(name: string, count: number, load: LoadResult): void {
  const { cpu, rssBytes, pssBytes, idleRssBytes } = load;
  const ms = (seconds: number): string => (seconds * 1000).toFixed(2);
  const perCall = (rssBytes - idleRssBytes) / count;
  const above = idleRssBytes > 0 ? ` above ${mebibytes(idleRssBytes)} idle` : '';
  console.log(
    `${name.padEnd(30)} ${ms(cpu.median).padStart(6)} ms (${ms(cpu.min)}–${ms(cpu.max)})` +
      `   RSS ${mebibytes(rssBytes)}, ${mebibytes(perCall)} a call${above}` +
      (Number.isNaN(pssBytes) ? '' : `, PSS ${mebibytes(pssBytes)}`),
  );
  console.log(
    `${''.padEnd(30)} ${load.packetsPerSecond.toFixed(0)} packets/s; of a core: ` +
      `load ${percent(cpu.median * count)}, phones ${percent(load.phonesShare)}, sink ${percent(load.sinkShare)}; ` +
      `phones late by ${load.longestPhoneDelayMs.toFixed(0)} ms at most` +
      (load.publishing === count ? '' : `; ${load.publishing} of ${count} publish`) +
      (load.void === undefined ? '' : `\n   VOID: ${load.void}`),
  );
}

function printRatios(): void {
  console.log('\ngateway : ffmpeg      processor   goal     RSS   goal     PSS');
  for (const [count, { gateway, ffmpeg: crowd }] of results) {
    if (crowd === undefined) continue;
    if (gateway.void !== undefined || crowd.void !== undefined) {
      console.log(`${count} calls: void`);
      continue;
    }
    const goal = GOALS[count];
    const columns = [
      (gateway.cpu.median / crowd.cpu.median).toFixed(2).padStart(10),
      (goal?.cpu.toFixed(1) ?? '–').padStart(7),
      (gateway.rssBytes / crowd.rssBytes).toFixed(3).padStart(8),
      (goal?.memory.toFixed(3) ?? '–').padStart(7),
      (gateway.pssBytes / crowd.pssBytes).toFixed(3).padStart(8),
    ];
    console.log(`${`${count} calls`.padEnd(19)} ${columns.join('')}`);
  }
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`;
}
