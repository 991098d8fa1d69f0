// The peer of an RTP session, from its answer: the argument of `RtpSession.start`.

import type { AudioLine } from './audio-packetizer.ts';
import type { BlackVideoLine } from './black-video.ts';
import type { RtpCodec } from './depacketizer.ts';
import type { KeyFrameMethod } from './key-frame-requester.ts';
import { requireSrtpKeys, type SrtpKeys } from './srtp.ts';
import { invalid, normalAddress, requirePort } from './udp-socket.ts';

/** The peer, from its answer. */
export interface RtpRemote {
  /** IP address. `0.0.0.0` or `::`: on hold, nothing is sent. */
  readonly address: string;
  readonly port: number;
  /** Default: `address`. */
  readonly rtcpAddress?: string;
  /** Default: `port + 1`. */
  readonly rtcpPort?: number;
  /** Payload types accepted; others are counted and dropped. Comfort noise (13) needs no entry. */
  readonly payloadTypes: ReadonlyMap<number, RtpCodec>;
  /** Audio that we send. Default: RTCP only, and keep-alives until the peer's first packet. */
  readonly send?: AudioLine;
  /** Black pictures that we send. Default: as for `send`. */
  readonly sendVideo?: BlackVideoLine;
  /**
   * If we send no media, empty RTP packets open the way through a NAT and show our address to a border
   * controller until the peer sends. Default true.
   */
  readonly keepAlive?: boolean;
  /** How to request key frames, first choice first. Default PLI, FIR, and INFO if the handler sends it. */
  readonly keyFrameMethods?: readonly KeyFrameMethod[];
  /** The peer sends media; false while it holds the call, and then no key frame is requested. Default true. */
  readonly sends?: boolean;
  /** The peer holds the call: it may pause, and what is missing afterwards is no loss. Default false. */
  readonly held?: boolean;
  /** Keys of SRTP and SRTCP; unprotected packets are rejected then. Default: RTP in the clear. */
  readonly srtp?: SrtpKeys;
  /** The peer negotiated generic NACK. Default false. */
  readonly nack?: boolean;
  /** Where the peer's signalling comes from: media behind a NAT is expected from there (see {@link SourceLatch}). */
  readonly signallingAddress?: string;
}

/** @throws MediaError INVALID_ARGUMENT naming the field that `RtpSession.start` would refuse. */
export function requireRemote(remote: RtpRemote): void {
  const { address, port, rtcpAddress, rtcpPort, payloadTypes, sendVideo } = remote;
  normalAddress('address', address);
  if (rtcpAddress !== undefined) normalAddress('rtcpAddress', rtcpAddress);
  requirePort('port', port);
  if (rtcpPort !== undefined) requirePort('rtcpPort', rtcpPort);
  for (const payloadType of payloadTypes.keys()) {
    if (!(payloadType >= 0 && payloadType <= 127)) {
      throw invalid('payloadTypes', 'must have keys 0–127');
    }
  }
  if (remote.srtp !== undefined) requireSrtpKeys(remote.srtp);
  if (sendVideo === undefined) return;
  const { payloadType, intervalMs = 500 } = sendVideo;
  if (!(Number.isInteger(payloadType) && payloadType >= 0 && payloadType <= 127)) {
    throw invalid('sendVideo.payloadType', 'must be 0–127');
  }
  if (!(intervalMs >= 100 && intervalMs <= 5000)) {
    throw invalid('sendVideo.intervalMs', 'must be 100–5000');
  }
}
