// The RTP and RTCP sockets of one medium on the phone's side, with counts of what arrives.

import type { RemoteInfo, Socket } from 'node:dgram';
import { decodeRtcp, decodeRtp, isRtcp } from '@sipcast/media/wire';
import type { ReportBlock, RtcpPacket, RtpPacket } from '@sipcast/media/wire';
import { bindUdp, closeUdp } from '../udp-socket.ts';

/** One received key press, by any method. */
export interface ReceivedDigit {
  /** `0`–`9`, `*`, `#`, `A`–`D`; otherwise the event number. */
  readonly digit: string;
  readonly via: 'rfc4733' | 'info';
  /** RFC 4733: largest duration seen. INFO: as written, `undefined` if absent. */
  durationMs: number | undefined;
  /** RFC 4733: total number of packets. */
  packets: number;
  /** RFC 4733: packets with the E bit. */
  endPackets: number;
  /** RFC 4733: the first packet had the marker. */
  readonly marker: boolean;
  /** RFC 4733: power in −dBm0. */
  readonly volume: number | undefined;
  /** RFC 4733: common to all its packets. */
  readonly rtpTimestamp: number | undefined;
}

/** What arrived at the RTP and RTCP ports of one medium. */
export interface MediaReception {
  /** RTP packets. */
  packets: number;
  /** Octets of their payloads. */
  octets: number;
  /** Packets per payload type. */
  readonly payloadTypes: Map<number, number>;
  /** The newest RTP packet. */
  lastPacket: RtpPacket | undefined;
  /** `performance.now()` of the newest RTP packet. */
  lastArrivalMs: number;
  readonly ssrcs: Set<number>;
  /** Packets that did not continue the sequence of their SSRC. */
  sequenceBreaks: number;
  /** The first hundred faults: datagrams that are neither RTP nor RTCP, or malformed RTCP. */
  readonly faults: string[];
  /** RTCP compounds. */
  compounds: number;
  senderReports: number;
  receiverReports: number;
  pictureLosses: number;
  fullIntraRequests: number;
  nacks: number;
  byes: number;
  /** CNAMEs of source descriptions. */
  readonly cnames: Set<string>;
  /** The latest report block about one of our sources. */
  lastReport: ReportBlock | undefined;
  readonly digits: ReceivedDigit[];
  /** `address:port` of the newest RTP packet's source. */
  source: string | undefined;
}

/** Receives packets as they arrive. Must not throw. */
export interface RtpPortHandler {
  /** Each RTP packet. */
  onRtp?(packet: RtpPacket): void;
  /** Each packet of an RTCP compound. */
  onRtcp?(packet: RtcpPacket): void;
}

/** Options of an {@link RtpPort}. */
export interface RtpPortOptions {
  /** IP address. Default `127.0.0.1`. */
  readonly host?: string;
  /** RTP port; RTCP is the next one. Default: a free even one. */
  readonly port?: number;
  /** Also read RFC 4733 events with this payload type. */
  readonly eventPayloadType?: number;
}

const EVENTS = '0123456789*#ABCD';
const MAX_FAULTS = 100;
const BIND_ATTEMPTS = 200;

/** An even RTP port and the odd RTCP port above it. */
export class RtpPort {
  readonly host: string;
  readonly port: number;
  readonly rtcpPort: number;
  readonly received: MediaReception = {
    packets: 0,
    octets: 0,
    payloadTypes: new Map(),
    lastPacket: undefined,
    lastArrivalMs: 0,
    ssrcs: new Set(),
    sequenceBreaks: 0,
    faults: [],
    compounds: 0,
    senderReports: 0,
    receiverReports: 0,
    pictureLosses: 0,
    fullIntraRequests: 0,
    nacks: 0,
    byes: 0,
    cnames: new Set(),
    lastReport: undefined,
    digits: [],
    source: undefined,
  };
  /** Payload type of RFC 4733 events. `undefined`: events are not read. */
  eventPayloadType: number | undefined;
  /** RTP clock of the events. */
  eventClockHz = 8000;
  readonly #rtp: Socket;
  readonly #rtcp: Socket;
  readonly #handlers = new Set<RtpPortHandler>();
  #lastSsrc = -1;
  #nextSequenceNumber = -1;
  #closed: Promise<void> | undefined;

