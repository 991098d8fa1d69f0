// SIP INFO in a call, in both directions: key-frame requests (RFC 5168) and DTMF digits.

import type { InviteSession, SipRequest } from '@sipcast/sip';
import { parseInfoDigit, parseTelephoneEvent } from './dtmf-info.ts';
import type { ReceivedDtmf, TelephoneEvent } from './dtmf-info.ts';

/** RFC 5168 §7: asks the encoder for a key frame. */
const PICTURE_FAST_UPDATE = {
  contentType: 'application/media_control+xml',
  body:
    '<?xml version="1.0" encoding="utf-8"?>\r\n<media_control><vc_primitive><to_encoder><picture_fast_update/>' +
    '</to_encoder></vc_primitive></media_control>\r\n',
} as const;

/** What a call does with them. */
export interface InfoRequestsHandler {
  /** The peer asks us for a key frame. */
  onPictureWanted(): void;
  /** The peer pressed a key. */
  onDtmf(dtmf: ReceivedDtmf): void;
}

/** The INFO requests of one call. */
export class InfoRequests {
  readonly #handler: InfoRequestsHandler;
  /** The key that an RFC 4733 payload began to press. */
  #pressed: { readonly digit: string; readonly durationTicks: number } | undefined;
  /** The peer has refused such a request. */
  #isRefused = false;

  constructor(handler: InfoRequestsHandler) {
    this.#handler = handler;
  }

  /** Asks the peer for a key frame, unless it has refused that before. */
  askForPicture(session: Pick<InviteSession, 'sendInfo'>): void {
    if (this.#isRefused) return;
    const { contentType, body } = PICTURE_FAST_UPDATE;
    session.sendInfo(contentType, body).then(
      (statusCode) => {
        this.#isRefused = statusCode >= 300;
      },
      () => {
        // Ignored: the call is ending. Other requests report signalling failures.
      },
    );
  }

  /** Answers the requests that the SIP package leaves to the call: INFO, and methods that are not supported. */
  answer(request: SipRequest): { statusCode: number; reasonPhrase?: string } {
    // Seen in: Cisco gateways with `dtmf-relay sip-notify`.
    const isEvent =
      request.method === 'NOTIFY' &&
      /^\s*telephone-event\b/i.test(request.headers.get('event') ?? '');
    if (request.method !== 'INFO' && !isEvent)
      return { statusCode: 405, reasonPhrase: 'Method Not Allowed' };
    if (request.body.length === 0) return { statusCode: 200 };
    const type = (request.headers.get('content-type') ?? '').split(';')[0]!.trim().toLowerCase();
    if (type === PICTURE_FAST_UPDATE.contentType) {
      this.#handler.onPictureWanted();
      return { statusCode: 200 };
    }
    const body = Buffer.from(request.body).toString('latin1');
    const event = type === 'audio/telephone-event' ? parseTelephoneEvent(body) : undefined;
    if (event !== undefined) {
      this.#onEvent(event);
      return { statusCode: 200 };
    }
    const dtmf = parseInfoDigit(type, body);
    if (dtmf === undefined) return { statusCode: 415, reasonPhrase: 'Unsupported Media Type' };
    if (dtmf.digit !== undefined) this.#handler.onDtmf({ digit: dtmf.digit, type: dtmf.type });
    return { statusCode: 200 };
  }

  /** One key comes as several payloads: the later ones last longer, and the last one says so. */
  #onEvent({ digit, isEnd, durationTicks }: TelephoneEvent): void {
    const before = this.#pressed;
    if (digit === undefined) return;
    const isSame = before?.digit === digit && durationTicks >= before.durationTicks;
    this.#pressed = isEnd ? undefined : { digit, durationTicks };
    if (!isSame) this.#handler.onDtmf({ digit, type: 'INFO' });
  }
}
