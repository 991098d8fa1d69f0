// Offer and answer (RFC 3264): interprets a peer's answer to our offer, and writes our answer to a peer's re-offer.

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
  ServedSection,
  SessionDescription,
} from './sdp.ts';

/** The peer's answer to one of our m-lines. */
export interface AnsweredMedia {
  readonly kind: 'audio' | 'video';
  /** As in our m-line. */
  readonly content?: 'slides';
  /** The port is not 0, the profile is allowed, and there is a codec in common other than telephone-event. */
  readonly accepted: boolean;
  /**
   * Where the peer receives RTP: an IP address or a host name. `0.0.0.0` while it holds. May be `''` if not accepted.
   */
  readonly address: string;
  /** 0–65535. */
  readonly port: number;
  readonly rtcpAddress: string;
  /** From `a=rtcp` (RFC 3605), else `port` + 1; 0 if there is none. */
  readonly rtcpPort: number;
  /** As the peer wrote it, except that a c= line of 0.0.0.0 (RFC 2543 hold) counts as not receiving. */
  readonly direction: MediaDirection;
  /**
   * Our codecs that the peer also has, in the peer's order, with its payload types and fmtp. Includes telephone-event.
   */
  readonly codecs: readonly CodecDescription[];
  readonly ptimeMs?: number;
  /** The SRTP keys. Absent: plain RTP. */
  readonly crypto?: AgreedCrypto;
  /** The RTCP feedback that the peer understands, for `*` or one of `codecs`. */
  readonly feedback: { readonly nack: boolean; readonly pli: boolean; readonly fir: boolean };
  /** Why the medium is not accepted, as text for people. */
  readonly problem?: string;
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

/** Codecs in common, in the peer's order: `[ours, the peer's]`. */
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
    // Some devices omit the rtpmap of a dynamic type that they took from the offer.
    else if (remote.unnamed.includes(payloadType)) {
      own = ours.find((codec) => codec.payloadType === payloadType);
    }
    if (own === undefined || common.some(([, other]) => other.payloadType === payloadType))
      continue;
    common.push([own, theirs === undefined ? own : { ...theirs, encodingName: own.encodingName }]);
  }
  return common;
}

