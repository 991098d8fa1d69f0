// Scanners and floods: svmap, svwar and svcrack of sipvicious, and sipsak. They must learn nothing, and the call that runs must not feel it.

import { createSocket } from 'node:dgram';
import { createCallGateway } from '@sipcast/core';
import type { CallGateway } from '@sipcast/core';
import { SipPeer } from '@sipcast/testkit';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { describeWith, start } from '../../support/programs.ts';

/** Runs a program to its end, whatever its exit code; gives what it printed. */
async function outputOf(program: string, args: readonly string[]): Promise<string> {
  const running = start(program, args);
  const timer = setTimeout(() => void running.stop(), 30_000);
  await running.exited;
  clearTimeout(timer);
  return running.output();
}

describeWith(['svmap', 'svwar', 'svcrack', 'sipsak'], 'attackers', () => {
  let gateway: CallGateway;
  let phone: SipPeer;
  beforeEach(async () => {
    gateway = await createCallGateway({ bindAddress: '0.0.0.0', transcoding: false });
    // Another address than the attackers': whom we call is no stranger.
    phone = await SipPeer.open({ host: '127.0.0.2' });
  });
  afterEach(async () => {
    await gateway.close();
    await phone.close();
  });

  it('reveals nothing to scanners, and bans them', async () => {
    const at = ['127.0.0.1', '-p', String(gateway.sipPort)];
    const map = await outputOf('svmap', at);
    expect(map).not.toContain('sipcast');
    expect(map).toMatch(/found nothing|no response|not found|socket error/i);
    expect(gateway.faults['sip-source-banned']).toBe(1);
    const war = await outputOf('svwar', ['-e100-120', '-m', 'INVITE', '--force', ...at]);
    expect(war).not.toMatch(/reqauth|noauth|weird/);
    const crack = await outputOf('svcrack', ['-u100', '-r1-20', ...at]);
    expect(crack).not.toMatch(/\| *100 *\|/);
    expect(gateway.faults['sip-banned-source']).toBeGreaterThan(1);
  });

  it('answers no stranger that asks what we are', async () => {
    const uri = `sip:127.0.0.1:${gateway.sipPort}`;
    const asked = await outputOf('sipsak', ['-vv', '-s', uri, '-D', '1000']);
    expect(asked).not.toContain('SIP/2.0 200');
    expect(gateway.faults['sip-stranger']).toBeGreaterThan(0);
  });

  it('carries a call through a flood without a loss, and stays within its limits', async () => {
    const call = await gateway.startup({ callee: phone.uri });
    await call.established();
    const socket = createSocket('udp4');
    const before = call.stats()?.video?.packets ?? 0;
    try {
      for (let round = 0; round < 50; round++) {
        for (let n = 0; n < 100; n++) {
          const id = `${round}-${n}`;
          const method = ['INVITE', 'REGISTER', 'OPTIONS'][n % 3] ?? '';
          const lines = [
            `${method} sip:${n}@127.0.0.1 SIP/2.0`,
            `Via: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK${id}`,
            `From: <sip:x@a>;tag=${id}`,
            `To: <sip:${n}@b>`,
            `Call-ID: ${id}`,
            `CSeq: 1 ${method}`,
            'Max-Forwards: 70',
            'Contact: <sip:x@127.0.0.1:9>',
            'Content-Length: 0',
          ];
          socket.send(`${lines.join('\r\n')}\r\n\r\n`, gateway.sipPort, '127.0.0.1');
        }
        await new Promise((resolve) => {
          setTimeout(resolve, 20);
        });
      }
    } finally {
      socket.close();
    }
    const faults = gateway.faults;
    expect(faults['sip-source-banned']).toBe(1);
    expect(faults['sip-banned-source']).toBeGreaterThan(1000);
    expect(call.status).toBe('ESTABLISHED');
    await expect.poll(() => call.stats()?.video?.packets ?? 0).toBeGreaterThan(before);
    expect(call.stats()?.video?.lost).toBe(0);
    await call.terminate();
  });
});
