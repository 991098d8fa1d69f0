// SIGKILL and SIGTERM: what is left behind, how soon it serves again, and whether everybody hears goodbye.

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { RtmpSink, SipPeer } from '@sipcast/testkit';
import { quantile, timed } from './figure.ts';
import type { Figure, FaultRun, Measurement } from './figure.ts';
import { pause, until } from './pace.ts';
import { isAlive } from './server-process.ts';
import type { ServerProcess } from './server-process.ts';

/** What has not ended by then does not end by itself. */
const LEFT_AFTER_MS = 30_000;

export const kills: Figure = { name: 'kills', title: 'SIGKILL', measure: measureKills };
export const draining: Figure = { name: 'draining', title: 'SIGTERM', measure: measureDraining };

async function measureKills(run: FaultRun): Promise<readonly Measurement[]> {
  const { workshop, quick, rtpPorts } = run;
  const count = quick ? 3 : 50;
  const phone = await SipPeer.open();
  const sink = await RtmpSink.open({ keepTags: false });
  workshop.later(() => phone.close());
  workshop.later(() => sink.close());
  const [httpPort, sipPort] = await freePorts();
  const leftAfterMs: number[] = [];
  const readyMs: number[] = [];
  let served = 0;
  let encoders = 0;
  let left = 0;
  for (let kill = 0; kill <= count; kill++) {
    // The same ports each time: nothing of the one before may hold them.
    const server = await workshop.startServer({
      httpPort,
      config: {
        gateway: { maxLoopLagMs: 0, bindAddress: '127.0.0.1', sipPort, rtpPorts },
      },
    });
    await until(
      async () => (await server.ask('/ready').catch(() => undefined))?.status === 200,
      10_000,
      5,
    );
    if (kill > 0) readyMs.push(performance.now() - server.spawnedMs);
    const callId = `call-${kill}`;
    const target = { rtmpUrl: sink.url, rtmpStream: callId, audio: 'aac', video: 'reencode' };
    await server.query('/call/startup', { callId, callee: phone.uri, ...target });
    const isPublished = await server.reached(callId, 'RTMP_STREAM_ACTIVE').then(
      () => true,
      () => false,
    );
    // The first call behind a kill.
    if (isPublished && kill > 0) served++;
    await until(() => server.descendants().length >= 2);
    const children = server.descendants();
    encoders += children.length;
    server.signal('SIGKILL');
    const killedMs = performance.now();
    await server.exited;
    await until(() => !children.some(isAlive), LEFT_AFTER_MS, 5);
    leftAfterMs.push(performance.now() - killedMs);
    left += children.filter(isAlive).length;
    await workshop.forget(server);
  }
  return [
    {
      what: `${count + 1} × SIGKILL in a call with two encoders`,
      bound: 'no ffmpeg is left',
      found: `${left} of ${encoders} left`,
      holds: left === 0 && encoders >= 2 * (count + 1),
    },
    timed(run, {
      what: 'from SIGKILL to the end of the last encoder',
      bound: '≤ 2 s',
      found: `p50 ${quantile(leftAfterMs, 0.5).toFixed(0)} ms, at most ${Math.max(...leftAfterMs).toFixed(0)} ms`,
      holds: Math.max(...leftAfterMs) <= 2000,
    }),
    {
      what: `${count} starts on the same ports at once behind it`,
      bound: 'the first call is published',
      found: `${served} of ${count}`,
      holds: served === count,
    },
    timed(run, {
      what: 'from the start of the process to `/ready`',
      bound: '≤ 2 s',
      found: `p50 ${quantile(readyMs, 0.5).toFixed(0)} ms, at most ${Math.max(...readyMs).toFixed(0)} ms`,
      holds: Math.max(...readyMs) <= 2000,
    }),
  ];
}

