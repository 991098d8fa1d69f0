export { ServerError } from './errors.ts';
export type { ServerErrorCode } from './errors.ts';
export { serve } from './serve.ts';
export type { ServeHandle, ServeOptions } from './serve.ts';
export { GatewayMetrics } from './gateway-metrics.ts';
