// The part of the configuration that becomes the options of the gateway; names are those of `CallGatewayOptions`.

import type { CallGatewayOptions } from '@sipcast/core';
import { z } from 'zod';
import { count, flag, port, section, text, texts, time, word } from './fields.ts';

const AUDIO = ['pcma', 'pcmu', 'g722', 'opus', 'speex-nb', 'speex-wb'] as const;
const VIDEO = ['h264-mode1', 'h264-mode0', 'vp8'] as const;
const SUITES = [
  'AES_CM_128_HMAC_SHA1_80',
  'AES_CM_128_HMAC_SHA1_32',
  'AES_256_CM_HMAC_SHA1_80',
  'AES_256_CM_HMAC_SHA1_32',
] as const;
const PRESETS = ['ultrafast', 'superfast', 'veryfast', 'faster', 'fast', 'medium'] as const;

const audioForm = word(
  ['aac', 'passthrough'],
  'What RTMP servers get of the audio: AAC, or G.711 and wideband Speex as they come.',
  'aac, or passthrough without transcoding',
);
const videoForm = word(
  ['passthrough', 'reencode'],
  'H.264 goes out as it comes, or is encoded anew.',
  'passthrough',
);

const match = z.strictObject({
  calledUser: text('User part of the Request-URI; `*` stands for anything.'),
  calledDomain: text('Host of the Request-URI.'),
  callerUser: text('User part of From.'),
  callerDomain: text('Host of From.'),
  source: texts('Addresses or networks that the INVITE may come from, e.g. `10.0.0.0/8`.'),
  headers: z
    .record(z.string(), z.string())
    .meta({ description: 'Values of headers, by name.' })
    .optional(),
});

const accept = z.strictObject({
  toStream: text(
    'Name of the stream; `{called}`, `{caller}` and `{callId}` are replaced, here and in the next two.',
  ),
  rtmpUrl: text('RTMP server to publish to.'),
  rtmpStream: text('Name to publish under.'),
  hasAudio: flag('false: audio is only received.', 'true'),
  hasVideo: flag('false: video is only received.', 'true'),
  appKey: text('Application key.', 'defaultApp'),
  record: flag('Record the call.', 'false'),
  audio: audioForm,
  video: videoForm,
  custom: z
    .record(z.string(), z.unknown())
    .meta({ description: 'Any object, echoed in the call and its events.' })
    .optional(),
});

const rule = z.strictObject({
  match: match.meta({ description: 'All that are given must match.' }).optional(),
  auth: section('Who calls must know the password of one of these users.', {
    users: z
      .record(z.string(), z.string())
      .meta({ description: 'Passwords (8 characters at least) by user.' }),
    algorithms: z
      .array(z.enum(['SHA-256', 'MD5']))
      .min(1)
      .meta({ description: 'Of the challenge, the preferred first.', fallback: 'SHA-256, MD5' })
      .optional(),
  }),
  accept: accept.meta({ description: 'Takes the call.' }).optional(),
  reject: section('Refuses the call.', {
    code: z.int().min(300).max(699).meta({ description: 'SIP status.' }),
    reason: text('SIP reason phrase.', 'Declined'),
  }),
});

