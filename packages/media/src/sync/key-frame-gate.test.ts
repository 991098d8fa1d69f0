import { describe, expect, it } from 'vitest';
import type { H264AccessUnit, Vp8Frame } from '../codec/frame.ts';
import { KeyFrameGate, type KeyFrameGateOptions } from './key-frame-gate.ts';

const unit = (isKeyFrame: boolean, arrivalMs = 0, sei?: Uint8Array): H264AccessUnit => ({
  codec: 'h264',
  nalus: [...(sei ? [sei] : []), Uint8Array.of(isKeyFrame ? 0x65 : 0x41)],
  isKeyFrame,
  rtpTimestamp: 0,
  arrivalMs,
});
/** recovery_frame_cnt ue(0) is `1`, ue(9) is `0001010`; then exact_match, broken_link, changing_slice_group, a stop. */
const RECOVERY_NOW = Uint8Array.of(6, 6, 1, 0b1100_0100, 0x80);
const RECOVERY_IN_9 = Uint8Array.of(6, 6, 2, 0b0001_0101, 0b0001_0000, 0x80);

function rig(options: KeyFrameGateOptions = {}) {
  const passed: boolean[] = [];
  const asked: string[] = [];
  const gate = new KeyFrameGate((cause) => asked.push(cause), options);
  const push = (frame: H264AccessUnit | Vp8Frame): void => {
    const admitted = gate.admit(frame);
    if (admitted) passed.push(admitted.isKeyFrame);
  };
  return { gate, push, passed, asked };
}

describe('KeyFrameGate', () => {
  it('opens at an IDR, closes at a break, and asks for a key frame while it is closed', () => {
    const { gate, push, passed, asked } = rig();
    push(unit(false));
    expect([passed, asked, gate.isOpen]).toEqual([[], ['start'], false]);
    push(unit(true));
    push(unit(false));
    expect([passed, asked, gate.isOpen]).toEqual([[true, false], ['start'], true]);
    gate.break();
    push(unit(false));
    push(unit(false));
    expect(asked).toEqual(['start', 'loss', 'loss', 'loss']);
    push(unit(true));
    expect(passed).toEqual([true, false, true]);
    expect(gate.dropped).toBe(3);
  });

  it('lets no picture refer to those of another codec', () => {
    const passed: string[] = [];
    const gate = new KeyFrameGate(() => {}, { afterLoss: 'continue' });
    const take = (frame: H264AccessUnit | Vp8Frame): void => {
      const admitted = gate.admit(frame);
      if (admitted) passed.push(`${admitted.codec} ${admitted.isKeyFrame}`);
    };
    const vp8: Vp8Frame = { ...unit(true), codec: 'vp8', payload: Uint8Array.of(0) };
    take(vp8);
    take(unit(false));
    take(unit(true));
    take({ ...vp8, isKeyFrame: false });
    expect(passed).toEqual(['vp8 true', 'h264 true']);
  });

  it('still waits for the first one when the start is broken', () => {
    const { gate, push, asked } = rig({ afterLoss: 'continue' });
    gate.break();
    push(unit(false));
    expect([asked, gate.dropped]).toEqual([['start', 'start'], 1]);
  });

  it('continues after a loss with `continue`, and still requests a key frame', () => {
    const { gate, push, passed, asked } = rig({ afterLoss: 'continue' });
    push(unit(true));
    gate.break();
    push(unit(false));
    expect([passed, asked, gate.dropped]).toEqual([[true, false], ['loss'], 0]);
  });

  it('handles VP8 as well', () => {
    const { push, passed } = rig();
    const frame: Vp8Frame = {
      codec: 'vp8',
      payload: Uint8Array.of(1),
      isKeyFrame: false,
      rtpTimestamp: 0,
      arrivalMs: 0,
    };
    push(frame);
    push({ ...frame, isKeyFrame: true });
    push(frame);
    expect(passed).toEqual([true, false]);
  });

  it('opens at once at an exact recovery point, marked as key frame', () => {
    const { gate, push, passed } = rig();
    push(unit(false));
    push(unit(false, 40, RECOVERY_NOW));
    push(unit(false, 80));
    // While IDR pictures may come, the others stay what they are.
    push(unit(false, 120, RECOVERY_NOW));
    expect([passed, gate.dropped]).toEqual([[true, false, false], 1]);
  });

  it('opens at a gradual recovery point only after 0.7 s without IDR, from then on at each', () => {
    const { gate, push, passed } = rig();
    push(unit(false, 0, RECOVERY_IN_9));
    push(unit(false, 699, RECOVERY_IN_9));
    expect([passed, gate.isOpen]).toEqual([[], false]);
    push(unit(false, 700, RECOVERY_IN_9));
    push(unit(false, 1540));
    push(unit(false, 2500, RECOVERY_IN_9));
    expect(passed).toEqual([true, false, true]);
    gate.break();
    push(unit(false, 2600));
    push(unit(false, 3500, RECOVERY_IN_9));
    expect(passed).toEqual([true, false, true, true]);
    // An IDR picture proves that waiting pays.
    push(unit(true, 3600));
    gate.break();
    push(unit(false, 4000, RECOVERY_IN_9));
    push(unit(false, 5000, RECOVERY_IN_9));
    expect([passed.length, gate.isOpen]).toEqual([5, false]);
    // After a loss the wait is 1.5 s.
    push(unit(false, 5499, RECOVERY_IN_9));
    expect(gate.isOpen).toBe(false);
    push(unit(false, 5500, RECOVERY_IN_9));
    expect(gate.isOpen).toBe(true);
  });
});

describe('KeyFrameGate without IDR pictures', () => {
  /** first_mb_in_slice ue(0) is `1`; slice_type ue(7) is `0001000`, ue(5) is `00110`. */
  const I_SLICE = Uint8Array.of(0x61, 0b1000_1000, 0x80);
  const P_SLICE = Uint8Array.of(0x61, 0b1001_1000, 0x80);
  const SPS = Uint8Array.of(0x67, 66, 0, 30);
  const picture = (arrivalMs: number, ...nalus: Uint8Array[]): H264AccessUnit => ({
    ...unit(false, arrivalMs),
    nalus,
  });

  it('opens at an I picture after 0.7 s, and from then on at once', () => {
    const { gate, push, passed } = rig();
    for (let nowMs = 0; nowMs < 700; nowMs += 40)
      push(picture(nowMs, nowMs % 400 === 0 ? I_SLICE : P_SLICE));
    expect(passed).toEqual([]);
    push(picture(1520, P_SLICE));
    push(picture(1560, I_SLICE));
    push(picture(1600, P_SLICE));
    expect(passed).toEqual([true, false]);
    gate.break();
    push(picture(1640, P_SLICE));
    push(picture(1680, I_SLICE));
    expect(passed).toEqual([true, false, true]);
  });

  it('opens at once at an I picture that comes with a sequence parameter set', () => {
    const { push, passed } = rig();
    push(picture(0, SPS, P_SLICE));
    push(picture(40, SPS, I_SLICE, P_SLICE));
    expect(passed).toEqual([]);
    push(picture(80, SPS, I_SLICE, I_SLICE));
    push(picture(120, P_SLICE));
    expect(passed).toEqual([true, false]);
  });
});
