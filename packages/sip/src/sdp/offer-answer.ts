// Offer and answer (RFC 3264): what a peer's answer means for our offer, and our answer to a peer's re-offer.

import { SipError } from '../errors.ts';
import { type AgreedCrypto, answeredCrypto, chooseCrypto, type CryptoAttribute } from './sdes.ts';
import {
  formatDescription,
  formatMedia,
  formatRefusedMedia,
  parseFmtp,
  readDescription,
} from './sdp.ts';
import type {
  CodecDescription,
  MediaDirection,
  OfferedMedia,
  RemoteMedia,
  SessionDescription,
} from './sdp.ts';

/** What the peer made of one m-line of ours. */
export interface AnsweredMedia {
  readonly kind: 'audio' | 'video';
  /** The port is not 0, the profile is RTP/AVP or RTP/AVPF, and a codec other than telephone-event is in common. */
  readonly accepted: boolean;
  /** Where the peer receives RTP: an IP address, or a host name; `0.0.0.0` when it holds. `''` if not accepted and not given. */
  readonly address: string;
  /** 0–65535. */
  readonly port: number;
  readonly rtcpAddress: string;
  /** RFC 3605 `a=rtcp`, else `port` + 1; 0 when there is none. */
  readonly rtcpPort: number;
  /** As the peer wrote it, only that with a c= of 0.0.0.0 (RFC 2543 hold) it counts as not receiving. */
  readonly direction: MediaDirection;
  /** Ours ∩ theirs in the peer's order, with the peer's payload types and fmtp; telephone-event included. */
  readonly codecs: readonly CodecDescription[];
  readonly ptimeMs?: number;
  /** The keys of SRTP; absent: RTP in the clear. */
  readonly crypto?: AgreedCrypto;
  /** What the peer understands by RTCP, for `*` or one of `codecs`. */
  readonly feedback: { readonly nack: boolean; readonly pli: boolean; readonly fir: boolean };
}

const TELEPHONE_EVENT = 'telephone-event';

/** RFC 6184 §8.1: 0 when absent. */
function packetizationMode(codec: CodecDescription): string {
  return parseFmtp(codec.fmtp ?? '').get('packetization-mode') ?? '0';
}

function sameCodec(a: CodecDescription, b: CodecDescription): boolean {
  const name = a.encodingName.toLowerCase();
  if (name !== b.encodingName.toLowerCase() || a.clockRateHz !== b.clockRateHz) return false;
  if ((a.channels ?? 1) !== (b.channels ?? 1)) return false;
  // RFC 6184 §8.2.2: packetization-mode is part of the payload configuration.
  return name !== 'h264' || packetizationMode(a) === packetizationMode(b);
}

/** Codecs in common, in the peer's order: `[ours, as the peer has it]`. */
function commonCodecs(
  ours: readonly CodecDescription[],
  remote: RemoteMedia,
): [CodecDescription, CodecDescription][] {
  const common: [CodecDescription, CodecDescription][] = [];
  for (const format of remote.formats) {
    const payloadType = Number(format);
    const theirs = remote.codecs.find((codec) => codec.payloadType === payloadType);
    let own: CodecDescription | undefined;
    if (theirs !== undefined) own = ours.find((codec) => sameCodec(codec, theirs));
    // Some devices leave out the rtpmap of a dynamic type they took over from the offer.
    else if (remote.unnamed.includes(payloadType)) {
      own = ours.find((codec) => codec.payloadType === payloadType);
    }
    if (own === undefined || common.some(([, other]) => other.payloadType === payloadType))
      continue;
    common.push([own, theirs === undefined ? own : { ...theirs, encodingName: own.encodingName }]);
  }
  return common;
}

function sends(direction: MediaDirection): boolean {
  return direction === 'sendrecv' || direction === 'sendonly';
}

function receives(direction: MediaDirection): boolean {
  return direction === 'sendrecv' || direction === 'recvonly';
}

function directionOf(send: boolean, receive: boolean): MediaDirection {
  if (send) return receive ? 'sendrecv' : 'sendonly';
  return receive ? 'recvonly' : 'inactive';
}

