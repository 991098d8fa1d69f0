// sipp as the callee.

import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freeTcpPort } from './ports.ts';
import { start } from './programs.ts';
import type { Running } from './programs.ts';

/** How a phone says that it holds a call: RFC 3264 §8.4, and RFC 2543 §B.5 (`0.0.0.0`). */
type HoldForm = 'sendonly' | 'inactive' | '0.0.0.0';

/** How sipp behaves. */
export interface SippOptions {
  readonly transport: 'udp' | 'tcp';
  /** Challenge the INVITE for this account. */
  readonly digest?: { readonly username: string; readonly password: string };
  /** pcap file with H.264 RTP (payload type 112) that is played after the ACK. */
  readonly videoPcap?: string;
  /** Raw A-law file that is played after the ACK. */
  readonly audioFile?: string;
  /** pcap file with audio RTP that is played after the ACK, instead of the others: sipp plays one at a time. */
  readonly audioPcap?: string;
  /** Line of the audio's `rtpmap`. Default `8 PCMA/8000`. */
  readonly audioMap?: string;
  /** Refuses video. Default false. */
  readonly audioOnly?: boolean;
  /** Holds the call after so long for so long, by re-INVITE; then plays this. Not with `digest`. */
  readonly hold?: {
    readonly form: HoldForm;
    readonly afterMs: number;
    readonly forMs: number;
    readonly videoPcap: string;
  };
  /** sipp hangs up after this time. Default: waits for our BYE. */
  readonly hangUpAfterMs?: number;
}

/** A running sipp. */
export interface Sipp {
  readonly uri: string;
  readonly running: Running;
}

/** Starts sipp for one call; its files are in `dir`. It exits 0 when the call went as its scenario says. */
export async function startSipp(dir: string, options: SippOptions): Promise<Sipp> {
  const port = await freeTcpPort();
  if (options.videoPcap !== undefined) copyFileSync(options.videoPcap, join(dir, 'video.pcap'));
  if (options.audioPcap !== undefined) copyFileSync(options.audioPcap, join(dir, 'audio.pcap'));
  if (options.hold !== undefined) copyFileSync(options.hold.videoPcap, join(dir, 'video2.pcap'));
  if (options.audioFile !== undefined) copyFileSync(options.audioFile, join(dir, 'audio.alaw'));
  writeFileSync(join(dir, 'uas.xml'), scenario(options));
  const account = options.digest
    ? ['-au', options.digest.username, '-ap', options.digest.password]
    : [];
  const running = start(
    'sipp',
    ['-sf', 'uas.xml', '-i', '127.0.0.1', '-mi', '127.0.0.1', '-p', String(port), '-m', '1']
      .concat([
        '-t',
        options.transport === 'udp' ? 'u1' : 't1',
        '-mp',
        String(20_000 + (port % 10_000)),
      ])
      .concat(['-nostdin', '-aa', '-trace_err', '-timeout', '60s', '-timeout_error', ...account]),
    { cwd: dir },
  );
  // sipp says nothing when it is ready.
  await new Promise((resolve) => {
    setTimeout(resolve, 500);
  });
  if (running.child.exitCode !== null) throw new Error(`sipp did not start: ${running.output()}`);
  return { uri: `sip:bob@127.0.0.1:${port}`, running };
}

