// The command line of `sipcast`.

import { parseArgs } from 'node:util';
import type { ServeOptions } from './serve.ts';

/** Words for `--help`. */
export const HELP = `Usage: sipcast serve [options]

Starts the gateway with its HTTP API at /rest-api and its web console at /console/.

  --host <address>          listen for HTTP on this address (default 127.0.0.1)
  --port <number>           HTTP port (default 8081; 0: one that is free)
  --rtp-ports <from>-<to>   ports for RTP and RTCP (default 30000-39999)
  --sip-port <number>       UDP and TCP port for SIP (default: one that is free)
  --public-address <ip>     address that SIP peers shall use, behind NAT
  --sip-tls-cert <file>     certificate (PEM) to show and to accept SIP over TLS with; with --sip-tls-key
  --sip-tls-key <file>      its private key
  --sip-tls-ca <file>       authorities that SIP peers are trusted by (default: the system's)
  --sip-tls-port <number>   TCP port for SIP over TLS (default: one above the SIP port)
  --sip-pcap <file>         write all SIP to this file for Wireshark, passwords and keys masked
  --call-app-url <url>      POST call events to <url>/CallStatusEvent
  --audio aac|passthrough   what RTMP servers get (default aac; passthrough: G.711 as it comes)
  --ffmpeg <path>           ffmpeg to encode with (default: FFMPEG_PATH, the PATH, @ffmpeg-installer/ffmpeg)
  --no-transcoding          encode nothing: no ffmpeg is needed; a call that needs it ends FAILED
  --media-folder <path>     folder of the files that inject_sound may play
  --record-dir <path>       folder for calls with "record": true
  --no-console              no web console
  --help, --version

Environment
  SIPCAST_BASIC_AUTH        user:password that every HTTP request must give
`;

/** What the command line asks for. */
export type Command =
  | { readonly kind: 'help' | 'version' }
  | { readonly kind: 'serve'; readonly options: ServeOptions };

/** A command line that cannot be understood. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/**
 * @param argv - Without the names of node and the script.
 * @throws UsageError with one clear line.
 */
export function parseCommand(
  argv: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Command {
  const { values, positionals } = parse(argv);
  if (values.help) return { kind: 'help' };
  if (values.version) return { kind: 'version' };
  const [command, ...others] = positionals;
  if (command === undefined) throw new UsageError('No command given');
  if (command !== 'serve') throw new UsageError(`Unknown command '${command}'`);
  if (others.length > 0) throw new UsageError(`Unexpected argument '${others[0]}'`);
  const account = environment['SIPCAST_BASIC_AUTH'];
  return {
    kind: 'serve',
    options: {
      ...(values.host === undefined ? {} : { host: values.host }),
      ...(values.port === undefined ? {} : { port: portOf('--port', values.port) }),
      ...(values['sip-port'] === undefined
        ? {}
        : { sipPort: portOf('--sip-port', values['sip-port']) }),
      ...sipTlsOf(values),
      ...(values['sip-pcap'] === undefined ? {} : { sipPcap: values['sip-pcap'] }),
      ...(values['rtp-ports'] === undefined ? {} : { rtpPorts: rangeOf(values['rtp-ports']) }),
      ...(values['public-address'] === undefined
        ? {}
        : { publicAddress: values['public-address'] }),
      ...(values['call-app-url'] === undefined ? {} : { callAppUrl: values['call-app-url'] }),
      ...(values.audio === undefined ? {} : { audio: audioOf(values.audio) }),
      ...(values.ffmpeg === undefined ? {} : { ffmpegPath: values.ffmpeg }),
      ...(values['no-transcoding'] ? { transcoding: false } : {}),
      ...(values['no-console'] ? { console: false } : {}),
      ...(values['record-dir'] === undefined ? {} : { recordDir: values['record-dir'] }),
      ...(values['media-folder'] === undefined ? {} : { mediaFolder: values['media-folder'] }),
      ...(account === undefined || account === '' ? {} : { basicAuth: accountOf(account) }),
    },
  };
}

const text = { type: 'string' } as const;

function parse(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: {
        host: text,
        port: text,
        'rtp-ports': text,
        'sip-port': text,
        'sip-tls-cert': text,
        'sip-tls-key': text,
        'sip-tls-ca': text,
        'sip-tls-port': text,
        'sip-pcap': text,
        'public-address': text,
        'call-app-url': text,
        audio: text,
        ffmpeg: text,
        'no-transcoding': { type: 'boolean' },
        'no-console': { type: 'boolean' },
        'media-folder': text,
        'record-dir': text,
        help: { type: 'boolean', short: 'h' },
        version: { type: 'boolean', short: 'v' },
      },
    });
  } catch (error) {
    // "Unknown option '--x'. To specify a positional argument …": the first sentence says it all.
    const [problem = ''] = (error instanceof Error ? error.message : '').split(/\.\s|\n/);
    throw new UsageError(problem.replace(/\.$/, ''), { cause: error });
  }
}

function sipTlsOf(
  values: Readonly<Partial<Record<`sip-tls-${'cert' | 'key' | 'ca' | 'port'}`, string>>>,
): Pick<ServeOptions, 'sipTls'> {
  const { 'sip-tls-cert': certFile, 'sip-tls-key': keyFile, 'sip-tls-ca': caFile } = values;
  const port = values['sip-tls-port'];
  if ([certFile, keyFile, caFile, port].every((value) => value === undefined)) return {};
  return {
    sipTls: {
      ...(certFile === undefined ? {} : { certFile }),
      ...(keyFile === undefined ? {} : { keyFile }),
      ...(caFile === undefined ? {} : { caFile }),
      ...(port === undefined ? {} : { port: portOf('--sip-tls-port', port) }),
    },
  };
}

function portOf(option: string, value: string): number {
  const port = /^\d{1,5}$/.test(value) ? Number(value) : Number.NaN;
  if (!(port <= 65_535)) throw new UsageError(`${option} must be a number from 0 to 65535`);
  return port;
}

function rangeOf(value: string): { min: number; max: number } {
  const [, from, to] = /^(\d{1,5})-(\d{1,5})$/.exec(value) ?? [];
  if (from === undefined || to === undefined)
    throw new UsageError('--rtp-ports must look like 30000-39999');
  return { min: portOf('--rtp-ports', from), max: portOf('--rtp-ports', to) };
}

function accountOf(value: string): { username: string; password: string } {
  const colon = value.indexOf(':');
  if (colon < 1) throw new UsageError('SIPCAST_BASIC_AUTH must be user:password');
  return { username: value.slice(0, colon), password: value.slice(colon + 1) };
}

function audioOf(value: string): 'passthrough' | 'aac' {
  if (value === 'passthrough' || value === 'aac') return value;
  throw new UsageError(`--audio must be passthrough or aac, not '${value}'`);
}
