// A push as applications see it: one stream going to one RTMP server.

import type { RtmpError } from '@sipcast/media';
import type { Emitter } from '../emitter.ts';
import type { RtmpStreamStatus } from '../status.ts';

/** Events of a push. */
export interface RtmpPushEvents {
  /** After each change; with the error that caused it. */
  status: (status: RtmpStreamStatus, error: RtmpError | undefined) => void;
  /** It was muted, unmuted or given a sound, or its sound was stopped. */
  change: () => void;
  /** Once: the push was terminated, or its stream ended. */
  closed: () => void;
}

/** A snapshot of a push, as the HTTP API shows it. */
export interface RtmpPushView {
  readonly mediaSessionId: string;
  readonly streamName: string;
  readonly rtmpUrl: string;
  /** `rtmpUrl` ends in the name to publish under, which is often a key. */
  readonly rtmpTransponderFullUrl: boolean;
  readonly width: number | null;
  readonly height: number | null;
  readonly muted: boolean;
  readonly soundEnabled: boolean;
  readonly options: Readonly<Record<string, unknown>>;
  readonly status: RtmpStreamStatus;
  /** Octets sent on all connections. */
  readonly bytesSent: number;
  /** Tags dropped because the server was too slow. */
  readonly droppedFrames: number;
  /** Number of times publishing resumed after a loss. */
  readonly reconnects: number;
  /** Why the last connection ended or was refused; `null` if none has. */
  readonly lastError: string | null;
  /** It is connected, or connects again. False: it has given up until `retry`. */
  readonly isTrying: boolean;
}

/** One push. Made by the gateway; it lives until `close()` or until its stream ends. */
export interface RtmpPush extends Emitter<RtmpPushEvents> {
  readonly mediaSessionId: string;
  readonly status: RtmpStreamStatus;
  /** Silence replaces the audio. */
  readonly muted: boolean;
  /** `close()` was called: clients no longer find the push, although its connection may still be flushing. */
  readonly terminated: boolean;
  /** It has given up, and makes no connection until `retry`. Finders leave it out, and it blocks no new push. */
  readonly failed: boolean;
  /** Why the last connection ended or was refused, without keys; `null` if none has. */
  readonly lastError: string | null;
  /** A snapshot. */
  view(): RtmpPushView;
  /**
   * Connects at once where it waits for its next attempt or has given up; back-off and time limits start over. Without effect while
   * it is connected or its stream is not live yet.
   * @throws errors of the encoders that its form needs, e.g. `TRANSCODERS_BUSY`
   */
  retry(): void;
  /** Sends silence in place of the audio, without a break. */
  mute(): void;
  /** Sends the audio again. */
  unmute(): void;
  /** Ends the sound that `gateway.pushes.playSound` began: sends the stream's audio again. */
  stopSound(): void;
  /** Flushes, unpublishes and closes. Idempotent; resolves when the connection is gone. The stream and its other pushes go on. */
  close(): Promise<void>;
}
