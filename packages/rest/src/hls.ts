// HLS of named streams: `GET <mount>/stream/<name>/index.m3u8` and the files that it names.

import type { Streams } from '@sipcast/core';
import type { StreamRoute } from './stream-route.ts';

/** The playlist and segments of a stream. */
export function hlsRoute(streams: Pick<Streams, 'hls'>): StreamRoute {
  return {
    path: /^([^/]+)\/(?:index\.m3u8|[\w-]+\.(?:mp4|m4s))$/,
    respond: async (streamName, file, query) => {
      const name = file.slice(file.indexOf('/') + 1);
      // Players ask for segments as the playlist names them: with the token of who asked for it.
      const token = query.get('token');
      const suffix = token === null ? '' : `?token=${encodeURIComponent(token)}`;
      const { contentType, octets } = await streams.hls(streamName, name, suffix);
      // Segments never change; their names are used once in the life of a stream.
      const isSegment = !name.endsWith('.m3u8');
      const headers = {
        'content-type': contentType,
        'cache-control': isSegment ? 'private, max-age=60' : 'no-store',
      };
      return new Response(new Uint8Array(octets), { headers });
    },
  };
}
