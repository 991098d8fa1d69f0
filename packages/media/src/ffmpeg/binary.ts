// Finds ffmpeg, and what it can do.

import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { MediaError } from '../errors.ts';

/** Encoders and decoders in use, by codec. */
const ENCODERS: Readonly<Record<FfmpegEncoding, readonly string[]>> = {
  aac: ['aac'],
  h264: ['libx264', 'libopenh264', 'h264'],
  opus: ['libopus'],
  speex: ['libspeex'],
  g722: ['g722'],
};
/** In order of preference: the codecs' own libraries cope best with what phones send. */
const DECODERS: Readonly<Record<FfmpegDecoding, readonly string[]>> = {
  vp8: ['vp8', 'libvpx'],
  h264: ['h264'],
  opus: ['libopus', 'opus'],
  speex: ['libspeex', 'speex'],
  g722: ['g722'],
};

/** Codecs that ffmpeg may have to encode. */
export type FfmpegEncoding = 'aac' | 'h264' | 'opus' | 'speex' | 'g722';
/** Codecs that ffmpeg may have to decode. */
export type FfmpegDecoding = 'vp8' | 'h264' | 'opus' | 'speex' | 'g722';

/** Names of a binary's encoders and decoders (`-c:a`, `-c:v`); undefined if it has none. */
export interface FfmpegCapabilities {
  readonly encoders: Readonly<Record<FfmpegEncoding, string | undefined>>;
  readonly decoders: Readonly<Record<FfmpegDecoding, string | undefined>>;
  /** Protocols that not every build has. */
  readonly protocols: { readonly srt: boolean };
}

/** A binary that was found and queried. */
export interface FfmpegBinary {
  readonly path: string;
  /** Version, as ffmpeg reports it, e.g. `5.1.9-0+deb12u1`. */
  readonly version: string;
  /** Where it was found: the option, `FFMPEG_PATH`, the `PATH`, or the package `@ffmpeg-installer/ffmpeg`. */
  readonly source: 'option' | 'environment' | 'path' | 'package';
  readonly capabilities: FfmpegCapabilities;
}

/** Requirements of {@link findFfmpeg}. */
export interface FfmpegWanted {
  /** Path of the binary; no other is tried then. */
  readonly ffmpegPath?: string;
  /** Required codecs. Default: encode AAC. */
  readonly encode?: readonly FfmpegEncoding[];
  readonly decode?: readonly FfmpegDecoding[];
}

const PROBE_TIMEOUT_MS = 5000;
const OPTIONAL_PACKAGE: string = '@ffmpeg-installer/ffmpeg';

/**
 * The first ffmpeg that meets the requirements: that of the option, else of `FFMPEG_PATH`, else each on the `PATH`, else
 * the one of the optional package `@ffmpeg-installer/ffmpeg`. Where the option or `FFMPEG_PATH` names one, no other is
 * tried.
 *
 * @throws MediaError (rejection) `NO_TRANSCODER` with field `ffmpegPath`, saying what each one lacks.
 */
export async function findFfmpeg(wanted: FfmpegWanted = {}): Promise<FfmpegBinary> {
  const complaints: string[] = [];
  let firstCause: unknown;
  for await (const { path, source } of candidates(wanted.ffmpegPath)) {
    try {
      await access(path, constants.X_OK);
    } catch {
      if (source !== 'path') complaints.push(`${path} is not there or not executable`);
      continue;
    }
    try {
      const { version, capabilities } = await probe(path);
      const lacking = lacks(capabilities, wanted);
      if (lacking.length === 0) return { path, version, source, capabilities };
      complaints.push(`${path} has no ${lacking.join(', no ')}`);
    } catch (cause) {
      firstCause ??= cause;
      complaints.push(`${path} does not run`);
    }
  }
  const reasons = complaints.length === 0 ? 'none is on the PATH' : complaints.join('; ');
  throw new MediaError('NO_TRANSCODER', `No ffmpeg: ${reasons} (set ffmpegPath)`, {
    field: 'ffmpegPath',
    cause: firstCause,
  });
}

type Candidate = Pick<FfmpegBinary, 'path' | 'source'>;

async function* candidates(given: string | undefined): AsyncGenerator<Candidate> {
  const environment = process.env['FFMPEG_PATH'];
  if (given !== undefined) yield { path: given, source: 'option' };
  else if (environment) yield { path: environment, source: 'environment' };
  else {
    const name = process.platform === 'win32' ? 'ffmpeg.exe' : 'ffmpeg';
    for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
      if (folder !== '') yield { path: join(folder, name), source: 'path' };
    }
    const path = await packagedFfmpeg();
    if (path !== undefined) yield { path, source: 'package' };
  }
}

/** The package throws, not always an Error, if it has no binary for the platform. */
async function packagedFfmpeg(): Promise<string | undefined> {
  try {
    const loaded = (await import(OPTIONAL_PACKAGE)) as { default?: { path?: unknown } };
    const path = loaded.default?.path;
    return typeof path === 'string' ? path : undefined;
  } catch {
    return undefined;
  }
}

async function probe(path: string): Promise<Pick<FfmpegBinary, 'version' | 'capabilities'>> {
  const ask = async (...args: string[]): Promise<string> =>
    (await promisify(execFile)(path, args, { timeout: PROBE_TIMEOUT_MS })).stdout;
  const [head, encoders, decoders, protocols] = await Promise.all([
    ask('-version'),
    ask('-hide_banner', '-encoders'),
    ask('-hide_banner', '-decoders'),
    ask('-hide_banner', '-protocols').catch(() => {
      // Ignored: a build that does not tell its protocols encodes as well as any; pushes over SRT say that they lack it.
      return '';
    }),
  ]);
  const version = /^ffmpeg version (\S+)/.exec(head)?.[1];
  if (version === undefined) throw new Error('It does not say that it is ffmpeg');
  const capabilities = {
    encoders: choose(ENCODERS, coderNames(encoders)),
    decoders: choose(DECODERS, coderNames(decoders)),
    protocols: { srt: /^\s*srt\s*$/m.test(protocols.split('Output:')[1] ?? '') },
  };
  return { version, capabilities };
}

/** Rows like ` A....D aac   AAC (Advanced Audio Coding)`. */
function coderNames(list: string): Set<string> {
  return new Set(Array.from(list.matchAll(/^ ?[VA][A-Z.]{5} (\w+)/gm), (row) => row[1]!));
}

function choose<Kind extends string>(
  table: Readonly<Record<Kind, readonly string[]>>,
  names: ReadonlySet<string>,
): Record<Kind, string | undefined> {
  const rows = Object.entries<readonly string[]>(table);
  return Object.fromEntries(
    rows.map(([kind, coders]) => [kind, coders.find((coder) => names.has(coder))]),
  ) as Record<Kind, string | undefined>;
}

function lacks(
  { encoders, decoders }: FfmpegCapabilities,
  { encode = ['aac'], decode = [] }: FfmpegWanted,
): string[] {
  return [
    ...encode
      .filter((kind) => encoders[kind] === undefined)
      .map((kind) => `${ENCODERS[kind][0]} encoder`),
    ...decode
      .filter((kind) => decoders[kind] === undefined)
      .map((kind) => `${DECODERS[kind].join(' or ')} decoder`),
  ];
}
