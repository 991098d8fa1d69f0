// Where the RTP and RTCP of a call may go, whatever its peer's session descriptions name.

import { BlockList, isIP } from 'node:net';
import type { NegotiatedMedia } from '@sipcast/media';

/** Networks that a peer behind a NAT names: RFC 1918, RFC 6598 and RFC 4193. */
const BEHIND_NAT = new BlockList();
for (const [network, bits] of [
  ['10.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
  ['100.64.0.0', 10],
] as const)
  BEHIND_NAT.addSubnet(network, bits, 'ipv4');
BEHIND_NAT.addSubnet('fc00::', 7, 'ipv6');

/** What this needs to decide. */
export interface MediaDestinationsDeps {
  /** May RTP go to this address? `host`: the name that led there, or the address. */
  readonly mayConnect: (address: string, host: string) => boolean;
  /** A host of the peer's descriptions was looked up, and led to this address. */
  readonly isNamed: (address: string) => boolean;
  /** Where the call was placed to, as it was named; undefined: it came in. */
  readonly calledHost: string | undefined;
}

/** The rule for one call. */
export class MediaDestinations {
  readonly #deps: MediaDestinationsDeps;

  constructor(deps: MediaDestinationsDeps) {
    this.#deps = deps;
  }

  /**
   * Whether RTP and RTCP may be sent to an address.
   * @param peerAddress - Where the peer's SIP messages come from: what is allowed by its name is allowed for media, too.
   */
  maySendTo(address: string, peerAddress: string | undefined): boolean {
    const { mayConnect, isNamed, calledHost } = this.#deps;
    if (mayConnect(address, address)) return true;
    // Names were judged as names when they were looked up.
    if (isNamed(address)) return true;
    return calledHost !== undefined && address === peerAddress && mayConnect(address, calledHost);
  }

  /**
   * Refuses what nobody may be sent to. A private address of a peer whose SIP comes from an allowed one is that of a peer
   * behind a NAT: the call stands, nothing is sent there, and media are answered where they come from.
   *
   * @throws Error with `code` `FORBIDDEN_ADDRESS` naming the address
   * @returns Addresses that get nothing.
   */
  check(media: NegotiatedMedia, peerAddress: string | undefined): readonly string[] {
    const named = [media.audio, media.video].flatMap((one) =>
      one === undefined ? [] : [one.address, one.rtcpAddress],
    );
    const forbidden = [...new Set(named)].filter(
      (address) => !isNowhere(address) && !this.maySendTo(address, peerAddress),
    );
    const isBehindNat = peerAddress !== undefined && this.maySendTo(peerAddress, peerAddress);
    const refused = forbidden.find((address) => !isBehindNat || !isPrivate(address));
    if (refused === undefined) return forbidden;
    const problem = `RTP would go to ${refused}, an address that may not be connected to`;
    throw Object.assign(new Error(problem), { code: 'FORBIDDEN_ADDRESS' });
  }
}

/** `c=0.0.0.0` is the old way to say hold: nothing is sent. */
function isNowhere(address: string): boolean {
  return address === '0.0.0.0' || address === '::';
}

function isPrivate(address: string): boolean {
  const family = isIP(address);
  return family !== 0 && BEHIND_NAT.check(address, family === 6 ? 'ipv6' : 'ipv4');
}
