// Streams of one's own: frames that are pushed, found and watched and pushed on and injected like a call's. And outputs of
// one's own, at streams of either kind.

import type { Output, PublishedStream } from '@sipcast/core';
import { annexB, findFfmpeg } from '@sipcast/media';
import { AdtsReader, FlvReader } from '@sipcast/media/wire';
import type { FlvTag, StreamAudio, StreamVideo } from '@sipcast/media';
import type { AacFormat, FlvFileTag } from '@sipcast/media/wire';
import { loadClip } from '@sipcast/testkit';
import { describe, expect, it } from 'vitest';
import { openGateway, openPhone, openSink } from '../../support/call-ends.ts';
import { afterTest } from '../../support/cleanup.ts';
import { readEnhanced } from '../../support/enhanced-flv.ts';
import { ffmpeg } from '../../support/sound.ts';
import { standStill } from '../../support/stand-still.ts';

const clip = loadClip();
const FRAME_MS = 40;
const alaw = (at: number): Uint8Array => clip.audio.subarray(at * 160, at * 160 + 160);

/** AAC of a 1 kHz tone: 44.1 kHz, stereo, in frames of 23.2 ms. */
async function aacTone(): Promise<{ format: AacFormat; frames: Uint8Array[] }> {
  const frames: Uint8Array[] = [];
  let format: AacFormat | undefined;
  const reader = new AdtsReader({
    onFormat: (found) => {
      format = found;
    },
    onFrame: (frame) => frames.push(frame),
  });
  const tone = ['-f', 'lavfi', '-i', 'sine=1000:d=3:r=44100', '-ac', '2', '-c:a', 'aac'];
  const { path } = await findFfmpeg();
  reader.push(ffmpeg([...tone, '-f', 'adts', '-'], undefined, path));
  return { format: format!, frames };
}

/** Pushes at the pace of the clock until the test ends: what is due by now, every 20 ms. */
function play(
  stepMs: number,
  push: (index: number, timestampMs: number) => void,
  zeroMs = 0,
): void {
  const startMs = performance.now();
  let index = 0;
  const timer = setInterval(() => {
    for (; index * stepMs <= performance.now() - startMs; index++)
      push(index, zeroMs + index * stepMs);
  }, 20);
  afterTest(() => clearInterval(timer));
}

function playClip(stream: PublishedStream, zeroMs = 5_000_000): void {
  const { video } = clip;
  play(20, (at, ms) => stream.pushAudio(alaw(at % 900), ms), zeroMs);
  play(FRAME_MS, (at, ms) => stream.pushVideo(annexB(video[at % video.length]!.nalus), ms), zeroMs);
}

const G711 = { audio: { codec: 'pcma' }, video: { codec: 'h264' } } as const;
const PASS = { audio: 'passthrough', video: 'passthrough' } as const;

/** Milliseconds up to which the AAC of a publication goes. */
function aacUntilMs(tags: readonly FlvFileTag[]): number {
  const last = tags.findLast(({ type, body }) => type === 8 && body[1] === 1)!;
  return last.timestampMs + 1024 / 44.1;
}

