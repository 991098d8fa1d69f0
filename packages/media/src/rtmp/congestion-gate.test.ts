import { describe, expect, it } from 'vitest';
import { CongestionGate } from './congestion-gate.ts';
import type { FlvTag, FlvTagRole } from '../codec/frame.ts';

const tag = (role: FlvTagRole, timestampMs = 0, bytes = 100): FlvTag => ({
  type: role === 'audio' ? 8 : role === 'metadata' ? 18 : 9,
  timestampMs,
  body: new Uint8Array(bytes),
  role,
});

describe('CongestionGate', () => {
  it('begins at a key frame, and lets audio and headers pass before it', () => {
    const gate = new CongestionGate();
    expect(gate.admit(tag('metadata'), 0)).toBe(true);
    expect(gate.admit(tag('sequence-header'), 0)).toBe(true);
    expect(gate.admit(tag('audio'), 0)).toBe(true);
    expect(gate.admit(tag('inter-frame'), 0)).toBe(false);
    expect(gate.wantsKeyFrame).toBe(true);
    expect(gate.admit(tag('key-frame'), 0)).toBe(true);
    expect(gate.admit(tag('inter-frame'), 0)).toBe(true);
    expect(gate.skipped).toBe(0);
  });

  it('above high water skips video, not audio, and resumes at a key frame below half of it', () => {
    const gate = new CongestionGate({ windowBytes: 1000 });
    gate.admit(tag('key-frame'), 0);
    const high = gate.highWaterBytes;
    expect(gate.admit(tag('inter-frame'), high)).toBe(true);
    expect(gate.admit(tag('inter-frame'), high + 1)).toBe(false);
    expect(gate.congested).toBe(true);
    expect(gate.wantsKeyFrame).toBe(false);
    expect(gate.admit(tag('audio'), high + 1)).toBe(true);
    expect(gate.admit(tag('key-frame'), high / 2 + 1)).toBe(false);
    expect(gate.admit(tag('inter-frame'), high / 2)).toBe(false);
    expect(gate.wantsKeyFrame).toBe(true);
    expect(gate.admit(tag('key-frame'), high / 2)).toBe(true);
    expect(gate.admit(tag('inter-frame'), 0)).toBe(true);
    expect(gate.skipped).toBe(3);
  });

  it('skips even audio above the hard bound, but no header', () => {
    const gate = new CongestionGate({ maxBytes: 5000 });
    gate.admit(tag('key-frame'), 0);
    expect(gate.admit(tag('audio'), 5000)).toBe(false);
    expect(gate.admit(tag('sequence-header'), 5000)).toBe(true);
    expect(gate.skipped).toBe(1);
  });

  it('high water is two seconds of the measured bitrate', () => {
    const gate = new CongestionGate({ windowBytes: 10_000 });
    gate.admit(tag('key-frame', 0, 0), 0);
    for (let t = 40; t <= 4000; t += 40) gate.admit(tag('inter-frame', t, 4000), 0); // 100 bytes/ms
    expect(gate.highWaterBytes).toBeGreaterThan(195_000 + 4000);
    expect(gate.highWaterBytes).toBeLessThan(215_000 + 4000);
  });

  it('high water is never below one and a half windows, and follows the window', () => {
    const gate = new CongestionGate({ windowBytes: 62_500 });
    gate.admit(tag('key-frame', 0, 0), 0);
    for (let t = 40; t <= 4000; t += 40) gate.admit(tag('inter-frame', t, 400), 0); // 10 bytes/ms
    expect(gate.highWaterBytes).toBe(1.5 * 62_500 + 400);
    gate.setWindow(10_000);
    expect(gate.highWaterBytes).toBeGreaterThan(19_500 + 400);
    expect(gate.highWaterBytes).toBeLessThan(21_500 + 400);
  });

  it('skips audio as well when the backlog does not shrink, and takes it up again as soon as it does', () => {
    const gate = new CongestionGate();
    gate.admit(tag('key-frame'), 0);
    let backlog = gate.highWaterBytes + 1;
    const sound: number[] = [];
    for (let t = 0; t < 8000; t += 20) {
      gate.admit(tag('inter-frame', t), backlog);
      if (gate.admit(tag('audio', t), backlog)) {
        sound.push(t);
        backlog += 160;
      }
    }
    expect(sound.at(-1)).toBe(1480);
    expect(gate.admit(tag('audio', 8000), gate.highWaterBytes)).toBe(true);
    // A slow target that takes the sound, and no more, gets the sound.
    const slow = new CongestionGate();
    slow.admit(tag('key-frame'), 0);
    for (let t = 0; t < 60_000; t += 20) {
      const bytes = slow.highWaterBytes + 1 + 160 * ((t / 20) % 10) - t / 100;
      slow.admit(tag('inter-frame', t), bytes);
      expect(slow.admit(tag('audio', t), bytes)).toBe(true);
    }
  });
});
