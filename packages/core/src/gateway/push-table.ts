// The pushes of a gateway by their ids.

import { randomBytes } from 'node:crypto';
import { openFileSound } from '@sipcast/media';
import type { OutputForm, RtmpEnhancedMode } from '@sipcast/media';
import { GatewayError } from '../errors.ts';
import { childLogger } from '../logger.ts';
import { GatewayPush } from '../stream/gateway-push.ts';
import type { GatewayPushDeps } from '../stream/gateway-push.ts';
import type { GatewayStream } from '../stream/gateway-stream.ts';
import { findSound } from '../stream/media-folder.ts';
import { formOptionsOf } from '../stream/output-form.ts';
import type { OutputFormOptions } from '../stream/output-form.ts';
import { protocolOf } from '../stream/push-protocols.ts';
import { validateRtmpOptions } from '../stream/rtmp-options.ts';
import type { PushRtmpOptions, RtmpOptions } from '../stream/rtmp-options.ts';
import type { RtmpPushView } from '../stream/rtmp-push.ts';
import type { Encoders } from './encoders.ts';
import { pushAddressOf } from './push-address.ts';
import type { PushAddress } from './push-address.ts';
import type { Pushes, PushFilter, PushRequest } from './pushes.ts';

/** Settings of a {@link PushTable}. */
export interface PushTableOptions {
  readonly rtmp: RtmpOptions;
  readonly silentAudio?: boolean;
  readonly keyFrameIntervalMs?: number;
  readonly videoPlaceholder?: 'black' | 'none';
  /** Folder of the files that may be played. Default: none. */
  readonly mediaFolder?: string;
}

/** What a {@link PushTable} asks and reports. */
export interface PushTableHandler {
  /** @throws GatewayError `STREAM_NOT_FOUND`. */
  streamOf(name: string): GatewayStream;
  /** The form that a live call has asked for. */
  formOf(callId: string): OutputFormOptions;
  /** A further push of a call's stream was made. */
  onStarted(push: GatewayPush, callId: string): void;
  /** A push has started, or its view has changed. */
  onChange(push: GatewayPush, callId: string): void;
  /** Once for each. */
  onClosed(push: GatewayPush, callId: string): void;
}

/** A push that is made. */
export interface NewPush extends PushAddress {
  /** Call-ID of the call that owns the stream, else the stream's name. */
  readonly callId: string;
  /** Default true. */
  readonly isOfCall?: boolean;
  readonly streamName: string;
  readonly rtmpUrl: string;
  readonly form: OutputForm;
  readonly muted?: boolean;
  /** Default: the gateway's. */
  readonly keyFrameIntervalMs?: number | undefined;
  readonly rtmp?: PushRtmpOptions;
}

/** Makes pushes and finds them until they are closed. */
export class PushTable implements Pushes {
  readonly #options: PushTableOptions;
  readonly #encoders: Encoders;
  readonly #deps: GatewayPushDeps;
  readonly #handler: PushTableHandler;
  readonly #pushes = new Map<string, GatewayPush>();

  constructor(
    options: PushTableOptions,
    encoders: Encoders,
    deps: GatewayPushDeps,
    handler: PushTableHandler,
  ) {
    this.#options = options;
    this.#encoders = encoders;
    this.#deps = deps;
    this.#handler = handler;
  }

