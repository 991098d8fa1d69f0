// As many `ffmpeg -c copy` processes as there are calls: RTP in by an SDP file, FLV over RTMP out.

import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadClip } from '@sipcast/testkit';
import type { PlayTarget } from './phones.ts';
import { cpuSeconds, memory } from './process-load.ts';
import type { Memory } from './process-load.ts';

/** First line of `ffmpeg -version`, or undefined where there is none. */
export function ffmpegVersion(): string | undefined {
  const { stdout, status } = spawnSync('ffmpeg', ['-version'], { encoding: 'utf8' });
  return status === 0 ? /^ffmpeg version (\S+)/.exec(stdout)?.[1] : undefined;
}

/** A crowd of them. */
export class FfmpegCrowd {
  readonly targets: readonly PlayTarget[];
  readonly #folder: string;
  readonly #processes: ChildProcess[] = [];
  #complaints = 0;
  #lastComplaint = '';

  private constructor(targets: readonly PlayTarget[]) {
    this.targets = targets;
    this.#folder = mkdtempSync(join(tmpdir(), 'sipcast-bench-'));
  }

  /** Starts them; they wait for RTP on `targets`. */
  static async start(count: number, rtmpUrl: string): Promise<FfmpegCrowd> {
    const ports = await freePorts(count * 2);
    const targets = Array.from({ length: count }, (_, index) => ({
      audioPort: ports[index * 2]!,
      videoPort: ports[index * 2 + 1]!,
    }));
    const crowd = new FfmpegCrowd(targets);
    for (const [index, target] of targets.entries()) crowd.#spawn(index, target, rtmpUrl);
    return crowd;
  }

  /** Packets that were missed and other things they had to say. */
  get complaints(): { readonly count: number; readonly last: string } {
    return { count: this.#complaints, last: this.#lastComplaint };
  }

  /** Of all of them together. */
  cpuSeconds(): number {
    let sum = 0;
    for (const { pid } of this.#processes) sum += cpuSeconds(pid!);
    return sum;
  }

  /** Of all of them together. */
  memory(): Memory {
    let rssBytes = 0;
    let pssBytes = 0;
    for (const { pid } of this.#processes) {
      const one = memory(pid!);
      rssBytes += one.rssBytes;
      pssBytes += one.pssBytes;
    }
    return { rssBytes, pssBytes };
  }

  /** Ends them and removes their files. */
  async stop(): Promise<void> {
    await Promise.all(
      this.#processes.map(
        (child) =>
          new Promise<void>((resolve) => {
            if (child.exitCode !== null || child.signalCode !== null) return resolve();
            child.once('exit', () => resolve());
            child.kill('SIGKILL');
          }),
      ),
    );
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #spawn(index: number, target: PlayTarget, rtmpUrl: string): void {
    const file = join(this.#folder, `${index}.sdp`);
    writeFileSync(file, describe(target));
    const child = spawn(
      'ffmpeg',
      `-nostdin -hide_banner -loglevel warning -protocol_whitelist file,udp,rtp -i ${file} -c copy -f flv ${rtmpUrl}/ffmpeg-${index}`.split(
        ' ',
      ),
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    child.stderr.on('data', (text: Buffer) => {
      this.#complaints++;
      this.#lastComplaint = text.toString().trim();
    });
    child.on('error', () => {});
    this.#processes.push(child);
  }
}

function describe(target: PlayTarget): string {
  const clip = loadClip();
  const sets = clip.parameterSets.map((set) => Buffer.from(set).toString('base64')).join(',');
  return [
    'v=0',
    'o=- 0 0 IN IP4 127.0.0.1',
    's=-',
    'c=IN IP4 127.0.0.1',
    't=0 0',
    `m=audio ${target.audioPort} RTP/AVP 8`,
    'a=rtpmap:8 PCMA/8000',
    `m=video ${target.videoPort} RTP/AVP 112`,
    'a=rtpmap:112 H264/90000',
    `a=fmtp:112 packetization-mode=1; sprop-parameter-sets=${sets}`,
    '',
  ].join('\r\n');
}

/** Even UDP ports whose odd neighbour is free, too, below those that the system hands out itself. */
async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  for (let port = 20_000; ports.length < count && port < 30_000; port += 2) {
    if ((await isFree(port)) && (await isFree(port + 1))) ports.push(port);
  }
  return ports;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    socket.once('error', () => resolve(false));
    socket.bind({ port, exclusive: true }, () => socket.close(() => resolve(true)));
  });
}
