// Child process: SIP phones that answer at once and play the clip to whoever called them, and RTP players without SIP.

import { createSocket } from 'node:dgram';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { createResponse, formatMessage, parseDatagram } from '@sipcast/sip';
import type { SipRequest } from '@sipcast/sip';
import { loadClip, RtpPort, RtpSender } from '@sipcast/testkit';
import { answer } from './child.ts';

/** Where one player sends to. */
export interface PlayTarget {
  readonly audioPort: number;
  readonly videoPort: number;
}

interface Phone {
  readonly audio: RtpPort;
  readonly video: RtpPort;
  sender: RtpSender | undefined;
}

const HOST = '127.0.0.1';
const H264_TYPE = 112;
const PCMA_TYPE = 8;
const phones = new Map<string, Phone>();
const delay = monitorEventLoopDelay({ resolution: 5 });
let packetsOfTheGone = 0;

async function openPhone(name: string): Promise<Phone> {
  const [audio, video] = await Promise.all([RtpPort.open(), RtpPort.open()]);
  const phone: Phone = { audio, video, sender: undefined };
  phones.set(name, phone);
  return phone;
}

function play(phone: Phone, target: PlayTarget): void {
  phone.sender ??= RtpSender.start({
    video: { from: phone.video, address: HOST, rtpPort: target.videoPort, payloadType: H264_TYPE },
    audio: { from: phone.audio, address: HOST, rtpPort: target.audioPort, payloadType: PCMA_TYPE },
    keepSent: false,
  });
}

async function hangUp(name: string): Promise<void> {
  const phone = phones.get(name);
  if (!phone) return;
  phones.delete(name);
  phone.sender?.stop();
  packetsOfTheGone += packetsOf(phone);
  await Promise.all([phone.audio.close(), phone.video.close()]);
}

function packetsOf({ sender }: Phone): number {
  return (sender?.stats.audio?.packets ?? 0) + (sender?.stats.video?.packets ?? 0);
}

function sdpAnswer(phone: Phone): string {
  const clip = loadClip();
  return [
    'v=0',
    `o=phone 1 1 IN IP4 ${HOST}`,
    's=-',
    `c=IN IP4 ${HOST}`,
    't=0 0',
    `m=audio ${phone.audio.port} RTP/AVP ${PCMA_TYPE}`,
    `a=rtpmap:${PCMA_TYPE} PCMA/8000`,
    'a=sendrecv',
    `m=video ${phone.video.port} RTP/AVP ${H264_TYPE}`,
    `a=rtpmap:${H264_TYPE} H264/90000`,
    `a=fmtp:${H264_TYPE} packetization-mode=1; profile-level-id=${clip.profileLevelId}`,
    `a=rtcp-fb:${H264_TYPE} nack pli`,
    'a=sendrecv',
    '',
  ].join('\r\n');
}

function offeredPort(sdp: string, kind: 'audio' | 'video'): number {
  return Number(new RegExp(`^m=${kind} (\\d+) `, 'm').exec(sdp)?.[1]);
}

const sip = createSocket('udp4');

sip.on('message', (datagram, from) => {
  const { message } = parseDatagram(datagram);
  if (message?.kind !== 'request') return;
  void respond(message, (octets) => sip.send(octets, from.port, from.address));
});

async function respond(request: SipRequest, reply: (octets: Uint8Array) => void): Promise<void> {
  const callId = request.headers.get('call-id') ?? '';
  if (request.method === 'INVITE') {
    if (phones.has(callId)) return; // A repetition: the answer is under way.
    const phone = await openPhone(callId);
    const body = Buffer.from(sdpAnswer(phone));
    const ok = { ...createResponse(request, 200, 'OK', 'phone'), body };
    ok.headers.append('contact', `<sip:phone@${HOST}:${sip.address().port}>`);
    if (ok.headers.get('content-type') === undefined)
      ok.headers.append('content-type', 'application/sdp');
    reply(formatMessage(ok));
    const offer = Buffer.from(request.body).toString();
    play(phone, {
      audioPort: offeredPort(offer, 'audio'),
      videoPort: offeredPort(offer, 'video'),
    });
  } else if (request.method === 'BYE') {
    await hangUp(callId);
    reply(formatMessage(createResponse(request, 200, 'OK', 'phone')));
  }
}

const methods = {
  open: (): Promise<number> =>
    new Promise((resolve) => {
      loadClip();
      sip.bind(0, HOST, () => resolve(sip.address().port));
    }),
  /** Players without SIP, started one after the other with a pause between. */
  play: async (request: { targets: readonly PlayTarget[]; pauseMs: number }): Promise<void> => {
    for (const target of request.targets) {
      play(await openPhone(`player ${target.audioPort}`), target);
      await new Promise((resolve) => {
        setTimeout(resolve, request.pauseMs);
      });
    }
  },
  hangUpAll: async (): Promise<void> => {
    await Promise.all([...phones.keys()].map(hangUp));
  },
  /** Since the call before. */
  load: (): { cpuSeconds: number; longestDelayMs: number; packets: number } => {
    const { user, system } = process.cpuUsage();
    const longestDelayMs = delay.count === 0 ? 0 : delay.max / 1e6 - 5;
    delay.reset();
    let packets = packetsOfTheGone;
    for (const phone of phones.values()) packets += packetsOf(phone);
    return { cpuSeconds: (user + system) / 1e6, longestDelayMs, packets };
  },
};
export type PhoneMethods = typeof methods;

delay.enable();
answer(methods);
