// The phone's side of one call's media: ports, answer, and the clip that it sends.

import { randomInt } from 'node:crypto';
import type { CallScript, ReinviteChange } from './call-script.ts';
import { loadClip } from '../media/clip.ts';
import type { Clip } from '../media/clip.ts';
import type { PacketizationMode } from '../media/h264-payloads.ts';
import { formatPhoneSdp, mirrored } from './peer-sdp.ts';
import type { PhoneMedia, Sdp, SdpDirection, SdpMedia } from './peer-sdp.ts';
import { PHONE_AUDIO } from '../media/phone-audio.ts';
import type { PhoneAudioCodec } from '../media/phone-audio.ts';
import { RtpPort } from '../media/rtp-port.ts';
import { RtpSender } from '../media/rtp-sender.ts';
import type { RtpSenderOptions } from '../media/rtp-sender.ts';

/** The agreement for one m-line. */
interface AgreedMedia {
  readonly offered: SdpMedia;
  readonly port: RtpPort | undefined;
  /** Behind a NAT: the ports in the description, where nothing listens. */
  readonly inside?: RtpPort | undefined;
  readonly codec: { readonly payloadType: number; readonly name: string } | undefined;
  readonly mode: PacketizationMode;
  readonly described: PhoneMedia;
}

const ACCEPTED_FEEDBACK = new Set(['nack pli', 'ccm fir']);

/** The media of one call on the phone's side. */
export class PeerMedia {
  readonly #script: CallScript;
  readonly #clip: Clip;
  readonly #host: string;
  readonly #sessionId = randomInt(2 ** 31);
  #version = 1;
  #agreed: readonly AgreedMedia[] = [];
  #sender: RtpSender | undefined;
  #held = false;
  #closed: Promise<void> | undefined;

  private constructor(script: CallScript, host: string) {
    this.#script = script;
    this.#host = host;
    this.#clip = script.sender?.clip ?? loadClip();
  }

  /** Opens the ports for the media that the script accepts from the offer. */
  static async open(offer: Sdp, script: CallScript, host: string): Promise<PeerMedia> {
    const media = new PeerMedia(script, host);
    const agreed: AgreedMedia[] = [];
    for (const offered of offer.media) agreed.push(await media.#agree(offered));
    media.#agreed = agreed;
    return media;
  }

  get audio(): RtpPort | undefined {
    return this.#agreed.find(({ offered }) => offered.kind === 'audio')?.port;
  }

  get video(): RtpPort | undefined {
    return this.#agreed.find(({ offered }) => offered.kind === 'video')?.port;
  }

  /** The sender of the clip, once started. */
  get sender(): RtpSender | undefined {
    return this.#sender;
  }

  /** Whether the phone has put the call on hold. */
  get held(): boolean {
    return this.#held;
  }

  /** Text of the phone's current description. */
  describe(): string {
    const text = formatPhoneSdp({
      address: this.#host,
      sessionId: this.#sessionId,
      sessionVersion: this.#version,
      media: this.#agreed.map(({ described }) =>
        this.#held && described.port > 0 ? { ...described, direction: 'sendonly' } : described,
      ),
    });
    return this.#script.sdp?.(text) ?? text;
  }

