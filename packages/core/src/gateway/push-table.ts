// The pushes of a gateway, by their ids.

import { randomBytes } from 'node:crypto';
import { adviseRtmpTarget } from '@sipcast/media';
import type { OutputForm, RtmpEnhancedMode } from '@sipcast/media';
import { GatewayError } from '../errors.ts';
import type { PushFilter, PushRequest } from './gateway-contract.ts';
import { childLogger } from '../logger.ts';
import type { NamedStream } from '../stream/named-stream.ts';
import { invalid, validateRtmpTarget } from '../call/options.ts';
import { RtmpPush } from '../stream/rtmp-push.ts';
import type {
  PushRtmpOptions,
  RtmpOptions,
  RtmpPushDeps,
  RtmpPushView,
} from '../stream/rtmp-push.ts';

/** What the owner of a {@link PushTable} is told. */
export interface PushTableHandler {
  /** A push is there, or what its view tells has changed. */
  onChange(push: RtmpPush, callId: string): void;
  /** Once for each. */
  onClosed(push: RtmpPush, callId: string): void;
}

/** Makes pushes and finds them until they are closed. */
export class PushTable {
  readonly #options: RtmpOptions;
  readonly #silentAudio: boolean | undefined;
  readonly #deps: RtmpPushDeps;
  readonly #handler: PushTableHandler;
  readonly #pushes = new Map<string, { readonly push: RtmpPush; readonly callId: string }>();

  constructor(
    { rtmp, silentAudio }: { readonly rtmp: RtmpOptions; readonly silentAudio?: boolean },
    deps: RtmpPushDeps,
    handler: PushTableHandler,
  ) {
    this.#options = rtmp;
    this.#silentAudio = silentAudio;
    this.#deps = deps;
    this.#handler = handler;
  }