/** In our order of preference, where we have one. */
function byPreference<Common>(
  common: readonly Common[],
  codecOf: (one: Common) => CodecDescription,
  preferred: readonly string[] = [],
): Common[] {
  const rank = (one: Common): number => {
    const { encodingName, clockRateHz } = codecOf(one);
    const name = encodingName.toLowerCase();
    const at = preferred.findIndex((text) => text === name || text === `${name}/${clockRateHz}`);
    return at < 0 ? preferred.length : at;
  };
  return common.toSorted((one, other) => rank(one) - rank(other));
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

/**
 * Finds the section to use for each of our m-lines: the one at the same index, unless it is of another kind or
 * unusable, then the first usable one of its kind. Phones offer SRTP and plain RTP side by side, put a dead section
 * first after a camera restart (RFC 3264 §8), or omit the section of a medium that they lack.
 */
function align(
  { media: ours, sections }: SessionDescription,
  remote: readonly RemoteMedia[],
  isSecured: (media: OfferedMedia, section: RemoteMedia) => boolean,
): (RemoteMedia | undefined)[] {
  const isUsable = (media: OfferedMedia, section: RemoteMedia): boolean =>
    mayUse(media, section, isSecured(media, section));
  const free = new Set(remote);
  const take = (section: RemoteMedia | undefined): RemoteMedia | undefined => {
    if (section !== undefined) free.delete(section);
    return section;
  };
  const isOf = (media: OfferedMedia, section: RemoteMedia | undefined): section is RemoteMedia =>
    section?.type.toLowerCase() === media.kind &&
    free.has(section) &&
    isSlidesAmong(remote, section) === (media.content === 'slides');
  // An m-line stays what it is (RFC 3264 §8), also where the peer does not repeat `a=content`.
  const isPlaced = (
    media: OfferedMedia,
    section: RemoteMedia | undefined,
  ): section is RemoteMedia => {
    if (media.content === undefined) return isOf(media, section);
    return section?.type.toLowerCase() === media.kind && free.has(section);
  };
  const places = ours.map((_, index) => (sections === undefined ? index : sections.indexOf(index)));
  const best = ours.map((media, index) => {
    const placed = remote[places[index] ?? -1];
    return take(isPlaced(media, placed) && isUsable(media, placed) ? placed : undefined);
  });
  const usable = best.map((found, index) => {
    const media = ours[index];
    if (found !== undefined || media === undefined) return found;
    return take([...free].find((one) => isOf(media, one) && isUsable(media, one)));
  });
  return usable.map((found, index) => {
    const media = ours[index];
    if (found !== undefined || media === undefined) return found;
    const placed = remote[places[index] ?? -1];
    return take(isPlaced(media, placed) ? placed : [...free].find((one) => isOf(media, one)));
  });
}

/** A section of slides beside another video. Alone it is the video of the call, whatever it shows. */
function isSlidesAmong(remote: readonly RemoteMedia[], section: RemoteMedia): boolean {
  return (
    section.content === 'slides' &&
    remote.some(({ type, content }) => type.toLowerCase() === 'video' && content !== 'slides')
  );
}

/** Whether a description has a video section for slides (RFC 4796) beside another. False for what cannot be read. */
export function offersSlides(sdp: string): boolean {
  let remote: RemoteMedia[];
  try {
    remote = readDescription(sdp);
  } catch {
    // Ignored: the one who uses the description reports it.
    return false;
  }
  return remote.some((section) => section.port !== 0 && isSlidesAmong(remote, section));
}

/** The section has a port, a profile that we allow, and a codec in common. */
function mayUse(media: OfferedMedia, section: RemoteMedia, secured: boolean): boolean {
  const codecs = media.capability?.codecs ?? media.codecs;
  return (
    section.port !== 0 &&
    section.problem === undefined &&
    isAllowedProfile(media, section, secured) &&
    commonCodecs(codecs, section).some(([own]) => isMediaCodec(own))
  );
}

/** Secured or plain, as requested; never one instead of the other. */
function isAllowedProfile(
  media: OfferedMedia,
  { protocol }: RemoteMedia,
  secured: boolean,
): boolean {
  if (!/^RTP\/S?AVPF?$/i.test(protocol)) return false;
  return secured || (media.requiresCrypto !== true && !/^RTP\/SAVP/i.test(protocol));
}

/** Why a section is not used. */
function problemOf(media: OfferedMedia, section: RemoteMedia | undefined, secured: boolean) {
  if (section === undefined) return 'the peer left it out';
  if (section.problem !== undefined) return section.problem;
  if (section.port === 0) return 'the peer refused it (port 0)';
  if (media.port === 0) return 'not offered';
  if (!isAllowedProfile(media, section, secured)) {
    return media.requiresCrypto === true && !secured
      ? `${section.protocol} without the keys that SRTP needs`
      : `${section.protocol} cannot be used`;
  }
  const named = section.codecs
    .filter(isMediaCodec)
    .map(({ encodingName, clockRateHz }) => `${encodingName}/${clockRateHz}`);
  return `no codec in common (the peer has ${named.slice(0, 8).join(', ') || 'none that is named'})`;
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
      ...(media.content && { content: media.content }),
      accepted: false,
      address: '',
      port: 0,
      rtcpAddress: '',
      rtcpPort: 0,
      direction: 'inactive',
      codecs: [],
      feedback: { nack: false, pli: false, fir: false },
      problem: problemOf(media, undefined, false),
    };
  }
  const usable =
    remote.problem === undefined && isAllowedProfile(media, remote, crypto !== undefined);
  const common = usable ? commonCodecs(codecs, remote).map(([, theirs]) => theirs) : [];
  const accepted = media.port !== 0 && remote.port !== 0 && common.some(isMediaCodec);
  if (accepted && remote.address === undefined) {
    const problem = `${media.kind}: no c= line`;
    throw new SipError('BAD_SDP', problem, { field: 'sdp', statusCode: 488 });
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
    ...(media.content && { content: media.content }),
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
    ...(!accepted && { problem: problemOf(media, remote, crypto !== undefined) }),
  };
}

function isMediaCodec(codec: CodecDescription): boolean {
  return codec.encodingName.toLowerCase() !== TELEPHONE_EVENT;
}

function requireUsable(media: readonly AnsweredMedia[]): void {
  // Slides alone are no call.
  const own = media.filter(({ content }) => content === undefined);
  if (own.some((one) => one.accepted)) return;
  const reasons = own.map(({ kind, problem }) => `${kind}: ${problem ?? 'not usable'}`);
  throw new SipError('NO_COMMON_CODECS', `No usable medium: ${reasons.join('; ')}`, {
    field: 'sdp',
    statusCode: 488,
  });
}

