// The table of the gateway's options; names are those of `CallGatewayOptions`.

import { AUDIO_CODECS, SRTP_SUITES } from '@sipcast/media';
import { OFFERED_VIDEO_CODECS } from '../negotiation/negotiation.ts';
import { option } from '../option-rows.ts';
import { RTMP_ROWS } from '../stream/rtmp-options.ts';
import type { CallGatewayOptions } from './gateway-options.ts';

const { checked, count, flag, list, port, record, section, text, texts, time, timer, word } =
  option;

const OFFERED_AUDIO = Object.keys(AUDIO_CODECS) as (keyof typeof AUDIO_CODECS)[];
const OFFERED_SUITES = Object.keys(SRTP_SUITES) as (keyof typeof SRTP_SUITES)[];
const PRESETS = ['ultrafast', 'superfast', 'veryfast', 'faster', 'fast', 'medium'] as const;

const MAX_JITTER_DELAY_MS = 9999;
const MAX_BYTES = Number.MAX_SAFE_INTEGER;

const audio = word(
  ['aac', 'passthrough'],
  'Audio sent to RTMP servers: AAC, or G.711 and wideband Speex unchanged.',
  'aac, or passthrough without transcoding',
);
const video = word(
  ['passthrough', 'reencode'],
  'H.264 goes out unchanged, or is encoded again.',
  'passthrough',
);

const match = {
  calledUser: text('User part of the Request-URI; `*` matches anything.'),
  calledDomain: text('Host of the Request-URI.'),
  callerUser: text('User part of From.'),
  callerDomain: text('Host of From.'),
  source: texts('Addresses or networks that the INVITE may come from, e.g. `10.0.0.0/8`.'),
  headers: record('Values of headers, by name.', 'text'),
};

const accept = {
  toStream: text(
    'Stream name. `{called}`, `{caller}` and `{callId}` are replaced here and in the next two.',
  ),
  rtmpUrl: text('RTMP server to publish to.'),
  rtmpStream: text('Name to publish under.'),
  hasAudio: flag('false: audio is only received.', 'true'),
  hasVideo: flag('false: video is only received.', 'true'),
  appKey: text('Application key.', 'defaultApp'),
  record: flag('Record the call.', 'false'),
  audio,
  video,
  custom: record('Any object; repeated in the call and its events.', 'any'),
};

const rule = {
  match: section('All given conditions must hold.', match),
  auth: section('Callers must know the password of one of these users.', {
    users: record('Passwords (at least 8 characters) by user.', 'text', { isRequired: true }),
    algorithms: texts('Digest algorithms of the challenge, preferred first.', 'SHA-256, MD5', {
      words: ['SHA-256', 'MD5'],
      least: 1,
    }),
  }),
  accept: section('Takes the call.', accept),
  reject: section('Refuses the call.', {
    code: count('SIP status.', undefined, { least: 300, most: 699, isRequired: true }),
    reason: text('SIP reason phrase.', 'Declined'),
  }),
};

