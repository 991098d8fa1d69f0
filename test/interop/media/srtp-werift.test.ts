// SRTP and SRTCP against werift's, both ways, over a wrap of the sequence number.

import { randomBytes } from 'node:crypto';
import { SrtpSession } from '@sipcast/media/wire';
import { describe, expect, it } from 'vitest';
import { RtpPacket, SrtcpSession, SrtpSession as WeriftSrtp } from 'werift-rtp';

/** DTLS-SRTP numbers of AES_CM_128_HMAC_SHA1_80 (RFC 5764 §4.1.2). */
const PROFILE = 1;

function ends() {
  const [ours, theirs] = [randomBytes(30), randomBytes(30)];
  const keys = {
    localMasterKey: theirs.subarray(0, 16),
    localMasterSalt: theirs.subarray(16),
    remoteMasterKey: ours.subarray(0, 16),
    remoteMasterSalt: ours.subarray(16),
  };
  const config = { keys, profile: PROFILE } as const;
  const session = new SrtpSession({
    suite: 'AES_CM_128_HMAC_SHA1_80',
    send: ours,
    receive: theirs,
  });
  return { session, srtp: new WeriftSrtp(config), srtcp: new SrtcpSession(config) };
}

function packet(sequenceNumber: number): Buffer {
  const plain = Buffer.alloc(12 + 40, sequenceNumber & 0xff);
  plain[0] = 0x80;
  plain[1] = 96;
  plain.writeUInt16BE(sequenceNumber & 0xffff, 2);
  plain.writeUInt32BE(0xcafe, 8);
  return plain;
}

describe('werift', () => {
  it('reads our packets, also past the wrap of the sequence number', () => {
    const { session, srtp } = ends();
    for (let n = 65_000; n < 67_000; n++) {
      const plain = packet(n);
      expect(srtp.decrypt(session.protectRtp(plain)).equals(plain)).toBe(true);
    }
  });

  it('writes packets that we read, also past the wrap', () => {
    const { session, srtp } = ends();
    for (let n = 65_000; n < 67_000; n++) {
      const plain = packet(n);
      const { header, payload } = RtpPacket.deSerialize(plain);
      const opened = session.unprotectRtp(srtp.encrypt(payload, header));
      expect(opened).toEqual(plain);
    }
  });

  it('and reports, both ways', () => {
    const { session, srtcp } = ends();
    const report = Buffer.from('80c900010000cafe81ca0002deadbeef01020304', 'hex');
    for (let n = 0; n < 100; n++) {
      expect(srtcp.decrypt(session.protectRtcp(report)).subarray(0, report.length)).toEqual(report);
      expect(session.unprotectRtcp(srtcp.encrypt(report))).toEqual(report);
    }
  });
});
