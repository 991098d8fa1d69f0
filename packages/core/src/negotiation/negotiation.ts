// The one place where the codecs of the media package become an offer, and the peer's answer becomes the input of a media
// session. Plain data in, plain data out.

import { AUDIO_CODECS, decodeSpropParameterSets, newSrtpKey } from '@sipcast/media';
import type { AudioCodec, NegotiatedMedia, NegotiatedMedium, VideoCodec } from '@sipcast/media';
import type { LocalMedia, SrtpSuite } from '@sipcast/media/wire';
import type {
  AnsweredMedia,
  CodecDescription,
  MediaDirection,
  OfferedMedia,
  SessionDescription,
} from '@sipcast/sip';

/** Video codecs that can be offered: H.264 once for each packetization mode (RFC 6184 §6), and VP8. */
export type OfferedVideoCodec = 'h264-mode1' | 'h264-mode0' | 'vp8';

/** See {@link OfferOptions.preference}. */
export type CodecPreference = 'passthrough' | 'peer' | AudioCodec | VideoCodec;

/** Options of the offer. */
export interface OfferOptions {
  /** Audio codecs in order of preference. Default `['pcma', 'pcmu', 'speex-wb', 'speex-nb', 'g722', 'opus']`. */
  readonly audioCodecs?: readonly AudioCodec[];
  /** Video codecs in order of preference. Default `['h264-mode1', 'h264-mode0', 'vp8']`. */
  readonly videoCodecs?: readonly OfferedVideoCodec[];
  /** H.264 `profile-level-id`, six hexadecimal digits. Default `420020`. */
  readonly profileLevelId?: string;
  /**
   * SRTP with keys in the description (SDES, RFC 4568): `off`, the default; `optional`: offered along with plain RTP and used if
   * the peer supports it (RFC 8643); `required`: RTP/SAVP only.
   */
  readonly srtp?: 'off' | 'optional' | 'required';
  /** Suites of SRTP in order of preference. Default `AES_CM_128_HMAC_SHA1_80`, `AES_CM_128_HMAC_SHA1_32`. */
  readonly srtpSuites?: readonly SrtpSuite[];
  /**
   * Which codecs come first in our answers: `passthrough`, the default, H.264, which needs no encoding; `peer`: the peer's order;
   * codecs in order: these, in our offers, too.
   */
  readonly preference?: CodecPreference | readonly CodecPreference[];
  /** Lines added to the end of a medium's section, without CRLF. */
  readonly extraAudioLines?: readonly string[];
  readonly extraVideoLines?: readonly string[];
}

const DEFAULT_AUDIO: readonly AudioCodec[] = [
  'pcma',
  'pcmu',
  'speex-wb',
  'speex-nb',
  'g722',
  'opus',
];
const DEFAULT_SRTP_SUITES: readonly SrtpSuite[] = [
  'AES_CM_128_HMAC_SHA1_80',
  'AES_CM_128_HMAC_SHA1_32',
];
/** For codecs without a static payload type (RFC 3551 §6). */
const AUDIO_PAYLOAD_TYPE: Readonly<Partial<Record<AudioCodec, number>>> = {
  opus: 96,
  'speex-nb': 98,
  'speex-wb': 99,
};
/** RFC 4733 §2.1: events run on the clock of the audio they are mixed with. */
const EVENT_PAYLOAD_TYPE: ReadonlyMap<number, number> = new Map([
  [8000, 101],
  [16_000, 102],
  [48_000, 103],
]);
const VIDEO_PAYLOAD_TYPE: Readonly<Record<OfferedVideoCodec, number>> = {
  'h264-mode1': 112,
  'h264-mode0': 113,
  vp8: 114,
};
/** All that can be offered, in the default order of preference. */
export const OFFERED_VIDEO_CODECS: readonly OfferedVideoCodec[] = [
  'h264-mode1',
  'h264-mode0',
  'vp8',
];
const VIDEO_FEEDBACK = ['ccm fir', 'nack', 'nack pli'] as const;
const VIDEO_CLOCK_RATE_HZ = 90_000;
const PTIME_MS = 20;

function offeredAudio(codecs: readonly AudioCodec[]): CodecDescription[] {
  const described = codecs.map((codec): CodecDescription => {
    const { encodingName, clockRateHz, staticPayloadType, channels } = AUDIO_CODECS[codec];
    return {
      payloadType: staticPayloadType ?? AUDIO_PAYLOAD_TYPE[codec] ?? 97,
      encodingName,
      clockRateHz,
      ...(channels === undefined ? {} : { channels }),
    };
  });
  for (const [clockRateHz, payloadType] of EVENT_PAYLOAD_TYPE) {
    if (codecs.some((codec) => AUDIO_CODECS[codec].clockRateHz === clockRateHz))
      described.push({
        payloadType,
        encodingName: 'telephone-event',
        clockRateHz,
        // RFC 4733 §2.4.1: these events are the default, but some devices want to see the line.
        ...(clockRateHz === 8000 && { fmtp: '0-15' }),
      });
  }
  return described;
}

