// Keys through the life of a session: what was encrypted stays so.

import { describe, expect, it } from 'vitest';
import type { OfferOptions } from './negotiation.ts';
import { SessionAgreement } from './session-agreement.ts';

function side(srtp: OfferOptions['srtp'] & string): SessionAgreement {
  const agreement = new SessionAgreement((host) => Promise.reject(new Error(host)));
  const medium = { rtpPort: 4000, rtcpPort: 4001, ssrc: 1 };
  agreement.describe({
    address: '192.0.2.1',
    callId: 'c',
    sessionId: 1,
    audio: medium,
    video: medium,
    hasAudio: true,
    hasVideo: true,
    options: { srtp },
  });
  return agreement;
}

const accept = (): void => {};
const inTheClear = (sdp: string): string => sdp.replaceAll(/^a=crypto:.*\r\n/gm, '');

/** Two ends of a call; `optional` on our side. */
function call(theirSrtp: 'off' | 'optional') {
  const us = side('optional');
  const them = side(theirSrtp);
  const { answer } = them.offered(us.firstOffer(), accept);
  const { media } = us.answered(answer, accept);
  return { us, them, isSecured: media.audio?.srtp !== undefined };
}

describe('an encrypted session', () => {
  it('is not taken to the clear by an offer', () => {
    const { us, them, isSecured } = call('optional');
    expect(isSecured).toBe(true);
    const before = us.remote;
    const applied: unknown[] = [];
    const offer = inTheClear(them.freshOffer());
    expect(() => us.offered(offer, (agreed) => applied.push(agreed))).toThrow(
      'audio was encrypted, and would go on in the clear',
    );
    expect([applied, us.remote]).toEqual([[], before]);
    // The same with its keys is one like any other.
    const { media } = us.offered(them.freshOffer(), accept);
    expect(media.video?.srtp).toBeDefined();
  });

  it('is not taken to the clear by an answer to our hold', () => {
    const { us, them } = call('optional');
    const { answer } = them.offered(us.holdOffer(true), accept);
    expect(() => us.answered(inTheClear(answer), accept)).toThrow(/in the clear/);
    us.withdrawOffer();
    expect(us.holding).toBe(false);
  });

  it('may lose a medium, and get it back with keys alone', () => {
    const { us, them } = call('optional');
    const offer = them.freshOffer();
    us.offered(offer.replace(/m=video \d+/, 'm=video 0'), accept);
    const back = them.freshOffer();
    const videoAt = back.indexOf('m=video');
    const open = back.slice(0, videoAt) + inTheClear(back.slice(videoAt));
    expect(() => us.offered(open, accept)).toThrow('video was encrypted');
    expect(us.offered(back, accept).media.video?.srtp).toBeDefined();
  });
});

it('a session in the clear goes on so, or becomes encrypted', () => {
  const { us, them, isSecured } = call('off');
  expect(isSecured).toBe(false);
  expect(us.offered(them.freshOffer(), accept).media.audio?.srtp).toBeUndefined();
});

it('a hold of a session in the clear offers no keys; an encrypted one has them in every offer', () => {
  for (const [theirs, hasKeys] of [
    ['off', false],
    ['optional', true],
  ] as const) {
    const { us, them } = call(theirs);
    for (const holding of [true, false]) {
      const offer = us.holdOffer(holding);
      expect(/^a=crypto:/m.test(offer), `${theirs} ${String(holding)}`).toBe(hasKeys);
      us.answered(them.offered(offer, accept).answer, accept);
    }
    // The peer may still encrypt it, and an offer that it asks for has all that we can.
    expect(us.freshOffer()).toMatch(/^a=crypto:/m);
  }
});
