// The gateway's own options, checked before anything is opened.

import { AUDIO_CODECS, SRTP_SUITES } from '@sipcast/media';
import type { SipUserAgentOptions } from '@sipcast/sip';
import type { CallGatewayOptions } from './gateway-contract.ts';
import { GatewayError } from '../errors.ts';
import { requireIncomingOptions } from '../incoming/incoming-rules.ts';
import { OFFERED_VIDEO_CODECS } from '../negotiation/negotiation.ts';
import type { OfferOptions } from '../negotiation/negotiation.ts';
import { invalid } from '../call/options.ts';
import type { RtmpOptions } from '../stream/rtmp-push.ts';

const MAX_TIMER_MS = 0x7fff_ffff;
const MAX_JITTER_DELAY_MS = 9999;
/** Options of the SIP user agent by their names here. */
const SIP_FIELDS: Readonly<Record<string, string>> = {
  port: 'sipPort',
  destinationPorts: 'sipDestinationPorts',
};

/**
 * Checks what the gateway uses itself, before anything is opened.
 *
 * @throws GatewayError `INVALID_ARGUMENT` naming the option, e.g. `rtmp.stallTimeoutMs` or `incoming.rules.0.accept.rtmpUrl`.
 */
export function validateGatewayOptions(options: CallGatewayOptions): void {
  const { min, max } = options.rtpPorts ?? { min: 30_000, max: 39_999 };
  if (!isPort(min) || !isPort(max) || max - min < 3)
    throw invalid('rtpPorts', 'must be a range of at least four ports within 1 to 65535');
  integer('inviteTimeoutMs', options.inviteTimeoutMs, 1, MAX_TIMER_MS);
  integer('maxCalls', options.maxCalls, 1, 1_000_000);
  integer('maxLoopLagMs', options.maxLoopLagMs, 0, 60_000);
  integer('maxViewersPerStream', options.maxViewersPerStream, 0, 1_000_000);
  integer('maxViewers', options.maxViewers, 0, 1_000_000);
  integer('historySize', options.historySize, 0, 1_000_000);
  validateJitterDelay(options.jitterDelayMs);
  within('videoFreezeMs', options.videoFreezeMs, 0, MAX_TIMER_MS);
  within('rtpTimeoutMs', options.rtpTimeoutMs, 0, MAX_TIMER_MS);
  within('rtcpTimeoutMs', options.rtcpTimeoutMs, 0, MAX_TIMER_MS);
  const { videoLoss, mediaFolder, transcoding } = options;
  if (videoLoss !== undefined && videoLoss !== 'wait' && videoLoss !== 'continue')
    throw invalid('videoLoss', 'must be wait or continue');
  if (mediaFolder !== undefined && (typeof mediaFolder !== 'string' || mediaFolder === ''))
    throw invalid('mediaFolder', 'must be the path of a folder');
  for (const field of ['silentAudio', 'blackVideo', 'learnsAddress'] as const) {
    if (options[field] !== undefined && typeof options[field] !== 'boolean')
      throw invalid(field, 'must be true or false');
  }
  validateTranscoding(transcoding);
  integer('maxRedirects', options.maxRedirects, 0, 10);
  validateSipTrace(options.sipTrace);
  validateRecording(options.recording);
  validateOffer(options.offer ?? {});
  validateRtmp(options.rtmp ?? {});
  if (options.mayConnect !== undefined && typeof options.mayConnect !== 'function')
    throw invalid('mayConnect', 'must be a function');
  if (options.incoming !== undefined) requireIncomingOptions(options.incoming);
  const { logger } = options;
  if (logger === undefined) return;
  for (const level of ['debug', 'info', 'warn', 'error'] as const) {
    if (typeof logger[level] !== 'function') throw invalid('logger', `must have ${level}()`);
  }
  for (const part of ['child', 'isLevelEnabled'] as const) {
    if (logger[part] !== undefined && typeof logger[part] !== 'function')
      throw invalid('logger', `${part} must be a function`);
  }
}

/** The options of the SIP user agent. */
export function sipOptionsOf(options: CallGatewayOptions): SipUserAgentOptions {
  const { mayConnect } = options;
  return {
    port: options.sipPort ?? 0,
    ...(options.bindAddress === undefined ? {} : { bindAddress: options.bindAddress }),
    ...(options.publicAddress === undefined ? {} : { publicAddress: options.publicAddress }),
    userAgentName: options.userAgentName ?? 'sipcast',
    ...(options.sipTimers === undefined ? {} : { timers: options.sipTimers }),
    ...(options.sipTransports === undefined ? {} : { transports: options.sipTransports }),
    ...(options.sipTls === undefined ? {} : { tls: options.sipTls }),
    ...(options.learnsAddress === undefined ? {} : { learnsAddress: options.learnsAddress }),
    ...(options.sipKeepAlive === undefined ? {} : { keepAlive: options.sipKeepAlive }),
    ...(options.sipPing === undefined ? {} : { ping: options.sipPing }),
    ...(options.sipGuard === false ? {} : { guard: options.sipGuard ?? {} }),
    ...(options.sipDns === undefined ? {} : { dns: options.sipDns }),
    ...(mayConnect && { mayConnect: (address, host) => mayConnect(address, 'sip', host) }),
    ...(options.sipDestinationPorts === undefined
      ? {}
      : { destinationPorts: options.sipDestinationPorts }),
    ...(options.sessionTimer === undefined ? {} : { sessionTimer: options.sessionTimer }),
  };
}

