import { describe, expect, it } from 'vitest';
import { decodeBfcp, encodeBfcp } from './bfcp-message.ts';
import { FloorServer } from './floor-server.ts';

/** A request of user 1 in conference 1, as octets of the wire. */
function request(primitive: number, transaction: number, ...attributes: readonly number[]) {
  const header = [0x40, primitive, 0, attributes.length / 4, 0, 0, 0, 1, 0, transaction, 0, 1];
  return Uint8Array.from([...header, ...attributes]);
}

const FLOOR_1 = [0x05, 4, 0, 1];

function answersOf(...requests: readonly Uint8Array[]): string[] {
  const server = new FloorServer({ conferenceId: 1, userId: 1, floorId: 1 });
  return requests.map((octets) => {
    const answer = server.answer(decodeBfcp(octets)!);
    return answer === undefined ? '' : Buffer.from(encodeBfcp(answer)).toString('hex');
  });
}

describe('the floor server', () => {
  it('grants and releases the floor', () => {
    // FLOOR-REQUEST-INFORMATION { 1, OVERALL-REQUEST-STATUS { 1, status }, FLOOR-REQUEST-STATUS { 1, status } }
    const status = (transaction: string, value: string) =>
      `50040005000000010${transaction}00011f140001250800010b04${value}00230800010b04${value}00`;
    const [granted, released] = answersOf(request(1, 7, ...FLOOR_1), request(2, 8, 0x07, 4, 0, 1));
    expect(granted).toBe(status('007', '03'));
    expect(released).toBe(status('008', '06'));
  });

  it('answers a repetition like the first', () => {
    const [first, second] = answersOf(request(1, 7, ...FLOOR_1), request(1, 7, ...FLOOR_1));
    expect(second).toBe(first);
  });

  it.each([
    ['another conference', Uint8Array.of(0x40, 11, 0, 0, 0, 0, 0, 2, 0, 1, 0, 1), 1],
    ['another user', Uint8Array.of(0x40, 11, 0, 0, 0, 0, 0, 1, 0, 1, 0, 9), 2],
    ['an unknown primitive', request(99, 1), 3],
    ['another floor', request(1, 1, 0x05, 4, 0, 2), 6],
    ['the release of what was not requested', request(2, 1, 0x07, 4, 0, 5), 7],
  ])('refuses %s', (_, octets, code) => {
    const [answer = ''] = answersOf(octets);
    expect(answer.slice(2, 4)).toBe('0d');
    expect(answer.slice(24)).toBe(`0d03${code.toString(16).padStart(2, '0')}00`);
  });

  it('is silent about acknowledgements and responses', () => {
    const response = request(14, 1);
    response[0] = 0x50;
    expect(answersOf(request(14, 1), request(15, 2), response)).toEqual(['', '', '']);
  });
});

describe('a BFCP message', () => {
  const whole = request(1, 7, ...FLOOR_1);

  it('is refused at every cut', () => {
    for (let end = 0; end < whole.length; end++)
      expect(decodeBfcp(whole.subarray(0, end))).toBeUndefined();
  });

  it.each([
    ['version 3', 0, 0x60],
    ['a fragment', 0, 0x48],
    ['an attribute without length', 13, 0],
    ['an attribute beyond the end', 13, 200],
  ])('is refused with %s', (_, at, value) => {
    const octets = Uint8Array.from(whole);
    octets[at] = value;
    expect(decodeBfcp(octets)).toBeUndefined();
  });
});
