// Session descriptions (RFC 4566, RFC 3605, RFC 4585): writes our offer, and reads and validates a peer's description.
// sdp-transform splits the attribute lines. m= and c= lines are checked here first, because it loses the type and port
// of `m=audio 1/2` and accepts any port.

import { isIP } from 'node:net';
import { parse } from 'sdp-transform';
import { SipError } from '../errors.ts';
import { type CryptoAttribute, formatCrypto, readCrypto, type RemoteCrypto } from './sdes.ts';

/** Who may send, from the point of view of the side that wrote it (RFC 4566 §6). */
export type MediaDirection = 'sendrecv' | 'sendonly' | 'recvonly' | 'inactive';

/** One payload type of an m-line. */
export interface CodecDescription {
  /** 0–127. */
  readonly payloadType: number;
  /** As in rtpmap, e.g. `H264`, `PCMA`, `telephone-event`. Case-insensitive. */
  readonly encodingName: string;
  readonly clockRateHz: number;
  /** Default 1. */
  readonly channels?: number;
  /** The fmtp line after the payload type; parse it with `parseFmtp`. */
  readonly fmtp?: string;
}

/** One of our m-lines. */
export interface OfferedMedia {
  readonly kind: 'audio' | 'video';
  /** A second video with a presentation (RFC 4796). */
  readonly content?: 'slides';
  /** `a=label` (RFC 4574), by which other sections refer to this one. */
  readonly label?: string;
  /** RTP port, 0–65535; 0 refuses the medium. */
  readonly port: number;
  /** 0–65535. */
  readonly rtcpPort: number;
  /** The protocol of the m-line. Default `RTP/AVP`; an answer repeats the offer's (RFC 3264 §6). */
  readonly protocol?: string;
  readonly direction: MediaDirection;
  /** In order of preference. */
  readonly codecs: readonly CodecDescription[];
  /** 0 … 2^32−1. */
  /**
   * Codecs that we prefer in an answer, in order, as `name` or `name/clock rate` in lower case; the others follow in the peer's
   * order. Default: the peer's order.
   */
  readonly preferred?: readonly string[];
  readonly ssrc: number;
  readonly cname: string;
  readonly ptimeMs?: number;
  /** `ccm fir`, `nack`, `nack pli`: written as `a=rtcp-fb:* …`. */
  readonly feedback?: readonly string[];
  /** Our SRTP keys (RFC 4568), in order of preference. Absent: no SRTP. */
  readonly crypto?: readonly CryptoAttribute[];
  /** Refuse the medium without SRTP. Default false: plain RTP if the peer has no keys (RFC 8643). */
  readonly requiresCrypto?: boolean;
  /** The full capability of the medium, if an answer has narrowed `codecs` or `direction`. Set by `answerReoffer`. */
  readonly capability?: {
    readonly codecs: readonly CodecDescription[];
    readonly direction: MediaDirection;
    /** The direction without our hold, if we hold. */
    readonly full?: MediaDirection;
    /** The `crypto` line in our answer. */
    readonly answered?: CryptoAttribute;
  };
}

/** Our side of a session. */
export interface SessionDescription {
  /** IP address for the c= and o= lines. */
  readonly address: string;
  /** Session ID of the o= line, a non-negative safe integer. */
  readonly sessionId: number;
  /** Session version of the o= line; one more after each change. */
  readonly sessionVersion: number;
  readonly sessionName: string;
  readonly media: readonly OfferedMedia[];
  /**
   * The m-lines of the session in their fixed order (RFC 3264 §8): an index into `media`, or a medium that we do not
   * have. Set by `answerReoffer`. Default: all of `media`.
   */
  readonly sections?: readonly (number | RefusedMedia)[];
  /** Complete lines (`a=…`) to append to the medium's section. */
  readonly extraLines?: {
    readonly audio?: readonly string[];
    readonly video?: readonly string[];
  };
}

/** What we answer to an m-line that is neither audio nor video. */
export interface ServedSection {
  /** 1–65535. */
  readonly port: number;
  /** Complete lines (`a=…`). */
  readonly attributes: readonly string[];
}

/** An m-line of the peer that is not one of our media. */
export interface RefusedMedia {
  /** Absent: we refuse it. */
  readonly served?: ServedSection;
  readonly type: string;
  readonly protocol: string;
  /** As on the m-line. */
  readonly formats: readonly string[];
}

