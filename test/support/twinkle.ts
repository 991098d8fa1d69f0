// Twinkle, a softphone with a SIP stack of its own, on its command line: no window, and a microphone that is silent.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freeSipPort } from './ports.ts';
import { start } from './programs.ts';
import { until } from './wait.ts';

/** A running Twinkle. */
export interface Twinkle {
  /** `sip:twinkle@127.0.0.1:port`. */
  readonly uri: string;
  output(): string;
  /** Runs a command of its own, e.g. `answer`. */
  command(line: string): void;
  stop(): Promise<void>;
}

/** Starts Twinkle; its files are in `dir`. */
export async function startTwinkle(dir: string, rtpPort = 47_000): Promise<Twinkle> {
  const port = await freeSipPort();
  mkdirSync(join(dir, '.twinkle'), { recursive: true });
  writeFileSync(join(dir, '.asoundrc'), 'pcm.!default { type null }\nctl.!default { type null }\n');
  writeFileSync(
    join(dir, '.twinkle', 'phone.cfg'),
    [
      'user_name=twinkle',
      'user_domain=127.0.0.1',
      'register_at_startup=no',
      'codecs=g711a,g711u,speex-nb',
      'dtmf_transport=rfc2833',
      '',
    ].join('\n'),
  );
  writeFileSync(
    join(dir, '.twinkle', 'twinkle.sys'),
    [
      'version=1.10.2',
      'dev_ringtone=alsa:default',
      'dev_speaker=alsa:default',
      'dev_mic=alsa:default',
      'validate_audio_dev=no',
      'play_ringtone=no',
      'play_ringback=no',
      '',
    ].join('\n'),
  );
  const running = start(
    'twinkle',
    ['-c', '-f', 'phone', '--sip-port', String(port), '--rtp-port', String(rtpPort)],
    { cwd: dir, env: { ...process.env, HOME: dir, QT_QPA_PLATFORM: 'offscreen' } },
  );
  await until(() => running.output().includes('Twinkle> '), 'Twinkle to start');
  return {
    uri: `sip:twinkle@127.0.0.1:${port}`,
    output: () => running.output(),
    command: (line) => running.child.stdin?.write(`${line}\n`),
    stop: () => running.stop(),
  };
}
