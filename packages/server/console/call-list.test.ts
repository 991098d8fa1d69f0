import type { CallView } from '@sipcast/core';
import { describe, expect, it } from 'vitest';
import {
  applyCallEvent,
  applyOne,
  applyPushEvent,
  applySnapshot,
  EMPTY_LIST,
  filterCalls,
  MAX_ENDED,
} from './call-list.ts';
import type { CallList, CallStatusEvent, PushStatusEvent } from './call-list.ts';

const T0 = Date.parse('2026-01-01T00:00:00Z');
const event = (
  callId: string,
  status: CallView['status'],
  sequence: number,
  more: Partial<CallView> = {},
): CallStatusEvent => ({ callId, status, sequence, timestamp: T0 + sequence * 1000, ...more });

/** A call as returned by the API. */
function call(callId: string, more: Partial<CallView> = {}): CallView {
  const { live } = applyCallEvent(EMPTY_LIST, event(callId, 'TRYING', 0));
  return { ...(live[0] as CallView), callee: `sip:${callId}@h`, ...more };
}

const statuses = ({ live, ended }: CallList): string =>
  [...live, ...ended].map(({ callId, status }) => `${callId} ${status}`).join(', ');

describe('events', () => {
  it('add a call, change it, and move it to the ended calls', () => {
    let list = applyCallEvent(EMPTY_LIST, event('a', 'PENDING', 1, { callee: 'sip:a@h' }));
    list = applyCallEvent(list, event('b', 'PENDING', 2));
    list = applyCallEvent(list, event('a', 'ESTABLISHED', 3, { sipStatus: 200 }));
    expect(statuses(list)).toBe('a ESTABLISHED, b PENDING');
    expect(list.live[0]).toMatchObject({
      callee: 'sip:a@h',
      sipStatus: 200,
      establishedAt: '2026-01-01T00:00:03.000Z',
    });
    list = applyCallEvent(list, event('b', 'FAILED', 4, { info: 'No common codecs' }));
    list = applyCallEvent(list, event('a', 'FINISH', 5, { info: 'Normal call clearing' }));
    expect(list.live).toEqual([]);
    expect(list.ended.map(({ callId, info }) => [callId, info])).toEqual([
      ['a', 'Normal call clearing'],
      ['b', 'No common codecs'],
    ]);
    expect(list.ended[0]?.endedAt).toBe('2026-01-01T00:00:05.000Z');
  });

  it('do not remove the secrets from an address returned by the API', () => {
    const rtmpUrl = 'rtmp://user@h/app?key=1';
    const known: CallList = { ...EMPTY_LIST, live: [call('a', { rtmpUrl })] };
    const list = applyCallEvent(known, event('a', 'RING', 1, { rtmpUrl: 'rtmp://h/app' }));
    expect(list.live[0]).toMatchObject({ status: 'RING', rtmpUrl });
  });

  it('keep a bounded number of ended calls, each once', () => {
    let list = EMPTY_LIST;
    for (let n = 1; n <= MAX_ENDED + 5; n++)
      list = applyCallEvent(list, event(`c${n}`, 'FAILED', n));
    expect(list.ended).toHaveLength(MAX_ENDED);
    expect(list.ended[0]?.callId).toBe(`c${MAX_ENDED + 5}`);
  });
});

describe('pushes', () => {
  const push = (more: Partial<PushStatusEvent>): PushStatusEvent =>
    ({
      callId: 'a',
      mediaSessionId: 'a-1',
      rtmpUrl: 'rtmp://h/app',
      status: 'RTMP_STREAM_WAIT',
      muted: false,
      closed: false,
      timestamp: T0,
      sequence: 1,
      ...more,
    }) as PushStatusEvent;

  it('appear, change and disappear with their events, in order', () => {
    let list: CallList = { ...EMPTY_LIST, live: [call('a'), call('b')] };
    list = applyPushEvent(list, push({}));
    list = applyPushEvent(list, push({ mediaSessionId: 'a-2' }));
    list = applyPushEvent(list, push({ status: 'RTMP_STREAM_ACTIVE', muted: true }));
    const shown = (): unknown =>
      list.live[0]?.pushes.map((one) => [one.mediaSessionId, one.status, one.muted]);
    expect(shown()).toEqual([
      ['a-1', 'RTMP_STREAM_ACTIVE', true],
      ['a-2', 'RTMP_STREAM_WAIT', false],
    ]);
    list = applyPushEvent(list, push({ closed: true }));
    expect(shown()).toEqual([['a-2', 'RTMP_STREAM_WAIT', false]]);
    expect(list.live[1]?.pushes).toEqual([]);
  });
});

describe('a snapshot', () => {
  it('replaces the earlier state', () => {
    const before = applyCallEvent(EMPTY_LIST, event('old', 'RING', 1));
    const list = applySnapshot(before, [call('a')], [call('e', { status: 'BUSY' })], 1);
    expect(statuses(list)).toBe('a TRYING, e BUSY');
    expect(list.touched).toEqual({});
  });

  it('older than an event does not undo the event', () => {
    let list = applySnapshot(EMPTY_LIST, [call('a'), call('b')], [], 0);
    list = applyCallEvent(list, event('a', 'ESTABLISHED', 5, { sipStatus: 200 }));
    list = applyCallEvent(list, event('b', 'FINISH', 6));
    list = applyCallEvent(list, event('c', 'PENDING', 7));
    // Requested before event 5, answered after event 7.
    list = applySnapshot(list, [call('a', { streamName: 's' }), call('b')], [], 4);
    expect(statuses(list)).toBe('a ESTABLISHED, c PENDING, b FINISH');
    expect(list.live[0]).toMatchObject({ sipStatus: 200, streamName: 's' });
    // The next one was requested after all of them.
    list = applySnapshot(list, [call('c')], [], 7);
    expect(statuses(list)).toBe('c TRYING');
  });

  it('shows a call ended by an event once, with the data of the history', () => {
    const ended = call('a', {
      status: 'FINISH',
      endedAt: '2026-01-01T00:00:02Z',
      endedBy: 'local',
    });
    const live: CallList = { ...EMPTY_LIST, live: [call('a')] };
    const list = applySnapshot(applyCallEvent(live, event('a', 'FINISH', 2)), [], [ended], 1);
    expect(list.ended).toEqual([ended]);
  });
});

it('a single call is updated only while it is live', () => {
  const list: CallList = { ...EMPTY_LIST, live: [call('a')] };
  expect(statuses(applyOne(list, call('a', { status: 'HOLD' })))).toBe('a HOLD');
  expect(statuses(applyOne(list, call('b')))).toBe('a TRYING');
});

it('the filter matches all words anywhere', () => {
  const calls = [
    call('a', { streamName: 'studio', incoming: true, visibleName: 'Alice' }),
    call('b', { info: 'Busy Here' }),
  ];
  const found = (text: string): string =>
    filterCalls(calls, text)
      .map(({ callId }) => callId)
      .join('');
  const texts = ['', 'STUDIO', 'sip: b@h', 'busy studio', 'trying', 'incoming alice'];
  expect(texts.map(found)).toEqual(['ab', 'a', 'b', '', 'ab', 'a']);
});
