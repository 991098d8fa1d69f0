// One stream that a client publishes to the sink, and its recording.

import { createWriteStream } from 'node:fs';
import type { WriteStream } from 'node:fs';
import { formatFlvHeader, formatFlvTag } from '@sipcast/media';
import type { Amf0Value } from '@sipcast/media/wire';

/** One audio, video or data message as it arrived. */
export interface ReceivedTag {
  /** 8 audio, 9 video, 18 data. */
  readonly type: 8 | 9 | 18;
  /** Milliseconds of the message, u32. */
  readonly timestampMs: number;
  /** For data, without the leading `@setDataFrame`. */
  readonly body: Uint8Array;
  /** `performance.now()` at arrival. */
  readonly arrivalMs: number;
}

/** The dependencies of a publication. */
export interface PublicationParts {
  readonly app: string;
  readonly streamName: string;
  readonly connectObject: ReadonlyMap<string, Amf0Value>;
  readonly commands: string[];
}

/** A stream that a client publishes or has published. */
export class RtmpPublication {
  readonly app: string;
  readonly streamName: string;
  /** All keys of the `connect` command's object. */
  readonly connectObject: ReadonlyMap<string, Amf0Value>;
  /** Path of the recording, if any. */
  readonly filePath: string | undefined;
  /** In order of arrival; empty if the sink keeps none. */
  readonly tags: ReceivedTag[] = [];
  /** Names of the commands received, in order. */
  readonly commands: string[];
  /** Resolves when the connection is closed and the recording is on disk. */
  readonly ended: Promise<void>;
  tagCount = 0;
  byteCount = 0;
  /** The publisher sent FCUnpublish or deleteStream before disconnecting. */
  endedOrderly = false;
  readonly #file: WriteStream | undefined;
  #resolveEnded: () => void = () => {};

  constructor(parts: PublicationParts & { readonly filePath: string | undefined }) {
    this.app = parts.app;
    this.streamName = parts.streamName;
    this.connectObject = parts.connectObject;
    this.commands = parts.commands;
    this.filePath = parts.filePath;
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
    if (parts.filePath !== undefined) {
      this.#file = createWriteStream(parts.filePath);
      this.#file.write(formatFlvHeader({ hasAudio: true, hasVideo: true }));
    }
  }

  /** For the sink: adds a tag. */
  take(tag: ReceivedTag, keep: boolean): void {
    this.tagCount++;
    this.byteCount += tag.body.length;
    if (keep) this.tags.push(tag);
    this.#file?.write(formatFlvTag(tag));
  }

  /** For the sink: the connection is gone. */
  end(): void {
    if (this.#file) this.#file.end(() => this.#resolveEnded());
    else this.#resolveEnded();
  }
}
