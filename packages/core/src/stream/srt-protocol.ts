// Pushes over SRT: MPEG-TS with H.264 and AAC, by an ffmpeg that speaks SRT.

import { openSrtPublisher, parseSrtUrl } from '@sipcast/media';
import { GatewayError, invalidUrl } from '../errors.ts';
import type { PushProtocol } from './push-protocol.ts';

/** SRT. */
export const SRT_PROTOCOL: PushProtocol = {
  schemes: ['srt:'],

  check(url) {
    try {
      parseSrtUrl(url);
    } catch (cause) {
      throw invalidUrl('rtmpUrl', cause);
    }
  },

  // The stream ID stands in the query.
  split: (fullUrl) => ({ connectUrl: fullUrl, publishName: '' }),
  advise: () => undefined,
  formFor: ({ video }) => ({ audio: 'aac', video }),
  secretsIn: (url, name) => [...parseSrtUrl(url).secrets, ...(name === '' ? [] : [name])],
  redirect: () => undefined,

  requireUsable({ ffmpeg }) {
    const found = ffmpeg();
    if (found?.capabilities.protocols.srt === true) return;
    const problem = found ? `${found.path} does not speak it` : 'transcoding is off';
    throw new GatewayError('NOT_IMPLEMENTED', `SRT needs ffmpeg: ${problem}`, { field: 'rtmpUrl' });
  },

  open({ url, streamName, mayConnect, lookup }, handler, { ffmpeg }) {
    return openSrtPublisher(
      {
        url,
        streamName,
        ffmpegPath: ffmpeg()?.path ?? 'ffmpeg',
        ...(mayConnect !== undefined && { mayConnect }),
        ...(lookup !== undefined && { lookup }),
      },
      handler,
    );
  },
};