describe('a stream of one’s own', () => {
  it('is heard to its last sound when it ends, although an encoder still holds it', async () => {
    const gateway = await openGateway({ transcoding: {} });
    const sink = await openSink();
    const stream = gateway.streams.publish('mine', { audio: { codec: 'pcma' } });
    let pushedMs = 0;
    play(20, (at, ms) => {
      stream.pushAudio(alaw(at), ms);
      pushedMs = ms + 20;
    });
    gateway.pushes.start({ streamName: 'mine', rtmpUrl: sink.url });
    const publication = await sink.nextPublication();
    await expect.poll(() => publication.tags.length, { timeout: 8000 }).toBeGreaterThan(20);
    const endMs = pushedMs;
    await stream.close();
    await publication.ended;
    expect(Math.abs(aacUntilMs(publication.tags) - endMs)).toBeLessThan(1024 / 44.1);
  });

  it('is found, watched, and pushed with the very octets that were pushed into it', async () => {
    const gateway = await openGateway({ transcoding: false });
    const sink = await openSink();
    const stream = gateway.streams.publish('mine', G711);
    playClip(stream);
    const push = gateway.pushes.start({ streamName: 'mine', rtmpUrl: sink.url });
    expect(push.mediaSessionId).toMatch(/^mine-/);
    const { tags } = await sink.nextPublication();
    await expect
      .poll(() => tags.filter(({ type }) => type === 9).length, { timeout: 8000 })
      .toBeGreaterThan(50);
    const first = tags.find(({ type, body }) => type === 9 && body[1] === 1)!;
    expect(first.body[0]).toBe(0x17);
    const picture = clip.video.find(({ isKeyFrame }) => isKeyFrame)!;
    const slice = picture.nalus.at(-1)!;
    expect(Buffer.from(first.body).indexOf(Buffer.from(slice))).toBeGreaterThan(0);
    // What was pushed stands there in its order: nothing was filled in and nothing left out, although the process stands still.
    standStill(900);
    const sounds = (): FlvFileTag[] => tags.filter(({ type }) => type === 8);
    await expect.poll(() => sounds().length, { timeout: 8000 }).toBeGreaterThan(140);
    const at = sounds().map(
      ({ body }) => Buffer.from(clip.audio).indexOf(Buffer.from(body).subarray(1)) / 160,
    );
    expect(at).toEqual(at.map((_, index) => at[0]! + index));
    const [view] = gateway.streams.find({ streamName: 'mine' });
    expect(view).toMatchObject({
      streamName: 'mine',
      callId: null,
      live: true,
      audioCodec: 'pcma',
      videoCodec: 'h264',
      width: 640,
      height: 360,
      pushes: 1,
    });
    await expect
      .poll(() => gateway.streams.find()[0]?.fps ?? 0, { timeout: 4000 })
      .toBeGreaterThan(15);
    expect(gateway.pushes.find({ streamName: 'mine' })[0]).toMatchObject({
      width: 640,
      height: 360,
    });
    await stream.close();
    expect(gateway.streams.find()).toEqual([]);
    expect(gateway.pushes.find()).toEqual([]);
    expect(sink.publications[0]?.endedOrderly).toBe(true);
  });

  it('needs a name that no call uses', async () => {
    const gateway = await openGateway({ transcoding: false });
    const phone = await openPhone();
    const stream = gateway.streams.publish('taken', G711);
    await expect(gateway.startup({ callee: phone.uri, toStream: 'taken' })).rejects.toMatchObject({
      code: 'STREAM_EXISTS',
    });
    expect(() => gateway.streams.publish('taken', G711)).toThrow(/has this name/);
    const closing = stream.close();
    // Free at once.
    const call = await gateway.startup({ callee: phone.uri, toStream: 'taken' });
    expect(() => gateway.streams.publish('taken', G711)).toThrow(/has this name/);
    await Promise.all([closing, call.terminate()]);
    for (const [name, options, problem] of [
      ['a/b', G711, /name may hold/],
      ['none', {}, /neither audio nor video/],
      ['odd', { audio: { codec: 'mp3' } }, /media.audio/],
      [
        'odd',
        { audio: { codec: 'aac', audioSpecificConfig: Uint8Array.of(1) } },
        /AudioSpecificConfig/,
      ],
      ['odd', { audio: { codec: 'g722' } }, /needs encoding/],
    ] as const) {
      expect(() => gateway.streams.publish(name, options as never)).toThrow(problem);
    }
    expect(gateway.streams.find()).toEqual([]);
  });

  it('reports an invalid frame, and continues', async () => {
    const gateway = await openGateway({ transcoding: false });
    const wanted: number[] = [];
    const stream = gateway.streams.publish('mine', {
      ...G711,
      onKeyFrameWanted: () => wanted.push(1),
    });
    stream.pushAudio(alaw(0), 1000);
    for (const [push, field] of [
      [() => stream.pushAudio(alaw(0), 999), 'timestampMs'],
      [() => stream.pushAudio(alaw(0), Number.NaN), 'timestampMs'],
      [() => stream.pushAudio(alaw(0), Number.POSITIVE_INFINITY), 'timestampMs'],
      [() => stream.pushAudio(alaw(0), '1020' as never), 'timestampMs'],
      [() => stream.pushVideo(clip.video[0]!.nalus, 1e300), 'timestampMs'],
      [() => stream.pushAudio('sound' as never, 1020), 'payload'],
      [() => stream.pushVideo([1, 2] as never, 1000), 'picture'],
      [() => stream.pushVideo(null as never, 1000), 'picture'],
      [() => stream.pushAudio(new Uint8Array(), 1020), 'payload'],
      [() => stream.pushVideo(new Uint8Array(9), 1000), 'picture'],
      [() => stream.pushVideo([Uint8Array.of(9, 0x10)], 1000), 'picture'],
      [() => stream.pushVideo([Uint8Array.of(0x65)], 1000, { decodeMs: 1001 }), 'timestampMs'],
    ] as const) {
      expect(push).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT', field }));
    }
    const tags: FlvTag[] = [];
    stream.stream.addOutput({ push: (tag) => tags.push(tag) });
    expect(wanted).toEqual([1]);
    stream.pushVideo(clip.video[0]!.nalus, 1000);
    expect(tags.map(({ role }) => role)).toEqual(['metadata', 'sequence-header', 'key-frame']);
    await stream.close();
    stream.pushAudio(alaw(0), 2000);
  });

  it('is heard by the peer of a call: G.711 as it is, AAC and Opus decoded', async () => {
    const gateway = await openGateway({ transcoding: {} });
    const phone = await openPhone({ script: { media: false } });
    const call = await gateway.startup({ callee: phone.uri, hasVideo: false });
    await call.established();
    const peerCall = await phone.nextCall();
    const { format, frames } = await aacTone();
    const aac = gateway.streams.publish('aac', {
      audio: { codec: 'aac', audioSpecificConfig: format.audioSpecificConfig },
    });
    const frameMs = 1024_000 / 44_100;
    play(frameMs, (at, ms) => aac.pushAudio(frames[at % frames.length]!, ms));
    const g711 = gateway.streams.publish('g711', { audio: { codec: 'pcma' } });
    play(20, (at, ms) => g711.pushAudio(alaw(at % 900), ms));
    const opus = gateway.streams.publish('opus', { audio: { codec: 'opus' } });
    play(20, (at, ms) => opus.pushAudio(clip.sounds.opus![at % 900]!, ms));
    for (const name of ['aac', 'g711', 'opus']) {
      gateway.calls.get(call.callId).injectStream(gateway.streams.get(name));
      // Silence is 0xD5 alone; the clip beeps once a second.
      const heard = new Set<string>();
      const isLoud = (): boolean => {
        const { payload } = peerCall.audio!.received.lastPacket ?? {};
        if (payload?.some((octet) => octet !== 0xd5 && octet !== 0x55))
          heard.add(Buffer.from(payload).toString('hex'));
        return heard.size > 4;
      };
      // An encoder that a busy machine does not let begin is started anew after three seconds.
      await expect.poll(isLoud, { timeout: 15_000, interval: 10, message: name }).toBe(true);
    }
    gateway.calls.get(call.callId).stopInjection();
    expect(gateway.faults['audio-inject-failed']).toBeUndefined();
  });

  it('of AAC reaches viewers and servers as it is, and is muted like any other', async () => {
    const gateway = await openGateway({ transcoding: false });
    const sink = await openSink();
    const { format, frames } = await aacTone();
    const stream = gateway.streams.publish('mine', {
      audio: { codec: 'aac', audioSpecificConfig: format.audioSpecificConfig },
    });
    play(1024_000 / 44_100, (at, ms) => stream.pushAudio(frames[at % frames.length]!, ms));
    gateway.pushes.start({ streamName: 'mine', rtmpUrl: sink.url });
    const { tags } = await sink.nextPublication();
    const octets: FlvFileTag[] = [];
    const reader = new FlvReader(
      { onTag: (tag) => octets.push(tag), onFault: () => {} },
      1_000_000,
    );
    const viewer = gateway.streams.watch(
      'mine',
      { write: (piece) => reader.push(piece), waitingBytes: 0 },
      () => {},
    );
    const known = new Set(frames.map((frame) => Buffer.from(frame).toString('hex')));
    for (const list of [tags, octets]) {
      const sounds = (): string[] =>
        list
          .filter(({ type, body }) => type === 8 && body[1] === 1)
          .map(({ body }) => Buffer.from(body).toString('hex', 2));
      await expect.poll(() => sounds().length, { timeout: 5000 }).toBeGreaterThan(30);
      expect(sounds().filter((one) => !known.has(one))).toEqual([]);
    }
    expect(gateway.streams.get('mine').viewers).toBe(1);
    viewer.close();
    expect(gateway.streams.get('mine').viewers).toBe(0);
    const { mediaSessionId } = gateway.pushes.find()[0]!;
    gateway.pushes.get(mediaSessionId).mute();
    // A channel pair of silence, as the stream is stereo.
    await expect
      .poll(() => Buffer.from(tags.at(-1)!.body).toString('hex'))
      .toBe('af01211004608c1c');
    await expect(gateway.pushes.playSound(mediaSessionId, 'ding.wav')).rejects.toThrow();
  });

  it('of VP8 and Opus passes to servers that take them', async () => {
    const gateway = await openGateway({ transcoding: false, rtmp: { enhanced: 'auto' } });
    const sink = await openSink({ enhanced: { video: ['vp08'], audio: ['Opus'] } });
    const stream = gateway.streams.publish('mine', {
      audio: { codec: 'opus' },
      video: { codec: 'vp8' },
    });
    const { video, sounds } = clip;
    play(20, (at, ms) => stream.pushAudio(sounds.opus![at % 900]!, ms));
    play(FRAME_MS, (at, ms) => stream.pushVideo(video[at % video.length]!.vp8!, ms));
    gateway.pushes.start({ streamName: 'mine', rtmpUrl: sink.url });
    const { tags } = await sink.nextPublication();
    await expect.poll(() => readEnhanced(tags).vp8.length, { timeout: 5000 }).toBeGreaterThan(25);
    expect(readEnhanced(tags).opus.length).toBeGreaterThan(25);
    expect([...readEnhanced(tags).plain]).toEqual([]);
  });

  it('ends with the gateway', async () => {
    const gateway = await openGateway({ transcoding: false });
    const stream = gateway.streams.publish('mine', G711);
    const told: string[] = [];
    stream.stream.addOutput({ push: () => {}, onEnded: () => void told.push('ended') });
    await gateway.close();
    expect(told).toEqual(['ended']);
    expect(() => gateway.streams.publish('late', G711)).toThrow(/closing/);
  });
});

