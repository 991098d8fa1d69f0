// Converts a configuration file to the options of `serve`.

import { GATEWAY_ROWS } from '@sipcast/core/options';
import type { OptionRow } from '@sipcast/core/options';
import type { Config } from './schema.ts';
import type { ServeGatewayOptions, ServeOptions } from './serve-options.ts';

const DEFAULT_JITTER_DELAY_MS = { minMs: 20, maxMs: 200 };

/** The options for a configuration. A section that the file switches off by `enabled` is `false` in code. */
export function optionsOf({ gateway, ...config }: Config): ServeOptions {
  return { ...config, ...(gateway && { gateway: gatewayOptionsOf(gateway) }) };
}

function gatewayOptionsOf(gateway: NonNullable<Config['gateway']>): ServeGatewayOptions {
  const options: Record<string, unknown> = { ...gateway };
  for (const [name, row] of Object.entries<OptionRow>(GATEWAY_ROWS)) {
    const value = options[name];
    if (row.kind !== 'section' || row.orFalse !== true || value === undefined) continue;
    const { enabled = true, ...others } = value as { readonly enabled?: boolean };
    options[name] = enabled && others;
  }
  const { jitterDelayMs } = gateway;
  if (jitterDelayMs) options['jitterDelayMs'] = { ...DEFAULT_JITTER_DELAY_MS, ...jitterDelayMs };
  return options;
}
