import { describe, expect, it } from 'vitest';
import { MIN_WINDOW_BYTES, RtmpDelivery } from './delivery.ts';
import type { RtmpProbeKind } from './delivery.ts';

/** A server that reads until `wedgedMs`, on a line of `bytesPerMs`, and what the publisher makes of it. */
function play(server: {
  bytesPerMs: number;
  wedgedMs: number;
  /** Octets between acknowledgements; `asked`: as the publisher wants; 0: never. */
  acknowledges: number | 'asked';
  answers?: readonly RtmpProbeKind[];
  untilMs?: number;
  socketBytes?: number;
  probe?: boolean;
}) {
  const { bytesPerMs, wedgedMs, acknowledges, answers = [], untilMs = 60_000 } = server;
  const { socketBytes = Number.POSITIVE_INFINITY, probe = true } = server;
  const delivery = new RtmpDelivery({ windowBytes: 62_500, stallTimeoutMs: 8000, probe });
  let windowBytes = 62_500;
  let acknowledged = 0;
  let maxOutstanding = 0;
  const asked: { kind: RtmpProbeKind; atMs: number }[] = [];
  const windows: number[] = [];
  for (let nowMs = 0; nowMs <= untilMs; nowMs += 250) {
    const sent = Math.round(bytesPerMs * nowMs);
    if (nowMs < wedgedMs) {
      const step = acknowledges === 'asked' ? windowBytes : acknowledges;
      const steps = step > 0 ? Math.floor((sent - acknowledged) / step) : 0;
      for (let i = 0; i < steps; i++) {
        acknowledged += step;
        delivery.acknowledge(acknowledged, sent, nowMs);
      }
    }
    const unread = nowMs < wedgedMs ? 0 : sent - bytesPerMs * wedgedMs;
    const due = delivery.tick(sent, Math.max(0, unread - socketBytes), nowMs);
    if (due.stalled) return { stalledMs: nowMs - wedgedMs, asked, windows, maxOutstanding };
    if (due.windowBytes !== undefined) windows.push((windowBytes = due.windowBytes));
    if (due.probe) {
      asked.push({ kind: due.probe.kind, atMs: nowMs });
      if (nowMs < wedgedMs && answers.includes(due.probe.kind))
        delivery.answered(due.probe.kind, due.probe.id, nowMs + 50);
    }
    if (nowMs < wedgedMs) maxOutstanding = Math.max(maxOutstanding, delivery.outstanding(sent));
  }
  return { stalledMs: Number.POSITIVE_INFINITY, asked, windows, maxOutstanding };
}

const NEVER = Number.POSITIVE_INFINITY;

