// The table of the server's options, including the gateway's. The file schema, the command-line flags, the environment
// variables and the reference page are derived from it.

import { GATEWAY_ROWS, option } from '@sipcast/core/options';
import { PORT_OR_RANGE } from '../access/outgoing-policy.ts';
import type { LOG_AREAS } from '../log/log.ts';
import { LOG_LEVELS } from '../log/log.ts';

const { count, flag, list, port, record, section, text, texts, time, word } = option;

const SCOPE = word(
  ['read', 'calls', 'admin'],
  '`read`: find and show; `calls`: also place and change calls; `admin`: also SIP messages.',
  'admin',
);

const SECRET = text(
  'Key that signs events by the Standard Webhooks scheme: `whsec_` and the key in base64, or any other text as the key itself.',
  'unsigned',
  {
    // With an empty key, anyone could sign.
    pattern: /^(?:(?!whsec_)[^]+|whsec_[\w+/-]{2,}={0,2})$/,
    problem: 'be whsec_ and a key in base64, or any other text',
  },
);

const LISTENER = {
  port: port('TCP port.', undefined, { isRequired: true }),
  host: text('IP address.', 'that of `http.host`'),
  https: flag('HTTPS instead of HTTP.', 'false'),
};

const USER = {
  name: text('User name.', undefined, {
    pattern: /^[^:\p{Cc}]{1,64}$/u,
    problem: 'be 1 to 64 characters without colon',
    isRequired: true,
  }),
  password: text('Output of `sipcast passwd` (`scrypt$…`).', undefined, { isRequired: true }),
  scope: SCOPE,
};

const TOKEN = {
  name: text('Name in the log.', undefined, {
    pattern: /^.{1,64}$/su,
    problem: 'be 1 to 64 characters',
    isRequired: true,
  }),
  hash: text('Output of `sipcast passwd --token` (`sha256$…`).', undefined, {
    pattern: /^sha256\$[0-9a-f]{64}$/,
    problem: 'be what sipcast passwd --token prints',
    isRequired: true,
  }),
  scope: SCOPE,
};

const AREAS: Readonly<Record<(typeof LOG_AREAS)[number], string>> = {
  call: 'Call statuses.',
  sip: 'SIP: registrations, refusals, bad messages; at `debug` the first line of each message.',
  rtp: 'RTP: bad packets, silent peers.',
  rtmp: 'Push statuses, and messages of RTMP servers.',
  media: 'ffmpeg and recordings.',
  rest: 'Wrong passwords, failures; at `debug` each request.',
  events: 'Lost events.',
  server: 'Start, stop, certificate.',
};
const areaLevel = (area: keyof typeof AREAS) => word(LOG_LEVELS, AREAS[area], '`log.level`');

/** Options of the log. */
const LOG_ROWS = {
  level: word(LOG_LEVELS, 'Lowest level to write.', 'info', { flag: 'log-level' }),
  format: word(
    ['json', 'line'],
    '`json`: one object per line. `line`: human-readable.',
    'json in production; line in dev',
    { flag: 'log-format' },
  ),
  areas: section('Levels of individual areas.', {
    call: areaLevel('call'),
    sip: areaLevel('sip'),
    rtp: areaLevel('rtp'),
    rtmp: areaLevel('rtmp'),
    media: areaLevel('media'),
    rest: areaLevel('rest'),
    events: areaLevel('events'),
    server: areaLevel('server'),
  }),
};

