export { RtmpPublication, RtmpSink } from './rtmp-sink.ts';
export type { ReceivedTag, RtmpRefusal, RtmpSinkOptions } from './rtmp-sink.ts';
