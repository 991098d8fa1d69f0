// How a user agent answers requests that belong to none of its calls (RFC 3261 §8.2, in that section's order).

import type { SipHeaders, SipRequest } from '../message/message.ts';
import { readBody } from '../message/body.ts';
import { tagOf } from '../transaction/matching.ts';

/** Methods that we process, inside or outside a dialog: the value of our `Allow`. */
export const ALLOWED_METHODS = 'INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK';

/** Methods in the IANA registry that we know but do not support: 405. All others are unknown: 501. */
const KNOWN_METHODS: ReadonlySet<string> = new Set([
  ...ALLOWED_METHODS.split(', '),
  'REGISTER',
  'MESSAGE',
  'SUBSCRIBE',
  'NOTIFY',
  'PUBLISH',
  'REFER',
]);

/** Methods that are meaningful only inside a dialog or for one of our transactions. */
const DIALOG_METHODS: ReadonlySet<string> = new Set(['BYE', 'CANCEL', 'INFO', 'UPDATE', 'PRACK']);

/** A decision: the final response. */
export interface Verdict {
  readonly statusCode: number;
  readonly reasonPhrase: string;
  /** Headers that explain the decision. */
  readonly headers?: readonly (readonly [string, string])[];
  /** Session description for the body. */
  readonly sdp?: string;
}

const DIALOG_UNKNOWN: Verdict = {
  statusCode: 481,
  reasonPhrase: 'Call/Transaction Does Not Exist',
};

/** Option tags that a peer may require: reliable provisional responses, session timers. */
const SUPPORTED_EXTENSIONS: readonly string[] = ['100rel', 'timer'];

/** Our capabilities, sent in every answer to OPTIONS and in most refusals. */
export const CAPABILITIES: readonly (readonly [string, string])[] = [
  ['allow', ALLOWED_METHODS],
  ['accept', 'application/sdp'],
  ['accept-encoding', 'identity'],
  ['accept-language', 'en'],
  ['supported', SUPPORTED_EXTENSIONS.join(', ')],
];

/** RFC 5621 §8: accepting multipart bodies must be declared. */
const ACCEPTED_TYPES = 'application/sdp, multipart/mixed';

/** Checks that apply inside and outside dialogs: unknown extension (420), unreadable body (415). */
export function refuseExtensions(
  request: SipRequest,
  supported: readonly string[] = SUPPORTED_EXTENSIONS,
): Verdict | undefined {
  // RFC 3261 §8.2.2.3: Proxy-Require concerns proxies only.
  const required = request.headers
    .getAll('require')
    .filter((tag) => tag !== '' && !supported.includes(tag.trim().toLowerCase()));
  if (required.length > 0 && request.method !== 'CANCEL') {
    return {
      statusCode: 420,
      reasonPhrase: 'Bad Extension',
      headers: required.map((tag) => ['unsupported', tag] as const),
    };
  }
  const encoding = request.headers.get('content-encoding')?.toLowerCase();
  if (request.body.length > 0 && encoding !== undefined && encoding !== 'identity') {
    return {
      statusCode: 415,
      reasonPhrase: 'Unsupported Media Type',
      headers: [['accept-encoding', 'identity']],
    };
  }
  return undefined;
}

/** 415 with `Accept` for a body, or a required part of one, that is not a session description. */
export function refuseBody(request: SipRequest): Verdict | undefined {
  if (readBody(request).unreadable === undefined) return undefined;
  return {
    statusCode: 415,
    reasonPhrase: 'Unsupported Media Type',
    headers: [['accept', ACCEPTED_TYPES]],
  };
}

/**
 * The final answer to a request outside our dialogs, or `undefined` for an acceptable INVITE, which the application
 * decides about. `merged`: it arrived over two paths.
 */
export function judgeRequest(request: SipRequest, merged: boolean): Verdict | undefined {
  const { method, headers } = request;
  if (!KNOWN_METHODS.has(method)) {
    return {
      statusCode: 501,
      reasonPhrase: 'Not Implemented',
      headers: [['allow', ALLOWED_METHODS]],
    };
  }
  const allowed = ALLOWED_METHODS.split(', ').includes(method);
  if (!allowed && method !== 'NOTIFY') {
    return {
      statusCode: 405,
      reasonPhrase: 'Method Not Allowed',
      headers: [['allow', ALLOWED_METHODS]],
    };
  }
  if (!/^sips?:/i.test(request.uri)) {
    return { statusCode: 416, reasonPhrase: 'Unsupported URI Scheme' };
  }
  if (tagOf(headers.get('to')) !== undefined || DIALOG_METHODS.has(method)) return DIALOG_UNKNOWN;
  if (!allowed) {
    return {
      statusCode: 405,
      reasonPhrase: 'Method Not Allowed',
      headers: [['allow', ALLOWED_METHODS]],
    };
  }
  if (merged) return { statusCode: 482, reasonPhrase: 'Loop Detected' };
  const unsupported = refuseExtensions(request);
  if (unsupported !== undefined) return unsupported;
  if (method === 'OPTIONS') {
    return { statusCode: 200, reasonPhrase: 'OK', headers: CAPABILITIES };
  }
  return refuseBody(request) ?? (acceptsSdp(headers) ? undefined : NOT_ACCEPTABLE);
}

const NOT_ACCEPTABLE: Verdict = {
  statusCode: 406,
  reasonPhrase: 'Not Acceptable',
  headers: [['accept', ACCEPTED_TYPES]],
};

/** RFC 3261 §20.1: without Accept, `application/sdp` is assumed. */
function acceptsSdp(headers: SipHeaders): boolean {
  const ranges = headers
    .getAll('accept')
    .flatMap((value) => value.split(','))
    .map((range) => range.split(';')[0]?.trim().toLowerCase() ?? '');
  return (
    ranges.length === 0 ||
    ranges.some(
      (range) => range === 'application/sdp' || range === 'application/*' || range === '*/*',
    )
  );
}
