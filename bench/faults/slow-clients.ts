// Many connections that hardly say anything, and many requests at once: who asks properly is still answered.

import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { Child } from '../child.ts';
import { quantile, timed } from './figure.ts';
import type { Figure, FaultRun, Measurement } from './figure.ts';
import type { FlooderMethods } from './flooder.ts';
import { pause, until } from './pace.ts';
import type { ServerProcess } from './server-process.ts';

/** Where the attacker comes from; `ask` comes from 127.0.0.1. */
const ATTACKER = '127.0.0.2';
/** As long as the server waits for a request, and some for a busy machine. */
const CLOSED_WITHIN_MS = 15_000;

export const slowClients: Figure = {
  name: 'slowloris',
  title: 'Slow and many HTTP clients',
  measure,
};

async function measure(run: FaultRun): Promise<readonly Measurement[]> {
  const { workshop, rtpPorts, quick } = run;
  const server = await workshop.startServer({
    config: {
      profile: 'production',
      https: { enabled: false },
      gateway: { maxLoopLagMs: 0, transcoding: { enabled: false }, rtpPorts },
    },
  });
  const found: Measurement[] = [];
  const ways = quick ? (['headers and bodies'] as const) : (['headers', 'bodies'] as const);
  for (const how of ways) found.push(...(await trickle(run, server, how)));
  found.push(await flood(run, server), await floodAhead(run, server));
  return found;
}

/** How a slow request begins, and what is sent of it each second. */
const HEADERS = [
  'GET /rest-api/call/find_all HTTP/1.1\r\nHost: 127.0.0.1\r\n',
  'X-a: b\r\n',
] as const;
const BODY = [
  'POST /rest-api/call/startup HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n',
  ' ',
] as const;

async function trickle(
  run: FaultRun,
  server: ServerProcess,
  how: 'headers' | 'bodies' | 'headers and bodies',
): Promise<readonly Measurement[]> {
  const count = 400;
  // Without an account nothing would be waited for: 401 at once.
  const { authorization = '' } = server.credentials;
  const startMs = performance.now();
  const closedAfterMs: number[] = [];
  const sockets: Socket[] = [];
  const mores = new Map<Socket, string>();
  for (let n = 0; n < count; n++) {
    const isBody = how === 'bodies' || (how === 'headers and bodies' && n % 2 === 0);
    const [beginning, more] = isBody ? BODY : HEADERS;
    const socket = connect({ port: server.port, host: '127.0.0.1', localAddress: ATTACKER });
    const beganMs = performance.now();
    socket.on('error', () => {});
    socket.on('close', () => closedAfterMs.push(performance.now() - beganMs));
    const end = isBody ? `Authorization: ${authorization}\r\n\r\n{` : '';
    socket.on('connect', () => socket.write(beginning + end));
    socket.resume();
    sockets.push(socket);
    mores.set(socket, more);
  }
  const timer = setInterval(() => {
    for (const [socket, more] of mores) if (socket.writable) socket.write(more);
  }, 1000);
  const answers: number[] = [];
  let refused = 0;
  await until(
    async () => {
      const askedMs = performance.now();
      const answer = await server.ask('/health').catch(() => undefined);
      if (answer?.status === 200) answers.push(performance.now() - askedMs);
      else refused++;
      return closedAfterMs.length === count;
    },
    CLOSED_WITHIN_MS + 5000,
    50,
  );
  clearInterval(timer);
  const inTime = closedAfterMs.filter((ms) => ms <= CLOSED_WITHIN_MS + 1500).length;
  for (const socket of sockets) socket.destroy();
  await until(() => closedAfterMs.length === count);
  const p99 = quantile(answers, 0.99);
  const tookS = ((performance.now() - startMs) / 1000).toFixed(1);
  return [
    {
      what: `${count} connections of one address with ${how} that never end; meanwhile ${answers.length + refused} requests of another`,
      bound: '0 refused; ≥ 95 % of the slow closed within 15 s',
      found: `${refused} refused; ${((inTime / count) * 100).toFixed(0)} % closed in time, all after ${tookS} s`,
      holds: refused === 0 && inTime >= count * 0.95,
    },
    timed(run, {
      what: `the answers meanwhile (${how})`,
      bound: 'p99 < 200 ms',
      found: `p50 ${quantile(answers, 0.5).toFixed(1)} ms, p99 ${p99.toFixed(1)} ms`,
      holds: p99 < 200,
    }),
  ];
}

