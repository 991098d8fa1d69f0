// One RTMP publisher under the eyes of a test, and a source of tags for it.

import { openRtmpPublisher } from '@sipcast/media';
import type {
  FlvTag,
  RtmpCapabilities,
  RtmpError,
  RtmpPublisher,
  RtmpPublisherOptions,
} from '@sipcast/media';
import { deferred } from './deferred.ts';

/** A publisher, and what it has reported. */
export interface WatchedPublisher {
  readonly publisher: RtmpPublisher;
  readonly publishing: Promise<RtmpCapabilities>;
  readonly ended: Promise<RtmpError | undefined>;
  readonly endings: (RtmpError | undefined)[];
  /** Addresses of ReconnectRequests. */
  readonly reconnects: (string | undefined)[];
  keyFramesWanted: number;
}

/** Opens a publisher of the stream `name?key=1`. Close it when done. */
export function watchPublisher(
  url: string,
  options: Partial<RtmpPublisherOptions> = {},
): WatchedPublisher {
  const publishing = deferred<RtmpCapabilities>();
  const ended = deferred<RtmpError | undefined>();
  const endings: (RtmpError | undefined)[] = [];
  const reconnects: (string | undefined)[] = [];
  const watched = {
    publishing: publishing.promise,
    ended: ended.promise,
    endings,
    reconnects,
    keyFramesWanted: 0,
  };
  const publisher = openRtmpPublisher(
    { url, streamName: 'name?key=1', ...options },
    {
      onPublishing: (capabilities) => publishing.resolve(capabilities),
      onKeyFrameWanted: () => {
        watched.keyFramesWanted++;
      },
      onReconnectRequested: (to) => reconnects.push(to),
      onEnded: (error) => {
        endings.push(error);
        ended.resolve(error);
      },
    },
  );
  return Object.assign(watched, { publisher });
}

/** A tag of zeros. */
export function testTag(role: FlvTag['role'], timestampMs: number, bytes = 50): FlvTag {
  const type = role === 'audio' ? 8 : role === 'metadata' ? 18 : 9;
  return { type, timestampMs, body: Buffer.alloc(bytes, timestampMs % 251), role };
}

/**
 * Sends pictures and sound in real time, a key frame each second and whenever one is wanted.
 *
 * @returns How to stop it.
 */
export function feedPublisher(watched: WatchedPublisher, bytesPerSecond: number): () => void {
  let at = 0;
  const beganMs = performance.now();
  const timer = setInterval(() => {
    for (; at <= performance.now() - beganMs; at += 40) {
      const isKey = at % 1000 === 0 || watched.keyFramesWanted > 0;
      if (isKey) watched.keyFramesWanted = 0;
      const role = isKey ? 'key-frame' : 'inter-frame';
      watched.publisher.push(testTag(role, at, Math.round(bytesPerSecond / 25)));
      watched.publisher.push(testTag('audio', at, 160));
    }
  }, 10);
  return () => clearInterval(timer);
}
