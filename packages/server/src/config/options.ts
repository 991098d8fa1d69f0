// From a configuration to the options of `serve`.

import type { CallGatewayOptions } from '@sipcast/core';
import type { GatewayConfig } from './gateway.ts';
import type { Config } from './schema.ts';
import type { ServeOptions } from '../serve/serve-options.ts';

/** Without the `undefined` that optional keys of the schema may have in its types, and never have. */
type Given<T> = T extends readonly (infer U)[]
  ? readonly Given<U>[]
  : T extends object
    ? { [K in keyof T]: Given<Exclude<T[K], undefined>> }
    : T;

/** The options that a configuration stands for. */
export function optionsOf(read: Config): ServeOptions {
  const { http = {}, https, events = {}, gateway, ...config } = read as Given<Config>;
  const { callAppUrl, ...delivery } = events;
  const {
    enabled = config.profile === 'production' || https?.certFile !== undefined,
    ...certificate
  } = https ?? {};
  const { cors, allowedHosts, maxConnections, maxConnectionsPerAddress } = http;
  const { requestsPerSecond, startupsPerSecond } = http;
  const { stateDir, profile, users, tokens, outgoing, maxLoopLagMs } = config;
  const { sipTls, rtmp } = gateway ?? {};
  const { certFile, keyFile, caFile, port: tlsPort } = sipTls ?? {};
  const files = given({ certFile, keyFile, caFile, port: tlsPort });
  return given({
    profile,
    stateDir,
    host: http.host,
    port: http.port,
    console: http.console,
    listeners: http.listeners,
    cors,
    allowedHosts,
    maxConnections,
    maxConnectionsPerAddress,
    requestsPerSecond,
    startupsPerSecond,
    https: enabled && certificate,
    users,
    tokens,
    callAppUrl,
    events: delivery,
    outgoing,
    maxLoopLagMs,
    logging: config.log,
    sipTls: Object.keys(files).length > 0 ? files : undefined,
    rtmpCaFile: rtmp?.tls?.caFile,
    gateway: gateway && gatewayOptionsOf(gateway),
  });
}

function gatewayOptionsOf(gateway: Given<GatewayConfig>): CallGatewayOptions {
  const { sipTls, sipGuard, transcoding, rtmp, incoming, jitterDelayMs, rtpPorts, ...same } =
    gateway;
  const { certFile: _c, keyFile: _k, caFile: _a, port: _p, ...tls } = sipTls ?? {};
  const { enabled: isGuarded = true, ...guard } = sipGuard ?? {};
  const { enabled: transcodes = true, ...encoding } = transcoding ?? {};
  const { tls: rtmpTls, ...pushes } = rtmp ?? {};
  const { caFile: _rtmpCa, ...checks } = rtmpTls ?? {};
  return {
    ...same,
    ...(sipTls && { sipTls: tls }),
    ...(sipGuard && { sipGuard: isGuarded && guard }),
    ...(transcoding && { transcoding: transcodes && encoding }),
    ...(rtmp && { rtmp: { ...pushes, ...(rtmpTls && { tls: checks }) } }),
    ...(incoming && { incoming }),
    ...(jitterDelayMs && {
      jitterDelayMs: { minMs: jitterDelayMs.minMs ?? 20, maxMs: jitterDelayMs.maxMs ?? 200 },
    }),
    ...(rtpPorts && { rtpPorts }),
  };
}

/** Without keys whose value is undefined. */
function given<T extends Readonly<Record<string, unknown>>>(
  options: T,
): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const entries = Object.entries(options).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> };
}
