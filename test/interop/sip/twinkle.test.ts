// Twinkle: a SIP stack and RTP (ccRTP) of its own. Audio only.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createCallGateway } from '@sipcast/core';
import type { Call, CallGateway } from '@sipcast/core';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { describeWith } from '../../support/programs.ts';
import { startTwinkle } from '../../support/twinkle.ts';
import type { Twinkle } from '../../support/twinkle.ts';

const LIMIT = { timeout: 30_000 };

describeWith(['twinkle'], 'Twinkle', () => {
  let dir = '';
  let phone: Twinkle;
  let gateway: CallGateway;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'twinkle-'));
    phone = await startTwinkle(dir);
    gateway = await createCallGateway({
      bindAddress: '127.0.0.1',
      incoming: { rules: [{ accept: {} }] },
    });
  });
  afterEach(async () => {
    await gateway.close();
    await phone.stop();
    await rm(dir, { recursive: true, force: true });
  });

  /** Its microphone is a device without a clock, so that it sends a packet at a change of the call and no more. */
  async function exercise(call: Call): Promise<void> {
    await expect.poll(() => call.stats()?.audio?.packets ?? 0).toBeGreaterThan(0);
    expect(call.stats()).toMatchObject({
      audio: { codec: 'pcma', lost: 0, faults: {} },
      video: null,
    });
    phone.command('hold');
    await expect.poll(() => call.status, { timeout: 5000 }).toBe('HOLD');
    phone.command('retrieve');
    await expect.poll(() => call.status, { timeout: 5000 }).toBe('ESTABLISHED');
    await call.hold();
    expect(call.status).toBe('HOLD');
    await call.resume();
    expect(call.status).toBe('ESTABLISHED');
    expect(call.stats()?.audio).toMatchObject({ lost: 0 });
  }

  it('calls us, holds and is held', LIMIT, async () => {
    phone.command(`call sip:studio@127.0.0.1:${gateway.sipPort}`);
    await expect
      .poll(() => gateway.calls.live.at(-1)?.status, { timeout: 5000 })
      .toBe('ESTABLISHED');
    const call = gateway.calls.live.at(-1)!;
    await exercise(call);
    // With such a microphone it may hang when it hangs up itself.
    await call.terminate();
    expect(call.status).toBe('FINISH');
  });

  it('is called, holds and is held', LIMIT, async () => {
    const call = await gateway.startup({ callee: phone.uri });
    await expect.poll(() => call.status, { timeout: 5000 }).toBe('RING');
    phone.command('answer');
    await call.established();
    await exercise(call);
    await call.terminate();
    expect(call.status).toBe('FINISH');
  });
});
