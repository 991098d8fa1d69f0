// Enhanced RTMP: VP8 and Opus of a call go out as they came, where the server takes them, and become H.264 and AAC elsewhere.

import type { CallGateway, CallGatewayOptions } from '@sipcast/core';
import { loadClip } from '@sipcast/testkit';
import type { CallScript, RtmpPublication, RtmpSink } from '@sipcast/testkit';
import { describe, expect, it } from 'vitest';
import { openGateway, openPhone, openSink } from '../../support/call-ends.ts';
import { readEnhanced } from '../../support/enhanced-flv.ts';
import type { EnhancedMedia } from '../../support/enhanced-flv.ts';
import { makeFolder } from '../../support/folder.ts';
import { standStill } from '../../support/stand-still.ts';

const BOTH = { video: ['vp08'], audio: ['Opus'] } as const;
const PHONE: CallScript = { videoCodec: 'VP8', audioCodec: 'opus' };

async function open(
  options: Partial<CallGatewayOptions> = {},
  script: CallScript = PHONE,
): Promise<{ gateway: CallGateway; callee: string }> {
  const peer = await openPhone({ t1Ms: 100, script });
  const gateway = await openGateway({ transcoding: {}, ...options });
  return { gateway, callee: peer.uri };
}

/** Waits for so many pictures. */
async function pictures({ tags }: RtmpPublication, count: number): Promise<EnhancedMedia> {
  await expect
    .poll(() => readEnhanced(tags).vp8.length, { timeout: 10_000 })
    .toBeGreaterThanOrEqual(count);
  return readEnhanced(tags);
}

const clip = loadClip();
const clipVp8 = new Map(
  clip.video.map(({ vp8 }, index) => [Buffer.from(vp8!).toString('hex'), index]),
);
const clipOpus = new Set(clip.sounds.opus!.map((packet) => Buffer.from(packet).toString('hex')));

