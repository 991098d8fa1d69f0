// The address in a gateway's `nodeId`.

import { networkInterfaces } from 'node:os';
import type { CallGatewayOptions } from './gateway-options.ts';

/** The public address, the one bound to, or the first of this machine that is not for itself only. */
export function nodeAddress(
  options: Pick<CallGatewayOptions, 'publicAddress' | 'bindAddress'>,
): string {
  const [known] = [options.publicAddress ?? []].flat();
  if (known !== undefined) return known;
  const bound = options.bindAddress;
  if (bound !== undefined && bound !== '0.0.0.0' && bound !== '::') return bound;
  for (const addresses of Object.values(networkInterfaces())) {
    for (const { family, internal, address } of addresses ?? []) {
      if (family === 'IPv4' && !internal) return address;
    }
  }
  return '127.0.0.1';
}
