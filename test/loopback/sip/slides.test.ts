// Slides: a second video of the peer (RFC 4796), over real sockets.

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
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

  describe('with floor control over UDP', () => {
    const FLOOR = ['a=floorctrl:c-only', 'a=setup:actpass', 'a=connection:new'];

    /** A BFCP client written from RFC 8855: requests out, answers in. */
    async function openClient() {
      const socket = createSocket('udp4');
      socket.bind(0, '127.0.0.1');
      await once(socket, 'listening');
      afterTest(() => socket.close());
      const received: Buffer[] = [];
      socket.on('message', (datagram) => received.push(datagram));
      return {
        port: socket.address().port,
        received,
        send: (hex: string, port: number) =>
          socket.send(Buffer.from(hex, 'hex'), port, '127.0.0.1'),
      };
    }

    it('grants the floor to the peer, and to no one else', LIMIT, async () => {
      const gateway = await open(GATEWAY);
      const { phone, section } = await openPhone();
      const client = await openClient();
      const { accepted, call } = await callIn(gateway, phone, {
        body: phone.sdp(...BOTH, ...section(), `m=application ${client.port} UDP/BFCP *`, ...FLOOR),
      });
      const [line = '', ...attributes] = accepted.sections[3] ?? [];
      const port = Number(/^m=application (\d+) UDP\/BFCP \*$/.exec(line)?.[1]);
      expect(port).toBeGreaterThan(0);
      const label = accepted.sections[2]?.find((one) => one.startsWith('a=label:'))?.slice(8);
      expect(attributes).toEqual(
        expect.arrayContaining([
          'a=floorctrl:s-only',
          'a=confid:1',
          'a=userid:1',
          `a=floorid:1 mstrm:${label}`,
        ]),
      );
      // Garbage first: it is dropped, and the floor goes on.
      for (const bad of [
        '',
        '00',
        'ff'.repeat(40),
        '400bffff000000010001000100',
        '00'.repeat(2000),
      ])
        client.send(bad, port);
      // Hello, then FloorRequest for floor 1.
      client.send('400b00000000000100010001', port);
      await expect.poll(() => client.received.length).toBe(1);
      expect(client.received[0]?.subarray(0, 2).toString('hex')).toBe('500c');
      client.send('40010001000000010002000105040001', port);
      await expect.poll(() => client.received.length).toBe(2);
      const granted = client.received[1] ?? Buffer.alloc(0);
      expect(granted.subarray(0, 2).toString('hex')).toBe('5004');
      // REQUEST-STATUS: granted.
      expect(granted.toString('hex')).toContain('0b040300');
      const done = call.hold();
      const offer = await phone.request('INVITE');
      expect(offer.sections[3]?.[0]).toBe(line);
      phone.respond(offer, '200 OK', {
        body: phone.sdp(...BOTH, ...section(), `m=application ${client.port} UDP/BFCP *`, ...FLOOR),
      });
      await done;
      await call.terminate();
      // The socket is closed with the call: the port can be taken.
      const again = createSocket('udp4');
      again.bind(port, '127.0.0.1');
      await once(again, 'listening');
      again.close();
    });

    it.each([
      ['only a server', 'UDP/BFCP', 'a=floorctrl:s-only'],
      ['over TLS', 'TCP/TLS/BFCP', 'a=floorctrl:c-only'],
    ])('is refused where the peer is %s', LIMIT, async (_, protocol, role) => {
      const gateway = await open(GATEWAY);
      const { phone, section } = await openPhone();
      const { accepted, call } = await callIn(gateway, phone, {
        body: phone.sdp(...BOTH, ...section(), `m=application 9 ${protocol} *`, role),
      });
      expect(accepted.sections[3]?.[0]).toBe(`m=application 0 ${protocol} *`);
      expect(gateway.streams.get('room-slides').callId).toBe(call.callId);
    });

    it('does not answer strangers', LIMIT, async () => {
      const gateway = await open(GATEWAY);
      const { phone, section } = await openPhone();
      const client = await openClient();
      const { accepted } = await callIn(gateway, phone, {
        body: phone.sdp(
          ...BOTH,
          ...section(),
          'm=application 9 UDP/BFCP *',
          'c=IN IP4 127.0.0.2',
          ...FLOOR,
        ),
      });
      const port = Number(accepted.sections[3]?.[0]?.split(' ')[1]);
      client.send('400b00000000000100010001', port);
      await expect.poll(() => Object.keys(gateway.faults)).toContain('slides-bfcp-source');
      expect(client.received).toEqual([]);
    });
  });
});