describe('a VP8 and Opus call', () => {
  it('is published without an encoder to a server that takes both, bit for bit', async () => {
    const sink = await openSink({ enhanced: BOTH });
    const { gateway, callee } = await open({ transcoding: false, rtmp: { enhanced: 'auto' } });
    const call = await gateway.startup({ callee, rtmpUrl: sink.url, rtmpStream: 'key' });
    await call.established();
    const publication = await sink.nextPublication();
    await pictures(publication, 60);
    standStill(600);
    const media = await pictures(publication, 120);
    expect([...media.plain]).toEqual([]);
    expect([...media.videoFourCcs]).toEqual(['vp08']);
    // The record of "VP Codec ISO Media File Format Binding": profile 0, 8 bit; and OpusHead of two channels.
    expect(media.videoHeaders.map((octets) => octets.toString('hex'))).toEqual([
      '0000820202020000',
    ]);
    expect(media.audioHeaders.map((octets) => octets.toString('latin1', 0, 8))).toEqual([
      'OpusHead',
    ]);
    expect(media.vp8[0]?.isKey).toBe(true);
    const indexes = media.vp8.map(({ octets }) => clipVp8.get(octets.toString('hex')));
    // One after the other; a key frame that was asked for is another place of the clip.
    const broken = media.vp8.filter(
      ({ isKey }, at) => !isKey && indexes[at] !== (indexes[at - 1]! + 1) % clip.video.length,
    );
    expect(indexes).not.toContain(undefined);
    expect(broken).toEqual([]);
    const times = media.vp8.map(({ timeMs }) => timeMs);
    expect(times).toEqual(times.toSorted((one, other) => one - other));
    const strange = media.opus.filter(({ octets }) => !clipOpus.has(octets.toString('hex')));
    // What stands in for a packet that came too late is silence: none is too late because the process stood still.
    expect(media.opus.length).toBeGreaterThan(150);
    expect(strange.length).toBeLessThan(3);
    expect(Object.fromEntries(media.metadata)).toMatchObject({
      videocodecid: Buffer.from('vp08').readUInt32BE(0),
      audiocodecid: Buffer.from('Opus').readUInt32BE(0),
      width: 640,
      height: 360,
      audiosamplerate: 48_000,
      stereo: true,
    });
    expect(gateway.encoders).toEqual({ audio: 0, video: 0 });
    expect(call.view()).toMatchObject({
      status: 'ESTABLISHED',
      media: { video: { codec: 'vp8', width: 640, height: 360, droppedFrames: 0 } },
      pushes: [{ status: 'RTMP_STREAM_ACTIVE', width: 640, height: 360 }],
    });
  });

  it('becomes H.264 and AAC for a server that does not say that it takes them, beside one that does', async () => {
    const takesAll = await openSink({ enhanced: BOTH });
    const takesOpus = await openSink({ enhanced: { audio: ['Opus'] } });
    const plain = await openSink();
    const { gateway, callee } = await open({ rtmp: { enhanced: 'auto' } });
    const call = await gateway.startup({
      callee,
      toStream: 'cam',
      rtmpUrl: takesAll.url,
      rtmpStream: 'key',
    });
    gateway.pushes.start({ streamName: 'cam', rtmpUrl: takesOpus.url });
    gateway.pushes.start({ streamName: 'cam', rtmpUrl: plain.url });
    await call.established();
    await pictures(await takesAll.nextPublication(), 25);
    const media = async (sink: RtmpSink, vp8: boolean, count: number): Promise<EnhancedMedia> => {
      const { tags } = sink.publications[0] ?? (await sink.nextPublication());
      await expect
        .poll(() => tags.filter(({ type }) => type === 9).length, { timeout: 10_000 })
        .toBeGreaterThan(count);
      const read = readEnhanced(tags);
      expect(read.vp8.length > 0).toBe(vp8);
      return read;
    };
    expect([...(await media(takesAll, true, 25)).plain]).toEqual([]);
    const mixed = await media(takesOpus, false, 25);
    expect([...mixed.plain]).toEqual(['9.7']);
    // Pictures may have come all at once, when their encoder began; the sound comes as it is, at its own pace.
    const { tags } = takesOpus.publications[0]!;
    await expect.poll(() => readEnhanced(tags).opus.length).toBeGreaterThan(10);
    const old = await media(plain, false, 25);
    expect([...old.plain].toSorted()).toEqual(['8.10', '9.7']);
    expect(old.opus).toEqual([]);
    // Each form has its own encoders: H.264 with Opus is another one than H.264 with AAC.
    expect(gateway.encoders).toEqual({ audio: 1, video: 2 });
    await call.terminate();
    expect(gateway.encoders).toEqual({ audio: 0, video: 0 });
  });

  it('is encoded where `enhanced` is off, and passes where it is forced, whatever the server says', async () => {
    const off = await openSink({ enhanced: BOTH });
    const force = await openSink();
    const { gateway, callee } = await open();
    const call = await gateway.startup({ callee, toStream: 'cam' });
    gateway.pushes.start({ streamName: 'cam', rtmpUrl: off.url, rtmp: { enhanced: 'off' } });
    gateway.pushes.start({ streamName: 'cam', rtmpUrl: force.url, rtmp: { enhanced: 'force' } });
    await call.established();
    const forced = await pictures(await force.nextPublication(), 25);
    expect([...forced.plain]).toEqual([]);
    const { tags, connectObject } = off.publications[0]!;
    expect(connectObject.has('fourCcList')).toBe(false);
    const kinds = (): string[] => [...readEnhanced(tags).plain].toSorted();
    await expect.poll(kinds, { timeout: 10_000 }).toEqual(['8.10', '9.7']);
  });

  it('fails its push, and says why, where nothing can be encoded and the server does not take it', async () => {
    const sink = await openSink({ enhanced: { audio: ['Opus'] } });
    const { gateway, callee } = await open({ transcoding: false, rtmp: { enhanced: 'auto' } });
    const call = await gateway.startup({ callee, rtmpUrl: sink.url, rtmpStream: 'key' });
    const ended = new Promise<string | null>((resolve) => {
      call.on('rtmpStreamStatus', (status) => {
        if (status === 'RTMP_CONNECTION_FAILED') resolve(call.view().pushes[0]?.lastError ?? null);
      });
    });
    await call.established();
    expect(await ended).toBe('vp8 video needs encoding, and transcoding is off');
    expect(call.status).toBe('ESTABLISHED');
    // Without Enhanced RTMP the call itself is what cannot be.
    const old = await open({ transcoding: false });
    const other = await old.gateway.startup({
      callee: old.callee,
      rtmpUrl: sink.url,
      rtmpStream: 'other',
    });
    await other.closed();
    expect(other.view()).toMatchObject({
      status: 'FAILED',
      info: 'Transcoding required, but disabled',
    });
  });

  it('says in the log why it is not recorded where nothing can be encoded', async () => {
    const sink = await openSink({ enhanced: BOTH });
    const lines: string[] = [];
    const log = (line: string): void => void lines.push(line);
    const dir = await makeFolder();
    const { gateway, callee } = await open({
      transcoding: false,
      rtmp: { enhanced: 'auto' },
      recording: { dir },
      logger: { debug: log, info: log, warn: log, error: log },
    });
    const target = { rtmpUrl: sink.url, rtmpStream: 'key' };
    const call = await gateway.startup({ callee, record: true, ...target });
    await call.established();
    expect(lines.join('\n')).toMatch(
      /recording \S+: opus audio needs encoding, and transcoding is off/,
    );
    await pictures(await sink.nextPublication(), 5);
  });

  it('takes the form of the server that it finds after a loss, and of the one that it is sent to', async () => {
    const first = await openSink({ enhanced: { ...BOTH, reconnect: true } });
    const second = await openSink();
    const { gateway, callee } = await open({
      rtmp: { enhanced: 'auto', mayRedirect: (url) => url === second.url },
    });
    const call = await gateway.startup({ callee, rtmpUrl: first.url, rtmpStream: 'key' });
    await call.established();
    const old = await first.nextPublication();
    await pictures(old, 25);
    first.requestReconnect(second.url);
    const next = await second.nextPublication();
    await old.ended;
    // The old one is let go of when the new one has its picture, not sooner: it is on its way.
    const kinds = (): string[] => [...readEnhanced(next.tags).plain].toSorted();
    await expect.poll(kinds).toEqual(['8.10', '9.7']);
    expect(readEnhanced(next.tags).vp8).toEqual([]);
    expect(call.rtmpStreamStatus).toBe('RTMP_STREAM_ACTIVE');
    // It is lost, and the first one is asked again.
    await second.close();
    await expect.poll(() => first.publications.length, { timeout: 10_000 }).toBe(2);
    const again = await pictures(first.publications[1]!, 10);
    expect([...again.plain]).toEqual([]);
    expect(again.vp8[0]?.isKey).toBe(true);
  });

  it('costs an ordinary call nothing: one encoder serves servers of both kinds', async () => {
    const enhanced = await openSink({ enhanced: BOTH });
    const plain = await openSink();
    const { gateway, callee } = await open({ rtmp: { enhanced: 'auto' } }, {});
    const call = await gateway.startup({ callee, toStream: 'cam' });
    await call.established();
    for (const sink of [enhanced, plain]) {
      gateway.pushes.start({ streamName: 'cam', rtmpUrl: sink.url });
      const { tags } = await sink.nextPublication();
      const kinds = (): string[] => [...readEnhanced(tags).plain].toSorted();
      await expect.poll(kinds, { timeout: 5000 }).toEqual(['8.10', '9.7']);
    }
    expect(gateway.encoders).toEqual({ audio: 1, video: 0 });
  });

  it('begins with the newest key frame for a push that joins late, its headers first', async () => {
    const sink = await openSink({ enhanced: BOTH });
    const { gateway, callee } = await open({ transcoding: false, rtmp: { enhanced: 'force' } });
    const call = await gateway.startup({ callee, toStream: 'cam' });
    await call.established();
    await expect.poll(() => gateway.streams.find()[0]?.width ?? null, { timeout: 5000 }).toBe(640);
    gateway.pushes.start({ streamName: 'cam', rtmpUrl: sink.url });
    const { tags } = await sink.nextPublication();
    await expect.poll(() => tags.length).toBeGreaterThan(10);
    const kinds = tags.map(({ type, body }) => `${type}.${type === 18 ? '' : body[0]! & 15}`);
    expect(kinds.slice(0, 3).toSorted()).toEqual(['18.', '8.0', '9.0']);
    expect(readEnhanced(tags).vp8[0]?.isKey).toBe(true);
    expect(call.status).toBe('ESTABLISHED');
  });

  it('is silent in Opus when its push is muted', async () => {
    const sink = await openSink({ enhanced: BOTH });
    const { gateway, callee } = await open({ transcoding: false, rtmp: { enhanced: 'force' } });
    const call = await gateway.startup({ callee, toStream: 'cam' });
    await call.established();
    gateway.pushes.start({ streamName: 'cam', rtmpUrl: sink.url, muted: true });
    const { tags } = await sink.nextPublication();
    await expect.poll(() => readEnhanced(tags).opus.length, { timeout: 5000 }).toBeGreaterThan(20);
    const octets = new Set(readEnhanced(tags).opus.map((one) => one.octets.toString('hex')));
    expect(octets.size).toBe(1);
    expect(clipOpus.has([...octets][0]!)).toBe(false);
  });
});
