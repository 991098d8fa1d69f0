import { describe, expect, it } from 'vitest';
import { CongestionGate } from './congestion-gate.ts';
import type { FlvTag, FlvTagRole } from './frame.ts';

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

  it('above high water skips video, never audio, and resumes at a key frame below half of it', () => {
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
    expect(gate.highWaterBytes).toBeGreaterThan(10_000 + 195_000 + 4000);
    expect(gate.highWaterBytes).toBeLessThan(10_000 + 215_000 + 4000);
  });
});
