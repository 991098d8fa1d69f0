import type { NegotiatedMedia } from '@sipcast/media';
import { describe, expect, it } from 'vitest';
import { MediaDestinations } from './media-destinations.ts';

const medium = (address: string, rtcpAddress = address): NegotiatedMedia => ({
  audio: {
    address,
    rtpPort: 4000,
    rtcpAddress,
    rtcpPort: 4001,
    send: true,
    receive: true,
    codecs: [],
    telephoneEvents: [],
    feedback: { pli: false, fir: false, nack: false },
  },
});

const PEER = '198.51.100.1';
/** Allows the peer, and whatever `pbx.example.com` led to. */
const create = (calledHost?: string, named: readonly string[] = []) =>
  new MediaDestinations({
    mayConnect: (address, host) => address === PEER || host === 'pbx.example.com',
    isNamed: (address) => named.includes(address),
    calledHost,
  });

describe('MediaDestinations', () => {
  it.each(['169.254.169.254', '127.0.0.1', '203.0.113.5', '::1', 'fe80::1', '::ffff:127.0.0.1'])(
    'refuses %s, for RTP and for RTCP alone, and names it',
    (address) => {
      const refusal = expect.objectContaining({
        code: 'FORBIDDEN_ADDRESS',
        message: `RTP would go to ${address}, an address that may not be connected to`,
      });
      expect(() => create().check(medium(address), PEER)).toThrow(refusal);
      expect(() => create().check(medium(PEER, address), PEER)).toThrow(refusal);
    },
  );

  it('takes what is allowed, and hold', () => {
    for (const address of [PEER, '0.0.0.0', '::'])
      expect(create().check(medium(address), PEER)).toEqual([]);
    expect(create().check({}, PEER)).toEqual([]);
  });

  it.each(['10.0.0.5', '172.16.9.9', '192.168.1.9', '100.64.0.1', 'fd12::1'])(
    'leaves %s without media where the peer signals from elsewhere, behind a NAT',
    (address) => {
      expect(create().check(medium(address), PEER)).toEqual([address]);
      expect(create().maySendTo(address, PEER)).toBe(false);
      // No NAT is seen: the peer itself is where nothing may go to, or nobody knows where it is.
      for (const peer of [address, undefined])
        expect(() => create().check(medium(address), peer)).toThrow(address);
    },
  );

  it('takes the address of a peer that is allowed by its name, and no other', () => {
    const destinations = create('pbx.example.com');
    expect(destinations.check(medium('10.0.0.5'), '10.0.0.5')).toEqual([]);
    expect(destinations.maySendTo('10.0.0.6', '10.0.0.5')).toBe(false);
    expect(create('other.example.com').maySendTo('10.0.0.5', '10.0.0.5')).toBe(false);
  });

  it('takes what an allowed name in the description led to', () => {
    expect(create(undefined, ['10.0.0.5']).check(medium('10.0.0.5'), PEER)).toEqual([]);
  });
});