  /**
   * `connectUrl` and `publishName` where they are not `rtmpUrl` and, behind the prefix, `streamName`; `isOfCall` false where
   * `callId` is the name of a stream of one's own.
   */
  create(
    callId: string,
    streamName: string,
    rtmpUrl: string,
    parts: {
      form: OutputForm;
      muted?: boolean;
      connectUrl?: string;
      publishName?: string;
      rtmp?: PushRtmpOptions;
      isOfCall?: boolean;
    },
  ): RtmpPush {
    const mediaSessionId = `${callId}-${randomBytes(6).toString('hex')}`;
    const { isOfCall = true } = parts;
    const about = { area: 'rtmp', mediaSessionId, ...(isOfCall && { callId }) } as const;
    const push = new RtmpPush(
      {
        mediaSessionId,
        streamName,
        rtmpUrl,
        connectUrl: parts.connectUrl ?? rtmpUrl,
        publishName: parts.publishName ?? `${this.#options.streamPrefix ?? ''}${streamName}`,
        muted: parts.muted ?? false,
        form: parts.form,
        ...(this.#silentAudio !== undefined && { silentAudio: this.#silentAudio }),
        ...(parts.rtmp && { rtmp: parts.rtmp }),
      },
      this.#options,
      { ...this.#deps, logger: childLogger(this.#deps.logger, about) },
    );
    this.#pushes.set(mediaSessionId, { push, callId });
    push.on('status', () => this.#handler.onChange(push, callId));
    push.once('closed', () => {
      this.#pushes.delete(mediaSessionId);
      this.#handler.onClosed(push, callId);
    });
    this.#handler.onChange(push, callId);
    return push;
  }

  /**
   * Pushes a stream to one more server.
   * @param form of the push; asked for when nothing else is in its way
   * @throws GatewayError `PUSH_EXISTS`, and what `form` and the stream's encoders throw
   */
  start(
    stream: NamedStream,
    { streamName, rtmpUrl, muted = false, rtmp = {} }: PushRequest,
    target: PushTarget,
    form: () => OutputForm,
  ): RtmpPush {
    // The call's own push may go to the same server under another name.
    const exists = stream.pushes.some(
      (push) => push.target.rtmpUrl === rtmpUrl && push.target.streamName === streamName,
    );
    if (exists)
      throw new GatewayError('PUSH_EXISTS', 'This stream is pushed there already', {
        field: 'rtmpUrl',
      });
    const { callId } = stream;
    const push = this.create(callId ?? streamName, streamName, rtmpUrl, {
      muted,
      rtmp,
      isOfCall: callId !== null,
      form: form(),
      ...target,
    });
    try {
      stream.attach(push);
    } catch (error) {
      void push.close();
      throw error;
    }
    return push;
  }

  /** Does something to a push that its view tells, e.g. mutes it. @throws GatewayError `PUSH_NOT_FOUND` */
  change(mediaSessionId: string, step: (push: RtmpPush) => void): void {
    const push = this.get(mediaSessionId);
    step(push);
    this.#handler.onChange(push, this.#pushes.get(mediaSessionId)?.callId ?? '');
  }

  /** Whether a push there will speak Enhanced RTMP. @param url - `null`: one that is not known yet. */
  enhancedOf(url: string | null, rtmp: PushRtmpOptions): RtmpEnhancedMode {
    const form = { audio: 'passthrough', video: 'passthrough' } as const;
    const known = url === null ? undefined : adviseRtmpTarget(url, form, true);
    return rtmp.enhanced ?? this.#options.enhanced ?? known?.enhanced ?? 'off';
  }

  /** Those that match all given fields, and were not terminated. */
  find(filter: PushFilter): RtmpPushView[] {
    const bare = (name: string): string => name.replace(/^rtmp_/, '');
    const found: RtmpPushView[] = [];
    for (const { push } of this.#pushes.values()) {
      if (push.terminated) continue;
      const { streamName, rtmpUrl } = push.target;
      if (filter.streamName !== undefined && bare(filter.streamName) !== bare(streamName)) continue;
      if (filter.rtmpUrl !== undefined && filter.rtmpUrl !== rtmpUrl) continue;
      found.push(push.view());
    }
    return found;
  }

  /** @throws GatewayError `PUSH_NOT_FOUND` */
  get(mediaSessionId: string): RtmpPush {
    const push = this.#pushes.get(mediaSessionId)?.push;
    if (!push || push.terminated)
      throw new GatewayError('PUSH_NOT_FOUND', 'No such push', { field: 'mediaSessionId' });
    return push;
  }
}

/** Where a push connects and what it publishes, where that is not its `rtmpUrl` and stream. */
export interface PushTarget {
  readonly connectUrl?: string;
  readonly publishName?: string;
}

/**
 * Where a push connects and what it publishes, where the request says so itself; empty: as the stream is named.
 * @throws GatewayError `INVALID_ARGUMENT` naming the field.
 */
export function pushTarget({
  streamName,
  rtmpUrl,
  rtmpTransponderFullUrl = false,
}: PushRequest): PushTarget {
  if (!rtmpTransponderFullUrl) {
    validateRtmpTarget(rtmpUrl, streamName, 'streamName');
    return {};
  }
  const [connectUrl, publishName] = splitFullUrl(rtmpUrl);
  validateRtmpTarget(connectUrl, publishName, 'rtmpUrl');
  return { connectUrl, publishName };
}

/** `rtmp://host/app/key?query` into where to connect and what to publish. */
function splitFullUrl(url: string): [string, string] {
  const query = url.indexOf('?');
  const path = query < 0 ? url : url.slice(0, query);
  const slash = path.lastIndexOf('/');
  const key = path.slice(slash + 1) + (query < 0 ? '' : url.slice(query));
  if (!/^rtmps?:\/\/[^/]+\/.+\/[^/]+$/i.test(path)) {
    throw invalid('rtmpUrl', 'must end in /app/name when rtmpTransponderFullUrl is true');
  }
  return [path.slice(0, slash), key];
}