/** Options of the gateway, as a file can hold them. */
export const gatewaySection = section('Options of the gateway: SIP, media, RTMP.', {
  bindAddress: text('IP address that SIP and RTP are bound to; `::` is IPv6 and IPv4.', '0.0.0.0'),
  publicAddress: texts(
    'IP addresses that SIP peers shall use, behind NAT; one for each family.',
    'found per destination',
  ),
  learnsAddress: flag('Believe registrars over UDP how they see us.', 'true'),
  sipPort: port('UDP and TCP port for SIP.', 'one that is free'),
  rtpPorts: section('Ports for RTP and RTCP; four for each call.', {
    min: z.int().min(1).max(65_535).meta({ description: 'First port.', fallback: '30000' }),
    max: z.int().min(1).max(65_535).meta({ description: 'Last port.', fallback: '39999' }),
  }),
  userAgentName: text('User-Agent header.', 'sipcast'),
  sipTls: section('SIP over TLS. Connections are accepted where there are certificate and key.', {
    certFile: text('PEM file: certificate with its chain.'),
    keyFile: text('PEM file: its private key.'),
    passphrase: text('Of an encrypted key.'),
    caFile: text('PEM file: authorities that are trusted.', "the system's"),
    port: port('TCP port for SIP over TLS.', 'one above the SIP port'),
    requireClientCertificate: flag('Peers that connect must have a certificate, too.', 'false'),
    minVersion: word(['TLSv1.2', 'TLSv1.3'], 'Oldest version of TLS.', 'TLSv1.2'),
    handshakeTimeoutMs: time('Limit for the handshake.', '10000', 1),
    insecure: flag('Peers need not prove who they are.', 'false'),
  }),
  sipKeepAlive: section('How ways through NATs are kept open.', {
    udpMs: time('Between two keep-alives over UDP while registered.', '25000', 1),
    streamMs: time('Between two keep-alives on connections.', '100000', 1),
  }),
  sipPing: section('Servers that are asked by OPTIONS whether they are there.', {
    servers: texts('SIP URIs; a server that is silent is called last.', 'none'),
    intervalMs: time('Between two questions to one address.', '30000', 1000),
  }),
  sipGuard: section('Limits, bans and silence for those who ask for something outside of calls.', {
    enabled: flag('false: all are answered.', 'true'),
    trusted: texts('Addresses or networks that no limit holds for.', 'none'),
    strangers: word(
      ['drop', 'answer'],
      'Whether strangers get an answer other than to INVITEs that a rule is for.',
      'drop',
    ),
    perSource: count('Requests of one address a second.', '50', 1),
    total: count('Requests of all strangers together a second.', '1000', 1),
    strikes: count('Bad requests within a minute before an address is banned.', '20', 1),
    banMs: time('How long it is banned.', '600000', 1),
  }),
  sipTimers: section('SIP timers of RFC 3261 §17.1.1.1.', {
    t1Ms: time('Round-trip estimate.', '500', 1),
    t2Ms: time('Longest retransmission interval.', '4000', 1),
    t4Ms: time('Longest life of a message in the network.', '5000', 1),
    timerBMs: time('INVITE without any response.', '64 × t1Ms', 1),
    timerDMs: time('Retransmitted final responses are absorbed.', '64 × t1Ms', 1),
    timerFMs: time('Other request without a final response.', '64 × t1Ms', 1),
    timerHMs: time('Waiting for an ACK.', '64 × t1Ms', 1),
    timerIMs: time('Retransmitted ACKs are absorbed.', 't4Ms', 1),
    timerJMs: time('Retransmitted requests are absorbed.', '64 × t1Ms', 1),
    timerKMs: time('Retransmitted final responses to other requests are absorbed.', 't4Ms', 1),
    timerLMs: time('Retransmitted INVITEs that were accepted are absorbed.', '64 × t1Ms', 1),
    timerMMs: time('Retransmitted 2xx of our INVITEs are absorbed.', '64 × t1Ms', 1),
  }),
  sessionTimer: section('Session timers (RFC 4028).', {
    mode: word(['off', 'accept', 'request'], 'Whether there are any.', 'accept'),
    expiresSeconds: count('Interval asked for.', '1800', 90, 86_400),
    minSeconds: count('Shortest interval that is accepted.', '90', 90, 86_400),
  }),
  maxRedirects: count('Redirections of one call that are followed.', '3', 0, 10),
  incoming: section('Who may call us. Without rules: nobody.', {
    rules: z.array(rule).meta({ description: 'The first that matches decides.' }),
    realm: text('Digest realm.', 'sipcast'),
  }),
  sipTrace: section('What is kept of SIP messages.', {
    maxMessages: count('Messages kept of each call.', '200', 0, 100_000),
    maxBytes: count('Characters kept of each call.', '262144', 0, 1 << 30),
    pcap: text('File that all SIP is captured in, for Wireshark.', 'none'),
    pcapMaxBytes: count('Size at which a new file begins.', '67108864', 100_000),
    secrets: flag('The file holds passwords and keys, too.', 'false'),
  }),
  inviteTimeoutMs: time('No final answer for this long ends a call.', '180000', 1),
  jitterDelayMs: section('How long a missing RTP packet is waited for.', {
    minMs: count('At least.', '20', 0, 9999),
    maxMs: count('At most.', '200', 0, 9999),
  }),
  audio: audioForm,
  video: videoForm,
  transcoding: section('Encoding by ffmpeg.', {
    enabled: flag('false: no ffmpeg is needed; a call that needs it ends FAILED.', 'true'),
    ffmpegPath: text('Path of ffmpeg.', '`FFMPEG_PATH`, the `PATH`, `@ffmpeg-installer/ffmpeg`'),
    audioBitrateBps: count('AAC bitrate.', '64000', 16_000, 320_000),
    sampleRateHz: z
      .union([z.literal(44_100), z.literal(48_000)], 'must be 44100 or 48000')
      .meta({ description: 'Of AAC: 44100 or 48000.', fallback: '44100' })
      .optional(),
    videoBitrateBps: count('Video bitrate.', '800000', 50_000, 20_000_000),
    videoWidth: count('The picture is made smaller to fit in; even.', 'no bound', 16, 4096),
    videoHeight: count('As `videoWidth`.', 'no bound', 16, 4096),
    videoFps: count('Most pictures per second.', 'as they come', 1, 120),
    videoPreset: word(PRESETS, 'Slower ones look better at the same bitrate.', 'veryfast'),
    maxAudioEncoders: count('Encoders of audio at once.', '32 for each core', 0, 10_000),
    maxVideoEncoders: count('Encoders of video at once.', '4 for each core', 0, 10_000),
  }),
  silentAudio: flag('A video-only call carries a silent track.', 'true, unless audio passes'),
  videoFreezeMs: time('The last key frame is sent again after so long; 0: never.', '2000'),
  videoLoss: word(['wait', 'continue'], 'After a loss: wait for a key frame, or go on.', 'wait'),
  blackVideo: flag('Sends a black picture to peers that take H.264.', 'false'),
  rtpTimeoutMs: time('A peer without RTP for so long ends the call; 0: never.', '60000'),
  rtcpTimeoutMs: time('The same for RTCP.', '0'),
  mediaFolder: text('Folder of the files that may be played.', 'none'),
  recording: section('Where and how calls with `record` are recorded.', {
    dir: z.string().min(1).meta({ description: 'Folder; made where it is missing.' }),
    maxBytes: count('A new file begins after so many octets.', 'never', 1, 2 ** 53 - 1),
    maxMs: count('A new file begins after so many milliseconds.', 'never', 1, 2 ** 53 - 1),
    mp4: flag('Also make an MP4 of each file.', 'false'),
  }),
  maxViewersPerStream: count('Viewers of one stream at once.', '100', 0, 1_000_000),
  maxViewers: count(
    'Viewers of all streams together. Each holds a connection, and the API needs some, too.',
    'half of `http.maxConnections`',
    0,
    1_000_000,
  ),
  maxCalls: count('More live calls are refused.', '1000', 1, 1_000_000),
  historySize: count('Ended calls that are remembered.', '1000', 0, 1_000_000),
  offer: section('What our offers hold.', {
    audioCodecs: z
      .array(z.enum(AUDIO))
      .min(1)
      .meta({
        description: `In order of preference; of ${AUDIO.join(', ')}.`,
        fallback: 'pcma, pcmu, speex-wb, g722, opus',
      })
      .optional(),
    videoCodecs: z
      .array(z.enum(VIDEO))
      .min(1)
      .meta({
        description: `In order of preference; of ${VIDEO.join(', ')}.`,
        fallback: VIDEO.join(', '),
      })
      .optional(),
    srtp: word(['off', 'optional', 'required'], 'Media encrypted by SRTP (SDES).', 'off'),
    srtpSuites: z
      .array(z.enum(SUITES))
      .min(1)
      .meta({
        description: `In order of preference; of ${SUITES.join(', ')}.`,
        fallback: SUITES.slice(0, 2).join(', '),
      })
      .optional(),
    profileLevelId: text('Of H.264, six hexadecimal digits.', '420020'),
    extraAudioLines: texts('Lines at the end of the audio section.', 'none'),
    extraVideoLines: texts('Lines at the end of the video section.', 'none'),
  }),
  rtmp: section('How pushes connect.', {
    streamPrefix: text('In front of every stream name on the wire.', 'none'),
    firstConnectTimeoutMs: time('A push that never came up is given up after it.', '10000', 1),
    giveUpMs: time('A push that was lost is given up after it.', 'never'),
    maxReconnects: count('Given up after so many failures in a row.', 'no limit', 0, 1_000_000),
    reconnectMinMs: time('First delay before connecting again.', '250', 1),
    reconnectMaxMs: time('Longest delay in the first five minutes.', '600', 1),
    reconnectLateMaxMs: time('Longest delay after that.', '5000', 1),
    stallTimeoutMs: time('Without progress for this long a connection is lost.', '8000', 1),
    highWaterMs: time('Media outstanding before video is dropped.', '2000', 1),
    coalesceMs: count('Longest wait of audio for a picture.', '40', 0, 1000),
    enhanced: word(['off', 'auto', 'force'], 'Enhanced RTMP.', 'as the server is known'),
    probe: flag('Asks servers that acknowledge nothing whether they listen.', 'true'),
    tls: section('How the servers of `rtmps:` addresses are checked.', {
      caFile: text('PEM file: authorities that are trusted.', "the system's"),
      fingerprint256: text('SHA-256 of the certificate, which then alone counts.'),
      insecure: flag('Checks nothing.', 'false'),
    }),
  }),
});

