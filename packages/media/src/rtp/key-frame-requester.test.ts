import { describe, expect, it } from 'vitest';
import { KeyFrameRequester, type KeyFrameRequesterOptions } from './key-frame-requester.ts';

/** Polls every 20 ms; what was asked and when. */
function run(requester: KeyFrameRequester, fromMs: number, toMs: number): string[] {
  const asked: string[] = [];
  for (let nowMs = fromMs; nowMs < toMs; nowMs += 20) {
    const method = requester.poll(nowMs);
    if (method !== undefined) asked.push(`${nowMs} ${method}`);
  }
  return asked;
}
const LADDER = { methods: ['pli', 'fir', 'info'] } as const;
const create = (options: KeyFrameRequesterOptions = LADDER) => new KeyFrameRequester(options);

describe('KeyFrameRequester', () => {
  it('requests nothing unless asked', () => {
    expect(run(create(), 0, 5000)).toEqual([]);
  });

  it('tries each rung once within a second, then slows down', () => {
    const requester = create();
    requester.request(0);
    expect(run(requester, 0, 8100)).toEqual([
      '0 pli',
      '500 fir',
      '1000 info',
      '2000 pli',
      '3000 fir',
      '4000 info',
      '6000 pli',
      '8000 fir',
    ]);
    expect(requester.stats.requests).toEqual({ pli: 3, fir: 3, info: 2, reinvite: 0 });
  });

  it.each(['pli', 'fir', 'info'] as const)(
    'gets an answer within 1.5 s from a phone that honours only %s, and begins there next time',
    (honoured) => {
      const requester = create();
      requester.request(0);
      let answeredMs = -1;
      for (let nowMs = 0; answeredMs < 0; nowMs += 20) {
        if (requester.poll(nowMs) === honoured) answeredMs = nowMs + 200;
      }
      expect(answeredMs).toBeLessThanOrEqual(1500);
      requester.onKeyFrame(answeredMs);
      expect(requester.wanted).toBe(false);
      expect(requester.stats.answeredBy).toEqual({
        pli: 0,
        fir: 0,
        info: 0,
        reinvite: 0,
        unasked: 0,
        [honoured]: 1,
      });
      expect(requester.stats.lastWaitMs).toBe(answeredMs);
      requester.request(10_000);
      const methods = run(requester, 10_000, 13_000).map((line) => line.split(' ')[1]);
      expect(methods.slice(0, 4)).toEqual([honoured, honoured, honoured, honoured]);
      expect(new Set(methods)).toEqual(new Set(LADDER.methods));
      // A phone that is known to answer is asked on without pauses: its key frame was lost. RTCP has the pace of its answers.
      expect(run(requester, 13_000, 15_000).length).toBeGreaterThanOrEqual(4);
    },
  );

  it('sends a re-INVITE last: after three seconds, and every half minute at most', () => {
    const requester = create({ methods: ['pli', 'fir', 'info', 'reinvite'] });
    requester.request(0);
    const asked = run(requester, 0, 70_000);
    expect(asked.slice(0, 4)).toEqual(['0 pli', '500 fir', '1000 info', '2000 pli']);
    const offered = asked.filter((line) => line.endsWith('reinvite')).map((line) => parseInt(line));
    expect(offered[0]).toBeGreaterThanOrEqual(3000);
    expect(offered[0]).toBeLessThan(6000);
    expect(offered.length).toBeGreaterThanOrEqual(2);
    for (const [index, atMs] of offered.slice(1).entries())
      expect(atMs - (offered[index] ?? 0)).toBeGreaterThanOrEqual(30_000);
    requester.onKeyFrame(70_000);
    requester.request(70_100);
    const only = create({ methods: ['reinvite'] });
    only.request(0);
    expect(run(only, 0, 34_000)).toEqual(['3000 reinvite', '33000 reinvite']);
  });

  it('sends no re-INVITE for a camera that is off', () => {
    const requester = create({ methods: ['pli', 'fir', 'info', 'reinvite'] });
    requester.request(0);
    const asked: string[] = [];
    for (let nowMs = 0; nowMs < 70_000; nowMs += 20) {
      const method = requester.poll(nowMs, false);
      if (method !== undefined) asked.push(method);
    }
    expect(asked.slice(0, 5)).toEqual(['pli', 'fir', 'info', 'pli', 'fir']);
    expect(requester.stats.requests).toMatchObject({ reinvite: 0 });
    // It is on again, and still sends no key frame.
    expect(run(requester, 70_000, 90_000).join()).toContain('reinvite');
  });

  it('keeps the distance across separate requests', () => {
    const requester = create();
    requester.request(0);
    expect(run(requester, 0, 20)).toEqual(['0 pli']);
    requester.onKeyFrame(300);
    requester.request(300);
    requester.request(400);
    expect(run(requester, 300, 600)).toEqual(['500 pli']);
    requester.onKeyFrame(700);
    expect(requester.stats.lastWaitMs).toBe(400);
  });

  it.each([
    ['pli', 0, 160],
    ['pli', 50, 160],
    ['pli', 100, 200],
    ['pli', 400, 500],
    ['fir', 100, 200],
    ['info', 50, 500],
  ] as const)(
    'asks a peer that answers %s in %i ms again after %i ms',
    (method, answerMs, spacingMs) => {
      const requester = create({ methods: [method] });
      requester.request(0);
      expect(run(requester, 0, 20)).toEqual([`0 ${method}`]);
      requester.onKeyFrame(answerMs);
      requester.request(1000);
      expect(run(requester, 1000, 1000 + spacingMs + 20)).toEqual([
        `1000 ${method}`,
        `${1000 + spacingMs} ${method}`,
      ]);
    },
  );

  it('slows down when the peer answers more slowly', () => {
    const requester = create({ methods: ['pli'] });
    for (let atMs = 0; atMs < 60_000; atMs += 3000) {
      requester.request(atMs);
      requester.poll(atMs);
      requester.onKeyFrame(atMs + (atMs === 0 ? 20 : 240));
    }
    requester.request(60_000);
    expect(run(requester, 60_000, 60_600)).toEqual(['60000 pli', '60480 pli']);
  });

  it('learns nothing from a key frame that came by itself or much too late', () => {
    const requester = create();
    requester.onKeyFrame(0);
    requester.request(0);
    requester.onKeyFrame(10);
    requester.request(1000);
    expect(run(requester, 1000, 1600)).toEqual(['1000 pli', '1500 fir']);
    requester.onKeyFrame(3600);
    expect(requester.stats.answeredBy).toMatchObject({ unasked: 3, pli: 0, fir: 0 });
    requester.request(5000);
    expect(requester.poll(5000)).toBe('pli');
  });

  it('never asks without a method, and keeps what worked over a new ladder that still has it', () => {
    const mute = create({ methods: [] });
    mute.request(0);
    expect(mute.poll(0)).toBeUndefined();
    const requester = create();
    requester.request(0);
    run(requester, 0, 600);
    requester.onKeyFrame(620);
    requester.use(['pli', 'fir']);
    requester.request(2000);
    expect(requester.poll(2000)).toBe('fir');
    requester.use(['pli']);
    expect(requester.poll(2500)).toBe('pli');
  });

  it('wants a key frame when the last one is too old, if a period is set', () => {
    const requester = create();
    requester.requestEveryMs = 2000;
    requester.onKeyFrame(0);
    expect(run(requester, 0, 2100)).toEqual(['2000 pli']);
    requester.onKeyFrame(2100);
    expect(run(requester, 2100, 4200)).toEqual(['4100 pli']);
    requester.onKeyFrame(4200);
    requester.requestEveryMs = undefined;
    expect(run(requester, 4200, 20_000)).toEqual([]);
    expect(() => {
      requester.requestEveryMs = 999;
    }).toThrow('requestEveryMs');
  });
});