/** Limits for reading a description. Exceeding one gives `BAD_SDP`. */
export const SDP_LIMITS = {
  characters: 65536,
  lines: 2048,
  lineCharacters: 4096,
  media: 32,
} as const;

/** One validated m-section of a peer. */
export interface RemoteMedia {
  readonly type: string;
  /** Marked `a=content:slides` (RFC 4796). */
  readonly content?: 'slides';
  /** 0–65535. */
  readonly port: number;
  readonly protocol: string;
  /** As on the m-line. */
  readonly formats: readonly string[];
  /** Payload types whose codec is known from rtpmap or RFC 3551, in m-line order. Empty if not RTP. */
  readonly codecs: readonly CodecDescription[];
  /** Payload types without rtpmap that RFC 3551 does not define. */
  readonly unnamed: readonly number[];
  /** From the media's c= line, else the session's; absent if there is neither. */
  readonly address: string | undefined;
  readonly rtcpPort: number | undefined;
  readonly rtcpAddress: string | undefined;
  readonly rtcpMux: boolean;
  /** As written, or inherited from the session; `sendrecv` by default. */
  readonly direction: MediaDirection;
  readonly ptimeMs: number | undefined;
  readonly feedback: readonly { readonly payload: string; readonly text: string }[];
  readonly crypto: readonly RemoteCrypto[];
  /** The `a=` lines of a section that is not RTP, as written. */
  readonly attributes?: readonly string[];
  /** Why this section cannot be used, if so. Other sections are unaffected. */
  readonly problem?: string;
}

/** Static payload types that need no rtpmap (RFC 3551 §6), limited to those that our endpoints meet. */
const STATIC_CODECS: ReadonlyMap<number, readonly [string, number]> = new Map([
  [0, ['PCMU', 8000]],
  [3, ['GSM', 8000]],
  [4, ['G723', 8000]],
  [8, ['PCMA', 8000]],
  [9, ['G722', 8000]],
  [13, ['CN', 8000]],
  [15, ['G728', 8000]],
  [18, ['G729', 8000]],
  [26, ['JPEG', 90000]],
  [31, ['H261', 90000]],
  [34, ['H263', 90000]],
]);

/** Lines handed to sdp-transform. Its other rules never run on a peer's text. */
const READ_LINES =
  /^(?:[vost]=|c=|a=(?:rtpmap:|fmtp:|rtcp:|rtcp-fb:|ptime:|crypto:|content:|rtcp-mux$|sendrecv$|sendonly$|recvonly$|inactive$))/;

/**
 * Encoding names that devices use instead of the registered ones, keyed without punctuation. Grandstream and Yealink
 * write `G.722`, older Avaya and Cisco gateways `G711U` and `G711A`.
 */
const ENCODING_ALIASES: ReadonlyMap<string, string> = new Map([
  ['g722', 'G722'],
  ['g711u', 'PCMU'],
  ['g711ulaw', 'PCMU'],
  ['ulaw', 'PCMU'],
  ['g711a', 'PCMA'],
  ['g711alaw', 'PCMA'],
  ['alaw', 'PCMA'],
  ['telephoneevents', 'telephone-event'],
  ['telephoneevent', 'telephone-event'],
]);

/**
 * Encodings with a single possible clock rate. G.722 samples at 16 kHz but has an RTP clock of 8 kHz, a historical
 * error (RFC 3551 §4.5.2); many devices write 16000. Others write the camera's sampling rate, or Opus without its two
 * channels.
 */
const ONLY_CLOCK_RATES: ReadonlyMap<string, number> = new Map([
  ['g722', 8000],
  ['opus', 48000],
  ['h264', 90000],
  ['vp8', 90000],
]);

/** The codec that the peer means, with its registered name and clock rate. */
function registered(codec: CodecDescription): CodecDescription {
  const plain = codec.encodingName.toLowerCase().replaceAll(/[^a-z0-9]/g, '');
  const encodingName = ENCODING_ALIASES.get(plain) ?? codec.encodingName;
  const clockRateHz = ONLY_CLOCK_RATES.get(encodingName.toLowerCase()) ?? codec.clockRateHz;
  const { channels: _, ...mono } = codec;
  // RFC 7587 §7: always `opus/48000/2`, whatever is sent.
  if (encodingName.toLowerCase() === 'opus')
    return { ...codec, encodingName, clockRateHz, channels: 2 };
  const isSpeech = /^(?:pcm[au]|g722|speex|telephone-event)$/i.test(encodingName);
  return { ...(isSpeech && codec.channels === 1 ? mono : codec), encodingName, clockRateHz };
}

