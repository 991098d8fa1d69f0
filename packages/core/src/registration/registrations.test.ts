import { SipError } from '@sipcast/sip';
import type { Registration } from '@sipcast/sip';
import { describe, expect, it } from 'vitest';
import { registrationInfo } from './account-registration.ts';
import { refreshDelayMs, retryDelayMs } from './held-registration.ts';
import type {
  RegistrationAccount,
  RegistrationState,
  RegistrationView,
} from './account-registration.ts';
import { silentLogger } from '../logger.ts';
import { Registrations } from './registrations.ts';

const ACCOUNT: RegistrationAccount = {
  registrar: 'sip:pbx',
  from: { uri: 'sip:alice@pbx' },
  transport: 'udp',
  credentials: { username: 'alice', password: 'pw' },
};

/** A registrar that says what it is told to, and time that passes when it is told to. */
function setUp() {
  let nowMs = 0;
  let timers: { dueMs: number; callback: () => void }[] = [];
  const log: string[] = [];
  const states: RegistrationState[] = [];
  const answers: (SipError | (() => Promise<void>))[] = [];
  const answer = async (what: string): Promise<void> => {
    log.push(what);
    const next = answers.shift();
    if (next instanceof SipError) throw next;
    await next?.();
  };
  const settle = (): Promise<void> => new Promise(setImmediate);
  let made = 0;
  const registrations = new Registrations(
    {
      register: async (account) => {
        const id = ++made;
        await answer(`register ${account.from.uri} ${id}`);
        const binding: Partial<Registration> = {
          expiresSeconds: 100,
          contact: '<sip:alice@192.0.2.1>',
          refresh: () => answer(`refresh ${id}`),
          unregister: () => answer(`unregister ${id}`),
          abandon: () => log.push(`abandon ${id}`),
        };
        return binding as Registration;
      },
      logger: silentLogger,
      wallClock: () => nowMs,
      random: () => 0,
      startTimer: (delayMs, callback) => {
        const timer = { dueMs: nowMs + delayMs, callback };
        timers.push(timer);
        return () => (timers = timers.filter((one) => one !== timer));
      },
    },
    (view) => states.push(view.state),
  );
  const pass = async (ms: number): Promise<void> => {
    nowMs += ms;
    const due = timers.filter(({ dueMs }) => dueMs <= nowMs);
    timers = timers.filter((timer) => !due.includes(timer));
    for (const { callback } of due) callback();
    await settle();
  };
  return { registrations, log, states, answers, pass, settle, timersRunning: () => timers.length };
}

const refused = (statusCode: number): SipError =>
  new SipError('REJECTED', `${statusCode} No`, { statusCode });

