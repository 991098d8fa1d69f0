// Media control by INFO (RFC 5168): the one request that is made and understood.

/** RFC 5168 §7: asks the peer's encoder for a whole picture. */
export const PICTURE_FAST_UPDATE = {
  contentType: 'application/media_control+xml',
  body:
    '<?xml version="1.0" encoding="utf-8"?>\r\n<media_control><vc_primitive><to_encoder><picture_fast_update/>' +
    '</to_encoder></vc_primitive></media_control>\r\n',
} as const;
