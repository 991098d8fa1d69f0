// Calls between a gateway and a phone of raw text, and what they must come to.

import type { Call, CallGateway, CallGatewayOptions } from '@sipcast/core';
import { expect } from 'vitest';
import { openGateway } from './call-ends.ts';
import { SPROP } from './raw-phone.ts';
import type { RawMessage, RawParts, RawPhone } from './raw-phone.ts';

/** Sections of a description; the phone puts its ports in. */
export const AUDIO = ['m=audio AUDIO RTP/AVP 8 101', 'a=rtpmap:101 telephone-event/8000'];
export const VIDEO = [
  'm=video VIDEO RTP/AVP 112',
  'a=rtpmap:112 H264/90000',
  `a=fmtp:112 ${SPROP}`,
];
export const BOTH = [...AUDIO, ...VIDEO];

export const LIMIT = { timeout: 20_000 };

/** A gateway that takes all calls. */
export const open = (options: CallGatewayOptions = {}): Promise<CallGateway> =>
  openGateway({
    incoming: { rules: [{ accept: {} }] },
    sipTimers: { t1Ms: 50, t2Ms: 200, t4Ms: 300 },
    ...options,
  });

/** The call shows what was sent. */
export async function shows(call: Call, kinds: 'both' | 'audio' | 'video'): Promise<void> {
  const stats = () => call.stats();
  if (kinds !== 'video') await expect.poll(() => stats()?.audio?.packets ?? 0).toBeGreaterThan(3);
  if (kinds !== 'audio') await expect.poll(() => stats()?.video?.frames ?? 0).toBeGreaterThan(2);
  if (kinds === 'audio') expect(stats()?.video).toBeNull();
  if (kinds === 'video') expect(stats()?.audio).toBeNull();
  for (const medium of [stats()?.audio, stats()?.video])
    expect(medium?.faults ?? {}).not.toHaveProperty('rtp-payload-type');
}

/** A call to the studio, up to its ACK. */
export async function callIn(
  gateway: CallGateway,
  phone: RawPhone,
  parts: RawParts,
): Promise<{ readonly invite: RawMessage; readonly accepted: RawMessage; readonly call: Call }> {
  const invite = phone.invite(gateway.sipPort, parts);
  const accepted = await phone.response(invite.header('cseq'));
  expect(accepted.startLine).toBe('SIP/2.0 200 OK');
  phone.asCaller(accepted, 'ACK');
  await expect.poll(() => gateway.calls.live.at(-1)?.status).toBe('ESTABLISHED');
  return { invite, accepted, call: gateway.calls.live.at(-1)! };
}
