import { describe, expect, it } from 'vitest';
import { Inactivity } from './inactivity.ts';

describe('inactivity', () => {
  it('reports once that RTP is missing for the time-out, counted from when it should arrive', () => {
    const inactivity = new Inactivity({ rtpTimeoutMs: 1000, rtcpTimeoutMs: 0 });
    expect(inactivity.check(null, null, 50_000)).toBeUndefined();
    inactivity.expect(true, 50_000);
    expect(inactivity.check(null, null, 50_999)).toBeUndefined();
    expect(inactivity.check(50_600, null, 51_599)).toBeUndefined();
    expect(inactivity.check(50_600, null, 51_600)).toBe('rtp');
    expect(inactivity.check(50_600, null, 99_000)).toBeUndefined();
  });

  it('pauses on hold and starts over after it', () => {
    const inactivity = new Inactivity({ rtpTimeoutMs: 1000, rtcpTimeoutMs: 0 });
    inactivity.expect(true, 0);
    inactivity.expect(false, 900);
    expect(inactivity.check(800, null, 60_000)).toBeUndefined();
    inactivity.expect(true, 60_000);
    // A second call for the same negotiation does not start over.
    inactivity.expect(true, 60_900);
    expect(inactivity.check(800, null, 60_999)).toBeUndefined();
    expect(inactivity.check(800, null, 61_000)).toBe('rtp');
  });

  it('watches RTCP with its own time-out', () => {
    const inactivity = new Inactivity({ rtpTimeoutMs: 0, rtcpTimeoutMs: 5000 });
    inactivity.expect(true, 0);
    expect(inactivity.check(null, 100, 5099)).toBeUndefined();
    expect(inactivity.check(5000, 100, 5100)).toBe('rtcp');
  });
});
