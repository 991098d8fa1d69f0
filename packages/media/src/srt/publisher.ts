// Publishes one stream over SRT through `ffmpeg -c copy -f mpegts`. One child is one connection; it ends with it.
// Reconnecting is up to the caller, as with RTMP.

import { lookup as systemLookup } from 'node:dns';
import { isIP } from 'node:net';
import type { LookupFunction } from 'node:net';
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import type { FlvTag } from '../codec/frame.ts';
import { RtmpError } from '../errors.ts';
import { lowerPriority } from '../ffmpeg/child.ts';
import { spawnFfmpeg } from '../ffmpeg/spawn.ts';
import { formatFlvHeader, formatFlvTag } from '../flv/flv-file.ts';
import { TrackStart } from '../flv/track-start.ts';
import { PLAIN_RTMP } from '../rtmp/capabilities.ts';
import { FORBIDDEN_ADDRESS, forbiddenAddress, guardedLookup } from '../rtmp/guarded-lookup.ts';
import type { MayConnect } from '../rtmp/guarded-lookup.ts';
import type { RtmpPublisher, RtmpPublisherHandler, RtmpPublisherStats } from '../rtmp/publisher.ts';
import { parseSrtUrl } from './url.ts';
import type { SrtUrl } from './url.ts';

/** How one SRT connection is made. */
export interface SrtPublisherOptions {
  /** `srt://host:port[?streamid=…]`, see {@link parseSrtUrl}. */
  readonly url: string;
  /** Stream ID where the address has none. */
  readonly streamName: string;
  /** Path of an ffmpeg that speaks SRT. */
  readonly ffmpegPath: string;
  /** Called for each address of the host. Default: all are allowed. */
  readonly mayConnect?: MayConnect;
  /** Replaces the system's resolver. */
  readonly lookup?: LookupFunction;
  /** From the first media to the accepted connection. Default 10,000 ms. */
  readonly publishTimeoutMs?: number;
}

/** Media waiting for the child; pictures are dropped beyond it. Two seconds of 4 Mbit/s. */
const MAX_WAITING_BYTES = 1024 * 1024;
const KEY_FRAME_WISH_MS = 500;
const KILL_AFTER_MS = 1000;
const MAX_WORDS_BYTES = 16 * 1024;

/**
 * Looks the host up, then connects with the first media: ffmpeg opens its output once it knows its input. Returns at once;
 * the outcome reaches the handler.
 *
 * @throws RtmpError `INVALID_URL`
 */
export function openSrtPublisher(
  options: SrtPublisherOptions,
  handler: RtmpPublisherHandler,
): RtmpPublisher {
  return new SrtPublisher(parseSrtUrl(options.url), options, handler);
}

class SrtPublisher implements RtmpPublisher {
  readonly #url: SrtUrl;
  readonly #options: SrtPublisherOptions;
  readonly #handler: RtmpPublisherHandler;
  #address: string | undefined;
  #child: ChildProcessWithoutNullStreams | undefined;
  readonly #tracks = new TrackStart();
  #words = '';
  #isPublishing = false;
  #isRenewing = false;
  #isGated = false;
  #wishedAtMs = Number.NEGATIVE_INFINITY;
  #deadline: NodeJS.Timeout | undefined;
  #bytesSent = 0;
  #droppedFrames = 0;
  #sent = new Set<'key-frame' | 'audio'>();
  #ended = false;
  #closing: Promise<void> | undefined;
  #resolveClosed: () => void = () => {};

  constructor(url: SrtUrl, options: SrtPublisherOptions, handler: RtmpPublisherHandler) {
    this.#url = url;
    this.#options = options;
    this.#handler = handler;
    const { mayConnect, lookup = systemLookup } = options;
    const find = mayConnect ? guardedLookup(mayConnect, lookup) : lookup;
    if (isIP(url.host) !== 0) {
      const isForbidden = mayConnect?.(url.host, url.host) === false;
      queueMicrotask(() =>
        this.#onAddress(isForbidden ? forbiddenAddress(url.host) : null, url.host),
      );
    } else {
      find(url.host, {}, (error, found) => {
        const [first] = typeof found === 'string' ? [found] : found.map(({ address }) => address);
        this.#onAddress(error, first ?? '');
      });
    }
  }

