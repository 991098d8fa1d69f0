// What a call is to others: its view, its events, and what it needs of its surroundings.

import type { FlvRecording, MediaStats } from '@sipcast/media';
import type { ReferRequest, Registration, SipUserAgent } from '@sipcast/sip';
import type { RegistrationView } from '../registration/account-registration.ts';
import type { DtmfType } from './dtmf-info.ts';
import type { Logger } from '../logger.ts';
import type { OfferOptions } from '../negotiation/negotiation.ts';
import type { SipTraceEntry } from '../trace/sip-trace.ts';
import type { RtmpPushView } from '../stream/rtmp-push.ts';
import type { CallStatus, RtmpStreamStatus } from '../status.ts';

/** Whose doing an ending was. */
export type EndedBy = 'local' | 'remote' | 'network' | 'gateway';

/** A call as clients see it: every key always there, `null` when unset. */
export interface CallView {
  readonly custom: Readonly<Record<string, unknown>>;
  readonly nodeId: string;
  readonly appKey: string;
  readonly sessionId: string;
  readonly callId: string;
  readonly parentCallId: null;
  readonly incoming: boolean;
  readonly status: CallStatus;
  /** Last SIP status code, e.g. 180, 200, 486. */
  readonly sipStatus: number | null;
  readonly rtmpUrl: string | null;
  readonly rtmpStream: string | null;
  readonly streamName: string | null;
  readonly rtmpStreamStatus: RtmpStreamStatus | null;
  readonly caller: string;
  readonly callee: string;
  readonly hasAudio: boolean;
  readonly hasVideo: boolean;
  /** The peer's answer. */
  readonly sdp: string | null;
  readonly visibleName: string;
  readonly inviteParameters: null;
  readonly mediaProvider: 'Flash';
  /** The last SIP message received. */
  readonly sipMessageRaw: string | null;
  readonly isMsrp: false;
  /** Whom the peer is to call in place of us, while it tries. */
  readonly target: string | null;
  readonly holdForTransfer: boolean;
  /**
   * Why the call ended, once it has. Before: how its registration stands, where it needs one (`Registering`, `Registered`,
   * `Registration failed: …`).
   */
  readonly info: string | null;
  readonly endedBy: EndedBy | null;
  /** ISO 8601. */
  readonly createdAt: string;
  readonly establishedAt: string | null;
  readonly endedAt: string | null;
  readonly media: MediaStats | null;
  readonly pushes: readonly RtmpPushView[];
}

/** What a change was about: those fields that are new. */
export type CallChange = 'status' | 'sipStatus' | 'rtmpStreamStatus';

/** A key that the peer pressed. */
export interface ReceivedDtmf {
  /** One of `0-9 * # A-D`. */
  readonly digit: string;
  /** How it came. */
  readonly type: DtmfType;
}

/** Events of a call. */
export interface CallEvents {
  /** After each change of the status. */
  status: (status: CallStatus, previous: CallStatus) => void;
  /** After each change of the status of the stream that `rtmpUrl` and `rtmpStream` name. */
  rtmpStreamStatus: (status: RtmpStreamStatus) => void;
  /** After each change of status, sipStatus or rtmpStreamStatus; one event for those that change together. */
  change: (view: CallView, changed: readonly CallChange[]) => void;
  /** The peer pressed a key: once for each, however often its packets are repeated. */
  dtmf: (dtmf: ReceivedDtmf) => void;
  /** About once a second while the call is established, for as long as somebody listens. */
  stats: (stats: MediaStats) => void;
  /**
   * The peer asks us to call somebody else in place of itself (REFER). Whoever listens takes it on, and tells the peer by
   * `report`; without a listener it is declined.
   */
  refer: (refer: ReferRequest) => void;
  /** A file of the recording is complete. */
  recorded: (file: FlvRecording) => void;
  /** Once, after the last status: everything that the call held is released. */
  closed: () => void;
}

/** What the gateway gives each of its calls. */
export interface CallOptions {
  readonly nodeId: string;
  readonly sessionId: string;
  readonly offer: OfferOptions;
  readonly inviteTimeoutMs: number;
  /** As in `InviteOptions` of the SIP package. */
  readonly maxRedirects?: number;
  /** May RTP go to this address? `host`: the name that led there, or the address. Default: to all. */
  readonly mayConnect?: (address: string, host: string) => boolean;
  /** What `trace()` shows. */
  readonly trace: { entries(): SipTraceEntry[] };
}

/** What a call needs: the network, the clock and the log. */
export interface CallDeps {
  readonly userAgent: Pick<SipUserAgent, 'localAddressFor' | 'invite' | 'resolve'> & {
    /**
     * Registers, or shares the registration of other calls; `unregister` when it is not needed any more. `onState` is told
     * how it stands, until then. `signal`: when it is not needed any more, even before it is there.
     */
    register(
      account: Parameters<SipUserAgent['register']>[0],
      onState: (view: RegistrationView) => void,
      signal: AbortSignal,
    ): Promise<Pick<Registration, 'unregister'>>;
  };
  /** Of this call: its lines need not say which. */
  readonly logger: Logger;
  /** Wall clock in milliseconds. */
  readonly wallClock: () => number;
}
