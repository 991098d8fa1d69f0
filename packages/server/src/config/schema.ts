// What a configuration may hold. The reference in the documentation is made of it.

import { z } from 'zod';
import { count, flag, port, section, text, texts, time, word } from './fields.ts';
import { gatewaySection } from './gateway.ts';
import { LOG_AREAS, LOG_LEVELS } from '../log/log.ts';
import { PORT_OR_RANGE } from '../access/outgoing-policy.ts';

const SCOPES = ['read', 'calls', 'admin'] as const;
const scope = word(
  SCOPES,
  '`read`: what finds and shows; `calls`: places and changes calls, too; `admin`: SIP messages, too.',
  'admin',
);

const listener = z.strictObject({
  port: z.int().min(0).max(65_535).meta({ description: 'TCP port.' }),
  host: text('IP address.', 'that of `http.host`'),
  https: flag('HTTPS instead of HTTP.', 'false'),
});

const user = z.strictObject({
  name: z
    .string()
    .regex(/^[^:\p{Cc}]{1,64}$/u, 'must be 1 to 64 characters without colon')
    .meta({ description: 'User name.' }),
  password: z.string().min(1).meta({ description: 'What `sipcast passwd` prints (`scrypt$…`).' }),
  scope,
});

const token = z.strictObject({
  name: z.string().min(1).max(64).meta({ description: 'What it is called in the log.' }),
  hash: z
    .string()
    .regex(/^sha256\$[0-9a-f]{64}$/, 'must be what sipcast passwd --token prints')
    .meta({ description: 'What `sipcast passwd --token` prints (`sha256$…`).' }),
  scope,
});

const SECRET = 'must be whsec_ and a key in base64, or any other text';
/** An empty key would let everybody sign. */
const secret = z
  .string()
  .min(1)
  .regex(/^(?:(?!whsec_)[^]+|whsec_[\w+/-]{2,}={0,2})$/, SECRET)
  .meta({
    description:
      'Signs them by the Standard Webhooks scheme: `whsec_` and the key in base64, or any other text, which is then the key.',
    fallback: 'unsigned',
  })
  .optional();

const application = z.strictObject({
  callAppUrl: z
    .string()
    .min(1)
    .meta({ description: 'Events go to `<callAppUrl>/CallStatusEvent`.' }),
  secret,
});

const NO_PORT = 'must be a port or a range of ports, e.g. 5060-5090';
const portOrRange = z.union(
  [z.int().min(1, NO_PORT).max(65_535, NO_PORT), z.string().regex(PORT_OR_RANGE, NO_PORT)],
  NO_PORT,
);

const AREAS: Readonly<Record<(typeof LOG_AREAS)[number], string>> = {
  call: 'Statuses of calls.',
  sip: 'SIP: registrations, refusals, bad messages; at `debug` each message by its first line.',
  rtp: 'RTP: bad packets, silent peers.',
  rtmp: 'Statuses of pushes, and what RTMP servers say.',
  media: 'ffmpeg and recordings.',
  rest: 'Wrong passwords, failures; at `debug` each request.',
  events: 'Events that were lost.',
  server: 'Start, end, certificate.',
};
const areaLevel = (area: keyof typeof AREAS) => word(LOG_LEVELS, AREAS[area], '`log.level`');
const areas = {
  call: areaLevel('call'),
  sip: areaLevel('sip'),
  rtp: areaLevel('rtp'),
  rtmp: areaLevel('rtmp'),
  media: areaLevel('media'),
  rest: areaLevel('rest'),
  events: areaLevel('events'),
  server: areaLevel('server'),
};

