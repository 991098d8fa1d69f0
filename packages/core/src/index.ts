export { Admission } from './admission.ts';
export type { AdmissionOptions } from './admission.ts';
export { AccountRegistration } from './account-registration.ts';
export type {
  RegistrationAccount,
  RegistrationDeps,
  RegistrationEvents,
  RegistrationState,
  RegistrationView,
} from './account-registration.ts';
export { Call } from './call.ts';
export type {
  CallChange,
  CallDeps,
  CallEvents,
  CallView,
  EndedBy,
  ReceivedDtmf,
} from './call-contract.ts';
export type { DtmfType } from './dtmf-info.ts';
export type { TranscodingOptions } from './encoders.ts';
export {
  CallGateway,
  createCallGateway,
  maskSecrets,
  validateGatewayOptions,
} from './call-gateway.ts';
export type {
  CallFilter,
  CallGatewayEvents,
  CallGatewayOptions,
  ConnectPurpose,
  GatewayDeps,
  PushFilter,
  PushRequest,
  StreamFilter,
  Viewer,
} from './gateway-contract.ts';
export { GatewayError } from './errors.ts';
export type { GatewayErrorCode } from './errors.ts';
export { silentLogger } from './logger.ts';
export type { LogArea, LogFields, Logger, LogLevel } from './logger.ts';
export { NamedStream } from './named-stream.ts';
export { PublishedStream } from './published-stream.ts';
export { Streams } from './streams.ts';
export type { PublishOptions, StreamsDeps } from './streams.ts';
export type { AddOutputOptions, StreamView } from './named-stream.ts';
export type { FfmpegBinary, Output, OutputContents } from '@sipcast/media';
export type { NegotiationDeps, OfferedVideoCodec, OfferOptions } from './negotiation.ts';
export type {
  AccountRequest,
  OutputFormOptions,
  ResolvedStartup,
  StartupRequest,
} from './options.ts';
export type { OpenPushSound } from './push-sound.ts';
export type { RecordingOptions } from './recording.ts';
export { RtmpPush } from './rtmp-push.ts';
export type {
  PushRtmpOptions,
  RtmpOptions,
  RtmpPushDeps,
  RtmpPushEvents,
  RtmpPushTarget,
  RtmpPushView,
} from './rtmp-push.ts';
export { SipTrace } from './sip-trace.ts';
export type { SipTraceEntry, SipTraceLimits } from './sip-trace.ts';
export type { SipTraceOptions } from './sip-traces.ts';
export { CALL_TRANSITIONS, isFinal, mayFollow, RTMP_TRANSITIONS } from './status.ts';
export type { CallStatus, FinalCallStatus, FinalOf, RtmpStreamStatus } from './status.ts';
export { IncomingCall } from './incoming-call.ts';
export type { LaunchIncoming } from './incoming-call.ts';
export type {
  IncomingAccept,
  IncomingFacts,
  IncomingMatch,
  IncomingOptions,
  IncomingRule,
} from './incoming-rules.ts';