function bad(message: string): SipError {
  return new SipError('BAD_SDP', message, { field: 'sdp', statusCode: 488 });
}

/**
 * Parses fmtp text, `a=1; b=2`. Names are lower-case; a part without `=` has the value `''`. The first of a name
 * counts.
 */
export function parseFmtp(text: string): ReadonlyMap<string, string> {
  const parameters = new Map<string, string>();
  for (const part of text.split(';')) {
    const equals = part.indexOf('=');
    const name = (equals < 0 ? part : part.slice(0, equals)).trim().toLowerCase();
    if (name === '' || parameters.has(name)) continue;
    parameters.set(name, equals < 0 ? '' : part.slice(equals + 1).trim());
  }
  return parameters;
}

/**
 * The text of our description with CRLF line ends: an offer, or with the agreed values, an answer.
 *
 * @throws SipError `ILLEGAL_CHARACTER` for CR, LF or NUL in a text; `INVALID_ARGUMENT` naming `field` for an address
 * that is not an IP address, a number out of range, a medium without codecs, or an extra line that is not `x=…`.
 */
export function formatOffer(description: SessionDescription): string {
  const { media, sections } = description;
  const order = sections ?? media.map((_, index) => index);
  return formatDescription(
    description,
    order.map((section) => {
      if (typeof section !== 'number') return formatRefusedMedia(description.address, section);
      const own = media[section];
      if (own !== undefined) return formatMedia(description, own);
      throw new SipError('INVALID_ARGUMENT', 'No such medium', { field: 'sections' });
    }),
  );
}

/** The session part, followed by finished m-sections. */
export function formatDescription(
  description: SessionDescription,
  sections: readonly string[],
): string {
  requireInteger('sessionId', description.sessionId, Number.MAX_SAFE_INTEGER);
  requireInteger('sessionVersion', description.sessionVersion, Number.MAX_SAFE_INTEGER);
  requireText('sessionName', description.sessionName);
  return [
    'v=0',
    `o=- ${description.sessionId} ${description.sessionVersion} ${connection(description.address)}`,
    `s=${description.sessionName === '' ? '-' : description.sessionName}`,
    't=0 0',
    '',
  ]
    .join('\r\n')
    .concat(...sections);
}

/**
 * An m-section that refuses a medium: port 0, formats as offered (RFC 3264 §6). It has its own `c=` line because the
 * session has none (RFC 4566 §5.7).
 */
export function formatRefusedMedia(
  address: string,
  { type, protocol, formats, served }: RefusedMedia,
): string {
  if (served !== undefined) {
    requireInteger('port', served.port, 65535);
    for (const line of served.attributes) requireText('attributes', line);
    const lines = [
      `m=${type} ${served.port} ${protocol} ${formats.join(' ')}`,
      `c=${connection(address)}`,
      ...served.attributes,
    ];
    return `${lines.join('\r\n')}\r\n`;
  }
  // A section that the peer itself refused may lack a profile or a format; the grammar requires both.
  const named = `${protocol === '' ? 'RTP/AVP' : protocol} ${formats.length === 0 ? '0' : formats.join(' ')}`;
  return `m=${type} 0 ${named}\r\nc=${connection(address)}\r\n`;
}