/** Options of the gateway. */
export const GATEWAY_ROWS = {
  bindAddress: text('IP address to bind SIP and RTP to; `::` is IPv6 and IPv4.', '0.0.0.0', {
    isCheckedByUser: true,
  }),
  publicAddress: texts(
    'IP addresses that SIP peers use, behind NAT; one for each family.',
    'found for each destination',
    { orOne: true, flag: 'public-address', isCheckedByUser: true },
  ),
  learnsAddress: flag('Believe registrars over UDP about our own address.', 'true'),
  sipPort: port('UDP and TCP port for SIP.', 'any free one', {
    flag: 'sip-port',
    isCheckedByUser: true,
  }),
  rtpPorts: section(
    'Ports for RTP and RTCP; four for each call.',
    {
      min: count('First port.', '30000', { least: 1, most: 65_535 }),
      max: count('Last port.', '39999', { least: 1, most: 65_535 }),
    },
    { isCheckedByUser: true },
  ),
  userAgentName: text('User-Agent header.', 'sipcast', { isCheckedByUser: true }),
  sipTls: section(
    'SIP over TLS. Connections are accepted when there are a certificate and a key.',
    {
      certFile: text('PEM file: certificate with its chain.', undefined, {
        flag: 'sip-tls-cert',
        only: 'file',
      }),
      keyFile: text('PEM file: its private key.', undefined, { flag: 'sip-tls-key', only: 'file' }),
      passphrase: text('Passphrase of an encrypted key.'),
      caFile: text('PEM file: authorities that SIP peers are trusted by.', "the system's", {
        flag: 'sip-tls-ca',
        only: 'file',
      }),
      port: port('TCP port for SIP over TLS.', 'one above the SIP port', { flag: 'sip-tls-port' }),
      requireClientCertificate: flag('Connecting peers must present a certificate.', 'false'),
      minVersion: word(['TLSv1.2', 'TLSv1.3'], 'Oldest version of TLS.', 'TLSv1.2'),
      handshakeTimeoutMs: timer('Limit for the handshake.', '10000'),
      insecure: flag('Accept peers without a valid certificate.', 'false'),
    },
    { isCheckedByUser: true },
  ),
  sipKeepAlive: section(
    'How NAT bindings are kept open.',
    {
      udpMs: timer('Interval over UDP while registered.', '25000'),
      streamMs: timer('Interval on connections.', '100000'),
    },
    { isCheckedByUser: true },
  ),
  sipPing: section(
    'Servers that are asked by OPTIONS whether they are up.',
    {
      servers: texts('SIP URIs; a server that does not answer is tried last.', 'none'),
      intervalMs: time('Interval between two OPTIONS to one address.', '30000', { least: 1000 }),
    },
    { isCheckedByUser: true },
  ),
  sipGuard: section(
    'Limits, bans and silence for requests from strangers.',
    {
      trusted: texts('Addresses or networks without limits.', 'none'),
      strangers: word(
        ['drop', 'answer'],
        'Whether strangers get an answer to requests other than INVITEs that match a rule.',
        'drop',
      ),
      perSource: count('Requests of one address a second.', '50', { least: 1 }),
      total: count('Requests of all strangers together a second.', '1000', { least: 1 }),
      strikes: count('Bad requests within a minute before an address is banned.', '20', {
        least: 1,
      }),
      banMs: timer('Duration of a ban.', '600000'),
    },
    { orFalse: true, isCheckedByUser: true },
  ),
  sipTimers: section(
    'SIP timers of RFC 3261 §17.1.1.1.',
    {
      t1Ms: timer('Round-trip estimate.', '500'),
      t2Ms: timer('Longest retransmission interval.', '4000'),
      t4Ms: timer('Longest life of a message in the network.', '5000'),
      timerBMs: timer('INVITE without any response.', '64 × t1Ms'),
      timerDMs: timer('Retransmitted final responses are absorbed.', '64 × t1Ms'),
      timerFMs: timer('Other request without a final response.', '64 × t1Ms'),
      timerHMs: timer('Wait for an ACK.', '64 × t1Ms'),
      timerIMs: timer('Retransmitted ACKs are absorbed.', 't4Ms'),
      timerJMs: timer('Retransmitted requests are absorbed.', '64 × t1Ms'),
      timerKMs: timer('Retransmitted final responses to other requests are absorbed.', 't4Ms'),
      timerLMs: timer('Retransmitted INVITEs that were accepted are absorbed.', '64 × t1Ms'),
      timerMMs: timer('Retransmitted 2xx to our INVITEs are absorbed.', '64 × t1Ms'),
    },
    { isCheckedByUser: true },
  ),
  sessionTimer: section(
    'Session timers (RFC 4028).',
    {
      mode: word(['off', 'accept', 'request'], 'When a call has one.', 'accept'),
      expiresSeconds: count('Interval to ask for.', '1800', { least: 90, most: 86_400 }),
      minSeconds: count('Shortest interval to accept.', '90', { least: 90, most: 86_400 }),
    },
    { isCheckedByUser: true },
  ),
  maxRedirects: count('Redirections followed for one call.', '3', { most: 10 }),
  incoming: section(
    'Who may call. Incoming calls are denied by default.',
    {
      rules: list('The first rule that matches decides.', rule, { isRequired: true }),
      realm: text('Digest realm.', 'sipcast'),
    },
    { isCheckedByUser: true },
  ),
  sipTrace: section('What is kept of SIP messages.', {
    maxMessages: count('Messages kept of each call.', '200', { most: 100_000 }),
    maxBytes: count('Characters kept of each call.', '262144', { most: 1 << 30 }),
    pcap: text('Capture file of all SIP for Wireshark, passwords and keys masked.', 'none', {
      flag: 'sip-pcap',
    }),
    pcapMaxBytes: count('Size at which a new file begins.', '67108864', {
      least: 100_000,
      most: MAX_BYTES,
    }),
    secrets: flag('The file contains passwords and keys.', 'false'),
  }),
  inviteTimeoutMs: time('A call without a final answer ends after this time.', '180000', {
    least: 1,
  }),
  jitterDelayMs: section(
    'How long to wait for a missing RTP packet.',
    {
      minMs: count('At least.', '20', { most: MAX_JITTER_DELAY_MS }),
      maxMs: count('At most.', '200', { most: MAX_JITTER_DELAY_MS }),
    },
    { isCheckedByUser: true },
  ),
  audio: { ...audio, flag: 'audio', isCheckedByUser: true },
  video: { ...video, isCheckedByUser: true },
  transcoding: section(
    'Encoding by ffmpeg. Without it, a call that needs an encoder ends FAILED.',
    {
      ffmpegPath: text('Path of ffmpeg.', '`FFMPEG_PATH`, the `PATH`, `@ffmpeg-installer/ffmpeg`', {
        flag: 'ffmpeg',
        isCheckedByUser: true,
      }),
      audioBitrateBps: count('AAC bitrate.', '64000', {
        least: 16_000,
        most: 320_000,
        isCheckedByUser: true,
      }),
      sampleRateHz: word([44_100, 48_000], 'Sample rate of AAC.', '44100', {
        isCheckedByUser: true,
      }),
      videoBitrateBps: count('Video bitrate.', '800000', {
        least: 50_000,
        most: 20_000_000,
        isCheckedByUser: true,
      }),
      videoWidth: count('The picture is scaled down to fit; even.', 'no bound', {
        least: 16,
        most: 4096,
        isCheckedByUser: true,
      }),
      videoHeight: count('As `videoWidth`.', 'no bound', {
        least: 16,
        most: 4096,
        isCheckedByUser: true,
      }),
      videoFps: count('Most pictures per second.', 'as received', {
        least: 1,
        most: 120,
        isCheckedByUser: true,
      }),
      videoPreset: word(PRESETS, 'Slower presets look better at the same bitrate.', 'veryfast', {
        isCheckedByUser: true,
      }),
      maxAudioEncoders: count('Audio encoders at once.', '32 for each core', { most: 10_000 }),
      maxVideoEncoders: count('Video encoders at once.', '4 for each core', { most: 10_000 }),
      openAudio: checked('Audio encoder of your own.', functionProblem, { only: 'code' }),
      openVideo: checked('Video encoder of your own.', functionProblem, { only: 'code' }),
    },
    { orFalse: true },
  ),
  silentAudio: flag('A video-only call carries a silent track.', 'true, unless audio passes'),
  keyFrameIntervalMs: count(
    'Ask for a key frame when the last is this old, for RTMP, recordings and HLS; 0: never.',
    'what the platform needs, or 2000',
    { most: 600_000 },
  ),
  videoPlaceholder: word(
    ['black', 'none'],
    'What viewers and platforms get until the first picture of a camera that is off.',
    'black',
  ),
  videoFreezeMs: time('The last key frame is repeated at this interval; 0: never.', '2000', {
    isFractional: true,
  }),
  videoLoss: word(['wait', 'continue'], 'After a loss: wait for a key frame, or go on.', 'wait'),
  slides: flag('Take the slides of a call as a stream of their own, `<toStream>-slides`.', 'true'),
  blackVideo: flag('Send a black picture to peers that take H.264.', 'false'),
  rtpTimeoutMs: time('A peer without RTP for this long ends the call; 0: never.', '60000', {
    isFractional: true,
  }),
  rtcpTimeoutMs: time('The same for RTCP.', '0', { isFractional: true }),
  mediaFolder: text('Folder of the files that `inject_sound` may play.', 'none', {
    flag: 'media-folder',
  }),
  recording: section('Where and how calls with `record` are recorded.', {
    dir: text('Folder of recordings; created when missing.', undefined, {
      flag: 'record-dir',
      isRequired: true,
    }),
    maxBytes: count('A new file begins at this size.', 'never', {
      least: 1,
      most: MAX_BYTES,
      isFractional: true,
    }),
    maxMs: count('A new file begins after this time.', 'never', {
      least: 1,
      most: MAX_BYTES,
      isFractional: true,
    }),
    mp4: flag('Also write an MP4 of each file.', 'false'),
  }),
  maxViewersPerStream: count('Viewers of one stream at once.', '100', { most: 1_000_000 }),
  maxViewers: count(
    'Viewers of all streams together. Each holds a connection, and the API needs some, too.',
    'half of `http.maxConnections`',
    { most: 1_000_000 },
  ),
  maxCalls: count('More live calls are refused.', '1000', { least: 1, most: 1_000_000 }),
  maxLoopLagMs: count(
    'New calls are refused while events wait this long for the processor; 0: never.',
    '0; 250 in the server',
    { most: 60_000 },
  ),
  historySize: count('Ended calls that are remembered.', '1000', { most: 1_000_000 }),
  offer: section('What our offers contain.', {
    audioCodecs: texts(
      `In order of preference; of ${OFFERED_AUDIO.join(', ')}.`,
      'pcma, pcmu, speex-wb, speex-nb, g722, opus',
      { words: OFFERED_AUDIO, least: 1 },
    ),
    videoCodecs: texts(
      `In order of preference; of ${OFFERED_VIDEO_CODECS.join(', ')}.`,
      OFFERED_VIDEO_CODECS.join(', '),
      { words: OFFERED_VIDEO_CODECS, least: 1 },
    ),
    preference: texts(
      'Codecs that come first in answers and offers; `passthrough`: H.264 in answers; `peer`: the order of the peer.',
      'passthrough',
      {
        words: ['passthrough', 'peer', ...OFFERED_AUDIO, 'h264', 'vp8'] as const,
        least: 1,
        orOne: true,
      },
    ),
    srtp: word(['off', 'optional', 'required'], 'Media encryption by SRTP (SDES).', 'off'),
    srtpSuites: texts(
      `In order of preference; of ${OFFERED_SUITES.join(', ')}.`,
      OFFERED_SUITES.slice(0, 2).join(', '),
      { words: OFFERED_SUITES, least: 1 },
    ),
    profileLevelId: text('Of H.264, six hexadecimal digits.', '420020', {
      pattern: /^[0-9A-Fa-f]{6}$/,
      problem: 'be six hexadecimal digits',
    }),
    extraAudioLines: texts('Lines at the end of the audio section.', 'none', {
      isCheckedByUser: true,
    }),
    extraVideoLines: texts('Lines at the end of the video section.', 'none', {
      isCheckedByUser: true,
    }),
  }),
  rtmp: section('How pushes connect.', RTMP_ROWS),
  mayConnect: checked('Whether an address may be connected to.', functionProblem, { only: 'code' }),
};

function functionProblem(value: unknown): string | undefined {
  return typeof value === 'function' ? undefined : 'be a function';
}

/** Objects that only code can give, and that their users check. */
type OnlyInCode = 'logger' | 'sipDns' | 'sipTransports' | 'sipDestinationPorts';
type Rows = typeof GATEWAY_ROWS;
type Fields<K extends keyof CallGatewayOptions> = keyof Exclude<
  NonNullable<CallGatewayOptions[K]>,
  false | number | string
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
type MissingIn<K extends Sections> = Exclude<Fields<K>, keyof Rows[K]['rows']>;
/** Asked by the gateway's own `mayConnect`, or by what stands in the same section. */
type OwnedByGateway = 'mayConnect' | 'lookup';
type MissingOption = Exclude<keyof CallGatewayOptions, keyof Rows | OnlyInCode>;
type MissingField = Exclude<{ [K in Sections]: MissingIn<K> }[Sections], OwnedByGateway>;
// Neither compiles while an option of the gateway has no row.
true satisfies [MissingOption] extends [never] ? true : MissingOption;
true satisfies [MissingField] extends [never] ? true : MissingField;
