// In which form media leave the gateway, as calls and pushes may ask for it.

/** In which form media go out. */
export interface OutputFormOptions {
  /** AAC, or G.711 and 16 kHz Speex as they come. Default: the gateway's; for a push: its call's. */
  readonly audio?: 'aac' | 'passthrough';
  /** H.264 as it comes, or encoded again. Default: the gateway's; for a push: its call's. */
  readonly video?: 'passthrough' | 'reencode';
}

/** The form options of a request, without its other fields. */
export function formOptionsOf({ audio, video }: OutputFormOptions): OutputFormOptions {
  return { ...(audio !== undefined && { audio }), ...(video !== undefined && { video }) };
}