/** One of our m-sections. c= follows m= directly, as the grammar of RFC 4566 §9 requires. */
export function formatMedia(description: SessionDescription, media: OfferedMedia): string {
  const address = connection(description.address);
  requireInteger('port', media.port, 65535);
  requireInteger('rtcpPort', media.rtcpPort, 65535);
  requireInteger('ssrc', media.ssrc, 0xffffffff);
  requireText('cname', media.cname);
  requireText('protocol', media.protocol ?? '');
  if (media.codecs.length === 0) {
    throw new SipError('INVALID_ARGUMENT', 'A medium needs a codec', { field: 'codecs' });
  }
  const lines = [
    `m=${media.kind} ${media.port} ${media.protocol ?? 'RTP/AVP'} ${media.codecs.map((codec) => codec.payloadType).join(' ')}`,
    `c=${address}`,
  ];
  for (const codec of media.codecs) {
    requireInteger('payloadType', codec.payloadType, 127);
    requireInteger('clockRateHz', codec.clockRateHz, 1e9);
    requireText('encodingName', codec.encodingName);
    const channels =
      codec.channels === undefined || codec.channels === 1 ? '' : `/${codec.channels}`;
    lines.push(
      `a=rtpmap:${codec.payloadType} ${codec.encodingName}/${codec.clockRateHz}${channels}`,
    );
    if (codec.fmtp !== undefined) {
      requireText('fmtp', codec.fmtp);
      lines.push(`a=fmtp:${codec.payloadType} ${codec.fmtp}`);
    }
  }
  for (const feedback of media.feedback ?? []) {
    requireText('feedback', feedback);
    lines.push(`a=rtcp-fb:* ${feedback}`);
  }
  if (media.ptimeMs !== undefined) {
    requireInteger('ptimeMs', media.ptimeMs, 1000);
    lines.push(`a=ptime:${media.ptimeMs}`);
  }
  lines.push(
    `a=rtcp:${media.rtcpPort} ${address}`,
    `a=${media.direction}`,
    `a=ssrc:${media.ssrc} cname:${media.cname}`,
  );
  if (media.content !== undefined) lines.push(`a=content:${media.content}`);
  if (media.label !== undefined) {
    requireText('label', media.label);
    lines.push(`a=label:${media.label}`);
  }
  for (const attribute of media.crypto ?? []) {
    const line = formatCrypto(attribute);
    requireText('crypto', line);
    lines.push(line);
  }
  for (const line of description.extraLines?.[media.kind] ?? []) {
    requireText('extraLines', line);
    if (!/^[a-z]=/.test(line)) {
      throw new SipError('INVALID_ARGUMENT', 'An extra line must begin with a letter and `=`', {
        field: 'extraLines',
      });
    }
    lines.push(line);
  }
  return `${lines.join('\r\n')}\r\n`;
}

function connection(address: string): string {
  const version = isIP(address);
  if (version === 0 || address.includes('%')) {
    throw new SipError('INVALID_ARGUMENT', 'Not an IP address', { field: 'address' });
  }
  return `IN IP${version} ${address}`;
}

function requireInteger(field: string, value: number, maximum: number): void {
  if (!Number.isSafeInteger(value) || value < 0 || value > maximum) {
    throw new SipError('INVALID_ARGUMENT', `${field} is not 0–${maximum}`, { field });
  }
}

function requireText(field: string, text: string): void {
  // oxlint-disable-next-line no-control-regex -- finding control characters is the point
  if (/[\r\n\0]/.test(text)) {
    throw new SipError('ILLEGAL_CHARACTER', `CR, LF or NUL in ${field}`, { field });
  }
}

interface MediaLine {
  readonly type: string;
  readonly port: number;
  readonly protocol: string;
  readonly formats: readonly string[];
  readonly attributes?: string[];
  readonly problem?: string;
}

/**
 * Reads a peer's description. A section that cannot be used reports why in `problem` and does not affect the others.
 * The contents of a section with port 0 are ignored: it only refuses itself.
 *
 * @throws SipError only `BAD_SDP`: for text that is not a description, or beyond {@link SDP_LIMITS}.
 */
export function readDescription(text: string): RemoteMedia[] {
  const { lines, mediaLines } = readLines(text);
  let session: ParsedSection & { readonly media: readonly ParsedSection[] };
  try {
    session = parse(lines.join('\r\n'));
  } catch (cause) {
    throw new SipError('BAD_SDP', 'Description cannot be parsed', {
      field: 'sdp',
      statusCode: 488,
      cause,
    });
  }
  if (session.media.length !== mediaLines.length) throw bad('m-lines cannot be separated');
  return mediaLines.map((line, index) => readMedia(line, session.media[index] ?? {}, session));
}

