export { measureAvSkew } from './av-skew.ts';
export type { AvSkew } from './av-skew.ts';
export type { RtmpSinkAuth } from './rtmp-sink-auth.ts';
export type { PublicationParts } from './rtmp-sink-connection.ts';
export { RtmpPublication, RtmpSink } from './rtmp-sink.ts';
export type { ReceivedTag, RtmpRefusal, RtmpSinkOptions } from './rtmp-sink.ts';
export { createClip, loadClip, splitIvf, splitNalUnits } from './clip.ts';
export type { Clip, ClipAccessUnit } from './clip.ts';
export { aLawToLinear, aLawToMuLaw, linearToMuLaw } from './g711.ts';
export { packetizeAccessUnit } from './h264-payloads.ts';
export type { PacketizationMode } from './h264-payloads.ts';
export type { Impairments } from './impaired-line.ts';
export type { ClipSounds, PhoneAudioCodec } from './phone-audio.ts';
export { RtpPort } from './rtp-port.ts';
export type {
  MediaReception,
  ReceivedDigit,
  RtpPortHandler,
  RtpPortOptions,
} from './rtp-port.ts';
export { RtpSender } from './rtp-sender.ts';
export type {
  RtpLineOptions,
  RtpLineStats,
  RtpSenderOptions,
  SentAccessUnit,
} from './rtp-sender.ts';
export { seededRandom } from './seeded-random.ts';
export type { Random } from './seeded-random.ts';
export type { CallScript, PeerLineOptions, ReinviteChange } from './call-script.ts';
export { PeerCall } from './peer-call.ts';
export type {
  LoggedMessage,
  PeerCallEnding,
  PeerCallHost,
  PeerCallStatus,
  SentReinvite,
} from './peer-call-contract.ts';
export type { PeerAuth } from './peer-digest.ts';
export type { Violation } from './peer-judge.ts';
export { parseSdp } from './peer-sdp.ts';
export type { Sdp, SdpDirection, SdpMedia } from './peer-sdp.ts';
export { SipPeer } from './sip-peer.ts';
export type { PeerRegistration, SipPeerOptions } from './sip-peer.ts';
export type { Origin } from './sip-wire.ts';
export { TcpRelay } from './tcp-relay.ts';
export type { TcpRelayOptions, TcpRelayStats } from './tcp-relay.ts';
export { UdpRelay } from './udp-relay.ts';
export type { UdpFaults, UdpRelayOptions, UdpRelayStats } from './udp-relay.ts';
export { packetizeVp8Frame, Vp8Packetizer } from './vp8-payloads.ts';
export type { Vp8Descriptor, Vp8Form } from './vp8-payloads.ts';
