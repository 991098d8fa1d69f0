// When real devices send, rather than what: wrong clocks, late packets, late pictures, B-pictures, holds, moves and loss.
// Over real sockets, through a gateway, by the wall clock.

import { encodeRtcp, unixToNtp } from '@sipcast/media/wire';
import type { FlvTag } from '@sipcast/media';
import { RtpPort, seededRandom } from '@sipcast/testkit';
import { describe, expect, it } from 'vitest';
import { afterTest } from '../../support/cleanup.ts';
import { AUDIO, BOTH } from '../../support/raw-calls.ts';
import {
  CLIP_PICTURES,
  packetsOf,
  paced,
  rawCall,
  RawStream,
  slicesSent,
} from '../../support/raw-rtp.ts';
import type { RawCall } from '../../support/raw-rtp.ts';
import { until } from '../../support/wait.ts';

const LIMIT = { timeout: 40_000 };
const octets = (...values: number[]): Uint8Array => Uint8Array.from(values);
/** Bits as octets, with zeros behind. */
const packed = (head: readonly number[], bits: string): Uint8Array => {
  const whole = bits
    .replaceAll(' ', '')
    .padEnd(Math.ceil(bits.replaceAll(' ', '').length / 8) * 8, '0');
  return octets(...head, ...(whole.match(/.{8}/g) ?? []).map((one) => Number.parseInt(one, 2)));
};
/** Sound that carries its number. */
const sound = (index: number): Uint8Array => {
  const payload = new Uint8Array(160).map((_, at) => 0x55 ^ (at * 7));
  payload.set([index >> 8, index & 0xff]);
  return payload;
};
/** A slice that carries its number; `head` has first_mb_in_slice 0 and the slice type. */
const slice = (type: 'idr' | 'p' | 'b', index: number): Uint8Array => {
  const head = type === 'idr' ? [0x65, 0x88] : type === 'p' ? [0x41, 0x9a] : [0x01, 0x9e];
  return octets(
    ...head,
    1 + (index >> 7),
    1 + (index & 0x7f),
    ...Array.from({ length: 300 }, () => 0xaa),
  );
};

interface Shown {
  readonly index: number;
  /** When it is shown or heard, in the stream. */
  readonly atMs: number;
  readonly cameMs: number;
}

/** Sounds and slices by their numbers. */
function shown({ tags, cameMs }: RawCall, kind: 'audio' | 'video'): Shown[] {
  const found: Shown[] = [];
  tags.forEach(({ type, body, timestampMs }: FlvTag, at) => {
    const view = Buffer.from(body.buffer, body.byteOffset, body.length);
    if (kind === 'audio' && type === 8 && view.length === 161 && view[3] === 0x5b)
      found.push({ index: view.readUInt16BE(1), atMs: timestampMs, cameMs: cameMs[at]! });
    if (kind !== 'video' || type !== 9 || view[1] !== 1) return;
    for (let from = 5; from + 4 < view.length; from += 4 + view.readUInt32BE(from)) {
      const nal = view.subarray(from + 4);
      if ((nal[0]! & 0x1f) > 5) continue;
      const index = ((nal[2]! - 1) << 7) | (nal[3]! - 1);
      found.push({ index, atMs: timestampMs + view.readIntBE(2, 3), cameMs: cameMs[at]! });
    }
  });
  return found;
}

const PPS = octets(0x68, 0xce, 0x3c, 0x80);
/** High profile, 320×240, pictures in any order, no VUI. */
const HIGH = packed(
  [0x67, 100, 0, 30],
  '1 010 1 1 0 0 1 1 00101 00101 0 000010100 0001111 1 1 0 0 1',
);
const BASELINE = packed([0x67, 66, 0xc0, 30], '1 1 011 010 0 000010100 0001111 1 1 0 0 1');

/** Counts `count` times, `everyMs` apart. */
const every = (everyMs: number, count: number, each: (index: number) => void): Promise<void> =>
  paced(
    Array.from({ length: count }, () => CLIP_PICTURES[0]!),
    everyMs,
    (_, index) => each(index),
  );

