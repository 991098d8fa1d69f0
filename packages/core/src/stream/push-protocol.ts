// What a push asks of the protocol that its address names. Each protocol is one file; push-protocols.ts lists them.

import type {
  FfmpegBinary,
  openRtmpPublisher,
  OutputForm,
  RtmpPublisher,
  RtmpPublisherHandler,
  RtmpPublisherOptions,
  RtmpTargetAdvice,
} from '@sipcast/media';

/** What protocols need to connect. */
export interface PushProtocolDeps {
  readonly openRtmpPublisher: typeof openRtmpPublisher;
  /** The ffmpeg that was found at the start; undefined where transcoding is off. */
  readonly ffmpeg: () => FfmpegBinary | undefined;
}

/** How addresses of some schemes are checked, and how a push connects to them. */
export interface PushProtocol {
  /** With colon, in lower case. */
  readonly schemes: readonly string[];
  /**
   * Checks a target.
   * @param nameField - Where the name was given.
   * @throws GatewayError `INVALID_ARGUMENT` naming `rtmpUrl` or `nameField`.
   */
  check(url: string, name: string, nameField: string): void;
  /**
   * Splits an address that ends in the name to publish under.
   * @throws GatewayError `INVALID_ARGUMENT` naming `rtmpUrl`.
   */
  split(fullUrl: string): { readonly connectUrl: string; readonly publishName: string };
  /** What a push to this address needs and lacks; undefined: nothing is known of the server. */
  advise(url: string, form: OutputForm, silentAudio: boolean): RtmpTargetAdvice | undefined;
  /** The form that the protocol can carry, closest to the one that is asked for. */
  formFor(form: OutputForm): OutputForm;
  /** Words of the target that no message may show; servers repeat them. */
  secretsIn(url: string, name: string): readonly string[];
  /**
   * Where a server may send a push that goes to `from`; undefined: not there. The user and password of `from` stay with its host.
   * @param mayRedirect - Whether another host is allowed.
   */
  redirect(from: string, to: string, mayRedirect: (url: string) => boolean): string | undefined;
  /** @throws GatewayError `NOT_IMPLEMENTED` where something is missing here that every push by it needs. */
  requireUsable(deps: PushProtocolDeps): void;
  /** Makes one connection. The outcome reaches the handler. */
  open(
    options: RtmpPublisherOptions,
    handler: RtmpPublisherHandler,
    deps: PushProtocolDeps,
  ): RtmpPublisher;
}
