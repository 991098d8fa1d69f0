import { describe, expect, it } from 'vitest';
import type { H264AccessUnit } from './frame.ts';
import { KeyFrameGate } from './key-frame-gate.ts';

const unit = (isKeyFrame: boolean): H264AccessUnit => ({
  codec: 'h264',
  nalus: [Uint8Array.of(isKeyFrame ? 0x65 : 0x41)],
  isKeyFrame,
  rtpTimestamp: 0,
  arrivalMs: 0,
});

describe('KeyFrameGate', () => {
  it('opens at an IDR, closes at a break, and asks for a key frame while it is closed', () => {
    const passed: boolean[] = [];
    const asked: string[] = [];
    const gate = new KeyFrameGate(
      (accessUnit) => passed.push(accessUnit.isKeyFrame),
      (cause) => asked.push(cause),
    );
    gate.push(unit(false));
    expect([passed, asked, gate.isOpen]).toEqual([[], ['start'], false]);
    gate.push(unit(true));
    gate.push(unit(false));
    expect([passed, asked, gate.isOpen]).toEqual([[true, false], ['start'], true]);
    gate.break();
    gate.push(unit(false));
    gate.push(unit(false));
    expect(asked).toEqual(['start', 'loss', 'loss', 'loss']);
    gate.push(unit(true));
    expect(passed).toEqual([true, false, true]);
    expect(gate.dropped).toBe(3);
  });

  it('still waits for the first one when the start is broken', () => {
    const asked: string[] = [];
    const gate = new KeyFrameGate(
      () => {},
      (cause) => asked.push(cause),
    );
    gate.break();
    gate.push(unit(false));
    expect(asked).toEqual(['start', 'start']);
  });
});
