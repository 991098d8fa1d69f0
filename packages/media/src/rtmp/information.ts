// The information objects of RTMP answers and statuses (Adobe RTMP 1.0 §7.2): the meaning of a refusal. Pure.

import type { Amf0Value } from '../flv/amf0.ts';
import { RtmpError } from '../errors.ts';
import type { RtmpErrorCode } from '../errors.ts';

const MAX_TEXT_CHARACTERS = 300;
/** Refusals of a publication that concern our identity, not the moment. */
const NOT_ALLOWED = /\.(?:Unauthorized|Denied|Forbidden)$|Authenticat/i;

/** A text property of an information object. */
export function textOf(value: Amf0Value, key: string): string | undefined {
  const text = value instanceof Map ? (value.get(key) as Amf0Value) : undefined;
  return typeof text === 'string' ? text : undefined;
}

/** Where a refusal sends the client instead (`ex.redirect`, code 302, as sent by Adobe Media Server and SRS). */
export function redirectOf(value: Amf0Value): string | undefined {
  const ex = value instanceof Map ? (value.get('ex') as Amf0Value) : undefined;
  return textOf(ex, 'redirect');
}

/**
 * A server's refusal as an error.
 *
 * @param redact - Removes secrets from the server's text.
 */
export function refusal(
  code: RtmpErrorCode,
  detail: Amf0Value,
  redact: (text: string) => string,
): RtmpError {
  const word = textOf(detail, 'code');
  const statusCode = word === undefined ? undefined : plain(redact(word));
  const description = plain(redact(textOf(detail, 'description') ?? 'no reason given'));
  const kind = code === 'PUBLISH_REJECTED' && NOT_ALLOWED.test(word ?? '') ? 'AUTH_FAILED' : code;
  return new RtmpError(
    kind,
    `${statusCode ?? 'The server refused'}: ${description}`,
    statusCode === undefined ? {} : { statusCode },
  );
}

/** On one line of limited length, for the log. */
function plain(text: string): string {
  const line = text.slice(0, MAX_TEXT_CHARACTERS);
  // oxlint-disable-next-line no-control-regex -- finding control characters is the point
  return line.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, ' ');
}
