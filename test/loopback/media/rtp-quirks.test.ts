// What real devices put into RTP against the grammar or against habit: each over real sockets, through a gateway. The rows
// about time are in rtp-timing.test.ts; the table for people is docs/interop.md.

import { encodeRtcp } from '@sipcast/media/wire';
import { packetizeVp8Frame, RtpPort } from '@sipcast/testkit';
import type { Vp8Descriptor } from '@sipcast/testkit';
import { describe, expect, it } from 'vitest';
import { afterTest } from '../../support/cleanup.ts';
import { AUDIO, BOTH, LIMIT } from '../../support/raw-calls.ts';
import { SPROP } from '../../support/raw-phone.ts';
import {
  CLIP_PICTURES,
  packetsOf,
  paced,
  rawCall,
  RawStream,
  slicesSent,
  sliceText,
} from '../../support/raw-rtp.ts';
import type { RawPacket } from '../../support/raw-rtp.ts';
import { until } from '../../support/wait.ts';

const PICTURES = CLIP_PICTURES.slice(0, 25);
const EVERY_MS = 10;
const octets = (...values: number[]): Uint8Array => Uint8Array.from(values);
const isFragment = ({ payload }: RawPacket): boolean => (payload[0]! & 0x1f) === 28;
const isAggregate = ({ payload }: RawPacket): boolean => (payload[0]! & 0x1f) === 24;
/** In front of the others, of the same picture. */
const first =
  (...payloads: Uint8Array[]) =>
  (packets: readonly RawPacket[]) => [...payloads.map((payload) => ({ payload })), ...packets];
const PACSI = octets(0x7e, 0x80, 0, 0, 7);
const videoAs = (payloadType: number): string[] => [
  ...AUDIO,
  `m=video VIDEO RTP/AVP ${payloadType}`,
  `a=rtpmap:${payloadType} H264/90000`,
  `a=fmtp:${payloadType} ${SPROP}`,
];

/** One fragmented unit of type 7 that holds all NAL units of a picture, with start codes between them. */
function asOneUnit(nalus: readonly Uint8Array[]): RawPacket[] {
  const code = octets(0, 0, 0, 1);
  const whole = Buffer.concat(nalus.flatMap((nal, at) => (at === 0 ? [nal] : [code, nal])));
  const type = whole[0]! & 0x1f;
  const packets: RawPacket[] = [];
  for (let at = 1; at < whole.length; at += 900) {
    const isLast = at + 900 >= whole.length;
    const flags = (at === 1 ? 0x80 : 0) | (isLast ? 0x40 : 0);
    const head = octets((whole[0]! & 0xe0) | 28, flags | type);
    packets.push({
      payload: Buffer.concat([head, whole.subarray(at, at + 900)]),
      marker: isLast,
    });
  }
  return packets;
}

interface PictureRow {
  readonly name: string;
  readonly answer?: readonly string[];
  readonly payloadType?: number;
  /** Packets of one picture as this device sends them. */
  readonly packets: (
    packets: readonly RawPacket[],
    index: number,
    nalus: readonly Uint8Array[],
  ) => readonly RawPacket[];
  /** The last picture ends only when another begins. */
  readonly holdsLast?: true;
  /** A fault that is counted, all the same. */
  readonly fault?: string;
}

