export type { BearerToken, User } from './authenticator.ts';
export type { CertificateOptions } from './certificate.ts';
export { ServerError } from './errors.ts';
export type { ServerErrorCode } from './errors.ts';
export { OutgoingPolicy, PolicyError } from './outgoing-policy.ts';
export type { OutgoingOptions } from './outgoing-policy.ts';
export { serve } from './serve.ts';
export type { ServeEvents, ServeHandle, ServeListener, ServeOptions } from './serve-options.ts';
export { GatewayMetrics } from './gateway-metrics.ts';
