// What client and server announce about Enhanced RTMP in `connect` and its answer (Enhanced RTMP v2, "Enhancing
// NetConnection connect Command"). Pure.

import { amf0Object, EcmaArray } from '../flv/amf0.ts';
import type { Amf0Value } from '../flv/amf0.ts';
import { FOURCC } from '../flv/enhanced-tags.ts';

/** Enhanced RTMP: not offered, negotiated, or assumed. */
export type RtmpEnhancedMode = 'off' | 'auto' | 'force';

/** What a server takes beyond plain RTMP. */
export interface RtmpCapabilities {
  /** VP8 in enhanced video tags. */
  readonly vp8: boolean;
  /** Opus in enhanced audio tags. */
  readonly opus: boolean;
  /** The server announced that it may send a ReconnectRequest. Others may send one, too. */
  readonly reconnect: boolean;
  /** Both are assumed by `force`: the server announced nothing about Enhanced RTMP. */
  readonly assumed?: true;
}

/** Capabilities of a server without Enhanced RTMP. */
export const PLAIN_RTMP: RtmpCapabilities = { vp8: false, opus: false, reconnect: false };

const CAN_ENCODE = 0x02;
const CAPS_RECONNECT = 0x01;
/** More entries than any server has codecs. */
const MAX_CODECS = 64;

/** Entries to add to the command object of `connect`. Multitrack is not offered. */
export function enhancedConnectEntries(mode: RtmpEnhancedMode): Record<string, Amf0Value> {
  if (mode === 'off') return {};
  return {
    // Enhanced RTMP v1 has only this list.
    fourCcList: ['avc1', FOURCC.vp8, FOURCC.opus, 'mp4a'],
    videoFourCcInfoMap: amf0Object({ avc1: CAN_ENCODE, [FOURCC.vp8]: CAN_ENCODE }),
    audioFourCcInfoMap: amf0Object({ [FOURCC.opus]: CAN_ENCODE, mp4a: CAN_ENCODE }),
    capsEx: CAPS_RECONNECT,
  };
}

/**
 * The capabilities in the answer to `connect`.
 *
 * @param objects - Its properties and its information: servers announce their capabilities in either.
 */
export function capabilitiesOf(
  mode: RtmpEnhancedMode,
  objects: readonly Amf0Value[],
): RtmpCapabilities {
  if (mode === 'off') return PLAIN_RTMP;
  const maps = objects.map(entriesOf).filter((entries) => entries !== undefined);
  const reconnect = maps.some((entries) => {
    const flags = entries.get('capsEx');
    return typeof flags === 'number' && (flags & CAPS_RECONNECT) !== 0;
  });
  if (mode === 'force') {
    const says = ['fourCcList', 'videoFourCcInfoMap', 'audioFourCcInfoMap'];
    const isSaid = maps.some((entries) => says.some((name) => entries.has(name)));
    return { vp8: true, opus: true, reconnect, ...(!isSaid && { assumed: true }) };
  }
  const takes = (kind: 'video' | 'audio', fourCc: string): boolean =>
    maps.some(
      (entries) =>
        inMap(entries.get(`${kind}FourCcInfoMap`), fourCc) ||
        inList(entries.get('fourCcList'), fourCc),
    );
  return { vp8: takes('video', FOURCC.vp8), opus: takes('audio', FOURCC.opus), reconnect };
}

function entriesOf(value: Amf0Value): ReadonlyMap<string, Amf0Value> | undefined {
  if (value instanceof Map) return value as ReadonlyMap<string, Amf0Value>;
  return value instanceof EcmaArray ? value.entries : undefined;
}

/** A server that decodes or forwards a codec accepts it; one that can only encode it does not. */
function inMap(value: Amf0Value, fourCc: string): boolean {
  const entries = entriesOf(value);
  const flags = entries?.get('*') ?? entries?.get(fourCc);
  return typeof flags === 'number' && (flags & ~CAN_ENCODE) !== 0;
}

function inList(value: Amf0Value, fourCc: string): boolean {
  const list = Array.isArray(value)
    ? (value as readonly Amf0Value[])
    : [...(entriesOf(value)?.values() ?? [])];
  return list.slice(0, MAX_CODECS).some((one) => one === '*' || one === fourCc);
}
