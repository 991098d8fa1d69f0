export { createCallGateway } from './gateway/gateway.ts';
export type { GatewayDeps } from './gateway/gateway.ts';
export { validateGatewayOptions } from './gateway/validate-gateway-options.ts';
export type { CallGatewayOptions, ConnectPurpose } from './gateway/gateway-options.ts';
export type { CallGateway, CallGatewayEvents, OutputFailure } from './gateway/call-gateway.ts';
export type { AccountRequest } from './gateway/account-request.ts';
export type { Accounts } from './gateway/accounts.ts';
export type { CallFilter, Calls } from './gateway/calls.ts';
export type { TranscodingOptions } from './gateway/encoders.ts';
export type { Pushes, PushFilter, PushRequest } from './gateway/pushes.ts';
export type { Snapshot, SnapshotFormat } from './snapshot/snapshots.ts';
export type { PublishOptions, StreamFilter, Streams, Viewer } from './gateway/streams.ts';
export type { Call, CallEvents } from './call/call.ts';
export type { EndedBy } from './call/call-ending.ts';
export type { CallChange } from './call/call-progress.ts';
export type { CallView } from './call/call-view.ts';
export type { CallProblem } from './call/call-problem.ts';
export type { DtmfType, ReceivedDtmf } from './call/dtmf-info.ts';
export type { ResolvedStartup } from './call/startup.ts';
export type { StartupRequest } from './call/startup-request.ts';
export type { IncomingCall } from './incoming/incoming-call.ts';
export type {
  IncomingAccept,
  IncomingFacts,
  IncomingMatch,
  IncomingOptions,
  IncomingRule,
} from './incoming/incoming-rules.ts';
export type {
  CodecPreference,
  OfferedVideoCodec,
  OfferOptions,
} from './negotiation/negotiation.ts';
export type {
  AccountRegistration,
  RegistrationAccount,
  RegistrationEvents,
  RegistrationState,
  RegistrationView,
} from './registration/account-registration.ts';
export type { AddOutputOptions, NamedStream, StreamView } from './stream/named-stream.ts';
export type { OutputFormOptions } from './stream/output-form.ts';
export type { PublishedStream } from './stream/published-stream.ts';
export type { RecordingOptions } from './stream/recording.ts';
export type { PushRtmpOptions, RtmpOptions } from './stream/rtmp-options.ts';
export type { RtmpPush, RtmpPushEvents, RtmpPushView } from './stream/rtmp-push.ts';
export type { SipTraceEntry } from './trace/sip-trace.ts';
export type { SipTraceOptions } from './trace/sip-traces.ts';
export { CALL_TRANSITIONS, isFinal, mayFollow, RTMP_TRANSITIONS } from './status.ts';
export type { CallStatus, FinalCallStatus, FinalOf, RtmpStreamStatus } from './status.ts';
export { GatewayError } from './errors.ts';
export type { GatewayErrorCode } from './errors.ts';
export { silentLogger } from './logger.ts';
export type { LogArea, LogFields, Logger, LogLevel } from './logger.ts';
export type { Emitter } from './emitter.ts';
export type { FfmpegBinary, Output, OutputContents } from '@sipcast/media';
/** For those who write SIP down themselves: the same masks as in `trace()`. */
export { maskSecrets } from '@sipcast/sip';
