import { describe, expect, it } from 'vitest';
import { annexB, splitAnnexB } from './annex-b.ts';

const hex = (nalus: readonly Uint8Array[]): string[] =>
  nalus.map((nalu) => Buffer.from(nalu).toString('hex'));

describe('annexB', () => {
  const cases: [string, string, string[]][] = [
    ['start codes of four octets', '00000001 6701 00000001 6802', ['6701', '6802']],
    ['start codes of three octets', '000001 6701 000001 6802', ['6701', '6802']],
    ['zeros behind a unit', '00000001 6701 000000 00000001 6802 0000', ['6701', '6802']],
    ['emulation prevention', '000001 65000003 01', ['6500000301']],
    ['no start code', '6701', []],
    ['nothing', '', []],
    ['a unit without octets', '000001 000001 68', ['68']],
  ];
  for (const [name, octets, nalus] of cases) {
    it(`splits ${name}`, () => {
      expect(hex(splitAnnexB(Buffer.from(octets.replaceAll(' ', ''), 'hex')))).toEqual(nalus);
    });
  }

  it('joins what it splits', () => {
    const nalus = [Uint8Array.of(0x67, 1, 0, 2), Uint8Array.of(0x65, 9)];
    expect(hex(splitAnnexB(annexB(nalus)))).toEqual(hex(nalus));
  });
});
