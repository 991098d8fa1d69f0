// Messages of BFCP (RFC 8855 §5): a header of 12 octets, then attributes padded to 4 octets.
//
//  0                   1                   2                   3
// | Ver |R|F| Res |  Primitive    |        Payload Length         |
// |                         Conference ID                         |
// |         Transaction ID        |            User ID            |

/** RFC 8855 §5.1, table 1. */
export const PRIMITIVE = {
  floorRequest: 1,
  floorRelease: 2,
  floorRequestQuery: 3,
  floorRequestStatus: 4,
  floorQuery: 7,
  floorStatus: 8,
  hello: 11,
  helloAck: 12,
  error: 13,
  floorRequestStatusAck: 14,
  floorStatusAck: 15,
  goodbye: 16,
  goodbyeAck: 17,
} as const;

/** RFC 8855 §5.2, table 2. */
export const ATTRIBUTE = {
  floorId: 2,
  floorRequestId: 3,
  requestStatus: 5,
  errorCode: 6,
  supportedAttributes: 10,
  supportedPrimitives: 11,
  floorRequestInformation: 15,
  floorRequestStatus: 17,
  overallRequestStatus: 18,
} as const;

/** An attribute with its contents. */
export interface BfcpAttribute {
  readonly type: number;
  readonly contents: Uint8Array;
}

/** A message. */
export interface BfcpMessage {
  /** 1 over reliable transports, 2 over others (RFC 8855 §5.1). */
  readonly version: number;
  /** Set in responses over transports that are not reliable. */
  readonly isResponse: boolean;
  readonly primitive: number;
  readonly conferenceId: number;
  readonly transactionId: number;
  readonly userId: number;
  readonly attributes: readonly BfcpAttribute[];
}

const HEADER_BYTES = 12;
/** Requests of a participant have a handful of attributes. */
const MAX_ATTRIBUTES = 64;

/** Reads a whole message. Undefined: it is malformed, or a fragment, which no request here needs. */
export function decodeBfcp(octets: Uint8Array): BfcpMessage | undefined {
  if (octets.length < HEADER_BYTES) return undefined;
  const view = new DataView(octets.buffer, octets.byteOffset, octets.byteLength);
  const first = view.getUint8(0);
  const version = first >> 5;
  const isFragment = (first & 0x08) !== 0;
  const payloadBytes = view.getUint16(2) * 4;
  if ((version !== 1 && version !== 2) || isFragment) return undefined;
  if (payloadBytes !== octets.length - HEADER_BYTES) return undefined;
  const attributes = decodeAttributes(octets.subarray(HEADER_BYTES));
  return (
    attributes && {
      version,
      isResponse: (first & 0x10) !== 0,
      primitive: view.getUint8(1),
      conferenceId: view.getUint32(4),
      transactionId: view.getUint16(8),
      userId: view.getUint16(10),
      attributes,
    }
  );
}

function decodeAttributes(octets: Uint8Array): BfcpAttribute[] | undefined {
  const attributes: BfcpAttribute[] = [];
  for (let at = 0; at < octets.length; ) {
    const type = (octets[at] ?? 0) >> 1;
    // Type, M bit and length included, padding not.
    const length = octets[at + 1] ?? 0;
    if (length < 2 || at + length > octets.length) return undefined;
    if (attributes.length === MAX_ATTRIBUTES) return undefined;
    attributes.push({ type, contents: octets.subarray(at + 2, at + length) });
    at += Math.ceil(length / 4) * 4;
  }
  return attributes;
}

/** Writes a message. */
export function encodeBfcp(message: BfcpMessage): Uint8Array {
  const payload = message.attributes.flatMap(encodeAttribute);
  const octets = new Uint8Array(HEADER_BYTES + payload.length);
  const view = new DataView(octets.buffer);
  view.setUint8(0, (message.version << 5) | (message.isResponse ? 0x10 : 0));
  view.setUint8(1, message.primitive);
  view.setUint16(2, payload.length / 4);
  view.setUint32(4, message.conferenceId);
  view.setUint16(8, message.transactionId);
  view.setUint16(10, message.userId);
  octets.set(payload, HEADER_BYTES);
  return octets;
}

/** Octets of an attribute, padded. The M bit is set: all that is sent here is defined by RFC 8855. */
export function encodeAttribute({ type, contents }: BfcpAttribute): number[] {
  const octets = [(type << 1) | 1, contents.length + 2, ...contents];
  while (octets.length % 4 !== 0) octets.push(0);
  return octets;
}

/** An attribute whose contents are one number of 16 bits. */
export function uint16Attribute(type: number, value: number): BfcpAttribute {
  return { type, contents: Uint8Array.of((value >> 8) & 0xff, value & 0xff) };
}

/** The first attribute of a type, as a number of 16 bits. */
export function uint16Of(message: BfcpMessage, type: number): number | undefined {
  const found = message.attributes.find((one) => one.type === type);
  const [high, low] = found?.contents ?? [];
  return high === undefined || low === undefined ? undefined : (high << 8) | low;
}
