export type { BearerToken, User } from './access/authenticator.ts';
export type { CertificateOptions } from './http/certificate.ts';
export { ServerError } from './errors.ts';
export type { ServerErrorCode } from './errors.ts';
export type { LogOptions } from './log/log.ts';
export { OutgoingPolicy, PolicyError } from './access/outgoing-policy.ts';
export type { OutgoingOptions } from './access/outgoing-policy.ts';
export { serve } from './serve/serve.ts';
export type {
  ServeEvents,
  ServeHandle,
  ServeListener,
  ServeOptions,
} from './serve/serve-options.ts';
export { GatewayMetrics } from './http/gateway-metrics.ts';
export type { ServerCounts } from './http/gateway-metrics.ts';
export type { ConnectionStats } from './http/connections.ts';
