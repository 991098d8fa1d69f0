// rtpengine without its kernel module: the media relay behind kamailio and many carriers.

import { freeUdpPort } from './ports.ts';
import { start } from './programs.ts';
import type { Running } from './programs.ts';

/** A running rtpengine. */
export interface Rtpengine {
  /** Of its control protocol, on 127.0.0.1. */
  readonly port: number;
  readonly running: Running;
}

/** Starts rtpengine on 127.0.0.1, with media on ports from 44,000 on. Stop it when done. */
export async function startRtpengine(): Promise<Rtpengine> {
  const port = await freeUdpPort();
  const running = start('rtpengine', [
    '--config-file=none',
    '--foreground',
    '--log-stderr',
    '--log-level=5',
    '--table=-1',
    '--interface=127.0.0.1',
    `--listen-ng=127.0.0.1:${port}`,
    '--port-min=44000',
    '--port-max=44999',
    '--pidfile=/dev/null',
  ]);
  return { port, running };
}