function scenario(options: SippOptions): string {
  const challenge = options.digest
    ? `
  <recv request="INVITE" crlf="true"/>
  <send retrans="500"><![CDATA[
SIP/2.0 401 Unauthorized
[last_Via:]
[last_From:]
[last_To:];tag=[pid]SIPpTag0[call_number]
[last_Call-ID:]
[last_CSeq:]
WWW-Authenticate: Digest realm="sipp.test", nonce="7a1b2c3d4e5f", qop="auth", algorithm=MD5
Content-Length: 0
]]></send>
  <recv request="ACK"/>
  <recv request="INVITE" crlf="true">
    <action><verifyauth assign_to="ok" username="${options.digest.username}" password="${options.digest.password}"/></action>
  </recv>
  <nop hide="true" next="1" test="ok"/>
  <send><![CDATA[
SIP/2.0 403 Forbidden
[last_Via:]
[last_From:]
[last_To:];tag=[pid]SIPpTag1[call_number]
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0
]]></send>
  <recv request="ACK"/>
  <label id="1"/>`
    : `<recv request="INVITE" crlf="true"><action>
    <ereg regexp="sip:[^>;]*" search_in="hdr" header="Contact:" assign_to="contact"/>
    <ereg regexp="&lt;.*" search_in="hdr" header="From:" assign_to="from"/>
    <ereg regexp="&lt;.*" search_in="hdr" header="To:" assign_to="to"/>
  </action></recv>
  <Reference variables="contact,from,to"/>`;
  const play = [
    options.videoPcap === undefined
      ? ''
      : '<nop><action><exec play_pcap_video="video.pcap"/></action></nop>',
    options.audioPcap === undefined
      ? ''
      : '<nop><action><exec play_pcap_audio="audio.pcap"/></action></nop>',
    options.audioFile === undefined
      ? ''
      : '<nop><action><exec rtp_stream="audio.alaw,1,8,PCMA/8000"/></action></nop>',
    options.hold === undefined ? '' : holdAndResume(options, options.hold),
  ].join('\n  ');
  const end =
    options.hangUpAfterMs === undefined
      ? `
  <recv request="BYE"/>
  <send><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0
]]></send>`
      : `
  <pause milliseconds="${options.hangUpAfterMs}"/>
  <send retrans="500"><![CDATA[
BYE [$contact] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: [$to];tag=[pid]SIPpTag2[call_number]
To: [$from]
Call-ID: [call_id]
CSeq: 2 BYE
Max-Forwards: 70
Content-Length: 0
]]></send>
  <recv response="200"/>`;
  return `<?xml version="1.0" encoding="UTF-8"?>
<scenario name="callee">
  ${challenge}
  <nop hide="true"/>
  <send><![CDATA[
SIP/2.0 180 Ringing
[last_Via:]
[last_From:]
[last_To:];tag=[pid]SIPpTag2[call_number]
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:[local_ip]:[local_port];transport=[transport]>
Content-Length: 0
]]></send>
  <send retrans="500"><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:];tag=[pid]SIPpTag2[call_number]
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:[local_ip]:[local_port];transport=[transport]>
Content-Type: application/sdp
Content-Length: [len]

${sdp(options, 1)}]]></send>
  <recv request="ACK"/>
  ${play}
  ${end}
</scenario>
`;
}

function sdp(options: SippOptions, version: number, hold?: HoldForm): string {
  const audioMap = options.audioMap ?? '8 PCMA/8000';
  const payloadType = audioMap.split(' ')[0]!;
  const audioPort = options.audioFile === undefined ? '[media_port]' : '[rtpstream_audio_port]';
  const direction = hold === undefined || hold === '0.0.0.0' ? '' : `a=${hold}\n`;
  return `v=0
o=sipp 1 ${version} IN IP4 [local_ip]
s=-
c=IN IP4 ${hold === '0.0.0.0' ? hold : '[media_ip]'}
t=0 0
m=audio ${audioPort} RTP/AVP ${payloadType}
a=rtpmap:${audioMap}
${direction}m=video ${options.audioOnly === true ? '0' : '[media_port+2]'} RTP/AVP 112
a=rtpmap:112 H264/90000
a=fmtp:112 packetization-mode=1;profile-level-id=42c01e
${direction}`;
}

function holdAndResume(
  options: SippOptions,
  { form, afterMs, forMs }: NonNullable<SippOptions['hold']>,
): string {
  const head = (method: string, sequence: number): string => `${method} [$contact] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: [$to];tag=[pid]SIPpTag2[call_number]
To: [$from]
Call-ID: [call_id]
CSeq: ${sequence} ${method}
Max-Forwards: 70`;
  const reinvite = (sequence: number, hold?: HoldForm): string => `
  <send retrans="500"><![CDATA[
${head('INVITE', sequence)}
Contact: <sip:[local_ip]:[local_port];transport=[transport]>
Content-Type: application/sdp
Content-Length: [len]

${sdp(options, sequence, hold)}]]></send>
  <recv response="100" optional="true"/>
  <recv response="200"/>
  <send><![CDATA[
${head('ACK', sequence)}
Content-Length: 0
]]></send>`;
  return `
  <pause milliseconds="${afterMs}"/>
  <nop><action><exec rtp_stream="pause"/></action></nop>
  ${reinvite(2, form)}
  <pause milliseconds="${forMs}"/>
  ${reinvite(3)}
  <nop><action><exec play_pcap_video="video2.pcap"/></action></nop>
  <nop><action><exec rtp_stream="resume"/></action></nop>`;
}
