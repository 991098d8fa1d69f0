import type { CallView } from '@sipcast/core';
import { expect, it } from 'vitest';
import { callProblemEvent } from './event-model.ts';

it('a CallProblem names the call, the medium and the problem, and says nothing else of the call', () => {
  const view = {
    nodeId: 'n',
    appKey: 'defaultApp',
    sessionId: 's',
    callId: '1',
    incoming: false,
    caller: 'a',
    callee: 'b',
    custom: {},
    sdp: 'secret',
  } as CallView;
  const problem = {
    medium: 'video',
    problem: 'UNKNOWN_PAYLOAD_TYPE 97',
    since: '2026-12-01T00:00:00.000Z',
  } as const;
  const { sdp: _, ...named } = view;
  expect(callProblemEvent({ view: () => view }, problem)).toEqual({ ...named, ...problem });
  const over = { medium: 'audio', problem: null, since: null } as const;
  expect(callProblemEvent({ view: () => view }, over)).toEqual({ ...named, ...over });
});
