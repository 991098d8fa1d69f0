// The gateway's own options, checked before anything is opened.

import type { SipUserAgentOptions } from '@sipcast/sip';
import type { CallGatewayOptions } from './gateway-contract.ts';
import { GATEWAY_ROWS } from './gateway-rows.ts';
import { GatewayError } from '../errors.ts';
import { requireIncomingOptions } from '../incoming/incoming-rules.ts';
import type { OfferOptions } from '../negotiation/negotiation.ts';
import { invalid } from '../call/options.ts';
import { checkOptions } from '../option-rows.ts';
import type { RtmpOptions } from '../stream/rtmp-push.ts';

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
  checkOptions(GATEWAY_ROWS, options);
  const { min, max } = options.rtpPorts ?? { min: 30_000, max: 39_999 };
  if (!isPort(min) || !isPort(max) || max - min < 3)
    throw invalid('rtpPorts', 'must be a range of at least four ports within 1 to 65535');
  validateJitterDelay(options.jitterDelayMs);
  validateExtraLines(options.offer ?? {});
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

function validateExtraLines(offer: OfferOptions): void {
  for (const field of ['extraAudioLines', 'extraVideoLines'] as const) {
    for (const line of offer[field] ?? []) {
      if (!/^[a-z]=[^\r\n\0]*$/.test(line))
        throw invalid(`offer.${field}`, 'must hold lines like a=name:value');
    }
  }
}

/** Of a call or a push. @throws GatewayError `INVALID_ARGUMENT` naming the option. */
export function validateRtmp(rtmp: RtmpOptions): void {
  checkOptions({ rtmp: GATEWAY_ROWS.rtmp }, { rtmp });
}

function isPort(value: unknown): boolean {
  return Number.isInteger(value) && Number(value) > 0 && Number(value) <= 65_535;
}

function within(field: string, value: unknown, least: number, most: number): void {
  if (value === undefined) return;
  if (typeof value !== 'number' || !(value >= least && value <= most))
    throw invalid(field, `must be a number from ${least} to ${most}`);
}
