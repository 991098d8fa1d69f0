// Formats values for people.

import type { CallView } from '@sipcast/core';

/** `1:02:03`, or `0:07`. */
export function durationText(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const two = (value: number): string => String(value).padStart(2, '0');
  const minutes = Math.floor(seconds / 60) % 60;
  const hours = Math.floor(seconds / 3600);
  return hours > 0
    ? `${hours}:${two(minutes)}:${two(seconds % 60)}`
    : `${minutes}:${two(seconds % 60)}`;
}

/** `1.25 Mbit/s`, `64 kbit/s`, `–`. */
export function bitrateText(bps: number | null | undefined): string {
  if (bps === null || bps === undefined) return '–';
  return bps >= 1e6 ? `${(bps / 1e6).toFixed(2)} Mbit/s` : `${Math.round(bps / 1000)} kbit/s`;
}

/** `1.2 MB`. */
export function bytesText(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(1)} kB`;
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;
}

/** `0.4 %`. */
export function percentText(ratio: number | null | undefined): string {
  if (ratio === null || ratio === undefined) return '–';
  const percent = ratio * 100;
  return `${percent > 0 && percent < 10 ? percent.toFixed(1) : Math.round(percent)} %`;
}

/** `14:03:27` in local time. */
export function timeText(iso: string | null): string {
  if (iso === null) return '–';
  const date = new Date(iso);
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** `NO_PACKETS` → `No packets, since 14:03:27`. */
export function problemText(problem: string, sinceMs: number | null): string {
  const text = problem.toLowerCase().replaceAll('_', ' ');
  const since = sinceMs === null ? '' : `, since ${timeText(new Date(sinceMs).toISOString())}`;
  return text.charAt(0).toUpperCase() + text.slice(1) + since;
}

/** `RTMP_STREAM_ACTIVE` → `On air`; with why it is not. */
export function rtmpStatusText(status: string | null, error: string | null = null): string {
  if (status === null) return '–';
  const words: Readonly<Record<string, string>> = {
    RTMP_STREAM_WAIT: 'Waiting',
    RTMP_STREAM_ACTIVE: 'On air',
    RTMP_CONNECTION_LOST: 'Lost, reconnecting',
    RTMP_CONNECTION_FAILED: 'Failed',
  };
  return `${words[status] ?? status}${error === null ? '' : `: ${error}`}`;
}

/** `SESSION_PROGRESS` → `Session progress`. */
export function callStatusText(status: string): string {
  const text = status.toLowerCase().replaceAll('_', ' ');
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** The color of a status. */
export function toneOf(status: string | null): 'good' | 'busy' | 'bad' | 'still' | 'hold' {
  switch (status) {
    case 'ESTABLISHED':
    case 'RTMP_STREAM_ACTIVE':
      return 'good';
    case 'HOLD':
      return 'hold';
    case 'FAILED':
    case 'BUSY':
    case 'RTMP_CONNECTION_FAILED':
    case 'RTMP_CONNECTION_LOST':
      return 'bad';
    case 'FINISH':
    case null:
      return 'still';
    default:
      return 'busy';
  }
}

/** `sip:bob@192.0.2.1` → `bob@192.0.2.1`: the scheme is redundant in a list. */
export function calleeText(callee: string): string {
  return callee.replace(/^sips?:/i, '');
}

/** A caller's name with its number or user. The name is self-declared, so it is never shown alone if there is more. */
export function callerText({
  visibleName,
  caller,
}: Pick<CallView, 'visibleName' | 'caller'>): string {
  const parts = [visibleName, calleeText(caller)].map(isolated).filter(Boolean);
  return [...new Set(parts)].join(' · ');
}

/** Isolates text direction: direction controls can make one name look like another. */
function isolated(text: string): string {
  const bare = text.replace(/[\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, '');
  return /[\u0590-\u08ff\ufb1d-\ufefc]/.test(bare) ? `\u2068${bare}\u2069` : bare;
}

/** The other end: the callee of an outgoing call, the caller of an incoming one. */
export function peerText(
  call: Pick<CallView, 'incoming' | 'caller' | 'callee' | 'visibleName'>,
): string {
  if (!call.incoming) return calleeText(call.callee);
  return callerText(call) || 'Unknown caller';
}

/** The direction of a call in words. */
export function directionText({ incoming, callee }: Pick<CallView, 'incoming' | 'callee'>): string {
  if (!incoming) return 'Outgoing';
  return callee === '' ? 'Incoming' : `Incoming, for ${calleeText(callee)}`;
}

const CODECS: Readonly<Record<string, string>> = {
  h264: 'H.264',
  vp8: 'VP8',
  pcma: 'PCMA',
  pcmu: 'PCMU',
  g722: 'G.722',
  opus: 'Opus',
  'speex-nb': 'Speex 8k',
  'speex-wb': 'Speex 16k',
};

/** The usual spelling of a codec; `–` for none. */
export function codecText(codec: string | null | undefined): string {
  return codec == null ? '–' : (CODECS[codec] ?? codec);
}

/** Summary of several pushes in one badge: how many are on air, and whether all is well. */
export function pushesSummary(
  statuses: readonly string[],
): { readonly text: string; readonly tone: ReturnType<typeof toneOf> } | undefined {
  const [first] = statuses;
  if (first === undefined) return undefined;
  if (statuses.every((status) => status === first)) {
    const count = statuses.length > 1 ? ` ×${statuses.length}` : '';
    return { text: rtmpStatusText(first) + count, tone: toneOf(first) };
  }
  const onAir = statuses.filter((status) => status === 'RTMP_STREAM_ACTIVE').length;
  const tones = statuses.map(toneOf);
  const tone = tones.includes('bad') ? 'bad' : 'busy';
  return { text: `${onAir} of ${statuses.length} on air`, tone };
}

/** An address without its secrets: user, password and query. */
export function publicUrl(url: string): string {
  return url.replace(/^([a-z]+:\/\/)[^/?]*@/i, '$1').replace(/\?.*$/s, '?…');
}

/** A stream name for a call: the callee's user and the time. */
export function proposedStream(callee: string, now: Date): string {
  const user = /^(?:sips?:)?([^@;?]+)/i.exec(callee.trim())?.[1] ?? '';
  const bare = user.replace(/[^A-Za-z0-9._~+-]+/g, '-').replace(/^-+|-+$/g, '');
  const two = (value: number): string => String(value).padStart(2, '0');
  const time = `${two(now.getHours())}${two(now.getMinutes())}${two(now.getSeconds())}`;
  return `${bare.slice(0, 40) || 'call'}-${time}`;
}