function offeredVideo(codec: OfferedVideoCodec, profile: string): CodecDescription {
  const payloadType = VIDEO_PAYLOAD_TYPE[codec];
  if (codec === 'vp8')
    return { payloadType, encodingName: 'VP8', clockRateHz: VIDEO_CLOCK_RATE_HZ };
  const mode = codec === 'h264-mode1' ? 1 : 0;
  return {
    payloadType,
    encodingName: 'H264',
    clockRateHz: VIDEO_CLOCK_RATE_HZ,
    fmtp: `packetization-mode=${mode}; profile-level-id=${profile}`,
  };
}

/** Always has both m-lines, in this order. `hasAudio` and `hasVideo` choose between sendrecv and recvonly. */
export function describeSession(parts: {
  readonly address: string;
  readonly callId: string;
  readonly sessionId: number;
  readonly audio: LocalMedia;
  readonly video: LocalMedia;
  readonly hasAudio: boolean;
  readonly hasVideo: boolean;
  readonly options: OfferOptions;
}): SessionDescription {
  const { audio, video, options, callId } = parts;
  const audioCodecs = inOrder(options.audioCodecs ?? DEFAULT_AUDIO, options);
  const videoCodecs = inOrder(options.videoCodecs ?? OFFERED_VIDEO_CODECS, options);
  const preferred = preferredIn(options);
  const profile = options.profileLevelId ?? '420020';
  const media: OfferedMedia[] = [
    {
      kind: 'audio',
      port: audio.rtpPort,
      rtcpPort: audio.rtcpPort,
      direction: directionOf(parts.hasAudio),
      codecs: offeredAudio(audioCodecs),
      preferred,
      ssrc: audio.ssrc,
      cname: `rtp/audio/${callId}`,
      ptimeMs: PTIME_MS,
      ...secured(options),
    },
    {
      kind: 'video',
      port: video.rtpPort,
      rtcpPort: video.rtcpPort,
      direction: directionOf(parts.hasVideo),
      codecs: videoCodecs.map((codec) => offeredVideo(codec, profile)),
      preferred,
      ssrc: video.ssrc,
      cname: `rtp/video/${callId}`,
      feedback: VIDEO_FEEDBACK,
      ...secured(options),
    },
  ];
  return {
    address: parts.address,
    sessionId: parts.sessionId,
    sessionVersion: 1,
    sessionName: 'sipcast',
    media,
    extraLines: { audio: options.extraAudioLines ?? [], video: options.extraVideoLines ?? [] },
  };
}

/** Label of the slides' section. */
export const SLIDES_LABEL = '3';

/** The m-line for slides: a video that is only received (RFC 4796). */
export function describeSlides(
  video: LocalMedia,
  { callId, options }: { readonly callId: string; readonly options: OfferOptions },
): OfferedMedia {
  const { videoCodecs = OFFERED_VIDEO_CODECS, profileLevelId = '420020' } = options;
  return {
    kind: 'video',
    content: 'slides',
    label: SLIDES_LABEL,
    port: video.rtpPort,
    rtcpPort: video.rtcpPort,
    direction: 'recvonly',
    codecs: videoCodecs.map((codec) => offeredVideo(codec, profileLevelId)),
    preferred: preferredIn(options),
    ssrc: video.ssrc,
    cname: `rtp/slides/${callId}`,
    feedback: VIDEO_FEEDBACK,
    ...secured(options),
  };
}

/** As `OfferedMedia.preferred` has them. */
function preferredIn({ preference = 'passthrough' }: OfferOptions): readonly string[] {
  return [preference].flat().flatMap((codec) => {
    if (codec === 'peer') return [];
    if (codec === 'passthrough') return ['h264'];
    if (codec === 'h264' || codec === 'vp8') return [codec];
    const { encodingName, clockRateHz } = AUDIO_CODECS[codec];
    return [`${encodingName.toLowerCase()}/${clockRateHz}`];
  });
}

/** Our offer in the order of preference, where codecs are named. */
function inOrder<Codec extends AudioCodec | OfferedVideoCodec>(
  codecs: readonly Codec[],
  { preference = [] }: OfferOptions,
): readonly Codec[] {
  const order = [preference].flat();
  const rank = (codec: Codec): number => {
    const at = order.findIndex((one) => codec === one || codec.startsWith(`${one}-mode`));
    return at < 0 ? order.length : at;
  };
  return codecs.toSorted((one, other) => rank(one) - rank(other));
}

/** Fresh keys for one medium: two media must not share keys (RFC 3711 §9.1). */
function secured({
  srtp = 'off',
  srtpSuites = DEFAULT_SRTP_SUITES,
}: OfferOptions): Pick<OfferedMedia, 'crypto' | 'requiresCrypto' | 'protocol'> {
  if (srtp === 'off') return {};
  const crypto = srtpSuites.map((suite, index) => ({
    tag: index + 1,
    suite,
    key: newSrtpKey(suite),
  }));
  return srtp === 'required' ? { crypto, requiresCrypto: true, protocol: 'RTP/SAVP' } : { crypto };
}