async function flood(run: FaultRun, server: ServerProcess): Promise<Measurement> {
  const count = run.quick ? 1500 : 20_000;
  const flooder = new Child<FlooderMethods>('faults/flooder.ts');
  run.workshop.later(() => flooder.stop());
  const others = askElsewhere(server);
  const beganMs = performance.now();
  const statuses = await flooder.ask('http', {
    port: server.port,
    from: ATTACKER,
    path: '/rest-api/call/startup',
    body: JSON.stringify({ callee: 'sip:x@127.0.0.1:5060' }),
    headers: server.credentials,
    count,
    width: 50,
  });
  const { asked, answers } = await others();
  const seconds = (performance.now() - beganMs) / 1000;
  const taken = statuses[200] ?? 0;
  // 10 a second, and twice as many at once.
  const most = 20 + Math.ceil(seconds * 10) + 1;
  const p99 = quantile(answers, 0.99);
  const refused = statuses[429] ?? 0;
  return {
    what: `${count} \`/call/startup\` of one address, 50 at a time, ${(count / seconds).toFixed(0)} a second`,
    bound: '10 a second taken, all others 429; who asks from elsewhere is answered each time',
    found: `${taken} taken of at most ${most}, ${refused} × 429; ${answers.length} of ${asked} answered elsewhere, p99 ${p99.toFixed(0)} ms`,
    holds: taken <= most && taken + refused === count && asked > 0 && answers.length === asked,
  };
}

async function floodAhead(run: FaultRun, server: ServerProcess): Promise<Measurement> {
  const [connections, seconds] = [64, run.quick ? 3 : 10];
  const flooder = new Child<FlooderMethods>('faults/flooder.ts');
  run.workshop.later(() => flooder.stop());
  const others = askElsewhere(server);
  const statuses = await flooder.ask('ahead', {
    port: server.port,
    from: ATTACKER,
    path: '/health',
    connections,
    forMs: seconds * 1000,
  });
  const { asked, answers } = await others();
  const taken = statuses[200] ?? 0;
  // 50 a second, and twice as many at once.
  const most = 100 + seconds * 50 + 50;
  const p99 = quantile(answers, 0.99);
  return {
    what: `\`/health\` of one address for ${seconds} s, sent ahead 32 at a time on ${connections} connections that are opened anew when closed`,
    bound:
      '50 a second answered, all others 429 and closed; who asks from elsewhere is answered each time',
    found: `${taken} answered of at most ${most}, ${statuses[429] ?? 0} × 429; ${answers.length} of ${asked} answered elsewhere, p99 ${p99.toFixed(0)} ms`,
    holds: taken > 0 && taken <= most && asked > 0 && answers.length === asked,
  };
}

/** Somebody else who asks every 50 ms. @returns ends that, and says how often, and how long the answers took in milliseconds */
function askElsewhere(
  server: ServerProcess,
): () => Promise<{ readonly asked: number; readonly answers: readonly number[] }> {
  const answers: number[] = [];
  let asked = 0;
  const over = new AbortController();
  const asking = (async () => {
    while (!over.signal.aborted) {
      const askedMs = performance.now();
      asked++;
      const answer = await server.query('/call/find_all').catch(() => undefined);
      if (answer?.status === 404) answers.push(performance.now() - askedMs);
      await pause(50);
    }
  })();
  return async () => {
    over.abort();
    await asking;
    return { asked, answers };
  };
}
