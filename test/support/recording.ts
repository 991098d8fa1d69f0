// A recording as ffprobe and ffmpeg see it: programs that we did not write.

import { decodeErrors } from './flv-check.ts';
import { run } from './programs.ts';

/** One stream of a recording. All times are milliseconds of the file. */
interface RecordedStream {
  /** ffmpeg's name. */
  readonly codec: string;
  /** 0 of video. */
  readonly sampleRateHz: number;
  /** 0 of audio. */
  readonly width: number;
  readonly height: number;
  /** Decoding times, in the order of the file. */
  readonly timesMs: readonly number[];
  /** Last time minus first. */
  readonly spanMs: number;
  /** Largest step from one packet to the next. */
  readonly largestStepMs: number;
  /** Steps back in time. */
  readonly backwards: number;
  /** Times of the key frames. */
  readonly keysMs: readonly number[];
}

/** What {@link probeRecording} found. */
export interface Recording {
  readonly audio?: RecordedStream;
  readonly video?: RecordedStream;
  /** What ffmpeg complains about when it decodes all of it; empty: nothing. */
  readonly errors: string;
}

interface Probe {
  readonly streams: readonly {
    readonly index: number;
    readonly codec_type: string;
    readonly codec_name: string;
    readonly sample_rate?: string;
    readonly width?: number;
    readonly height?: number;
  }[];
  readonly packets: readonly {
    readonly stream_index: number;
    readonly dts_time: string;
    readonly flags: string;
  }[];
}

/** Reads and decodes a recording. @throws when ffprobe cannot read it. */
export async function probeRecording(file: string): Promise<Recording> {
  const entries =
    'stream=index,codec_type,codec_name,sample_rate,width,height:packet=stream_index,dts_time,flags';
  const args = ['-v', 'error', '-show_entries', entries, '-of', 'json', file];
  const { stdout } = await run('ffprobe', args);
  const probe = JSON.parse(stdout.toString()) as Probe;
  const streamOf = (type: string): RecordedStream | undefined => {
    const stream = probe.streams.find(({ codec_type }) => codec_type === type);
    if (stream === undefined) return undefined;
    const packets = probe.packets.filter(({ stream_index }) => stream_index === stream.index);
    const timesMs = packets.map(({ dts_time }) => Math.round(Number(dts_time) * 1000));
    const steps = timesMs.slice(1).map((ms, at) => ms - timesMs[at]!);
    return {
      codec: stream.codec_name,
      sampleRateHz: Number(stream.sample_rate ?? 0),
      width: stream.width ?? 0,
      height: stream.height ?? 0,
      timesMs,
      spanMs: (timesMs.at(-1) ?? 0) - (timesMs[0] ?? 0),
      largestStepMs: Math.max(0, ...steps),
      backwards: steps.filter((ms) => ms < 0).length,
      keysMs: timesMs.filter((_, at) => packets[at]!.flags.includes('K')),
    };
  };
  const audio = streamOf('audio');
  const video = streamOf('video');
  return {
    ...(audio && { audio }),
    ...(video && { video }),
    errors: await decodeErrors(file),
  };
}

/** One line of figures. */
export function describeRecording({ audio, video, errors }: Recording): string {
  const parts = [
    audio &&
      `${audio.codec} ${audio.sampleRateHz} Hz, ${audio.spanMs} ms, largest step ${audio.largestStepMs} ms`,
    video &&
      `${video.codec} ${video.width}x${video.height}, ${video.spanMs} ms, ${video.timesMs.length} pictures, ${video.keysMs.length} keys, largest step ${video.largestStepMs} ms`,
    `${errors === '' ? 0 : errors.split('\n').length} lines of decode errors`,
  ];
  return parts.filter((part) => part !== undefined).join('; ');
}