async function measureDraining(run: FaultRun): Promise<readonly Measurement[]> {
  const { workshop, rtpPorts } = run;
  const count = 20;
  const deadlineMs = run.quick ? 1000 : 5000;
  const phone = await SipPeer.open();
  const sink = await RtmpSink.open({ keepTags: false });
  workshop.later(() => phone.close());
  workshop.later(() => sink.close());
  const server = await workshop.startServer({
    config: {
      drainMs: deadlineMs,
      gateway: {
        maxLoopLagMs: 0,
        bindAddress: '127.0.0.1',
        transcoding: { enabled: false },
        rtpPorts,
        incoming: { rules: [{ accept: {} }] },
      },
    },
  });
  const names = Array.from({ length: count }, (_, n) => `call-${n}`);
  for (const callId of names) {
    const target = { rtmpUrl: sink.url, rtmpStream: callId };
    await server.query('/call/startup', { callId, callee: phone.uri, ...target });
  }
  for (const callId of names) await server.reached(callId, 'RTMP_STREAM_ACTIVE');
  server.signal('SIGTERM');
  const signalledMs = performance.now();
  await server.line(/SIGTERM: 20 calls may finish/);
  const ready = await server.ask('/ready');
  const { status, headers } = await server.query('/call/startup', { callee: phone.uri });
  const invite = await answerToInvite(server);
  const code = await server.exited;
  const tookMs = performance.now() - signalledMs;
  const byes = (await Promise.all(phone.calls.map((call) => call.ended))).filter(
    ({ how }) => how === 'bye',
  ).length;
  const deletes = sink.publications.filter(({ commands }) =>
    commands.includes('deleteStream'),
  ).length;
  return [
    {
      what: `SIGTERM with ${count} calls that are published, and a deadline of ${deadlineMs / 1000} s`,
      bound: `${count} BYE, ${count} deleteStream, exit code 0`,
      found: `${byes} BYE, ${deletes} deleteStream, exit code ${code}`,
      holds: byes === count && deletes === count && code === 0,
    },
    {
      what: '`/ready`, a new call by the API, a new call by SIP meanwhile',
      bound: '503 each, the calls with Retry-After',
      found: `${ready.status}; ${status}, Retry-After ${headers['retry-after']}; ${invite.replace('\r\n', ', ')}`,
      holds:
        ready.status === 503 &&
        status === 503 &&
        headers['retry-after'] !== undefined &&
        /^SIP\/2\.0 503 .*\r\nretry-after: \d+/i.test(invite),
    },
    timed(run, {
      what: 'from the signal to the end of the process',
      bound: `≤ ${deadlineMs / 1000 + 2} s`,
      found: `${(tookMs / 1000).toFixed(2)} s`,
      holds: tookMs <= deadlineMs + 2000,
    }),
  ];
}

/** The final answer to a call of ours: its first line, and its Retry-After. */
async function answerToInvite(server: ServerProcess): Promise<string> {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  const body =
    'v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 8\r\n';
  const request = [
    `INVITE sip:x@127.0.0.1:${server.sipPort} SIP/2.0`,
    `Via: SIP/2.0/UDP 127.0.0.1:${port};branch=z9hG4bKlate`,
    'Max-Forwards: 70',
    'From: <sip:late@127.0.0.1>;tag=1',
    `To: <sip:x@127.0.0.1:${server.sipPort}>`,
    'Call-ID: late',
    'CSeq: 1 INVITE',
    `Contact: <sip:late@127.0.0.1:${port}>`,
    'Content-Type: application/sdp',
    `Content-Length: ${body.length}`,
    '',
    body,
  ].join('\r\n');
  try {
    const final = new Promise<string>((resolve) => {
      socket.on('message', (octets) => {
        const [start = '', ...lines] = octets.toString().split('\r\n');
        if (start.startsWith('SIP/2.0 1')) return;
        resolve([start, ...lines.filter((line) => /^retry-after:/i.test(line))].join('\r\n'));
      });
    });
    socket.send(request, server.sipPort, '127.0.0.1');
    return await Promise.race([final, pause(5000).then(() => 'no answer')]);
  } finally {
    socket.close();
  }
}

/** A port for HTTP and one for SIP that are free now. */
async function freePorts(): Promise<readonly [number, number]> {
  const first = createSocket('udp4');
  const second = createSocket('udp4');
  for (const socket of [first, second]) {
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
  }
  const ports = [first.address().port, second.address().port] as const;
  first.close();
  second.close();
  return ports;
}
