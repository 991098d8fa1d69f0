export { Call } from './call.ts';
export type { CallChange, CallDeps, CallEvents, CallView, DtmfType, EndedBy } from './call.ts';
export { CallGateway, createCallGateway } from './call-gateway.ts';
export type {
  CallFilter,
  CallGatewayEvents,
  CallGatewayOptions,
  GatewayDeps,
  PushFilter,
  PushRequest,
} from './call-gateway.ts';
export { GatewayError } from './errors.ts';
export type { GatewayErrorCode } from './errors.ts';
export { silentLogger } from './logger.ts';
export type { Logger } from './logger.ts';
export { NamedStream } from './named-stream.ts';
export type { OfferOptions } from './negotiation.ts';
export type { ResolvedStartup, StartupRequest } from './options.ts';
export { RtmpPush } from './rtmp-push.ts';
export type {
  RtmpOptions,
  RtmpPushDeps,
  RtmpPushEvents,
  RtmpPushTarget,
  RtmpPushView,
} from './rtmp-push.ts';
export { CALL_TRANSITIONS, isFinal, mayFollow, RTMP_TRANSITIONS } from './status.ts';
export type { CallStatus, FinalCallStatus, FinalOf, RtmpStreamStatus } from './status.ts';
