// The command line of `sipcast`.

import { parseArgs } from 'node:util';
import { configFlags, environmentOverrides } from '../config/read.ts';
import type { ConfigFlag, ConfigOverride } from '../config/read.ts';

/** Flags that set one field each, derived from the option tables. */
const FLAGS: readonly ConfigFlag[] = configFlags();

function helpOf({ name, description, fallback, value }: ConfigFlag): string {
  const sentence = description.charAt(0).toLowerCase() + description.slice(1).replace(/\.$/, '');
  const isName = /^[A-Z]{2}/.test(description);
  const words = `${isName ? description.replace(/\.$/, '') : sentence}${fallback === undefined ? '' : ` (default: ${fallback})`}`;
  const option = `  --${name} <${value}>`;
  const gap = option.length < 27 ? '' : `\n${' '.repeat(27)}`;
  return `${option.padEnd(27)}${gap}${words.replaceAll('`', '')}`;
}

/** The text of `--help`. */
export const HELP = `Usage: sipcast <command> [options]

  serve                     starts the gateway with its HTTP API at /rest-api and its console at /console/
  call <sip-uri>            places one call from the terminal; Ctrl-C ends it
  push <stream> [rtmp-url]  pushes a named stream of a running server to one more RTMP server; Ctrl-C ends it
  doctor                    checks whether this machine is ready, and suggests fixes
  config check <file>       reports the problems in a configuration, with line and column
  passwd [user]             asks for a password and prints its entry for the configuration

serve, call and doctor read a configuration; variables override the file, and options override both:
  --config <file>           YAML or JSON (or SIPCAST_CONFIG); see docs/reference/configuration.md
  --set <field>=<value>     any field of the configuration, e.g. --set gateway.rtpTimeoutMs=30000
${FLAGS.map(helpOf).join('\n')}
  --rtp-ports <from>-<to>   ports for RTP and RTCP (default: 30000-39999)
  --no-transcoding          run without ffmpeg; a call that needs transcoding ends FAILED
  --lan                     production: allow connections to private addresses
  --no-console              no web console

call
  --rtmp <url>              publish to rtmp://server/app/name
  --record <path>           record into this folder
  --login <user>            SIP user, with its password in SIPCAST_SIP_PASSWORD
  --transport udp|tcp|tls|auto
  --video-only, --audio-only   send only this medium

push
  --server <url>            API of the server (default SIPCAST_URL, http://127.0.0.1:8081/rest-api)
  --mute                    send silence in place of the audio
  The URL, rtmp://server/app/name, can also be set in SIPCAST_RTMP_URL, where no process list shows its key. Credentials for the
  API are set in SIPCAST_BASIC_AUTH (user:password) or SIPCAST_TOKEN.

passwd
  --token                   make a bearer token instead
  --scope read|calls|admin  what it may do (default admin)
  --save                    save the user in the state folder instead of printing it

  --help, --version

Environment
  SIPCAST_HTTP_PORT, …      every field of the configuration, by its path
  SIPCAST_BASIC_AUTH        user:password that every HTTP request must send

Exit codes: 0 after an orderly end, 1 if it cannot start, 2 for an invalid command line or configuration,
3 after an internal error.
`;

/** The sources of the configuration. */
export interface ConfigArguments {
  /** Path of the file. */
  readonly configFile: string | undefined;
  readonly overrides: readonly ConfigOverride[];
  readonly basicAuth?: { readonly username: string; readonly password: string };
}

/** One call from the terminal. */
export interface CallArguments {
  readonly callee: string;
  readonly rtmp: string | undefined;
  readonly record: string | undefined;
  readonly login: string | undefined;
  /** From `SIPCAST_SIP_PASSWORD`, so that no process list shows it. */
  readonly password: string | undefined;
  readonly transport: 'udp' | 'tcp' | 'tls' | 'auto' | undefined;
  readonly hasAudio: boolean;
  readonly hasVideo: boolean;
}

/** One push on a running server. */
export interface PushArguments {
  readonly streamName: string;
  readonly rtmpUrl: string;
  /** URL of the API, including its mount path. */
  readonly server: string;
  readonly isMuted: boolean;
  readonly basicAuth?: { readonly username: string; readonly password: string };
  readonly token?: string;
}