/** The whole configuration. */
export const CONFIG = z.strictObject({
  profile: word(
    ['dev', 'production'],
    '`dev`: for this machine, without passwords on loopback. `production`: HTTPS, users, guards.',
    'dev',
  ),
  stateDir: text(
    'Folder for what is kept: generated certificate and first password.',
    '`$STATE_DIRECTORY`, else `$XDG_STATE_HOME/sipcast`, else `~/.local/state/sipcast`',
  ),
  drainMs: time('At SIGTERM running calls may finish for so long.', '30000; 0 in dev'),
  maxLoopLagMs: count(
    'New calls are refused while events wait this long for the processor; 0: never.',
    '250',
    0,
    60_000,
  ),
  log: section('What is written to standard output. Secrets are masked in whatever is logged.', {
    level: word(LOG_LEVELS, 'Lines below are left out.', 'info'),
    format: word(
      ['json', 'line'],
      '`json`: an object a line. `line`: for reading.',
      'json in production; line in dev',
    ),
    areas: section('Areas with a level of their own.', areas),
  }),
  http: section('The HTTP API and the console.', {
    host: text('IP address that is listened on.', '127.0.0.1; 0.0.0.0 in production'),
    port: port('TCP port of HTTP.', '8081'),
    listeners: z
      .array(listener)
      .meta({ description: 'More ports with the same API, e.g. 9091 and 8888.' })
      .optional(),
    console: flag('The web console at `/console/`.', 'true'),
    cors: texts(
      'Origins that browsers may call from, e.g. `https://app.example.com`; `*`: any.',
      'any in dev on loopback without users; else none',
    ),
    allowedHosts: texts(
      'Names that the server is called by, against DNS rebinding; IP addresses and `localhost` always are.',
      'without users: none more; with users: any',
    ),
    maxConnections: count(
      'Connections of each port at a time; one more takes the place of one that asks nothing, or does not take its answer.',
      '256',
      1,
      100_000,
    ),
    maxConnectionsPerAddress: count(
      'Of them those of one address (IPv6: of one network), which is that of a proxy where there is one.',
      'half of `maxConnections`',
      1,
      100_000,
    ),
    requestsPerSecond: count(
      'Queries of one address a second, and as many pages, `/health` and `/ready` among them; twice as many at once. Whoever asks for more gets 429, and the connection is closed. 0: any number.',
      '50 in production; 0 in dev',
    ),
    startupsPerSecond: count(
      'Calls and pushes that one address may start a second, twice as many at once; 0: any number.',
      '10 in production; 0 in dev',
    ),
  }),
  https: section('HTTPS beside HTTP.', {
    enabled: flag('Whether there is HTTPS.', 'true in production, else when `certFile` is given'),
    port: port('TCP port of HTTPS.', '8444'),
    certFile: text('PEM file: certificate with its chain.', 'a self-signed one is made and kept'),
    keyFile: text('PEM file: its private key.'),
    names: texts('Names and addresses in a certificate that is made.', 'the host name, localhost'),
  }),
  users: z.array(user).meta({ description: 'Who may use API and console.' }).optional(),
  tokens: z.array(token).meta({ description: 'Bearer tokens for programs.' }).optional(),
  events: section('Call events to applications.', {
    callAppUrl: text('Events go to `<callAppUrl>/CallStatusEvent`.', 'nowhere'),
    secret,
    timeoutMs: time('Longest wait for an answer.', '15000', 1),
    retries: count('Tries after the first.', '3', 0, 100),
    retryDelayMs: time('First pause between tries; doubles.', '500', 1),
    maxQueued: count('Events that may wait.', '1000', 1, 1_000_000),
    apps: z
      .record(z.string(), application)
      .meta({ description: 'Applications of their own, by application key (`appKey`).' })
      .optional(),
  }),
  outgoing: section('Where the server may connect to.', {
    lan: flag(
      'The one switch for use in a private network: private and loopback addresses are allowed.',
      'true in dev; false in production',
    ),
    allow: texts('Networks (`10.1.0.0/16`) and names (`*.example.com`) that always are.', 'none'),
    deny: texts('Networks and names that never are; it comes before `allow`.', 'none'),
    onlyAllowed: flag('What `allow` does not name is refused.', 'false'),
    sipPorts: z
      .array(portOrRange)
      .min(1)
      .meta({
        description:
          'Ports and ranges (`5060-5090`) that SIP requests may go to, where a client, a peer or DNS names them; `1-65535`: all. ' +
          'A server of `gateway.sipPing` that is named with a port may be called there, too.',
        fallback: '5060-5090 in production; all in dev',
      })
      .optional(),
  }),
  gateway: gatewaySection,
});

/** A configuration as it is read. */
export type Config = z.output<typeof CONFIG>;
