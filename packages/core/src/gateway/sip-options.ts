// The gateway's options in the words of the SIP user agent and of pushes, and errors about them back in the gateway's.

import type { SipUserAgentOptions } from '@sipcast/sip';
import { GatewayError } from '../errors.ts';
import type { RtmpOptions } from '../stream/rtmp-options.ts';
import type { CallGatewayOptions } from './gateway-options.ts';

/** Options of the SIP user agent by their names here. */
const SIP_FIELDS: Readonly<Record<string, string>> = {
  port: 'sipPort',
  destinationPorts: 'sipDestinationPorts',
};

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
