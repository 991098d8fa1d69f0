// SIP INFO in a call, in both directions: key-frame requests (RFC 5168) and DTMF digits.

import type { InviteSession, SipRequest } from '@sipcast/sip';
import { parseInfoDigit } from './dtmf-info.ts';
import type { ReceivedDtmf } from './dtmf-info.ts';

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
      () => {}, // The call is ending. Other requests report signalling failures.
    );
  }

  /** Answers the requests that the SIP package leaves to the call: INFO, and methods that are not supported. */
  answer(request: SipRequest): { statusCode: number; reasonPhrase?: string } {
    if (request.method !== 'INFO') return { statusCode: 405, reasonPhrase: 'Method Not Allowed' };
    if (request.body.length === 0) return { statusCode: 200 };
    const type = (request.headers.get('content-type') ?? '').split(';')[0]!.trim().toLowerCase();
    if (type === PICTURE_FAST_UPDATE.contentType) {
      this.#handler.onPictureWanted();
      return { statusCode: 200 };
    }
    const dtmf = parseInfoDigit(type, Buffer.from(request.body).toString('utf8'));
    if (dtmf === undefined) return { statusCode: 415, reasonPhrase: 'Unsupported Media Type' };
    if (dtmf.digit !== undefined) this.#handler.onDtmf({ digit: dtmf.digit, type: dtmf.type });
    return { statusCode: 200 };
  }
}
