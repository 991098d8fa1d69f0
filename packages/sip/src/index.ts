// The public door of @sipcast/sip.

export { SipError, type SipErrorCode } from './errors.ts';
export type {
  InviteOptions,
  InviteSession,
  InviteSessionHandler,
  InviteSessionState,
  OutboundProxy,
  SessionEnding,
  TransportPreference,
} from './invite-contract.ts';
export {
  EMPTY_BODY,
  formatMessage,
  SipHeaders,
  type SipMessage,
  type SipRequest,
  type SipResponse,
} from './message.ts';
export type { RegisterOptions, Registration } from './registration.ts';
export {
  type Clock,
  completeTimers,
  type SipTimers,
  systemClock,
  type TimerHandle,
} from './timers.ts';
export {
  type TransactionAction,
  type TransactionEvent,
  type TransactionKind,
  TRANSACTION_TABLES,
  type TransactionState,
  type TransactionTable,
  type TimerName,
  type Transition,
} from './transaction.ts';
export { createResponse, type SipFaultName } from './transaction-layer.ts';
export {
  isForbiddenDestination,
  type SendDone,
  type Transport,
  type TransportAddress,
  transportError,
  type TransportFactory,
  type TransportFault,
  type TransportHandler,
  type TransportOptions,
} from './transport.ts';
export { type StreamLimits, TcpTransport } from './transport-stream.ts';
export { UdpTransport } from './transport-udp.ts';
export {
  SipUserAgent,
  type SipUserAgentHandler,
  type SipUserAgentOptions,
  type SipUserAgentStats,
} from './user-agent.ts';
