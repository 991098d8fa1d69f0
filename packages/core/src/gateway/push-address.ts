// Where a push connects and what it publishes.

import { checkPushTarget, protocolOf } from '../stream/push-protocols.ts';
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
    checkPushTarget(rtmpUrl, streamName, 'streamName');
    return {};
  }
  const address = protocolOf(rtmpUrl).split(rtmpUrl);
  checkPushTarget(address.connectUrl, address.publishName, 'rtmpUrl');
  return address;
}
