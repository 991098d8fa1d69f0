// Public API of @sipcast/sip.

export {
  type Challenge,
  DigestClient,
  type DigestCredentials,
  parseChallenges,
} from './auth/digest.ts';
export {
  type DigestJudgement,
  DigestServer,
  type DigestServerOptions,
} from './auth/digest-server.ts';
export type { SessionOffer } from './dialog/session-changes.ts';
export type { PortRange } from './transport/destination-ports.ts';
export { SipError, type SipErrorCode } from './errors.ts';
export { sessionDescriptionIn } from './message/body.ts';
export { tagOf } from './transaction/matching.ts';
export type {
  IncomingInvite,
  IncomingSession,
  InviteOptions,
  InviteSession,
  InviteSessionState,
} from './call/call-session.ts';
export type {
  InviteSessionHandler,
  PeerDescription,
  SessionEnding,
} from './dialog/session-handler.ts';
export type { OutboundProxy, TransportPreference } from './transport/next-hop.ts';
export {
  EMPTY_BODY,
  formatMessage,
  type MessageSource,
  SipHeaders,
  type SipMessage,
  type SipRequest,
  type SipResponse,
} from './message/message.ts';
export { maskSecrets } from './message/mask-secrets.ts';
export {
  type AnsweredMedia,
  answerReoffer,
  offersSlides,
  parseAnswer,
} from './sdp/offer-answer.ts';
export { type ParseOutcome, SIP_LIMITS } from './message/message-head.ts';
export { parseDatagram } from './message/parser.ts';
export { StreamParser, type StreamParserHandler } from './message/stream-parser.ts';
export { pcapFileHeader, pcapRecord } from './transport/pcap.ts';
export type { RegisterOptions, Registration } from './agent/registration.ts';
export {
  type CodecDescription,
  formatOffer,
  type MediaDirection,
  type OfferedMedia,
  type RefusedMedia,
  type RemoteMedia,
  type ServedSection,
  parseFmtp,
  SDP_LIMITS,
  type SessionDescription,
} from './sdp/sdp.ts';
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
} from './transaction/transaction.ts';
export type { AgreedCrypto, CryptoAttribute } from './sdp/sdes.ts';
export type { SessionTimerOptions } from './dialog/session-timer.ts';
export type { ReferRequest, TransferOutcome } from './dialog/transfers.ts';
export { createResponse } from './transaction/matching.ts';
export {
  type AddressRecord,
  type NaptrRecord,
  type SipDns,
  type SrvRecord,
  systemDns,
} from './transport/sip-dns.ts';
export type { GuardFault, SourceGuardOptions } from './transaction/source-guard.ts';
export type { Hop, SipFaultName } from './transaction/transaction-layer.ts';
export { isForbiddenDestination } from './transport/transport.ts';
export type {
  LocalAddress,
  SendDone,
  Transport,
  TransportAddress,
  TransportFactory,
  TransportFault,
  TransportHandler,
  TransportOptions,
} from './transport/transport.ts';
export { transportError } from './errors.ts';
export {
  type StreamLimits,
  StreamTransport,
  type StreamWire,
} from './transport/stream-transport.ts';
export { TcpTransport } from './transport/tcp-transport.ts';
export { type Pem, type SipTlsOptions, TlsTransport } from './transport/tls-transport.ts';
export { UdpTransport } from './transport/udp-transport.ts';
export type { PingOptions, ServerState } from './agent/server-pings.ts';
export { SipUserAgent } from './agent/user-agent.ts';
export type {
  InviteDecision,
  KeepAliveIntervals,
  SipTraffic,
  SipUserAgentHandler,
  SipUserAgentOptions,
  SipUserAgentStats,
} from './agent/user-agent-options.ts';
export { formatNameAddress, type NameAddress, parseNameAddress } from './message/name-address.ts';
export type { Parameters } from './message/parameters.ts';
export {
  type CSeq,
  equalUris,
  formatHostPort,
  formatUri,
  parseCSeq,
  parseUri,
  type SipUri,
} from './message/uri.ts';
export { formatVia, parseVia, type Via } from './message/via.ts';
