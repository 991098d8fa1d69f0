// The public door of @sipcast/sip.

export { type Challenge, DigestClient, type DigestCredentials, parseChallenges } from './digest.ts';
export {
  type DigestJudgement,
  DigestServer,
  type DigestServerOptions,
} from './digest-server.ts';
export type { SessionOffer } from './session-changes.ts';
export type { PortRange } from './destination-ports.ts';
export { SipError, type SipErrorCode } from './errors.ts';
export type {
  IncomingInvite,
  IncomingSession,
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
export { maskSecrets } from './mask-secrets.ts';
export { type AnsweredMedia, answerReoffer, parseAnswer } from './offer-answer.ts';
export { type ParseOutcome, SIP_LIMITS } from './message-head.ts';
export { parseDatagram } from './parser.ts';
export { StreamParser, type StreamParserHandler } from './stream-parser.ts';
export { pcapFileHeader, pcapRecord } from './pcap.ts';
export type { RegisterOptions, Registration } from './registration.ts';
export {
  type CodecDescription,
  formatOffer,
  type MediaDirection,
  type OfferedMedia,
  type RefusedMedia,
  parseFmtp,
  SDP_LIMITS,
  type SessionDescription,
} from './sdp.ts';
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
export type { AgreedCrypto, CryptoAttribute } from './sdes.ts';
export type { SessionTimerOptions } from './session-timer.ts';
export type { ReferRequest, TransferOutcome } from './transfer.ts';
export { createResponse } from './matching.ts';
export {
  type AddressRecord,
  type NaptrRecord,
  type SipDns,
  type SrvRecord,
  systemDns,
} from './sip-dns.ts';
export type { GuardFault, SourceGuardOptions } from './source-guard.ts';
export type { Hop, SipFaultName } from './transaction-layer.ts';
export {
  isForbiddenDestination,
  type LocalAddress,
  type SendDone,
  type Transport,
  type TransportAddress,
  transportError,
  type TransportFactory,
  type TransportFault,
  type TransportHandler,
  type TransportOptions,
} from './transport.ts';
export { type StreamLimits, StreamTransport, type StreamWire } from './transport-stream.ts';
export { TcpTransport } from './transport-tcp.ts';
export { type Pem, type SipTlsOptions, TlsTransport } from './transport-tls.ts';
export { UdpTransport } from './transport-udp.ts';
export type { PingOptions, ServerState } from './server-pings.ts';
export { SipUserAgent } from './user-agent.ts';
export type {
  InviteDecision,
  KeepAliveIntervals,
  SipTraffic,
  SipUserAgentHandler,
  SipUserAgentOptions,
  SipUserAgentStats,
} from './user-agent-contract.ts';
export { formatNameAddress, type NameAddress, parseNameAddress } from './name-address.ts';
export type { Parameters } from './parameters.ts';
export {
  type CSeq,
  equalUris,
  formatHostPort,
  formatUri,
  parseCSeq,
  parseUri,
  type SipUri,
} from './uri.ts';
export { formatVia, parseVia, type Via } from './via.ts';
