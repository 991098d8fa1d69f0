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
  const gate = new KeyFrameGate(
    (frame) => passed.push(frame.isKeyFrame),
    (cause) => asked.push(cause),
    options,
  );
  return { gate, passed, asked };
}

describe('KeyFrameGate', () => {
  it('opens at an IDR, closes at a break, and asks for a key frame while it is closed', () => {
    const { gate, passed, asked } = rig();
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

  it('lets no picture refer to those of another codec', () => {
    const passed: string[] = [];
    const gate = new KeyFrameGate(
      ({ codec, isKeyFrame }: H264AccessUnit | Vp8Frame) => passed.push(`${codec} ${isKeyFrame}`),
      () => {},
      { afterLoss: 'continue' },
    );
    const vp8: Vp8Frame = { ...unit(true), codec: 'vp8', payload: Uint8Array.of(0) };
    gate.push(vp8);
    gate.push(unit(false));
    gate.push(unit(true));
    gate.push({ ...vp8, isKeyFrame: false });
    expect(passed).toEqual(['vp8 true', 'h264 true']);
  });

  it('still waits for the first one when the start is broken', () => {
    const { gate, asked } = rig({ afterLoss: 'continue' });
    gate.break();
    gate.push(unit(false));
    expect([asked, gate.dropped]).toEqual([['start', 'start'], 1]);
  });

  it('goes on after a loss where told so, and asks all the same', () => {
    const { gate, passed, asked } = rig({ afterLoss: 'continue' });
    gate.push(unit(true));
    gate.break();
    gate.push(unit(false));
    expect([passed, asked, gate.dropped]).toEqual([[true, false], ['loss'], 0]);
  });

  it('serves VP8 too', () => {
    const { gate, passed } = rig();
    const frame: Vp8Frame = {
      codec: 'vp8',
      payload: Uint8Array.of(1),
      isKeyFrame: false,
      rtpTimestamp: 0,
      arrivalMs: 0,
    };
    gate.push(frame);
    gate.push({ ...frame, isKeyFrame: true });
    gate.push(frame);
    expect(passed).toEqual([true, false]);
  });

  it('begins at once at a recovery point that is right at once, marked as key frame', () => {
    const { gate, passed } = rig();
    gate.push(unit(false));
    gate.push(unit(false, 40, RECOVERY_NOW));
    gate.push(unit(false, 80));
    // While IDR pictures may come, the others stay what they are.
    gate.push(unit(false, 120, RECOVERY_NOW));
    expect([passed, gate.dropped]).toEqual([[true, false, false], 1]);
  });

  it('begins at a gradual recovery point only after 1.5 s without IDR, from then on at each', () => {
    const { gate, passed } = rig();
    gate.push(unit(false, 0, RECOVERY_IN_9));
    gate.push(unit(false, 1499, RECOVERY_IN_9));
    expect([passed, gate.isOpen]).toEqual([[], false]);
    gate.push(unit(false, 1500, RECOVERY_IN_9));
    gate.push(unit(false, 1540));
    gate.push(unit(false, 2500, RECOVERY_IN_9));
    expect(passed).toEqual([true, false, true]);
    gate.break();
    gate.push(unit(false, 2600));
    gate.push(unit(false, 3500, RECOVERY_IN_9));
    expect(passed).toEqual([true, false, true, true]);
    // An IDR picture proves that waiting pays.
    gate.push(unit(true, 3600));
    gate.break();
    gate.push(unit(false, 4000, RECOVERY_IN_9));
    gate.push(unit(false, 5000, RECOVERY_IN_9));
    expect([passed.length, gate.isOpen]).toEqual([5, false]);
  });
});
