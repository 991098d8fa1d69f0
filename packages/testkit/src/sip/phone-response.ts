// Responses of the phone, with the headers copied from the request (RFC 3261 §8.2.6.2).

import { EMPTY_BODY, SipHeaders } from '@sipcast/sip';
import type { SipRequest, SipResponse } from '@sipcast/sip';
import { tagOf } from './peer-judge.ts';

const REASONS: Readonly<Record<number, string>> = {
  100: 'Trying',
  180: 'Ringing',
  183: 'Session Progress',
  200: 'OK',
  302: 'Moved Temporarily',
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  407: 'Proxy Authentication Required',
  408: 'Request Timeout',
  480: 'Temporarily Unavailable',
  481: 'Call/Transaction Does Not Exist',
  486: 'Busy Here',
  487: 'Request Terminated',
  488: 'Not Acceptable Here',
  500: 'Server Internal Error',
  503: 'Service Unavailable',
  603: 'Decline',
};

/** A response with the headers copied from the request (RFC 3261 §8.2.6.2). */
export function phoneResponse(
  request: SipRequest,
  statusCode: number,
  parts: {
    readonly toTag?: string | undefined;
    readonly reason?: string | undefined;
    readonly headers?: readonly (readonly [string, string])[];
    readonly sdp?: string | undefined;
  } = {},
): SipResponse {
  const headers = new SipHeaders();
  for (const name of ['via', 'from', 'to', 'call-id', 'cseq']) {
    for (const value of request.headers.getAll(name)) {
      const tagless = name === 'to' && parts.toTag !== undefined && tagOf(value) === undefined;
      headers.append(name, tagless ? `${value};tag=${parts.toTag}` : value);
    }
  }
  for (const [name, value] of parts.headers ?? []) headers.append(name, value);
  if (parts.sdp !== undefined) headers.append('content-type', 'application/sdp');
  return {
    kind: 'response',
    statusCode,
    reasonPhrase: parts.reason ?? REASONS[statusCode] ?? 'Scripted',
    headers,
    body: parts.sdp === undefined ? EMPTY_BODY : Buffer.from(parts.sdp),
  };
}
