export { Admission } from './gateway/admission.ts';
export type { AdmissionOptions } from './gateway/admission.ts';
export { AccountRegistration } from './registration/account-registration.ts';
export type {
  RegistrationAccount,
  RegistrationDeps,
  RegistrationEvents,
  RegistrationState,
  RegistrationView,
} from './registration/account-registration.ts';
export { Call } from './call/call.ts';
export type {
  CallChange,
  CallEvents,
  CallView,
  EndedBy,
  ReceivedDtmf,
} from './call/call-contract.ts';
export type { DtmfType } from './call/dtmf-info.ts';
export type { TranscodingOptions } from './gateway/encoders.ts';
export {
  CallGateway,
  createCallGateway,
  maskSecrets,
} from './gateway/call-gateway.ts';
export { validateGatewayOptions } from './gateway/gateway-options.ts';
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
} from './gateway/gateway-contract.ts';
export { GATEWAY_ROWS } from './gateway/gateway-rows.ts';
export { checkOptions, option } from './option-rows.ts';
export type { OptionRow, OptionRows, ValueOf, ValuesOf } from './option-rows.ts';
export { GatewayError } from './errors.ts';
export type { GatewayErrorCode } from './errors.ts';
export { silentLogger } from './logger.ts';
export type { LogArea, LogFields, Logger, LogLevel } from './logger.ts';
export { NamedStream } from './stream/named-stream.ts';
export { PublishedStream } from './stream/published-stream.ts';
export { Streams } from './gateway/streams.ts';
export type { PublishOptions } from './gateway/streams.ts';
export type { AddOutputOptions, StreamView } from './stream/named-stream.ts';
export type { FfmpegBinary, Output, OutputContents } from '@sipcast/media';
export type { OfferedVideoCodec, OfferOptions } from './negotiation/negotiation.ts';
export type {
  AccountRequest,
  OutputFormOptions,
  ResolvedStartup,
  StartupRequest,
} from './call/options.ts';
export type { OpenPushSound } from './stream/push-sound.ts';
export type { RecordingOptions } from './stream/recording.ts';
export { RtmpPush } from './stream/rtmp-push.ts';
export type {
  PushRtmpOptions,
  RtmpOptions,
  RtmpPushEvents,
  RtmpPushTarget,
  RtmpPushView,
} from './stream/rtmp-push.ts';
export { SipTrace } from './trace/sip-trace.ts';
export type { SipTraceEntry, SipTraceLimits } from './trace/sip-trace.ts';
export type { SipTraceOptions } from './trace/sip-traces.ts';
export { CALL_TRANSITIONS, isFinal, mayFollow, RTMP_TRANSITIONS } from './status.ts';
export type { CallStatus, FinalCallStatus, FinalOf, RtmpStreamStatus } from './status.ts';
export { IncomingCall } from './incoming/incoming-call.ts';
export type { LaunchIncoming } from './incoming/incoming-call.ts';
export type {
  IncomingAccept,
  IncomingFacts,
  IncomingMatch,
  IncomingOptions,
  IncomingRule,
} from './incoming/incoming-rules.ts';
