// What happens to the media of whole calls: every codec, hold, mute, moves, silence, sounds, digits, limits.

import { setTimeout as sleep } from 'node:timers/promises';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createCallGateway } from '@sipcast/core';
import type { Call, CallGateway, CallGatewayOptions, ReceivedDtmf } from '@sipcast/core';
import { MediaError } from '@sipcast/media';
import { loadClip } from '@sipcast/testkit';
import type {
  CallScript,
  PeerCall,
  ReceivedTag,
  RtmpPublication,
  RtmpSink,
  SipPeer,
} from '@sipcast/testkit';
import { beforeEach, describe, expect, it } from 'vitest';
import { openGateway, openPhone, openSink } from '../../support/call-ends.ts';
import { childCommands } from '../../support/child-processes.ts';
import { afterTest } from '../../support/cleanup.ts';
import { makeFolder } from '../../support/folder.ts';

let dir = '';
beforeEach(async () => {
  dir = await makeFolder();
});

/** Encoders that this process has started and that still run. */
function encoders(): number {
  return childCommands().filter((command) => command.includes('ffmpeg')).length;
}

interface OnAir {
  readonly gateway: CallGateway;
  readonly peer: SipPeer;
  readonly sink: RtmpSink;
  readonly call: Call;
  readonly phone: PeerCall;
  readonly publication: RtmpPublication;
}

/** A call that is published. */
async function onAir(script: CallScript = {}, options: CallGatewayOptions = {}): Promise<OnAir> {
  const peer = await openPhone({ script });
  const sink = await openSink();
  const gateway = await openGateway({ transcoding: {}, ...options });
  const call = await gateway.startup({ callee: peer.uri, rtmpUrl: sink.url, rtmpStream: 'air' });
  await call.established();
  const phone = await peer.nextCall();
  const publication = await sink.nextPublication();
  return { gateway, peer, sink, call, phone, publication };
}

/** Without metadata and headers. */
const frames = (publication: RtmpPublication, type: 8 | 9): ReceivedTag[] =>
  publication.tags.filter(({ type: one, body }) => one === type && !isHeader(type, body));
const isHeader = (type: number, body: Uint8Array): boolean =>
  type === 9 ? body[1] === 0 : body[0]! >> 4 === 10 && body[1] === 0;
const isKey = ({ body }: ReceivedTag): boolean => body[0]! >> 4 === 1;
const times = (tags: readonly ReceivedTag[]): number[] => tags.map((tag) => tag.timestampMs);
const largestGap = (ms: readonly number[]): number =>
  Math.max(...ms.slice(1).map((at, index) => at - ms[index]!));

