// The pushes of a gateway as applications see them.

import type { OutputFormOptions } from '../stream/output-form.ts';
import type { PushRtmpOptions } from '../stream/rtmp-options.ts';
import type { RtmpPush, RtmpPushView } from '../stream/rtmp-push.ts';

/** A push to start. */
export interface PushRequest extends OutputFormOptions {
  /** Name of a stream, that is, `toStream` of a call. */
  readonly streamName: string;
  /** `rtmp[s]://host[:port]/app[/instance][?query]`, or `srt://host:port[?streamid=…]`. */
  readonly rtmpUrl: string;
  /** `rtmpUrl` ends in the name to publish under. Default false: it is the stream's name. */
  readonly rtmpTransponderFullUrl?: boolean;
  /** Begin muted. Default false. */
  readonly muted?: boolean;
  /** How this push connects and reconnects, where it differs from the gateway's `rtmp`. */
  readonly rtmp?: PushRtmpOptions;
}

/** What `pushes.find` compares. */
export interface PushFilter {
  /** With or without a leading `rtmp_`. */
  readonly streamName?: string;
  readonly rtmpUrl?: string;
}

/** See `CallGateway.pushes`. */
export interface Pushes {
  /**
   * Pushes a named stream to one more RTMP server; also one that is only reserved.
   *
   * @throws GatewayError `INVALID_ARGUMENT`, `STREAM_NOT_FOUND`, `PUSH_EXISTS`, `TRANSCODERS_BUSY`,
   * `TRANSCODER_LOST`.
   */
  start(request: PushRequest): RtmpPushView;
  /** Pushes that match all given fields, those of calls' own `rtmpUrl` included. */
  find(filter?: PushFilter): RtmpPushView[];
  /** The push. @throws GatewayError `PUSH_NOT_FOUND`. */
  get(mediaSessionId: string): RtmpPush;
  /**
   * Replaces the audio of a push by a WAV, MP3 or FLV file of `mediaFolder`; after it the stream's audio follows again.
   *
   * @param loop - Repeats the file until `stopSound` of the push. Default: once.
   * @throws GatewayError (rejection) `PUSH_NOT_FOUND`, `FILE_NOT_FOUND`, `INVALID_ARGUMENT` for `soundFile`,
   * `TRANSCODERS_BUSY`, `TRANSCODER_LOST`, `NOT_IMPLEMENTED` when there is no ffmpeg to decode it.
   */
  playSound(mediaSessionId: string, soundFile: string, loop?: boolean): Promise<void>;
}
