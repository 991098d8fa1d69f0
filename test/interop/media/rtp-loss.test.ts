// A lossy line in front of a media session, and ffmpeg as the judge of what was recorded.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { formatFlvHeader, formatFlvTag } from '@sipcast/media';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { decodeErrors, summarizeFlv } from '../../support/flv-check.ts';
import { comparePictures, openMediaCall } from '../../support/media-call.ts';
import { describeWith } from '../../support/programs.ts';

const PLAY_MS = 12_000;
/**
 * Share of pictures that must be published, by loss. Without NACK a key frame comes within 200 ms of a request, of which
 * there is one each 500 ms at most; at 10 % two of three key frames are themselves lost on the way, and after the third a
 * picture survives four others on average: a tenth is what such a line can give to who shows no broken pictures.
 */
const TARGETS = [
  { loss: 0.01, plain: 0.6, nack: 0.98 },
  { loss: 0.05, plain: 0.2, nack: 0.93 },
  { loss: 0.1, plain: 0.05, nack: 0.9 },
] as const;

describeWith(['ffmpeg'], 'a lossy line', () => {
  let dir: string;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'rtp-loss-'));
  });
  afterAll(() => rm(dir, { recursive: true, force: true }));

  const record = async (name: string, options: Parameters<typeof openMediaCall>[0]) => {
    const call = await openMediaCall(options);
    try {
      await sleep(PLAY_MS);
      call.sender.stop();
      await sleep(300);
      const pictures = comparePictures(call);
      const stats = call.session.stats();
      const path = join(dir, `${name}.flv`);
      await writeFile(
        path,
        Buffer.concat([
          formatFlvHeader({ hasAudio: true, hasVideo: true }),
          ...call.tags.map((tag) => formatFlvTag(tag)),
        ]),
      );
      return { call, pictures, stats, path };
    } finally {
      await call.close();
    }
  };

  it('shows no broken picture at 1, 5 and 10 % loss, and few missing ones with NACK', async () => {
    const runs = TARGETS.flatMap(({ loss, plain, nack }) => [
      { loss, share: plain, nack: false },
      { loss, share: nack, nack: true },
    ]);
    const results = await Promise.all(
      runs.map(async ({ loss, share, nack }) => ({
        loss,
        share,
        nack,
        ...(await record(`${loss}-${String(nack)}`, {
          feedback: { pli: true, fir: true, nack },
          // A frozen picture is none that was sent.
          session: { videoFreezeMs: 0 },
          sender: { keyFrameDelayMs: 150 },
          video: { impairments: { loss, seed: 7 }, answerNack: nack, nackDelayMs: 40 },
          audio: { impairments: { loss, seed: 8 } },
        })),
      })),
    );
    const judged = await Promise.all(
      results.map(async (result) => ({ ...result, errors: await decodeErrors(result.path) })),
    );
    for (const { loss, nack, pictures, stats, call, errors } of judged) {
      const reached = pictures.published / pictures.sent;
      console.log(
        `${loss * 100} % loss, ${nack ? 'NACK' : 'no NACK'}: ${pictures.published} of ${pictures.sent} pictures (${(reached * 100).toFixed(0)} %), ` +
          `${stats.video?.keyFrameRequests} key-frame requests, ${call.sender.stats.video?.retransmitted} packets sent again, ` +
          `${errors === '' ? 0 : errors.split('\n').length} lines of decode errors`,
      );
    }
    for (const { share, pictures, path, errors } of judged) {
      expect(errors).toBe('');
      expect(pictures.exact).toBe(true);
      expect(summarizeFlv(path).video.filter((role) => role !== 'header')).toHaveLength(
        pictures.published,
      );
      expect(pictures.published / pictures.sent).toBeGreaterThan(share);
    }
  });

  it('loses nothing to reordering and duplicates', async () => {
    const { pictures, stats, path } = await record('reordered', {
      session: { jitterDelayMs: 150 },
      sender: { keyFrameDelayMs: 150 },
      video: { impairments: { reorder: 0.05, duplicate: 0.05, reorderDepth: 8, seed: 3 } },
      audio: { impairments: { reorder: 0.05, duplicate: 0.05, seed: 4 } },
    });
    console.log(
      `5 % reordered, 5 % duplicated: ${pictures.published} of ${pictures.sent} pictures, ` +
        `${stats.video?.reordered} reordered, ${stats.video?.duplicates} duplicates, ${stats.video?.droppedFrames} dropped`,
    );
    expect(pictures).toEqual({ sent: pictures.sent, published: pictures.sent, exact: true });
    expect(await decodeErrors(path)).toBe('');
  });
});