function directionOf(send: boolean): MediaDirection {
  return send ? 'sendrecv' : 'recvonly';
}

/**
 * What the media session needs from the answer to `ours`, or from the offer that `ours` answers. Refused media are absent.
 */
export function negotiatedMedia(
  ours: SessionDescription,
  peer: readonly AnsweredMedia[],
): NegotiatedMedia {
  const result: { audio?: NegotiatedMedium; video?: NegotiatedMedium } = {};
  for (const [index, answered] of peer.entries()) {
    if (!answered.accepted || answered.content !== undefined) continue;
    const own = ours.media[index];
    const medium = negotiatedMedium(answered, own);
    if (medium.codecs.length > 0) result[answered.kind] = medium;
  }
  return result;
}

/** As {@link negotiatedMedia}, for the slides. Undefined: there are none. */
export function negotiatedSlides(
  ours: SessionDescription,
  peer: readonly AnsweredMedia[],
): NegotiatedMedium | undefined {
  const index = peer.findIndex(({ accepted, content }) => accepted && content === 'slides');
  const answered = peer[index];
  if (answered === undefined) return undefined;
  const medium = negotiatedMedium(answered, ours.media[index]);
  return medium.codecs.length > 0 ? medium : undefined;
}

/**
 * Whether the peer holds the call: for every medium it no longer receives what it used to receive or, if it never received,
 * no longer sends (RFC 3264 §8.4, and `c=0.0.0.0` of RFC 2543).
 *
 * @param before - What the peer answered at first.
 */
export function isHeld(peer: readonly AnsweredMedia[], before: readonly AnsweredMedia[]): boolean {
  let accepted = 0;
  for (const [index, answered] of peer.entries()) {
    // Slides that begin or end are no hold.
    if (!answered.accepted || answered.content !== undefined) continue;
    accepted++;
    const isNowhere = answered.address === '0.0.0.0' || answered.address === '::';
    const first = before[index];
    const listened = first === undefined || !first.accepted || receives(first.direction);
    const serves = listened ? receives(answered.direction) : sends(answered.direction);
    if (serves && !isNowhere) return false;
  }
  return accepted > 0;
}

function sends(direction: MediaDirection | undefined): boolean {
  return direction === 'sendrecv' || direction === 'sendonly';
}

function receives(direction: MediaDirection): boolean {
  return direction === 'sendrecv' || direction === 'recvonly';
}

function negotiatedMedium(
  answered: AnsweredMedia,
  ours: OfferedMedia | undefined,
): NegotiatedMedium {
  const { codecs, telephoneEvents } = payloadTypes(answered.codecs);
  const parameterSets: Uint8Array[] = [];
  for (const described of answered.codecs) {
    const sprop = /(?:^|;)\s*sprop-parameter-sets\s*=\s*([^;\s]+)/i.exec(described.fmtp ?? '')?.[1];
    if (sprop !== undefined) parameterSets.push(...decodeSpropParameterSets(sprop));
  }
  const { pli, fir, nack } = answered.feedback;
  return {
    address: answered.address,
    rtpPort: answered.port,
    rtcpAddress: answered.rtcpAddress,
    rtcpPort: answered.rtcpPort,
    send: sends(ours?.direction) && receives(answered.direction),
    receive: sends(answered.direction),
    codecs,
    telephoneEvents,
    accepts: payloadTypes(ours?.codecs ?? []),
    feedback: { pli, fir, nack },
    ...(answered.crypto && {
      srtp: {
        suite: answered.crypto.suite as SrtpSuite,
        send: Buffer.from(answered.crypto.local, 'base64'),
        receive: Buffer.from(answered.crypto.remote, 'base64'),
      },
    }),
    ...(parameterSets.length === 0 ? {} : { parameterSets }),
  };
}

/** What a description says about payload types. */
function payloadTypes(
  described: readonly CodecDescription[],
): Pick<NegotiatedMedium, 'codecs' | 'telephoneEvents'> {
  const codecs: { payloadType: number; codec: AudioCodec | VideoCodec }[] = [];
  const telephoneEvents: { payloadType: number; clockRateHz: number }[] = [];
  for (const one of described) {
    const { payloadType, clockRateHz } = one;
    if (one.encodingName.toLowerCase() === 'telephone-event') {
      telephoneEvents.push({ payloadType, clockRateHz });
      continue;
    }
    const codec = codecOf(one);
    if (codec !== undefined) codecs.push({ payloadType, codec });
  }
  return { codecs, telephoneEvents };
}

function codecOf(described: CodecDescription): AudioCodec | VideoCodec | undefined {
  const name = described.encodingName.toLowerCase();
  if (name === 'h264' || name === 'vp8') return name;
  for (const [codec, facts] of Object.entries(AUDIO_CODECS)) {
    const sameName = facts.encodingName.toLowerCase() === name;
    if (sameName && facts.clockRateHz === described.clockRateHz) return codec as AudioCodec;
  }
  return undefined;
}
