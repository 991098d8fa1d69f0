import { describe, expect, it } from 'vitest';
import { MAX_FRAME_BYTES } from './h264-depacketizer.ts';
import { MAX_PACKETS_PER_VP8_FRAME, Vp8Depacketizer } from './vp8-depacketizer.ts';
import type { Vp8Frame } from '../codec/frame.ts';
import { mutations } from '../test-random.ts';

const KEY = '10 5a 02 9d 01 2a 80 02 68 01';
const INTER = '31 00 00';

const hex = (text: string): Uint8Array =>
  Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
const plain = (text: string): string => text.replaceAll(' ', '');

function rig() {
  const frames: Vp8Frame[] = [];
  const faults: string[] = [];
  const depacketizer = new Vp8Depacketizer();
  let sequenceNumber = 65_533;
  let ssrc = 1;
  const send = (payload: string | Uint8Array, rtpTimestamp = 0, marker = false): void => {
    const octets = typeof payload === 'string' ? hex(payload) : payload;
    const units = depacketizer.push({
      datagram: octets,
      payloadType: 96,
      marker,
      sequenceNumber: sequenceNumber++ & 0xffff,
      rtpTimestamp,
      ssrc,
      payload: octets,
      arrivalMs: 5,
    });
    for (const unit of units) {
      if (typeof unit === 'string') faults.push(unit);
      else frames.push(unit);
    }
  };
  const lose = (): void => void sequenceNumber++;
  const changeSource = (): void => void ssrc++;
  const octets = (): string[] => frames.map((frame) => Buffer.from(frame.payload).toString('hex'));
  return { depacketizer, frames, faults, send, lose, changeSource, octets };
}

