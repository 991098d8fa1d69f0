// Where a push connects and what it publishes.

import { invalidArgument } from '../errors.ts';
import { validateRtmpTarget } from '../stream/names.ts';
import type { PushRequest } from './pushes.ts';

/** Where a push connects and what it publishes, where that is not its `rtmpUrl` and stream. */
export interface PushAddress {
  readonly connectUrl?: string;
  readonly publishName?: string;
}

/**
 * The address of a push that `rtmpTransponderFullUrl` gives; empty without it: as the stream is named.
 * @throws GatewayError `INVALID_ARGUMENT` naming the field.
 */
export function pushAddressOf({
  streamName,
  rtmpUrl,
  rtmpTransponderFullUrl = false,
}: PushRequest): PushAddress {
  if (!rtmpTransponderFullUrl) {
    validateRtmpTarget(rtmpUrl, streamName, 'streamName');
    return {};
  }
  const [connectUrl, publishName] = splitFullUrl(rtmpUrl);
  validateRtmpTarget(connectUrl, publishName, 'rtmpUrl');
  return { connectUrl, publishName };
}

/** `rtmp://host/app/key?query` into where to connect and what to publish. */
function splitFullUrl(url: string): [string, string] {
  const query = url.indexOf('?');
  const path = query < 0 ? url : url.slice(0, query);
  const slash = path.lastIndexOf('/');
  const key = path.slice(slash + 1) + (query < 0 ? '' : url.slice(query));
  if (!/^rtmps?:\/\/[^/]+\/.+\/[^/]+$/i.test(path)) {
    const problem = 'must end in /app/name when rtmpTransponderFullUrl is true';
    throw invalidArgument('rtmpUrl', problem);
  }
  return [path.slice(0, slash), key];
}