const ROWS: readonly PictureRow[] = [
  { name: 'as the book has it', packets: (packets) => packets },
  // baresip, pjsip
  {
    name: 'a packet of a type that was not negotiated before every third picture',
    packets: (packets, index) =>
      index % 3 === 1 ? [{ payload: octets(0), payloadType: 126 }, ...packets] : packets,
    fault: 'rtp-payload-type',
  },
  {
    name: 'comfort noise among the pictures',
    packets: (packets) => [{ payload: octets(40), payloadType: 13 }, ...packets],
  },
  {
    name: 'empty packets between the fragments',
    packets: (packets) => packets.flatMap((one) => [{ payload: octets() }, one]),
  },
  // FreeSWITCH's list of buggy phones
  {
    name: 'the marker on every packet',
    packets: (packets) => packets.map((one) => ({ ...one, marker: true })),
    holdsLast: true,
  },
  {
    name: 'the marker on every fragment',
    packets: (packets) => packets.map((one) => (isFragment(one) ? { ...one, marker: true } : one)),
    holdsLast: true,
  },
  {
    name: 'no marker',
    packets: (packets) => packets.map((one) => ({ ...one, marker: false })),
    holdsLast: true,
  },
  {
    name: 'fragments whose last has no E bit',
    packets: (packets) =>
      packets.map((one) =>
        isFragment(one)
          ? { ...one, payload: Buffer.from(one.payload).fill(one.payload[1]! & 0xbf, 1, 2) }
          : one,
      ),
    holdsLast: true,
  },
  // Polycom, Lync
  ...[
    ['PACSI (30)', PACSI],
    ['a unit of type 31', octets(0x7f, 1, 2)],
    ['a unit of type 0', octets(0x60, 1, 2)],
    ['a unit of type 16', octets(0x70, 1, 2)],
    ['STAP-B (25)', octets(0x79, 0, 1, 0, 1, 9)],
  ].map(([name, payload]) => ({
    name: `${name as string} before each picture`,
    packets: first(payload as Uint8Array),
    fault: name === 'STAP-B (25)' ? 'h264-interleaved' : 'h264-nal-type',
  })),
  {
    name: 'PACSI inside the STAP-A',
    packets: (packets) =>
      packets.map((one) =>
        isAggregate(one)
          ? {
              ...one,
              payload: Buffer.concat([
                one.payload.subarray(0, 1),
                octets(0, 5),
                PACSI,
                one.payload.subarray(1),
              ]),
            }
          : one,
      ),
    fault: 'h264-nal-type',
  },
  // Video bridges
  {
    name: 'scalable layers beside the base layer',
    packets: (packets, _, nalus) => [
      { payload: octets(0x6f, 0x42, 0xe0, 0x1f, 0x95) },
      { payload: octets(0x6e, 0x80, 0, 7) },
      ...packets.map((one) => ({ ...one, marker: false })),
      {
        payload: Buffer.concat([octets(0x74, 0x80, 1, 7), nalus.at(-1)!.subarray(1, 600)]),
        marker: true,
      },
    ],
    fault: 'h264-nal-type',
  },
  {
    name: 'zeros behind the last unit of a STAP-A',
    packets: (packets) =>
      packets.map((one) => {
        if (isAggregate(one))
          return { ...one, payload: Buffer.concat([one.payload, octets(0, 0, 0)]) };
        if (isFragment(one)) return one;
        const { length } = one.payload;
        const size = octets(0x78, length >> 8, length & 0xff);
        return { ...one, payload: Buffer.concat([size, one.payload, octets(0, 0, 0, 0, 0)]) };
      }),
  },
  // cheap cameras
  {
    name: 'SPS, PPS and IDR as one unit, with start codes in between',
    packets: (packets, _, nalus) => (nalus.length > 1 ? asOneUnit(nalus) : packets),
  },
  {
    name: 'a start code in front of each unit',
    packets: (packets) =>
      packets.map((one) =>
        isFragment(one) || isAggregate(one)
          ? one
          : { ...one, payload: Buffer.concat([octets(0, 0, 0, 1), one.payload]) },
      ),
  },
  {
    name: 'the whole picture as a byte stream in one packet',
    packets: (_packets, _index, nalus) => [
      {
        payload: Buffer.concat(nalus.flatMap((nal) => [octets(0, 0, 0, 1), nal])),
        marker: true,
      },
    ],
  },
  {
    name: 'packetization mode 0, each unit in one packet of any size',
    packets: (_packets, _index, nalus) =>
      nalus.map((payload, at) => ({ payload, marker: at === nalus.length - 1 })),
  },
  // RFC 3550 §5.1
  {
    name: 'the padding bit with a count of 0',
    // Behind the end of a NAL unit a zero is nothing; elsewhere the last octet is one of the data.
    packets: (packets) =>
      packets.map((one) => {
        if (one.marker === true)
          return { ...one, padding: true, payload: Buffer.concat([one.payload, octets(0)]) };
        return { ...one, padding: one.payload.at(-1) === 0 };
      }),
  },
  {
    name: 'four octets of padding, and packets of padding alone',
    packets: (packets) => [
      { payload: octets(0, 0, 0, 4), padding: true },
      ...packets.map((one) => ({
        ...one,
        padding: true,
        payload: Buffer.concat([one.payload, octets(0, 0, 0, 4)]),
      })),
    ],
  },
  {
    name: 'two CSRCs and a header extension',
    packets: (packets) =>
      packets.map((one) => ({
        ...one,
        extra: {
          flags: 0x12,
          octets: octets(0, 0, 0, 1, 0, 0, 0, 2, 0xbe, 0xde, 0, 1, 0x10, 0xff, 0, 0),
        },
      })),
  },
  // Cisco EX90, Zoiper, Newrock
  {
    name: 'our payload type where it answered 97',
    answer: videoAs(97),
    packets: (packets) => packets,
  },
  {
    name: '97 as it answered',
    answer: videoAs(97),
    payloadType: 97,
    packets: (packets) => packets,
  },
  // RFC 5761 §4: with its marker set, the second octet of these is that of RTCP.
  ...[64, 72, 76, 77, 80, 95].map((payloadType) => ({
    name: `payload type ${payloadType}, the marker on each picture`,
    answer: videoAs(payloadType),
    payloadType,
    packets: (packets: readonly RawPacket[]) => packets,
  })),
];