  /** Makes a push that can be found from now on; it connects once it is attached to a stream. */
  create(wanted: NewPush): GatewayPush {
    const { callId, isOfCall = true, streamName, rtmpUrl, form, muted = false, rtmp } = wanted;
    const { rtmp: options, silentAudio } = this.#options;
    const { keyFrameIntervalMs = this.#options.keyFrameIntervalMs } = wanted;
    const mediaSessionId = `${callId}-${randomBytes(6).toString('hex')}`;
    const about = { area: 'rtmp', mediaSessionId, ...(isOfCall && { callId }) } as const;
    const push = new GatewayPush(
      {
        mediaSessionId,
        streamName,
        rtmpUrl,
        connectUrl: wanted.connectUrl ?? rtmpUrl,
        publishName: wanted.publishName ?? `${options.streamPrefix ?? ''}${streamName}`,
        muted,
        videoPlaceholder: this.#options.videoPlaceholder !== 'none',
        form,
        ...(silentAudio !== undefined && { silentAudio }),
        ...(keyFrameIntervalMs !== undefined && { keyFrameIntervalMs }),
        ...(rtmp && { rtmp }),
      },
      options,
      { ...this.#deps, logger: childLogger(this.#deps.logger, about) },
    );
    this.#pushes.set(mediaSessionId, push);
    const report = (): void => this.#handler.onChange(push, callId);
    push.on('status', report);
    push.on('change', report);
    push.once('closed', () => {
      this.#pushes.delete(mediaSessionId);
      this.#handler.onClosed(push, callId);
    });
    report();
    return push;
  }

  /** @throws GatewayError `NOT_IMPLEMENTED` where pushes to this URL need something that is missing here */
  requireUsable(rtmpUrl: string): void {
    protocolOf(rtmpUrl).requireUsable(this.#deps);
  }

  start(request: PushRequest): RtmpPushView {
    const { streamName, rtmpUrl, muted = false, rtmp = {} } = request;
    validateRtmpOptions(rtmp);
    const address = pushAddressOf(request);
    this.requireUsable(rtmpUrl);
    const stream = this.#handler.streamOf(streamName);
    const { callId } = stream;
    const own = callId === null ? {} : this.#handler.formOf(callId);
    // The call's own push may go to the same server under another name.
    const same = stream.pushes.filter(
      ({ target }) => target.rtmpUrl === rtmpUrl && target.streamName === streamName,
    );
    if (same.some(({ status }) => status !== 'RTMP_CONNECTION_FAILED')) {
      const problem = 'This stream is pushed there already';
      throw new GatewayError('PUSH_EXISTS', problem, { field: 'rtmpUrl' });
    }
    const wanted = { ...own, ...formOptionsOf(request) };
    const push = this.create({
      callId: callId ?? streamName,
      isOfCall: callId !== null,
      streamName,
      rtmpUrl,
      form: this.#encoders.formOf(wanted),
      keyFrameIntervalMs: wanted.keyFrameIntervalMs,
      muted,
      rtmp,
      ...address,
    });
    try {
      stream.attach(push);
    } catch (error) {
      void push.close();
      throw error;
    }
    // It replaces one that failed.
    for (const failed of same) void failed.close();
    if (callId !== null) this.#handler.onStarted(push, callId);
    return push.view();
  }

  find(filter: PushFilter = {}): RtmpPushView[] {
    const bare = (name: string): string => name.replace(/^rtmp_/, '');
    const found: RtmpPushView[] = [];
    for (const push of this.#pushes.values()) {
      if (push.terminated || push.failed) continue;
      const { streamName, rtmpUrl } = push.target;
      if (filter.streamName !== undefined && bare(filter.streamName) !== bare(streamName)) continue;
      if (filter.rtmpUrl !== undefined && filter.rtmpUrl !== rtmpUrl) continue;
      found.push(push.view());
    }
    return found;
  }

  get(mediaSessionId: string): GatewayPush {
    const push = this.#pushes.get(mediaSessionId);
    if (!push || push.terminated)
      throw new GatewayError('PUSH_NOT_FOUND', 'No such push', { field: 'mediaSessionId' });
    return push;
  }

  async playSound(mediaSessionId: string, soundFile: string, loop = false): Promise<void> {
    const push = this.get(mediaSessionId);
    const path = await findSound(this.#options.mediaFolder, soundFile, 'soundFile');
    const { ffmpeg, aacRateHz } = this.#encoders;
    if (!ffmpeg) {
      const problem = 'Sound needs ffmpeg, and transcoding is off';
      throw new GatewayError('NOT_IMPLEMENTED', problem, { field: 'soundFile' });
    }
    if (!push.takesSounds) {
      const problem = 'A sound cannot replace the AAC of a published stream';
      throw new GatewayError('NOT_IMPLEMENTED', problem, { field: 'soundFile' });
    }
    const free = this.#encoders.takeSoundSlot();
    push.playSound((codec) => openFileSound({ ffmpeg, path, codec, aacRateHz, loop }), free);
  }

  /** Whether a push to this URL will use Enhanced RTMP. @param url - `null`: not known yet. */
  enhancedOf(url: string | null, rtmp: PushRtmpOptions): RtmpEnhancedMode {
    const form = { audio: 'passthrough', video: 'passthrough' } as const;
    const known = url === null ? undefined : protocolOf(url).advise(url, form, true);
    return rtmp.enhanced ?? this.#options.rtmp.enhanced ?? known?.enhanced ?? 'off';
  }
}
