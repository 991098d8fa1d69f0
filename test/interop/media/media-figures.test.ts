// The figures of the whole path, from the phone's packets to the RTMP server: skew, first key frame, latency, loss.

import { setTimeout as sleep } from 'node:timers/promises';
import type { CallGateway } from '@sipcast/core';
import { loadClip, measureAvSkew } from '@sipcast/testkit';
import type { CallScript, ReceivedTag } from '@sipcast/testkit';
import { beforeEach, expect, it } from 'vitest';
import { openGateway, openPhone, openSink } from '../../support/call-ends.ts';
import { startNginxRtmp } from '../../support/nginx-rtmp.ts';
import type { NginxRtmp } from '../../support/nginx-rtmp.ts';
import { describeWith } from '../../support/programs.ts';
import { probeRecording } from '../../support/recording.ts';
import { afterTest } from '../../support/cleanup.ts';
import { makeFolder } from '../../support/folder.ts';

const SKEW_PLAY_MS = 12_000;
const LOSS_PLAY_MS = 12_000;

const round = (values: readonly number[]): string => values.map((ms) => ms.toFixed(0)).join(', ');

/** The clip, begun behind its first key frame: the next one comes after two seconds, if nobody asks. */
function headless() {
  const clip = loadClip();
  const video = [...clip.video.slice(1), ...clip.video.slice(0, 1)];
  return { ...clip, video: video.map((unit, index) => ({ ...unit, index })) };
}

