// baresip as a phone that answers by itself and sends a camera and a microphone made of files.

import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freeSipPort } from './ports.ts';
import { run, start } from './programs.ts';

/** A running baresip. */
export interface Baresip {
  /** `sip:bob@127.0.0.1:port`. */
  readonly uri: string;
  output(): string;
  stop(): Promise<void>;
}

/** Folders where Debian keeps baresip's modules. */
const MODULES = ['/usr/lib/baresip/modules', '/usr/lib/x86_64-linux-gnu/baresip/modules'];

/** What baresip speaks. */
export interface BaresipOptions {
  /** Default `PCMA`. Its version 1.0 has no Speex. */
  readonly audioCodec?: 'PCMA' | 'PCMU' | 'opus' | 'G722';
  /** Default `h264`. */
  readonly videoCodec?: 'h264' | 'vp8';
  /** SRTP by SDES: beside RTP in the clear, or nothing else. Default: none. */
  readonly srtp?: 'optional' | 'required';
  /** Calls this SIP URI at once. */
  readonly dial?: string;
  /** SIP over TLS: its certificate with key in one file, and the authority that it trusts. */
  readonly tls?: { readonly certificatePath: string; readonly caPath: string };
  /** Answers challenges of its calls. */
  readonly password?: string;
}

const AUDIO = {
  PCMA: { account: 'PCMA/8000/1', module: 'g711', rateHz: 8000, channels: 1 },
  PCMU: { account: 'PCMU/8000/1', module: 'g711', rateHz: 8000, channels: 1 },
  opus: { account: 'opus/48000/2', module: 'opus', rateHz: 48_000, channels: 2 },
  G722: { account: 'G722/16000/1', module: 'g722', rateHz: 16_000, channels: 1 },
} as const;

/**
 * baresip 1.0 gives its bits a second to libvpx as kilobits, so that pictures get as good as they can be, 40 kB here; but it
 * sends no faster than four times this, and leaves out the pictures for which there is no time.
 */
const VP8_BITRATE_BPS = 2_500_000;

/** Starts baresip; its files are in `dir`. Both media are encoded by it, live. */
export async function startBaresip(dir: string, options: BaresipOptions = {}): Promise<Baresip> {
  const audioCodec = AUDIO[options.audioCodec ?? 'PCMA'];
  const videoCodec = options.videoCodec ?? 'h264';
  const mediaEncryption = options.srtp === 'required' ? 'srtp-mand' : options.srtp && 'srtp';
  const encryption = mediaEncryption === undefined ? '' : `;mediaenc=${mediaEncryption}`;
  mkdirSync(dir, { recursive: true });
  const port = await freeSipPort();
  const clips = new URL('../../packages/testkit/clips/', import.meta.url).pathname;
  const video = join(dir, 'scene.mp4');
  const audio = join(dir, 'scene.wav');
  await run('ffmpeg', [
    '-y',
    '-v',
    'error',
    '-framerate',
    '25',
    '-i',
    `${clips}scene.h264`,
    '-c',
    'copy',
    video,
  ]);
  await run('ffmpeg', [
    '-y',
    '-v',
    'error',
    '-f',
    'alaw',
    '-ar',
    '8000',
    '-i',
    `${clips}scene.alaw`,
    '-ar',
    String(audioCodec.rateHz),
    '-ac',
    String(audioCodec.channels),
    audio,
  ]);
  writeFileSync(
    join(dir, 'config'),
    `poll_method epoll
sip_listen 127.0.0.1:${port}
${options.tls === undefined ? '' : `sip_certificate ${options.tls.certificatePath}\nsip_cafile ${options.tls.caPath}\n`}call_max_calls 4
audio_player aubridge,nil
audio_source aufile,${audio}
audio_alert aubridge,nil
ausrc_srate ${audioCodec.rateHz}
auplay_srate ${audioCodec.rateHz}
ausrc_channels ${audioCodec.channels}
auplay_channels ${audioCodec.channels}
video_source avformat,${video}
video_display fakevideo,nil
video_size 640x360
video_bitrate ${videoCodec === 'vp8' ? VP8_BITRATE_BPS : 500_000}
video_fps 25
rtcp_mux no
jitter_buffer_delay 5-10
module_path ${MODULES.find((path) => existsSync(path)) ?? MODULES[0]}
module stdio.so
module ${audioCodec.module}.so
module aufile.so
module aubridge.so
module avcodec.so
module vp8.so
module avformat.so
module fakevideo.so
module srtp.so
module_app account.so
module_app menu.so
`,
  );
  writeFileSync(
    join(dir, 'accounts'),
    `<sip:bob@127.0.0.1${options.tls === undefined ? '' : ';transport=tls'}>;regint=0${options.password === undefined ? '' : `;auth_user=bob;auth_pass=${options.password}`};answermode=auto;audio_codecs=${audioCodec.account};video_codecs=${videoCodec}${encryption}\n`,
  );
  writeFileSync(join(dir, 'contacts'), '');
  const running = start('baresip', [
    '-f',
    dir,
    ...(options.dial === undefined ? [] : ['-e', `/dial ${options.dial}`]),
  ]);
  const until = performance.now() + 10_000;
  while (!running.output().includes('baresip is ready')) {
    if (performance.now() > until) throw new Error(`baresip did not start: ${running.output()}`);
    await new Promise((resolve) => {
      setTimeout(resolve, 50);
    });
  }
  return {
    // Its port of TLS is the next one.
    uri:
      options.tls === undefined
        ? `sip:bob@127.0.0.1:${port}`
        : `sip:bob@127.0.0.1:${port + 1};transport=tls`,
    output: () => running.output(),
    stop: () => running.stop(),
  };
}
