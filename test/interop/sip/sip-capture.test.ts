// The capture file, opened by tshark: what it dissects must be the SIP that was spoken.

import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { createCallGateway } from '@sipcast/core';
import type { CallGatewayOptions, SipTraceEntry } from '@sipcast/core';
import { SipPeer } from '@sipcast/testkit';
import { beforeEach, expect, it } from 'vitest';
import { makeFolder } from '../../support/folder.ts';
import { describeWith, run } from '../../support/programs.ts';

describeWith(['tshark'], 'a capture of SIP', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await makeFolder();
  });

  async function callOnce(
    options: CallGatewayOptions,
    sipTransport: 'udp' | 'tcp',
    host = '127.0.0.1',
  ): Promise<{ trace: SipTraceEntry[]; sipPort: number; peerPort: number }> {
    const auth = { username: 'alice', password: 's3cret' };
    const peer = await SipPeer.open({ script: { auth } });
    const gateway = await createCallGateway({
      bindAddress: host,
      transcoding: false,
      ...options,
    });
    try {
      const { sipPort } = gateway;
      const call = await gateway.startup({
        callee: peer.uri,
        sipLogin: 'alice',
        sipPassword: 's3cret',
        sipTransport,
      });
      await call.established();
      await call.terminate();
      expect(gateway.calls.trace(call.callId)).toEqual(call.trace());
      return { trace: call.trace(), sipPort, peerPort: peer.port };
    } finally {
      await gateway.close();
      await peer.close();
    }
  }

  async function dissect(file: string): Promise<string[][]> {
    const ports = ['udp.srcport', 'udp.dstport', 'ip.src', '_ws.malformed', 'udp.checksum.status'];
    const fields = ['sip.Method', 'sip.Status-Code', ...ports];
    const { stdout } = await run('tshark', [
      '-r',
      file,
      '-Y',
      'sip',
      '-T',
      'fields',
      '-E',
      'separator=/t',
      ...fields.flatMap((field) => ['-e', field]),
      '-o',
      'udp.check_checksum:TRUE',
    ]);
    const lines = stdout.toString().split('\n');
    return lines.filter((line) => line !== '').map((line) => line.split('\t'));
  }

  for (const transport of ['udp', 'tcp'] as const) {
    it(`is read by tshark: ${transport}`, async () => {
      const pcap = join(dir, 'sip.pcap');
      const { trace, sipPort, peerPort } = await callOnce({ sipTrace: { pcap } }, transport);
      const packets = await dissect(pcap);
      expect(packets.map(([method, status]) => method || status)).toEqual(
        trace.map(({ startLine }) =>
          startLine.startsWith('SIP/2.0 ') ? startLine.split(' ')[1] : startLine.split(' ')[0],
        ),
      );
      expect(packets[0]?.[0]).toBe('INVITE');
      // The challenge was answered, the call was answered, and it ended by our BYE.
      expect(packets.map(([, status]) => status)).toEqual(expect.arrayContaining(['401', '200']));
      for (const [index, packet] of packets.entries()) {
        const [, , source, destination, address, malformed, checksum] = packet;
        const ports =
          trace[index]?.direction === 'out' ? [source, destination] : [destination, source];
        expect(ports[1]).toBe(String(peerPort));
        if (transport === 'udp') expect(ports[0]).toBe(String(sipPort));
        expect(address).toBe('127.0.0.1');
        expect(malformed).toBe('');
        expect(checksum).toBe('1');
      }
      const text = await readFile(pcap, 'latin1');
      expect(text).toContain('response="********************************"');
      expect(text).not.toMatch(/response="[0-9a-f]{32}"/);
      expect((await stat(pcap)).mode & 0o077).toBe(0);
      const messages = trace.map(({ message }) => message).join('\n');
      expect(messages).toContain('response="***"');
      expect(messages).not.toMatch(/response="[0-9a-f]/);
    });
  }

  it('keeps secrets when asked to, and stays within its bound', async () => {
    const pcap = join(dir, 'sip.pcap');
    const sipTrace = { pcap, secrets: true, pcapMaxBytes: 100_000 };
    const peer = await SipPeer.open();
    const gateway = await createCallGateway({
      bindAddress: '127.0.0.1',
      transcoding: false,
      sipTrace,
    });
    try {
      for (let round = 0; round < 40; round++) {
        const call = await gateway.startup({
          callee: peer.uri,
          sipHeaders: { Authorisation: 'x', 'X-Key': `inline:secret${round}` },
        });
        await call.established();
        await call.terminate();
      }
    } finally {
      await gateway.close();
      await peer.close();
    }
    for (const file of [pcap, `${pcap}.1`]) {
      expect((await stat(file)).size).toBeLessThanOrEqual(100_000);
      expect((await dissect(file)).length).toBeGreaterThan(0);
    }
    expect(await readFile(pcap, 'latin1')).toContain('inline:secret39');
  });
});
