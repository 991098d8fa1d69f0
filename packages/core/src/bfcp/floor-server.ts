// The floor control server of one call (RFC 8855 §13): one participant, one floor, which is granted at once.

import {
  ATTRIBUTE,
  encodeAttribute,
  PRIMITIVE,
  uint16Attribute,
  uint16Of,
} from './bfcp-message.ts';
import type { BfcpAttribute, BfcpMessage } from './bfcp-message.ts';

/** RFC 8855 §5.2.5. */
const STATUS = { granted: 3, released: 6 } as const;
/** RFC 8855 §5.2.6. */
const ERROR = {
  noConference: 1,
  noUser: 2,
  unknownPrimitive: 3,
  noFloor: 6,
  noRequest: 7,
} as const;

/** What the server grants. */
export interface FloorServerOptions {
  readonly conferenceId: number;
  readonly userId: number;
  readonly floorId: number;
}

/** Answers the requests of one participant. */
export class FloorServer {
  readonly #options: FloorServerOptions;
  #requests = 0;
  /** The granted request. */
  #granted: number | undefined;
  /** The latest transaction and its answer, for repetitions. */
  #latest: { readonly key: string; readonly answer: BfcpMessage } | undefined;

  constructor(options: FloorServerOptions) {
    this.#options = options;
  }

  /** The participant has the floor. */
  get isGranted(): boolean {
    return this.#granted !== undefined;
  }

  /** @returns the answer; undefined: the message needs none */
  answer(message: BfcpMessage): BfcpMessage | undefined {
    const { primitive, transactionId } = message;
    if (message.isResponse) return undefined;
    const isAck =
      primitive === PRIMITIVE.floorRequestStatusAck || primitive === PRIMITIVE.floorStatusAck;
    if (isAck) return undefined;
    // RFC 8855 §8.3.1: a repetition gets the same answer.
    const key = `${primitive} ${transactionId}`;
    if (this.#latest?.key === key) return this.#latest.answer;
    const answer = this.#decide(message);
    this.#latest = { key, answer };
    return answer;
  }

  #decide(message: BfcpMessage): BfcpMessage {
    const { conferenceId, userId, floorId } = this.#options;
    if (message.conferenceId !== conferenceId) return refuse(message, ERROR.noConference);
    if (message.userId !== userId) return refuse(message, ERROR.noUser);
    const requestId = uint16Of(message, ATTRIBUTE.floorRequestId);
    switch (message.primitive) {
      case PRIMITIVE.hello:
        return reply(message, PRIMITIVE.helloAck, [
          { type: ATTRIBUTE.supportedPrimitives, contents: SUPPORTED_PRIMITIVES },
          { type: ATTRIBUTE.supportedAttributes, contents: SUPPORTED_ATTRIBUTES },
        ]);
      case PRIMITIVE.floorRequest:
        if (uint16Of(message, ATTRIBUTE.floorId) !== floorId) return refuse(message, ERROR.noFloor);
        this.#requests = (this.#requests % 0xffff) + 1;
        this.#granted = this.#requests;
        return this.#status(message, this.#granted, STATUS.granted);
      case PRIMITIVE.floorRequestQuery:
        if (requestId === undefined || requestId !== this.#granted)
          return refuse(message, ERROR.noRequest);
        return this.#status(message, requestId, STATUS.granted);
      case PRIMITIVE.floorRelease:
        if (requestId === undefined || requestId !== this.#granted)
          return refuse(message, ERROR.noRequest);
        this.#granted = undefined;
        return this.#status(message, requestId, STATUS.released);
      case PRIMITIVE.floorQuery:
        return reply(message, PRIMITIVE.floorStatus, [
          uint16Attribute(ATTRIBUTE.floorId, floorId),
          ...(this.#granted === undefined
            ? []
            : [this.#information(this.#granted, STATUS.granted)]),
        ]);
      case PRIMITIVE.goodbye:
        this.#granted = undefined;
        return reply(message, PRIMITIVE.goodbyeAck, []);
      default:
        return refuse(message, ERROR.unknownPrimitive);
    }
  }

  #status(message: BfcpMessage, requestId: number, status: number): BfcpMessage {
    return reply(message, PRIMITIVE.floorRequestStatus, [this.#information(requestId, status)]);
  }

  /** RFC 8855 §5.2.15: grouped, with the status of the whole request and of its floor. */
  #information(requestId: number, status: number): BfcpAttribute {
    const requestStatus = { type: ATTRIBUTE.requestStatus, contents: Uint8Array.of(status, 0) };
    const group = (type: number, id: number, parts: readonly number[]): BfcpAttribute => ({
      type,
      contents: Uint8Array.of((id >> 8) & 0xff, id & 0xff, ...parts),
    });
    const inner = encodeAttribute(requestStatus);
    return group(ATTRIBUTE.floorRequestInformation, requestId, [
      ...encodeAttribute(group(ATTRIBUTE.overallRequestStatus, requestId, inner)),
      ...encodeAttribute(group(ATTRIBUTE.floorRequestStatus, this.#options.floorId, inner)),
    ]);
  }
}

const SUPPORTED_PRIMITIVES = Uint8Array.from(Object.values(PRIMITIVE));
/** RFC 8855 §5.2.10: seven bits and a reserved one. */
const SUPPORTED_ATTRIBUTES = Uint8Array.from(Object.values(ATTRIBUTE), (type) => type << 1);

function reply(
  { version, conferenceId, transactionId, userId }: BfcpMessage,
  primitive: number,
  attributes: readonly BfcpAttribute[],
): BfcpMessage {
  const isResponse = version === 2;
  return { version, isResponse, primitive, conferenceId, transactionId, userId, attributes };
}

function refuse(message: BfcpMessage, code: number): BfcpMessage {
  return reply(message, PRIMITIVE.error, [
    { type: ATTRIBUTE.errorCode, contents: Uint8Array.of(code) },
  ]);
}
