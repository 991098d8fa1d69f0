// A key frame of H.264 that is sent again, as another picture.

import type { FlvTag } from '../codec/frame.ts';
import { decodeAvcConfiguration, NAL_TYPE, nalType } from '../codec/h264.ts';
import { idrPicIdOf, sliceFormOf, withIdrPicId } from '../codec/idr-pic-id.ts';

/** FrameType and CodecID, AVCPacketType, CompositionTime (FLV 10.1 §E.4.3). */
const HEAD_BYTES = 5;
const AVC_KEY_FRAME = 0x17;
/** Far from the ids that phones count through. */
const ID_OFFSET = 0x4000;

/**
 * Two forms of the key frame to alternate between, with ids that neither it nor probably the next key frame has. The tag
 * itself twice where its slices are not understood, and for VP8, whose pictures have no ids.
 *
 * @param header - The sequence header of the pictures.
 */
export function repeatedPictures(keyFrame: FlvTag, header: FlvTag | undefined): [FlvTag, FlvTag] {
  const { body } = keyFrame;
  if (header === undefined || body[0] !== AVC_KEY_FRAME) return [keyFrame, keyFrame];
  const form = sliceFormOf(decodeAvcConfiguration(header.body.subarray(HEAD_BYTES)));
  const nalus = splitNalus(body.subarray(HEAD_BYTES));
  const first = nalus?.find((nal) => nalType(nal) === NAL_TYPE.idrSlice);
  const id = form && first && idrPicIdOf(first, form);
  if (!form || !nalus || id === undefined) return [keyFrame, keyFrame];
  const withId = (idrPicId: number): FlvTag => {
    const changed = nalus.map((nal) =>
      nalType(nal) === NAL_TYPE.idrSlice ? withIdrPicId(nal, form, idrPicId) : nal,
    );
    if (changed.includes(undefined)) return keyFrame;
    const parts = changed.flatMap((nal = new Uint8Array(0)) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(nal.length);
      return [length, nal];
    });
    return { ...keyFrame, body: Buffer.concat([body.subarray(0, HEAD_BYTES), ...parts]) };
  };
  return [withId((id + ID_OFFSET) & 0xffff), withId((id + ID_OFFSET + 1) & 0xffff)];
}

/** NAL units with four-octet lengths; undefined where they do not fit. */
function splitNalus(octets: Uint8Array): Uint8Array[] | undefined {
  const nalus: Uint8Array[] = [];
  const view = new DataView(octets.buffer, octets.byteOffset, octets.byteLength);
  let at = 0;
  while (at + 4 <= octets.length) {
    const end = at + 4 + view.getUint32(at);
    if (end > octets.length) return undefined;
    nalus.push(octets.subarray(at + 4, end));
    at = end;
  }
  return at === octets.length ? nalus : undefined;
}
