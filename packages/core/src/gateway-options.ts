// The gateway's own options, checked before anything is opened.

import type { CallGatewayOptions } from './call-gateway.ts';
import { GatewayError } from './errors.ts';
import type { OfferOptions } from './negotiation.ts';
import { invalid } from './options.ts';
import type { RtmpOptions } from './rtmp-push.ts';

const MAX_TIMER_MS = 0x7fff_ffff;
const AUDIO_CODECS: readonly unknown[] = ['pcma', 'pcmu'];
const VIDEO_CODECS: readonly unknown[] = ['h264-mode1', 'h264-mode0'];
/** Options of the SIP user agent by their names here. */
const SIP_FIELDS: Readonly<Record<string, string>> = { port: 'sipPort' };

/**
 * Checks what the gateway uses itself.
 *
 * @throws GatewayError `INVALID_ARGUMENT` naming the option, e.g. `rtmp.stallTimeoutMs`.
 */
export function validateGatewayOptions(options: CallGatewayOptions): void {
  const { min, max } = options.rtpPorts ?? { min: 30_000, max: 39_999 };
  if (!isPort(min) || !isPort(max) || max - min < 3)
    throw invalid('rtpPorts', 'must be a range of at least four ports within 1 to 65535');
  integer('inviteTimeoutMs', options.inviteTimeoutMs, 1, MAX_TIMER_MS);
  integer('maxCalls', options.maxCalls, 1, 1_000_000);
  integer('historySize', options.historySize, 0, 1_000_000);
  within('jitterDelayMs', options.jitterDelayMs, 0, 10_000);
  validateOffer(options.offer ?? {});
  validateRtmp(options.rtmp ?? {});
  const { logger } = options;
  if (logger === undefined) return;
  for (const level of ['debug', 'info', 'warn', 'error'] as const) {
    if (typeof logger[level] !== 'function') throw invalid('logger', `must have ${level}()`);
  }
}

/** What the SIP user agent says of its options, in the gateway's words. */
export function asGatewayError(error: unknown): unknown {
  const { code, field, message } = error as { code?: string; field?: string; message?: string };
  if (field === undefined || (code !== 'INVALID_ARGUMENT' && code !== 'ILLEGAL_CHARACTER'))
    return error;
  const name = SIP_FIELDS[field] ?? field.replace(/^timers\./, 'sipTimers.');
  return new GatewayError('INVALID_ARGUMENT', `${name}: ${message}`, { field: name, cause: error });
}

function validateOffer(offer: OfferOptions): void {
  subset('offer.audioCodecs', offer.audioCodecs, AUDIO_CODECS);
  subset('offer.videoCodecs', offer.videoCodecs, VIDEO_CODECS);
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

function validateRtmp(rtmp: RtmpOptions): void {
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
  const { streamPrefix } = rtmp;
  if (streamPrefix !== undefined && !/^[A-Za-z0-9._~+-]{0,64}$/.test(streamPrefix))
    throw invalid('rtmp.streamPrefix', 'may hold letters, digits and . _ ~ + -');
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
