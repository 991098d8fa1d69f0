// Random loss and a peer that answers PLI: how many pictures are shown. Virtual time, the stages of a call's video.

import { expect, it } from 'vitest';
import { testAccessUnits, testDatagrams } from '../codec/test-h264.ts';
import type { RtpPacket } from '../codec/frame.ts';
import { H264Depacketizer } from '../rtp/h264-depacketizer.ts';
import { KeyFrameRequester } from '../rtp/key-frame-requester.ts';
import { ReceptionLine } from '../rtp/reception-line.ts';
import { decodeRtp } from '../rtp/rtp.ts';
import { KeyFrameGate } from '../sync/key-frame-gate.ts';
import { seededRandom } from '../test-random.ts';

const PICTURE_MS = 40;
const SECONDS = 120;

/** Share of the pictures sent that pass the gate. */
function shown(
  lossRatio: number,
  answerMs: number,
  seed: number,
): { share: number; requests: number } {
  const random = seededRandom(seed);
  const requester = new KeyFrameRequester({ methods: ['pli', 'fir'] });
  const depacketizer = new H264Depacketizer();
  let nowMs = 0;
  const gate = new KeyFrameGate(() => requester.request(nowMs));
  let passed = 0;
  let sent = 0;
  let requests = 0;
  let answerAtMs = 0;
  let sequenceNumber = 0;
  const line = new ReceptionLine((packet: RtpPacket) => {
    for (const unit of depacketizer.push(packet)) {
      if (typeof unit === 'string') gate.break();
      else if ('codec' in unit && gate.admit(unit)) {
        passed++;
        if (unit.isKeyFrame) requester.onKeyFrame(nowMs);
      }
    }
  });
  const poll = (): void => {
    if (requester.poll(nowMs) === undefined) return;
    requests++;
    answerAtMs = Math.min(answerAtMs, nowMs + answerMs);
  };
  for (; nowMs < SECONDS * 1000; nowMs += 5) {
    if (nowMs % PICTURE_MS === 0) {
      const isKeyFrame = nowMs >= answerAtMs;
      if (isKeyFrame) answerAtMs = Number.POSITIVE_INFINITY;
      // About 600 kbit/s: mostly one to four packets, a key frame up to eleven.
      const [picture] = testAccessUnits(isKeyFrame ? 1 : 2, random).slice(-1);
      const datagrams = testDatagrams([{ ...picture!, rtpTimestamp: nowMs * 90 }], {
        firstSequence: sequenceNumber,
      });
      sequenceNumber += datagrams.length;
      sent++;
      for (const datagram of datagrams) {
        if (random() < lossRatio) continue;
        const packet = decodeRtp(datagram, nowMs);
        if (typeof packet === 'object') line.push(packet);
        poll();
      }
    }
    if (nowMs % 20 === 0) {
      line.tick(nowMs, 2);
      poll();
    }
  }
  return { share: passed / sent, requests };
}

it('shows at least 80 % of the pictures at 2 % random loss, with a peer that answers PLI in 50 ms', () => {
  const runs = [1, 2, 3, 4].map((seed) => shown(0.02, 50, seed));
  for (const { share, requests } of runs) {
    console.log(
      `2 % loss: ${(100 * share).toFixed(1)} % of the pictures, ${requests} requests in ${SECONDS} s`,
    );
    expect(share).toBeGreaterThan(0.8);
  }
});
