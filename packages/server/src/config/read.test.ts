import { describe, expect, it } from 'vitest';
import { optionsOf } from './options.ts';
import {
  CONFIG_SCHEMA,
  ConfigError,
  environmentOverrides,
  fieldsOf,
  readConfig,
  variableOf,
} from './read.ts';
import type { ConfigOverride } from './read.ts';

function problemsOf(text: string, overrides: readonly ConfigOverride[] = []): string {
  try {
    readConfig({ file: { name: 'f', text }, overrides });
    return 'in order';
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
}

describe('configuration', () => {
  it('reads both YAML and JSON', () => {
    const yaml = 'profile: production\nhttp:\n  port: 80\n  cors: [https://a]\n';
    const json = '{\n\t"profile": "production",\n\t"http": {"port": 80, "cors": ["https://a"]}\n}';
    const read = (text: string): unknown => readConfig({ file: { name: 'f', text } }).config;
    expect(read(json)).toEqual(read(yaml));
    expect(read(yaml)).toEqual({
      profile: 'production',
      http: { port: 80, cors: ['https://a'] },
    });
    expect([read(''), read('# nothing\n')]).toEqual([{}, {}]);
  });

  it.each([
    ['http:\n  port: 99999\n', 'f:2:3: http.port: Too big: expected number to be <=65535'],
    ['http:\n  prot: 1\n', 'f:2:3: http.prot: There is no such option'],
    ['prot: 1\n', 'f:1:1: prot: There is no such option'],
    ['__proto__: {}\n', 'f:1:1: __proto__: There is no such option'],
    ['users:\n  - name: a\n', 'f:2:5: users.0.password: is missing'],
    ['profile: prod\n', /^f:1:1: profile: Invalid option: expected one of "dev"\|"production"$/],
    ['- a\n', /^f:1:1: Invalid input: expected object/],
    ['words\n', /^f:1:1: Invalid input: expected object/],
    ['http: [1\n', /^f:2:1: Flow sequence/],
    ['http:\n  port: 1\n  port: 2\n', /^f:3:3: Map keys must be unique$/],
    ['{"http": {"port": "x"}}', /^f:1:11: http\.port: Invalid input: expected number/],
    [
      'gateway:\n  incoming:\n    rules:\n      - reject: {code: 3}\n',
      /^f:4:18: gateway\.incoming\.rules\.0\.reject\.code: Too small/,
    ],
    ['gateway: {transcoding: {sampleRateHz: 8000}}', /must be 44100 or 48000$/],
  ])('reports the place of the problem in %j', (text, words) => {
    expect(problemsOf(text)).toMatch(words);
  });

  it('reports all problems, one line each', () => {
    expect(problemsOf('a: 1\nb: 2\nhttp: {port: x}\n').split('\n')).toHaveLength(3);
  });

  it('has one line for each of twenty problems and one for the rest, whatever the keys are', () => {
    const lines = problemsOf('['.repeat(50)).split('\n');
    expect(lines).toHaveLength(21);
    expect(lines.at(-1)).toMatch(/^and \d+ more problems$/);
    expect(problemsOf('"a\\n\\e[31mb": 1\n')).toBe(
      'f:1:1: a\\x0a\\x1b[31mb: There is no such option',
    );
  });

  it('names the invalid variable or option', () => {
    const overrides = [
      { source: 'SIPCAST_HTTP_PORT', path: ['http', 'port'], value: 'many' },
      { source: '--set http.prot', path: ['http', 'prot'], value: '1' },
    ];
    expect(problemsOf('http: {port: 1}\n', overrides).split('\n')).toEqual([
      expect.stringMatching(/^SIPCAST_HTTP_PORT: http\.port: .*expected number/),
      '--set http.prot: http.prot: There is no such option',
    ]);
  });

  it('applies overrides to the file in order', () => {
    const { config } = readConfig({
      file: { name: 'f', text: 'http: {port: 1, host: h}\ngateway: {sipPort: 1}\n' },
      overrides: [
        { source: 'a', path: ['http', 'port'], value: '2' },
        { source: 'b', path: ['http', 'port'], value: '3' },
        { source: 'c', path: ['http', 'listeners'], value: '[{"port": 9091}]' },
        { source: 'd', path: ['gateway', 'rtpPorts', 'min'], value: '10' },
        { source: 'd', path: ['gateway', 'rtpPorts', 'max'], value: '20' },
      ],
    });
    expect(config).toEqual({
      http: { port: 3, host: 'h', listeners: [{ port: 9091 }] },
      gateway: { sipPort: 1, rtpPorts: { min: 10, max: 20 } },
    });
  });

  it('reads ports and port ranges from a file and from a variable', () => {
    const overrides = environmentOverrides({ SIPCAST_OUTGOING_SIP_PORTS: '5060, 15060-15070' });
    expect(readConfig({ overrides }).config).toEqual({
      outgoing: { sipPorts: ['5060', '15060-15070'] },
    });
    expect(problemsOf('outgoing: {sipPorts: [5060, sip]}')).toBe(
      'f:1:29: outgoing.sipPorts.1: must be a port or a range of ports, e.g. 5060-5090',
    );
    expect(problemsOf('outgoing: {sipPorts: [0]}')).toMatch(/a port or a range of ports/);
    expect(problemsOf('outgoing: {sipPorts: []}')).toMatch(/^f:1:12: outgoing\.sipPorts: /);
  });

  it('lets no override reach a prototype', () => {
    const path = ['__proto__', 'polluted'];
    expect(problemsOf('', [{ source: 's', path, value: '1' }])).toMatch(/no such option/);
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });

  it('rejects an event secret without a key', () => {
    for (const secret of ['whsec_', 'whsec_a!', ''])
      expect(problemsOf(`events: {secret: "${secret}"}`)).toMatch(/events\.secret: /);
    for (const secret of ['whsec_a2V5', 'whsec', 'a long secret'])
      expect(problemsOf(`events: {secret: "${secret}"}`)).toBe('in order');
  });

  it('does not let aliases grow without bound', () => {
    const lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x]'];
    for (let n = 1; n < 10; n++)
      lines.push(
        `a${n}: &a${n} [${Array<string>(9)
          .fill(`*a${n - 1}`)
          .join(', ')}]`,
      );
    expect(problemsOf(lines.join('\n'))).toMatch(/^f: Excessive alias count/);
  });

  it('has a variable and a description for each field', () => {
    const fields = fieldsOf(CONFIG_SCHEMA);
    expect(fields.length).toBeGreaterThan(100);
    const variables = fields.map(({ path }) => variableOf(path));
    expect(new Set(variables).size).toBe(variables.length);
    expect(variables).toContain('SIPCAST_GATEWAY_RTMP_TLS_FINGERPRINT256');
    for (const { path, schema } of fields)
      expect([path.join('.'), schema.description]).toEqual([path.join('.'), expect.any(String)]);
  });

  it('converts to the options of serve', () => {
    const text = `
profile: production
https: {port: 443, names: [a.example]}
http: {host: "::", port: 80, listeners: [{port: 9091}], requestsPerSecond: 5}
events: {callAppUrl: http://a/C, retries: 1, apps: {k: {callAppUrl: http://b/C}}}
outgoing: {lan: true, deny: [10.0.0.1], sipPorts: [5060, 5070-5080]}
gateway:
  sipPort: 5060
  sipTls: {certFile: c, keyFile: k, port: 5061, requireClientCertificate: true}
  sipGuard: {enabled: false}
  transcoding: {enabled: true, audioBitrateBps: 96000}
  jitterDelayMs: {maxMs: 300}
  rtmp: {giveUp: never, tls: {caFile: ca, insecure: true}}
`;
    expect(optionsOf(readConfig({ file: { name: 'f', text } }).config)).toEqual({
      profile: 'production',
      http: { host: '::', port: 80, listeners: [{ port: 9091 }], requestsPerSecond: 5 },
      https: { port: 443, names: ['a.example'] },
      events: { callAppUrl: 'http://a/C', retries: 1, apps: { k: { callAppUrl: 'http://b/C' } } },
      outgoing: { lan: true, deny: ['10.0.0.1'], sipPorts: [5060, '5070-5080'] },
      gateway: {
        sipPort: 5060,
        sipTls: { certFile: 'c', keyFile: 'k', port: 5061, requireClientCertificate: true },
        sipGuard: false,
        transcoding: { audioBitrateBps: 96_000 },
        jitterDelayMs: { minMs: 20, maxMs: 300 },
        rtmp: { giveUp: 'never', tls: { caFile: 'ca', insecure: true } },
      },
    });
  });
});
