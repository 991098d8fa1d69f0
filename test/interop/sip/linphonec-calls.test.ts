// linphonec calls us over UDP, TCP and TLS, with SRTP, too, holds and resumes; and is called with SRTP. What nginx-rtmp
// records has each beep in its place.

import { setTimeout as sleep } from 'node:timers/promises';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Call, CallGateway, CallGatewayOptions } from '@sipcast/core';
import { beforeEach, expect, it } from 'vitest';
import { openGateway } from '../../support/call-ends.ts';
import { makeTestAuthority } from '../../support/certificates.ts';
import { afterTest } from '../../support/cleanup.ts';
import { makeFolder } from '../../support/folder.ts';
import { startLinphonec } from '../../support/linphonec.ts';
import type { Linphonec, LinphonecOptions } from '../../support/linphonec.ts';
import { startNginxRtmp } from '../../support/nginx-rtmp.ts';
import type { NginxRtmp } from '../../support/nginx-rtmp.ts';
import { describeWith, run } from '../../support/programs.ts';
import { probeRecording } from '../../support/recording.ts';
import { findBeeps } from '../../support/sound.ts';

const PLAY_MS = 4500;

describeWith(['linphonec', 'nginx', 'ffmpeg', 'ffprobe', 'openssl'], 'linphonec', () => {
  let dir: string;
  let nginx: NginxRtmp;

  beforeEach(async () => {
    dir = await makeFolder();
    nginx = await startNginxRtmp(dir);
    afterTest(() => nginx.stop());
  });

  async function openPhone(options: Partial<LinphonecOptions> = {}): Promise<Linphonec> {
    const phone = await startLinphonec(join(dir, 'phone'), { codec: 'PCMA/8000', ...options });
    afterTest(() => phone.stop());
    return phone;
  }

  /** A gateway that puts whoever calls `studio` on air. */
  function openStudio(srtp: 'off' | 'required', options: CallGatewayOptions = {}) {
    const accept = { rtmpUrl: nginx.url, rtmpStream: 'air', srtp };
    const rules = [{ match: { calledUser: 'studio' }, accept }];
    return openGateway({ transcoding: {}, ...options, incoming: { rules } });
  }

  async function calledBy(gateway: CallGateway, phone: Linphonec, target: string): Promise<Call> {
    phone.type(`call ${target}`);
    await expect.poll(() => gateway.calls.live.length).toBe(1);
    const call = gateway.calls.live[0]!;
    await call.established();
    await expect.poll(() => call.rtmpStreamStatus).toBe('RTMP_STREAM_ACTIVE');
    return call;
  }

  /** Milliseconds of the beeps in what was recorded, which must be whole. */
  async function recordedBeeps(): Promise<number[]> {
    // nginx closes the file when the publisher has left.
    const [file = ''] = await nginx.finished();
    const { audio, errors } = await probeRecording(file);
    expect(errors).toBe('');
    expect(audio).toMatchObject({ codec: 'aac', sampleRateHz: 44_100, backwards: 0 });
    expect(audio!.largestStepMs).toBeLessThanOrEqual(24);
    const decode = ['-v', 'error', '-i', file, '-f', 's16le', '-ar', '8000', '-ac', '1', '-'];
    const { stdout } = await run('ffmpeg', decode);
    return findBeeps(new Int16Array(stdout.buffer, stdout.byteOffset, stdout.length >> 1));
  }

  /** A beep each second, for as long as was listened. */
  function expectBeeps(beepsMs: readonly number[]): void {
    expect(beepsMs.length).toBeGreaterThanOrEqual(4);
    for (const [at, ms] of beepsMs.slice(1).entries())
      expect(Math.abs(ms - beepsMs[at]! - 1000)).toBeLessThan(40);
  }

  const ENCRYPTED = /m=audio \d+ RTP\/SAVP [^]*a=crypto:/;

  it.each([
    ['udp', 'off'],
    ['tcp', 'off'],
    ['udp', 'required'],
    ['tls', 'required'],
  ] as const)('calls over %s with SRTP %s', async (transport, srtp) => {
    const authority = await makeTestAuthority(dir);
    const caPath = join(dir, 'authority.pem');
    await writeFile(caPath, authority.ca);
    const { cert, key } = authority.good;
    const gateway = await openStudio(srtp, transport === 'tls' ? { sipTls: { cert, key } } : {});
    const phone = await openPhone({ srtp: srtp === 'required', caPath });
    // It believes certificates for names alone, not for addresses.
    const at =
      transport === 'tls' ? `localhost:${gateway.sipTlsPort}` : `127.0.0.1:${gateway.sipPort}`;
    const call = await calledBy(gateway, phone, `sip:studio@${at};transport=${transport}`);
    expect(call.trace()[0]?.transport).toBe(transport.toUpperCase());
    await sleep(PLAY_MS);
    expect(call.stats()?.audio).toMatchObject({ codec: 'pcma', lost: 0, faults: {} });
    expect(ENCRYPTED.test(call.view().sdp ?? '')).toBe(srtp === 'required');
    expect(gateway.faults).toEqual({});
    phone.type('terminate');
    await expect.poll(() => call.status).toBe('FINISH');
    expect(call.view()).toMatchObject({ incoming: true, endedBy: 'remote' });
    expectBeeps(await recordedBeeps());
  });

  it('holds and resumes, while the stream goes on', async () => {
    const gateway = await openStudio('off');
    const phone = await openPhone();
    const call = await calledBy(gateway, phone, `sip:studio@127.0.0.1:${gateway.sipPort}`);
    await sleep(1500);
    phone.type('pause');
    await expect.poll(() => call.status).toBe('HOLD');
    await sleep(1500);
    expect(call.rtmpStreamStatus).toBe('RTMP_STREAM_ACTIVE');
    phone.type('resume');
    await expect.poll(() => call.status).toBe('ESTABLISHED');
    await sleep(2500);
    await call.terminate();
    expect((await recordedBeeps()).length).toBeGreaterThanOrEqual(3);
  });

  it('is called with SRTP', async () => {
    const phone = await openPhone({ srtp: true });
    const gateway = await openGateway({ transcoding: {}, offer: { srtp: 'required' } });
    const target = { rtmpUrl: nginx.url, rtmpStream: 'air' };
    const call = await gateway.startup({ callee: phone.uri, ...target });
    await call.established();
    await expect.poll(() => call.rtmpStreamStatus).toBe('RTMP_STREAM_ACTIVE');
    await sleep(PLAY_MS);
    expect(call.view().sdp).toMatch(ENCRYPTED);
    expect(call.stats()?.audio).toMatchObject({ codec: 'pcma', lost: 0, faults: {} });
    await call.terminate();
    expectBeeps(await recordedBeeps());
  });
});
