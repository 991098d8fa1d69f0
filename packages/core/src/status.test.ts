import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  CALL_TRANSITIONS,
  isFinal,
  mayFollow,
  RTMP_TRANSITIONS,
  statusOfProvisional,
} from './status.ts';
import type { CallStatus } from './status.ts';

const statuses = Object.keys(CALL_TRANSITIONS) as CallStatus[];

describe('statuses', () => {
  it('every follower exists in its table', () => {
    for (const table of [CALL_TRANSITIONS, RTMP_TRANSITIONS] as Record<
      string,
      readonly string[]
    >[]) {
      for (const followers of Object.values(table)) {
        for (const follower of followers) expect(table).toHaveProperty(follower);
      }
    }
  });

  it('exactly BUSY, FINISH and FAILED are final', () => {
    expect(statuses.filter(isFinal)).toEqual(['BUSY', 'FINISH', 'FAILED']);
  });

  it('every walk ends in a final status or can go on to one', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(20), { maxLength: 30 }), (choices) => {
        let status: CallStatus = 'NEW';
        for (const choice of choices) {
          const followers: readonly CallStatus[] = CALL_TRANSITIONS[status];
          if (followers.length === 0) break;
          const next = followers[choice % followers.length] as CallStatus;
          expect(mayFollow(CALL_TRANSITIONS, status, next)).toBe(true);
          status = next;
        }
        expect(isFinal(status) || mayFollow(CALL_TRANSITIONS, status, 'FAILED')).toBe(true);
      }),
    );
  });

  it('maps provisional responses', () => {
    expect([100, 180, 181, 183, 199].map(statusOfProvisional)).toEqual([
      'TRYING',
      'RING',
      'SESSION_PROGRESS',
      'SESSION_PROGRESS',
      'SESSION_PROGRESS',
    ]);
  });
});