/** For each m-line of ours the section that answers it: at its place, else the first free one of its kind. */
function align(
  { media: ours, sections }: SessionDescription,
  remote: readonly RemoteMedia[],
): (RemoteMedia | undefined)[] {
  const free = new Set(remote);
  const aligned = ours.map((media, index) => {
    const place = sections === undefined ? index : sections.indexOf(index);
    const candidate = remote[place];
    if (candidate === undefined || candidate.type.toLowerCase() !== media.kind) return undefined;
    free.delete(candidate);
    return candidate;
  });
  // RFC 3264 §6 demands one section for each offered; devices without video leave its section out all the same.
  return aligned.map((found, index) => {
    if (found !== undefined) return found;
    for (const candidate of free) {
      if (candidate.type.toLowerCase() !== ours[index]?.kind) continue;
      free.delete(candidate);
      return candidate;
    }
    return undefined;
  });
}

function answeredMedia(
  media: OfferedMedia,
  codecs: readonly CodecDescription[],
  remote: RemoteMedia | undefined,
  {
    muxOffered,
    crypto,
  }: { readonly muxOffered: boolean; readonly crypto: AgreedCrypto | undefined },
): AnsweredMedia {
  if (remote === undefined) {
    return {
      kind: media.kind,
      accepted: false,
      address: '',
      port: 0,
      rtcpAddress: '',
      rtcpPort: 0,
      direction: 'inactive',
      codecs: [],
      feedback: { nack: false, pli: false, fir: false },
    };
  }
  // Secured, or in the clear, as was asked for; never the one in place of the other.
  const usable =
    /^RTP\/S?AVPF?$/i.test(remote.protocol) &&
    (crypto !== undefined ||
      (media.requiresCrypto !== true && !/^RTP\/SAVP/i.test(remote.protocol)));
  const common = usable ? commonCodecs(codecs, remote).map(([, theirs]) => theirs) : [];
  const accepted = media.port !== 0 && remote.port !== 0 && common.some(isMediaCodec);
  if (accepted && remote.address === undefined) {
    throw new SipError('BAD_SDP', 'No c= line', { field: 'sdp', statusCode: 488 });
  }
  const address = remote.address ?? '';
  const held = address === '0.0.0.0' || address === '::';
  const direction = held ? directionOf(sends(remote.direction), false) : remote.direction;
  const understands = (text: string) =>
    remote.feedback.some(
      (entry) =>
        entry.text === text &&
        (entry.payload === '*' ||
          common.some((codec) => String(codec.payloadType) === entry.payload)),
    );
  let rtcpPort =
    remote.rtcpPort ?? (remote.port === 0 || remote.port === 65535 ? 0 : remote.port + 1);
  if (muxOffered && remote.rtcpMux) rtcpPort = remote.port;
  return {
    kind: media.kind,
    accepted,
    address,
    port: remote.port,
    rtcpAddress: remote.rtcpAddress ?? address,
    rtcpPort,
    direction,
    codecs: common,
    ...(remote.ptimeMs !== undefined && { ptimeMs: remote.ptimeMs }),
    ...(crypto !== undefined && { crypto }),
    feedback: {
      nack: understands('nack'),
      pli: understands('nack pli'),
      fir: understands('ccm fir'),
    },
  };
}

function isMediaCodec(codec: CodecDescription): boolean {
  return codec.encodingName.toLowerCase() !== TELEPHONE_EVENT;
}

function requireUsable(media: readonly AnsweredMedia[]): void {
  if (media.some((one) => one.accepted)) return;
  throw new SipError('NO_COMMON_CODECS', 'No medium with a codec in common', {
    field: 'sdp',
    statusCode: 488,
  });
}

/**
 * Reads the peer's answer to our offer: one entry for each offered m-line, in order. Sections beyond those offered are
 * ignored, missing ones are refused media.
 *
 * @throws SipError `BAD_SDP` when it cannot be read, `NO_COMMON_CODECS` when no medium at all is usable.
 */
export function parseAnswer(offer: SessionDescription, sdp: string): AnsweredMedia[] {
  const aligned = align(offer, readDescription(sdp));
  const answered = offer.media.map((media, index) => {
    // RFC 5761 §5.1.1: rtcp-mux in an answer counts only if it was offered.
    const muxOffered = offer.extraLines?.[media.kind]?.includes('a=rtcp-mux') ?? false;
    const crypto = answeredCrypto(media.crypto ?? [], aligned[index]?.crypto ?? []);
    return answeredMedia(media, media.codecs, aligned[index], { muxOffered, crypto });
  });
  requireUsable(answered);
  return answered;
}

