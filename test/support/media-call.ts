// A media session and a phone that sends to it, without any signalling: both know what was agreed.

import { openMediaSession, PortPool, Ticker } from '@sipcast/media';
import type {
  FlvTag,
  MediaSession,
  MediaSessionHandler,
  MediaSessionOptions,
  NegotiatedMedium,
} from '@sipcast/media';
import { loadClip, RtpPort, RtpSender } from '@sipcast/testkit';
import type { RtpLineOptions, RtpSenderOptions } from '@sipcast/testkit';

type Marks = Partial<Omit<RtpLineOptions, 'from' | 'address' | 'rtpPort'>>;

/** Options of {@link openMediaCall}. */
export interface MediaCallOptions {
  /** How the phone sends. */
  readonly sender?: Omit<RtpSenderOptions, 'video' | 'audio'>;
  readonly video?: Marks;
  readonly audio?: Marks;
  /** What the phone's answer says of RTCP feedback. Default PLI and FIR. */
  readonly feedback?: NegotiatedMedium['feedback'];
  /** SPS and PPS in the answer. Default true. */
  readonly parameterSets?: boolean;
  readonly session?: Partial<MediaSessionOptions>;
  readonly handler?: MediaSessionHandler;
  /** The phone heeds SIP INFO, or at least gets it. Default true. */
  readonly byInfo?: boolean;
}

/** Both ends of one call. */
export interface MediaCall {
  readonly session: MediaSession;
  readonly sender: RtpSender;
  readonly ports: { readonly video: RtpPort; readonly audio: RtpPort };
  /** What an output got that was there from the beginning. */
  readonly tags: readonly FlvTag[];
  /** `performance.now()` of the answer. */
  readonly answeredMs: number;
  /** When the first key frame was published, from the answer on; NaN before. */
  firstKeyFrameMs(): number;
  close(): Promise<void>;
}

const pool = new PortPool({ min: 35_000, max: 35_999, coolDownMs: 0 });
const ticker = new Ticker();

/** Opens a session and a phone; the phone sends from the answer on. */
export async function openMediaCall(options: MediaCallOptions = {}): Promise<MediaCall> {
  const clip = options.sender?.clip ?? loadClip();
  const ports = { video: await RtpPort.open(), audio: await RtpPort.open() };
  // As signalling would bring it, a moment later.
  const info = (): void => {
    setTimeout(() => sender?.requestKeyFrame('info'), 5);
  };
  const session = await openMediaSession(
    {
      portPool: pool,
      ticker,
      bindAddress: '127.0.0.1',
      audioCname: 'a',
      videoCname: 'v',
      now: () => performance.now(),
      wallClock: () => Date.now(),
      random: Math.random,
      ...options.session,
    },
    { ...(options.byInfo === false ? {} : { onKeyFrameByInfo: info }), ...options.handler },
  );
  const medium = (kind: 'video' | 'audio'): NegotiatedMedium => ({
    address: '127.0.0.1',
    rtpPort: ports[kind].port,
    rtcpAddress: '127.0.0.1',
    rtcpPort: ports[kind].rtcpPort,
    send: kind === 'audio',
    receive: true,
    telephoneEvents: [],
    codecs: [
      kind === 'video' ? { payloadType: 96, codec: 'h264' } : { payloadType: 8, codec: 'pcma' },
    ],
    feedback: options.feedback ?? { pli: true, fir: true, nack: false },
    ...(kind === 'video' && options.parameterSets !== false
      ? { parameterSets: clip.parameterSets }
      : {}),
  });
  const tags: FlvTag[] = [];
  let firstKeyFrameMs = Number.NaN;
  session.stream.addOutput({
    push: (tag) => {
      tags.push(tag);
      if (tag.role === 'key-frame' && Number.isNaN(firstKeyFrameMs)) {
        firstKeyFrameMs = performance.now() - answeredMs;
      }
    },
  });
  const answeredMs = performance.now();
  session.start({ video: medium('video'), audio: medium('audio') });
  const line = (kind: 'video' | 'audio') => ({
    from: ports[kind],
    address: '127.0.0.1',
    rtpPort: session[kind].rtpPort,
    ...options[kind],
  });
  const sender: RtpSender = RtpSender.start({
    ...options.sender,
    clip,
    video: line('video'),
    audio: line('audio'),
  });
  return {
    session,
    sender,
    ports,
    tags,
    answeredMs,
    firstKeyFrameMs: () => firstKeyFrameMs,
    close: async () => {
      sender.stop();
      await session.close();
      await Promise.all([ports.video.close(), ports.audio.close()]);
    },
  };
}

/** Slices of a published picture, as text that can be compared. */
function slicesOfTag({ type, body }: FlvTag): string[] {
  const view = Buffer.from(body.buffer, body.byteOffset, body.length);
  const slices: string[] = [];
  if (type !== 9 || (view[0]! & 0x0f) !== 7 || view[1] !== 1) return slices;
  for (let at = 5; at + 4 < view.length; ) {
    const size = view.readUInt32BE(at);
    const nal = view.subarray(at + 4, at + 4 + size);
    if ((nal[0]! & 0x1f) <= 5) slices.push(nal.toString('base64'));
    at += 4 + size;
  }
  return slices;
}

/** Pictures that were published exactly as they were sent, and whether all were. */
export function comparePictures(call: MediaCall): {
  readonly sent: number;
  readonly published: number;
  readonly exact: boolean;
} {
  const sent = call.sender.sent.map(({ unit }) =>
    unit.nalus
      .filter((nal) => (nal[0]! & 0x1f) <= 5)
      .map((nal) => Buffer.from(nal).toString('base64'))
      .join(),
  );
  const published = call.tags.map((tag) => slicesOfTag(tag).join()).filter((text) => text !== '');
  let at = 0;
  let exact = true;
  for (const picture of published) {
    const found = sent.indexOf(picture, at);
    if (found < 0) exact = false;
    else at = found + 1;
  }
  return { sent: sent.length, published: published.length, exact };
}