  get stats(): RtmpPublisherStats {
    return {
      bytesSent: this.#bytesSent,
      bytesAcknowledged: null,
      outstandingBytes: this.#child?.stdin.writableLength ?? 0,
      droppedFrames: this.#droppedFrames,
    };
  }

  push(tag: FlvTag): 'sent' | 'skipped' {
    if (this.#ended || this.#closing || this.#address === undefined) return 'skipped';
    if (tag.role === 'metadata' || tag.role === 'sequence-header') {
      // MPEG-TS announces its tracks once, and a copied stream cannot change its parameters.
      if (this.#tracks.describe(tag) && this.#child) this.#renew();
      return 'sent';
    }
    if (!this.#child) {
      const tags = this.#tracks.hold(tag);
      if (tags.length === 0) return 'skipped';
      this.#start();
      for (const one of tags) this.#write(one);
      return 'sent';
    }
    return this.#write(tag);
  }

  close(): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      this.#resolveClosed = resolve;
      const child = this.#child;
      if (this.#ended) return resolve();
      if (!child) return this.#end(undefined);
      child.stdin.end();
      const kill = setTimeout(() => child.kill('SIGKILL'), KILL_AFTER_MS);
      child.once('close', () => clearTimeout(kill));
    });
    return this.#closing;
  }

  #onAddress(error: NodeJS.ErrnoException | null, address: string): void {
    if (this.#ended || this.#closing) return;
    if (error) {
      const code = error.code === FORBIDDEN_ADDRESS ? 'CONNECT_FORBIDDEN' : 'CONNECT_FAILED';
      return this.#end(new RtmpError(code, error.message, { cause: error }));
    }
    this.#address = address;
    this.#handler.onMediaWanted?.(PLAIN_RTMP);
  }

