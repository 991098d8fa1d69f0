// The table of a request for a call: what each field is. What the fields mean together stands in startup.ts.

import { option } from '../option-rows.ts';
import { RTMP_ROWS } from '../stream/rtmp-options.ts';
import type { StartupRequest } from './startup-request.ts';

const { checked, count, flag, record, section, text, texts, word } = option;

/** Fields of `POST /call/startup` and of `CallGateway.startup`. */
export const STARTUP_ROWS = {
  callId: text('SIP Call-ID, unique among live calls.', 'generated'),
  callee: text('User, user@host or SIP URI.', undefined, { isRequired: true }),
  sipLogin: text('User part of From.', 'sipcast'),
  sipAuthenticationName: text('Digest user.', 'sipLogin'),
  sipPassword: text('Digest password; never shown again.'),
  sipRealms: texts(
    'Realms of further proxies that get the password; `any`: all that challenge, each of which can then guess at it.',
    'only the first realm that challenges',
    { orOne: true, least: 1 },
  ),
  sipDomain: text(
    'Host of From, of a callee without one, and the registrar.',
    'the host of the callee',
  ),
  sipOutboundProxy: text('Next hop, host or host:port.', 'the host of the callee'),
  sipPort: count('Port of the next hop.', 'by SRV records, else 5060, or 5061 for TLS', {
    least: 1,
    most: 65_535,
  }),
  sipTransport: word(
    ['udp', 'tcp', 'tls', 'auto'],
    'Transport of the call.',
    'tls for a sips: callee, else the transport of its URI, else udp',
  ),
  sipRegisterRequired: flag('REGISTER before the INVITE.', 'false'),
  visibleName: text('Display name of From.', 'sipLogin'),
  appKey: text('Copied to events.', 'defaultApp'),
  toStream: text('Publish as a local stream of this name.', 'none'),
  rtmpUrl: text('RTMP server; together with rtmpStream.', 'none'),
  rtmpStream: text('Name to publish under; together with rtmpUrl.', 'none'),
  rtmp: section('How the push connects, where that differs from the gateway.', RTMP_ROWS),
  hasAudio: flag('true: sendrecv, false: recvonly.', 'true'),
  hasVideo: flag('As hasAudio, for video.', 'true'),
  srtp: word(
    ['off', 'optional', 'required'],
    'SRTP with keys in the description.',
    'as the gateway is set',
  ),
  audio: word(
    ['aac', 'passthrough'],
    'What RTMP servers get of the audio.',
    'as the gateway is set',
  ),
  video: word(
    ['passthrough', 'reencode'],
    'What RTMP servers get of the video.',
    'as the gateway is set',
  ),
  keyFrameIntervalMs: count(
    'Ask for a key frame when the last is this old; 0: never.',
    'as the gateway is set',
    { most: 600_000 },
  ),
  record: checked('Record the call; in code also { dir }.', recordProblem, { fallback: 'false' }),
  custom: record('Repeated in the call and its events; at most 4 KiB.', 'any'),
  sipHeaders: record('Extra headers of the INVITE.', 'text'),
};

function recordProblem(value: unknown): string | undefined {
  if (typeof value === 'boolean') return undefined;
  const { dir } = value as { dir?: unknown };
  // oxlint-disable-next-line no-control-regex -- finding control characters is the point
  const isPath = typeof dir === 'string' && dir !== '' && !/[\u0000-\u001f\u007f]/.test(dir);
  return isPath ? undefined : 'be true, false or { dir }';
}

type MissingField = Exclude<keyof StartupRequest, keyof typeof STARTUP_ROWS>;
// Does not compile while a field has no row.
true satisfies [MissingField] extends [never] ? true : MissingField;
