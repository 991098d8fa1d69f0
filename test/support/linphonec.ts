// linphonec as a phone without a sound card that answers by itself, or calls, and plays a file.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freeUdpPort } from './ports.ts';
import { run, start } from './programs.ts';

/** A running linphonec. */
export interface Linphonec {
  /** `sip:bob@127.0.0.1:port`. */
  readonly uri: string;
  output(): string;
  /** Types a line, e.g. `call <sip:studio@127.0.0.1>`, `pause`, `resume`, `terminate`. */
  type(line: string): void;
  stop(): Promise<void>;
}

/** How it is set up. */
export interface LinphonecOptions {
  readonly codec: LinphonecCodec;
  /** SRTP with keys in the description, and nothing else. Default false. */
  readonly srtp?: boolean;
  /** PEM file of the authority that it believes; it calls over TLS by `;transport=tls`. */
  readonly caPath?: string;
}

/** RTP names and clocks of what linphonec has, and what it is to speak of these. */
const CODECS = [
  ['speex', 16_000],
  ['speex', 8000],
  ['PCMU', 8000],
  ['PCMA', 8000],
  ['opus', 48_000],
  ['SILK', 16_000],
  ['GSM', 8000],
  ['G722', 8000],
  ['G729', 8000],
] as const;

/** What linphonec may speak. */
type LinphonecCodec = 'speex/16000' | 'speex/8000' | 'PCMU/8000' | 'PCMA/8000';

/** Starts linphonec; its files are in `dir`. */
export async function startLinphonec(dir: string, options: LinphonecOptions): Promise<Linphonec> {
  const { codec, srtp = false, caPath } = options;
  // Without this folder it does not even open its port.
  mkdirSync(join(dir, '.local/share/linphone'), { recursive: true });
  const port = await freeUdpPort();
  const clips = new URL('../../packages/testkit/clips/', import.meta.url).pathname;
  const sound = join(dir, 'scene.wav');
  const rate = codec.split('/')[1]!;
  const input = ['-f', 'alaw', '-ar', '8000', '-i', `${clips}scene.alaw`];
  await run('ffmpeg', ['-y', '-v', 'error', ...input, '-ar', rate, sound]);
  const codecs = CODECS.map(
    ([mime, rateHz], at) =>
      `[audio_codec_${at}]\nmime=${mime}\nrate=${rateHz}\nenabled=${Number(`${mime}/${rateHz}` === codec)}\n`,
  );
  writeFileSync(
    join(dir, 'rc'),
    `[sip]
sip_port=${port}
sip_tcp_port=-1
sip_tls_port=-1
${caPath === undefined ? '' : `root_ca=${caPath}\nverify_server_certs=1\nverify_server_cn=1\n`}media_encryption=${srtp ? 'srtp' : 'none'}
media_encryption_mandatory=${Number(srtp)}
default_proxy=-1
contact="bob" <sip:bob@127.0.0.1>
use_ipv6=0
[rtp]
audio_rtp_port=${await freeUdpPort()}
video_rtp_port=${await freeUdpPort()}
[video]
enabled=0
${codecs.join('')}`,
  );
  const running = start('linphonec', ['-c', join(dir, 'rc'), '-a', '-d', '0'], {
    cwd: dir,
    env: { ...process.env, HOME: dir },
  });
  running.child.stdin?.write(`soundcard use files\nplay ${sound}\nports\n`);
  const until = performance.now() + 10_000;
  while (!running.output().includes('audio rtp port')) {
    if (performance.now() > until) throw new Error(`linphonec did not start: ${running.output()}`);
    await new Promise((resolve) => {
      setTimeout(resolve, 50);
    });
  }
  return {
    uri: `sip:bob@127.0.0.1:${port}`,
    output: () => running.output(),
    type: (line) => void running.child.stdin?.write(`${line}\n`),
    stop: () => running.stop(),
  };
}