/** The options of pushes. */
export function rtmpOptionsOf({ rtmp = {}, mayConnect }: CallGatewayOptions): RtmpOptions {
  if (!mayConnect) return rtmp;
  return { mayConnect: (address, host) => mayConnect(address, 'rtmp', host), ...rtmp };
}

/** What the SIP user agent says of its options, in the gateway's words. */
export function asGatewayError(error: unknown): unknown {
  const { code, field, message } = error as { code?: string; field?: string; message?: string };
  if (field === undefined || (code !== 'INVALID_ARGUMENT' && code !== 'ILLEGAL_CHARACTER'))
    return error;
  const name =
    SIP_FIELDS[field] ??
    field
      .replace(/^timers\./, 'sipTimers.')
      .replace(/^tls(?=\.|$)/, 'sipTls')
      .replace(/^keepAlive\./, 'sipKeepAlive.')
      .replace(/^ping\./, 'sipPing.')
      .replace(/^guard\./, 'sipGuard.');
  return new GatewayError('INVALID_ARGUMENT', `${name}: ${message}`, { field: name, cause: error });
}

function validateJitterDelay(delay: CallGatewayOptions['jitterDelayMs']): void {
  if (typeof delay !== 'object') return within('jitterDelayMs', delay, 0, MAX_JITTER_DELAY_MS);
  const bounds: { minMs?: unknown; maxMs?: unknown } | null = delay;
  if (bounds === null) throw invalid('jitterDelayMs', 'must be a number or { minMs, maxMs }');
  const { minMs, maxMs } = bounds;
  within('jitterDelayMs.minMs', minMs ?? Number.NaN, 0, MAX_JITTER_DELAY_MS);
  within('jitterDelayMs.maxMs', maxMs ?? Number.NaN, Number(minMs), MAX_JITTER_DELAY_MS);
}

function validateTranscoding(transcoding: CallGatewayOptions['transcoding']): void {
  if (transcoding === undefined || transcoding === false) return;
  if (typeof transcoding !== 'object' || transcoding === null)
    throw invalid('transcoding', 'must be false or an object');
  integer('transcoding.maxAudioEncoders', transcoding.maxAudioEncoders, 0, 10_000);
  integer('transcoding.maxVideoEncoders', transcoding.maxVideoEncoders, 0, 10_000);
  for (const field of ['openAudio', 'openVideo'] as const) {
    if (transcoding[field] !== undefined && typeof transcoding[field] !== 'function')
      throw invalid(`transcoding.${field}`, 'must be a function');
  }
}

function validateSipTrace(trace: CallGatewayOptions['sipTrace']): void {
  if (trace === undefined) return;
  if (typeof trace !== 'object' || trace === null) throw invalid('sipTrace', 'must be an object');
  const { maxMessages, maxBytes, pcap, pcapMaxBytes, secrets } = trace;
  integer('sipTrace.maxMessages', maxMessages, 0, 100_000);
  integer('sipTrace.maxBytes', maxBytes, 0, 1 << 30);
  integer('sipTrace.pcapMaxBytes', pcapMaxBytes, 100_000, Number.MAX_SAFE_INTEGER);
  if (pcap !== undefined && (typeof pcap !== 'string' || pcap === ''))
    throw invalid('sipTrace.pcap', 'must be the path of a file');
  if (secrets !== undefined && typeof secrets !== 'boolean')
    throw invalid('sipTrace.secrets', 'must be true or false');
}

function validateRecording(recording: CallGatewayOptions['recording']): void {
  if (recording === undefined) return;
  if (typeof recording !== 'object' || recording === null)
    throw invalid('recording', 'must be an object');
  const { dir, maxBytes, maxMs, mp4 } = recording;
  if (typeof dir !== 'string' || dir === '')
    throw invalid('recording.dir', 'must be the path of a folder');
  within('recording.maxBytes', maxBytes, 1, Number.MAX_SAFE_INTEGER);
  within('recording.maxMs', maxMs, 1, Number.MAX_SAFE_INTEGER);
  if (mp4 !== undefined && typeof mp4 !== 'boolean')
    throw invalid('recording.mp4', 'must be true or false');
}

