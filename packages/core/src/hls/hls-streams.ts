// HLS of named streams: packaged from the first request on, until there has been none for a while.

import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HlsPackager } from '@sipcast/media';
import type { HlsFile, OutputForm } from '@sipcast/media';
import { GatewayError } from '../errors.ts';
import type { GatewayStream } from '../stream/gateway-stream.ts';
import { keyFrameIntervalOf } from '../stream/output-form.ts';

/** What {@link HlsStreams} needs. */
export interface HlsStreamsDeps {
  /** What players take: H.264 and AAC. */
  viewerForm(): OutputForm;
  /** Whether black pictures stand in for a camera that is off. */
  readonly placeholder: boolean;
  /** Throws where as many watch as may. */
  requireRoom(stream: GatewayStream): void;
  /** Writing to a folder has failed, and was given up. */
  onFailed(streamName: string, callId: string | null, error: unknown): void;
}

/** Without a request for this long, packaging ends. */
const IDLE_MS = 30_000;
/** How long the first request may wait for the first segment. */
const FIRST_SEGMENT_MS = 15_000;
const ENDED_MS = 30_000;
const SEGMENT_MS = 2000;
const PLAYLIST = 'index.m3u8';

interface Session {
  readonly packager: HlsPackager;
  readonly leave: () => void;
  idle: NodeJS.Timeout;
}

/** The HLS of a gateway's streams. */
export class HlsStreams {
  readonly #deps: HlsStreamsDeps;
  readonly #sessions = new Map<GatewayStream, Session>();
  readonly #ended = new Map<string, HlsPackager>();
  readonly #endings = new Set<NodeJS.Timeout>();

  constructor(deps: HlsStreamsDeps) {
    this.#deps = deps;
  }

  /**
   * A file of a stream's HLS: `index.m3u8`, or one that the playlist names. The first playlist waits for the first segment.
   *
   * @param query - Appended to the addresses in the playlist, e.g. `?token=…`.
   * @throws GatewayError (rejection) `FILE_NOT_FOUND`, `TOO_MANY_VIEWERS`; `NO_PICTURE` when no segment was made in time
   */
  async file(stream: GatewayStream, name: string, query: string): Promise<HlsFile> {
    let session = this.#sessions.get(stream);
    if (!session) {
      if (name !== PLAYLIST) throw notFound();
      session = this.#open(stream);
    }
    session.idle.refresh();
    const { packager } = session;
    if (name !== PLAYLIST) {
      const file = packager.file(name);
      if (!file) throw notFound();
      return file;
    }
    await this.#ready(packager);
    if (!packager.isReady)
      throw new GatewayError('NO_PICTURE', 'The stream has no sound and no picture yet');
    return playlistOf(packager, query);
  }

  /**
   * Writes a stream's HLS to a folder, which is made, until the stream ends or the returned function is called. Each file is
   * complete when it appears.
   *
   * @throws GatewayError as `NamedStream.addOutput`
   */
  async writeTo(stream: GatewayStream, dir: string): Promise<() => void> {
    await mkdir(dir, { recursive: true });
    const written = new Set<string>();
    let work = Promise.resolve();
    let leave = (): void => {};
    const fail = (error: unknown): void => {
      leave();
      this.#deps.onFailed(stream.name, stream.callId, error);
    };
    const packager: HlsPackager = new HlsPackager(
      { segmentMs: SEGMENT_MS },
      {
        onSegment: () => {
          work = work.then(() => writeFiles(packager, dir, written)).catch(fail);
        },
        onFailed: fail,
      },
    );
    const output = {
      push: packager.push.bind(packager),
      onEnded: async () => {
        await packager.onEnded();
        work = work.then(() => writeFiles(packager, dir, written)).catch(fail);
        await work;
      },
    };
    leave = this.#attach(stream, output, false);
    return leave;
  }

