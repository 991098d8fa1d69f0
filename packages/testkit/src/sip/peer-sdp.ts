// Session descriptions on the phone's side: parses an offer strictly, writes an answer (RFC 4566, RFC 3264, RFC 6184
// §8.2). Deliberately independent of the parser in @sipcast/sip, which it tests.

/** As in `a=sendrecv`. */
export type SdpDirection = 'sendrecv' | 'sendonly' | 'recvonly' | 'inactive';

/** One m-section. */
export interface SdpMedia {
  readonly kind: string;
  readonly port: number;
  readonly protocol: string;
  readonly payloadTypes: readonly number[];
  /** From `a=rtpmap`, e.g. `H264/90000`; 0, 8 and 9 are known without it. */
  readonly encodings: ReadonlyMap<number, string>;
  readonly fmtp: ReadonlyMap<number, string>;
  /** From its own `c=`, else the session's. */
  readonly address: string;
  /** `a=rtcp`, else `port + 1`. */
  readonly rtcpPort: number;
  readonly direction: SdpDirection;
  /** Texts of `a=rtcp-fb` without the payload type. */
  readonly feedback: readonly string[];
  /** All lines of the section, without CRLF. */
  readonly lines: readonly string[];
}

/** A complete description. */
export interface Sdp {
  /** From `o=`. */
  readonly sessionId: string;
  /** From `o=`. */
  readonly sessionVersion: bigint;
  readonly media: readonly SdpMedia[];
}

/** Order of the session lines: RFC 4566 §5. */
const SESSION_LINES = /^v=0\r\no=\S+ \d+ \d+ IN IP[46] \S+\r\ns=.+\r\n/;

/** Parses a description. @throws SyntaxError that names the problem */
export function parseSdp(text: string): Sdp {
  if (!SESSION_LINES.test(text)) throw new SyntaxError('SDP must begin with v=, o= and s= lines');
  if (!text.endsWith('\r\n')) throw new SyntaxError('SDP must end with CRLF');
  const lines = text.slice(0, -2).split('\r\n');
  const bad = lines.find((line) => !/^[a-z]=./.test(line));
  if (bad !== undefined) throw new SyntaxError(`SDP line ${JSON.stringify(bad)}`);
  if (!lines.some((line) => line.startsWith('t='))) throw new SyntaxError('SDP has no t= line');
  const origin = lines[1]!.slice(2).split(' ');
  const firstMedia = lines.findIndex((line) => line.startsWith('m='));
  const session = firstMedia < 0 ? lines : lines.slice(0, firstMedia);
  const media: SdpMedia[] = [];
  for (let at = firstMedia; at >= 0 && at < lines.length; ) {
    let to = at + 1;
    while (to < lines.length && !lines[to]!.startsWith('m=')) to++;
    media.push(parseMedia(lines.slice(at, to), session));
    at = to;
  }
  return { sessionId: origin[1]!, sessionVersion: BigInt(origin[2]!), media };
}

function parseMedia(lines: readonly string[], session: readonly string[]): SdpMedia {
  const head = /^m=(\w+) (\d{1,5}) (\S+) ([\d ]+)$/.exec(lines[0]!);
  if (head === null) throw new SyntaxError(`SDP line ${JSON.stringify(lines[0])}`);
  const encodings = new Map([
    [0, 'PCMU/8000'],
    [8, 'PCMA/8000'],
    [9, 'G722/8000'],
  ]);
  const fmtp = new Map<number, string>();
  const feedback: string[] = [];
  const port = Number(head[2]);
  if (port > 65_535) throw new SyntaxError('SDP port above 65535');
  let rtcpPort = port + 1;
  for (const line of lines) {
    const rtpmap = /^a=rtpmap:(\d+) (\S+)$/.exec(line);
    if (rtpmap) encodings.set(Number(rtpmap[1]), rtpmap[2]!);
    const format = /^a=fmtp:(\d+) (.+)$/.exec(line);
    if (format) fmtp.set(Number(format[1]), format[2]!);
    const rtcp = /^a=rtcp:(\d+)/.exec(line);
    if (rtcp) rtcpPort = Number(rtcp[1]);
    const fb = /^a=rtcp-fb:(?:\*|\d+) (.+)$/.exec(line);
    if (fb) feedback.push(fb[1]!);
  }
  const payloadTypes = head[4]!.trim().split(' ').map(Number);
  const unnamed = payloadTypes.find((type) => type >= 96 && !encodings.has(type));
  if (port > 0 && unnamed !== undefined) {
    throw new SyntaxError(`SDP payload type ${unnamed} has no rtpmap`);
  }
  const address = connectionOf(lines) ?? connectionOf(session);
  if (address === undefined) throw new SyntaxError('SDP medium without c= line');
  return {
    kind: head[1]!,
    port,
    protocol: head[3]!,
    payloadTypes,
    encodings,
    fmtp,
    address,
    rtcpPort,
    direction: directionOf(lines) ?? directionOf(session) ?? 'sendrecv',
    feedback,
    lines,
  };
}

function connectionOf(lines: readonly string[]): string | undefined {
  for (const line of lines) {
    const match = /^c=IN IP[46] (\S+)$/.exec(line);
    if (match) return match[1];
  }
  return undefined;
}

function directionOf(lines: readonly string[]): SdpDirection | undefined {
  for (const line of lines) {
    const match = /^a=(sendrecv|sendonly|recvonly|inactive)$/.exec(line);
    if (match) return match[1] as SdpDirection;
  }
  return undefined;
}

/** The answer to a direction that is accepted in full (RFC 3264 §6.1). */
export function mirrored(direction: SdpDirection): SdpDirection {
  if (direction === 'sendonly') return 'recvonly';
  return direction === 'recvonly' ? 'sendonly' : direction;
}

/** One medium of the phone. */
export interface PhoneMedia {
  readonly kind: string;
  /** 0 refuses. */
  readonly port: number;
  readonly rtcpPort: number;
  readonly protocol: string;
  /** In order of preference; the phone sends the first one. */
  readonly codecs: readonly {
    readonly payloadType: number;
    readonly encoding: string;
    readonly fmtp?: string;
  }[];
  readonly direction: SdpDirection;
  readonly feedback: readonly string[];
}

/** Writes the phone's description, answer or offer. */
export function formatPhoneSdp(parts: {
  readonly address: string;
  readonly sessionId: number;
  readonly sessionVersion: number;
  readonly media: readonly PhoneMedia[];
}): string {
  const connection = `IN IP${parts.address.includes(':') ? 6 : 4} ${parts.address}`;
  const lines = [
    'v=0',
    `o=phone ${parts.sessionId} ${parts.sessionVersion} ${connection}`,
    's=testkit phone',
    `c=${connection}`,
    't=0 0',
  ];
  for (const media of parts.media) {
    const types = media.codecs.map((codec) => codec.payloadType).join(' ');
    lines.push(`m=${media.kind} ${media.port} ${media.protocol} ${types}`);
    if (media.port === 0) continue;
    for (const { payloadType, encoding, fmtp } of media.codecs) {
      lines.push(`a=rtpmap:${payloadType} ${encoding}`);
      if (fmtp !== undefined) lines.push(`a=fmtp:${payloadType} ${fmtp}`);
    }
    for (const text of media.feedback) lines.push(`a=rtcp-fb:* ${text}`);
    if (media.kind === 'audio') lines.push('a=ptime:20');
    lines.push(`a=rtcp:${media.rtcpPort}`, `a=${media.direction}`);
  }
  return `${lines.join('\r\n')}\r\n`;
}