  private constructor(host: string, rtp: Socket, rtcp: Socket, options: RtpPortOptions) {
    this.host = host;
    this.#rtp = rtp;
    this.#rtcp = rtcp;
    this.port = rtp.address().port;
    this.rtcpPort = rtcp.address().port;
    this.eventPayloadType = options.eventPayloadType;
    rtp.on('message', (datagram, remote) => {
      if (isRtcp(datagram)) this.#takeRtcp(datagram);
      else this.#takeRtp(datagram, remote);
    });
    rtcp.on('message', (datagram) => this.#takeRtcp(datagram));
    // Send errors are the receiver's concern.
    for (const socket of [rtp, rtcp]) socket.on('error', () => {});
  }

  /** Binds both sockets. Rejects with the system's error. */
  static async open(options: RtpPortOptions = {}): Promise<RtpPort> {
    const host = options.host ?? '127.0.0.1';
    if (options.port !== undefined) {
      const rtp = await bindUdp(host, options.port);
      try {
        return new RtpPort(host, rtp, await bindUdp(host, options.port + 1), options);
      } catch (error) {
        rtp.close();
        throw error;
      }
    }
    for (let attempt = 1; ; attempt++) {
      const rtp = await bindUdp(host, 0);
      const { port } = rtp.address();
      try {
        if (port % 2 === 0) return new RtpPort(host, rtp, await bindUdp(host, port + 1), options);
      } catch (error) {
        rtp.close();
        if (attempt >= BIND_ATTEMPTS) throw error;
        continue;
      }
      rtp.close();
    }
  }

  /** Calls `handler` for each packet until `unlisten`. */
  listen(handler: RtpPortHandler): void {
    this.#handlers.add(handler);
  }

  /** Undoes {@link listen}. */
  unlisten(handler: RtpPortHandler): void {
    this.#handlers.delete(handler);
  }

  /** Sends from the RTP port. The octets must not be changed afterwards. */
  sendRtp(datagram: Uint8Array, port: number, address: string): void {
    if (this.#closed === undefined) this.#rtp.send(datagram, port, address);
  }

  /** Sends from the RTCP port. */
  sendRtcp(datagram: Uint8Array, port: number, address: string): void {
    if (this.#closed === undefined) this.#rtcp.send(datagram, port, address);
  }

  /** Closes both sockets. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= Promise.all([closeUdp(this.#rtp), closeUdp(this.#rtcp)]).then(() => {});
    return this.#closed;
  }

  #takeRtp(datagram: Uint8Array, remote: RemoteInfo): void {
    const { received } = this;
    const nowMs = performance.now();
    const packet = decodeRtp(datagram, nowMs);
    if (typeof packet === 'string') {
      this.#fault(packet);
      return;
    }
    received.packets++;
    received.octets += packet.payload.length;
    const { payloadType, ssrc, sequenceNumber } = packet;
    received.payloadTypes.set(payloadType, (received.payloadTypes.get(payloadType) ?? 0) + 1);
    if (ssrc !== this.#lastSsrc) {
      this.#lastSsrc = ssrc;
      received.ssrcs.add(ssrc);
    } else if (sequenceNumber !== this.#nextSequenceNumber) received.sequenceBreaks++;
    this.#nextSequenceNumber = (sequenceNumber + 1) & 0xffff;
    received.lastPacket = packet;
    received.lastArrivalMs = nowMs;
    received.source = `${remote.address}:${remote.port}`;
    if (payloadType === this.eventPayloadType) this.#takeEvent(packet);
    for (const handler of this.#handlers) handler.onRtp?.(packet);
  }

  /** RFC 4733 §2.3: event, E and volume, duration. */
  #takeEvent(packet: RtpPacket): void {
    const { payload, rtpTimestamp } = packet;
    if (payload.length < 4) {
      this.#fault('event-short');
      return;
    }
    const { digits } = this.received;
    const digit = EVENTS[payload[0]!] ?? String(payload[0]);
    const durationMs = (((payload[2]! << 8) | payload[3]!) * 1000) / this.eventClockHz;
    const end = (payload[1]! & 0x80) !== 0 ? 1 : 0;
    const last = digits.at(-1);
    if (last?.rtpTimestamp === rtpTimestamp && last.digit === digit) {
      last.packets++;
      last.endPackets += end;
      last.durationMs = Math.max(last.durationMs ?? 0, durationMs);
      return;
    }
    digits.push({
      digit,
      via: 'rfc4733',
      durationMs,
      packets: 1,
      endPackets: end,
      marker: packet.marker,
      volume: payload[1]! & 0x3f,
      rtpTimestamp,
    });
  }

  #takeRtcp(datagram: Uint8Array): void {
    const { received } = this;
    const { packets, fault } = decodeRtcp(datagram);
    if (fault !== undefined) this.#fault(fault);
    // RFC 3550 §6.1: a compound begins with a report; RFC 5506 allows otherwise only if negotiated.
    const first = packets[0];
    if (first !== undefined && first.type !== 'sr' && first.type !== 'rr') {
      this.#fault('rtcp-no-report-first');
    }
    received.compounds++;
    for (const packet of packets) {
      switch (packet.type) {
        case 'sr':
          received.senderReports++;
          received.lastReport = packet.reports[0] ?? received.lastReport;
          break;
        case 'rr':
          received.receiverReports++;
          received.lastReport = packet.reports[0] ?? received.lastReport;
          break;
        case 'sdes':
          for (const { cname } of packet.chunks)
            if (cname !== undefined) received.cnames.add(cname);
          break;
        case 'bye':
          received.byes++;
          break;
        case 'pli':
          received.pictureLosses++;
          break;
        case 'fir':
          received.fullIntraRequests++;
          break;
        case 'nack':
          received.nacks++;
          break;
        case 'app':
        case 'other':
          break;
      }
      for (const handler of this.#handlers) handler.onRtcp?.(packet);
    }
  }

  #fault(reason: string): void {
    if (this.received.faults.length < MAX_FAULTS) this.received.faults.push(reason);
  }
}