/**
 * Reads the peer's answer to our offer: one entry for each offered m-line, in order. Extra sections are ignored;
 * missing ones count as refused.
 *
 * @throws SipError `BAD_SDP` if it cannot be read, `NO_COMMON_CODECS` if no medium is usable.
 */
export function parseAnswer(offer: SessionDescription, sdp: string): AnsweredMedia[] {
  const aligned = align(
    offer,
    readDescription(sdp),
    (media, section) => answeredCrypto(media.crypto ?? [], section.crypto) !== undefined,
  );
  const answered = offer.media.map((media, index) => {
    // RFC 5761 §5.1.1: rtcp-mux in an answer counts only if it was offered.
    const muxOffered = offer.extraLines?.[media.kind]?.includes('a=rtcp-mux') ?? false;
    const crypto = answeredCrypto(media.crypto ?? [], aligned[index]?.crypto ?? []);
    return answeredMedia(media, media.codecs, aligned[index], { muxOffered, crypto });
  });
  requireUsable(answered);
  return answered;
}

/**
 * Our fmtp under the peer's payload type. H.264 takes the peer's profile, which must be symmetric (RFC 6184 §8.2.2).
 */
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
 * Answers the peer's re-offer with the unchanged session: our ports, the codecs in common under the peer's payload
 * types, directions mirrored and limited by ours. m-lines that we do not have are refused with port 0.
 *
 * `description` replaces `current` for the next re-offer. Its `sessionVersion` is one higher if anything changed, and
 * it keeps the full capability of our media, so that a held session can resume. `peer` has one entry for each of our
 * media.
 *
 * @param serve - Answers sections that are neither audio nor video, such as floor control; undefined: refused.
 *
 * @throws SipError `BAD_SDP` or `NO_COMMON_CODECS`, both answered with 488; the session then continues unchanged.
 */
export function answerReoffer(
  current: SessionDescription,
  sdp: string,
  serve: (section: RemoteMedia) => ServedSection | undefined = () => undefined,
): {
  readonly sdp: string;
  readonly description: SessionDescription;
  readonly peer: AnsweredMedia[];
} {
  const remote = readDescription(sdp);
  const aligned = align(
    current,
    remote,
    (media, section) => chooseCrypto(media.crypto ?? [], section.crypto) !== undefined,
  );
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
    // What we list first is what we expect to be sent.
    const codecs = byPreference(answered.codecs, (codec) => codec, own.preferred);
    peer.push({ ...answered, codecs });
    if (!answered.accepted || theirs === undefined) {
      media.push(own);
      continue;
    }
    const next: OfferedMedia = {
      ...own,
      protocol: theirs.protocol,
      codecs: byPreference(
        commonCodecs(capability.codecs, theirs),
        ([ours]) => ours,
        own.preferred,
      ).map(([ours, named]) => answerCodec(ours, named)),
      direction: directionOf(
        sends(capability.direction) && receives(answered.direction),
        receives(capability.direction) && sends(answered.direction),
      ),
      capability: { ...capability, ...(chosen !== undefined && { answered: chosen.answer }) },
    };
    // RFC 3264 §8: the same version requires the same text, keys included.
    changed ||= textFacts(next) !== textFacts(own);
    media.push(next);
    answers.set(theirs, next);
    if (chosen !== undefined) cryptos.set(next, chosen.answer);
  }
  requireUsable(peer);
  const order = remote.map((section) => {
    const own = answers.get(section);
    if (own !== undefined) return media.indexOf(own);
    const { type, protocol, formats } = section;
    const served = section.port === 0 ? undefined : serve(section);
    return { type, protocol, formats, ...(served && { served }) };
  });
  const before = current.sections ?? current.media.map((_, index) => index);
  changed ||= JSON.stringify(order) !== JSON.stringify(before);
  const description: SessionDescription = {
    ...current,
    media,
    sections: order,
    sessionVersion: current.sessionVersion + (changed ? 1 : 0),
  };
  const sections = remote.map((section, index) => {
    const own = answers.get(section);
    const other = order[index];
    if (own === undefined)
      return formatRefusedMedia(description.address, typeof other === 'object' ? other : section);
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
