// Black pictures of H.264, for peers and players that wait for some.

// 176×144, Constrained Baseline, level 1, every picture an IDR. Made by:
// ffmpeg -f lavfi -i color=black:s=176x144:r=2 -frames:v 2 -c:v libx264 -profile:v baseline -qp 26
//   -x264-params keyint=1:info=0 -bsf:v filter_units=remove_types=6 black.264
/** Sequence parameter set of the black pictures. */
export const BLACK_SPS = Buffer.from('Z0LACtwsTsBEAAADAAQAAAMAEDxIng==', 'base64');
/** Their picture parameter set. */
export const BLACK_PPS = Buffer.from('aM4yyA==', 'base64');
/** IDR slices to alternate between. H.264 §7.4.3: two IDR pictures in a row differ in idr_pic_id; these have 0 and 1. */
export const BLACK_PICTURES: readonly Uint8Array[] = [
  'ZYiEPyYoAAi2ycnJycnJycnJyddddddddddddddddddddddddddddddddddd' +
    'dddddddddddddddddddddddddddddddddddddddddddddddddddddeA=',
  'ZYiCD8mKAAItsnJycnJycnJycnXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX' +
    'XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXg=',
].map((text) => Buffer.from(text, 'base64'));