describe('codecs', () => {
  it('publishes G.711 as AAC unless told otherwise, and ends its encoder with the call', async () => {
    const { call, publication, gateway } = await onAir();
    await expect.poll(() => frames(publication, 8).length, { timeout: 8000 }).toBeGreaterThan(60);
    expect(frames(publication, 8).every(({ body }) => body[0] === 0xaf)).toBe(true);
    expect(largestGap(times(frames(publication, 8)))).toBeLessThanOrEqual(24);
    expect(call.stats()?.audioTranscoder).toMatchObject({ restarts: 0, framesDropped: 0 });
    expect(gateway.encoders).toEqual({ audio: 1, video: 0 });
    await call.terminate();
    expect(gateway.encoders).toEqual({ audio: 0, video: 0 });
    await expect.poll(encoders, { timeout: 3000 }).toBe(0);
  });

  for (const audioCodec of ['opus', 'G722', 'speex/8000', 'speex/16000'] as const) {
    it(`publishes ${audioCodec} as AAC`, async () => {
      const audioCodecs = ['pcma', 'g722', 'opus', 'speex-nb', 'speex-wb'] as const;
      const { call, publication, peer } = await onAir({ audioCodec }, { offer: { audioCodecs } });
      await expect.poll(() => frames(publication, 8).length, { timeout: 8000 }).toBeGreaterThan(60);
      expect(frames(publication, 8).every(({ body }) => body[0] === 0xaf)).toBe(true);
      const codec = {
        opus: 'opus',
        G722: 'g722',
        'speex/8000': 'speex-nb',
        'speex/16000': 'speex-wb',
      };
      expect(call.stats()?.audio?.codec).toBe(codec[audioCodec]);
      await call.terminate();
      expect(peer.violations).toEqual([]);
    });
  }

  it('is heard up to the moment when the phone hangs up', async () => {
    const { phone, publication } = await onAir();
    await expect.poll(() => frames(publication, 8).length, { timeout: 10_000 }).toBeGreaterThan(60);
    await phone.hangUp();
    await publication.ended;
    const pictures = frames(publication, 9).at(-1)!.timestampMs;
    const sounds = frames(publication, 8).at(-1)!.timestampMs;
    expect(Math.abs(sounds - pictures)).toBeLessThan(60);
  });

  it('publishes VP8 as H.264, in order and with key frames', async () => {
    const { call, publication, gateway } = await onAir({ videoCodec: 'VP8' });
    await expect.poll(() => frames(publication, 9).length, { timeout: 12_000 }).toBeGreaterThan(75);
    expect(call.stats()?.video).toMatchObject({ codec: 'vp8', width: 640, height: 360 });
    expect(gateway.encoders.video).toBe(1);
    const pictures = frames(publication, 9);
    expect(pictures[0] && isKey(pictures[0])).toBe(true);
    expect(pictures.filter(isKey).length).toBeGreaterThan(1);
    expect(times(pictures)).toEqual(times(pictures).toSorted((a, b) => a - b));
    await call.terminate();
    await expect.poll(encoders, { timeout: 3000 }).toBe(0);
  });

  it('passes G.711 and 16 kHz Speex through where that is asked for', async () => {
    for (const [audioCodec, head] of [
      ['PCMU', 8],
      ['speex/16000', 11],
    ] as const) {
      const { call, publication } = await onAir({ audioCodec }, { audio: 'passthrough' });
      await expect.poll(() => frames(publication, 8).length, { timeout: 8000 }).toBeGreaterThan(40);
      expect(new Set(frames(publication, 8).map(({ body }) => body[0]! >> 4))).toEqual(
        new Set([head]),
      );
      expect(call.stats()?.audioTranscoder).toBeNull();
      await call.terminate();
    }
  });

  it('ends a call that would need encoding while that is off', async () => {
    const gateway = await openGateway({ transcoding: false });
    for (const script of [{ videoCodec: 'VP8' }, { audioCodec: 'opus' }] as const) {
      const peer = await openPhone({ script });
      const call = await gateway.startup({ callee: peer.uri });
      await expect(call.established()).rejects.toMatchObject({ code: 'CALL_FAILED' });
      await call.closed();
      const info = 'Transcoding required, but disabled';
      expect(call.view()).toMatchObject({ status: 'FAILED', info, endedBy: 'gateway' });
      expect(peer.violations).toEqual([]);
    }
    await expect(createCallGateway({ transcoding: false, audio: 'aac' })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      field: 'audio',
    });
  });

  it('gives one push another form than its call', async () => {
    const { gateway, sink, peer } = await onAir({}, { audio: 'passthrough' });
    const call = await gateway.startup({ callee: peer.uri, toStream: 'studio' });
    await call.established();
    const { mediaSessionId } = gateway.pushes.start({
      streamName: 'studio',
      rtmpUrl: sink.url,
      audio: 'aac',
      video: 'reencode',
    });
    const other = await sink.nextPublication();
    await expect.poll(() => frames(other, 9).length, { timeout: 10_000 }).toBeGreaterThan(25);
    await expect.poll(() => frames(other, 8).length, { timeout: 10_000 }).toBeGreaterThan(25);
    expect(frames(other, 8)[0]?.body[0]).toBe(0xaf);
    expect(gateway.encoders).toEqual({ audio: 1, video: 1 });
    await gateway.pushes.get(mediaSessionId).close();
    expect(gateway.encoders).toEqual({ audio: 0, video: 0 });
    await expect.poll(encoders, { timeout: 3000 }).toBe(0);
  });

  it('ends a push whose encoder gives up, and nothing else of its call', async () => {
    const stats = { framesIn: 0, framesOut: 0, framesDropped: 0, restarts: 4, load: null };
    const { gateway, sink, peer } = await onAir(
      {},
      {
        audio: 'passthrough',
        transcoding: {
          openAudio: (handler) => {
            const error = new MediaError('TRANSCODER_FAILED', 'again and again');
            const timer = setTimeout(() => handler.onFailed(error), 500);
            return { stats, push: () => {}, close: () => clearTimeout(timer) };
          },
        },
      },
    );
    const call = await gateway.startup({ callee: peer.uri, toStream: 'studio' });
    await call.established();
    const rtmpUrl = sink.url;
    gateway.pushes.start({ streamName: 'studio', rtmpUrl, audio: 'aac' });
    const statuses: string[] = [];
    call.stream.pushes[0]?.on('status', (status) => statuses.push(status));
    await expect.poll(() => call.stream.pushes.length, { timeout: 5000 }).toBe(0);
    expect(statuses.at(-1)).toBe('RTMP_CONNECTION_FAILED');
    expect(call.status).toBe('ESTABLISHED');
    expect(gateway.encoders.audio).toBe(0);
  });

  it('refuses new work rather than starve what runs', async () => {
    const { gateway, call, peer, sink } = await onAir({}, { transcoding: { maxAudioEncoders: 1 } });
    const second = { callee: peer.uri, rtmpUrl: sink.url, rtmpStream: 'two' };
    await expect(gateway.startup(second)).rejects.toMatchObject({ code: 'TRANSCODERS_BUSY' });
    // What needs no encoder is still taken.
    const plain = await gateway.startup({ ...second, audio: 'passthrough' });
    await plain.established();
    // A sound needs one, too.
    expect(() => plain.injectSound('ding.wav')).toThrow(
      expect.objectContaining({ code: 'TRANSCODERS_BUSY' }),
    );
    expect(call.status).toBe('ESTABLISHED');
    await call.terminate();
    const third = await gateway.startup({ ...second, rtmpStream: 'three' });
    await third.established();
  });
});

