// Checks the gateway's options before anything is opened.

import { invalidArgument } from '../errors.ts';
import { requireIncomingOptions } from '../incoming/incoming-rules.ts';
import type { OfferOptions } from '../negotiation/negotiation.ts';
import { checkOptions } from '../option-rows.ts';
import type { CallGatewayOptions } from './gateway-options.ts';
import { GATEWAY_ROWS } from './gateway-rows.ts';

const MAX_JITTER_DELAY_MS = 9999;

/**
 * Checks what the gateway uses itself, before anything is opened.
 *
 * @throws GatewayError `INVALID_ARGUMENT` naming the option, e.g. `rtmp.stallTimeoutMs` or `incoming.rules.0.accept.rtmpUrl`.
 */
export function validateGatewayOptions(options: CallGatewayOptions): void {
  checkOptions(GATEWAY_ROWS, options);
  const { min, max } = options.rtpPorts ?? { min: 30_000, max: 39_999 };
  if (!isPort(min) || !isPort(max) || max - min < 3)
    throw invalidArgument('rtpPorts', 'must be a range of at least four ports within 1 to 65535');
  validateJitterDelay(options.jitterDelayMs);
  validateExtraLines(options.offer ?? {});
  if (options.incoming !== undefined) requireIncomingOptions(options.incoming);
  const { logger } = options;
  if (logger === undefined) return;
  for (const level of ['debug', 'info', 'warn', 'error'] as const) {
    if (typeof logger[level] !== 'function')
      throw invalidArgument('logger', `must have ${level}()`);
  }
  for (const part of ['child', 'isLevelEnabled'] as const) {
    if (logger[part] !== undefined && typeof logger[part] !== 'function')
      throw invalidArgument('logger', `${part} must be a function`);
  }
}

function validateJitterDelay(delay: CallGatewayOptions['jitterDelayMs']): void {
  if (typeof delay !== 'object') return within('jitterDelayMs', delay, 0, MAX_JITTER_DELAY_MS);
  const bounds: { minMs?: unknown; maxMs?: unknown } | null = delay;
  if (bounds === null)
    throw invalidArgument('jitterDelayMs', 'must be a number or { minMs, maxMs }');
  const { minMs, maxMs } = bounds;
  within('jitterDelayMs.minMs', minMs ?? Number.NaN, 0, MAX_JITTER_DELAY_MS);
  within('jitterDelayMs.maxMs', maxMs ?? Number.NaN, Number(minMs), MAX_JITTER_DELAY_MS);
}

function validateExtraLines(offer: OfferOptions): void {
  for (const field of ['extraAudioLines', 'extraVideoLines'] as const) {
    for (const line of offer[field] ?? []) {
      if (!/^[a-z]=[^\r\n\0]*$/.test(line))
        throw invalidArgument(`offer.${field}`, 'must hold lines like a=name:value');
    }
  }
}

function isPort(value: unknown): boolean {
  return Number.isInteger(value) && Number(value) > 0 && Number(value) <= 65_535;
}

function within(field: string, value: unknown, least: number, most: number): void {
  if (value === undefined) return;
  if (typeof value !== 'number' || !(value >= least && value <= most))
    throw invalidArgument(field, `must be a number from ${least} to ${most}`);
}
