// In which form media leave the gateway, as calls and pushes may ask for it.

/** How old the last key frame may get before one is asked for: players, HLS and seeking need them. */
const KEY_FRAME_INTERVAL_MS = 2000;
/** Some phones answer more requests with worse pictures. */
const LEAST_INTERVAL_MS = 1000;

/** In which form media go out. */
export interface OutputFormOptions {
  /** AAC, or G.711 and 16 kHz Speex as they come. Default: the gateway's; for a push: its call's. */
  readonly audio?: 'aac' | 'passthrough';
  /** H.264 as it comes, or encoded again. Default: the gateway's; for a push: its call's. */
  readonly video?: 'passthrough' | 'reencode';
  /**
   * Asks the peer for a key frame when the last is this old, for outputs that others join later: RTMP, recordings, HLS. Less than
   * 1,000 counts as 1,000; 0: never. Default: the gateway's, for a push its call's; else what the platform needs, or 2,000 ms.
   */
  readonly keyFrameIntervalMs?: number;
}

/** The form options of a request, without its other fields. */
export function formOptionsOf(request: OutputFormOptions): OutputFormOptions {
  const { audio, video, keyFrameIntervalMs } = request;
  return {
    ...(audio !== undefined && { audio }),
    ...(video !== undefined && { video }),
    ...(keyFrameIntervalMs !== undefined && { keyFrameIntervalMs }),
  };
}

/** @param wanted - As the options say. @param needed - By the platform. @returns undefined: none is asked for */
export function keyFrameIntervalOf(
  wanted: number | undefined,
  needed: number | null = null,
): number | undefined {
  const intervalMs = wanted ?? needed ?? KEY_FRAME_INTERVAL_MS;
  return intervalMs === 0 ? undefined : Math.max(intervalMs, LEAST_INTERVAL_MS);
}