/** The parts of sdp-transform's result that are used. Numbers are text if the line has leading zeros or no number. */
interface ParsedSection {
  readonly rtp?: readonly {
    payload: unknown;
    codec: unknown;
    rate?: unknown;
    encoding?: unknown;
  }[];
  readonly fmtp?: readonly { payload: unknown; config: unknown }[];
  readonly rtcp?: { port: unknown; address?: unknown };
  readonly rtcpFb?: readonly { payload: unknown; type: unknown; subtype?: unknown }[];
  readonly rtcpMux?: unknown;
  readonly crypto?: Parameters<typeof readCrypto>[0];
  readonly connection?: { ip: unknown };
  readonly direction?: MediaDirection;
  readonly ptime?: unknown;
  readonly content?: unknown;
}

function readMedia(line: MediaLine, media: ParsedSection, session: ParsedSection): RemoteMedia {
  const isRtp = /^RTP\//i.test(line.protocol);
  const rtpmaps = isRtp ? readRtpmaps(media.rtp ?? []) : new Map<number, CodecDescription>();
  const fmtps = new Map<number, string>();
  for (const { payload, config } of media.fmtp ?? []) {
    const key = wholeNumber(payload);
    if (key !== undefined && !fmtps.has(key)) fmtps.set(key, asText(config));
  }
  const codecs: CodecDescription[] = [];
  const unnamed: number[] = [];
  for (const payloadType of isRtp ? readPayloadTypes(line.formats) : []) {
    const codec = rtpmaps.get(payloadType) ?? staticCodec(payloadType);
    const fmtp = fmtps.get(payloadType);
    if (codec === undefined) unnamed.push(payloadType);
    else codecs.push(fmtp === undefined ? codec : { ...codec, fmtp });
  }
  const rtcpPort = wholeNumber(media.rtcp?.port);
  const ptimeMs = wholeNumber(media.ptime);
  const address = readAddress((media.connection ?? session.connection)?.ip);
  const problem =
    line.problem ??
    (isRtp && codecs.length + unnamed.length === 0 ? 'no payload type within 0–127' : undefined) ??
    (address === null ? 'malformed address' : undefined);
  const rtcpAddress = readAddress(media.rtcp?.address);
  return {
    ...line,
    codecs,
    unnamed,
    address: address ?? undefined,
    // Out of range: treat as absent. The RTP port then determines it.
    rtcpPort: rtcpPort !== undefined && rtcpPort >= 1 && rtcpPort <= 65535 ? rtcpPort : undefined,
    rtcpAddress: rtcpAddress ?? undefined,
    rtcpMux: media.rtcpMux !== undefined,
    direction: media.direction ?? session.direction ?? 'sendrecv',
    ptimeMs: ptimeMs !== undefined && ptimeMs >= 1 && ptimeMs <= 1000 ? ptimeMs : undefined,
    feedback: (media.rtcpFb ?? []).map(({ payload, type, subtype }) => ({
      payload: asText(payload),
      text: subtype === undefined ? asText(type) : `${asText(type)} ${asText(subtype)}`,
    })),
    crypto: isRtp ? readCrypto(media.crypto ?? []) : [],
    ...(isSlides(media.content) && { content: 'slides' }),
    ...(problem !== undefined && (line.port !== 0 || line.problem !== undefined) && { problem }),
  };
}

/** RFC 4796 §4: a list of tokens. */
function isSlides(content: unknown): boolean {
  return asText(content)
    .split(',')
    .some((token) => token.trim().toLowerCase() === 'slides');
}

/** The lines that we understand, with m-lines made harmless for sdp-transform, and the parsed m-lines. */
function readLines(text: string): { lines: string[]; mediaLines: MediaLine[] } {
  if (text.length > SDP_LIMITS.characters) throw bad('Description is too long');
  if (text.includes('\0')) throw bad('NUL in the description');
  const all = text.split(/\r\n|\n|\r/, SDP_LIMITS.lines + 1);
  if (all.length > SDP_LIMITS.lines) throw bad('Too many lines');
  const lines: string[] = [];
  const mediaLines: MediaLine[] = [];
  for (const raw of all) {
    const line = raw.trim();
    if (line === '') continue;
    if (line.length > SDP_LIMITS.lineCharacters) throw bad('Line is too long');
    if (lines.length === 0 && line !== 'v=0') throw bad('Description does not begin with v=0');
    if (line.startsWith('m=')) {
      if (mediaLines.length === SDP_LIMITS.media) throw bad('Too many m-lines');
      const media = readMediaLine(line);
      mediaLines.push(media);
      lines.push(`m=x ${media.port} x`);
      continue;
    }
    // A section with port 0 only refuses itself, so skipping its lines cannot hurt.
    if (mediaLines.at(-1)?.port === 0) continue;
    if (line.startsWith('a=')) mediaLines.at(-1)?.attributes?.push(line);
    const known = normalized(line);
    if (READ_LINES.test(known)) lines.push(known);
  }
  if (mediaLines.length === 0) throw bad('No m-line');
  return { lines, mediaLines };
}