describe('Vp8Depacketizer', () => {
  it.each([
    ['one octet', '10'],
    ['not referred to (N)', '30'],
    ['X without more', '90 00'],
    ['PictureID of 7 bits', '90 80 7f'],
    ['PictureID of 15 bits', '90 80 ff ff'],
    ['TL0PICIDX', '90 40 07'],
    ['TID', '90 20 c0'],
    ['KEYIDX', '90 10 1f'],
    ['TID and KEYIDX in one', '90 30 ff'],
    ['everything', 'b0 f0 81 02 03 e4'],
    ['everything, PictureID of 7 bits, reserved bits set', 'f8 ff 01 03 e4'],
  ])('removes a descriptor: %s', (_name, descriptor) => {
    const { send, frames, octets, faults } = rig();
    send(`${descriptor} ${KEY}`, 90, true);
    send(`${descriptor} ${INTER}`, 3690, true);
    expect(octets()).toEqual([plain(KEY), plain(INTER)]);
    expect(frames[0]).toMatchObject({
      codec: 'vp8',
      isKeyFrame: true,
      rtpTimestamp: 90,
      arrivalMs: 5,
    });
    expect(frames[1]).toMatchObject({ isKeyFrame: false });
    expect(faults).toEqual([]);
  });

  it('joins partitions and their pieces in order', () => {
    const { send, octets } = rig();
    send(`10 ${KEY}`);
    send('00 aa');
    send('11 bb');
    send('01 cc');
    send('17 dd', 0, true);
    expect(octets()).toEqual([plain(`${KEY} aa bb cc dd`)]);
  });

  it('ends a frame at the next timestamp when the marker is never set', () => {
    const { send, octets, faults } = rig();
    send(`10 ${KEY}`, 0);
    send('00 aa', 0);
    send(`10 ${INTER}`, 3600);
    send(`10 ${INTER} 01`, 7200);
    expect(octets()).toEqual([plain(`${KEY} aa`), plain(INTER)]);
    expect(faults).toEqual([]);
  });

  it('takes a marker that comes in an empty packet, and two frames of one timestamp', () => {
    const { send, octets, faults } = rig();
    send(`10 ${KEY}`);
    send('', 0, true);
    send(`10 ${INTER}`, 0, true);
    send('', 50);
    expect(octets()).toEqual([plain(KEY), plain(INTER)]);
    expect(faults).toEqual([]);
  });

  const loss: [name: string, run: (kit: ReturnType<typeof rig>) => void, left: string[]][] = [
    [
      'first packet',
      ({ lose, send }) => {
        lose();
        send('00 aa', 1);
        send('11 bb', 1, true);
      },
      [],
    ],
    [
      'middle packet',
      ({ lose, send }) => {
        send(`10 ${INTER}`, 1);
        lose();
        send('00 bb', 1, true);
      },
      [],
    ],
    [
      'packet with the marker',
      ({ lose, send }) => {
        send(`10 ${INTER}`, 1);
        lose();
      },
      [],
    ],
    [
      'end and the next one without its beginning',
      ({ lose, send }) => {
        send(`10 ${INTER}`, 1);
        lose();
        send('00 cc', 2, true);
      },
      [],
    ],
    ['any packet', ({ lose }) => lose(), []],
  ];
  it.each(loss)('never yields a frame without its %s', (_name, run, left) => {
    const kit = rig();
    kit.send(`10 ${KEY}`, 0, true);
    run(kit);
    kit.send(`10 ${INTER} 0b`, 9, true);
    expect(kit.octets()).toEqual([plain(KEY), ...left, plain(`${INTER} 0b`)]);
    expect(kit.faults).toEqual(['vp8-loss']);
  });

  it('treats another source as a loss, and starts with it', () => {
    const { send, changeSource, octets, faults } = rig();
    send(`10 ${KEY}`, 7);
    changeSource();
    send(`10 ${KEY} 01`, 7, true);
    expect(octets()).toEqual([plain(`${KEY} 01`)]);
    expect(faults).toEqual(['vp8-loss']);
  });

  it('starts in the middle of a frame without a fault, also after a reset', () => {
    const { depacketizer, send, octets, faults } = rig();
    send('00 aa', 0, true);
    send(`10 ${INTER}`, 1);
    depacketizer.reset();
    send('00 aa', 1, true);
    send(`10 ${INTER} 02`, 2, true);
    expect(octets()).toEqual([plain(`${INTER} 02`)]);
    expect(faults).toEqual([]);
  });

  it.each([
    ['a descriptor alone', ['10'], 'vp8-short'],
    ['half a descriptor', ['90'], 'vp8-short'],
    ['half a PictureID', ['90 80 ff'], 'vp8-short'],
    ['a descriptor that says more than there is', ['90 f0 81 02 03'], 'vp8-short'],
    ['no beginning', [`00 ${INTER}`, '00 aa'], 'vp8-no-start'],
    ['the beginning of a later partition', [`11 ${INTER}`], 'vp8-no-start'],
    ['two beginnings', [`10 ${INTER}`, `10 ${INTER}`, '00 aa'], 'vp8-restart'],
    ['a key frame without its start code', ['10 10 00 00 9d 01 2b 80 02 68 01'], 'vp8-frame-tag'],
    ['a frame of two octets', ['10 31 00'], 'vp8-frame-tag'],
  ])('drops %s, reports it once, and continues with the next frame', (_name, payloads, fault) => {
    const { send, octets, faults } = rig();
    send(`10 ${KEY}`, 0, true);
    payloads.forEach((payload, at) => send(payload, 1, at === payloads.length - 1));
    send(`10 ${INTER}`, 2, true);
    expect(octets()).toEqual([plain(KEY), plain(INTER)]);
    expect(faults).toEqual([fault]);
  });

  it('bounds a frame, by octets and by packets', () => {
    const large = rig();
    large.send(`10 ${KEY}`);
    const mebibyte = new Uint8Array(1024 * 1024);
    for (let sent = 0; sent <= MAX_FRAME_BYTES / mebibyte.length; sent++) large.send(mebibyte);
    large.send('', 0, true);
    expect(large).toMatchObject({ frames: [], faults: ['vp8-oversize'] });

    const long = rig();
    long.send(`10 ${KEY}`);
    for (let sent = 1; sent < MAX_PACKETS_PER_VP8_FRAME; sent++) long.send('00 aa');
    long.send('', 0, true);
    expect(long.frames).toHaveLength(1);
    for (let sent = 0; sent <= MAX_PACKETS_PER_VP8_FRAME; sent++)
      long.send(sent === 0 ? `10 ${KEY}` : '00 aa', 1);
    long.send('', 1, true);
    expect(long.frames).toHaveLength(1);
    expect(long.faults).toEqual(['vp8-oversize']);
  });

  it('never throws, and every frame has a valid tag', () => {
    const { send, frames } = rig();
    const seeds = [hex(`10 ${KEY}`), hex(`90 f0 81 02 03 e4 ${INTER}`), hex('00 aa'), hex('11 bb')];
    let timestamp = 0;
    for (const bytes of mutations(seeds, 20_000, 3)) {
      const marker = (bytes[0] ?? 0) % 3 === 0;
      send(bytes, timestamp, marker);
      if (marker) timestamp++;
    }
    expect(frames.length).toBeGreaterThan(100);
    for (const frame of frames) expect(frame.payload.length).toBeGreaterThan(2);
  });

  it('stops trusting the marker of a device that sets it on every packet', () => {
    const { send, faults, octets } = rig();
    send(`10 ${KEY}`, 0, true);
    send('00 aa', 0, true);
    send(`10 ${KEY}`, 3000, true);
    send('00 bb', 3000, true);
    send(`10 ${INTER}`, 6000, true);
    send(`10 ${INTER}`, 9000, true);
    expect(faults).toEqual(['vp8-marker-misplaced']);
    expect(octets().slice(1)).toEqual([`${plain(KEY)}bb`, plain(INTER)]);
  });
});
