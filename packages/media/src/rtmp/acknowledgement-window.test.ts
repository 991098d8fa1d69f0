import { describe, expect, it } from 'vitest';
import { AcknowledgementWindow } from './acknowledgement-window.ts';

const WINDOW = 62_500;

describe('AcknowledgementWindow', () => {
  it('knows nothing of a server that never acknowledges', () => {
    const window = new AcknowledgementWindow(WINDOW);
    expect(window).toMatchObject({ active: false, bytes: null });
    expect(window.outstanding(10_000_000)).toBe(0);
    expect(window.due(10_000_000)).toBe(false);
  });

  it('counts what is outstanding, and calls an acknowledgement due after a window', () => {
    const window = new AcknowledgementWindow(WINDOW);
    window.acknowledge(60_000, 100_000);
    expect(window.bytes).toBe(60_000);
    expect(window.outstanding(100_000)).toBe(40_000);
    expect(window.due(60_000 + WINDOW - 1)).toBe(false);
    expect(window.due(60_000 + WINDOW)).toBe(true);
    window.setWindow(10_000);
    // As large as its last step, until the server follows.
    expect(window.due(60_000 + 59_999)).toBe(false);
    window.acknowledge(70_000, 100_000);
    expect(window.stepBytes).toBe(10_000);
  });

  it('follows a server that keeps to a longer step than it was asked for', () => {
    const window = new AcknowledgementWindow(WINDOW);
    const step = 2_500_000;
    for (let received = step; received <= 4 * step; received += step) {
      window.acknowledge(received, received);
      // All through the step it owes no more than a window.
      expect(window.outstanding(received + step - 1)).toBeLessThan(WINDOW);
      expect(window.due(received + step - 1)).toBe(false);
      expect(window.due(received + step)).toBe(true);
    }
  });

  it('forgets one long step, such as the backlog after a stall', () => {
    const window = new AcknowledgementWindow(WINDOW);
    window.acknowledge(400_000, 400_000);
    window.acknowledge(462_500, 500_000);
    expect(window.outstanding(600_000)).toBe(137_500);
  });

  it('unwraps 32 bits, never steps back, and never exceeds what was sent', () => {
    const window = new AcknowledgementWindow(WINDOW);
    let sent = 0;
    for (let received = 0x4000_0000; received < 3 * 0x1_0000_0000; received += 0x4000_0000) {
      sent = received;
      window.acknowledge(received % 0x1_0000_0000, sent);
      expect(window.bytes).toBe(received);
    }
    window.acknowledge((sent - 5) % 0x1_0000_0000, sent);
    expect(window.bytes).toBe(sent);
    // The handshake counted as well.
    window.acknowledge((sent + 3073) % 0x1_0000_0000, sent);
    expect(window.bytes).toBe(sent);
  });
});