  #renew(): void {
    const former = this.#child;
    this.#child = undefined;
    this.#isRenewing = true;
    former?.removeAllListeners('close');
    former?.on('close', () => {});
    former?.stdin.end();
    const kill = setTimeout(() => former?.kill('SIGKILL'), KILL_AFTER_MS);
    former?.once('exit', () => clearTimeout(kill));
    this.#wantKeyFrame();
  }

  #start(): void {
    this.#words = '';
    this.#isGated = false;
    const child = this.#spawn();
    if (!child) return;
    this.#child = child;
    const { publishTimeoutMs = 10_000 } = this.#options;
    const late = new RtmpError('TIMEOUT', 'no connection in time');
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => this.#end(late), publishTimeoutMs);
    lowerPriority(child.pid);
    child.stderr.on('data', (octets: Buffer) => this.#onWords(child, octets.toString('latin1')));
    child.stdout.resume();
    for (const pipe of [child.stdin, child.stdout, child.stderr])
      pipe.on('error', () => {
        // Ignored: 'close' of the child follows, with the reason.
      });
    child.once('error', (error) => this.#onClose(child, error.message));
    child.once('close', (code, signal) => this.#onClose(child, `ended with ${signal ?? code}`));
    const { audioHeader, videoHeader, headers } = this.#tracks;
    const contents = { hasAudio: audioHeader !== undefined, hasVideo: videoHeader !== undefined };
    child.stdin.write(formatFlvHeader(contents));
    for (const tag of headers) child.stdin.write(formatFlvTag(tag));
  }

  #spawn(): ChildProcessWithoutNullStreams | undefined {
    const { host, port, options } = this.#url;
    const { streamName, ffmpegPath } = this.#options;
    const address = this.#address ?? host;
    const query = new Map([['mode', 'caller'], ['pkt_size', '1316'], ...options]);
    if (!query.has('streamid') && streamName !== '') query.set('streamid', streamName);
    const written = [...query].map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
    const target = `srt://${address.includes(':') ? `[${address}]` : address}:${port}?${written.join('&')}`;
    const words = [
      '-hide_banner -nostats -loglevel info -protocol_whitelist pipe,srt,udp',
      '-analyzeduration 200000 -f flv -i pipe:0',
      '-c copy -f mpegts -flush_packets 1',
    ];
    const args = [...words.join(' ').split(' '), target];
    try {
      const child = spawnFfmpeg(ffmpegPath, args);
      if (child.pid !== undefined) return child;
      child.once('error', (error) => this.#end(new RtmpError('CONNECT_FAILED', error.message)));
    } catch (error) {
      this.#end(
        new RtmpError('CONNECT_FAILED', error instanceof Error ? error.message : String(error)),
      );
    }
    return undefined;
  }

  #write(tag: FlvTag): 'sent' | 'skipped' {
    const child = this.#child;
    if (!child) return 'skipped';
    const isPicture = tag.type === 9;
    if (tag.role === 'key-frame' && child.stdin.writableLength < MAX_WAITING_BYTES / 2)
      this.#isGated = false;
    if (child.stdin.writableLength > MAX_WAITING_BYTES) this.#isGated = true;
    const isTooMuch = child.stdin.writableLength > 2 * MAX_WAITING_BYTES;
    if (isTooMuch || (isPicture && this.#isGated)) {
      this.#droppedFrames++;
      this.#wantKeyFrame();
      return 'skipped';
    }
    const octets = formatFlvTag(tag);
    child.stdin.write(octets);
    this.#bytesSent += octets.length;
    if ((tag.role === 'key-frame' || tag.role === 'audio') && !this.#sent.has(tag.role)) {
      this.#sent.add(tag.role);
      this.#handler.onFirstSent?.(tag.role);
    }
    return 'sent';
  }

  #wantKeyFrame(): void {
    const nowMs = performance.now();
    if (nowMs - this.#wishedAtMs < KEY_FRAME_WISH_MS) return;
    this.#wishedAtMs = nowMs;
    this.#handler.onKeyFrameWanted();
  }

  /** ffmpeg describes its output once that is open: the server has accepted the connection. */
  #onWords(child: ChildProcessWithoutNullStreams, words: string): void {
    if (child !== this.#child) return;
    this.#words = (this.#words + words).slice(-MAX_WORDS_BYTES);
    if (!this.#words.includes('Output #0, mpegts')) return;
    clearTimeout(this.#deadline);
    this.#isRenewing = false;
    if (this.#isPublishing) return;
    this.#isPublishing = true;
    this.#handler.onPublishing(PLAIN_RTMP);
  }

  #onClose(child: ChildProcessWithoutNullStreams, how: string): void {
    if (child !== this.#child) return;
    this.#child = undefined;
    if (this.#closing) return this.#end(undefined);
    const code = this.#isPublishing && !this.#isRenewing ? 'CONNECTION_LOST' : 'CONNECT_FAILED';
    this.#end(new RtmpError(code, `ffmpeg ${how}${this.#lastWords()}`));
  }

  /** The last line that says what went wrong, without the address that ffmpeg repeats. */
  #lastWords(): string {
    const lines = this.#words
      .split(/[\r\n]+/)
      .filter((line) => /error|fail|refus|broken|timeout|rejected/i.test(line));
    const line = lines
      .at(-1)
      ?.replaceAll(/srt:\/\/\S+/g, 'srt://…')
      .trim()
      .slice(0, 300);
    return line === undefined ? '' : `: ${line}`;
  }

  #end(error: RtmpError | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#deadline);
    this.#child?.kill('SIGKILL');
    this.#child = undefined;
    this.#handler.onEnded(error);
    this.#resolveClosed();
  }
}