describe('RtmpDelivery', () => {
  // 8 octets a millisecond are G.711 alone, 62.5 are 500 kbit/s, 500 are 4 Mbit/s.
  for (const bytesPerMs of [8, 62.5, 500]) {
    const line = `${bytesPerMs * 8} kbit/s`;
    it(`${line}: never convicts a server that reads, however it acknowledges`, () => {
      for (const acknowledges of ['asked', 2_500_000, 0] as const)
        for (const answers of [[], ['ping'], ['create-stream']] as const)
          expect(
            play({ bytesPerMs, wedgedMs: NEVER, acknowledges, answers, untilMs: 600_000 })
              .stalledMs,
          ).toBe(NEVER);
    });

    it(`${line}: sees within 10 s that a server which acknowledges has stopped reading`, () => {
      for (const wedgedMs of [10_000, 10_300, 33_333])
        expect(play({ bytesPerMs, wedgedMs, acknowledges: 'asked' }).stalledMs).toBeLessThan(
          10_000,
        );
    });

    it(`${line}: sees it within 10 s of one that never acknowledges and answers pings`, () => {
      // It is known by its first answer, 1.25 s after the beginning.
      for (const wedgedMs of [1500, 10_000, 10_300, 33_333]) {
        const { stalledMs } = play({ bytesPerMs, wedgedMs, acknowledges: 0, answers: ['ping'] });
        expect(stalledMs).toBeLessThan(10_000);
      }
    });

    it(`${line}: sees it within 10 s of one that answers createStream alone`, () => {
      // After two unanswered pings, 2.75 s after the beginning.
      for (const wedgedMs of [3000, 15_000, 15_300, 33_333]) {
        const { stalledMs, asked } = play({
          bytesPerMs,
          wedgedMs,
          acknowledges: 0,
          answers: ['create-stream'],
        });
        expect(stalledMs).toBeLessThan(10_000);
        expect(asked.slice(0, 3).map(({ kind }) => kind)).toEqual([
          'ping',
          'ping',
          'create-stream',
        ]);
      }
    });

    it(`${line}: asks a server for pings that acknowledges too rarely`, () => {
      const rare = { bytesPerMs, wedgedMs: 20_000, acknowledges: 5_000_000 };
      expect(play({ ...rare, answers: ['ping'] }).stalledMs).toBeLessThan(10_000);
    });
  }

  it('asks nothing of a server that acknowledges in time, and counts no normal flow as outstanding', () => {
    const good = play({ bytesPerMs: 62.5, wedgedMs: NEVER, acknowledges: 'asked' });
    expect(good.asked).toEqual([]);
    for (const answers of [['ping'], ['create-stream']] as const) {
      const late = play({ bytesPerMs: 62.5, wedgedMs: NEVER, acknowledges: 0, answers });
      expect(late.maxOutstanding).toBe(0);
    }
  });

  it('asks for a window of one second of media, within bounds, and again when that changes', () => {
    const thin = play({ bytesPerMs: 8, wedgedMs: NEVER, acknowledges: 'asked' });
    expect(thin.windows).toEqual([8000]);
    const silent = play({ bytesPerMs: 0.1, wedgedMs: NEVER, acknowledges: 'asked' });
    expect(silent.windows).toEqual([MIN_WINDOW_BYTES]);
    expect(play({ bytesPerMs: 500, wedgedMs: NEVER, acknowledges: 'asked' }).windows).toEqual([]);
  });

  it('stops asking a server that answers nothing, and falls back to the queue of the socket', () => {
    const mute = { bytesPerMs: 62.5, acknowledges: 0, untilMs: 120_000 };
    const { asked } = play({ ...mute, wedgedMs: NEVER });
    expect(asked.map(({ kind }) => kind)).toEqual([
      'ping',
      'ping',
      'create-stream',
      'create-stream',
    ]);
    expect(play({ ...mute, wedgedMs: 10_000 }).stalledMs).toBe(NEVER);
    // The kernel takes 1 MB: 16 s of this media. Then it shows.
    const { stalledMs } = play({ ...mute, wedgedMs: 10_000, socketBytes: 1_000_000 });
    expect(stalledMs).toBeGreaterThan(16_000);
    expect(stalledMs).toBeLessThan(26_000);
  });

  it('sends no probe if probing is off', () => {
    const { asked } = play({ bytesPerMs: 62.5, wedgedMs: NEVER, acknowledges: 0, probe: false });
    expect(asked).toEqual([]);
  });

  it('does not mistake a pause of the media for a stall, nor the end of the pause', () => {
    const delivery = new RtmpDelivery({ windowBytes: 62_500, stallTimeoutMs: 8000, probe: true });
    let sent = 0;
    for (let nowMs = 0; nowMs < 5 * 60_000; nowMs += 250) {
      const held = nowMs > 20_000 && nowMs < 200_000;
      if (!held) sent += 10_000;
      expect(delivery.tick(sent, 0, nowMs).stalled).toBe(false);
      const unacknowledged = sent - (delivery.bytesAcknowledged ?? 0);
      if (unacknowledged >= 40_000) delivery.acknowledge(sent, sent, nowMs + 100);
    }
  });

  it('ignores an answer without a probe', () => {
    const delivery = new RtmpDelivery({ windowBytes: 62_500, stallTimeoutMs: 8000, probe: true });
    delivery.answered('ping', 1, 0);
    delivery.answered('create-stream', 4_000_000_000, 0);
    expect(delivery.answers).toBeUndefined();
  });
});
