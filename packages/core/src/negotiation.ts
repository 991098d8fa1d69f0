// The one place where the media side's codecs become the SIP side's offer, and the peer's answer becomes the
// media side's session. Plain data in, plain data out.

import type { LocalMedia, NegotiatedMedia, NegotiatedMedium } from '@sipcast/media';
import type {
  AnsweredMedia,
  CodecDescription,
  MediaDirection,
  OfferedMedia,
  SessionDescription,
} from '@sipcast/sip';

/** What may be changed in the offer. */
export interface OfferOptions {
  /** Audio codecs in order of preference. Default `['pcma', 'pcmu']`. */
  readonly audioCodecs?: readonly ('pcma' | 'pcmu')[];
  /** Video codecs in order of preference, as `h264` with its packetization mode. Default mode 1, then 0. */
  readonly videoCodecs?: readonly ('h264-mode1' | 'h264-mode0')[];
  /** H.264 `profile-level-id`, six hexadecimal digits. Default `420020`. */
  readonly profileLevelId?: string;
  /** Lines added to the end of a medium's section, without CRLF. */
  readonly extraAudioLines?: readonly string[];
  readonly extraVideoLines?: readonly string[];
}

const TELEPHONE_EVENT: CodecDescription = {
  payloadType: 101,
  encodingName: 'telephone-event',
  clockRateHz: 8000,
  fmtp: '0-15',
};

const AUDIO: Readonly<Record<'pcma' | 'pcmu', CodecDescription>> = {
  pcma: { payloadType: 8, encodingName: 'PCMA', clockRateHz: 8000 },
  pcmu: { payloadType: 0, encodingName: 'PCMU', clockRateHz: 8000 },
};

const VIDEO_PAYLOAD_TYPE = { 'h264-mode1': 112, 'h264-mode0': 113 } as const;
const VIDEO_FEEDBACK = ['ccm fir', 'nack', 'nack pli'] as const;
const PTIME_MS = 20;

/** Both m-lines, always, in this order; `hasAudio` and `hasVideo` choose between sendrecv and recvonly. */
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
  const audioCodecs = options.audioCodecs ?? ['pcma', 'pcmu'];
  const videoCodecs = options.videoCodecs ?? ['h264-mode1', 'h264-mode0'];
  const profile = options.profileLevelId ?? '420020';
  const media: OfferedMedia[] = [
    {
      kind: 'audio',
      port: audio.rtpPort,
      rtcpPort: audio.rtcpPort,
      direction: directionOf(parts.hasAudio),
      codecs: [...audioCodecs.map((codec) => AUDIO[codec]), TELEPHONE_EVENT],
      ssrc: audio.ssrc,
      cname: `rtp/audio/${callId}`,
      ptimeMs: PTIME_MS,
    },
    {
      kind: 'video',
      port: video.rtpPort,
      rtcpPort: video.rtcpPort,
      direction: directionOf(parts.hasVideo),
      codecs: videoCodecs.map((codec) => ({
        payloadType: VIDEO_PAYLOAD_TYPE[codec],
        encodingName: 'H264',
        clockRateHz: 90_000,
        fmtp: `packetization-mode=${codec === 'h264-mode1' ? 1 : 0}; profile-level-id=${profile}`,
      })),
      ssrc: video.ssrc,
      cname: `rtp/video/${callId}`,
      feedback: VIDEO_FEEDBACK,
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

function directionOf(send: boolean): MediaDirection {
  return send ? 'sendrecv' : 'recvonly';
}

/** What the media side must know of an answer. Media that were refused are absent. */
export function negotiatedMedia(
  offer: SessionDescription,
  answer: readonly AnsweredMedia[],
  decodeParameterSets: (sprop: string) => Uint8Array[],
): NegotiatedMedia {
  const result: { audio?: NegotiatedMedium; video?: NegotiatedMedium } = {};
  for (const [index, answered] of answer.entries()) {
    if (!answered.accepted) continue;
    const offered = offer.media[index];
    const medium = negotiatedMedium(
      answered,
      offered?.direction === 'sendrecv',
      decodeParameterSets,
    );
    if (medium.codecs.length > 0) result[answered.kind] = medium;
  }
  return result;
}

function negotiatedMedium(
  answered: AnsweredMedia,
  offeredToSend: boolean,
  decodeParameterSets: (sprop: string) => Uint8Array[],
): NegotiatedMedium {
  const codecs: { payloadType: number; codec: 'h264' | 'pcma' | 'pcmu' }[] = [];
  const parameterSets: Uint8Array[] = [];
  let telephoneEventPayloadType: number | undefined;
  for (const codec of answered.codecs) {
    const name = codec.encodingName.toLowerCase();
    const { payloadType } = codec;
    if (name === 'telephone-event') telephoneEventPayloadType ??= payloadType;
    else if (name === 'h264' || name === 'pcma' || name === 'pcmu')
      codecs.push({ payloadType, codec: name });
    const sprop = /(?:^|;)\s*sprop-parameter-sets\s*=\s*([^;\s]+)/i.exec(codec.fmtp ?? '')?.[1];
    if (sprop !== undefined) parameterSets.push(...decodeParameterSets(sprop));
  }
  return {
    address: answered.address,
    rtpPort: answered.port,
    rtcpAddress: answered.rtcpAddress,
    rtcpPort: answered.rtcpPort,
    send: offeredToSend && (answered.direction === 'sendrecv' || answered.direction === 'recvonly'),
    codecs,
    ...(telephoneEventPayloadType === undefined ? {} : { telephoneEventPayloadType }),
    feedback: { pli: answered.feedback.pli, fir: answered.feedback.fir },
    ...(parameterSets.length === 0 ? {} : { parameterSets }),
  };
}
