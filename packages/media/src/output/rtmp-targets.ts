// Requirements of well-known RTMP servers, by host name. Pure. The figures are from the services' own guides for
// encoders; anything they do not specify is `null` or `any` here.

import type { RtmpEnhancedMode } from '../rtmp/capabilities.ts';
import type { EnhancedMedia, OutputForm } from './output-form.ts';
import { parseRtmpUrl } from '../rtmp/url.ts';

/** One service or server. */
export interface RtmpTarget {
  readonly name: string;
  /** Host names, lower-case. */
  readonly host: RegExp;
  /** `aac`: the only codec that is heard. */
  readonly audio: 'aac' | 'any';
  /** A stream without an audio track is refused or not shown. */
  readonly needsAudio: boolean;
  /** A stream without pictures is refused. */
  readonly needsVideo: boolean;
  /** Plain RTMP is refused. */
  readonly needsTls: boolean;
  /** Required longest time between key frames, or `null`. */
  readonly keyFrameMs: number | null;
  /** Enhanced RTMP mode by default. */
  readonly enhanced: RtmpEnhancedMode;
  /** Media that it accepts in enhanced tags, whether its answer says so or not. */
  readonly takes: EnhancedMedia;
}

const TAKES_NOTHING: EnhancedMedia = { vp8: false, opus: false };

const PLATFORM = {
  audio: 'aac',
  needsAudio: true,
  needsVideo: true,
  needsTls: false,
  keyFrameMs: 2000,
  enhanced: 'off',
  takes: TAKES_NOTHING,
} as const;
const OWN_SERVER = {
  audio: 'any',
  needsAudio: false,
  needsVideo: false,
  needsTls: false,
  keyFrameMs: null,
  enhanced: 'off',
  takes: TAKES_NOTHING,
} as const;

/** The first match counts. Self-hosted servers are recognized by the usual names of containers. */
export const RTMP_TARGETS: readonly RtmpTarget[] = [
  { ...PLATFORM, name: 'YouTube Live', host: /(^|\.)rtmps?\.youtube\.com$/ },
  {
    ...PLATFORM,
    name: 'Facebook Live',
    host: /(^|\.)(live-api-s|live-api|rtmp-api)\.facebook\.com$/,
    needsTls: true,
  },
  {
    ...PLATFORM,
    name: 'Twitch',
    host: /\.twitch\.tv$|^ingest\.global-contribute\.live-video\.net$|^[a-z0-9]+\.contribute\.live-video\.net$/,
    needsAudio: false,
  },
  {
    ...PLATFORM,
    name: 'Amazon IVS',
    host: /\.global-contribute\.live-video\.net$/,
    needsAudio: false,
  },
  {
    ...PLATFORM,
    name: 'Mux',
    host: /(^|\.)(global-)?live\.mux\.com$/,
    needsAudio: false,
    needsVideo: false,
    keyFrameMs: null,
  },
  {
    ...OWN_SERVER,
    name: 'Wowza',
    host: /\.entrypoint\.cloud\.wowza\.com$|^wowza(\.|$)/,
    audio: 'aac',
  },
  { ...OWN_SERVER, name: 'nginx-rtmp', host: /^nginx(-rtmp)?(\.|$)/ },
  { ...OWN_SERVER, name: 'SRS', host: /^srs(\.|$)/, audio: 'aac' },
  {
    ...OWN_SERVER,
    name: 'MediaMTX',
    host: /^mediamtx(\.|$)/,
    enhanced: 'auto',
    takes: { vp8: false, opus: true },
  },
];

/** The known server of this address, if any. @throws RtmpError `INVALID_URL`. */
export function rtmpTargetOf(url: string): RtmpTarget | undefined {
  const host = parseRtmpUrl(url).host.toLowerCase().replace(/\.$/, '');
  return RTMP_TARGETS.find((target) => target.host.test(host));
}

/** Advice for a push to a known server. */
export interface RtmpTargetAdvice {
  /** Mode to use unless the user has chosen one. */
  readonly enhanced: RtmpEnhancedMode;
  /** Media that the server accepts in enhanced tags, whether its answer says so or not. */
  readonly takes: EnhancedMedia;
  /** It shows nothing of a stream without pictures. */
  readonly needsVideo: boolean;
  /** How often to request a key frame from the source, or `null`. */
  readonly keyFrameMs: number | null;
  /** For the log: what will not work, and what to change. No address, no key. */
  readonly warnings: readonly string[];
}

const UNKNOWN_TARGET: RtmpTargetAdvice = {
  enhanced: 'off',
  takes: TAKES_NOTHING,
  needsVideo: false,
  keyFrameMs: null,
  warnings: [],
};

/**
 * Compares what a push will send with the known requirements of its server.
 *
 * @param silentAudio - Whether a call without sound gets a silent track.
 */
export function adviseRtmpTarget(
  url: string,
  form: OutputForm,
  silentAudio: boolean,
): RtmpTargetAdvice {
  const target = rtmpTargetOf(url);
  if (!target) return UNKNOWN_TARGET;
  const { name, audio, needsAudio, needsVideo, needsTls, enhanced, takes, keyFrameMs } = target;
  const warnings: string[] = [];
  if (audio === 'aac' && form.audio === 'passthrough')
    warnings.push(
      `${name} takes no audio but AAC: G.711 and Speex that pass through will not be heard there, or the stream is refused. Set audio: 'aac'`,
    );
  if (needsAudio && form.audio === 'aac' && !silentAudio)
    warnings.push(`${name} shows no stream without an audio track. Set silentAudio: true`);
  if (needsTls && !parseRtmpUrl(url).secure) warnings.push(`${name} takes rtmps: addresses only`);
  return { enhanced, takes, needsVideo, keyFrameMs, warnings };
}
