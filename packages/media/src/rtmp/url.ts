// RTMP addresses: `rtmp[s]://[user:password@]host[:port]/app[/instance][?query]`.

import { RtmpError } from '../errors.ts';

/** The parts of an RTMP address. */
export interface RtmpUrl {
  /** `rtmps:`. */
  readonly secure: boolean;
  /** Name or IP address, IPv6 without brackets. */
  readonly host: string;
  /** 1935 for `rtmp:`, 443 for `rtmps:`, unless given. */
  readonly port: number;
  /** Application with instance and query, as the `app` of `connect`. */
  readonly app: string;
  /** The `tcUrl` of `connect`: the address without user and password. */
  readonly tcUrl: string;
  /** Percent-decoded user, where one is given. */
  readonly username: string | undefined;
  readonly password: string | undefined;
}

/** Servers map applications to folders. Matches it plain or escaped, but not in the query. */
const STEP_UPWARDS = /^(?:[^?]*(?:[/\\]|%2f|%5c))?(?:\.|%2e){2}(?:[/\\?]|%2f|%5c|$)/i;

/**
 * Parses an RTMP address. Ignores a trailing slash.
 *
 * @throws RtmpError `INVALID_URL`, with the `field` `scheme`, `host`, `port`, `app` or `userinfo`.
 */
export function parseRtmpUrl(text: string): RtmpUrl {
  const scheme = /^(rtmps?):\/\//i.exec(text);
  if (!scheme) throw invalid('scheme', 'An RTMP address begins with rtmp:// or rtmps://');
  // oxlint-disable-next-line no-control-regex -- finding control characters is the point
  if (/[\u0000-\u0020\u007f]/.test(text))
    throw invalid('app', 'The address has white space or a control character');
  const secure = scheme[1]?.toLowerCase() === 'rtmps';
  const rest = text.slice(scheme[0].length);
  const slash = rest.search(/[/?]/);
  const authority = slash < 0 ? rest : rest.slice(0, slash);
  const at = authority.lastIndexOf('@');
  const [username, password] =
    at < 0 ? [undefined, undefined] : parseUserinfo(authority.slice(0, at));
  const hostport = authority.slice(at + 1);
  const match = /^(?:\[([0-9a-f:.%a-z]+)\]|([^:[\]@]+))(?::(\d*))?$/i.exec(hostport);
  const host = match?.[1] ?? match?.[2];
  if (!match || !host) throw invalid('host', 'The host is missing or malformed');
  const port = match[3] === undefined || match[3] === '' ? (secure ? 443 : 1935) : Number(match[3]);
  if (port < 1 || port > 65_535) throw invalid('port', 'The port must be 1 to 65535');
  const app = slash < 0 ? '' : trimPath(rest.slice(slash));
  if (app === '' || app.startsWith('?'))
    throw invalid('app', 'The application is missing: rtmp://host/app');
  if (STEP_UPWARDS.test(app)) throw invalid('app', 'The path has a .. step');
  return {
    secure,
    host,
    port,
    app,
    tcUrl: `${scheme[0].toLowerCase()}${hostport}/${app}`,
    username,
    password,
  };
}

/**
 * Resolves an address from a server, absolute or relative to the current one (Enhanced RTMP v2, "Reconnect Request";
 * RFC 3986 §5.2): `rtmp://host/app`, `//host/app` or `/app`.
 *
 * @throws RtmpError `INVALID_URL`.
 */
export function resolveRtmpUrl(reference: string, base: RtmpUrl): string {
  const scheme = base.secure ? 'rtmps:' : 'rtmp:';
  const authority = /^rtmps?:\/\/([^/?]+)/i.exec(base.tcUrl)?.[1] ?? '';
  const absolute = /^[a-z][a-z0-9+.-]*:/i.test(reference)
    ? reference
    : reference.startsWith('//')
      ? `${scheme}${reference}`
      : reference.startsWith('/')
        ? `${scheme}//${authority}${reference}`
        : `${scheme}//${authority}/${reference}`;
  parseRtmpUrl(absolute);
  return absolute;
}

/** The address without its user, password and query, for logs and errors. */
export function redactRtmpUrl(text: string): string {
  return text.replace(/^([a-z]+:\/\/)[^/?]*@/i, '$1***@').replace(/\?.*$/, '?***');
}

function trimPath(path: string): string {
  const query = path.indexOf('?');
  const name = (query < 0 ? path : path.slice(0, query)).replace(/^\//, '').replace(/\/$/, '');
  return query < 0 ? name : name + path.slice(query);
}

function parseUserinfo(text: string): [string, string | undefined] {
  const colon = text.indexOf(':');
  try {
    return colon < 0
      ? [decodeURIComponent(text), undefined]
      : [decodeURIComponent(text.slice(0, colon)), decodeURIComponent(text.slice(colon + 1))];
  } catch (cause) {
    throw invalid('userinfo', 'The user or password has a malformed percent-escape', cause);
  }
}

function invalid(field: string, message: string, cause?: unknown): RtmpError {
  return new RtmpError('INVALID_URL', message, { field, cause });
}
