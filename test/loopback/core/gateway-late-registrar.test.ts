// A call that is ended while its registration is under way, and a registrar that takes its time.

import { createCallGateway } from '@sipcast/core';
import type { Call, CallGateway } from '@sipcast/core';
import type { SipRequest } from '@sipcast/sip';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { response, say, ScriptedPeer } from '../sip/sip-peer.ts';

let gateway: CallGateway;
let registrar: ScriptedPeer;
/** Answers the oldest REGISTER that waits. */
const waiting: (() => void)[] = [];

beforeEach(async () => {
  waiting.length = 0;
  registrar = await new ScriptedPeer().openUdp();
  registrar.script = (message, reply) => {
    if (message.kind !== 'request') return;
    if (message.method === 'INVITE') say(reply, response(message, 486, { tag: 'bob' }));
    if (message.method !== 'REGISTER') return;
    const contact = message.headers.get('contact') ?? '';
    const granted = [['contact', `${contact};expires=${expiresOf(message)}`]] as const;
    const answer = (): void => say(reply, response(message, 200, { tag: 'r', headers: granted }));
    // What is repeated is answered with what it repeats.
    const isFirst =
      registrar.requests('REGISTER').filter((one) => isSame(one, message)).length === 1;
    if (expiresOf(message) === '0') answer();
    else if (isFirst) waiting.push(answer);
  };
  gateway = await createCallGateway({ bindAddress: '127.0.0.1', transcoding: false });
});

afterEach(async () => {
  for (const answer of waiting.splice(0)) answer();
  await gateway.close();
  await registrar.close();
});

const expiresOf = ({ headers }: SipRequest): string => headers.get('expires') ?? '';
const isSame = (one: SipRequest, other: SipRequest): boolean =>
  one.headers.get('cseq') === other.headers.get('cseq') &&
  one.headers.get('call-id') === other.headers.get('call-id');

const call = (sipLogin: string): Promise<Call> =>
  gateway.startup({
    callee: 'bob',
    sipLogin,
    sipDomain: `127.0.0.1:${registrar.port}`,
    sipRegisterRequired: true,
  });

/** Expiry times of the REGISTERs, repetitions left out. */
function asked(): string[] {
  const seen = new Set<string>();
  return registrar.requests('REGISTER').flatMap((one) => {
    const key = `${one.headers.get('call-id')} ${one.headers.get('cseq')}`;
    if (seen.has(key)) return [];
    seen.add(key);
    return [expiresOf(one)];
  });
}

it('ends at once, is never placed, and its binding is removed when it comes', async () => {
  const ended = await call('alice');
  await registrar.request('REGISTER');
  const beganMs = performance.now();
  await ended.terminate();
  expect(performance.now() - beganMs).toBeLessThan(500);
  expect(ended.view()).toMatchObject({ status: 'FINISH', info: 'Normal call clearing' });
  expect(gateway.calls.live).toEqual([]);
  // The registrar has said nothing so far.
  expect(asked()).toEqual(['3600']);
  waiting.shift()?.();
  await expect.poll(asked).toEqual(['3600', '0']);
  await expect.poll(() => gateway.accounts.list()).toEqual([]);
  expect(registrar.requests('INVITE')).toEqual([]);
});

it('keeps the binding for another call of the account', async () => {
  const ended = await call('alice');
  const other = await call('alice');
  await registrar.request('REGISTER');
  await ended.terminate();
  waiting.shift()?.();
  await registrar.request('INVITE');
  expect(asked()[0]).toBe('3600');
  await other.closed();
  expect(other.status).toBe('BUSY');
  await expect.poll(asked).toEqual(['3600', '0']);
});

it('is removed, too, when the gateway closes meanwhile', async () => {
  await call('alice');
  await registrar.request('REGISTER');
  const closing = gateway.close();
  setTimeout(() => waiting.shift()?.(), 300);
  await closing;
  expect(asked()).toEqual(['3600', '0']);
});
