import { describe, expect, it } from 'vitest';
import { decodeSpropParameterSets } from './h264.ts';
import { ParameterSets } from './parameter-sets.ts';

const [SPS = new Uint8Array(0), PPS = new Uint8Array(0)] = decodeSpropParameterSets(
  'Z0LAHtoCgL/lwEQAAAMABAAAAwDIPFi6gA==,aM4PyA==',
);
/** The same with another id, so that it is another set. */
const OTHER_PPS = Uint8Array.of(0x68, 0x48, 0xe3, 0xc8);

describe('parameter sets', () => {
  it('are complete with one of each kind; other NAL units are ignored', () => {
    const sets = new ParameterSets();
    sets.push(SPS);
    sets.push(Uint8Array.of(0x65, 1, 2));
    expect([sets.complete, sets.nalus.length]).toEqual([false, 1]);
    sets.push(PPS);
    expect([sets.complete, sets.nalus]).toEqual([true, [SPS, PPS]]);
  });

  it('are kept once each, the newest last, as copies', () => {
    const sets = new ParameterSets();
    const sps = Uint8Array.from(SPS);
    for (const nalu of [sps, PPS, OTHER_PPS, PPS, PPS]) sets.push(nalu);
    sps.fill(0);
    expect(sets.nalus).toEqual([SPS, OTHER_PPS, PPS]);
  });

  it('are bounded in number and size', () => {
    const sets = new ParameterSets();
    for (let id = 0; id < 200; id++) sets.push(Uint8Array.of(0x68, id, 1));
    sets.push(new Uint8Array(5000).fill(0x68));
    expect(sets.nalus).toHaveLength(32);
  });
});
