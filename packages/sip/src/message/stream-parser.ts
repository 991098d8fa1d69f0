// Frames messages on a stream by Content-Length (RFC 3261 §18.3), and detects keep-alives between them (RFC 5626
// §4.4.1).

import { SipError } from '../errors.ts';
import { EMPTY_BODY } from './message.ts';
import {
  badContentLength,
  bodyTooLarge,
  CR,
  HEAD_END,
  LF,
  type MessageHead,
  type ParseOutcome,
  readHead,
  SIP_LIMITS,
} from './message-head.ts';

/** Receives what a {@link StreamParser} finds, called from inside `push`, in stream order. */
export interface StreamParserHandler {
  /** Called once per message. */
  onOutcome(outcome: ParseOutcome): void;
  /** A double CRLF between messages. Answer it with one CRLF (RFC 5626 §4.4.1). */
  onKeepAlive(): void;
  /**
   * A single CRLF between messages. Returns true if it answers our double CRLF, so that it does not count towards
   * another one.
   */
  onPong?(): boolean;
}

/**
 * Resumable framing of messages on TCP or TLS. Content-Length is required here (RFC 3261 §18.3). A message that is
 * framed but invalid is a fault, and the stream continues. After a framing fault, `failed` is true, all further input
 * is ignored, and the owner must close the connection (after answering `partial`, if present).
 */
export class StreamParser {
  readonly #handler: StreamParserHandler;
  /** Unconsumed octets, in `[0, #length)`. */
  #buffer: Buffer = Buffer.alloc(0);
  #length = 0;
  /** Octets of `#buffer` already searched for the empty line. */
  #searched = 0;
  /** CRLFs seen since the last message. */
  #breaks = 0;
  /** The head of the message whose body is still arriving. */
  #head: MessageHead | undefined;
  #failed = false;

  constructor(handler: StreamParserHandler) {
    this.#handler = handler;
  }

  /** Whether framing is lost and the connection must be closed. */
  get failed(): boolean {
    return this.#failed;
  }

  /** Octets of an incomplete message. Its head no longer counts once it has been parsed. */
  get pendingBytes(): number {
    return this.#length;
  }

  /** Whether a message is incomplete. Run a timer meanwhile, against a peer that sends slowly. */
  get midMessage(): boolean {
    return !this.#failed && (this.#head !== undefined || this.#length > 0);
  }

  /** Takes a chunk from the socket without keeping it. Calls the handler zero or more times. */
  push(chunk: Uint8Array): void {
    if (this.#failed || chunk.length === 0) return;
    let octets: Buffer;
    if (this.#length === 0) {
      octets = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    } else {
      this.#append(chunk);
      octets = this.#buffer.subarray(0, this.#length);
    }
    const consumed = this.#consume(octets);
    if (this.#failed) {
      this.#buffer = Buffer.alloc(0);
      this.#length = 0;
      this.#head = undefined;
      return;
    }
    const rest = octets.subarray(consumed);
    if (this.#length === 0) {
      if (rest.length > 0) this.#append(rest);
    } else if (consumed > 0) {
      this.#buffer.copyWithin(0, consumed, this.#length);
      this.#length = rest.length;
    }
    if (this.#length === 0 && this.#buffer.length > 0) this.#buffer = Buffer.alloc(0);
  }

  #append(octets: Uint8Array): void {
    const needed = this.#length + octets.length;
    if (needed > this.#buffer.length) {
      const grown = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2, 2048));
      this.#buffer.copy(grown, 0, 0, this.#length);
      this.#buffer = grown;
    }
    this.#buffer.set(octets, this.#length);
    this.#length = needed;
  }

  /** Handles all complete messages. Returns the number of octets consumed. */
  #consume(octets: Buffer): number {
    let at = 0;
    for (;;) {
      if (this.#head === undefined) {
        at = this.#skipBreaks(octets, at);
        if (at === octets.length || (octets[at] === CR && at + 1 === octets.length)) return at;
        const end = octets.indexOf(HEAD_END, at + this.#searched);
        // Decided by the position of the empty line alone, so that chunk sizes make no difference.
        const tooLong =
          end < 0
            ? octets.length - at >= SIP_LIMITS.headBytes + 4
            : end - at > SIP_LIMITS.headBytes;
        if (tooLong) {
          this.#failed = true;
          const fault = new SipError('HEADER_TOO_LONG', 'No empty line within the limit', {
            field: 'headers',
            statusCode: 513,
          });
          this.#handler.onOutcome({ fault });
          return at;
        }
        if (end < 0) {
          this.#searched = Math.max(0, octets.length - at - 3);
          return at;
        }
        this.#searched = 0;
        const head = readHead(octets, at, end);
        at = end + 4;
        if (!this.#isFramed(head)) {
          this.#failed = true;
          this.#handler.onOutcome(head.outcome(EMPTY_BODY));
          return at;
        }
        this.#head = head;
      }
      const head = this.#head;
      const length = head.contentLength;
      if (octets.length - at < length) return at;
      const body = length === 0 ? EMPTY_BODY : new Uint8Array(octets.subarray(at, at + length));
      at += length;
      this.#head = undefined;
      this.#breaks = 0;
      this.#handler.onOutcome(head.outcome(body));
    }
  }

  /**
   * Skips CRLFs between messages (§7.5); two of them are a keep-alive. Also skips NUL, bare LF and spaces: OpenSIPS 3.5
   * puts a NUL after a message.
   */
  #skipBreaks(octets: Buffer, from: number): number {
    let at = from;
    for (;;) {
      const octet = octets[at];
      if (octet === 0 || octet === LF || octet === 0x20 || octet === 0x09) {
        at += 1;
        continue;
      }
      if (octet !== CR || octets[at + 1] !== LF) return at;
      at += 2;
      if (this.#breaks === 0 && this.#handler.onPong?.() === true) continue;
      if (++this.#breaks === 2) {
        this.#breaks = 0;
        this.#handler.onKeepAlive();
      }
    }
  }

  #isFramed(head: MessageHead): boolean {
    if (head.contentLength === -1) head.refuse(badContentLength('No Content-Length on a stream'));
    else if (head.contentLength > SIP_LIMITS.bodyBytes) head.refuse(bodyTooLarge());
    return !head.unframed && head.contentLength >= 0 && head.contentLength <= SIP_LIMITS.bodyBytes;
  }
}
