// An application-supplied output: cuts a call into files of a few seconds, keeps the newest in memory, and serves them.
//
//   npm run -s example examples/segmenter.ts sip:phone@192.0.2.5
//   curl http://127.0.0.1:8090/            the available segments, as JSON
//   ffplay http://127.0.0.1:8090/3.flv     one of them

import { createServer } from 'node:http';
import { createCallGateway } from '@sipcast/core';
import type { Output, OutputContents } from '@sipcast/core';
import { formatFlvHeader, formatFlvTag } from '@sipcast/media';
import type { FlvTag } from '@sipcast/media';

const SEGMENT_MS = Number(process.env['SEGMENT_MS'] ?? 4000);
const KEPT_SEGMENTS = 5;

/** `push` must be quick: it only appends the tag to a list, and never waits. */
class Segmenter implements Output {
  /** Completed files, by number. */
  readonly segments = new Map<number, Buffer>();
  #head = formatFlvHeader({ hasAudio: true, hasVideo: true });
  #hasVideo = true;
  #count = 0;
  #startMs = Number.NaN;
  #parts: Uint8Array[] = [];
  /** The latest metadata and sequence headers: each file begins with them. */
  readonly #headers = new Map<string, FlvTag>();

  onLive(contents: OutputContents): void {
    this.#head = formatFlvHeader(contents);
    this.#hasVideo = contents.hasVideo;
  }

  push(tag: FlvTag): void {
    if (tag.role === 'metadata' || tag.role === 'sequence-header') {
      this.#headers.set(`${tag.role} ${tag.type}`, tag);
      // A new one in the middle of a file is written in order, including the first audio header, which comes late.
      if (this.#parts.length > 0 && tag.role === 'sequence-header') this.#write(tag);
      return;
    }
    const canBegin = tag.role === 'key-frame' || !this.#hasVideo;
    const isDue = !(tag.timestampMs - this.#startMs < SEGMENT_MS);
    if (canBegin && isDue) this.#begin(tag.timestampMs);
    if (this.#parts.length > 0) this.#write(tag);
  }

  onEnded(error?: unknown): void {
    this.#finish();
    if (error) console.error(error);
  }

  #begin(timestampMs: number): void {
    this.#finish();
    this.#startMs = timestampMs;
    this.#parts = [this.#head];
    for (const header of this.#headers.values()) this.#write({ ...header, timestampMs });
  }

  #write(tag: FlvTag): void {
    const timestampMs = Math.max(0, tag.timestampMs - this.#startMs);
    this.#parts.push(formatFlvTag({ ...tag, timestampMs }));
  }

  #finish(): void {
    if (this.#parts.length === 0) return;
    this.segments.set(++this.#count, Buffer.concat(this.#parts));
    this.segments.delete(this.#count - KEPT_SEGMENTS);
    this.#parts = [];
    console.log(`segment ${this.#count}: ${this.segments.get(this.#count)?.length} octets`);
  }
}

const [callee = ''] = process.argv.slice(2);
const gateway = await createCallGateway();
const call = await gateway.startup({ callee, toStream: 'camera' });
const segmenter = new Segmenter();
// Starts when the call is answered. The audio is AAC, which every player supports.
gateway.streams.get('camera').addOutput(segmenter, { audio: 'aac' });

const server = createServer((request, response) => {
  const number = /^\/(\d+)\.flv$/.exec(request.url ?? '')?.[1];
  const segment = segmenter.segments.get(Number(number));
  if (segment) response.setHeader('content-type', 'video/x-flv').end(segment);
  else if (request.url === '/') response.end(JSON.stringify([...segmenter.segments.keys()]));
  else response.writeHead(404).end();
}).listen(Number(process.env['PORT'] ?? 8090), '127.0.0.1', () => {
  const address = server.address();
  if (address && typeof address === 'object') console.log(`listening on port ${address.port}`);
});

call.once('closed', () => {
  server.close();
  void gateway.close();
});
process.once('SIGINT', () => void call.terminate());
