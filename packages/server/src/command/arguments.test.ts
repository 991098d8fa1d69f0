import { describe, expect, it } from 'vitest';
import { HELP, parseCommand, UsageError } from './arguments.ts';
import type { ConfigArguments } from './arguments.ts';
import { readConfig } from '../config/read.ts';

function configOf(line: string, environment: Record<string, string> = {}): ConfigArguments {
  const command = parseCommand(line.split(' '), environment);
  if (!('config' in command)) throw new Error(`${command.kind} reads no configuration`);
  return command.config;
}

function read(line: string, environment: Record<string, string> = {}): unknown {
  return readConfig({ overrides: configOf(line, environment).overrides }).config;
}

/** Each option of `serve` and the field that it sets. */
const OPTIONS: readonly (readonly [string, object])[] = [
  ['--profile production', { profile: 'production' }],
  ['--host 0.0.0.0', { http: { host: '0.0.0.0' } }],
  ['--port 9000', { http: { port: 9000 } }],
  ['--https-port 9443', { https: { port: 9443 } }],
  ['--state-dir /var/lib/sipcast', { stateDir: '/var/lib/sipcast' }],
  ['--rtp-ports 40000-40099', { gateway: { rtpPorts: { min: 40_000, max: 40_099 } } }],
  ['--sip-port=5060', { gateway: { sipPort: 5060 } }],
  ['--public-address 192.0.2.1', { gateway: { publicAddress: ['192.0.2.1'] } }],
  ['--sip-tls-cert c.pem', { gateway: { sipTls: { certFile: 'c.pem' } } }],
  ['--sip-tls-key k.pem', { gateway: { sipTls: { keyFile: 'k.pem' } } }],
  ['--sip-tls-ca a.pem', { gateway: { sipTls: { caFile: 'a.pem' } } }],
  ['--sip-tls-port 5071', { gateway: { sipTls: { port: 5071 } } }],
  ['--sip-pcap x.pcap', { gateway: { sipTrace: { pcap: 'x.pcap' } } }],
  ['--call-app-url http://a/C', { events: { callAppUrl: 'http://a/C' } }],
  ['--audio aac', { gateway: { audio: 'aac' } }],
  ['--ffmpeg /opt/ffmpeg', { gateway: { transcoding: { ffmpegPath: '/opt/ffmpeg' } } }],
  ['--no-transcoding', { gateway: { transcoding: { enabled: false } } }],
  ['--media-folder /srv/sounds', { gateway: { mediaFolder: '/srv/sounds' } }],
  ['--record-dir /srv/calls', { gateway: { recording: { dir: '/srv/calls' } } }],
  ['--lan', { outgoing: { lan: true } }],
  ['--no-console', { http: { console: false } }],
  ['--set gateway.rtpTimeoutMs=5', { gateway: { rtpTimeoutMs: 5 } }],
  ['--set http.cors=https://a,https://b', { http: { cors: ['https://a', 'https://b'] } }],
];

describe('command line', () => {
  it.each(OPTIONS)('reads %s', (option, config) => {
    expect(read(`serve ${option}`)).toEqual(config);
    expect(HELP).toContain(` ${option.split(/[ =]/, 1)[0]}`);
  });

  it('uses the environment, unless an option overrides it', () => {
    const environment = {
      SIPCAST_HTTP_PORT: '1',
      SIPCAST_GATEWAY_SIP_TLS_CERT_FILE: 'c.pem',
      SIPCAST_OUTGOING_LAN: 'true',
      SIPCAST_HTTP_HOST: '',
      SIPCAST_NO_SUCH_THING: '1',
    };
    expect(read('serve --port 2', environment)).toEqual({
      http: { port: 2 },
      gateway: { sipTls: { certFile: 'c.pem' } },
      outgoing: { lan: true },
    });
  });

  it('reads the file and the account', () => {
    expect(configOf('serve', { SIPCAST_CONFIG: 'a.yaml' }).configFile).toBe('a.yaml');
    expect(configOf('serve --config b.yaml', { SIPCAST_CONFIG: 'a.yaml' }).configFile).toBe(
      'b.yaml',
    );
    const account = { username: 'user', password: 'pa:ss' };
    expect(configOf('serve', { SIPCAST_BASIC_AUTH: 'user:pa:ss' }).basicAuth).toEqual(account);
    expect(configOf('serve', { SIPCAST_BASIC_AUTH: '' }).basicAuth).toBeUndefined();
  });

  it('reads the other commands', () => {
    expect(parseCommand(['config', 'check', 'a.yaml'], {})).toEqual({
      kind: 'config-check',
      file: 'a.yaml',
    });
    expect(parseCommand(['passwd'], {})).toEqual({
      kind: 'passwd',
      user: 'admin',
      scope: 'admin',
      isToken: false,
      isSaved: false,
      stateDir: undefined,
    });
    expect(parseCommand('passwd bob --token --scope read'.split(' '), {})).toMatchObject({
      user: 'bob',
      isToken: true,
      scope: 'read',
    });
    expect(parseCommand(['doctor'], {}).kind).toBe('doctor');
    const call = 'call sip:a@b --rtmp rtmp://s/app/n --record /r --transport tcp --audio-only';
    expect(parseCommand(call.split(' '), {})).toMatchObject({
      kind: 'call',
      call: {
        callee: 'sip:a@b',
        rtmp: 'rtmp://s/app/n',
        record: '/r',
        transport: 'tcp',
        hasAudio: true,
        hasVideo: false,
      },
    });
    for (const flag of ['--help', '-h']) expect(parseCommand([flag], {})).toEqual({ kind: 'help' });
    expect(parseCommand(['-v'], {})).toEqual({ kind: 'version' });
  });

  it.each([
    ['', 'No command given'],
    ['frobnicate', "Unknown command 'frobnicate'"],
    ['constructor', "Unknown command 'constructor'"],
    ['serve now', "Unexpected argument 'now'"],
    ['serve --bogus', "Unknown option '--bogus'"],
    ['serve --token', "serve has no option '--token'"],
    ['passwd --port 1', "passwd has no option '--port'"],
    ['serve --rtp-ports 5', '--rtp-ports must look like 30000-39999'],
    ['serve --set port', '--set must look like http.port=8081'],
    ['config', 'config needs a subcommand: check'],
    ['config write x', 'config has one subcommand: check'],
    ['config check', 'config needs check and a file'],
    ['call', 'call needs a SIP URI'],
    ['call sip:a@b --transport pigeon', '--transport must be one of udp, tcp, tls, auto'],
    ['passwd --scope all', '--scope must be one of read, calls, admin'],
  ])('reports the problem in: %s', (line, problem) => {
    const run = (): unknown => parseCommand(line === '' ? [] : line.split(' '), {});
    expect(run).toThrow(UsageError);
    expect(run).toThrow(problem);
  });

  it('rejects an account without a user or a password', () => {
    for (const account of ['user', ':pass', 'user:']) {
      expect(() => parseCommand(['serve'], { SIPCAST_BASIC_AUTH: account })).toThrow(
        /^SIPCAST_BASIC_AUTH must be user:password$/,
      );
    }
  });
});