function validateOffer(offer: OfferOptions): void {
  subset('offer.audioCodecs', offer.audioCodecs, Object.keys(AUDIO_CODECS));
  subset('offer.videoCodecs', offer.videoCodecs, OFFERED_VIDEO_CODECS);
  if (offer.srtp !== undefined && !['off', 'optional', 'required'].includes(offer.srtp))
    throw invalid('offer.srtp', 'must be off, optional or required');
  subset('offer.srtpSuites', offer.srtpSuites, Object.keys(SRTP_SUITES));
  const { profileLevelId } = offer;
  if (profileLevelId !== undefined && !/^[0-9A-Fa-f]{6}$/.test(profileLevelId))
    throw invalid('offer.profileLevelId', 'must be six hexadecimal digits');
  for (const field of ['extraAudioLines', 'extraVideoLines'] as const) {
    for (const line of offer[field] ?? []) {
      if (!/^[a-z]=[^\r\n\0]*$/.test(line))
        throw invalid(`offer.${field}`, 'must hold lines like a=name:value');
    }
  }
}

/** Of a gateway, a call or a push. @throws GatewayError `INVALID_ARGUMENT` naming the option. */
export function validateRtmp(rtmp: RtmpOptions): void {
  if (typeof rtmp !== 'object' || rtmp === null) throw invalid('rtmp', 'must be an object');
  for (const field of [
    'firstConnectTimeoutMs',
    'reconnectMinMs',
    'reconnectMaxMs',
    'reconnectLateMaxMs',
    'stallTimeoutMs',
    'highWaterMs',
  ] as const) {
    within(`rtmp.${field}`, rtmp[field], 1, MAX_TIMER_MS);
  }
  within('rtmp.giveUpMs', rtmp.giveUpMs, 0, Number.POSITIVE_INFINITY);
  within('rtmp.coalesceMs', rtmp.coalesceMs, 0, 1000);
  integer('rtmp.maxReconnects', rtmp.maxReconnects, 0, 1_000_000);
  if (rtmp.enhanced !== undefined && !['off', 'auto', 'force'].includes(rtmp.enhanced))
    throw invalid('rtmp.enhanced', 'must be off, auto or force');
  if (rtmp.mayRedirect !== undefined && typeof rtmp.mayRedirect !== 'function')
    throw invalid('rtmp.mayRedirect', 'must be a function');
  if (rtmp.probe !== undefined && typeof rtmp.probe !== 'boolean')
    throw invalid('rtmp.probe', 'must be true or false');
  validateRtmpTls(rtmp.tls ?? {});
  const { streamPrefix } = rtmp;
  if (streamPrefix !== undefined && !/^[A-Za-z0-9._~+-]{0,64}$/.test(streamPrefix))
    throw invalid('rtmp.streamPrefix', 'may hold letters, digits and . _ ~ + -');
}

function validateRtmpTls(tls: NonNullable<RtmpOptions['tls']>): void {
  if (typeof tls !== 'object' || tls === null) throw invalid('rtmp.tls', 'must be an object');
  const { ca, fingerprint256, insecure } = tls;
  const cas: readonly unknown[] = Array.isArray(ca) ? ca : [ca];
  if (ca !== undefined && (cas.length === 0 || !cas.every(isPem)))
    throw invalid('rtmp.tls.ca', 'must be one or several certificates in PEM');
  if (fingerprint256 !== undefined && !/^[0-9a-f]{64}$/i.test(fingerprint256.replaceAll(':', '')))
    throw invalid('rtmp.tls.fingerprint256', 'must be 64 hexadecimal digits');
  if (insecure !== undefined && typeof insecure !== 'boolean')
    throw invalid('rtmp.tls.insecure', 'must be true or false');
}

function isPem(value: unknown): boolean {
  const isBytes = typeof value === 'string' || value instanceof Uint8Array;
  return isBytes && Buffer.from(value).includes('-----BEGIN CERTIFICATE-----');
}

function isPort(value: unknown): boolean {
  return Number.isInteger(value) && Number(value) > 0 && Number(value) <= 65_535;
}

function integer(field: string, value: unknown, least: number, most: number): void {
  if (value !== undefined && !Number.isInteger(value)) throw invalid(field, 'must be an integer');
  within(field, value, least, most);
}

function within(field: string, value: unknown, least: number, most: number): void {
  if (value === undefined) return;
  if (typeof value !== 'number' || !(value >= least && value <= most))
    throw invalid(field, `must be a number from ${least} to ${most}`);
}

function subset(field: string, value: unknown, all: readonly unknown[]): void {
  if (value === undefined) return;
  if (!Array.isArray(value) || value.length === 0 || !value.every((one) => all.includes(one)))
    throw invalid(field, `must name at least one of ${all.join(', ')}, and nothing else`);
}
