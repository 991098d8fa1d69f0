import { describe, expect, it } from 'vitest';
import { HELP, parseCommand, UsageError } from './arguments.ts';

describe('command line', () => {
  it('reads every option', () => {
    const line =
      'serve --host 0.0.0.0 --port 9000 --rtp-ports 40000-40099 --sip-port=5060 --public-address 192.0.2.1 --call-app-url http://localhost:9091/CallApp --audio aac --ffmpeg /opt/ffmpeg';
    expect(parseCommand(line.split(' '), { SIPCAST_BASIC_AUTH: 'user:pa:ss' })).toEqual({
      kind: 'serve',
      options: {
        host: '0.0.0.0',
        port: 9000,
        rtpPorts: { min: 40_000, max: 40_099 },
        sipPort: 5060,
        publicAddress: '192.0.2.1',
        callAppUrl: 'http://localhost:9091/CallApp',
        audio: 'aac',
        ffmpegPath: '/opt/ffmpeg',
        basicAuth: { username: 'user', password: 'pa:ss' },
      },
    });
    expect(parseCommand(['serve'], { SIPCAST_BASIC_AUTH: '' })).toEqual({
      kind: 'serve',
      options: {},
    });
  });

  it('knows what is encoded, and where sounds and recordings are', () => {
    const line =
      'serve --no-transcoding --media-folder /srv/sounds --record-dir /srv/calls --no-console';
    expect(parseCommand(line.split(' '), {})).toEqual({
      kind: 'serve',
      options: {
        transcoding: false,
        console: false,
        mediaFolder: '/srv/sounds',
        recordDir: '/srv/calls',
      },
    });
    for (const name of [
      'no-transcoding',
      'no-console',
      'media-folder',
      'record-dir',
      'audio',
      'ffmpeg',
    ])
      expect(HELP).toContain(`--${name}`);
  });

  it('understands what SIP over TLS needs', () => {
    const line =
      'serve --sip-tls-cert c.pem --sip-tls-key k.pem --sip-tls-ca a.pem --sip-tls-port 5071';
    expect(parseCommand(line.split(' '), {})).toEqual({
      kind: 'serve',
      options: {
        sipTls: { certFile: 'c.pem', keyFile: 'k.pem', caFile: 'a.pem', port: 5071 },
      },
    });
    for (const name of ['cert', 'key', 'ca', 'port']) expect(HELP).toContain(`--sip-tls-${name} <`);
  });

  it('gives help and version wherever they stand', () => {
    expect(parseCommand(['--help'], {})).toEqual({ kind: 'help' });
    expect(parseCommand(['serve', '-h'], {})).toEqual({ kind: 'help' });
    expect(parseCommand(['--version'], {})).toEqual({ kind: 'version' });
    for (const name of [
      'host',
      'port',
      'rtp-ports',
      'sip-port',
      'sip-pcap',
      'public-address',
      'call-app-url',
    ])
      expect(HELP).toContain(`--${name} <`);
  });

  for (const [line, problem] of [
    ['', 'No command given'],
    ['start', "Unknown command 'start'"],
    ['serve now', "Unexpected argument 'now'"],
    ['serve --bogus', "Unknown option '--bogus'"],
    ['serve --port', "Option '--port <value>' argument missing"],
    ['serve --port x', '--port must be a number from 0 to 65535'],
    ['serve --port 65536', '--port must be a number from 0 to 65535'],
    ['serve --port -1', "Option '--port' argument is ambiguous"],
    ['serve --sip-port 1e3', '--sip-port must be a number from 0 to 65535'],
    ['serve --rtp-ports 30000', '--rtp-ports must look like 30000-39999'],
    ['serve --rtp-ports 30000-99999', '--rtp-ports must be a number from 0 to 65535'],
    ['serve --audio mp3', "--audio must be passthrough or aac, not 'mp3'"],
    ['serve --help=1', "Option '-h, --help' does not take an argument"],
  ] as const) {
    it(`refuses '${line}'`, () => {
      const argv = line.split(' ').filter((word) => word !== '');
      expect(() => parseCommand(argv, {})).toThrow(UsageError);
      expect(() => parseCommand(argv, {})).toThrow(
        new RegExp(`^${problem.replace(/[[\](){}<>.*+?]/g, '\\$&')}$`),
      );
    });
  }

  it('refuses an account without a password, and does not repeat it', () => {
    for (const account of ['secret', ':secret'])
      expect(() => parseCommand(['serve'], { SIPCAST_BASIC_AUTH: account })).toThrow(
        /^SIPCAST_BASIC_AUTH must be user:password$/,
      );
  });
});
