// The negotiated media, and their translation for the stages of the media path.

import { AUDIO_CODECS, VIDEO_CLOCK_RATE_HZ } from '../codec/codec.ts';
import type { AudioCodec, VideoCodec } from '../codec/codec.ts';
import type { RtpCodec } from '../rtp/depacketizer.ts';
import type { KeyFrameMethod } from '../rtp/key-frame-requester.ts';
import type { AudioLine } from '../rtp/audio-packetizer.ts';
import { requireRemote } from '../rtp/rtp-remote.ts';
import type { RtpRemote } from '../rtp/rtp-remote.ts';
import type { SrtpKeys } from '../rtp/srtp.ts';

/** One negotiated medium. */
export interface NegotiatedMedium {
  /** Address to send to and expect media from. */
  readonly address: string;
  readonly rtpPort: number;
  readonly rtcpAddress: string;
  readonly rtcpPort: number;
  /** The peer accepts media from us, and we offered to send. */
  readonly send: boolean;
  /** The peer intends to send media; false while it holds the call or only listens. */
  readonly receive: boolean;
  /** Payload types on the wire, by codec. */
  readonly codecs: readonly {
    readonly payloadType: number;
    readonly codec: AudioCodec | VideoCodec;
  }[];
  /** RFC 4733 events, if negotiated, for each RTP clock. */
  readonly telephoneEvents: readonly {
    readonly payloadType: number;
    readonly clockRateHz: number;
  }[];
  /**
   * Further payload types that the peer may send: our own numbers, which our offer promised to receive (RFC 3264 §5.1). The peer's
   * win where both use a number. Default: none.
   */
  readonly accepts?: Pick<NegotiatedMedium, 'codecs' | 'telephoneEvents'>;
  /** Feedback (RFC 4585, RFC 5104) that the peer announced to accept. */
  readonly feedback: { readonly pli: boolean; readonly fir: boolean; readonly nack: boolean };
  /** Keys of SRTP; absent: RTP in the clear. */
  readonly srtp?: SrtpKeys;
  /** H.264 parameter sets from the session description. */
  readonly parameterSets?: readonly Uint8Array[];
}

/** The result of offer and answer; an absent medium was refused. */
export interface NegotiatedMedia {
  readonly audio?: NegotiatedMedium;
  readonly video?: NegotiatedMedium;
  /** The peer holds the call: it need not send, whatever its directions say. Default false. */
  readonly held?: boolean;
  /**
   * IP address that the peer signals from, if it signals directly: behind a NAT its media are expected from there.
   * Default: unknown.
   */
  readonly signallingAddress?: string;
}

function isAudio(codec: AudioCodec | VideoCodec): codec is AudioCodec {
  return codec in AUDIO_CODECS;
}

function isVideo(codec: AudioCodec | VideoCodec): codec is VideoCodec {
  return !isAudio(codec);
}

/** One codec for each negotiated medium. */
export interface AgreedCodecs {
  readonly audio?: AudioCodec;
  readonly video?: VideoCodec;
}

/**
 * The codecs that the peer will send: the current ones, if still negotiated (RFC 3264 §5.1 leaves it the choice), else
 * its first choice.
 */
export function expectedMedia(
  { audio, video }: NegotiatedMedia,
  present: { readonly audio?: AudioCodec | null; readonly video?: VideoCodec | null } = {},
): AgreedCodecs {
  const audioCodecs = codecsOf(audio).filter(isAudio);
  const videoCodecs = codecsOf(video).filter(isVideo);
  const audioCodec = audioCodecs.find((codec) => codec === present.audio) ?? audioCodecs[0];
  const videoCodec = videoCodecs.find((codec) => codec === present.video) ?? videoCodecs[0];
  return {
    ...(audioCodec && { audio: audioCodec }),
    ...(videoCodec && { video: videoCodec }),
  };
}

/** What the peer listed first, then what it may send as well. */
function codecsOf(medium: NegotiatedMedium | undefined): (AudioCodec | VideoCodec)[] {
  const listed = medium?.codecs ?? [];
  return [...listed, ...(medium?.accepts?.codecs ?? [])].map(({ codec }) => codec);
}

/**
 * The media without the codecs that the peer did not list and that cannot be carried: packets of these are of an unknown
 * type, and do not end the call. A codec that it did list stays.
 */
export function carriedMedia(
  negotiated: NegotiatedMedia,
  isCarried: (codecs: AgreedCodecs) => boolean,
): NegotiatedMedia {
  const { audio, video } = negotiated;
  return {
    ...negotiated,
    ...(audio && { audio: carriedMedium(audio, isCarried) }),
    ...(video && { video: carriedMedium(video, isCarried) }),
  };
}

function carriedMedium(
  medium: NegotiatedMedium,
  isCarried: (codecs: AgreedCodecs) => boolean,
): NegotiatedMedium {
  const { codecs, accepts } = medium;
  if (!accepts) return medium;
  const carried = accepts.codecs.filter(
    ({ codec }) =>
      codecs.some((listed) => listed.codec === codec) ||
      isCarried(isAudio(codec) ? { audio: codec } : { video: codec }),
  );
  return { ...medium, accepts: { ...accepts, codecs: carried } };
}

