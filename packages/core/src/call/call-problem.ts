// What keeps a medium of a call off the air, for clients and for the log.

import type { MediaProblem } from '@sipcast/media';

/** A change of what keeps a medium off the air. */
export interface CallProblem {
  readonly medium: 'audio' | 'video';
  /** `null`: the problem is over. */
  readonly problem: MediaProblem | null;
  /** Since when nothing of the medium has reached the outputs; ISO 8601. `null` when the problem is over. */
  readonly since: string | null;
}

const MEANINGS: ReadonlyMap<string, string> = new Map([
  ['NO_PACKETS', 'no RTP arrives'],
  ['UNKNOWN_PAYLOAD_TYPE', 'the peer sends a payload type that was not agreed on'],
  ['NO_KEY_FRAME', 'the peer sends no key frame'],
  ['UNDECODABLE', 'what arrives holds no usable frame'],
  ['SILENT', 'the sound is silence'],
  ['FROZEN', 'no more pictures arrive, or always the same'],
  ['HELD', 'the call is on hold while it is on air'],
]);

/** The log line of a change. */
export function problemText({ medium, problem }: CallProblem): string {
  if (problem === null) return `${medium}: arrives again`;
  const meaning = MEANINGS.get(problem.split(' ', 1)[0] ?? '') ?? '';
  return `${medium}: ${problem} (${meaning}); see docs/guides/troubleshooting.md`;
}