describe('no hole', () => {
  it('goes on through hold with silence and the last key frame, and back', async () => {
    const { call, phone, publication } = await onAir({}, { videoFreezeMs: 500 });
    await expect.poll(() => frames(publication, 9).length, { timeout: 8000 }).toBeGreaterThan(25);
    const statuses: string[] = [];
    call.on('status', (status) => statuses.push(status));
    await phone.reinvite('hold');
    const held = frames(publication, 9).length;
    await sleep(2000);
    // What was on its way when the answer came is no frozen picture yet.
    const frozen = frames(publication, 9).slice(held).slice(-2);
    expect(frames(publication, 9).length - held).toBeLessThan(8);
    expect(frozen.length).toBeGreaterThanOrEqual(2);
    expect(frozen.every(isKey)).toBe(true);
    await phone.reinvite('resume');
    const resumed = frames(publication, 9).length;
    await expect
      .poll(() => frames(publication, 9).length - resumed, { timeout: 8000 })
      .toBeGreaterThan(25);
    await call.terminate();
    expect(statuses).toEqual(['HOLD', 'ESTABLISHED', 'FINISH']);
    // Behind a frozen picture nothing may refer to those before it.
    expect(isKey(frames(publication, 9)[resumed]!)).toBe(true);
    expect(largestGap(times(frames(publication, 8)))).toBeLessThanOrEqual(24);
    expect(largestGap(times(frames(publication, 9)))).toBeLessThan(900);
    expect(call.stats()?.video?.frozenFrames).toBeGreaterThanOrEqual(2);
    expect(call.stats()?.silenceInsertedMs).toBeGreaterThan(1500);
  });

  it('shows the last key frame while the camera is muted, without a hold', async () => {
    const { call, phone, publication } = await onAir({}, { videoFreezeMs: 500 });
    await expect.poll(() => frames(publication, 9).length, { timeout: 8000 }).toBeGreaterThan(10);
    phone.sender?.pause('video');
    await expect
      .poll(() => call.stats()?.video?.frozenFrames, { timeout: 5000 })
      .toBeGreaterThan(1);
    expect(call.status).toBe('ESTABLISHED');
    phone.sender?.resume('video');
    const before = frames(publication, 9).length;
    await expect
      .poll(
        () =>
          frames(publication, 9)
            .slice(before)
            .filter((tag) => !isKey(tag)).length,
        {
          timeout: 5000,
        },
      )
      .toBeGreaterThan(10);
  });

  it('carries a silent AAC track beside video alone, unless told otherwise', async () => {
    const { publication } = await onAir({ audio: false });
    await expect.poll(() => frames(publication, 8).length, { timeout: 8000 }).toBeGreaterThan(60);
    expect(largestGap(times(frames(publication, 8)))).toBeLessThanOrEqual(24);
    expect(encoders()).toBe(0);
    const without = await onAir({ audio: false }, { silentAudio: false });
    await expect
      .poll(() => frames(without.publication, 9).length, { timeout: 8000 })
      .toBeGreaterThan(25);
    expect(frames(without.publication, 8)).toEqual([]);
  });

  it('follows the phone to other ports and sources', async () => {
    const { call, phone, publication, peer } = await onAir();
    await expect.poll(() => frames(publication, 9).length, { timeout: 8000 }).toBeGreaterThan(25);
    await phone.reinvite('move');
    const moved = frames(publication, 9).length;
    await expect
      .poll(() => frames(publication, 9).length - moved, { timeout: 8000 })
      .toBeGreaterThan(25);
    // Our own sound goes there, too.
    await expect.poll(() => phone.audio!.received.packets, { timeout: 5000 }).toBeGreaterThan(20);
    await call.terminate();
    expect(largestGap(times(frames(publication, 8)))).toBeLessThanOrEqual(24);
    expect(times(frames(publication, 9))).toEqual(
      times(frames(publication, 9)).toSorted((a, b) => a - b),
    );
    expect(peer.violations).toEqual([]);
  });
});

