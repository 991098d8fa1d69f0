// SRT addresses: `srt://host:port[?streamid=…&passphrase=…&latency=…]`, as libsrt's own tools and most servers write them.

import { RtmpError } from '../errors.ts';

/** The parts of an SRT address. */
export interface SrtUrl {
  /** Name or IP address, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  /** Options of the connection by their names in ffmpeg. */
  readonly options: ReadonlyMap<string, string>;
  /** What must appear in no log: passphrase and stream ID. */
  readonly secrets: readonly string[];
}

/** Checks one option of the query and gives it ffmpeg's name and unit. */
type Option = (value: string) => readonly [name: string, value: string] | undefined;

const whole =
  (name: string, least: number, most: number, factor = 1): Option =>
  (value) => {
    const number = /^\d{1,12}$/.test(value) ? Number(value) : Number.NaN;
    return number >= least && number <= most ? [name, String(number * factor)] : undefined;
  };

/** By lower-case name. Times are milliseconds, as in libsrt. */
const OPTIONS: Readonly<Record<string, Option>> = {
  // RFC-less: "SRT Access Control (Stream ID) Guidelines", at most 512 octets.
  streamid: (value) => (value.length <= 512 ? ['streamid', value] : undefined),
  passphrase: (value) =>
    value.length >= 10 && value.length <= 79 ? ['passphrase', value] : undefined,
  pbkeylen: (value) => (/^(?:16|24|32)$/.test(value) ? ['pbkeylen', value] : undefined),
  latency: whole('latency', 0, 60_000, 1000),
  maxbw: whole('maxbw', 0, 10_000_000_000),
  // Datagrams of more would be cut up on the way.
  pkt_size: whole('pkt_size', 188, 1456),
  // We always call: a listener would open a port that the user did not ask for.
  mode: (value) => (value === 'caller' ? ['mode', value] : undefined),
};

/**
 * Parses an SRT address.
 *
 * @throws RtmpError `INVALID_URL`, with the `field` `scheme`, `host`, `port`, `userinfo` or `query`.
 */
export function parseSrtUrl(text: string): SrtUrl {
  if (!/^srt:\/\//i.test(text)) throw invalid('scheme', 'An SRT address begins with srt://');
  // oxlint-disable-next-line no-control-regex -- finding control characters is the point
  if (text.length > 2048 || /[\u0000-\u0020\u007f]/.test(text))
    throw invalid('query', 'The address is too long, or has white space or a control character');
  const [, authority = '', path = '', query = ''] =
    /^srt:\/\/([^/?#]*)(\/?[^?#]*)(?:\?([^#]*))?$/i.exec(text) ?? [];
  if (authority.includes('@')) throw invalid('userinfo', 'SRT has no user in its address');
  if (path !== '' && path !== '/') throw invalid('query', 'SRT has no path: use ?streamid=');
  const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+)):(\d{1,5})$/i.exec(authority);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (!match || host === undefined) throw invalid('host', 'The address must be srt://host:port');
  if (port < 1 || port > 65_535) throw invalid('port', 'The port must be 1 to 65535');
  const options = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(query)) {
    const known = OPTIONS[name.toLowerCase()];
    if (!known) throw invalid('query', `There is no option ${name.slice(0, 32)} of SRT here`);
    const option = known(value);
    if (!option) throw invalid('query', `The value of ${name} is not allowed`);
    options.set(...option);
  }
  const secrets = [options.get('passphrase'), options.get('streamid')].filter(
    (secret) => secret !== undefined,
  );
  return { host, port, options, secrets };
}

function invalid(field: string, problem: string): RtmpError {
  return new RtmpError('INVALID_URL', problem, { field });
}
