// The protocols that streams can be pushed by: one line each.

import { invalidArgument } from '../errors.ts';
import type { PushProtocol } from './push-protocol.ts';
import { RTMP_PROTOCOL } from './rtmp-protocol.ts';
import { SRT_PROTOCOL } from './srt-protocol.ts';

const PROTOCOLS: readonly PushProtocol[] = [RTMP_PROTOCOL, SRT_PROTOCOL];

/** The protocol of an address. @throws GatewayError `INVALID_ARGUMENT` naming `rtmpUrl`. */
export function protocolOf(url: string): PushProtocol {
  const scheme = /^[a-z]+:/i.exec(url)?.[0].toLowerCase() ?? '';
  const protocol = PROTOCOLS.find(({ schemes }) => schemes.includes(scheme));
  if (protocol) return protocol;
  const known = PROTOCOLS.flatMap(({ schemes }) => schemes).map((one) => `${one}//`);
  throw invalidArgument('rtmpUrl', `must begin with ${known.join(', ')}`);
}

/**
 * Checks the target of a push.
 *
 * @param nameField - Where the name was given. Default `rtmpStream`.
 * @throws GatewayError naming `rtmpUrl` or `nameField`.
 */
export function checkPushTarget(url: string, name: string, nameField = 'rtmpStream'): void {
  protocolOf(url).check(url, name, nameField);
}