describe('the peer', () => {
  it('that falls silent ends the call, but not while it holds it', async () => {
    const { call, phone } = await onAir({}, { rtpTimeoutMs: 700, transcoding: false });
    await phone.reinvite('hold');
    await sleep(1500);
    expect(call.status).toBe('HOLD');
    await phone.reinvite('resume');
    await sleep(900);
    expect(call.status).toBe('ESTABLISHED');
    phone.sender?.pause();
    await call.closed();
    expect(call.view()).toMatchObject({
      status: 'FAILED',
      info: 'Failed by RTP activity',
      endedBy: 'gateway',
    });
    expect((await phone.ended).how).toBe('bye');
  });

  it('that is gone ends the call at once, without a response to the BYE', async () => {
    const { call, peer, publication } = await onAir(
      {},
      { rtpTimeoutMs: 700, transcoding: false, sipTimers: { t1Ms: 100 } },
    );
    await peer.close();
    await expect.poll(() => call.status, { timeout: 4000 }).toBe('FAILED');
    expect(call.view()).toMatchObject({ info: 'Failed by RTP activity', endedBy: 'gateway' });
    await publication.ended;
    expect(publication.endedOrderly).toBe(true);
  });

  it('is asked for a key frame by SIP INFO where it heeds nothing else', async () => {
    // Begins in the middle of a group of pictures, whose next IDR would come by itself after two seconds.
    const video = loadClip()
      .video.slice(1)
      .map((unit, index) => ({ ...unit, index }));
    const clip = { ...loadClip(), video };
    const script = { sender: { clip, keyFrameBy: ['info'] } } as const;
    const { call, phone } = await onAir(script, { transcoding: false });
    await expect
      .poll(() => call.stats()?.video?.keyFrameAnswers.answeredBy.info, { timeout: 8000 })
      .toBeGreaterThan(0);
    expect(phone.infos[0]?.headers.get('content-type')).toBe('application/media_control+xml');
    expect(call.stats()?.video?.keyFrameAnswers.lastWaitMs).toBeLessThan(1500);
  });

  it('is offered the same again where no request for a key frame is heeded', async () => {
    const whole = loadClip();
    const next = whole.video.findIndex(({ isKeyFrame }, index) => index > 0 && isKeyFrame);
    // Ten seconds without a key frame of its own.
    const between = Array.from({ length: 5 }, () => whole.video.slice(1, next)).flat();
    const video = [...between, ...whole.video].map((unit, index) => ({ ...unit, index }));
    const clip = { ...whole, video };
    const script = { sender: { clip, keyFrameBy: ['reinvite'] } } as const;
    const { call, peer } = await onAir(script, { transcoding: false });
    await expect
      .poll(() => call.stats()?.video?.keyFrameAnswers.answeredBy.reinvite, { timeout: 9000 })
      .toBe(1);
    expect(call.stats()?.video?.keyFrameAnswers.requests.reinvite).toBe(1);
    const offers = call
      .trace()
      .filter(
        ({ startLine, direction, retransmission }) =>
          direction === 'out' && !retransmission && startLine.startsWith('INVITE '),
      );
    const [first, again] = offers.map(({ message }) => message.slice(message.indexOf('\r\n\r\n')));
    expect(again).toBe(first);
    expect(call.status).toBe('ESTABLISHED');
    expect(peer.violations).toEqual([]);
  });

  it('presses keys by every way, each heard once', async () => {
    const { call, gateway, phone } = await onAir({}, { transcoding: false });
    const heard: ReceivedDtmf[] = [];
    call.on('dtmf', (dtmf) => heard.push(dtmf));
    const ofGateway: string[] = [];
    gateway.on('callDtmf', (_call, { digit }) => ofGateway.push(digit));
    await phone.sendDigits('1#');
    await expect.poll(() => heard.length).toBe(2);
    const relay = await phone.sendInfo('application/dtmf-relay', 'Signal=5\r\nDuration=160\r\n');
    const plain = await phone.sendInfo('application/dtmf', '*');
    const named = await phone.sendInfo('application/dtmf-relay', 'Signal= 11\r\n');
    const other = await phone.sendInfo('text/plain', 'hello');
    expect([relay, plain, named, other].map((one) => one?.statusCode)).toEqual([
      200, 200, 200, 415,
    ]);
    expect(heard).toEqual([
      { digit: '1', type: 'RFC2833' },
      { digit: '#', type: 'RFC2833' },
      { digit: '5', type: 'INFO_RELAY' },
      { digit: '*', type: 'INFO' },
      { digit: '#', type: 'INFO_RELAY' },
    ]);
    expect(ofGateway).toEqual(['1', '#', '5', '*', '#']);
  });

  it('hears a named stream, and silence behind it', async () => {
    const { gateway } = await onAir();
    const source = await openPhone({ script: { audioCodec: 'PCMU' } });
    const from = await gateway.startup({ callee: source.uri, toStream: 'music' });
    await from.established();
    for (const [audioCodec, silence] of [
      ['PCMU', 0xff],
      ['opus', 0xf8],
    ] as const) {
      const peer = await openPhone({ script: { audioCodec } });
      const call = await gateway.startup({ callee: peer.uri });
      gateway.calls.get(call.callId).injectStream(gateway.streams.get('music'));
      await call.established();
      const phone = await peer.nextCall();
      const isSilent = (): boolean => {
        const payload = phone.audio!.received.lastPacket?.payload ?? [];
        return payload.length === 3 || payload.every((octet) => octet === silence);
      };
      await expect.poll(isSilent, { timeout: 8000, interval: 15 }).toBe(false);
      gateway.calls.get(call.callId).stopInjection();
      await expect.poll(isSilent, { timeout: 3000, interval: 15 }).toBe(true);
      await sleep(200);
      expect(isSilent()).toBe(true);
      expect(phone.audio!.received.sequenceBreaks).toBe(0);
      await call.terminate();
      expect(peer.violations).toEqual([]);
    }
    expect(() =>
      gateway.calls.get(from.callId).injectStream(gateway.streams.get('nothing')),
    ).toThrow(/No such stream/);
  });

  it('hears a file of the media folder once, and no file from elsewhere', async () => {
    await writeFile(join(dir, 'ding.wav'), wav(loadClip().audio.subarray(0, 8000)));
    await writeFile(join(dir, '..', `outside-${process.pid}.wav`), 'RIFF');
    afterTest(() => rm(join(dir, '..', `outside-${process.pid}.wav`)));
    const { gateway, call, phone } = await onAir({}, { mediaFolder: dir });
    for (const name of ['../ding.wav', '/etc/passwd', 'ding.txt', '.ding.wav', 'a/../ding.wav', ''])
      await expect(gateway.calls.injectSound(call.callId, name), name).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
        field: 'fileName',
      });
    await expect(gateway.calls.injectSound(call.callId, 'none.wav')).rejects.toMatchObject({
      code: 'FILE_NOT_FOUND',
    });
    const loud = (): boolean =>
      (phone.audio!.received.lastPacket?.payload ?? []).some((octet) => octet !== 0xd5);
    expect(loud()).toBe(false);
    await gateway.calls.injectSound(call.callId, 'ding.wav');
    await expect.poll(loud, { timeout: 5000, interval: 15 }).toBe(true);
    await sleep(1500);
    expect(loud()).toBe(false);
    expect(phone.audio!.received.sequenceBreaks).toBe(0);
  });

  it('that only listens cannot be played to', async () => {
    const gateway = await openGateway({ transcoding: {}, mediaFolder: dir });
    const peer = await openPhone({ script: {} });
    const call = await gateway.startup({ callee: peer.uri, hasAudio: false, toStream: 'a' });
    await call.established();
    expect(() => gateway.calls.get(call.callId).injectStream(gateway.streams.get('a'))).toThrow(
      expect.objectContaining({ code: 'CALL_STATE' }),
    );
    const phone = await peer.nextCall();
    // RFC 6263 until media comes, and RTCP always.
    await expect
      .poll(() => phone.audio!.received.receiverReports, { timeout: 8000 })
      .toBeGreaterThan(0);
  });

  it('does not hear what a push says instead', async () => {
    await writeFile(join(dir, 'loud.wav'), wav(loadClip().audio.subarray(0, 8000)));
    const { gateway, publication, phone } = await onAir({ video: false }, { mediaFolder: dir });
    phone.sender?.pause();
    const [push] = gateway.pushes.find();
    const id = push?.mediaSessionId ?? '';
    /** Octets of the last frames: a frame of silence is short. */
    const size = (): number =>
      frames(publication, 8)
        .slice(-10)
        .reduce((sum, { body }) => sum + body.length, 0);
    await expect.poll(size, { timeout: 8000 }).toBeLessThan(300);
    await gateway.pushes.playSound(id, 'loud.wav', true);
    await expect.poll(size, { timeout: 8000 }).toBeGreaterThan(800);
    expect(gateway.pushes.find()[0]?.soundEnabled).toBe(true);
    await sleep(1500);
    expect(size()).toBeGreaterThan(800);
    gateway.pushes.get(id).stopSound();
    await expect.poll(size, { timeout: 3000 }).toBeLessThan(300);
    const before = frames(publication, 8).length;
    await gateway.pushes.playSound(id, 'loud.wav');
    // It lasts a second, and may be over when this process has time to look.
    const loudest = (): number => {
      const sizes = frames(publication, 8).map(({ body }) => body.length);
      const sums = sizes.map((_, at) =>
        sizes.slice(at, at + 10).reduce((sum, one) => sum + one, 0),
      );
      return Math.max(0, ...sums.slice(before));
    };
    await expect.poll(loudest, { timeout: 8000 }).toBeGreaterThan(800);
    await expect.poll(() => gateway.pushes.find()[0]?.soundEnabled, { timeout: 5000 }).toBe(false);
    await expect(gateway.pushes.playSound(id, '../loud.wav')).rejects.toMatchObject({
      field: 'soundFile',
    });
    expect(largestGap(times(frames(publication, 8)))).toBeLessThanOrEqual(24);
  });

  it('reports its figures each second to listeners', async () => {
    const { call } = await onAir({}, { transcoding: false });
    const seen: (number | null | undefined)[] = [];
    const onStats = (stats: { video: { fps: number | null } | null }): void => {
      seen.push(stats.video?.fps);
    };
    call.on('stats', onStats);
    await expect.poll(() => seen.length, { timeout: 5000 }).toBeGreaterThan(2);
    expect(seen.at(-1)).toBeGreaterThan(20);
    call.off('stats', onStats);
    const { length } = seen;
    await sleep(1200);
    expect(seen).toHaveLength(length);
  });
});

/** A-law in a WAV file. */
function wav(aLaw: Uint8Array): Buffer {
  const head = Buffer.alloc(44);
  head.write('RIFF', 0);
  head.writeUInt32LE(36 + aLaw.length, 4);
  head.write('WAVEfmt ', 8);
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(6, 20);
  head.writeUInt16LE(1, 22);
  head.writeUInt32LE(8000, 24);
  head.writeUInt32LE(8000, 28);
  head.writeUInt16LE(1, 32);
  head.writeUInt16LE(8, 34);
  head.write('data', 36);
  head.writeUInt32LE(aLaw.length, 40);
  return Buffer.concat([head, aLaw]);
}
