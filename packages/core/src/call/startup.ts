// What a request for a call resolves to: validated, with defaults filled in.

import { randomBytes } from 'node:crypto';
import { parseUri } from '@sipcast/sip';
import type { DigestCredentials, SipUri } from '@sipcast/sip';
import { GatewayError, invalidArgument } from '../errors.ts';
import { checkStreamName } from '../stream/names.ts';
import { checkPushTarget } from '../stream/push-protocols.ts';
import { formOptionsOf } from '../stream/output-form.ts';
import { checkOptions } from '../option-rows.ts';
import type { OutputFormOptions } from '../stream/output-form.ts';
import type { PushRtmpOptions } from '../stream/rtmp-options.ts';
import type { StartupRequest } from './startup-request.ts';
import { STARTUP_ROWS } from './startup-rows.ts';

/** A validated request with all defaults filled in. */
export interface ResolvedStartup {
  /** The peer called us. */
  readonly incoming: boolean;
  readonly callId: string;
  readonly callee: string;
  /** Request-URI and To. */
  readonly target: string;
  readonly from: { readonly uri: string; readonly displayName: string };
  /** Request-URI of REGISTER. */
  readonly registrar: string;
  /** Where REGISTER goes. */
  readonly registrarHop: { readonly host: string; readonly port?: number };
  readonly credentials: DigestCredentials | undefined;
  /** Where requests go, where it is not what the target says. */
  readonly outboundProxy: { readonly host: string; readonly port?: number } | undefined;
  /** Host that the INVITE goes to first, as it was named. */
  readonly calledHost: string;
  readonly transport: 'udp' | 'tcp' | 'tls' | 'auto';
  readonly registerRequired: boolean;
  readonly caller: string;
  readonly visibleName: string;
  readonly appKey: string;
  readonly toStream: string;
  readonly rtmpUrl: string | null;
  readonly rtmpStream: string | null;
  readonly rtmp: PushRtmpOptions;
  readonly hasAudio: boolean;
  readonly hasVideo: boolean;
  readonly form: OutputFormOptions;
  /** Undefined: the gateway's. */
  readonly srtp: 'off' | 'optional' | 'required' | undefined;
  readonly record: boolean | { readonly dir: string };
  readonly custom: Readonly<Record<string, unknown>>;
  readonly headers: readonly (readonly [string, string])[];
}

/** Whether requests may go to this port of a host. */
export type AllowsPort = (host: string, port: number) => boolean;