describeWith(['nginx', 'ffmpeg', 'ffprobe'], 'figures', () => {
  let dir: string;
  let gateway: CallGateway;
  let nginx: NginxRtmp;
  beforeEach(async () => {
    dir = await makeFolder();
    nginx = await startNginxRtmp(dir);
    afterTest(() => nginx.stop());
    gateway = await openGateway({ transcoding: {}, videoFreezeMs: 0 });
  });

  async function startCall(script: CallScript, rtmpUrl: string, rtmpStream: string) {
    const peer = await openPhone({ script });
    const call = await gateway.startup({ callee: peer.uri, rtmpUrl, rtmpStream });
    await call.established();
    return { call, phone: await peer.nextCall() };
  }

  /** Plays for a while to nginx. */
  async function record(name: string, script: CallScript, playMs: number) {
    const { call, phone } = await startCall(script, nginx.url, name);
    await sleep(playMs);
    const stats = call.stats();
    const sent = phone.sender!.stats.video!;
    await call.terminate();
    const [file = ''] = await nginx.finished(`${name}-`);
    return { file, stats, sent };
  }

  const SCRIPTS: readonly [name: string, script: CallScript][] = [
    ['pcma and h264', {}],
    ['opus and h264', { audioCodec: 'opus' }],
    ['pcma and vp8', { videoCodec: 'VP8' }],
  ];
  for (const [name, script] of SCRIPTS) {
    it(`keeps flash and beep together: ${name}`, async () => {
      const jitterMs = 20;
      const loss = { loss: 0.05, jitterMs };
      const lines: readonly [line: string, boundMs: number, more: CallScript][] = [
        ['with-reports', 40, { sender: { senderReports: true } }],
        ['without-reports', 80, { sender: { senderReports: false } }],
        ['five-percent-loss', 80, {}],
        ['five-percent-loss-with-nack', 80, { nack: true }],
      ];
      const results = await Promise.all(
        lines.map(async ([line, boundMs, more], at) => {
          const impairments = { ...(at >= 2 ? loss : { jitterMs }), seed: 11 + at };
          const { file } = await record(
            `${line}-${name.replaceAll(' ', '-')}`,
            {
              ...script,
              ...more,
              sender: {
                ...more.sender,
                // A clip that jumps has flashes and beeps at other times than once a second.
                answerKeyFrameRequests: false,
                video: { impairments },
                audio: { impairments: { ...impairments, seed: 21 + at } },
              },
            },
            SKEW_PLAY_MS,
          );
          return { line, boundMs, file };
        }),
      );
      const judged = await Promise.all(
        results.map(async (result) => ({ ...result, ...(await measureAvSkew(result.file)) })),
      );
      for (const { line, boundMs, skewsMs, medianMs, worstMs } of judged) {
        console.log(
          `skew of ${name}, ${line}: median ${medianMs.toFixed(0)}, worst ${worstMs.toFixed(0)} of ${boundMs} ms; ${round(skewsMs)}`,
        );
      }
      for (const { line, boundMs, skewsMs, worstMs } of judged) {
        expect(skewsMs.length, line).toBeGreaterThanOrEqual(line.includes('loss') ? 2 : 10);
        expect(Math.abs(worstMs), line).toBeLessThanOrEqual(boundMs);
      }
    });
  }

  it('publishes the first key frame within 1.5 s of the answer, by any one way of asking', async () => {
    const sink = await openSink({
      keepTags: false,
      onTag: (tag, { streamName }) => note(tag, streamName),
    });
    const firstMs = new Map<string, number>();
    function note({ type, body, arrivalMs }: ReceivedTag, name: string): void {
      const isKey = type === 9 && body[0]! >> 4 === 1 && body[1] === 1;
      if (isKey && !firstMs.has(name)) firstMs.set(name, arrivalMs);
    }
    const waits = new Map<string, number[]>();
    const measure = async (by: string, script: CallScript, turn: number): Promise<void> => {
      const name = `${by}-${turn}`;
      const { call, phone } = await startCall(script, sink.url, name);
      const answered = phone.messages.find(
        ({ direction, message }) =>
          direction === 'out' && message.kind === 'response' && message.statusCode === 200,
      )!;
      await expect.poll(() => firstMs.has(name), { timeout: 5000 }).toBe(true);
      waits.set(by, [...(waits.get(by) ?? []), firstMs.get(name)! - answered.atMs]);
      await call.terminate();
    };
    const sender = { clip: headless(), keyFrameDelayMs: 100 };
    for (let turn = 0; turn < 4; turn++) {
      await Promise.all([
        ...(['pli', 'fir', 'info'] as const).map((by) =>
          measure(by, { sender: { ...sender, keyFrameBy: [by] } }, turn),
        ),
        measure('pli-vp8', { videoCodec: 'VP8', sender: { ...sender, keyFrameBy: ['pli'] } }, turn),
      ]);
    }
    for (const [by, ms] of waits)
      console.log(`first key frame at the server by ${by} alone: ${round(ms)} ms after the answer`);
    for (const [by, ms] of waits) expect(Math.max(...ms), by).toBeLessThanOrEqual(1500);
  });

  /** A picture by its first slice. */
  const keyOf = (nal: Uint8Array): string =>
    `${nal.length} ${Buffer.from(nal.subarray(0, 48)).toString('base64')}`;

  function keyOfTag({ type, body }: ReceivedTag): string | undefined {
    if (type !== 9 || body[1] !== 1) return undefined;
    const bytes = Buffer.from(body.buffer, body.byteOffset, body.length);
    for (let at = 5; at + 4 < bytes.length; ) {
      const size = bytes.readUInt32BE(at);
      const nal = bytes.subarray(at + 4, at + 4 + size);
      if ((nal[0]! & 0x1f) <= 5) return keyOf(nal);
      at += 4 + size;
    }
    return undefined;
  }

  it('adds no more than the jitter delay and 20 ms to pictures that pass', async () => {
    const sentMs = new Map<string, number>();
    const delays: number[] = [];
    const sink = await openSink({
      keepTags: false,
      onTag: (tag) => {
        const key = keyOfTag(tag);
        const atMs = key === undefined ? undefined : sentMs.get(key);
        if (atMs !== undefined) delays.push(tag.arrivalMs - atMs);
      },
    });
    const { call } = await startCall(
      {
        sender: {
          onAccessUnit: ({ unit }) => {
            const slice = unit.nalus.find((nal) => (nal[0]! & 0x1f) <= 5)!;
            sentMs.set(keyOf(slice), performance.now());
          },
        },
      },
      sink.url,
      'latency',
    );
    await sleep(8000);
    const jitterDelayMs = call.stats()!.video!.jitterDelayMs;
    await call.terminate();
    // What waited for the connection is no latency of a picture that passes.
    const sorted = delays.slice(25).toSorted((a, b) => a - b);
    const at = (share: number): number => sorted[Math.floor(share * (sorted.length - 1))]!;
    console.log(
      `latency of ${sorted.length} pictures, last packet sent to tag received: median ${at(0.5).toFixed(1)}, p95 ${at(0.95).toFixed(1)}, p99 ${at(0.99).toFixed(1)}, worst ${at(1).toFixed(1)} ms; jitter delay ${jitterDelayMs.toFixed(0)} ms`,
    );
    expect(sorted.length).toBeGreaterThan(150);
    expect(at(0.95)).toBeLessThanOrEqual(jitterDelayMs + 20);
  });

  it('records no decode error at 1, 5 and 10 % loss', async () => {
    const cases = [0.01, 0.05, 0.1].flatMap((loss) =>
      (['H264', 'VP8'] as const).map((videoCodec) => ({ loss, videoCodec })),
    );
    const results = await Promise.all(
      cases.map(async ({ loss, videoCodec }) => {
        const script: CallScript = {
          videoCodec,
          sender: {
            keyFrameDelayMs: 150,
            video: { impairments: { loss, seed: 7 } },
            audio: { impairments: { loss, seed: 8 } },
          },
        };
        const name = `loss-${loss * 100}-${videoCodec}`;
        return { loss, videoCodec, ...(await record(name, script, LOSS_PLAY_MS)) };
      }),
    );
    const errorsOf = new Map<string, string>();
    for (const { loss, videoCodec, file, stats, sent } of results) {
      const { audio, video, errors } = await probeRecording(file);
      const name = `${loss * 100} % loss, ${videoCodec}`;
      const frozen = stats?.video?.frozenFrames ?? 0;
      const clean = (video!.timesMs.length - frozen) / sent.frames;
      console.log(
        `${name}: ${(clean * 100).toFixed(0)} % of ${sent.frames} pictures clean, ${frozen} frozen, ${stats?.video?.keyFrameRequests} key-frame requests, largest AAC step ${audio!.largestStepMs} ms, ${errors === '' ? 0 : errors.split('\n').length} lines of decode errors`,
      );
      errorsOf.set(name, errors);
      expect(audio!.largestStepMs, name).toBeLessThanOrEqual(24);
      expect([audio!.backwards, video!.backwards], name).toEqual([0, 0]);
    }
    for (const [name, errors] of errorsOf) expect(errors, name).toBe('');
  });
});
