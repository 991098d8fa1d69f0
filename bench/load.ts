// One load at a time: calls through a gateway, or ffmpeg processes, fed by the same phones into the same kind of sink.

import { setTimeout as wait } from 'node:timers/promises';
import { Child } from './child.ts';
import { FfmpegCrowd } from './ffmpeg.ts';
import type { GatewayMethods } from './gateway.ts';
import type { PhoneMethods } from './phones.ts';
import { canReadProcesses, memory } from './process-load.ts';
import type { SinkCount, SinkMethods } from './sink.ts';

/** Several, so that packets do not all come at the same beat of one timer. */
const PHONE_PROCESSES = 4;
/** The clip has a key frame each two seconds; calls begin spread over that. */
const START_SPREAD_MS = 2000;
const CLIP_FPS = 25;
/** Below this share of the pictures sent, something was lost. */
const MIN_FRAME_SHARE = 0.98;

/** How long and how often is measured. */
export interface LoadPlan {
  readonly warmUpSeconds: number;
  readonly windows: number;
  readonly windowSeconds: number;
}

/** What was measured. Processor seconds are per call and second of media. */
export interface LoadResult {
  readonly cpu: Spread;
  /** At the end: of the whole process, or of all processes together. */
  readonly rssBytes: number;
  readonly pssBytes: number;
  /** Of the gateway without calls; 0 for ffmpeg. */
  readonly idleRssBytes: number;
  /** How many of them took part. */
  readonly publishing: number;
  readonly packetsPerSecond: number;
  /** Of one processor core. */
  readonly phonesShare: number;
  readonly sinkShare: number;
  readonly longestPhoneDelayMs: number;
  /** Why the figures mean nothing, where they do. */
  readonly void: string | undefined;
}

/** Median and extremes of the windows. */
interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** Phones and a sink. They serve all loads of a run. */
export class Generators {
  readonly #phones: Child<PhoneMethods>[];
  readonly #sink = new Child<SinkMethods>('./sink.ts');
  sipPorts: readonly number[] = [];
  rtmpUrl = '';

