// RTP bleed and injection on real sockets: who may send to a media port, and where media goes. The attacker has an
// address of its own (127.0.0.66); the phone and its signalling are at 127.0.0.1.

import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { PortPool, Ticker } from '@sipcast/media';
import {
  decodeRtp,
  encodeRtcp,
  encodeRtp,
  openRtpSession,
  ReceptionLine,
} from '@sipcast/media/wire';
import type {
  RtpRemote,
  RtpSession,
  RtpSessionHandler,
  RtpSessionOptions,
} from '@sipcast/media/wire';
import { describe, expect, it } from 'vitest';
import { afterTest } from '../../support/cleanup.ts';
import { freeUdpPort } from '../../support/ports.ts';

async function openSocket(address = '127.0.0.1') {
  const socket: Socket = createSocket('udp4');
  const received: Buffer[] = [];
  socket.on('message', (datagram) => received.push(datagram));
  await new Promise<void>((resolve) => {
    socket.bind(0, address, () => resolve());
  });
  afterTest(() => new Promise<void>((resolve) => socket.close(() => resolve())));
  return { socket, port: socket.address().port, received };
}

const ports = new PortPool({ min: 34_000, max: 34_999, coolDownMs: 0 });
const ticker = new Ticker();
const PHONE_SSRC = 77;

async function openSession(
  options: Partial<RtpSessionOptions> = {},
  handler: Partial<RtpSessionHandler> = {},
): Promise<{ session: RtpSession; payloads: Buffer[] }> {
  const payloads: Buffer[] = [];
  const session = await openRtpSession(
    { kind: 'audio', ports, ticker, ssrc: 5, cname: 'c', bindAddress: '127.0.0.1', ...options },
    { onPacket: ({ payload }) => payloads.push(Buffer.from(payload)), ...handler },
  );
  afterTest(() => session.close());
  return { session, payloads };
}

const PAYLOAD_TYPES: RtpRemote['payloadTypes'] = new Map([
  [8, { codec: 'pcma', clockRateHz: 8000 }],
]);
const rtp = (sequenceNumber: number, fill: number, ssrc = PHONE_SSRC): Buffer =>
  encodeRtp({
    payloadType: 8,
    marker: false,
    sequenceNumber: sequenceNumber & 0xffff,
    rtpTimestamp: (sequenceNumber * 160) >>> 0,
    ssrc,
    payload: new Uint8Array(160).fill(fill),
  });
const PHONE = 0x11;
const ATTACKER = 0x66;

/** A phone: silent for `afterMs`, then 50 packets a second. */
function startPhone(socket: Socket, port: number, afterMs: number) {
  let sequenceNumber = 1000;
  let timer: NodeJS.Timeout;
  const beat = (): void => {
    socket.send(rtp(sequenceNumber++, PHONE), port, '127.0.0.1');
    timer = setTimeout(beat, 20);
  };
  timer = setTimeout(beat, afterMs);
  return { stop: () => clearTimeout(timer), sequenceNumber: () => sequenceNumber };
}

/** Rows of the matrix: where the phone sends from, and what the session knows. */
const MODES = [
  {
    name: 'SDP right, strict',
    nat: false,
    latchAfterMs: Number.POSITIVE_INFINITY,
    signalling: true,
  },
  { name: 'SDP right', nat: false, latchAfterMs: 200, signalling: false },
  { name: 'NAT, signalling address known', nat: true, latchAfterMs: 200, signalling: true },
  { name: 'NAT, nothing known', nat: true, latchAfterMs: 200, signalling: false },
] as const;
const ATTEMPTS = 1000;

