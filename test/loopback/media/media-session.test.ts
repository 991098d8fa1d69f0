// A media session and bare sockets that send to it: who begins when, and changes of what was agreed on.

import { setTimeout as sleep } from 'node:timers/promises';
import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import { once } from 'node:events';
import {
  decodeSpropParameterSets,
  MediaError,
  openMediaSession,
  PortPool,
  Ticker,
} from '@sipcast/media';
import type {
  FlvTag,
  MediaSession,
  MediaSessionOptions,
  NegotiatedMedia,
  NegotiatedMedium,
} from '@sipcast/media';
import { describe, expect, it } from 'vitest';
import { afterTest } from '../../support/cleanup.ts';

const pool = new PortPool({ min: 37_000, max: 37_099, coolDownMs: 0 });
const ticker = new Ticker();
const SETS = decodeSpropParameterSets('Z0LAHtoCgL/lwEQAAAMABAAAAwDIPFi6gA==,aM4PyA==');
const KEY_FRAME = Uint8Array.of(0x65, 0x88, 1, 2);
const INTER_FRAME = Uint8Array.of(0x41, 0x9a, 1, 2);
const LOUD = new Uint8Array(160).fill(0x33);

/** One medium of a phone: a socket, and a header in front of whatever is sent. */
class Line {
  readonly socket: Socket = createSocket('udp4');
  rtpTimestamp = 0;
  #sequenceNumber = 0;
  readonly #ssrc: number;

  constructor(ssrc: number) {
    this.#ssrc = ssrc;
  }