/** The section as it is read. */
export type GatewayConfig = NonNullable<z.output<typeof gatewaySection>>;

/** What only code can give. */
type OnlyInCode = 'logger' | 'sipDns' | 'sipTransports';
/** What stands in other sections. */
type Elsewhere = 'mayConnect' | 'maxLoopLagMs' | 'sipDestinationPorts';
type Options<K extends keyof CallGatewayOptions> = keyof Exclude<
  NonNullable<CallGatewayOptions[K]>,
  false | number | string
>;
type MissingIn<K extends keyof CallGatewayOptions & keyof GatewayConfig> = Exclude<
  Options<K>,
  | keyof NonNullable<GatewayConfig[K]>
  | 'mayRedirect'
  | 'mayConnect'
  | 'lookup'
  | 'openAudio'
  | 'openVideo'
>;
type Sections =
  | 'offer'
  | 'rtmp'
  | 'recording'
  | 'sessionTimer'
  | 'sipGuard'
  | 'sipKeepAlive'
  | 'sipPing'
  | 'sipTimers'
  | 'sipTrace'
  | 'transcoding';
type Missing = Exclude<keyof CallGatewayOptions, keyof GatewayConfig | OnlyInCode | Elsewhere>;
// Does not compile while an option of the gateway cannot be reached from a file.
true satisfies [Missing] extends [never] ? true : Missing;
type MissingParts = { [K in Sections]: MissingIn<K> }[Sections];
true satisfies [MissingParts] extends [never] ? true : MissingParts;
