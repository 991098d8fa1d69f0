// baresip as a phone that answers by itself and sends a camera and a microphone made of files.

import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freeUdpPort } from './ports.ts';
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

/** Starts baresip; its files are in `dir`. H.264 is encoded by it, live. */
export async function startBaresip(dir: string): Promise<Baresip> {
  mkdirSync(dir, { recursive: true });
  const port = await freeUdpPort();
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
    audio,
  ]);
  writeFileSync(
    join(dir, 'config'),
    `poll_method epoll
sip_listen 127.0.0.1:${port}
call_max_calls 4
audio_player aubridge,nil
audio_source aufile,${audio}
audio_alert aubridge,nil
ausrc_srate 8000
auplay_srate 8000
video_source avformat,${video}
video_display fakevideo,nil
video_size 640x360
video_bitrate 500000
video_fps 25
rtcp_mux no
jitter_buffer_delay 5-10
module_path ${MODULES.find((path) => existsSync(path)) ?? MODULES[0]}
module stdio.so
module g711.so
module aufile.so
module aubridge.so
module avcodec.so
module avformat.so
module fakevideo.so
module_app account.so
module_app menu.so
`,
  );
  writeFileSync(
    join(dir, 'accounts'),
    '<sip:bob@127.0.0.1>;regint=0;answermode=auto;audio_codecs=PCMA/8000/1;video_codecs=h264\n',
  );
  writeFileSync(join(dir, 'contacts'), '');
  const running = start('baresip', ['-f', dir]);
  const until = performance.now() + 10_000;
  while (!running.output().includes('baresip is ready')) {
    if (performance.now() > until) throw new Error(`baresip did not start: ${running.output()}`);
    await new Promise((resolve) => {
      setTimeout(resolve, 50);
    });
  }
  return {
    uri: `sip:bob@127.0.0.1:${port}`,
    output: () => running.output(),
    stop: () => running.stop(),
  };
}