describe('RTP bleed', () => {
  it.each(MODES)('$name: 1000 attempts before, during and after the phone begins', async (mode) => {
    const sdp = await openSocket();
    const natted = await openSocket();
    const attacker = await openSocket('127.0.0.66');
    const spoofers = await Promise.all(Array.from({ length: 8 }, () => openSocket('127.0.0.66')));
    const byes: number[] = [];
    const { session, payloads } = await openSession(
      { latchAfterMs: mode.latchAfterMs },
      { onBye: () => byes.push(1) },
    );
    session.start({
      address: '127.0.0.1',
      port: sdp.port,
      payloadTypes: PAYLOAD_TYPES,
      send: { codec: 'pcma', payloadType: 8 },
      ...(mode.signalling ? { signallingAddress: '127.0.0.1' } : {}),
    });
    const { localPort } = session;
    let sent = 0;
    /** Right and wrong SSRC and sequence, one source and many, RTP and RTCP on both ports; as fast as it goes. */
    const spray = async (count: number, next: () => number): Promise<void> => {
      for (let index = 0; index < count; index++) {
        sent++;
        const { socket } = index % 4 === 3 ? spoofers[index % spoofers.length]! : attacker;
        const forged = encodeRtcp([
          {
            type: 'sr',
            ssrc: PHONE_SSRC,
            ntpSeconds: 1,
            ntpFraction: 0,
            rtpTimestamp: 0,
            packetCount: 0,
            octetCount: 0,
            reports: [],
          },
          { type: 'bye', ssrcs: [PHONE_SSRC] },
        ]);
        const kind = index % 5;
        if (kind === 0) socket.send(rtp(next() + index, ATTACKER), localPort, '127.0.0.1');
        else if (kind === 1) socket.send(rtp(index, ATTACKER), localPort, '127.0.0.1');
        else if (kind === 2) socket.send(rtp(index, ATTACKER, index), localPort, '127.0.0.1');
        else socket.send(forged, localPort + (kind === 3 ? 0 : 1), '127.0.0.1');
        if (index % 25 === 24) await sleep(1);
      }
    };
    const source = mode.nat ? natted : sdp;
    // The phone begins a little after the time at which another source may be taken.
    const phone = startPhone(source.socket, localPort, 250);
    await spray(334, phone.sequenceNumber);
    await sleep(220);
    await spray(333, phone.sequenceNumber);
    await sleep(200);
    await spray(333, phone.sequenceNumber);
    await sleep(200);
    phone.stop();
    await sleep(50);
    const accepted = payloads.filter((payload) => payload[0] === ATTACKER).length;
    const leaked = [attacker, ...spoofers].reduce((sum, { received }) => sum + received.length, 0);
    const heard = payloads.length - accepted;
    console.log(
      `RTP bleed, ${mode.name}: ${sent} attempts, ${accepted} accepted, ${leaked} leaked, ${byes.length} forged BYEs, ${heard} packets of the phone`,
    );
    expect(sent).toBe(ATTEMPTS);
    expect(heard).toBeGreaterThan(15);
    expect(session.source).toEqual({ address: '127.0.0.1', port: source.port });
    expect(byes).toEqual([]);
    if (mode.nat) {
      expect(accepted).toBeLessThan(5);
      expect(leaked).toBeLessThan(5);
    } else expect([accepted, leaked]).toEqual([0, 0]);
    expect(source.received.some((datagram) => typeof decodeRtp(datagram, 0) === 'object')).toBe(
      true,
    );
  });

  it('keeps a patient attacker out for four times as long where the signalling address is known', async () => {
    const sdp = await openSocket();
    const natted = await openSocket();
    const attacker = await openSocket('127.0.0.66');
    const { session, payloads } = await openSession({ latchAfterMs: 100 });
    session.start({
      address: '127.0.0.1',
      port: sdp.port,
      payloadTypes: PAYLOAD_TYPES,
      signallingAddress: '127.0.0.1',
    });
    const patient = startPhone(attacker.socket, session.localPort, 0);
    await sleep(250);
    const phone = startPhone(natted.socket, session.localPort, 0);
    await sleep(400);
    patient.stop();
    phone.stop();
    expect(session.source?.port).toBe(natted.port);
    expect(payloads.length).toBeGreaterThan(5);
  });
});

/** Sends as many packets a second as it is told, in a thread of its own; says how many. */
const FLOODER = `
const { parentPort, workerData } = require('node:worker_threads');
const socket = require('node:dgram').createSocket('udp4');
socket.bind(workerData.from, workerData.address, () => {
  const datagram = Buffer.from(workerData.datagram);
  const startMs = performance.now();
  let sent = 0;
  const beat = setInterval(() => {
    const elapsedMs = performance.now() - startMs;
    for (; sent < (elapsedMs * workerData.perSecond) / 1000; sent++) {
      socket.send(datagram, workerData.port, '127.0.0.1');
    }
    if (elapsedMs < workerData.forMs) return;
    clearInterval(beat);
    socket.close(() => parentPort.postMessage(sent));
  }, 2);
});`;

describe('a flood', () => {
  it.each(['a stranger', 'the peer itself'])('by %s costs other calls nothing', async (who) => {
    const victim = await openSession();
    const other = await openSession();
    const phone = await openSocket();
    const isPeer = who === 'the peer itself';
    const [address, port] = isPeer ? ['127.0.0.1', await freeUdpPort()] : ['127.0.0.66', 0];
    victim.session.start({
      address: '127.0.0.1',
      port: isPeer ? port : 9,
      payloadTypes: PAYLOAD_TYPES,
    });
    other.session.start({ address: '127.0.0.1', port: phone.port, payloadTypes: PAYLOAD_TYPES });
    const playing = startPhone(phone.socket, other.session.localPort, 0);
    await sleep(100);
    const lag = monitorEventLoopDelay({ resolution: 5 });
    lag.enable();
    const flooder = new Worker(FLOODER, {
      eval: true,
      workerData: {
        address,
        from: port,
        port: victim.session.localPort,
        datagram: rtp(1, ATTACKER),
        perSecond: 50_000,
        forMs: 2000,
      },
    });
    const sent = await new Promise<number>((resolve, reject) => {
      flooder.once('message', resolve);
      flooder.once('error', reject);
    });
    lag.disable();
    playing.stop();
    await sleep(100);
    await flooder.terminate();
    const p99Ms = lag.percentile(99) / 1e6;
    const { foreign, faults } = victim.session.stats;
    console.log(
      `flood by ${who}: ${sent} packets in 2 s (${foreign} foreign, ${JSON.stringify(faults)}), loop lag p99 ${p99Ms.toFixed(1)} ms, ` +
        `other call ${other.session.stats.packets} packets, ${other.session.stats.lost} lost`,
    );
    expect(sent).toBeGreaterThan(20_000);
    expect(victim.payloads.length).toBeLessThan(5 * 2200 + 2000);
    expect(other.session.stats.packets).toBeGreaterThan(90);
    expect(other.session.stats.lost).toBe(0);
    expect(p99Ms).toBeLessThan(50);
  });
});