/** The parsed command line. */
export type Command =
  | { readonly kind: 'help' | 'version' }
  | { readonly kind: 'serve' | 'doctor'; readonly config: ConfigArguments }
  | { readonly kind: 'call'; readonly config: ConfigArguments; readonly call: CallArguments }
  | { readonly kind: 'push'; readonly push: PushArguments }
  | { readonly kind: 'config-check'; readonly file: string }
  | {
      readonly kind: 'passwd';
      readonly user: string;
      readonly scope: 'read' | 'calls' | 'admin';
      readonly isToken: boolean;
      readonly isSaved: boolean;
      readonly stateDir: string | undefined;
    };

/** An invalid command line. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Options without a value that set a fixed one. */
const SWITCHES = {
  'no-transcoding': ['gateway.transcoding.enabled', 'false'],
  'no-console': ['http.console', 'false'],
  lan: ['outgoing.lan', 'true'],
} as const;
const SWITCH_NAMES = Object.keys(SWITCHES) as (keyof typeof SWITCHES)[];
const CONFIG_OPTIONS: readonly string[] = [
  ...FLAGS.map(({ name }) => name),
  ...SWITCH_NAMES,
  'config',
  'set',
  'rtp-ports',
];
/** The options of each command, besides `help` and `version`. */
const OPTIONS_OF: Readonly<Record<string, readonly string[]>> = {
  serve: CONFIG_OPTIONS,
  doctor: CONFIG_OPTIONS,
  call: [...CONFIG_OPTIONS, 'rtmp', 'record', 'login', 'transport', 'audio-only', 'video-only'],
  push: ['server', 'mute'],
  passwd: ['token', 'save', 'scope', 'state-dir'],
  config: [],
};