describe('registrations', () => {
  it('share one for all calls of an account, and end it with the last', async () => {
    const { registrations, log, states } = setUp();
    const leases = await Promise.all([
      registrations.acquire(ACCOUNT),
      registrations.acquire({ ...ACCOUNT }),
    ]);
    const later = await registrations.acquire(ACCOUNT);
    expect(log).toEqual(['register sip:alice@pbx 1']);
    for (const lease of [...leases, leases[0]]) await lease?.unregister();
    expect(log).toHaveLength(1);
    await later.unregister();
    expect(log).toEqual(['register sip:alice@pbx 1', 'unregister 1']);
    expect(states).toEqual(['registered', 'closed']);
    expect(registrations.views()).toEqual([]);
  });

  it('are given up before they are there, and removed when they come', async () => {
    const { registrations, log, answers, states, settle } = setUp();
    let confirm: () => void = () => {};
    answers.push(() => new Promise((resolve) => void (confirm = resolve)));
    const over = new AbortController();
    const infos: string[] = [];
    const lease = registrations.acquire(ACCOUNT, ({ state }) => infos.push(state), over.signal);
    await settle();
    over.abort();
    expect(registrations.views()).toEqual([]);
    // Another call asks anew, behind the end of this one.
    const next = registrations.acquire(ACCOUNT);
    await settle();
    expect(log).toEqual(['register sip:alice@pbx 1']);
    const closed = registrations.close();
    confirm();
    await (await lease).unregister();
    await closed;
    await (await next).unregister();
    expect(log).toEqual([
      'register sip:alice@pbx 1',
      'unregister 1',
      'register sip:alice@pbx 2',
      'unregister 2',
    ]);
    expect([infos, states]).toEqual([
      ['registering'],
      ['registered', 'closed', 'registered', 'closed'],
    ]);
  });

  it('report the state of its account to each call, for as long as it needs it', async () => {
    const { registrations, answers, pass } = setUp();
    const infos: string[] = [];
    const told = (view: RegistrationView): void => void infos.push(registrationInfo(view));
    answers.push(() => new Promise((resolve) => void setImmediate(resolve)));
    const first = await registrations.acquire(ACCOUNT, told);
    const second = await registrations.acquire(ACCOUNT);
    expect(infos).toEqual(['Registering', 'Registered']);
    // Not refreshed while its time lasts.
    answers.push(...Array.from({ length: 9 }, () => refused(503)));
    for (let seconds = 0; seconds < 110; seconds++) await pass(1000);
    expect(infos.slice(2)).toEqual(['Registration failed: 503 No']);
    await first.unregister();
    answers.length = 0;
    for (let minutes = 0; minutes < 30; minutes++) await pass(60_000);
    expect([infos.length, registrations.views()[0]?.state]).toEqual([3, 'registered']);
    await second.unregister();
  });

  it('report a lapsed binding, however long the registrar asks to wait', async () => {
    const { registrations, answers, pass, states, log, timersRunning } = setUp();
    const lease = await registrations.acquire(ACCOUNT);
    answers.push(new SipError('REJECTED', '503 No', { statusCode: 503, retryAfterSeconds: 600 }));
    for (let seconds = 0; seconds < 99; seconds++) await pass(1000);
    expect(states).toEqual(['registered']);
    for (let seconds = 0; seconds < 2; seconds++) await pass(1000);
    expect(states).toEqual(['registered', 'failed']);
    expect(registrations.views()[0]).toMatchObject({
      problem: '503 No',
      contact: null,
      expiresAt: null,
      // Asked at 75 s, and again no sooner than ten minutes after that.
      nextAttemptAt: new Date(675_000).toISOString(),
    });
    for (let seconds = 101; seconds < 675; seconds++) await pass(1000);
    expect(states).toEqual(['registered', 'failed', 'registering', 'registered']);
    expect(log.slice(1)).toEqual(['refresh 1', 'abandon 1', 'register sip:alice@pbx 2']);
    await lease.unregister();
    expect(timersRunning()).toBe(0);
  });

  it('distinguish accounts by every field', async () => {
    const { registrations, log } = setUp();
    await registrations.acquire(ACCOUNT);
    await registrations.acquire({ ...ACCOUNT, transport: 'tcp' });
    await registrations.acquire({
      ...ACCOUNT,
      credentials: { username: 'alice', password: 'other' },
    });
    await registrations.acquire({ ...ACCOUNT, outboundProxy: { host: 'edge' } });
    expect(log).toHaveLength(4);
  });

  it('are refreshed before they expire', async () => {
    const { registrations, log, pass } = setUp();
    const registration = registrations.stand(ACCOUNT);
    await registration.registered();
    expect(registration.view()).toMatchObject({
      state: 'registered',
      contact: '<sip:alice@192.0.2.1>',
      expiresAt: new Date(100_000).toISOString(),
      nextAttemptAt: new Date(75_000).toISOString(),
    });
    await pass(74_999);
    expect(log).toHaveLength(1);
    await pass(1);
    expect(log.at(-1)).toBe('refresh 1');
    expect(registration.view().expiresAt).toBe(new Date(175_000).toISOString());
  });

  it('stay valid while a refresh fails, are retried, and are made again after they expire', async () => {
    const { registrations, log, states, answers, pass } = setUp();
    const registration = registrations.stand(ACCOUNT);
    await registration.registered();
    answers.push(refused(503), refused(503));
    await pass(75_000);
    expect(registration.view()).toMatchObject({ state: 'registered', sipStatus: 503 });
    await registration.registered(); // still stands
    await pass(12_500);
    await pass(12_500); // now its time is over
    expect(log).toEqual(['register sip:alice@pbx 1', 'refresh 1', 'refresh 1', 'refresh 1']);
    expect(registration.view()).toMatchObject({ state: 'registered', problem: null });
    for (let n = 0; n < 20; n++) answers.push(refused(503));
    for (let n = 0; n < 150; n++) await pass(1000);
    expect(states.at(-1)).toBe('failed');
    expect(registration.view()).toMatchObject({ contact: null, expiresAt: null, sipStatus: 503 });
    answers.length = 0;
    for (let n = 0; n < 1000; n++) await pass(1000);
    expect(states.at(-1)).toBe('registered');
    expect(log).toContain('abandon 1');
    expect(log).toContain('register sip:alice@pbx 2');
  });

  it('report to a call why it has none, and start again for the next', async () => {
    const { registrations, log, answers, states } = setUp();
    answers.push(refused(403));
    await expect(registrations.acquire(ACCOUNT)).rejects.toMatchObject({ statusCode: 403 });
    await new Promise(setImmediate);
    await registrations.acquire(ACCOUNT);
    expect(log).toEqual(['register sip:alice@pbx 1', 'register sip:alice@pbx 2']);
    expect(states).toEqual(['failed', 'closed', 'registered']);
  });

  it('do not let the removal of the old binding overtake the making of the new one', async () => {
    const { registrations, log, answers, settle } = setUp();
    const first = await registrations.acquire(ACCOUNT);
    let answered = (): void => {};
    answers.push(() => new Promise<void>((resolve) => (answered = resolve)));
    const removed = first.unregister();
    const second = registrations.acquire(ACCOUNT);
    await settle();
    expect(log).toEqual(['register sip:alice@pbx 1', 'unregister 1']);
    answered();
    await removed;
    await second;
    expect(log.at(-1)).toBe('register sip:alice@pbx 2');
  });

  it('go on for calls when the standing handle is closed, and the other way round', async () => {
    const { registrations, log } = setUp();
    const standing = registrations.stand(ACCOUNT);
    expect(registrations.stand(ACCOUNT)).toBe(standing);
    const lease = await registrations.acquire(ACCOUNT);
    await standing.close();
    await standing.close();
    expect(standing.state).toBe('registered');
    expect(log).toHaveLength(1);
    await lease.unregister();
    expect(standing.state).toBe('closed');
  });

  it('are all removed at the end, and leave no timer', async () => {
    const { registrations, log, answers, timersRunning, settle } = setUp();
    registrations.stand(ACCOUNT);
    answers.push(refused(500));
    registrations.stand({ ...ACCOUNT, transport: 'tcp' });
    await settle();
    await registrations.close();
    expect(log.filter((line) => line.startsWith('unregister'))).toHaveLength(1);
    expect(timersRunning()).toBe(0);
    await registrations.close();
  });
});

describe('times', () => {
  it.each([
    [3600, 0, 2_700_000],
    [3600, 1, 3_060_000],
    [60, 0.5, 48_000],
    [1, 0, 1000],
    [0xffff_ffff, 0, 86_400_000],
  ])('a binding of %d s is refreshed in time (%d)', (expires, random, expected) => {
    expect(refreshDelayMs(expires, random)).toBeCloseTo(expected);
  });

  it('retries back off as RFC 5626 has it', () => {
    expect([1, 2, 3, 6, 7, 100].map((failures) => retryDelayMs(failures, 1))).toEqual([
      60_000, 120_000, 240_000, 1_800_000, 1_800_000, 1_800_000,
    ]);
    expect(retryDelayMs(1, 0)).toBe(30_000);
  });
});