/** IDR pictures once a second, 25 a second. */
function picture(stream: RawStream, index: number, rtpTimestamp: number): void {
  const isIdr = index % 25 === 0;
  if (isIdr) for (const payload of [BASELINE, PPS]) stream.send({ payload, rtpTimestamp });
  stream.send({ payload: slice(isIdr ? 'idr' : 'p', index), marker: true, rtpTimestamp });
}

const worst = (values: readonly number[]): number => Math.max(...values.map(Math.abs));

describe('a phone whose', () => {
  // old phones
  it('timestamps run at a wrong rate is shown as it comes, and named once', LIMIT, async () => {
    const play = async (kind: 'audio' | 'video', ticksPerMs: number): Promise<string> => {
      const call = await rawCall(kind === 'audio' ? AUDIO : BOTH);
      const stream = call.stream(kind, kind === 'audio' ? 8 : 112);
      if (kind === 'audio')
        await every(20, 350, (index) =>
          stream.send({ payload: sound(index), rtpTimestamp: index * 20 * ticksPerMs }),
        );
      else await every(40, 175, (index) => picture(stream, index, index * 40 * ticksPerMs));
      const all = shown(call, kind);
      const [last] = all.slice(-1);
      // How long after its arrival each is shown, compared with the last.
      const late = all
        .filter(({ cameMs }) => cameMs - all[0]!.cameMs > 4000)
        .map(({ atMs, cameMs }) => atMs - cameMs - (last!.atMs - last!.cameMs));
      expect(late.length).toBeGreaterThan(50);
      expect(worst(late), `${kind} at ${ticksPerMs}`).toBeLessThan(100);
      expect(last!.atMs - all[0]!.atMs, `${kind} at ${ticksPerMs}`).toBeLessThan(7300);
      return JSON.stringify(call.call.stats()?.[kind]?.faults);
    };
    const faults = await Promise.all([
      play('video', 90 * 1.25),
      play('video', 9),
      play('video', 90 * 0.8),
      play('video', 0),
      play('audio', 0),
      play('audio', 8 * 1.25),
      play('audio', 8 * 0.8),
      play('audio', 8),
    ]);
    const once = JSON.stringify({ 'rtp-clock-rate': 1 });
    expect(faults).toEqual([once, once, once, once, once, once, once, '{}']);
  });

  it('timestamps do not count its pauses is heard, with markers whole', LIMIT, async () => {
    const play = async (hasMarker: boolean): Promise<{ heard: number[]; sent: number }> => {
      const call = await rawCall(AUDIO);
      const stream = call.stream('audio', 8);
      let index = 0;
      // Half a second of speech, then 0.4 s of nothing.
      await every(20, 180, (step) => {
        const place = step % 45;
        if (place >= 25) return;
        const marker = hasMarker && place === 0;
        stream.send({ payload: sound(index), rtpTimestamp: index * 160, marker });
        index++;
      });
      await until(() => (call.call.stats()?.audio?.packets ?? 0) === index, 'all packets');
      expect(call.call.stats()?.audio).toMatchObject({ lost: 0, faults: {} });
      return { heard: shown(call, 'audio').map((one) => one.index), sent: index };
    };
    const [marked, plain] = await Promise.all([play(true), play(false)]);
    expect(marked.heard).toEqual(Array.from({ length: marked.sent }, (_, at) => at));
    // The first packet after each of the three pauses only makes it suspect.
    expect(plain.heard.length).toBeGreaterThanOrEqual(plain.sent - 3);
  });

  // ordinary Wi-Fi
  it('packets come up to 45 ms late, one in twenty, loses nothing', LIMIT, async () => {
    const units = CLIP_PICTURES.slice(0, 200);
    const run = async (seed: number): Promise<void> => {
      const { call, phone, invite, pictures, stream } = await rawCall();
      const video = stream('video', 112);
      const random = seededRandom(seed);
      let late = 0;
      await paced(units, 40, (unit, index) => {
        for (const packet of packetsOf(unit)) {
          const datagram = video.encode({ ...packet, rtpTimestamp: index * 3600 });
          const send = (): void => phone.video.sendRtp(datagram, invite.port('video'), '127.0.0.1');
          const isLate = random() < 0.05;
          if (isLate) late++;
          if (isLate) setTimeout(send, 15 + random() * 30);
          else send();
        }
      });
      await until(() => pictures().length === units.length, 'all pictures').catch(() => {});
      expect(late).toBeGreaterThan(10);
      expect(pictures()).toEqual(slicesSent(units));
      expect(call.stats()?.video).toMatchObject({ lost: 0, droppedFrames: 0 });
    };
    await Promise.all([1, 2, 3].map(run));
  });

  // every video phone
  it.each([300, -300])(
    'pictures are %i ms behind its sound on the wire is in sync a second after the first reports',
    LIMIT,
    async (behindMs) => {
      const call = await rawCall();
      const [audio, video] = [call.stream('audio', 8), call.stream('video', 112)];
      const startMs = performance.now();
      const unixMs = Date.now();
      const [soundLateMs, pictureLateMs] = behindMs > 0 ? [0, behindMs] : [-behindMs, 0];
      const report = (
        kind: 'audio' | 'video',
        ssrc: number,
        ticksPerMs: number,
        lateMs: number,
      ): void => {
        // What is captured now is sent later.
        const mediaMs = performance.now() - startMs + lateMs;
        const rtpTimestamp = Math.round(mediaMs * ticksPerMs) >>> 0;
        const ntp = unixToNtp(unixMs + mediaMs);
        const sr = {
          type: 'sr' as const,
          ssrc,
          ...ntp,
          rtpTimestamp,
          packetCount: 1,
          octetCount: 1,
          reports: [],
        };
        call.phone[kind].sendRtcp(encodeRtcp([sr]), call.invite.port(kind) + 1, '127.0.0.1');
      };
      await every(20, 300, (index) => {
        const nowMs = index * 20;
        const soundIndex = index - soundLateMs / 20;
        if (soundIndex >= 0)
          audio.send({ payload: sound(soundIndex), rtpTimestamp: soundIndex * 160 });
        const pictureIndex = (nowMs - pictureLateMs) / 40;
        if (pictureIndex >= 0 && Number.isInteger(pictureIndex))
          picture(video, pictureIndex, pictureIndex * 3600);
        if (nowMs % 2000 !== 500) return;
        report('audio', audio.ssrc, 8, 0);
        report('video', video.ssrc, 90, 0);
      });
      const firstMs = call.cameMs[0]!;
      const offsets = (kind: 'audio' | 'video'): number[] =>
        shown(call, kind)
          .filter(({ cameMs }) => cameMs - firstMs > 1500)
          .map(({ index, atMs }) => atMs - index * (kind === 'audio' ? 20 : 40));
      const heard = offsets('audio');
      const seen = offsets('video');
      expect(heard.length).toBeGreaterThan(150);
      expect(seen.length).toBeGreaterThan(80);
      const skews = [
        Math.max(...seen) - Math.min(...heard),
        Math.min(...seen) - Math.max(...heard),
      ];
      expect(worst(skews), skews.join(' and ')).toBeLessThanOrEqual(60);
    },
  );

  // GStreamer, ffmpeg, cameras
  it('pictures are reordered shows each at its RTP time', LIMIT, async () => {
    const call = await rawCall();
    const [audio, video] = [call.stream('audio', 8), call.stream('video', 112)];
    // In decoding order: a reference, then the B-picture in the middle of the four, then those between.
    const order = (at: number): number => {
      if (at === 0) return 0;
      const group = Math.floor((at - 1) / 4) * 4;
      return group + [4, 2, 1, 3][(at - 1) % 4]!;
    };
    await every(20, 200, (index) => {
      audio.send({ payload: sound(index), rtpTimestamp: index * 160 });
      // A picture is sent when the last one before it in this order has been captured.
      const at = index / 2 - 3;
      if (at < 0 || !Number.isInteger(at)) return;
      const place = order(at);
      const rtpTimestamp = place * 3600;
      if (at === 0) for (const payload of [HIGH, PPS]) video.send({ payload, rtpTimestamp });
      const type = at === 0 ? 'idr' : place % 4 === 0 ? 'p' : 'b';
      video.send({ payload: slice(type, place), marker: true, rtpTimestamp });
    });
    const seen = shown(call, 'video');
    expect(seen.length).toBe(97);
    const heard = shown(call, 'audio').map(({ index, atMs }) => atMs - index * 20);
    const offsets = seen.slice(25).map(({ index, atMs }) => atMs - index * 40);
    expect(Math.max(...offsets) - Math.min(...offsets), offsets.join(' ')).toBeLessThanOrEqual(20);
    expect(worst(offsets.map((offset) => offset - heard.at(-1)!))).toBeLessThanOrEqual(40);
    const decoded = call.tags.filter(({ type, body }) => type === 9 && body[1] === 1);
    expect(
      decoded.every(
        ({ timestampMs }, at) => at === 0 || timestampMs > decoded[at - 1]!.timestampMs,
      ),
    ).toBe(true);
  });

  // NAT
  it(
    'NAT gives it another port is followed after a second of silence; strangers never are',
    LIMIT,
    async () => {
      const moving = await rawCall(AUDIO);
      const { call, phone, invite } = moving;
      const [moved, rival] = [await RtpPort.open(), await RtpPort.open()];
      const stranger = await RtpPort.open({ host: '127.0.0.66' });
      afterTest(...[moved, rival, stranger].map((port) => () => port.close()));
      const from = (port: RtpPort) => new RawStream(port, invite.port('audio'), { payloadType: 8 });
      const stream = from(phone.audio);
      const packets = () => call.stats()?.audio?.packets ?? 0;
      let index = 0;
      const next = () => ({ payload: sound(index), rtpTimestamp: 160 * index++ });
      await every(20, 25, () => stream.send(next()));
      await until(() => packets() === 25, 'the first packets');
      // The same stream from the new port, at once; the same SSRC from another address; another SSRC from the same address.
      const [foreign, other] = [from(stranger), from(rival)];
      const quietMs = performance.now();
      let followedMs = Number.NaN;
      await every(20, 90, () => {
        const packet = next();
        foreign.send(packet);
        other.send({ ...packet, ssrc: 7 });
        stream.send(packet, moved);
        if (packets() > 25 && Number.isNaN(followedMs)) followedMs = performance.now() - quietMs;
      });
      expect(followedMs).toBeGreaterThanOrEqual(980);
      expect(followedMs).toBeLessThan(1250);
      await until(() => moved.received.packets > 0, 'sound at the new port');
      expect(call.stats()?.audio?.faults).toMatchObject({ 'rtp-source-moved': 1 });
      // Of the peer's own packets only: 90 less those of the first second.
      expect(packets()).toBeLessThanOrEqual(25 + 90 - 48);
      const strangersFrom = index;
      await every(20, 10, () => {
        foreign.send(next());
        other.send({ ...next(), ssrc: 7 });
      });
      expect(shown(moving, 'audio').filter((one) => one.index >= strangersFrom)).toEqual([]);
      expect([stranger, rival].map(({ received }) => received.packets)).toEqual([0, 0]);
    },
  );
});

