import { hostname } from 'node:os';
import type { RestError } from '@sipcast/rest';
import { describe, expect, it } from 'vitest';
import { RequestGate } from './request-gate.ts';
import type { RequestGateOptions } from './request-gate.ts';

function setUp(options: Partial<RequestGateOptions> = {}) {
  let nowMs = 0;
  const gate = new RequestGate({
    allowedHosts: undefined,
    requestsPerSecond: 0,
    startupsPerSecond: 0,
    now: () => nowMs,
    ...options,
  });
  const told = (admit: () => void): string => {
    try {
      admit();
      return 'ok';
    } catch (error) {
      const { status, headers } = error as RestError;
      return [status, headers['retry-after']].filter((part) => part !== undefined).join(' ');
    }
  };
  const ask = (
    host: string | undefined,
    { clientAddress = '192.0.2.1', isStartup = false } = {},
  ): string => told(() => gate.admit({ clientAddress, host, isStartup }));
  const askPage = (address = '192.0.2.1'): string => told(() => gate.admitPage(address));
  return { ask, askPage, pass: (ms: number) => (nowMs += ms) };
}

describe('request gate', () => {
  it.each([
    'localhost',
    'localhost:8081',
    'LOCALHOST.',
    'a.localhost:1',
    '127.0.0.1:8081',
    '192.168.1.5',
    '[::1]:8081',
    '[2001:db8::1]',
    hostname(),
    'sip.example.com:8081',
    'SIP.example.com.',
    undefined,
  ])('answers to the name %s', (host) => {
    expect(setUp({ allowedHosts: ['sip.example.com'] }).ask(host)).toBe('ok');
  });

  it.each([
    'evil.example',
    'evil.example:8081',
    'localhost.evil.example',
    'xlocalhost',
    '127.0.0.1.evil.example',
    'sip.example.com.evil.example',
    '127.1',
    '0x7f.0.0.1',
    'localhost@evil.example',
  ])('does not answer to the name %s', (host) => {
    expect(setUp({ allowedHosts: ['sip.example.com'] }).ask(host)).toBe('421');
    expect(setUp().ask(host)).toBe('ok');
  });

  it('limits requests per address, and reports when to retry', () => {
    const { ask, pass } = setUp({ requestsPerSecond: 5 });
    const many = (count: number): string[] => Array.from({ length: count }, () => ask('h'));
    expect(many(10)).toEqual(Array<string>(10).fill('ok'));
    expect(many(1)).toEqual(['429 1']);
    expect(ask('h', { clientAddress: '192.0.2.2' })).toBe('ok');
    pass(400);
    expect(many(3)).toEqual(['ok', 'ok', '429 1']);
  });

  it('counts pages separately, for all addresses of a network together', () => {
    const { ask, askPage } = setUp({ requestsPerSecond: 1 });
    expect([askPage(), askPage(), askPage()]).toEqual(['ok', 'ok', '429 1']);
    expect(ask('h')).toBe('ok');
    expect([1, 2, 3].map((host) => askPage(`2001:db8::${host}`))).toEqual(['ok', 'ok', '429 1']);
  });

  it('counts startups separately', () => {
    const { ask, pass } = setUp({ startupsPerSecond: 0.5 });
    const start = (): string => ask('h', { isStartup: true });
    expect([start(), start(), ask('h')]).toEqual(['ok', '429 2', 'ok']);
    pass(2000);
    expect(start()).toBe('ok');
  });
});