describe('a phone whose pictures come with', () => {
  for (const row of ROWS) {
    it(row.name, LIMIT, async () => {
      const { call, pictures, stream } = await rawCall(row.answer ?? BOTH);
      const video = stream('video', row.payloadType ?? 112);
      await paced(PICTURES, EVERY_MS, (unit, index) => {
        for (const packet of row.packets(packetsOf(unit), index, unit.nalus))
          video.send({ ...packet, rtpTimestamp: index * EVERY_MS * 90 });
      });
      const sent = slicesSent(PICTURES);
      const shown = row.holdsLast ? sent.slice(0, -1) : sent;
      await until(() => pictures().length >= shown.length, 'all pictures', 2000).catch(() => {});
      expect(pictures().length).toBe(shown.length);
      expect(pictures()).toEqual(shown);
      const stats = call.stats()?.video;
      expect(stats).toMatchObject({ lost: 0, problem: null });
      expect(Object.keys(stats?.faults ?? {})).toEqual(row.fault === undefined ? [] : [row.fault]);
    });
  }
});

const VP8 = [...AUDIO, 'm=video VIDEO RTP/AVP 114', 'a=rtpmap:114 VP8/90000'];
const vp8Packets = (unit: (typeof PICTURES)[number], more?: Vp8Descriptor): RawPacket[] =>
  packetizeVp8Frame(unit.vp8!, 1000, more).map((payload, index, all) => ({
    payload,
    marker: index === all.length - 1,
  }));

interface Vp8Row {
  readonly name: string;
  readonly packets: (unit: (typeof PICTURES)[number], index: number) => readonly RawPacket[];
  /** Frames that are not shown, and the fault. */
  readonly costs?: { readonly frames: number; readonly fault: string };
}
const VP8_ROWS: readonly Vp8Row[] = [
  { name: 'as the book has it', packets: (unit) => vp8Packets(unit) },
  {
    name: 'a packet of a type that was not negotiated before every third picture',
    packets: (unit, index) =>
      index % 3 === 1
        ? [{ payload: octets(0), payloadType: 126 }, ...vp8Packets(unit)]
        : vp8Packets(unit),
    costs: { frames: 0, fault: 'rtp-payload-type' },
  },
  {
    name: 'no marker',
    packets: (unit) => vp8Packets(unit).map((one) => ({ ...one, marker: false })),
    costs: { frames: 1, fault: '' },
  },
  {
    // The first picture shows it, and a key frame is asked for.
    name: 'the marker on every packet',
    packets: (unit) => vp8Packets(unit).map((one) => ({ ...one, marker: true })),
    costs: { frames: 50, fault: 'vp8-marker-misplaced' },
  },
  {
    name: 'every field of the descriptor',
    packets: (unit, index) =>
      vp8Packets(unit, {
        pictureId: index,
        pictureIdBits: 7,
        tl0PicIdx: index,
        temporalId: 0,
        keyIndex: 1,
        byPartition: true,
      }),
  },
  {
    name: 'padding alone between the packets',
    packets: (unit) =>
      vp8Packets(unit).flatMap((one) => [{ payload: octets(0, 0, 0, 4), padding: true }, one]),
  },
];

