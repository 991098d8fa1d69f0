// What a phone does with a call: the script written by a test.

import type { PeerAuth } from './peer-digest.ts';
import type { PacketizationMode } from '../media/h264-payloads.ts';
import type { SdpDirection } from './peer-sdp.ts';
import type { PhoneAudioCodec } from '../media/phone-audio.ts';
import type { RtpLineOptions, RtpSenderOptions } from '../media/rtp-sender.ts';
import type { Vp8Form } from '../media/vp8-payloads.ts';

/** A change that the phone requests in mid-call. `resume` undoes `hold`; `move` uses other ports and SSRCs. */
export type ReinviteChange = 'unchanged' | 'hold' | 'resume' | 'move';

/** RTP fields and impairments of one medium, without its addresses. */
export type PeerLineOptions = Omit<
  RtpLineOptions,
  'from' | 'address' | 'rtpPort' | 'rtcpPort' | 'payloadType'
>;

/** How the phone handles an INVITE. By default: 100, 180, 200 with audio and video, and the clip. */
export interface CallScript {
  /** 100 at once. Default true. */
  readonly trying?: boolean;
  /** 180 after this many milliseconds; false: none. Default 0. */
  readonly ring?: number | false;
  /** 183 with the answer's SDP, and media from then on. Default false. */
  readonly earlyMedia?: boolean;
  /** Final status, 200–699, or `none` for no final response. Default 200. */
  readonly answer?: number | 'none';
  /** Delay of the final response after the INVITE, in ms. Default 0. */
  readonly answerAfterMs?: number;
  /** Reason phrase of the final answer. Default: the usual one. */
  readonly reason?: string;
  /** Contacts of a 3xx, e.g. `<sip:other@127.0.0.1:5090>`. */
  readonly redirectTo?: readonly string[];
  /** Additional headers of the final response. */
  readonly headers?: readonly (readonly [string, string])[];
  /** Challenge the INVITE first. */
  readonly auth?: PeerAuth;
  /** Send the clip after the answer. Default true. */
  readonly media?: boolean;
  /** How it is sent. */
  readonly sender?: Omit<RtpSenderOptions, 'video' | 'audio'> & {
    readonly video?: PeerLineOptions & { readonly vp8?: Vp8Form };
    readonly audio?: PeerLineOptions & Pick<NonNullable<RtpSenderOptions['audio']>, 'dtx'>;
  };
  /** Sends BYE this long after the answer. */
  readonly hangUpAfterMs?: number;
  /** false: refuse with port 0. Default true. */
  readonly video?: boolean;
  /** false: refuse with port 0. Default true. */
  readonly audio?: boolean;
  /** Answer with this codec only. Default: the first of PCMA and PCMU that is offered. */
  readonly audioCodec?: PhoneAudioCodec;
  /** Answer with this codec only, or refuse the video. Default `H264`. */
  readonly videoCodec?: 'H264' | 'VP8';
  /** Of H.264. Default 1 where it is offered, else 0. */
  readonly packetizationMode?: PacketizationMode;
  /** Direction of both media in the answer. Default: what the offer allows. */
  readonly direction?: SdpDirection;
  /** Put SPS and PPS into the answer. Default true. */
  readonly spropParameterSets?: boolean;
  /** Accept RFC 4733 events if offered. Default true. */
  readonly telephoneEvent?: boolean;
  /** Answer with the offered `a=rtcp-fb` lines. Default true. */
  readonly feedback?: boolean;
  /** Accept generic NACK if offered for video, and retransmit on request. Default false. */
  readonly nack?: boolean;
  /**
   * The phone is behind a NAT: media leaves from other ports than in its description, and nothing reaches those.
   * Default false.
   */
  readonly nat?: boolean;
  /** Changes the text of the answer, or replaces it. */
  readonly sdp?: (answer: string) => string;
  /** Default: random. */
  readonly toTag?: string;
  /** Record-Route values of 1xx and 2xx, in this order. They must route back to the phone for ACK and BYE to arrive. */
  readonly recordRoute?: readonly string[];
  /** Retransmit the 200 this many times, 20 ms apart, although the ACK arrived. Default 0. */
  readonly retransmit200?: number;
  /** Sends a re-INVITE this long after the answer. */
  readonly reinviteAfterMs?: number;
  /** The change that the re-INVITE requests. Default `unchanged`. */
  readonly reinvite?: ReinviteChange;
  /** Sends OPTIONS in the dialog this long after the answer. */
  readonly sendOptionsAfterMs?: number;
}
