// Session descriptions in message bodies: alone, or as a part of a multipart body (RFC 5621, RFC 2046 §5.1).

import type { SipMessage } from './message.ts';

/** The result of reading a body. */
export interface ReadBody {
  /** The session description, if there is one. */
  readonly sdp?: string;
  /** Media type of a part that the sender requires us to understand (`handling=required`) and that we cannot read. */
  readonly unreadable?: string;
}

/** Parts of a multipart body that are examined, and the maximum nesting depth. */
const MAX_PARTS = 32;
const MAX_DEPTH = 3;

/**
 * Reads the body of a message. A body without Content-Type is taken as a session description. In a multipart body, the
 * first session description counts. Carriers put ISUP, PIDF-LO or a picture beside it, often without a
 * Content-Disposition, so only a part with an explicit `handling=required` must be understood. (RFC 5621 §4 makes that
 * the default, which would refuse such calls.)
 */
export function readBody({ headers, body }: Pick<SipMessage, 'headers' | 'body'>): ReadBody {
  if (body.length === 0) return {};
  const read: { sdp?: string; unreadable?: string } = {};
  const part = { type: headers.get('content-type') ?? 'application/sdp', isPart: false };
  readPart(read, { ...part, disposition: headers.get('content-disposition') ?? '' }, body, 0);
  return read;
}

/** The session description of a message, if there is one. */
export function sessionDescriptionIn(
  message: Pick<SipMessage, 'headers' | 'body'>,
): string | undefined {
  return readBody(message).sdp;
}

interface PartHead {
  readonly type: string;
  readonly disposition: string;
  readonly isPart: boolean;
  readonly encoding?: string;
}

function readPart(
  read: { sdp?: string; unreadable?: string },
  head: PartHead,
  octets: Uint8Array,
  depth: number,
): void {
  const type = typeOf(head.type);
  if (type === 'application/sdp') {
    read.sdp ??= decoded(octets, head.encoding);
    return;
  }
  const boundary = type.startsWith('multipart/') ? boundaryOf(head.type) : undefined;
  if (boundary !== undefined && depth < MAX_DEPTH) {
    for (const { headers, body } of partsOf(Buffer.from(octets), boundary)) {
      const inner = {
        type: headers.get('content-type') ?? headers.get('c') ?? 'text/plain',
        disposition: headers.get('content-disposition') ?? '',
        encoding: headers.get('content-transfer-encoding') ?? '',
        isPart: true,
      };
      readPart(read, inner, body, depth + 1);
    }
    return;
  }
  const isOptional = /;\s*handling\s*=\s*"?optional/i.test(head.disposition);
  const isRequired = /;\s*handling\s*=\s*"?required/i.test(head.disposition);
  if (head.isPart ? isRequired : !isOptional) read.unreadable ??= type;
}

function typeOf(contentType: string): string {
  return (contentType.split(';', 1)[0] ?? '').trim().toLowerCase();
}

/** 1–70 characters (RFC 2046 §5.1.1). */
function boundaryOf(contentType: string): string | undefined {
  const match = /;\s*boundary\s*=\s*(?:"([^"]{1,70})"|([^\s;"]{1,70}))/i.exec(contentType);
  return match?.[1] ?? match?.[2];
}

interface Part {
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Uint8Array;
}

function partsOf(octets: Buffer, boundary: string): Part[] {
  const delimiter = Buffer.from(`--${boundary}`);
  const parts: Part[] = [];
  let at = octets.indexOf(delimiter);
  while (at >= 0 && parts.length < MAX_PARTS) {
    const from = at + delimiter.length;
    // `--boundary--` ends the last part.
    if (octets.toString('latin1', from, from + 2) === '--') break;
    const next = octets.indexOf(delimiter, from);
    parts.push(partOf(octets.subarray(from, next < 0 ? octets.length : next)));
    at = next;
  }
  return parts;
}

/** The part after a delimiter, including the line end that belongs to the next delimiter. */
function partOf(octets: Buffer): Part {
  const text = octets.toString('latin1');
  const begin = /^[ \t]*\r?\n/.exec(text)?.[0].length ?? 0;
  const separator = /\r?\n\r?\n/.exec(text.slice(begin));
  const startsWithBody = /^\r?\n/.test(text.slice(begin));
  const headTo = startsWithBody ? begin : begin + (separator?.index ?? 0);
  const bodyFrom = startsWithBody
    ? begin + (/^\r?\n/.exec(text.slice(begin))?.[0].length ?? 0)
    : headTo + (separator?.[0].length ?? 0);
  const headers = new Map<string, string>();
  const lines = text.slice(begin, headTo).replaceAll(/\r?\n[ \t]+/g, ' ');
  for (const line of lines.split(/\r?\n/)) {
    const colon = line.indexOf(':');
    const name = line.slice(0, Math.max(colon, 0)).trim().toLowerCase();
    if (name !== '' && !headers.has(name)) headers.set(name, line.slice(colon + 1).trim());
  }
  const bodyTo = text.length - (/\r?\n$/.exec(text)?.[0].length ?? 0);
  return { headers, body: octets.subarray(bodyFrom, Math.max(bodyFrom, bodyTo)) };
}

function decoded(octets: Uint8Array, encoding = ''): string {
  const text = Buffer.from(octets).toString('utf8');
  return encoding.trim().toLowerCase() === 'base64' ? Buffer.from(text, 'base64').toString() : text;
}
