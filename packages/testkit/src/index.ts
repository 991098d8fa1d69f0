export { measureAvSkew } from './media/av-skew.ts';
export type { AvSkew } from './media/av-skew.ts';
export type { RtmpSinkAuth } from './rtmp/rtmp-sink-auth.ts';
export { RtmpPublication } from './rtmp/rtmp-publication.ts';
export type { PublicationParts, ReceivedTag } from './rtmp/rtmp-publication.ts';
export type { RtmpRefusal, RtmpSinkOptions } from './rtmp/rtmp-sink-options.ts';
export { RtmpSink } from './rtmp/rtmp-sink.ts';
export { createClip, loadClip, splitIvf, splitNalUnits } from './media/clip.ts';
export type { Clip, ClipAccessUnit } from './media/clip.ts';
export { aLawToLinear, aLawToMuLaw, linearToMuLaw } from './media/g711.ts';
export { packetizeAccessUnit } from './media/h264-payloads.ts';
export type { PacketizationMode } from './media/h264-payloads.ts';
export type { Impairments } from './relay/impaired-line.ts';
export type { ClipSounds, PhoneAudioCodec } from './media/phone-audio.ts';
export { RtpPort } from './media/rtp-port.ts';
export type {
  MediaReception,
  ReceivedDigit,
  RtpPortHandler,
  RtpPortOptions,
} from './media/rtp-port.ts';
export { RtpSender } from './media/rtp-sender.ts';
export type {
  RtpLineOptions,
  RtpLineStats,
  RtpSenderOptions,
  SentAccessUnit,
} from './media/rtp-sender.ts';
export { seededRandom } from './seeded-random.ts';
export type { Random } from './seeded-random.ts';
export type { CallScript, PeerLineOptions, ReinviteChange } from './sip/call-script.ts';
export { PeerCall } from './sip/peer-call.ts';
export type {
  LoggedCall,
  LoggedMessage,
  PeerCallEnding,
  PeerCallDeps,
  PeerCallStatus,
  SentReinvite,
} from './sip/phone-call.ts';
export type { PeerAuth } from './sip/peer-digest.ts';
export type { Violation } from './sip/peer-judge.ts';
export { parseSdp } from './sip/peer-sdp.ts';
export type { Sdp, SdpDirection, SdpMedia } from './sip/peer-sdp.ts';
export { SipPeer } from './sip/sip-peer.ts';
export type { PeerRegistration, SipPeerOptions } from './sip/sip-peer.ts';
export type { Origin } from './sip/sip-wire.ts';
export { TcpRelay } from './relay/tcp-relay.ts';
export type { TcpRelayOptions, TcpRelayStats } from './relay/tcp-relay.ts';
export { UdpRelay } from './relay/udp-relay.ts';
export type { UdpFaults, UdpRelayOptions, UdpRelayStats } from './relay/udp-relay.ts';
export { packetizeVp8Frame, Vp8Packetizer } from './media/vp8-payloads.ts';
export type { Vp8Descriptor, Vp8Form } from './media/vp8-payloads.ts';
