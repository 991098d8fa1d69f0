// `tsx bench/sip.ts`: INVITEs parsed per second of one core beside the npm package `sip`, and calls set up and torn down per
// second against sipp on the loopback, with what they cost in processor time.

import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
// @ts-expect-error -- it has no types
import sip from 'sip';
import { formatMessage, parseDatagram, SipUserAgent } from '@sipcast/sip';

const USAGE = 'tsx bench/sip.ts [--rounds n] [--calls n] [--rate n]';
const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '9' },
    calls: { type: 'string', default: '3000' },
    rate: { type: 'string', default: '400' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  console.log(USAGE);
  process.exit();
}

const SDP = [
  'v=0',
  'o=alice 2890844526 2890844526 IN IP4 192.0.2.1',
  's=-',
  'c=IN IP4 192.0.2.1',
  't=0 0',
  'm=audio 49172 RTP/AVP 8 101',
  'a=rtpmap:8 PCMA/8000',
  'a=rtpmap:101 telephone-event/8000',
  'm=video 49174 RTP/AVP 112',
  'a=rtpmap:112 H264/90000',
  'a=fmtp:112 packetization-mode=1;profile-level-id=42e01f',
  '',
].join('\r\n');
const INVITE = Buffer.from(
  [
    'INVITE sip:bob@biloxi.example.com SIP/2.0',
    'Via: SIP/2.0/UDP pc33.atlanta.example.com:5060;branch=z9hG4bKnashds8;rport',
    'Via: SIP/2.0/UDP proxy.atlanta.example.com;branch=z9hG4bK77ef4c;received=192.0.2.7',
    'Max-Forwards: 70',
    'Record-Route: <sip:proxy.atlanta.example.com;lr>',
    'To: "Bob" <sip:bob@biloxi.example.com>',
    'From: "Alice" <sip:alice@atlanta.example.com>;tag=1928301774',
    'Call-ID: a84b4c76e66710@pc33.atlanta.example.com',
    'CSeq: 314159 INVITE',
    'Contact: <sip:alice@pc33.atlanta.example.com:5060>',
    'Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK',
    'Supported: 100rel, timer',
    'User-Agent: bench',
    'Content-Type: application/sdp',
    `Content-Length: ${SDP.length}`,
    '',
    SDP,
  ].join('\r\n'),
);

// --- parse

const other = sip as { parse(text: string): unknown };
const ROUND = 10_000;

/** Operations per second of processor time. */
function rate(step: () => unknown): number {
  const before = process.cpuUsage();
  for (let i = 0; i < ROUND; i++) step();
  const { user, system } = process.cpuUsage(before);
  return (ROUND / (user + system)) * 1e6;
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? 0;
}

const stages = {
  ours: () => parseDatagram(INVITE),
  // Both read datagrams: the other one takes their text, as its own transport makes it.
  other: () => other.parse(INVITE.toString('binary')),
} as const;
if (
  parseDatagram(INVITE).message === undefined ||
  other.parse(INVITE.toString('binary')) === undefined
)
  throw new Error('The INVITE does not parse');
for (const step of Object.values(stages)) for (let i = 0; i < 3; i++) rate(step);
const rates: Record<keyof typeof stages, number[]> = { ours: [], other: [] };
// In turns, so that what else the machine does falls on both.
for (let round = 0; round < Number(values.rounds); round++)
  for (const name of ['ours', 'other'] as const) rates[name].push(rate(stages[name]));
const [ours, theirs] = [median(rates.ours), median(rates.other)];
console.log(
  `INVITE with ${INVITE.length} octets, 15 headers, parsed per second of processor time:`,
);
console.log(`  @sipcast/sip  ${Math.round(ours).toLocaleString('en')}`);
console.log(`  sip 0.0.6     ${Math.round(theirs).toLocaleString('en')}`);
console.log(`  ratio         ${(ours / theirs).toFixed(2)}   (goal ≥ 1)`);
const { message } = parseDatagram(INVITE);
if (message !== undefined)
  console.log(
    `  formatted     ${Math.round(rate(() => formatMessage(message))).toLocaleString('en')}`,
  );

// --- calls

/** sipp's own caller: INVITE, 200, ACK, BYE. */
async function measureCalls(): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'bench-sip-'));
  let answered = 0;
  const userAgent = new SipUserAgent(
    { bindAddress: '127.0.0.1', maxTransactions: 1_000_000 },
    {
      onInvite: (invite) => {
        const session = invite.take({
          onProvisional: () => {},
          onAnswered: () => answered++,
          onReoffer: () => ({ statusCode: 488, reasonPhrase: 'Not Acceptable Here' }),
          onEnded: () => {},
        });
        session.answer(SDP);
        return 'taken';
      },
    },
  );
  await userAgent.open();
  const calls = Number(values.calls);
  writeFileSync(join(dir, 'uac.xml'), SCENARIO);
  const before = process.cpuUsage();
  const started = performance.now();
  try {
    await promisify(execFile)(
      'sipp',
      ['-sf', 'uac.xml', '-i', '127.0.0.1', '-m', String(calls), '-r', values.rate, '-nostdin']
        .concat('-trace_stat', '-stf', 'stat.csv', '-l', '10000', '-timeout', '120s')
        .concat(`127.0.0.1:${userAgent.localPort}`),
      { cwd: dir, maxBuffer: 64 * 1024 * 1024 },
    );
    const seconds = (performance.now() - started) / 1000;
    const { user, system } = process.cpuUsage(before);
    const perCallMs = (user + system) / 1000 / answered;
    const rows = readFileSync(join(dir, 'stat.csv'), 'utf8').trim().split('\n');
    const names = rows[0]?.split(';') ?? [];
    const last = rows.at(-1)?.split(';') ?? [];
    const stat = (name: string): number => Number(last[names.indexOf(name)]);
    console.log(`\n${calls} calls of sipp at ${values.rate}/s, set up and torn down over UDP:`);
    console.log(
      `  answered ${answered}, failed ${stat('FailedCall(C)')}, repeated ${stat('Retransmissions(C)')}, ${(answered / seconds).toFixed(0)}/s`,
    );
    console.log(
      `  ${perCallMs.toFixed(2)} ms of processor time a call: ${Math.round(1000 / perCallMs)} calls/s on one core   (goal ≥ 300)`,
    );
  } finally {
    await userAgent.close();
    rmSync(dir, { recursive: true, force: true });
  }
}

const HEAD = (method: string, sequence: number, to: string): string =>
  `${method} sip:studio@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:bench@[local_ip]>;tag=[pid]b[call_number]
To: <sip:studio@[remote_ip]>${to}
Call-ID: [call_id]
CSeq: ${sequence} ${method}
Contact: <sip:bench@[local_ip]:[local_port]>
Max-Forwards: 70`;
const SCENARIO = `<?xml version="1.0" encoding="UTF-8"?>
<scenario name="bench">
<send retrans="500"><![CDATA[
${HEAD('INVITE', 1, '')}
Content-Type: application/sdp
Content-Length: [len]

${SDP.replaceAll('\r', '')}]]></send>
<recv response="100" optional="true"/>
<recv response="200"/>
<send><![CDATA[
${HEAD('ACK', 1, '[peer_tag_param]')}
Content-Length: 0
]]></send>
<send retrans="500"><![CDATA[
${HEAD('BYE', 2, '[peer_tag_param]')}
Content-Length: 0
]]></send>
<recv response="200"/>
</scenario>
`;

await measureCalls();
