// Pictures of named streams: `GET <mount>/stream/<name>.jpg` and `.png`.

import type { Streams } from '@sipcast/core';
import type { StreamRoute } from './stream-route.ts';

/** `.jpg` and `.png` of a stream. */
export function snapshotRoute(streams: Pick<Streams, 'snapshot'>): StreamRoute {
  return {
    path: /^([^/]+)\.(?:jpe?g|png)$/,
    respond: async (streamName, file) => {
      const format = file.endsWith('.png') ? 'png' : 'jpeg';
      const { data } = await streams.snapshot(streamName, format);
      const headers = { 'content-type': `image/${format}`, 'cache-control': 'no-store' };
      return new Response(new Uint8Array(data), { headers });
    },
  };
}