describe('injection', () => {
  it('is not led astray by single packets that spoof the address of the peer', async () => {
    const phone = await openSocket();
    const delivered: (number | undefined)[] = [];
    const line = new ReceptionLine(({ payload }) => delivered.push(payload[0]));
    let arrived = 0;
    const { session } = await openSession(
      {},
      {
        onPacket: (packet) => {
          arrived++;
          line.push(packet);
        },
      },
    );
    session.start({ address: '127.0.0.1', port: phone.port, payloadTypes: PAYLOAD_TYPES });
    for (let index = 0; index < 200; index++) {
      phone.socket.send(rtp(index, PHONE), session.localPort, '127.0.0.1');
      // From the very address, but another SSRC, or far out of the sequence.
      phone.socket.send(
        rtp(index * 137 + 9000, ATTACKER, index % 2 === 0 ? 999 : PHONE_SSRC),
        session.localPort,
        '127.0.0.1',
      );
      if (index % 20 === 19) await sleep(2);
    }
    await sleep(50);
    expect(arrived).toBe(400);
    expect(delivered).toEqual(Array<number>(200).fill(PHONE));
    expect(line.stats.strays).toBeGreaterThan(190);
    expect(session.stats).toMatchObject({ lost: 0, foreign: 0 });
  });

  it('ignores short RTCP and RTCP of others, and no RTCP ends anything', async () => {
    const phone = await openSocket();
    const rtcp = await openSocket();
    const other = await openSocket('127.0.0.66');
    let byes = 0;
    const { session, payloads } = await openSession({}, { onBye: () => void byes++ });
    session.start({
      address: '127.0.0.1',
      port: phone.port,
      rtcpPort: rtcp.port,
      payloadTypes: PAYLOAD_TYPES,
    });
    phone.socket.send(rtp(1, PHONE), session.localPort, '127.0.0.1');
    for (const bytes of [[], [0x80], [0x80, 200, 0], [0x80, 200, 0, 0], [0x81, 203, 0, 0]]) {
      rtcp.socket.send(Buffer.from(bytes), session.localPort + 1, '127.0.0.1');
    }
    const bye = encodeRtcp([
      { type: 'rr', ssrc: PHONE_SSRC, reports: [] },
      { type: 'bye', ssrcs: [PHONE_SSRC] },
    ]);
    other.socket.send(bye, session.localPort + 1, '127.0.0.1');
    await sleep(50);
    expect(session.stats).toMatchObject({
      foreign: 1,
      rtcpPackets: 0,
      lastRtcpMs: null,
      faults: { 'rtcp-short': 3, 'rtcp-truncated': 2 },
    });
    const beforeMs = performance.now();
    rtcp.socket.send(bye, session.localPort + 1, '127.0.0.1');
    phone.socket.send(rtp(2, PHONE), session.localPort, '127.0.0.1');
    await sleep(50);
    expect([byes, payloads.length]).toEqual([1, 2]);
    const { rtcpPackets, lastRtcpMs, lastRtpMs } = session.stats;
    expect(rtcpPackets).toBe(1);
    expect(lastRtcpMs).toBeGreaterThanOrEqual(beforeMs);
    expect(lastRtpMs).toBeGreaterThanOrEqual(beforeMs);
  });

  it('takes nothing of the last call on a port that is used again', async () => {
    const pair = new PortPool({ min: 33_000, max: 33_001, coolDownMs: 0 });
    const before = await openSocket('127.0.0.3');
    const first = await openSession({ ports: pair });
    first.session.start({ address: '127.0.0.3', port: before.port, payloadTypes: PAYLOAD_TYPES });
    const late = startPhone(before.socket, first.session.localPort, 0);
    await sleep(100);
    expect(first.payloads.length).toBeGreaterThan(0);
    await first.session.close();
    const phone = await openSocket();
    const natted = await openSocket();
    const second = await openSession({ ports: pair, latchAfterMs: 100 });
    await sleep(60);
    second.session.start({
      address: '127.0.0.1',
      port: phone.port,
      payloadTypes: PAYLOAD_TYPES,
      signallingAddress: '127.0.0.1',
    });
    await sleep(200);
    for (let index = 0; index < 10; index++) {
      natted.socket.send(rtp(index, 0x22, 9), second.session.localPort, '127.0.0.1');
      await sleep(20);
    }
    late.stop();
    expect(second.payloads.filter((payload) => payload[0] !== 0x22)).toEqual([]);
    expect(second.payloads.length).toBeGreaterThan(5);
    expect(second.session.stats.foreign).toBeGreaterThan(10);
  });
});