/** All options of a configuration. */
export const CONFIG_ROWS = {
  profile: word(
    ['dev', 'production'],
    '`dev`: for this machine, without passwords on loopback. `production`: HTTPS, users, limits.',
    'dev',
    { flag: 'profile' },
  ),
  stateDir: text(
    'Folder for the generated certificate and first password.',
    '`$STATE_DIRECTORY`, else `$XDG_STATE_HOME/sipcast`, else `~/.local/state/sipcast`',
    { flag: 'state-dir' },
  ),
  drainMs: time('How long running calls may continue after SIGTERM.', '30000; 0 in dev'),
  log: section('The log on standard output. Secrets are masked.', LOG_ROWS),
  http: section('The HTTP API and the console.', {
    host: text('IP address to listen on.', '127.0.0.1; 0.0.0.0 in production', { flag: 'host' }),
    port: port('TCP port of HTTP.', '8081', { flag: 'port' }),
    listeners: list('Further ports with the same API, e.g. 9091 and 8888.', LISTENER),
    console: flag('The web console at `/console/`.', 'true'),
    consoleDir: text('Folder of another build of the console.', 'the built-in one'),
    cors: texts(
      'Origins that browsers may call from, e.g. `https://app.example.com`; `*`: any.',
      'any in dev on loopback without users; else none',
    ),
    allowedHosts: texts(
      'Host names of the server, against DNS rebinding; IP addresses and `localhost` are always allowed.',
      'without users: no others; with users: any',
    ),
    maxConnections: count(
      'Open connections per port; a further one replaces an idle one, or one whose client does not read.',
      '256',
      { least: 1, most: 100_000 },
    ),
    maxConnectionsPerAddress: count(
      'Open connections per address (IPv6: per /64 network). A proxy counts as one address.',
      'half of `maxConnections`',
      { least: 1, most: 100_000 },
    ),
    keepAliveMs: time(
      'Idle connections stay open for this long. Keep it above the idle time-out of a proxy in front.',
      '65000',
      { least: 1 },
    ),
    requestsPerSecond: count(
      'Queries per second and address, and as many pages, including `/health` and `/ready`; twice as many in a burst. Beyond that, the answer is 429 and the connection is closed. 0: no limit.',
      '50 in production; 0 in dev',
    ),
    startupsPerSecond: count(
      'Calls and pushes that one address may start per second; twice as many in a burst. 0: no limit.',
      '10 in production; 0 in dev',
    ),
  }),
  https: section('HTTPS in addition to HTTP.', {
    enabled: flag('Serve HTTPS.', 'true in production, else when `certFile` is given'),
    port: port('TCP port of HTTPS.', '8444', { flag: 'https-port' }),
    certFile: text(
      'PEM file: certificate with its chain.',
      'a self-signed one, generated and stored',
    ),
    keyFile: text('PEM file: its private key.'),
    names: texts('Names and addresses in a generated certificate.', 'the host name, localhost'),
  }),
  users: list('Users of the API and the console.', USER),
  tokens: list('Bearer tokens for programs.', TOKEN),
  events: section('Call events to applications.', {
    callAppUrl: text('Events are posted to `<callAppUrl>/CallStatusEvent`.', 'nowhere', {
      flag: 'call-app-url',
    }),
    secret: SECRET,
    timeoutMs: time('Longest wait for a response.', '15000', { least: 1 }),
    retries: count('Attempts after the first.', '3', { most: 100 }),
    retryDelayMs: time('First pause between attempts; doubles each time.', '500', { least: 1 }),
    maxQueued: count('Events that may be queued.', '1000', { least: 1, most: 1_000_000 }),
    apps: record('Applications with their own URL, by application key (`appKey`).', {
      callAppUrl: text('Events are posted to `<callAppUrl>/CallStatusEvent`.', undefined, {
        isRequired: true,
      }),
      secret: SECRET,
    }),
  }),
  outgoing: section('Rules for outgoing connections.', {
    lan: flag(
      'Allow private and loopback addresses: the switch for use in a private network.',
      'true in dev; false in production',
    ),
    allow: texts('Networks (`10.1.0.0/16`) and names (`*.example.com`) to allow.', 'none'),
    deny: texts('Networks and names to refuse; takes precedence over `allow`.', 'none'),
    onlyAllowed: flag('Refuse everything that `allow` does not name.', 'false'),
    sipPorts: texts(
      'Ports and ranges (`5060-5090`) that SIP requests may go to when a client, a peer or DNS names them; `1-65535`: all. A server of `gateway.sipPing` that is named with a port may also be called there.',
      '5060-5090 in production; all in dev',
      {
        ports: PORT_OR_RANGE,
        problem: 'be a port or a range of ports, e.g. 5060-5090',
        least: 1,
      },
    ),
  }),
  gateway: section('Options of the gateway: SIP, media, RTMP.', GATEWAY_ROWS),
};