describe('a phone whose VP8 comes with', () => {
  for (const { name, packets, costs = { frames: 0, fault: '' } } of VP8_ROWS) {
    it(name, LIMIT, async () => {
      const { call, stream } = await rawCall(VP8, { transcoding: {} });
      const video = stream('video', 114);
      const units = CLIP_PICTURES.slice(0, 100);
      await paced(units, EVERY_MS, (unit, index) => {
        for (const packet of packets(unit, index))
          video.send({ ...packet, rtpTimestamp: index * EVERY_MS * 90 });
      });
      const frames = (): number => call.stats()?.video?.frames ?? 0;
      await until(() => frames() >= units.length - costs.frames, 'pictures', 3000).catch(() => {});
      expect(units.length - frames()).toBeLessThanOrEqual(costs.frames);
      expect(call.stats()?.video).toMatchObject({ codec: 'vp8', lost: 0, problem: null });
      expect(Object.keys(call.stats()?.video?.faults ?? {})).toEqual(
        costs.fault === '' ? [] : [costs.fault],
      );
    });
  }
});

describe('the session', () => {
  it(
    'takes RTCP on the RTP port for RTCP, where the payload type of pictures looks like it',
    LIMIT,
    async () => {
      const { call, pictures, phone, invite } = await rawCall(videoAs(72));
      const video = new RawStream(phone.video, invite.port('video'), { payloadType: 72 });
      const report = encodeRtcp([
        {
          type: 'sr',
          ssrc: video.ssrc,
          ntpSeconds: 1,
          ntpFraction: 0,
          rtpTimestamp: 0,
          packetCount: 1,
          octetCount: 1,
          reports: [],
        },
        { type: 'sdes', chunks: [{ ssrc: video.ssrc, cname: 'phone' }] },
      ]);
      await paced(PICTURES, EVERY_MS, (unit, index) => {
        phone.video.sendRtp(report, invite.port('video'), '127.0.0.1');
        for (const packet of packetsOf(unit))
          video.send({ ...packet, rtpTimestamp: index * EVERY_MS * 90 });
      });
      await until(() => pictures().length === PICTURES.length, 'all pictures');
      expect(call.stats()?.video).toMatchObject({ lost: 0, faults: {} });
    },
  );

  it('takes no sender report of another SSRC', LIMIT, async () => {
    const { call, pictures, phone, invite, stream } = await rawCall();
    const video = stream('video', 112);
    await paced(PICTURES, EVERY_MS, (unit, index) => {
      for (const packet of packetsOf(unit))
        video.send({ ...packet, rtpTimestamp: index * EVERY_MS * 90 });
      const ntpSeconds = 3_900_000_000 + index * 60;
      const report = {
        ntpSeconds,
        ntpFraction: 0,
        rtpTimestamp: 7,
        packetCount: 1,
        octetCount: 1,
        reports: [],
      };
      phone.video.sendRtcp(
        encodeRtcp([{ type: 'sr', ssrc: 99, ...report }]),
        invite.port('video') + 1,
        '127.0.0.1',
      );
    });
    await until(() => pictures().length === PICTURES.length, 'all pictures');
    expect(call.stats()).toMatchObject({ avSkewMs: null, video: { lost: 0, faults: {} } });
  });

  it('stays with the first of two sources that send at once, and says so', LIMIT, async () => {
    const { call, pictures, stream } = await rawCall();
    const video = stream('video', 112);
    const units = CLIP_PICTURES.slice(0, 100);
    await paced(units, EVERY_MS, (unit, index) => {
      for (const ssrc of [video.ssrc, 7])
        for (const packet of packetsOf(units[(index + (ssrc === 7 ? 50 : 0)) % 100]!))
          video.send({ ...packet, ssrc, rtpTimestamp: index * EVERY_MS * 90 });
    });
    // The second IDR of the first source is picture 50.
    const rest = slicesSent(units.slice(50));
    await until(() => pictures().at(-1) === rest.at(-1), 'the last picture').catch(() => {});
    expect(pictures().slice(-rest.length)).toEqual(rest);
    expect(call.stats()?.video?.faults).toMatchObject({ 'rtp-second-source': expect.any(Number) });
  });

  it('follows a source that takes over from another', LIMIT, async () => {
    const { call, pictures, stream } = await rawCall();
    const video = stream('video', 112);
    await paced([...PICTURES, ...PICTURES], EVERY_MS, (unit, index) => {
      const ssrc = index < PICTURES.length ? video.ssrc : 7;
      for (const packet of packetsOf(unit))
        video.send({ ...packet, ssrc, rtpTimestamp: index * EVERY_MS * 90 });
    });
    const sent = slicesSent(PICTURES);
    await until(() => pictures().length === 2 * sent.length, 'all pictures').catch(() => {});
    expect(pictures()).toEqual([...sent, ...sent]);
    expect(call.stats()?.video).toMatchObject({ lost: 0, faults: {} });
  });

  it(
    'follows another picture size that begins with an I picture that is no IDR',
    LIMIT,
    async () => {
      const { call, pictures, tags, stream } = await rawCall();
      const video = stream('video', 112);
      await paced(PICTURES, EVERY_MS, (unit, index) => {
        for (const packet of packetsOf(unit))
          video.send({ ...packet, rtpTimestamp: index * EVERY_MS * 90 });
      });
      // Baseline, 320×240; then slices with first_mb_in_slice 0 of slice type 7 (I) and 5 (P).
      const sps = octets(0x67, 0x42, 0xc0, 0x1e, 0xda, 0x05, 0x07, 0xe4);
      const pps = octets(0x68, 0xce, 0x3c, 0x80);
      const slice = (head: number, fill: number) =>
        Buffer.concat([octets(0x61, head), Buffer.alloc(200, fill)]);
      const small = [
        slice(0x88, 1),
        ...Array.from({ length: 9 }, (_, index) => slice(0x9a, 2 + index)),
      ];
      for (const [index, nal] of small.entries()) {
        const rtpTimestamp = (PICTURES.length + index) * EVERY_MS * 90;
        if (index === 0) for (const payload of [sps, pps]) video.send({ payload, rtpTimestamp });
        video.send({ payload: nal, marker: true, rtpTimestamp });
      }
      await until(() => pictures().length === PICTURES.length + small.length, 'all pictures').catch(
        () => {},
      );
      expect(pictures().slice(PICTURES.length)).toEqual(small.map((nal) => sliceText(nal)));
      expect(call.stats()?.video).toMatchObject({ width: 320, height: 240 });
      expect(tags.filter(({ role }) => role === 'key-frame')).toHaveLength(2);
    },
  );

  it(
    'takes I pictures without IDR and without recovery point, after asking for an IDR',
    LIMIT,
    async () => {
      const { call, pictures, phone, stream } = await rawCall();
      const video = stream('video', 112);
      const [sps, pps] = CLIP_PICTURES[0]!.nalus.filter((nal) => [7, 8].includes(nal[0]! & 0x1f));
      const units = Array.from({ length: 60 }, (_, index) => index);
      await paced(
        units.map(() => CLIP_PICTURES[0]!),
        40,
        (_, index) => {
          const rtpTimestamp = index * 3600;
          if (index === 0)
            for (const payload of [sps!, pps!])
              video.send({ payload, rtpTimestamp: rtpTimestamp - 90 });
          const head = index % 10 === 0 ? 0x88 : 0x9a;
          video.send({
            payload: Buffer.concat([octets(0x61, head), Buffer.alloc(200, 1 + index)]),
            marker: true,
            rtpTimestamp,
          });
        },
      );
      await until(() => pictures().length >= 20, 'pictures').catch(() => {});
      expect(pictures().length).toBeGreaterThanOrEqual(20);
      expect(phone.video.received.pictureLosses).toBeGreaterThan(0);
      expect(call.stats()?.video?.problem).toBeNull();
    },
  );
});