describe('a hold', () => {
  // P22
  it(
    'by either side is no loss, whether the phone goes on counting or sending',
    LIMIT,
    async () => {
      const check = async (by: 'us' | 'peer', goesOn: 'counting' | 'sending'): Promise<void> => {
        const { call, phone, invite, stream } = await rawCall(AUDIO);
        const audio = stream('audio', 8);
        let index = 0;
        const speak = (count: number): Promise<void> =>
          every(10, count, () =>
            audio.send({ payload: sound(index), rtpTimestamp: 160 * index++ }),
          );
        let changes = 1;
        const change = async (direction: 'hold' | 'resume'): Promise<void> => {
          if (by === 'us') {
            const done = call[direction]();
            const request = await phone.request('INVITE', ++changes);
            const answer = direction === 'hold' ? 'a=recvonly' : 'a=sendrecv';
            await phone.respondUntil(request, '200 OK', 'ACK', {
              body: phone.sdp(...AUDIO, answer),
            });
            await done;
            return;
          }
          const offer = direction === 'hold' ? 'a=inactive' : 'a=sendrecv';
          const cseq = phone.inDialog(invite, 'INVITE', { body: phone.sdp(...AUDIO, offer) });
          expect((await phone.response(cseq)).startLine).toBe('SIP/2.0 200 OK');
          phone.inDialog(invite, 'ACK');
        };
        await speak(50);
        await change('hold');
        await expect.poll(() => call.status).toBe('HOLD');
        if (goesOn === 'sending') await speak(50);
        else audio.skip(250);
        await change('resume');
        await expect.poll(() => call.status).toBe('ESTABLISHED');
        const before = call.stats()!.audio!.packets;
        await speak(50);
        await until(() => call.stats()!.audio!.packets >= before + 50, 'sound after the hold');
        expect(call.stats()?.audio, `${by} ${goesOn}`).toMatchObject({ lost: 0, lossRatio: 0 });
      };
      await Promise.all([
        check('us', 'counting'),
        check('us', 'sending'),
        check('peer', 'counting'),
        check('peer', 'sending'),
      ]);
    },
  );
});