/**
 * @param argv - Without the names of node and the script.
 * @throws UsageError with a one-line message.
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
  const allowed = Object.hasOwn(OPTIONS_OF, command) ? OPTIONS_OF[command] : undefined;
  if (allowed === undefined) throw new UsageError(`Unknown command '${command}'`);
  for (const name of Object.keys(values))
    if (!allowed.includes(name)) throw new UsageError(`${command} has no option '--${name}'`);
  const take = (what?: string): string => {
    const value = others.shift();
    if (value === undefined) throw new UsageError(`${command} needs ${what}`);
    return value;
  };
  const result = ((): Command => {
    switch (command) {
      case 'serve':
      case 'doctor':
        return { kind: command, config: configOf(values, environment) };
      case 'call': {
        const callee = take('a SIP URI');
        return {
          kind: 'call',
          config: configOf(values, environment),
          call: callOf(callee, values, environment['SIPCAST_SIP_PASSWORD']),
        };
      }
      case 'push': {
        const streamName = take('the name of a stream');
        return { kind: 'push', push: pushOf(streamName, others.shift(), values, environment) };
      }
      case 'config':
        if (take('a subcommand: check') !== 'check')
          throw new UsageError('config has one subcommand: check');
        return { kind: 'config-check', file: take('check and a file') };
      default:
        return {
          kind: 'passwd',
          user: others.shift() ?? 'admin',
          scope: oneOf('--scope', values.scope ?? 'admin', ['read', 'calls', 'admin']),
          isToken: values.token ?? false,
          isSaved: values.save ?? false,
          stateDir: values['state-dir'],
        };
    }
  })();
  if (others.length > 0) throw new UsageError(`Unexpected argument '${others[0]}'`);
  return result;
}

type Values = ReturnType<typeof parse>['values'];

function configOf(
  values: Values,
  environment: Readonly<Record<string, string | undefined>>,
): ConfigArguments {
  const overrides: ConfigOverride[] = [...environmentOverrides(environment)];
  const set = (name: string, field: string, value: string): void =>
    void overrides.push({ source: `--${name}`, path: field.split('.'), value });
  for (const { name, path } of FLAGS) {
    const value = (values as Readonly<Record<string, unknown>>)[name];
    if (typeof value === 'string') set(name, path.join('.'), value);
  }
  for (const name of SWITCH_NAMES) {
    const [field, value] = SWITCHES[name];
    if (values[name]) set(name, field, value);
  }
  if (values['rtp-ports'] !== undefined) {
    const [, from, to] = /^(\d{1,5})-(\d{1,5})$/.exec(values['rtp-ports']) ?? [];
    if (from === undefined || to === undefined)
      throw new UsageError('--rtp-ports must look like 30000-39999');
    set('rtp-ports', 'gateway.rtpPorts.min', from);
    set('rtp-ports', 'gateway.rtpPorts.max', to);
  }
  for (const assignment of values.set ?? []) {
    const [, field, value] = /^([A-Za-z0-9.]+)=(.*)$/s.exec(assignment) ?? [];
    if (field === undefined || value === undefined)
      throw new UsageError('--set must look like http.port=8081');
    overrides.push({ source: `--set ${field}`, path: field.split('.'), value });
  }
  const account = environment['SIPCAST_BASIC_AUTH'];
  return {
    configFile: values.config ?? (environment['SIPCAST_CONFIG'] || undefined),
    overrides,
    ...(account === undefined || account === '' ? {} : { basicAuth: accountOf(account) }),
  };
}

function callOf(callee: string, values: Values, password: string | undefined): CallArguments {
  const { rtmp, record, login, transport } = values;
  return {
    callee,
    rtmp,
    record,
    login,
    password,
    transport:
      transport === undefined
        ? undefined
        : oneOf('--transport', transport, ['udp', 'tcp', 'tls', 'auto']),
    hasAudio: !values['video-only'],
    hasVideo: !values['audio-only'],
  };
}

function pushOf(
  streamName: string,
  url: string | undefined,
  values: Values,
  environment: Readonly<Record<string, string | undefined>>,
): PushArguments {
  const rtmpUrl = url ?? environment['SIPCAST_RTMP_URL'] ?? '';
  if (!/^(?:rtmps?:\/\/[^/]+\/.+\/[^/]+|srt:\/\/.+)$/i.test(rtmpUrl))
    throw new UsageError('push needs an address like rtmp://server/app/name or srt://server:port');
  const server = values.server ?? (environment['SIPCAST_URL'] || 'http://127.0.0.1:8081/rest-api');
  if (!/^https?:\/\/./.test(server) || !URL.canParse(server))
    throw new UsageError('--server must be an http or https URL');
  const account = environment['SIPCAST_BASIC_AUTH'];
  const token = environment['SIPCAST_TOKEN'];
  return {
    streamName,
    rtmpUrl,
    server,
    isMuted: values.mute ?? false,
    ...(account && { basicAuth: accountOf(account) }),
    ...(token && { token }),
  };
}

const text = { type: 'string' } as const;
const flag = { type: 'boolean' } as const;

function parse(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: {
        config: text,
        set: { type: 'string', multiple: true },
        ...Object.fromEntries(FLAGS.map(({ name }) => [name, text])),
        'rtp-ports': text,
        'state-dir': text,
        'no-transcoding': flag,
        'no-console': flag,
        lan: flag,
        rtmp: text,
        record: text,
        login: text,
        transport: text,
        'audio-only': flag,
        'video-only': flag,
        server: text,
        mute: flag,
        token: flag,
        save: flag,
        scope: text,
        help: { type: 'boolean', short: 'h' },
        version: { type: 'boolean', short: 'v' },
      },
    });
  } catch (error) {
    // "Unknown option '--x'. To specify a positional argument …": the first sentence is enough.
    const [problem = ''] = (error instanceof Error ? error.message : '').split(/\.\s|\n/);
    throw new UsageError(problem.replace(/\.$/, ''), { cause: error });
  }
}

function oneOf<const T extends string>(option: string, value: string, words: readonly T[]): T {
  const found = words.find((word) => word === value);
  if (found === undefined)
    throw new UsageError(`${option} must be one of ${words.join(', ')}, not '${value}'`);
  return found;
}

function accountOf(value: string): { username: string; password: string } {
  const colon = value.indexOf(':');
  // An empty password usually comes from an unset variable, and is trivial to guess.
  if (colon < 1 || colon === value.length - 1)
    throw new UsageError('SIPCAST_BASIC_AUTH must be user:password');
  return { username: value.slice(0, colon), password: value.slice(colon + 1) };
}
