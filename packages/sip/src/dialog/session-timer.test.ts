// Session timers: who refreshes, when, and when the session expires. Time is an argument.

import { describe, expect, it } from 'vitest';
import { EMPTY_BODY, SipHeaders, type SipRequest } from '../message/message.ts';
import { parseSessionExpires, SessionTimer, type SessionTimerOptions } from './session-timer.ts';
import {
  type Events,
  type Stage,
  type States,
  type StateTable,
  testTable,
} from '../test-states.ts';

function setUp(options: SessionTimerOptions = {}) {
  const events: string[] = [];
  const timers: { atMs: number; callback: () => void }[] = [];
  let nowMs = 0;
  const timer = new SessionTimer(
    options,
    {
      now: () => nowMs,
      startTimer: (delayMs, callback) => {
        const entry = { atMs: nowMs + delayMs, callback };
        timers.push(entry);
        return { cancel: () => void timers.splice(timers.indexOf(entry) >>> 0, 1) };
      },
    },
    {
      refresh: () => events.push(`refresh ${nowMs / 1000}`),
      expired: () => events.push(`expired ${nowMs / 1000}`),
    },
  );
  const goTo = (seconds: number): void => {
    for (;;) {
      const next = timers.toSorted((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined || next.atMs > seconds * 1000) break;
      timers.splice(timers.indexOf(next), 1);
      nowMs = next.atMs;
      next.callback();
    }
    nowMs = seconds * 1000;
  };
  return { timer, events, timers, goTo };
}

const headers = (...fields: [string, string][]): SipHeaders => {
  const result = new SipHeaders();
  for (const [name, value] of fields) result.append(name, value);
  return result;
};

const request = (...fields: [string, string][]): SipRequest => ({
  kind: 'request',
  method: 'INVITE',
  uri: 'sip:a@example.com',
  headers: headers(...fields),
  body: EMPTY_BODY,
});

describe('parseSessionExpires', () => {
  it.each([
    ['1800', { seconds: 1800, refresher: undefined }],
    ['90;refresher=uac', { seconds: 90, refresher: 'uac' }],
    [' 90 ; x=1 ; Refresher = UAS ', { seconds: 90, refresher: 'uas' }],
    ['90;refresher=both', { seconds: 90, refresher: undefined }],
    ['', undefined],
    ['-1', undefined],
    ['1e9', undefined],
    ['99999999999', undefined],
  ])('reads %j', (text, expected) => {
    expect(parseSessionExpires(text)).toEqual(expected);
  });
});

describe('SessionTimer of an outgoing call', () => {
  it('requests nothing by default, and never expires without a Session-Expires', () => {
    const { timer, timers } = setUp();
    expect(timer.requestHeaders()).toEqual([]);
    timer.accepted(headers());
    expect(timers).toEqual([]);
  });

  it('requests a timer if configured', () => {
    const { timer } = setUp({ mode: 'request', expiresSeconds: 600, minSeconds: 120 });
    expect(timer.requestHeaders()).toEqual([
      ['session-expires', '600'],
      ['min-se', '120'],
    ]);
  });

  it('refreshes at half of the interval, retries until one succeeds, then expires', () => {
    const { timer, events, goTo } = setUp();
    timer.accepted(headers(['session-expires', '96;refresher=uac']));
    expect(timer.weRefresh).toBe(true);
    expect(timer.requestHeaders()).toEqual([['session-expires', '96;refresher=uac']]);
    goTo(63);
    expect(events).toEqual(['refresh 48', 'refresh 56', 'refresh 60', 'refresh 62']);
    goTo(64);
    expect(events.at(-1)).toBe('expired 64');
  });

  it('restarts with each successful refresh', () => {
    const { timer, events, goTo } = setUp();
    timer.accepted(headers(['session-expires', '100;refresher=uac']));
    goTo(50);
    timer.accepted(headers(['session-expires', '100;refresher=uac']));
    goTo(99);
    expect(events).toEqual(['refresh 50']);
    goTo(100);
    expect(events).toEqual(['refresh 50', 'refresh 100']);
  });

  it('only waits if the peer refreshes, and expires shortly before the interval ends', () => {
    const { timer, events, goTo } = setUp();
    timer.accepted(headers(['session-expires', '1800;refresher=uas']));
    goTo(1767);
    expect(events).toEqual([]);
    goTo(1768);
    expect(events).toEqual(['expired 1768']);
  });

  it('adopts the peer’s minimum from a 422 once, and keeps it', () => {
    const { timer } = setUp({ mode: 'request', expiresSeconds: 90 });
    expect(timer.tooSmall(headers(['min-se', '300']))).toBe(true);
    expect(timer.requestHeaders()).toEqual([
      ['session-expires', '300'],
      ['min-se', '300'],
    ]);
    expect(timer.tooSmall(headers(['min-se', '300']))).toBe(false);
    expect(timer.tooSmall(headers(['min-se', '999999']))).toBe(false);
    expect(timer.tooSmall(headers())).toBe(false);
  });

  it('leaves nothing running after stop', () => {
    const { timer, events, timers, goTo } = setUp();
    timer.accepted(headers(['session-expires', '90;refresher=uac']));
    timer.stop();
    timer.accepted(headers(['session-expires', '90;refresher=uac']));
    goTo(200);
    expect([events, timers]).toEqual([[], []]);
  });

  it('off: ignores session timers', () => {
    const { timer, timers } = setUp({ mode: 'off' });
    timer.accepted(headers(['session-expires', '90;refresher=uac']));
    expect(timer.answer(request(['session-expires', '90']))).toEqual([]);
    expect(timer.refuse(request(['session-expires', '1']))).toBeUndefined();
    expect(timers).toEqual([]);
  });
});

describe('SessionTimer for the peer’s request', () => {
  it('refuses an interval below the minimum', () => {
    const { timer } = setUp({ minSeconds: 120 });
    expect(timer.refuse(request(['session-expires', '119']))).toMatchObject({
      statusCode: 422,
      headers: [['min-se', '120']],
    });
    expect(timer.refuse(request(['session-expires', '120']))).toBeUndefined();
    expect(timer.refuse(request())).toBeUndefined();
  });

  // RFC 4028 §9, table 2.
  it.each([
    ['not supported by the peer', [], '1800', '1800;refresher=uas', true],
    ['peer leaves the choice', ['timer'], '1800', '1800;refresher=uac', false],
    ['peer refreshes', ['timer'], '1800;refresher=uac', '1800;refresher=uac', false],
    ['we are asked to', ['timer'], '1800;refresher=uas', '1800;refresher=uas', true],
  ] as const)('%s', (_, supported, asked, answered, weRefresh) => {
    const { timer } = setUp();
    const fields: [string, string][] = supported.map((tag) => ['supported', tag]);
    const answer = timer.answer(request(...fields, ['session-expires', asked]));
    expect(answer[0]).toEqual(['session-expires', answered]);
    expect(answer.some(([name]) => name === 'require')).toBe(!weRefresh);
    expect(timer.weRefresh).toBe(weRefresh);
    expect(timer.seconds).toBe(1800);
  });

  it('sets one without being asked if configured to request it', () => {
    const { timer } = setUp({ mode: 'request', expiresSeconds: 600 });
    expect(timer.answer(request())).toEqual([['session-expires', '600;refresher=uas']]);
  });

  it('ends with a refresh that requests none', () => {
    const { timer, timers } = setUp();
    timer.answer(request(['session-expires', '90']));
    expect(timers.length).toBe(1);
    expect(timer.answer(request())).toEqual([]);
    expect(timers).toEqual([]);
  });
});

// Every state × event: the interval in force, who refreshes, and what is requested from the dialog.
describe('the session timer’s states', () => {
  type Rig = ReturnType<typeof setUp>;
  interface TimerStage extends Stage {
    readonly rig: Rig;
    atS: number;
    readonly said: string[];
  }
  const begin = async (state: string): Promise<TimerStage> => {
    const rig = setUp({
      mode: state.startsWith('off') ? 'off' : state.includes('asked for') ? 'request' : 'accept',
      minSeconds: 100,
    });
    const said: string[] = [];
    return {
      rig,
      said,
      atS: 0,
      state: () => {
        const { seconds, weRefresh } = rig.timer;
        return seconds === 0 ? 'none' : `${seconds} s, ${weRefresh ? 'ours' : 'theirs'}`;
      },
      happened: () => [...said.splice(0), ...rig.events.splice(0)],
      close: async () => rig.timer.stop(),
      get timers() {
        return rig.timers.length;
      },
    };
  };
  const asked =
    (value: string, supported = true) =>
    (stage: TimerStage): void => {
      const fields: [string, string][] = supported ? [['supported', 'timer']] : [];
      if (value !== '') fields.push(['session-expires', value]);
      const answer = stage.rig.timer.answer(request(...fields));
      stage.said.push(...answer.map((field) => field.join(' ')));
    };
  const granted =
    (value: string) =>
    (stage: TimerStage): void =>
      stage.rig.timer.accepted(value === '' ? headers() : headers(['session-expires', value]));
  const passes =
    (seconds: number) =>
    (stage: TimerStage): void => {
      stage.atS += seconds;
      stage.rig.goTo(stage.atS);
    };
  const EVENTS = {
    'granted, we refresh': granted('300;refresher=uac'),
    'granted, they refresh': granted('300;refresher=uas'),
    'granted, no refresher named': granted('300'),
    'granted, but of no time': granted('0;refresher=uac'),
    'granted, but far too short': granted('2;refresher=uac'),
    'not granted': granted(''),
    'asked, they refresh': asked('600;refresher=uac'),
    'asked, we refresh': asked('600;refresher=uas'),
    'asked, no refresher named': asked('600'),
    'asked by a proxy': asked('600', false),
    'not asked': asked(''),
    'too short': ({ rig, said }) => {
      const verdict = rig.timer.refuse(request(['session-expires', '99']));
      if (verdict) said.push(String(verdict.statusCode));
    },
    'refused as too short': ({ rig, said }) => {
      if (rig.timer.tooSmall(headers(['min-se', '900']))) said.push('again');
    },
    'we send a request': ({ rig, said }) =>
      void said.push(...rig.timer.requestHeaders().map((field) => field.join(' '))),
    '100 s pass': passes(100),
    '150 s pass': passes(150),
    '268 s pass': passes(268),
    stop: ({ rig }) => rig.timer.stop(),
  } satisfies Events<TimerStage>;
  const STATES = {
    'off: not known here': ['none', []],
    'none, none wanted': ['none', []],
    'none, though we asked for one': ['none', ['not granted']],
    'we refresh': ['300 s, ours', ['granted, we refresh']],
    'we refresh, and it is due': ['300 s, ours', ['granted, we refresh', '150 s pass']],
    'they refresh': ['300 s, theirs', ['granted, they refresh']],
    stopped: ['300 s, ours', ['granted, we refresh', 'stop']],
  } satisfies States<typeof EVENTS>;
  const TABLE: StateTable<typeof STATES, typeof EVENTS> = {
    'off: not known here': {},
    'none, none wanted': {
      'granted, we refresh': '300 s, ours: ',
      'granted, they refresh': '300 s, theirs: ',
      'granted, no refresher named': '300 s, ours: ',
      'granted, but far too short': '10 s, ours: ',
      'asked, they refresh': '600 s, theirs: session-expires 600;refresher=uac, require timer',
      'asked, we refresh': '600 s, ours: session-expires 600;refresher=uas',
      'asked, no refresher named':
        '600 s, theirs: session-expires 600;refresher=uac, require timer',
      'asked by a proxy': '600 s, ours: session-expires 600;refresher=uas',
      'too short': 'none: 422',
      'refused as too short': 'none: again',
    },
    'none, though we asked for one': {
      'granted, we refresh': '300 s, ours: ',
      'granted, they refresh': '300 s, theirs: ',
      'granted, no refresher named': '300 s, ours: ',
      'granted, but far too short': '10 s, ours: ',
      'asked, they refresh': '600 s, theirs: session-expires 600;refresher=uac, require timer',
      'asked, we refresh': '600 s, ours: session-expires 600;refresher=uas',
      'asked, no refresher named':
        '600 s, theirs: session-expires 600;refresher=uac, require timer',
      'asked by a proxy': '600 s, ours: session-expires 600;refresher=uas',
      'not asked': '1800 s, theirs: session-expires 1800;refresher=uac, require timer',
      'too short': 'none: 422',
      'refused as too short': 'none: again',
      'we send a request': 'none: session-expires 1800, min-se 100',
    },
    'we refresh': {
      'granted, they refresh': '300 s, theirs: ',
      'granted, but of no time': 'none: ',
      'granted, but far too short': '10 s, ours: ',
      'not granted': 'none: ',
      'asked, they refresh': '600 s, theirs: session-expires 600;refresher=uac, require timer',
      'asked, we refresh': '600 s, ours: session-expires 600;refresher=uas',
      'asked, no refresher named':
        '600 s, theirs: session-expires 600;refresher=uac, require timer',
      'asked by a proxy': '600 s, ours: session-expires 600;refresher=uas',
      'not asked': 'none: ',
      'too short': '300 s, ours: 422',
      'refused as too short': '300 s, ours: again',
      'we send a request': '300 s, ours: session-expires 300;refresher=uac, min-se 100',
      '150 s pass': '300 s, ours: refresh 150',
      '268 s pass':
        '300 s, ours: refresh 150, refresh 209, refresh 238.5, refresh 253.25, refresh 260.625, refresh 264.3125, refresh 266.15625, expired 268',
    },
    'we refresh, and it is due': {
      'granted, they refresh': '300 s, theirs: ',
      'granted, but of no time': 'none: ',
      'granted, but far too short': '10 s, ours: ',
      'not granted': 'none: ',
      'asked, they refresh': '600 s, theirs: session-expires 600;refresher=uac, require timer',
      'asked, we refresh': '600 s, ours: session-expires 600;refresher=uas',
      'asked, no refresher named':
        '600 s, theirs: session-expires 600;refresher=uac, require timer',
      'asked by a proxy': '600 s, ours: session-expires 600;refresher=uas',
      'not asked': 'none: ',
      'too short': '300 s, ours: 422',
      'refused as too short': '300 s, ours: again',
      'we send a request': '300 s, ours: session-expires 300;refresher=uac, min-se 100',
      '100 s pass': '300 s, ours: refresh 209, refresh 238.5',
      '150 s pass':
        '300 s, ours: refresh 209, refresh 238.5, refresh 253.25, refresh 260.625, refresh 264.3125, refresh 266.15625, expired 268',
      '268 s pass':
        '300 s, ours: refresh 209, refresh 238.5, refresh 253.25, refresh 260.625, refresh 264.3125, refresh 266.15625, expired 268',
    },
    'they refresh': {
      'granted, we refresh': '300 s, ours: ',
      'granted, no refresher named': '300 s, ours: ',
      'granted, but of no time': 'none: ',
      'granted, but far too short': '10 s, ours: ',
      'not granted': 'none: ',
      'asked, they refresh': '600 s, theirs: session-expires 600;refresher=uac, require timer',
      'asked, we refresh': '600 s, ours: session-expires 600;refresher=uas',
      'asked, no refresher named':
        '600 s, theirs: session-expires 600;refresher=uac, require timer',
      'asked by a proxy': '600 s, ours: session-expires 600;refresher=uas',
      'not asked': 'none: ',
      'too short': '300 s, theirs: 422',
      'refused as too short': '300 s, theirs: again',
      'we send a request': '300 s, theirs: session-expires 300;refresher=uas, min-se 100',
      '268 s pass': '300 s, theirs: expired 268',
    },
    stopped: {
      'granted, they refresh': '300 s, theirs: ',
      'granted, but of no time': 'none: ',
      'granted, but far too short': '10 s, ours: ',
      'not granted': 'none: ',
      'asked, they refresh': '600 s, theirs: session-expires 600;refresher=uac, require timer',
      'asked, we refresh': '600 s, ours: session-expires 600;refresher=uas',
      'asked, no refresher named':
        '600 s, theirs: session-expires 600;refresher=uac, require timer',
      'asked by a proxy': '600 s, ours: session-expires 600;refresher=uas',
      'not asked': 'none: ',
      'too short': '300 s, ours: 422',
      'refused as too short': '300 s, ours: again',
      'we send a request': '300 s, ours: session-expires 300;refresher=uac, min-se 100',
    },
  };
  testTable(begin, EVENTS, STATES, TABLE);
});