describe('a line that loses 2 % of the packets', () => {
  it('shows at least 70 % of the pictures of a peer that answers PLI in 50 ms', LIMIT, async () => {
    const shares = await Promise.all(
      [1, 2, 3, 4].map(async (seed) => {
        const call = await rawCall();
        const clip = { loss: 0.02, seed };
        const sender = call.phone.play(call.invite, {
          video: { impairments: clip },
          sender: { keyFrameDelayMs: 50 },
        });
        await until(() => sender.sent.length >= 300, 'pictures', 20_000);
        sender.stop();
        return call.pictures().length / sender.sent.length;
      }),
    );
    const mean = shares.reduce((sum, share) => sum + share, 0) / shares.length;
    console.log(
      `2 % loss over sockets: ${shares.map((share) => (100 * share).toFixed(1)).join(', ')} % of the pictures`,
    );
    expect(mean).toBeGreaterThan(0.7);
  });
});

describe('a dead programme', () => {
  // P25
  it('is named: one picture again and again, wrong keys; and the call goes on', LIMIT, async () => {
    const problems = async (
      kind: 'audio' | 'video',
      lines: readonly string[],
      options: Parameters<typeof rawCall>[1],
      send: (stream: RawStream, index: number) => void,
    ): Promise<string> => {
      const { call, stream } = await rawCall(lines, options);
      const named: (string | null)[] = [];
      call.on('problem', ({ medium, problem }) => {
        if (medium === kind) named.push(problem);
      });
      const media = stream(kind, kind === 'audio' ? 8 : 112);
      await every(40, 125, (index) => send(media, index));
      expect(call.status).toBe('ESTABLISHED');
      return named.join();
    };
    const idr = (stream: RawStream, index: number, number: number): void => {
      const rtpTimestamp = index * 3600;
      for (const payload of [BASELINE, PPS]) stream.send({ payload, rtpTimestamp });
      stream.send({ payload: slice('idr', number), marker: true, rtpTimestamp });
    };
    const keys =
      'a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz';
    const secured = { offer: { srtp: 'optional' }, rtpTimeoutMs: 2000 } as const;
    const found = await Promise.all([
      problems('video', BOTH, {}, (stream, index) => idr(stream, index, Math.min(index, 25))),
      // A slide: nothing moves, and the pictures are numbered.
      problems('video', BOTH, {}, (stream, index) => idr(stream, index, index % 2)),
      problems('audio', [...AUDIO, keys], secured, (stream, index) =>
        stream.send({ payload: sound(index), rtpTimestamp: index * 320 }),
      ),
    ]);
    expect(found).toEqual(['FROZEN', '', 'UNDECODABLE']);
  });
});