describe('an output of one’s own', () => {
  it('joins a call late with headers and the newest key frame at once, and a fresh one is asked for', async () => {
    const gateway = await openGateway({ transcoding: false });
    const phone = await openPhone();
    const call = await gateway.startup({ callee: phone.uri, toStream: 'cam' });
    await call.established();
    await expect
      .poll(() => call.stats()?.video?.frames ?? 0, { timeout: 5000 })
      .toBeGreaterThan(30);
    const asked = call.stats()!.video!.keyFrameRequests;
    const tags: FlvTag[] = [];
    const told: string[] = [];
    const leave = gateway.streams.get('cam').addOutput(
      {
        onLive: ({ hasAudio, hasVideo }) => told.push(`live ${hasAudio} ${hasVideo}`),
        push: (tag) => tags.push(tag),
        onEnded: () => void told.push('ended'),
      },
      PASS,
    );
    expect(told).toEqual(['live true true']);
    // Within this turn of the event loop: nothing has come in between.
    expect(tags.slice(0, 3).map(({ role }) => role)).toEqual([
      'metadata',
      'sequence-header',
      'key-frame',
    ]);
    await expect.poll(() => call.stats()!.video!.keyFrameRequests).toBeGreaterThan(asked);
    leave();
    const { length } = tags;
    await call.terminate();
    expect(tags).toHaveLength(length);
    expect(told).toEqual(['live true true']);
  });

  it('that throws is removed and told why, and neither the call nor its siblings notice', async () => {
    const gateway = await openGateway({ transcoding: false });
    const sink = await openSink();
    const phone = await openPhone();
    const call = await gateway.startup({
      callee: phone.uri,
      toStream: 'cam',
      rtmpUrl: sink.url,
      rtmpStream: 'key',
    });
    await call.established();
    const { tags } = await sink.nextPublication();
    const stream = gateway.streams.get('cam');
    const ends: unknown[] = [];
    let pushes = 0;
    const bad: Output = {
      push: () => {
        pushes++;
        throw new Error('mine');
      },
      onEnded: (error) => {
        ends.push((error as Error).message);
        return Promise.reject(new Error('and this'));
      },
    };
    stream.addOutput(bad);
    await expect.poll(() => ends, { timeout: 3000 }).toEqual(['mine']);
    const { length } = tags;
    await expect.poll(() => tags.length).toBeGreaterThan(length + 30);
    expect(pushes).toBe(1);
    expect(() =>
      stream.addOutput({
        ...bad,
        onLive: () => {
          throw new Error('at once');
        },
      }),
    ).toThrow('at once');
    expect(call.status).toBe('ESTABLISHED');
    await call.terminate();
    expect(call.status).toBe('FINISH');
    expect(ends).toEqual(['mine']);
  });

  it('that is an async function and fails is removed like one that throws', async () => {
    const gateway = await openGateway({ transcoding: false });
    const published = gateway.streams.publish('mine', G711);
    const ends: unknown[] = [];
    published.stream.addOutput({
      push: () => Promise.reject(new Error('async')) as never,
      onEnded: (error) => void ends.push((error as Error).message),
    });
    const { nalus } = clip.video[0]!;
    published.pushVideo(nalus, 0);
    await expect.poll(() => ends).toEqual(['async']);
    published.pushVideo(nalus, 40);
    await published.close();
    expect(ends).toEqual(['async']);
  });

  it('flushes before the call counts as closed', async () => {
    const gateway = await openGateway({ transcoding: false });
    const phone = await openPhone();
    const call = await gateway.startup({ callee: phone.uri, toStream: 'cam' });
    await call.established();
    let flushed = false;
    gateway.streams.get('cam').addOutput({
      push: () => {},
      onEnded: async () => {
        await new Promise((resolve) => {
          setTimeout(resolve, 100);
        });
        flushed = true;
      },
    });
    await call.terminate();
    expect(flushed).toBe(true);
  });

  it('may take frames instead: pictures from a key frame on with their times, and gap-free sound', async () => {
    const gateway = await openGateway({ transcoding: false });
    const phone = await openPhone();
    const call = await gateway.startup({ callee: phone.uri, toStream: 'cam' });
    const stream = gateway.streams.get('cam');
    const sounds: StreamAudio[] = [];
    const pictures: StreamVideo[] = [];
    const ends = [
      stream.tapAudio((frame) => sounds.push(frame)),
      stream.tapVideo((frame) => pictures.push(frame)),
    ];
    await call.established();
    await expect.poll(() => pictures.length, { timeout: 5000 }).toBeGreaterThan(50);
    expect(pictures[0]).toMatchObject({ codec: 'h264', isKeyFrame: true });
    const known = new Set(
      clip.video.flatMap(({ nalus }) => nalus.map((nalu) => Buffer.from(nalu).toString('hex'))),
    );
    for (const picture of pictures) {
      expect(picture.presentMs).toBeGreaterThanOrEqual(picture.decodeMs);
      if (picture.codec === 'h264')
        for (const nalu of picture.nalus)
          expect(known).toContain(Buffer.from(nalu).toString('hex'));
    }
    const decoded = pictures.map(({ decodeMs }) => decodeMs);
    expect(decoded).toEqual(decoded.toSorted((one, other) => one - other));
    for (const [at, { timestampMs, durationMs }] of sounds.slice(0, -1).entries())
      expect(sounds[at + 1]!.timestampMs).toBeCloseTo(timestampMs + durationMs, 6);
    for (const end of ends) end();
    const { length } = pictures;
    await call.terminate();
    expect(pictures).toHaveLength(length);
  });
});