  /** Switches to other ports; the clip restarts with the next `start`. */
  async move(): Promise<void> {
    this.#sender?.stop();
    this.#sender = undefined;
    const moved: AgreedMedia[] = [];
    for (const agreed of this.#agreed) {
      if (agreed.port === undefined) {
        moved.push(agreed);
        continue;
      }
      const port = await RtpPort.open({ host: this.#host });
      port.eventPayloadType = agreed.port.eventPayloadType;
      port.eventClockHz = agreed.port.eventClockHz;
      await Promise.all([agreed.port.close(), agreed.inside?.close()]);
      const described = { ...agreed.described, port: port.port, rtcpPort: port.rtcpPort };
      moved.push({ ...agreed, port, inside: undefined, described });
    }
    this.#agreed = moved;
    this.#version++;
  }

  /** Text of a new offer of the phone; hold and resume count as a new version (RFC 3264 §8). */
  reoffer(change: ReinviteChange): string {
    const held = change === 'unchanged' || change === 'move' ? this.#held : change === 'hold';
    if (held !== this.#held) {
      this.#held = held;
      this.#version++;
    }
    return this.describe();
  }

  /** Starts sending what was agreed, or stops while held. Idempotent. */
  start(): void {
    if (this.#closed !== undefined || this.#script.media === false) return;
    if (this.#sender !== undefined) {
      if (this.#held) this.#sender.pause();
      else this.#sender.resume();
      return;
    }
    const video = this.#lineOf('video');
    const audio = this.#lineOf('audio');
    if (video === undefined && audio === undefined) return;
    const port = audio?.agreed.port;
    const { video: videoMarks, audio: audioMarks, ...options } = this.#script.sender ?? {};
    this.#sender = RtpSender.start({
      ...options,
      clip: this.#clip,
      ...(video && {
        video: {
          answerNack: video.agreed.described.feedback.includes('nack'),
          ...videoMarks,
          ...video.line,
          codec: video.agreed.codec?.name === 'VP8' ? 'VP8' : 'H264',
          packetizationMode: video.agreed.mode,
        },
      }),
      ...(audio && {
        audio: {
          ...audioMarks,
          ...audio.line,
          codec: audio.agreed.codec?.name as PhoneAudioCodec,
          ...(port?.eventPayloadType !== undefined && {
            eventPayloadType: port.eventPayloadType,
            eventClockHz: port.eventClockHz,
          }),
        },
      }),
    });
  }

  /** Stops sending. The ports still listen. */
  stop(): void {
    this.#sender?.stop();
  }

  /** Closes the ports. Idempotent. */
  close(): Promise<void> {
    this.stop();
    const ports = this.#agreed.flatMap(({ port, inside }) => [port ?? [], inside ?? []].flat());
    this.#closed ??= Promise.all(ports.map((port) => port.close())).then(() => {});
    return this.#closed;
  }

  /** Answers an offer in mid-call with the open ports. */
  answerReoffer(offer: Sdp): string {
    this.#agreed = offer.media.map((offered, index) => {
      const before = this.#agreed[index];
      if (before?.port === undefined || offered.port === 0) {
        return { ...this.#refused(offered), port: before?.port, inside: before?.inside };
      }
      const described = { ...before.described, direction: this.#directionOf(offered) };
      return { ...before, offered, described };
    });
    this.#version++;
    return this.describe();
  }

  async #agree(offered: SdpMedia): Promise<AgreedMedia> {
    const script = this.#script;
    const wanted =
      (offered.kind === 'audio' && script.audio !== false) ||
      (offered.kind === 'video' && script.video !== false);
    if (!wanted || offered.port === 0) return this.#refused(offered);
    const chosen =
      offered.kind === 'audio' ? this.#chooseAudio(offered) : this.#chooseVideo(offered);
    if (chosen === undefined) return this.#refused(offered);
    const port = await RtpPort.open({ host: this.#host });
    const inside = script.nat === true ? await RtpPort.open({ host: this.#host }) : undefined;
    const codecs: PhoneMedia['codecs'][number][] = [chosen.line];
    const event = this.#chooseEvents(offered, chosen.name);
    if (event !== undefined) {
      const { payloadType, clockHz } = event;
      codecs.push({ payloadType, encoding: `telephone-event/${clockHz}`, fmtp: '0-15' });
      port.eventPayloadType = payloadType;
      port.eventClockHz = clockHz;
    }
    const feedback = script.feedback === false ? [] : offered.feedback;
    return {
      offered,
      port,
      inside,
      mode: chosen.mode,
      codec: { payloadType: chosen.line.payloadType, name: chosen.name },
      described: {
        kind: offered.kind,
        port: (inside ?? port).port,
        rtcpPort: (inside ?? port).rtcpPort,
        protocol: offered.protocol,
        codecs,
        direction: this.#directionOf(offered),
        feedback: feedback.filter(
          (text) => ACCEPTED_FEEDBACK.has(text) || (text === 'nack' && script.nack === true),
        ),
      },
    };
  }

  #refused(offered: SdpMedia): AgreedMedia {
    const payloadType = offered.payloadTypes[0] ?? 0;
    return {
      offered,
      port: undefined,
      codec: undefined,
      mode: 1,
      described: {
        kind: offered.kind,
        port: 0,
        rtcpPort: 0,
        protocol: offered.protocol,
        codecs: [{ payloadType, encoding: '' }],
        direction: 'inactive',
        feedback: [],
      },
    };
  }

  #directionOf(offered: SdpMedia): SdpDirection {
    return this.#script.direction ?? mirrored(offered.direction);
  }

  #chooseAudio(offered: SdpMedia) {
    const { audioCodec } = this.#script;
    const wanted = audioCodec === undefined ? (['PCMA', 'PCMU'] as const) : [audioCodec];
    for (const payloadType of offered.payloadTypes) {
      // RFC 4566 §6: a single channel may be omitted.
      const offeredEncoding = offered.encodings.get(payloadType)?.replace(/\/1$/, '').toLowerCase();
      const name = wanted.find(
        (codec) => PHONE_AUDIO[codec].encoding.toLowerCase() === offeredEncoding,
      );
      if (name === undefined) continue;
      const { encoding } = PHONE_AUDIO[name];
      return { line: { payloadType, encoding }, name, mode: 1 as const };
    }
    return undefined;
  }

  /** Events with the clock of the audio (RFC 4733 §2.1), else with the usual one. */
  #chooseEvents(offered: SdpMedia, codec: string) {
    if (offered.kind !== 'audio' || this.#script.telephoneEvent === false) return undefined;
    for (const clockHz of [PHONE_AUDIO[codec as PhoneAudioCodec].clockHz, 8000]) {
      const payloadType = payloadTypeOf(offered, new RegExp(`^telephone-event/${clockHz}$`, 'i'));
      if (payloadType !== undefined) return { payloadType, clockHz };
    }
    return undefined;
  }

  #chooseVideo(offered: SdpMedia) {
    if (this.#script.videoCodec === 'VP8') {
      const payloadType = payloadTypeOf(offered, /^VP8\/90000$/i);
      if (payloadType === undefined) return undefined;
      return { line: { payloadType, encoding: 'VP8/90000' }, name: 'VP8', mode: 1 as const };
    }
    const { packetizationMode, spropParameterSets = true } = this.#script;
    const modes = packetizationMode === undefined ? ([1, 0] as const) : [packetizationMode];
    for (const mode of modes) {
      const payloadType = offered.payloadTypes.find(
        (type) =>
          /^H264\/90000$/i.test(offered.encodings.get(type) ?? '') &&
          (/packetization-mode\s*=\s*(\d)/i.exec(offered.fmtp.get(type) ?? '')?.[1] ?? '0') ===
            String(mode),
      );
      if (payloadType === undefined) continue;
      const sprop = this.#clip.parameterSets.map((nal) => Buffer.from(nal).toString('base64'));
      const fmtp =
        `profile-level-id=${this.#clip.profileLevelId};packetization-mode=${mode}` +
        (spropParameterSets ? `;sprop-parameter-sets=${sprop.join(',')}` : '');
      return { line: { payloadType, encoding: 'H264/90000', fmtp }, name: 'H264', mode };
    }
    return undefined;
  }

  /** The destination of a medium; undefined if the phone must not send it. */
  #lineOf(kind: 'audio' | 'video') {
    const agreed = this.#agreed.find(({ offered }) => offered.kind === kind);
    if (agreed?.port === undefined || agreed.codec === undefined) return undefined;
    const { direction } = agreed.described;
    if (direction !== 'sendrecv' && direction !== 'sendonly') return undefined;
    const { offered, codec, port } = agreed;
    if (offered.address === '0.0.0.0') return undefined;
    const line: NonNullable<RtpSenderOptions['audio']> = {
      from: port,
      address: offered.address,
      rtpPort: offered.port,
      rtcpPort: offered.rtcpPort,
      payloadType: codec.payloadType,
    };
    return { agreed, line };
  }
}

function payloadTypeOf(offered: SdpMedia, pattern: RegExp): number | undefined {
  return offered.payloadTypes.find((type) => pattern.test(offered.encodings.get(type) ?? ''));
}
