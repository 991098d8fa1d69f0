// Names of streams: our own, and those that RTMP servers publish under.

import { parseRtmpUrl } from '@sipcast/media';
import { GatewayError, invalidArgument } from '../errors.ts';

const STREAM_NAME = /^[A-Za-z0-9_~@+:-][A-Za-z0-9._~@+:-]{0,127}$/;
// What RTMP servers take as a key, query included, and no path step upwards.
const RTMP_STREAM =
  /^(?!(?:.*(?:\/|%2[fF]))?(?:\.|%2[eE]){2}(?:\/|%2[fF]|$))[A-Za-z0-9!$&'()*+,;=:@._~%?/-]{1,512}$/;

/** @throws GatewayError `INVALID_ARGUMENT` when this cannot be the name of a stream. */
export function checkStreamName(field: string, name: unknown): void {
  if (typeof name === 'string' && STREAM_NAME.test(name)) return;
  const problem = 'may hold letters, digits and . _ ~ @ + : - and must not begin with a dot';
  throw invalidArgument(field, problem);
}

/**
 * Checks an RTMP target.
 *
 * @param nameField - Where the stream's name was given. Default `rtmpStream`.
 * @throws GatewayError naming `rtmpUrl` or `nameField`.
 */
export function validateRtmpTarget(url: string, stream: string, nameField = 'rtmpStream'): void {
  try {
    parseRtmpUrl(url);
  } catch (cause) {
    const problem = cause instanceof Error ? cause.message : String(cause);
    throw new GatewayError('INVALID_ARGUMENT', `rtmpUrl: ${problem}`, { field: 'rtmpUrl', cause });
  }
  if (!RTMP_STREAM.test(stream))
    throw invalidArgument(nameField, 'has a character that no RTMP server takes, or is too long');
}
