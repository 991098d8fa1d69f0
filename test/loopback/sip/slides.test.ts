// Slides: a second video of the peer (RFC 4796), over real sockets.

import type { CallGatewayOptions } from '@sipcast/core';
import { RtpPort, RtpSender } from '@sipcast/testkit';
import { describe, expect, it } from 'vitest';
import { afterTest } from '../../support/cleanup.ts';
import { BOTH, callIn, LIMIT, open } from '../../support/raw-calls.ts';
import { RawPhone, SPROP } from '../../support/raw-phone.ts';
import type { RawMessage } from '../../support/raw-phone.ts';

const GATEWAY: CallGatewayOptions = { incoming: { rules: [{ accept: { toStream: 'room' } }] } };

/** A phone with a third port pair, for slides. */
async function openPhone() {
  const phone = await RawPhone.open();
  const port = await RtpPort.open();
  afterTest(() => port.close());
  const section = (...lines: readonly string[]): string[] => [
    `m=video ${port.port} RTP/AVP 97`,
    'a=rtpmap:97 H264/90000',
    `a=fmtp:97 ${SPROP}`,
    'a=content:slides',
    ...lines,
  ];
  /** Plays the clip as slides, to the third section of a description. */
  const show = (described: RawMessage): RtpSender => {
    const sender = RtpSender.start({
      video: { from: port, address: '127.0.0.1', rtpPort: slidesPort(described), payloadType: 97 },
    });
    afterTest(() => sender.stop());
    return sender;
  };
  return { phone, section, show };
}

function slidesPort({ sections }: RawMessage): number {
  return Number(sections[2]?.[0]?.split(' ')[1]);
}

/** Sends a re-INVITE until it is not refused with 491. */
async function reinvite(phone: RawPhone, accepted: RawMessage, body: string): Promise<RawMessage> {
  for (;;) {
    const answer = await phone.response(phone.asCaller(accepted, 'INVITE', { body }));
    if (answer.startLine.includes('491')) continue;
    phone.asCaller(answer, 'ACK');
    return answer;
  }
}

describe('slides', () => {
  it('become a stream of their own', LIMIT, async () => {
    const gateway = await open(GATEWAY);
    const { phone, section, show } = await openPhone();
    const { accepted, call } = await callIn(gateway, phone, {
      body: phone.sdp(...BOTH, ...section()),
    });
    expect(accepted.sections[2]).toEqual(
      expect.arrayContaining(['a=recvonly', 'a=content:slides', 'a=rtpmap:97 H264/90000']),
    );
    expect(new Set(accepted.sections.map(([line]) => line?.split(' ')[1])).size).toBe(3);
    phone.play(accepted);
    show(accepted);
    const slides = gateway.streams.get('room-slides');
    expect(slides).toMatchObject({ content: 'slides', callId: call.callId, live: true });
    expect(gateway.streams.get('room').content).toBe('main');
    await expect.poll(() => slides.view().width ?? 0).toBeGreaterThan(0);
    let pictures = 0;
    slides.tapVideo(() => pictures++);
    await expect.poll(() => pictures).toBeGreaterThan(3);
    // The slides do not mix with the video of the call.
    await expect.poll(() => call.stats()?.video?.frames ?? 0).toBeGreaterThan(3);
    await call.terminate();
    expect(gateway.streams.has('room-slides')).toBe(false);
  });

  it('are found in front of the video', LIMIT, async () => {
    const gateway = await open(GATEWAY);
    const { phone, section } = await openPhone();
    const [audio, video] = [BOTH.slice(0, 2), BOTH.slice(2)];
    const { accepted } = await callIn(gateway, phone, {
      body: phone.sdp(...audio, ...section(), ...video),
    });
    expect(accepted.sections[1]).toContain('a=content:slides');
    expect(accepted.sections[2]).not.toContain('a=content:slides');
    expect(accepted.sections[2]?.[0]).not.toMatch(/^m=video 0 /);
  });

  it('are the video of the call where there is no other', LIMIT, async () => {
    const gateway = await open(GATEWAY);
    const { phone, section } = await openPhone();
    const { accepted } = await callIn(gateway, phone, {
      body: phone.sdp(...BOTH.slice(0, 2), ...section()),
    });
    expect(accepted.sections[1]).not.toContain('a=content:slides');
    expect(gateway.streams.has('room-slides')).toBe(false);
  });

  it('are refused where they are off', LIMIT, async () => {
    const gateway = await open({ ...GATEWAY, slides: false });
    const { phone, section } = await openPhone();
    const { accepted, call } = await callIn(gateway, phone, {
      body: phone.sdp(...BOTH, ...section()),
    });
    expect(slidesPort(accepted)).toBe(0);
    expect(gateway.streams.has('room-slides')).toBe(false);
    expect(call.status).toBe('ESTABLISHED');
  });

  it('are refused where their name is taken', LIMIT, async () => {
    const gateway = await open(GATEWAY);
    const { phone, section } = await openPhone();
    const taken = gateway.streams.publish('room-slides', { video: { codec: 'h264' } });
    afterTest(() => taken.close());
    const { accepted, call } = await callIn(gateway, phone, {
      body: phone.sdp(...BOTH, ...section()),
    });
    expect(slidesPort(accepted)).toBe(0);
    expect(call.status).toBe('ESTABLISHED');
  });

  it('come with a re-INVITE, go, and come again', LIMIT, async () => {
    const gateway = await open(GATEWAY);
    const { phone, section, show } = await openPhone();
    const { accepted, call } = await callIn(gateway, phone, { body: phone.sdp(...BOTH) });
    for (let round = 0; round < 2; round++) {
      const shown = await reinvite(phone, accepted, phone.sdp(...BOTH, ...section()));
      expect(shown.startLine).toBe('SIP/2.0 200 OK');
      expect(slidesPort(shown)).toBeGreaterThan(0);
      const slides = gateway.streams.get('room-slides');
      const sender = show(shown);
      await expect.poll(() => slides.view().width ?? 0).toBeGreaterThan(0);
      sender.stop();
      const gone = await reinvite(phone, accepted, phone.sdp(...BOTH, 'm=video 0 RTP/AVP 97'));
      expect(slidesPort(gone)).toBe(0);
      expect(gateway.streams.has('room-slides')).toBe(false);
    }
    expect(call.status).toBe('ESTABLISHED');
  });

  it('stay in the offer of a hold, and go on after it', LIMIT, async () => {
    const gateway = await open(GATEWAY);
    const { phone, section, show } = await openPhone();
    const { accepted, call } = await callIn(gateway, phone, {
      body: phone.sdp(...BOTH, ...section()),
    });
    for (const [step, direction, status] of [
      ['hold', 'inactive', 'HOLD'],
      ['resume', 'recvonly', 'ESTABLISHED'],
    ] as const) {
      const done = call[step]();
      const offer = await phone.request('INVITE', step === 'hold' ? 1 : 2);
      expect(offer.sections[2]).toEqual(
        expect.arrayContaining(['a=content:slides', `a=${direction}`]),
      );
      expect(slidesPort(offer)).toBe(slidesPort(accepted));
      const mode = step === 'hold' ? 'a=recvonly' : 'a=sendrecv';
      const third = section(step === 'hold' ? 'a=inactive' : 'a=sendonly');
      phone.respond(offer, '200 OK', { body: phone.sdp(mode, ...BOTH, ...third) });
      await done;
      expect(call.status).toBe(status);
    }
    show(accepted);
    await expect
      .poll(() => gateway.streams.get('room-slides').view().width ?? 0)
      .toBeGreaterThan(0);
  });
});