/** Normalizes spaces and letter case to the grammar. */
function normalized(line: string): string {
  if (line.startsWith('c=')) {
    // RFC 4007 §11: a zone is meaningful only on the peer's machine.
    const [, version, address = ''] = /^c=\s*IN\s+IP([46])\s+(\S+)$/i.exec(line) ?? [];
    return version === undefined
      ? 'c=IN IP4 malformed!'
      : `c=IN IP${version} ${address.replace(/%[^/]*/, '')}`;
  }
  // Cisco TelePresence and some cameras write `a=rtpmap: 97`.
  return line
    .replace(
      /^a=(rtpmap|fmtp|rtcp-fb|crypto):\s+/i,
      (_, name: string) => `a=${name.toLowerCase()}:`,
    )
    .replace(/^a=(?:sendrecv|sendonly|recvonly|inactive|rtcp-mux)$/i, (all) => all.toLowerCase())
    .replace(/^(a=rtpmap:\d+)\s+/i, '$1 ');
}

function readMediaLine(line: string): MediaLine {
  const [type = '', ports = '', protocol = '', ...formats] = line
    .slice(2)
    .split(/\s+/)
    .filter(Boolean);
  // RFC 4566 §5.14: `<port>/<number of ports>`; the first pair is used.
  const match = /^(\d{1,5})(?:\/\d{1,5})?$/.exec(ports);
  const given = match === null ? -1 : Number(match[1]);
  const port = given < 0 || given > 65535 ? 0 : given;
  const isRtp = /^RTP\//i.test(protocol);
  const media = { type, port, protocol, formats, ...(!isRtp && { attributes: [] }) };
  if (port !== given) return { ...media, problem: 'the port is not 0–65535' };
  if (port !== 0 && (protocol === '' || formats.length === 0))
    return { ...media, problem: 'no profile or format' };
  return media;
}

/** Drops invalid payload types; the others count. */
function readPayloadTypes(formats: readonly string[]): Set<number> {
  const payloadTypes = new Set<number>();
  for (const format of formats)
    if (/^\d{1,3}$/.test(format) && Number(format) <= 127) payloadTypes.add(Number(format));
  return payloadTypes;
}

function readRtpmaps(entries: NonNullable<ParsedSection['rtp']>): Map<number, CodecDescription> {
  const codecs = new Map<number, CodecDescription>();
  for (const entry of entries) {
    const payloadType = wholeNumber(entry.payload);
    const clockRateHz = wholeNumber(entry.rate) ?? 0;
    const encodingName = asText(entry.codec);
    if (payloadType === undefined || payloadType > 127 || codecs.has(payloadType)) continue;
    if (encodingName === '' || clockRateHz < 1 || clockRateHz > 1e9) continue;
    const channels = wholeNumber(entry.encoding);
    const codec = {
      payloadType,
      encodingName,
      clockRateHz,
      ...(channels !== undefined && channels > 1 && { channels }),
    };
    codecs.set(payloadType, registered(codec));
  }
  return codecs;
}

function staticCodec(payloadType: number): CodecDescription | undefined {
  const known = STATIC_CODECS.get(payloadType);
  return known && { payloadType, encodingName: known[0], clockRateHz: known[1] };
}

function asText(value: unknown): string {
  if (typeof value === 'string') return value;
  return typeof value === 'number' ? value.toString() : '';
}

/** A number of up to ten digits; `undefined` for anything else. */
function wholeNumber(value: unknown): number | undefined {
  const text = asText(value);
  return /^\d{1,10}$/.test(text) ? Number(text) : undefined;
}

/** The address without the TTL of a multicast address; null if it is neither an address nor a name. */
function readAddress(value: unknown): string | undefined | null {
  if (value === undefined) return undefined;
  const [address = ''] = asText(value).split('/', 1);
  return isIP(address) === 0 && !/^[A-Za-z0-9._-]{1,255}$/.test(address) ? null : address;
}