  send(toPort: number, payloadType: number, payload: Uint8Array): void {
    const head = Buffer.alloc(12);
    head[0] = 0x80;
    head[1] = payloadType | 0x80;
    head.writeUInt16BE(this.#sequenceNumber++, 2);
    head.writeUInt32BE(this.rtpTimestamp, 4);
    head.writeUInt32BE(this.#ssrc, 8);
    this.socket.send(Buffer.concat([head, payload]), toPort, '127.0.0.1');
  }
}

interface Rig {
  readonly session: MediaSession;
  readonly audio: Line;
  readonly video: Line;
  readonly tags: FlvTag[];
  readonly agreed: Required<Pick<NegotiatedMedia, 'audio' | 'video'>>;
  /** Milliseconds since `start`. */
  nowMs(): number;
}

async function open(options: Partial<MediaSessionOptions> = {}): Promise<Rig> {
  const [audio, video] = [new Line(1), new Line(2)];
  for (const { socket } of [audio, video]) {
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    afterTest(async () => socket.close());
  }
  const session = await openMediaSession({
    portPool: pool,
    ticker,
    bindAddress: '127.0.0.1',
    audioCname: 'a',
    videoCname: 'v',
    now: () => performance.now(),
    wallClock: () => Date.now(),
    random: Math.random,
    ...options,
  });
  afterTest(() => session.close());
  const tags: FlvTag[] = [];
  session.stream.addOutput({ push: (tag) => tags.push(tag) });
  const medium = (line: Line, codecs: NegotiatedMedium['codecs']): NegotiatedMedium => ({
    address: '127.0.0.1',
    rtpPort: line.socket.address().port,
    rtcpAddress: '127.0.0.1',
    rtcpPort: line.socket.address().port,
    send: false,
    receive: true,
    codecs,
    telephoneEvents: [],
    feedback: { pli: true, fir: true, nack: false },
  });
  const agreed = {
    audio: medium(audio, [{ payloadType: 8, codec: 'pcma' }]),
    video: medium(video, [{ payloadType: 96, codec: 'h264' }]),
  };
  const startMs = performance.now();
  session.start(agreed);
  return { session, audio, video, tags, agreed, nowMs: () => performance.now() - startMs };
}

const isLoud = ({ type, body }: FlvTag): boolean =>
  type === 8 && body.subarray(1).some((octet) => octet !== 0xd5);

async function talk({ audio, session }: Rig, frames: number): Promise<void> {
  for (let frame = 0; frame < frames; frame++) {
    audio.send(session.audio.rtpPort, 8, LOUD);
    audio.rtpTimestamp += 160;
    await sleep(20);
  }
}

describe('the time of a stream', () => {
  it('holds audio whose first packets were no sound', async () => {
    const rig = await open();
    rig.audio.send(rig.session.audio.rtpPort, 13, Uint8Array.of(60));
    await sleep(700);
    rig.audio.rtpTimestamp += 5600;
    await talk(rig, 40);
    const first = rig.tags.find(isLoud);
    expect(first?.timestampMs).toBeGreaterThan(600);
    expect(rig.tags.filter(isLoud).length).toBeGreaterThan(10);
  });

  it('holds pictures whose key frame came late, and audio that came later still', async () => {
    const rig = await open();
    for (let frame = 0; frame < 15; frame++) {
      rig.video.send(rig.session.video.rtpPort, 96, INTER_FRAME);
      rig.video.rtpTimestamp += 3600;
      await sleep(40);
    }
    for (const nalu of [...SETS, KEY_FRAME]) rig.video.send(rig.session.video.rtpPort, 96, nalu);
    const sentMs = rig.nowMs();
    await sleep(100);
    const key = rig.tags.find(({ role }) => role === 'key-frame');
    expect(Math.abs((key?.timestampMs ?? 0) - sentMs)).toBeLessThan(60);
    await talk(rig, 20);
    expect(rig.tags.filter(isLoud).length).toBeGreaterThan(10);
  });
});

describe('audio', () => {
  it('is heard again soon when its timestamps stood still during a pause, or the way became longer', async () => {
    const rig = await open({ videoFreezeMs: 0 });
    rig.session.update({ audio: rig.agreed.audio });
    await talk(rig, 20);
    await sleep(700);
    const before = rig.tags.filter(isLoud).length;
    await talk(rig, 60);
    const heard = rig.tags.filter(isLoud).length - before;
    expect(heard).toBeGreaterThan(20);
    const timesMs = rig.tags.filter(({ type }) => type === 8).map(({ timestampMs }) => timestampMs);
    const gaps = timesMs.slice(1).map((ms, at) => ms - timesMs[at]!);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(20);
  });
});

describe('a change that fails', () => {
  it('leaves the media as they were', async () => {
    const busy = new MediaError('TRANSCODER_FAILED', 'none is free');
    const rig = await open({
      form: { audio: 'passthrough', video: 'passthrough' },
      transcoders: {
        openVideo: () => {
          throw busy;
        },
      },
    });
    const { session, agreed } = rig;
    const release = session.stream.prepare({ audio: 'passthrough', video: 'passthrough' });
    const elsewhere = { ...agreed.audio, rtpPort: 9, rtcpPort: 9 };
    const vp8: NegotiatedMedium = {
      ...agreed.video,
      codecs: [{ payloadType: 97, codec: 'vp8' }],
    };
    expect(() => session.update({ audio: elsewhere, video: vp8 })).toThrow(busy);
    for (const wrong of [
      { ...agreed.video, address: 'phone.example.org' },
      { ...agreed.video, rtcpPort: 0 },
    ]) {
      expect(() => session.update({ audio: elsewhere, video: wrong })).toThrow(
        expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
      );
    }
    for (const nalu of [...SETS, KEY_FRAME]) rig.video.send(session.video.rtpPort, 96, nalu);
    await talk(rig, 20);
    expect(rig.tags.some(({ role }) => role === 'key-frame')).toBe(true);
    expect(rig.tags.filter(isLoud).length).toBeGreaterThan(10);
    release();
  });
});

describe('the codec of the peer', () => {
  it('is what comes, after a change of other things too', async () => {
    const opened: string[] = [];
    const rig = await open({
      transcoders: {
        openAudio: () => {
          opened.push('open');
          return { stats: null as never, push: () => {}, close: () => opened.push('close') };
        },
      },
    });
    const { session, agreed } = rig;
    const release = session.stream.prepare({ audio: 'passthrough', video: 'passthrough' });
    const audio: NegotiatedMedium = {
      ...agreed.audio,
      codecs: [...agreed.audio.codecs, { payloadType: 9, codec: 'g722' }],
    };
    session.update({ ...agreed, audio });
    rig.audio.send(session.audio.rtpPort, 9, LOUD);
    await sleep(100);
    expect(opened).toEqual(['open']);
    session.update({ ...agreed, audio: { ...audio, receive: false }, held: true });
    expect(opened).toEqual(['open']);
    session.update(agreed);
    expect(opened).toEqual(['open', 'close']);
    release();
  });

  it('is not followed when it changes with each packet', async () => {
    const rig = await open();
    const { session, agreed } = rig;
    session.update({
      ...agreed,
      audio: { ...agreed.audio, codecs: [8, 0].map((payloadType) => g711(payloadType)) },
    });
    for (let packet = 0; packet < 60; packet++) {
      rig.audio.send(session.audio.rtpPort, packet % 2 === 0 ? 8 : 0, LOUD);
      rig.audio.rtpTimestamp += 160;
      await sleep(20);
    }
    expect(session.stats().audio?.faults['audio-codec-change']).toBeGreaterThan(15);
    const formats = rig.tags.filter(({ type }) => type === 8).map(({ body }) => body[0]! >> 4);
    const changes = formats.filter((format, at) => at > 0 && format !== formats[at - 1]);
    expect(changes.length).toBeLessThanOrEqual(6);
  });
});

function g711(payloadType: number): NegotiatedMedium['codecs'][number] {
  return { payloadType, codec: payloadType === 8 ? 'pcma' : 'pcmu' };
}
