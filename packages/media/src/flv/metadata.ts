// What the metadata of a stream says about it.

import { decodeAmf0Prefix, EcmaArray } from './amf0.ts';

/** The media that `onMetaData` names: types of their tags. */
export function promisedBy(body: Uint8Array): ReadonlySet<8 | 9> {
  const promised = new Set<8 | 9>();
  for (const value of decodeAmf0Prefix(body).values) {
    const names = value instanceof EcmaArray ? value.entries : value;
    if (!(names instanceof Map)) continue;
    if (names.has('audiocodecid')) promised.add(8);
    if (names.has('videocodecid')) promised.add(9);
  }
  return promised;
}