  /** A file of a stream that has ended lately, so that players read the end of the playlist; undefined: there is none. */
  endedFile(streamName: string, name: string, query: string): HlsFile | undefined {
    const packager = this.#ended.get(streamName);
    if (!packager?.isReady) return undefined;
    return name === PLAYLIST ? playlistOf(packager, query) : packager.file(name);
  }

  /** Ends all packaging. */
  close(): void {
    for (const stream of this.#sessions.keys()) this.#close(stream);
    for (const timer of this.#endings) clearTimeout(timer);
    this.#endings.clear();
    this.#ended.clear();
  }

  #keepEnd(stream: GatewayStream): void {
    const session = this.#sessions.get(stream);
    if (!session) return;
    const { packager } = session;
    this.#close(stream);
    this.#ended.set(stream.name, packager);
    const timer = setTimeout(() => {
      this.#endings.delete(timer);
      if (this.#ended.get(stream.name) === packager) this.#ended.delete(stream.name);
    }, ENDED_MS);
    timer.unref();
    this.#endings.add(timer);
  }

  #open(stream: GatewayStream): Session {
    this.#deps.requireRoom(stream);
    const packager: HlsPackager = new HlsPackager(
      { segmentMs: SEGMENT_MS },
      {
        onFailed: (error) => {
          this.#close(stream);
          this.#deps.onFailed(stream.name, stream.callId, error);
        },
      },
    );
    const output = {
      push: packager.push.bind(packager),
      onEnded: async () => {
        await packager.onEnded();
        this.#keepEnd(stream);
      },
    };
    const leave = this.#attach(stream, output, true);
    const idle = setTimeout(() => this.#close(stream), IDLE_MS);
    idle.unref();
    const session = { packager, leave, idle };
    this.#sessions.set(stream, session);
    return session;
  }

  #attach(
    stream: GatewayStream,
    output: Parameters<GatewayStream['addOutput']>[0],
    isViewer: boolean,
  ): () => void {
    const keyFrameIntervalMs = keyFrameIntervalOf(undefined);
    return stream.addOutput(output, this.#deps.viewerForm(), {
      isViewer,
      placeholder: this.#deps.placeholder,
      ...(keyFrameIntervalMs !== undefined && { keyFrameIntervalMs }),
    });
  }

  async #ready(packager: HlsPackager): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, FIRST_SEGMENT_MS);
    });
    await Promise.race([packager.ready(), late]);
    clearTimeout(timer);
  }

  #close(stream: GatewayStream): void {
    const session = this.#sessions.get(stream);
    if (!session) return;
    this.#sessions.delete(stream);
    clearTimeout(session.idle);
    session.leave();
  }
}

function playlistOf(packager: HlsPackager, query: string): HlsFile {
  const octets = Buffer.from(packager.playlist(query));
  return { contentType: 'application/vnd.apple.mpegurl', octets };
}

/** New segments first, then the playlist; then what it no longer names, but for the newest of those. */
async function writeFiles(packager: HlsPackager, dir: string, written: Set<string>): Promise<void> {
  const playlist = packager.playlist();
  const names = [...playlist.matchAll(/(?:URI="([^"]+)"|^([^#\n]+)$)/gm)].map(
    ([, init, segment]) => init ?? segment ?? '',
  );
  for (const name of names) {
    const file = written.has(name) ? undefined : packager.file(name);
    if (!file) continue;
    await put(dir, name, file.octets);
    written.add(name);
  }
  await put(dir, PLAYLIST, Buffer.from(playlist));
  for (const name of written) {
    if (names.includes(name) || packager.file(name)) continue;
    await rm(join(dir, name), { force: true });
    written.delete(name);
  }
}

async function put(dir: string, name: string, octets: Uint8Array): Promise<void> {
  const path = join(dir, name);
  await writeFile(`${path}.part`, octets);
  await rename(`${path}.part`, path);
}

function notFound(): GatewayError {
  return new GatewayError('FILE_NOT_FOUND', 'No such file of this stream', { field: 'file' });
}
