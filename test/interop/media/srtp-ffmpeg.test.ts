// SRTP written by ffmpeg, read by us; and written by us, read by ffmpeg.

import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { decodeRtp, SrtpSession } from '@sipcast/media/wire';
import type { SrtpSuite } from '@sipcast/media/wire';
import { beforeEach, expect, it } from 'vitest';
import { makeFolder } from '../../support/folder.ts';
import { freeUdpPort } from '../../support/ports.ts';
import { describeWith, run } from '../../support/programs.ts';

const SUITES: readonly SrtpSuite[] = ['AES_CM_128_HMAC_SHA1_80', 'AES_CM_128_HMAC_SHA1_32'];
const SECONDS = 3;

describeWith(['ffmpeg'], 'ffmpeg', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await makeFolder();
  });

  it.each(SUITES)('writes %s that we read to the last sample', async (suite) => {
    const key = randomBytes(30);
    const session = new SrtpSession({ suite, send: randomBytes(30), receive: key });
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    let octets = 0;
    const faults: string[] = [];
    socket.on('message', (datagram) => {
      if (datagram[1]! >= 200 && datagram[1]! <= 204) {
        const report = session.unprotectRtcp(datagram);
        if (typeof report === 'string') faults.push(report);
        return;
      }
      const plain = session.unprotectRtp(datagram);
      const packet = typeof plain === 'string' ? plain : decodeRtp(plain, 0);
      if (typeof packet === 'string') faults.push(packet);
      else octets += packet.payload.length;
    });
    const { port } = socket.address();
    const source = ['-f', 'lavfi', '-i', `sine=duration=${SECONDS}:sample_rate=8000`];
    const keys = ['-srtp_out_suite', suite, '-srtp_out_params', key.toString('base64')];
    const target = `srtp://127.0.0.1:${port}?rtcpport=${port}`;
    await run('ffmpeg', ['-re', ...source, '-c:a', 'pcm_alaw', '-f', 'rtp', ...keys, target]);
    await expect.poll(() => octets).toBe(SECONDS * 8000);
    // ffmpeg gives SRTCP the short tag, too; RFC 4568 §6.2 wants 80 bits there, as RFC 3711 §9.4.
    expect(faults.every((fault) => suite.endsWith('_32') && fault === 'srtp-auth')).toBe(true);
    socket.close();
  });

  it('reads what we write', async () => {
    const suite = 'AES_CM_128_HMAC_SHA1_80';
    const key = randomBytes(30);
    const session = new SrtpSession({ suite, send: key, receive: randomBytes(30) });
    const port = await freeUdpPort();
    const sdp = join(dir, 'in.sdp');
    const wav = join(dir, 'out.wav');
    await writeFile(
      sdp,
      [
        'v=0',
        'o=- 1 1 IN IP4 127.0.0.1',
        's=-',
        'c=IN IP4 127.0.0.1',
        't=0 0',
        `m=audio ${port} RTP/SAVP 8`,
        `a=crypto:1 ${suite} inline:${key.toString('base64')}`,
        '',
      ].join('\r\n'),
    );
    const options = ['-protocol_whitelist', 'file,udp,rtp,srtp', '-i', sdp, '-t', '1', '-y', wav];
    const ffmpeg = spawn('ffmpeg', ['-v', 'error', '-nostdin', ...options], { stdio: 'ignore' });
    const ended = once(ffmpeg, 'exit');
    const socket = createSocket('udp4');
    let n = 65_400;
    const timer = setInterval(() => {
      const packet = Buffer.alloc(12 + 160, 0xd5);
      packet[0] = 0x80;
      packet[1] = 8;
      packet.writeUInt16BE(n & 0xffff, 2);
      packet.writeUInt32BE((n * 160) >>> 0, 4);
      packet.writeUInt32BE(77, 8);
      n++;
      socket.send(session.protectRtp(packet), port, '127.0.0.1');
    }, 5);
    await ended;
    clearInterval(timer);
    socket.close();
    // One second of 16-bit samples at 8 kHz, and it went over the wrap.
    expect((await stat(wav)).size).toBeGreaterThan(15_000);
    expect(n).toBeGreaterThan(65_450);
  }, 20_000);
});