/** Our fmtp under the peer's payload type; H.264 takes the peer's profile, which must be the same both ways (RFC 6184 §8.2.2). */
function answerCodec(own: CodecDescription, theirs: CodecDescription): CodecDescription {
  const profile = parseFmtp(theirs.fmtp ?? '').get('profile-level-id');
  const fmtp =
    profile !== undefined && /^[0-9A-Fa-f]{6}$/.test(profile)
      ? own.fmtp?.replace(/profile-level-id=[0-9A-Fa-f]{6}/i, `profile-level-id=${profile}`)
      : own.fmtp;
  return { ...own, payloadType: theirs.payloadType, ...(fmtp !== undefined && { fmtp }) };
}

function textFacts({ codecs, direction, protocol = 'RTP/AVP', capability }: OfferedMedia): string {
  return JSON.stringify([codecs, direction, protocol, capability?.answered]);
}

/**
 * Answers the peer's re-offer with the unchanged session: our ports, the codecs in common under the peer's payload types,
 * directions mirrored and limited by ours, m-lines that we do not have refused with port 0.
 *
 * `description` replaces `current` for the next re-offer: its `sessionVersion` is one higher if anything changed, and it
 * remembers what our media can do at most, so that a held session resumes. `peer` has one entry for each of our media.
 *
 * @throws SipError `BAD_SDP` or `NO_COMMON_CODECS`, both answered with 488; the session then goes on as it was.
 */
export function answerReoffer(
  current: SessionDescription,
  sdp: string,
): {
  readonly sdp: string;
  readonly description: SessionDescription;
  readonly peer: AnsweredMedia[];
} {
  const remote = readDescription(sdp);
  const aligned = align(current, remote);
  const media: OfferedMedia[] = [];
  const peer: AnsweredMedia[] = [];
  const answers = new Map<RemoteMedia, OfferedMedia>();
  const cryptos = new Map<OfferedMedia, CryptoAttribute>();
  let changed = false;
  for (const [index, own] of current.media.entries()) {
    const theirs = aligned[index];
    const capability = own.capability ?? { codecs: own.codecs, direction: own.direction };
    const chosen = chooseCrypto(own.crypto ?? [], theirs?.crypto ?? []);
    const answered = answeredMedia(own, capability.codecs, theirs, {
      muxOffered: false,
      crypto: chosen?.agreed,
    });
    peer.push(answered);
    if (!answered.accepted || theirs === undefined) {
      media.push(own);
      continue;
    }
    const next: OfferedMedia = {
      ...own,
      protocol: theirs.protocol,
      codecs: commonCodecs(capability.codecs, theirs).map(([ours, named]) =>
        answerCodec(ours, named),
      ),
      direction: directionOf(
        sends(capability.direction) && receives(answered.direction),
        receives(capability.direction) && sends(answered.direction),
      ),
      capability: { ...capability, ...(chosen !== undefined && { answered: chosen.answer }) },
    };
    // RFC 3264 §8: the same version means the same text, keys included.
    changed ||= textFacts(next) !== textFacts(own);
    media.push(next);
    answers.set(theirs, next);
    if (chosen !== undefined) cryptos.set(next, chosen.answer);
  }
  requireUsable(peer);
  const order = remote.map((section) => {
    const own = answers.get(section);
    const { type, protocol, formats } = section;
    return own === undefined ? { type, protocol, formats } : media.indexOf(own);
  });
  const before = current.sections ?? current.media.map((_, index) => index);
  changed ||= JSON.stringify(order) !== JSON.stringify(before);
  const description: SessionDescription = {
    ...current,
    media,
    sections: order,
    sessionVersion: current.sessionVersion + (changed ? 1 : 0),
  };
  const sections = remote.map((section) => {
    const own = answers.get(section);
    if (own === undefined) return formatRefusedMedia(description.address, section);
    // An answer may only confirm the feedback that was offered (RFC 4585 §4.2).
    const feedback = own.feedback?.filter((text) =>
      section.feedback.some((entry) => entry.text === text),
    );
    const { crypto: _, ...open } = own;
    const crypto = cryptos.get(own);
    return formatMedia(description, {
      ...open,
      ...(feedback !== undefined && { feedback }),
      ...(crypto !== undefined && { crypto: [crypto] }),
    });
  });
  return { sdp: formatDescription(description, sections), description, peer };
}
