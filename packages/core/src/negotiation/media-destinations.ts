// Which addresses the RTP and RTCP of a call may go to, whatever the peer's session descriptions name.

import { BlockList, isIP } from 'node:net';
import type { NegotiatedMedia } from '@sipcast/media';

/** Private networks, which peers behind a NAT describe: RFC 1918, RFC 6598 and RFC 4193. */
const BEHIND_NAT = new BlockList();
for (const [network, bits] of [
  ['10.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
  ['100.64.0.0', 10],
] as const)
  BEHIND_NAT.addSubnet(network, bits, 'ipv4');
BEHIND_NAT.addSubnet('fc00::', 7, 'ipv6');

/** What the decision depends on. */
export interface MediaDestinationsDeps {
  /** Whether RTP may go to this address. `host`: the name that resolved to it, or the address. */
  readonly mayConnect: (address: string, host: string) => boolean;
  /** Whether a host name in the peer's descriptions resolved to this address. */
  readonly isNamed: (address: string) => boolean;
  /** Host that the call was placed to, as given; undefined for an incoming call. */
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
   * @param peerAddress - Where the peer's SIP comes from. If SIP may go there by the peer's name, media may, too.
   */
  maySendTo(address: string, peerAddress: string | undefined): boolean {
    const { mayConnect, isNamed, calledHost } = this.#deps;
    if (mayConnect(address, address)) return true;
    // Host names were checked when they were looked up.
    if (isNamed(address)) return true;
    return calledHost !== undefined && address === peerAddress && mayConnect(address, calledHost);
  }

  /**
   * Refuses media for addresses that RTP must not go to. A private address of a peer whose SIP comes from an allowed address is
   * taken for NAT: the call continues, nothing is sent there, and media is sent to where the peer's media comes from.
   *
   * @throws Error with `code` `FORBIDDEN_ADDRESS` naming the address
   * @returns the addresses that nothing is sent to
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

/** `c=0.0.0.0` is the old form of hold: nothing is sent. */
function isNowhere(address: string): boolean {
  return address === '0.0.0.0' || address === '::';
}

function isPrivate(address: string): boolean {
  const family = isIP(address);
  return family !== 0 && BEHIND_NAT.check(address, family === 6 ? 'ipv6' : 'ipv4');
}
