// baresip with SRTP, called and calling: what nginx-rtmp records decodes, and nothing went over the wire in the clear.

import { setTimeout as sleep } from 'node:timers/promises';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Call, CallGateway } from '@sipcast/core';
import { beforeEach, expect, it } from 'vitest';
import { startBaresip } from '../../support/baresip.ts';
import { openGateway } from '../../support/call-ends.ts';
import { makeTestAuthority } from '../../support/certificates.ts';
import { afterTest } from '../../support/cleanup.ts';
import { decodeErrors, summarizeFlv } from '../../support/flv-check.ts';
import { makeFolder } from '../../support/folder.ts';
import { startNginxRtmp } from '../../support/nginx-rtmp.ts';
import type { NginxRtmp } from '../../support/nginx-rtmp.ts';
import { describeWith } from '../../support/programs.ts';

describeWith(['baresip', 'nginx', 'ffmpeg', 'ffprobe'], 'baresip with SRTP', () => {
  let dir: string;
  let nginx: NginxRtmp;

  beforeEach(async () => {
    dir = await makeFolder();
    nginx = await startNginxRtmp(dir);
    afterTest(() => nginx.stop());
  });

  async function certificates() {
    const authority = await makeTestAuthority(dir);
    const certificatePath = join(dir, 'baresip.pem');
    const caPath = join(dir, 'ca-of-all.pem');
    await writeFile(certificatePath, `${authority.good.key}${authority.good.cert}`);
    await writeFile(caPath, authority.ca);
    return { authority, tls: { certificatePath, caPath } };
  }

  async function judge(gateway: CallGateway, call: Call, protocol: string): Promise<void> {
    await expect.poll(() => call.rtmpStreamStatus, { timeout: 10_000 }).toBe('RTMP_STREAM_ACTIVE');
    await sleep(4000);
    const media = call.stats();
    expect(media?.video).toMatchObject({ width: 640, height: 360, lost: 0 });
    expect(media?.audio?.packets).toBeGreaterThan(100);
    expect(call.view().sdp).toMatch(new RegExp(`m=video \\d+ ${protocol} `));
    expect(call.view().sdp).toContain('a=crypto:');
    expect(Object.keys(gateway.faults).filter((name) => name.includes('srtp'))).toEqual([]);
    await call.terminate();
    const [file = ''] = await nginx.finished();
    expect(await decodeErrors(file)).toBe('');
    expect(summarizeFlv(file).videoTimesMs.length).toBeGreaterThan(70);
  }

  it.each([
    ['optional', 'RTP/AVP'],
    ['required', 'RTP/SAVP'],
  ] as const)('called with SRTP %s', async (srtp, protocol) => {
    const phone = await startBaresip(join(dir, 'baresip'), { srtp });
    afterTest(() => phone.stop());
    const gateway = await openGateway({ offer: { srtp }, transcoding: {} });
    const target = { rtmpUrl: nginx.url, rtmpStream: 'air' };
    const call = await gateway.startup({ callee: phone.uri, ...target });
    await call.established();
    await judge(gateway, call, protocol);
  });

  it('called over TLS with SRTP', async () => {
    const { authority, tls } = await certificates();
    const phone = await startBaresip(join(dir, 'baresip'), { srtp: 'required', tls });
    afterTest(() => phone.stop());
    const gateway = await openGateway({
      offer: { srtp: 'required' },
      sipTls: { ca: authority.ca },
      transcoding: {},
    });
    const target = { rtmpUrl: nginx.url, rtmpStream: 'air' };
    const call = await gateway.startup({ callee: phone.uri, sipTransport: 'tls', ...target });
    await call.established();
    expect(call.trace().every(({ transport }) => transport === 'TLS')).toBe(true);
    await judge(gateway, call, 'RTP/SAVP');
  });

  it('calling over TLS with SRTP and a password', async () => {
    const { authority, tls } = await certificates();
    const auth = { users: { bob: 'a-long-password' }, algorithms: ['MD5'] as const };
    const gateway = await openGateway({
      sipTls: { cert: authority.good.cert, key: authority.good.key },
      incoming: {
        rules: [{ auth, accept: { rtmpUrl: nginx.url, rtmpStream: 'air', srtp: 'required' } }],
      },
      transcoding: {},
    });
    const phone = await startBaresip(join(dir, 'baresip'), {
      srtp: 'required',
      tls,
      password: 'a-long-password',
      dial: `sip:studio@127.0.0.1:${gateway.sipTlsPort};transport=tls`,
    });
    afterTest(() => phone.stop());
    await expect.poll(() => gateway.calls.live.length, { timeout: 10_000 }).toBe(1);
    const call = gateway.calls.live[0]!;
    await call.established();
    expect(call.trace().every(({ transport }) => transport === 'TLS')).toBe(true);
    await judge(gateway, call, 'RTP/SAVP');
  });

  it.each([
    ['optional', 'RTP/AVP'],
    ['required', 'RTP/SAVP'],
  ] as const)('calling with SRTP %s', async (srtp, protocol) => {
    const gateway = await openGateway({
      incoming: {
        rules: [{ accept: { rtmpUrl: nginx.url, rtmpStream: 'air', srtp: 'optional' } }],
      },
      transcoding: {},
    });
    const phone = await startBaresip(join(dir, 'baresip'), {
      srtp,
      dial: `sip:studio@127.0.0.1:${gateway.sipPort}`,
    });
    afterTest(() => phone.stop());
    await expect.poll(() => gateway.calls.live.length, { timeout: 10_000 }).toBe(1);
    const call = gateway.calls.live[0]!;
    await call.established();
    await judge(gateway, call, protocol);
  });
});