describe('a phone whose sound comes', () => {
  /** Sound for `ms`, as 20 ms packets each 5 ms. */
  const speak = async (
    video: RawStream,
    count: number,
    packet: (index: number) => readonly RawPacket[],
  ) => {
    await paced(CLIP_PICTURES.slice(0, count), 20, (_, index) => {
      for (const one of packet(index)) video.send({ rtpTimestamp: index * 160, ...one });
    });
  };
  const SPEECH = new Uint8Array(160).fill(0x55).map((value, at) => value ^ (at * 7));

  it('as PCMU where PCMA was answered', LIMIT, async () => {
    const { call, stream, tags } = await rawCall(AUDIO);
    await speak(stream('audio', 0), 25, () => [{ payload: SPEECH }]);
    await until(() => call.stats()?.audio?.packets === 25, 'all packets');
    expect(call.stats()?.audio).toMatchObject({ codec: 'pcmu', lost: 0, faults: {} });
    expect(tags.some(({ type, body }) => type === 8 && body[0]! >> 4 === 8)).toBe(true);
  });

  it('with comfort noise of a type that was not negotiated', LIMIT, async () => {
    const { call, stream } = await rawCall();
    await speak(stream('audio', 8), 25, (index) =>
      index % 4 === 3 ? [{ payload: octets(40), payloadType: 98 }] : [{ payload: SPEECH }],
    );
    await until(() => call.stats()?.audio?.packets === 19, 'all packets');
    expect(call.stats()?.audio).toMatchObject({
      codec: 'pcma',
      lost: 0,
      faults: { 'rtp-payload-type': 6 },
    });
  });

  // P12
  it('with one key in twelve packets, each with a timestamp of its own', LIMIT, async () => {
    const { call, stream } = await rawCall();
    const keys: string[] = [];
    call.on('dtmf', ({ digit }) => keys.push(digit));
    await speak(stream('audio', 8), 20, (index) => {
      if (index < 3 || index >= 15) return [{ payload: SPEECH }];
      const durationTicks = (index - 2) * 160;
      const flags = index >= 12 ? 0x8a : 0x0a;
      return [
        {
          payload: octets(5, flags, durationTicks >> 8, durationTicks & 0xff),
          payloadType: 101,
          marker: index === 3,
        },
      ];
    });
    await until(() => call.stats()?.audio?.packets === 20, 'all packets');
    expect(keys.join('')).toBe('5');
    expect(call.stats()?.audio).toMatchObject({ lost: 0, faults: {} });
  });

  it('with keys that have an SSRC of their own', LIMIT, async () => {
    const { call, stream } = await rawCall(AUDIO);
    const keys: string[] = [];
    call.on('dtmf', ({ digit }) => keys.push(digit));
    const event = (key: number, index: number): RawPacket => {
      const durationTicks = (index + 1) * 160;
      return {
        payload: octets(key, index >= 9 ? 0x8a : 0x0a, durationTicks >> 8, durationTicks & 0xff),
        payloadType: 101,
        ssrc: 7,
        marker: index === 0,
        rtpTimestamp: key * 8000,
      };
    };
    // A third of a second of sound, then a key, four times.
    await speak(stream('audio', 8), 116, (index) => {
      const place = index % 29;
      if (place < 17) return [{ payload: SPEECH }];
      return [event(Math.floor(index / 29) + 1, place - 17)];
    });
    await until(() => keys.length >= 4, 'all keys').catch(() => {});
    expect(keys.join('')).toBe('1234');
    expect(call.stats()?.audio?.faults).not.toHaveProperty('rtp-second-source');
  });

  it('from another address than the one of the description', LIMIT, async () => {
    const { call, phone, invite } = await rawCall(AUDIO);
    const other = await RtpPort.open({ host: '127.0.0.9' });
    afterTest(() => other.close());
    const audio = new RawStream(other, invite.port('audio'), { payloadType: 8 });
    // Its signalling comes from the address of the description: this one waits longer.
    await paced(CLIP_PICTURES.slice(0, 130), 20, (_, index) => {
      audio.send({ payload: SPEECH, rtpTimestamp: 160 * index });
    });
    await until(() => (call.stats()?.audio?.packets ?? 0) >= 10, 'sound');
    expect(call.stats()?.audio?.packets).toBeGreaterThanOrEqual(10);
    expect(phone.audio.received.packets).toBeGreaterThan(0);
  });
});