/**
 * Replaces the entries of `types` by the payload types of a medium.
 * @param former those of before a change, which packets on their way still have; anything current wins over them
 */
export function fillTypes(
  types: Map<number, RtpCodec>,
  medium: NegotiatedMedium | undefined,
  former: ReadonlyMap<number, RtpCodec> = new Map(),
): void {
  types.clear();
  if (!medium) return;
  for (const [payloadType, codec] of former) types.set(payloadType, codec);
  // Seen in: Cisco EX90 to Webex, Zoiper, Newrock, which answer with their number and send with ours.
  for (const { codecs, telephoneEvents } of [medium.accepts ?? NONE, medium]) {
    for (const { payloadType, codec } of codecs) {
      const clockRateHz = isAudio(codec) ? AUDIO_CODECS[codec].clockRateHz : VIDEO_CLOCK_RATE_HZ;
      types.set(payloadType, { codec, clockRateHz });
    }
    for (const { payloadType, clockRateHz } of telephoneEvents)
      types.set(payloadType, { codec: 'telephone-event', clockRateHz });
  }
}

const NONE = { codecs: [], telephoneEvents: [] } as const;

/**
 * Checks a medium as an RTP session would, before anything changes.
 * @throws MediaError `INVALID_ARGUMENT`, e.g. for a host name instead of an IP address.
 */
export function requireMedium(medium: NegotiatedMedium): void {
  const payloadTypes = new Map<number, RtpCodec>();
  fillTypes(payloadTypes, medium);
  requireRemote({ ...remote(medium), payloadTypes });
}

/** A medium that is no longer negotiated: its packets are rejected, and nothing is sent. */
function refused(medium: NegotiatedMedium): NegotiatedMedium {
  return { ...medium, address: '0.0.0.0', rtcpAddress: '0.0.0.0', ...NONE, accepts: NONE };
}

/** The addresses and keys of a medium. */
function remote(
  medium: NegotiatedMedium,
): Pick<RtpRemote, 'address' | 'port' | 'rtcpAddress' | 'rtcpPort' | 'srtp'> {
  const { address, rtpPort, rtcpAddress, rtcpPort, srtp } = medium;
  return { address, port: rtpPort, rtcpAddress, rtcpPort, ...(srtp && { srtp }) };
}

/** Silence in the peer's first codec keeps softphones from dropping the call; in recvonly only RTCP is sent. */
export function lineToSend(medium: NegotiatedMedium): AudioLine {
  const first = medium.codecs.find(({ codec }) => isAudio(codec));
  if (!medium.send || !first || !isAudio(first.codec)) return {};
  const { clockRateHz } = AUDIO_CODECS[first.codec];
  // RFC 4733 §2.1: the clock of the audio; some peers support only events of 8 kHz.
  const events =
    medium.telephoneEvents.find((one) => one.clockRateHz === clockRateHz) ??
    medium.telephoneEvents[0];
  return {
    codec: first.codec,
    payloadType: first.payloadType,
    ...(events && {
      eventPayloadType: events.payloadType,
      eventClockRateHz: events.clockRateHz,
    }),
  };
}

/** PLI, FIR, INFO, and a re-INVITE if all fail; a peer that announced only FIR gets that first. Peers that announced neither often support both. */
function keyFrameLadder({ feedback }: NegotiatedMedium): readonly KeyFrameMethod[] {
  const byRtcp =
    feedback.fir && !feedback.pli ? (['fir', 'pli'] as const) : (['pli', 'fir'] as const);
  return [...byRtcp, 'info', 'reinvite'];
}

/**
 * The remote for the audio's RTP session.
 * @param before the previous medium, for one that is no longer negotiated
 * @param payloadTypes those of `audio`, see {@link fillTypes}
 */
export function audioRemote(
  audio: NegotiatedMedium | undefined,
  before: NegotiatedMedium | undefined,
  payloadTypes: ReadonlyMap<number, RtpCodec>,
): RtpRemote {
  return {
    ...remote(audio ?? refused(before!)),
    payloadTypes,
    send: audio ? lineToSend(audio) : {},
    sends: audio?.receive ?? false,
  };
}

/** The same for video. @param blackVideo send black pictures if H.264 was negotiated */
export function videoRemote(
  video: NegotiatedMedium | undefined,
  before: NegotiatedMedium | undefined,
  payloadTypes: ReadonlyMap<number, RtpCodec>,
  blackVideo = false,
): RtpRemote {
  const h264 = video?.codecs.find(({ codec }) => codec === 'h264');
  return {
    ...remote(video ?? refused(before!)),
    payloadTypes,
    keyFrameMethods: video ? keyFrameLadder(video) : [],
    nack: video?.feedback.nack ?? false,
    sends: video?.receive ?? false,
    ...(blackVideo && video?.send && h264 && { sendVideo: { payloadType: h264.payloadType } }),
  };
}
