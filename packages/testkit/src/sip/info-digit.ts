// Key presses in INFO requests, in the two forms that devices use.

import type { ReceivedDigit } from '../media/rtp-port.ts';

/**
 * `Signal=5`, `Duration=160` of `application/dtmf-relay`, or the bare key of `application/dtmf`; undefined if there is
 * none.
 */
export function parseInfoDigit(contentType: string, text: string): ReceivedDigit | undefined {
  const relay = contentType.startsWith('application/dtmf-relay');
  const digit = relay ? /^Signal\s*=\s*(\S+)/im.exec(text)?.[1] : text.trim();
  const duration = relay ? /^Duration\s*=\s*(\d+)/im.exec(text)?.[1] : undefined;
  if (digit === undefined || digit === '') return undefined;
  return {
    digit,
    via: 'info',
    durationMs: duration === undefined ? undefined : Number(duration),
    packets: 0,
    endPackets: 0,
    marker: false,
    volume: undefined,
    rtpTimestamp: undefined,
  };
}