  private constructor() {
    this.#phones = Array.from(
      { length: PHONE_PROCESSES },
      () => new Child<PhoneMethods>('./phones.ts'),
    );
  }

  static async open(): Promise<Generators> {
    const generators = new Generators();
    generators.rtmpUrl = await generators.#sink.ask('open');
    generators.sipPorts = await Promise.all(generators.#phones.map((phones) => phones.ask('open')));
    return generators;
  }

  /** Plays to all targets; resolves when the last one has begun. */
  async play(targets: FfmpegCrowd['targets'], pauseMs: number): Promise<void> {
    await Promise.all(
      this.#phones.map((phones, index) =>
        phones.ask('play', {
          targets: targets.filter((_, number) => number % this.#phones.length === index),
          pauseMs: pauseMs * this.#phones.length,
        }),
      ),
    );
  }

  async hangUpAll(): Promise<void> {
    await Promise.all(this.#phones.map((phones) => phones.ask('hangUpAll')));
  }

  count(): Promise<SinkCount> {
    return this.#sink.ask('count');
  }

  /** Waits until so many publish to the sink, at most 15 seconds. @returns how many do. */
  async untilConnections(wanted: number): Promise<number> {
    for (let waitedMs = 0; ; waitedMs += 100) {
      const { connections } = await this.count();
      if (connections === wanted || waitedMs >= 15_000) return connections;
      await wait(100);
    }
  }

  async load(): Promise<{ phones: number; sink: number; packets: number; longestDelayMs: number }> {
    const all = await Promise.all(this.#phones.map((phones) => phones.ask('load')));
    const { cpuSeconds } = await this.#sink.ask('count');
    return {
      phones: all.reduce((sum, one) => sum + one.cpuSeconds, 0),
      sink: cpuSeconds,
      packets: all.reduce((sum, one) => sum + one.packets, 0),
      longestDelayMs: Math.max(...all.map((one) => one.longestDelayMs)),
    };
  }

  async close(): Promise<void> {
    await Promise.all([...this.#phones, this.#sink].map((child) => child.stop()));
  }
}

/** Options of {@link measureGateway}. */
export interface GatewayLoadOptions {
  readonly count: number;
  /** Send silence to the phones, as in a `sendrecv` call. */
  readonly sendsAudio: boolean;
  /** The compiled gateway. */
  readonly script: URL;
  readonly execArgv?: readonly string[];
}

/** So many calls through one gateway in a process of its own. */
export async function measureGateway(
  generators: Generators,
  options: GatewayLoadOptions,
  plan: LoadPlan,
): Promise<LoadResult> {
  const { count } = options;
  const child = new Child<GatewayMethods>(options.script, options.execArgv);
  try {
    await child.ask('open');
    await wait(300);
    const idle = (await child.ask('snapshot')).rssBytes;
    await child.ask('call', {
      count,
      sipPorts: generators.sipPorts,
      rtmpUrl: generators.rtmpUrl,
      sendsAudio: options.sendsAudio,
      pauseMs: START_SPREAD_MS / count,
    });
    await wait(plan.warmUpSeconds * 1000);
    const before = await child.ask('snapshot');
    const measured = await measureWindows(generators, count, plan, () => child.ask('cpuSeconds'));
    const after = await child.ask('snapshot');
    const faults = after.faults - before.faults;
    const lost = after.lost - before.lost;
    const dropped = after.droppedFrames - before.droppedFrames;
    const { pssBytes } = canReadProcesses ? memory(child.pid) : { pssBytes: Number.NaN };
    return {
      ...measured,
      rssBytes: after.rssBytes,
      pssBytes,
      idleRssBytes: idle,
      publishing: count,
      void:
        lost + dropped + faults > 0
          ? `${lost} packets lost, ${dropped} frames dropped, ${faults} faults`
          : measured.void,
    };
  } finally {
    await child.ask('close').catch(() => {});
    await child.stop();
    await generators.hangUpAll();
  }
}

/** So many ffmpeg processes. */
export async function measureFfmpeg(
  generators: Generators,
  count: number,
  plan: LoadPlan,
): Promise<LoadResult> {
  await generators.untilConnections(0);
  const crowd = await FfmpegCrowd.start(count, generators.rtmpUrl);
  try {
    await wait(500 + count * 40);
    await generators.play(crowd.targets, START_SPREAD_MS / count);
    // It studies its input for a while before it connects.
    // Now and then one of many never begins: the figures are of those that did.
    const publishing = await generators.untilConnections(count);
    await wait(plan.warmUpSeconds * 1000);
    const complaints = crowd.complaints.count;
    const measured = await measureWindows(generators, publishing, plan, () => crowd.cpuSeconds());
    const grown = crowd.complaints.count - complaints;
    const few = publishing < count * 0.9 ? `only ${publishing} of ${count} publish` : undefined;
    const complaint = grown > 0 ? `ffmpeg: ${crowd.complaints.last}` : undefined;
    return {
      ...measured,
      ...crowd.memory(),
      idleRssBytes: 0,
      publishing,
      void: complaint ?? few ?? measured.void,
    };
  } finally {
    await crowd.stop();
    await generators.hangUpAll();
  }
}

type Measured = Omit<LoadResult, 'rssBytes' | 'pssBytes' | 'idleRssBytes' | 'publishing'>;

async function measureWindows(
  generators: Generators,
  count: number,
  plan: LoadPlan,
  cpu: () => number | Promise<number>,
): Promise<Measured> {
  const loadBefore = await generators.load();
  const tagsBefore = await generators.count();
  const startMs = performance.now();
  const windows: number[] = [];
  let cpuBefore = await cpu();
  let fromMs = performance.now();
  for (let window = 0; window < plan.windows; window++) {
    await wait(plan.windowSeconds * 1000);
    const cpuNow = await cpu();
    const nowMs = performance.now();
    windows.push(((cpuNow - cpuBefore) * 1000) / (nowMs - fromMs) / count);
    cpuBefore = cpuNow;
    fromMs = nowMs;
  }
  const tags = await generators.count();
  const load = await generators.load();
  const seconds = (performance.now() - startMs) / 1000;
  const frameShare = (tags.videoTags - tagsBefore.videoTags) / (seconds * CLIP_FPS * count);
  const short = frameShare < MIN_FRAME_SHARE;
  return {
    cpu: spread(windows),
    packetsPerSecond: (load.packets - loadBefore.packets) / seconds,
    phonesShare: (load.phones - loadBefore.phones) / seconds,
    sinkShare: (load.sink - loadBefore.sink) / seconds,
    longestPhoneDelayMs: load.longestDelayMs,
    void: short ? `only ${(frameShare * 100).toFixed(1)} % of the pictures arrived` : undefined,
  };
}

/** Median, lowest and highest. */
function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return {
    median: (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle)]!) / 2,
    min: sorted[0]!,
    max: sorted.at(-1)!,
  };
}