// RFC 3261 §25.1: callid = word [ "@" word ].
const CALL_ID =
  /^[A-Za-z0-9\-.!%*_+`'~()<>:\\"/[\]?{}]+(@[A-Za-z0-9\-.!%*_+`'~()<>:\\"/[\]?{}]+)?$/;
// oxlint-disable-next-line no-control-regex -- finding control characters is the point
const CONTROL = /[\u0000-\u001f\u007f]/;
/** Half of a character: has no UTF-8 form, so it can neither be escaped nor sent. */
const LONE_SURROGATE = /\p{Cs}/u;
const HOST_PORT = /^(?:sip:)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?(?:;lr)?$/;
const TOKEN = /^[A-Za-z0-9\-.!%*_+`'~]+$/;
const MAX_REALMS = 16;
const MAX_CUSTOM_BYTES = 4096;
/** Extra headers of an INVITE: enough for any PBX; the INVITE must still fit into a few datagrams. */
const MAX_HEADERS = 32;
const MAX_HEADERS_BYTES = 8192;
/** Headers that the stack itself writes. */
const OWN_HEADERS = new Set([
  'via',
  'v',
  'from',
  'f',
  'to',
  't',
  'call-id',
  'i',
  'cseq',
  'contact',
  'm',
  'max-forwards',
  'route',
  'record-route',
  'content-length',
  'l',
  'content-type',
  'c',
  'content-encoding',
  'e',
  'require',
  'proxy-require',
  'supported',
  'k',
  'allow',
  'authorization',
  'proxy-authorization',
]);

/**
 * Validates a request and fills in the defaults.
 *
 * @param newCallId - Makes a Call-ID where none is given.
 * @param allowsPort - Default: all ports.
 * @throws GatewayError `INVALID_ARGUMENT`, with `field`.
 */
export function resolveStartup(
  given: StartupRequest,
  newCallId: () => string,
  allowsPort: AllowsPort = () => true,
): ResolvedStartup {
  const request = checkedRequest(given);
  const callId = text(request, 'callId', 256) ?? newCallId();
  if (!CALL_ID.test(callId)) throw invalidArgument('callId', 'is not an RFC 3261 Call-ID');
  const callee = text(request, 'callee', 1024);
  const caller = text(request, 'sipLogin', 256) ?? 'sipcast';
  const domain = hostPort(request, 'sipDomain');
  const proxy = hostPort(request, 'sipOutboundProxy');
  const { sipPort, sipRegisterRequired: registerRequired = false } = request;
  const target = targetOf(callee, domain);
  const uri = parseSip(target, 'callee');
  // RFC 3261 §19.1.1, table 1: neither is allowed in To; what they ask for would be dropped silently.
  if (target.includes('?') || uri.parameters.has('method'))
    throw invalidArgument('callee', 'must have no headers and no method parameter');
  const transport = resolveTransport(request, uri);
  const fromHost = domain?.text ?? bracketed(uri.host);
  const { scheme } = uri;
  const fromUri = `${scheme}:${escapeUser(caller)}@${fromHost}`;
  parseSip(fromUri, 'sipLogin');
  const username = text(request, 'sipAuthenticationName', 256) ?? caller;
  const password = text(request, 'sipPassword', 256);
  const field = hasHost(callee) ? 'callee' : 'sipDomain';
  const called = { field, host: uri.host, port: uri.port } as const;
  const hop = proxy ?? called;
  // The registrar is the domain; without one, the callee's host and port.
  const registrarHop = proxy ?? domain ?? called;
  const hopPort = hop.port ?? sipPort;
  const registrarPort = registrarHop.port ?? sipPort;
  requirePort(hop, sipPort, allowsPort);
  if (registerRequired) requirePort(registrarHop, sipPort, allowsPort);
  const redirected = proxy !== undefined || (sipPort !== undefined && uri.port === undefined);

  const rtmp = resolveRtmp(request);
  const toStream = text(request, 'toStream', 128) ?? newStreamName();
  checkStreamName('toStream', toStream);
  return {
    incoming: false,
    callId,
    callee,
    target,
    from: { uri: fromUri, displayName: text(request, 'visibleName', 256) ?? caller },
    registrar: `${scheme}:${fromHost}`,
    registrarHop: hopTo(registrarHop.host, registrarPort),
    credentials:
      password === undefined ? undefined : { username, password, ...resolveRealms(request) },
    outboundProxy: redirected ? hopTo(hop.host, hopPort) : undefined,
    calledHost: hop.host,
    transport,
    registerRequired,
    caller,
    visibleName: text(request, 'visibleName', 256) ?? caller,
    appKey: text(request, 'appKey', 256) ?? 'defaultApp',
    toStream,
    ...rtmp,
    rtmp: request.rtmp ?? {},
    hasAudio: request.hasAudio ?? true,
    hasVideo: request.hasVideo ?? true,
    form: formOptionsOf(request),
    srtp: request.srtp,
    record: resolveRecord(request.record),
    custom: resolveCustom(request.custom),
    headers: resolveHeaders(request.sipHeaders),
  };
}

/** Every call's stream can be found, pushed and watched by a name. */
function newStreamName(): string {
  return `call-${randomBytes(6).toString('hex')}`;
}

/** The text `any` alone means all realms. */
function resolveRealms({ sipRealms }: StartupRequest): Pick<DigestCredentials, 'realms'> {
  if (sipRealms === undefined) return {};
  if (sipRealms === 'any') return { realms: 'any' };
  const realms = typeof sipRealms === 'string' ? [sipRealms] : [...sipRealms];
  if (realms.length > MAX_REALMS)
    throw invalidArgument('sipRealms', `has more than ${MAX_REALMS} realms`);
  for (const realm of realms) {
    if (realm.length > 256) throw invalidArgument('sipRealms', 'is longer than 256 characters');
    if (CONTROL.test(realm)) throw invalidArgument('sipRealms', 'has a control character');
  }
  return { realms };
}

function hopTo(host: string, known: number | undefined): { host: string; port?: number } {
  return known === undefined ? { host } : { host, port: known };
}

/** `sipTransport`; without it, what the callee's URI asks for. */
function resolveTransport(request: StartupRequest, uri: SipUri): ResolvedStartup['transport'] {
  const named = uri.parameters.get('transport')?.toLowerCase();
  if (named !== undefined && named !== 'udp' && named !== 'tcp' && named !== 'tls')
    throw invalidArgument('callee', 'has a transport other than udp, tcp and tls');
  const transport = request.sipTransport ?? (uri.scheme === 'sips' ? 'tls' : (named ?? 'udp'));
  // RFC 3261 §26.2.2: sips: promises TLS.
  if (uri.scheme === 'sips' && transport !== 'tls' && transport !== 'auto')
    throw invalidArgument('sipTransport', 'must be tls for a sips: callee');
  return uri.scheme === 'sips' ? 'tls' : transport;
}

function resolveRtmp(request: StartupRequest): {
  rtmpUrl: string | null;
  rtmpStream: string | null;
} {
  const rtmpUrl = text(request, 'rtmpUrl', 2048) ?? null;
  const rtmpStream = text(request, 'rtmpStream', 512) ?? null;
  if (rtmpUrl === null && rtmpStream === null) return { rtmpUrl, rtmpStream };
  if (rtmpUrl === null) throw invalidArgument('rtmpUrl', 'is required together with rtmpStream');
  if (rtmpStream === null) throw invalidArgument('rtmpStream', 'is required together with rtmpUrl');
  checkPushTarget(rtmpUrl, rtmpStream);
  return { rtmpUrl, rtmpStream };
}

/** @throws GatewayError naming the field that held the port of the next hop */
function requirePort(hop: Named, sipPort: number | undefined, allowsPort: AllowsPort): void {
  const number = hop.port ?? sipPort;
  if (number === undefined || allowsPort(hop.host, number)) return;
  const field = hop.port === undefined ? 'sipPort' : hop.field;
  throw invalidArgument(field, `names port ${number}, which may not be connected to`);
}

/** A callee without a host is a user of the domain. */
function hasHost(callee: string): boolean {
  return isSipUri(callee) || callee.includes('@');
}

function isSipUri(callee: string): boolean {
  return /^sips?:/i.test(callee);
}

function targetOf(callee: string, domain: HostPort | undefined): string {
  if (isSipUri(callee)) return callee;
  if (
    /^[A-Za-z][A-Za-z0-9+.-]*:[^@]*$/.test(callee) &&
    !callee.includes('@') &&
    /^tel:/i.test(callee)
  ) {
    throw invalidArgument('callee', 'must be a user, user@host, or a SIP URI');
  }
  const at = callee.lastIndexOf('@');
  if (at >= 0) return `sip:${escapeUser(callee.slice(0, at))}@${callee.slice(at + 1)}`;
  if (!domain) throw invalidArgument('callee', 'has no host, and there is no sipDomain');
  return `sip:${escapeUser(callee)}@${domain.text}`;
}

/** A host, and the field that names it. */
interface Named {
  readonly field: 'callee' | 'sipDomain' | 'sipOutboundProxy';
  readonly host: string;
  readonly port: number | undefined;
}

interface HostPort extends Named {
  readonly text: string;
}

function hostPort(
  request: StartupRequest,
  field: 'sipDomain' | 'sipOutboundProxy',
): HostPort | undefined {
  const value = text(request, field, 256);
  if (value === undefined) return undefined;
  const match = HOST_PORT.exec(value);
  if (!match?.[1]) throw invalidArgument(field, 'must be host or host:port');
  const portText = match[2];
  const number = portText === undefined ? undefined : Number(portText);
  if (number !== undefined && (number < 1 || number > 65_535))
    throw invalidArgument(field, 'has a port out of 1 to 65535');
  const host = match[1].replace(/^\[|\]$/g, '');
  return {
    field,
    text: match[1] + (portText === undefined ? '' : `:${portText}`),
    host,
    port: number,
  };
}

/** Escapes what a user part must not contain (RFC 3261 §25.1); existing escapes stay. */
function escapeUser(user: string): string {
  return user.replace(/%(?![0-9A-Fa-f]{2})|[^A-Za-z0-9\-_.!~*'()&=+$,;?/%]/gu, (character) =>
    encodeURIComponent(character),
  );
}

function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

function parseSip(uri: string, field: string): SipUri {
  try {
    return parseUri(uri);
  } catch (cause) {
    throw new GatewayError('INVALID_ARGUMENT', `${field}: ${messageOf(cause)}`, { field, cause });
  }
}

/** The fields that have a value, each of its kind. Empty texts and `null` count as absent. */
function checkedRequest(given: StartupRequest): StartupRequest {
  if (typeof given !== 'object' || given === null)
    throw invalidArgument('request', 'must be an object');
  const present = Object.entries(given).filter(
    ([, value]) => value !== undefined && value !== null && value !== '',
  );
  const request = Object.fromEntries(present) as unknown as StartupRequest;
  if (request.callee === undefined) throw invalidArgument('callee', 'is required');
  checkOptions(STARTUP_ROWS, request);
  return request;
}

type TextField = {
  [Field in keyof StartupRequest]-?: NonNullable<StartupRequest[Field]> extends string
    ? Field
    : never;
}[keyof StartupRequest];

/** A text that SIP can carry. */
function text<Field extends TextField>(
  request: StartupRequest,
  field: Field,
  maxLength: number,
): StartupRequest[Field] {
  const value = request[field];
  if (value === undefined) return value;
  if (value.length > maxLength)
    throw invalidArgument(field, `is longer than ${maxLength} characters`);
  if (CONTROL.test(value)) throw invalidArgument(field, 'has a control character');
  if (LONE_SURROGATE.test(value)) throw invalidArgument(field, 'is not well-formed Unicode');
  return value;
}

function resolveRecord(record: StartupRequest['record'] = false): ResolvedStartup['record'] {
  return typeof record === 'boolean' ? record : { dir: record.dir };
}

function resolveCustom(custom: StartupRequest['custom'] = {}): ResolvedStartup['custom'] {
  let json: string;
  try {
    json = JSON.stringify(custom);
  } catch (cause) {
    throw new GatewayError('INVALID_ARGUMENT', 'custom cannot be written as JSON', {
      field: 'custom',
      cause,
    });
  }
  if (Buffer.byteLength(json) > MAX_CUSTOM_BYTES)
    throw invalidArgument('custom', `is longer than ${MAX_CUSTOM_BYTES} bytes`);
  // A copy: later changes by the caller must not show in events.
  return JSON.parse(json) as Record<string, unknown>;
}

function resolveHeaders(headers: StartupRequest['sipHeaders'] = {}): ResolvedStartup['headers'] {
  const entries = Object.entries(headers);
  if (entries.length > MAX_HEADERS)
    throw invalidArgument('sipHeaders', `has more than ${MAX_HEADERS} headers`);
  if (Buffer.byteLength(JSON.stringify(entries)) > MAX_HEADERS_BYTES) {
    throw invalidArgument('sipHeaders', `is longer than ${MAX_HEADERS_BYTES} bytes in all`);
  }
  return entries.map(([name, value]: [string, unknown]) => {
    if (!TOKEN.test(name))
      throw invalidArgument('sipHeaders', `has a malformed name: ${JSON.stringify(name)}`);
    if (OWN_HEADERS.has(name.toLowerCase()))
      throw invalidArgument('sipHeaders', `must not set ${name}`);
    if (
      typeof value !== 'string' ||
      CONTROL.test(value) ||
      LONE_SURROGATE.test(value) ||
      value.length > 2048
    ) {
      throw invalidArgument('sipHeaders', `has a value for ${name} that is not a plain string`);
    }
    return [name, value] as const;
  });
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
