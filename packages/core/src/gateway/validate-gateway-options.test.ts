import { SipError } from '@sipcast/sip';
import { describe, expect, it } from 'vitest';
import { createCallGateway } from './gateway.ts';
import type { CallGatewayOptions } from './gateway-options.ts';
import { asGatewayError } from './sip-options.ts';
import { validateGatewayOptions } from './validate-gateway-options.ts';

const bad: [object, string][] = [
  [{ rtpPorts: { min: 5, max: 1 } }, 'rtpPorts'],
  [{ rtpPorts: { min: '1', max: 9 } }, 'rtpPorts'],
  [{ maxCalls: 0 }, 'maxCalls'],
  [{ maxCalls: Number.NaN }, 'maxCalls'],
  [{ historySize: -1 }, 'historySize'],
  [{ historySize: 1.5 }, 'historySize'],
  [{ jitterDelayMs: -1 }, 'jitterDelayMs'],
  [{ jitterDelayMs: '60' }, 'jitterDelayMs'],
  [{ inviteTimeoutMs: 0 }, 'inviteTimeoutMs'],
  [{ inviteTimeoutMs: 2 ** 31 }, 'inviteTimeoutMs'],
  [{ offer: { profileLevelId: '42\r\na' } }, 'offer.profileLevelId'],
  [{ offer: { audioCodecs: ['mp3'] } }, 'offer.audioCodecs'],
  [{ jitterDelayMs: { minMs: 50, maxMs: 20 } }, 'jitterDelayMs.maxMs'],
  [{ jitterDelayMs: { minMs: 50 } }, 'jitterDelayMs.maxMs'],
  [{ jitterDelayMs: null }, 'jitterDelayMs'],
  [{ videoLoss: 'hope' }, 'videoLoss'],
  [{ videoFreezeMs: -1 }, 'videoFreezeMs'],
  [{ rtpTimeoutMs: '60' }, 'rtpTimeoutMs'],
  [{ silentAudio: 'yes' }, 'silentAudio'],
  [{ mediaFolder: '' }, 'mediaFolder'],
  [{ transcoding: true }, 'transcoding'],
  [{ jitterDelayMs: 10_000 }, 'jitterDelayMs'],
  [{ transcoding: { openAudio: 'aac' } }, 'transcoding.openAudio'],
  [{ transcoding: { openVideo: {} } }, 'transcoding.openVideo'],
  [{ transcoding: { maxAudioEncoders: 1.5 } }, 'transcoding.maxAudioEncoders'],
  [{ offer: { audioCodecs: [] } }, 'offer.audioCodecs'],
  [{ offer: { videoCodecs: 'h264-mode1' } }, 'offer.videoCodecs'],
  [{ offer: { extraAudioLines: ['a=x\r\nm=y'] } }, 'offer.extraAudioLines'],
  [{ offer: { extraVideoLines: ['x'] } }, 'offer.extraVideoLines'],
  [{ rtmp: { reconnectMinMs: -5 } }, 'rtmp.reconnectMinMs'],
  [{ rtmp: { stallTimeoutMs: Number.NaN } }, 'rtmp.stallTimeoutMs'],
  [{ rtmp: { giveUp: '1' } }, 'rtmp.giveUp'],
  [{ rtmp: { streamPrefix: '\r\n' } }, 'rtmp.streamPrefix'],
  [{ rtmp: { maxReconnects: 1.5 } }, 'rtmp.maxReconnects'],
  [{ rtmp: { enhanced: 'on' } }, 'rtmp.enhanced'],
  [{ rtmp: { tls: { ca: '/etc/ca.pem' } } }, 'rtmp.tls.ca'],
  [{ rtmp: { tls: { ca: [] } } }, 'rtmp.tls.ca'],
  [{ rtmp: { tls: { ca: [Buffer.from('-----BEGIN CERTIFICATE-----'), 1] } } }, 'rtmp.tls.ca'],
  [{ rtmp: { mayRedirect: true } }, 'rtmp.mayRedirect'],
  [{ rtmp: { probe: 'no' } }, 'rtmp.probe'],
  [{ rtmp: { tls: true } }, 'rtmp.tls'],
  [{ rtmp: { tls: { fingerprint256: 'ab:cd' } } }, 'rtmp.tls.fingerprint256'],
  [{ rtmp: { tls: { insecure: 'yes' } } }, 'rtmp.tls.insecure'],
  [{ logger: { info() {} } }, 'logger'],
  ...(
    [
      ['rtmpUrl', { rtmpUrl: 'http://media.example.com/live', rtmpStream: 'x' }],
      ['rtmpUrl', { rtmpUrl: 'rtmp:/media.example.com', rtmpStream: 'x' }],
      ['rtmpUrl', { rtmpUrl: 5, rtmpStream: 'x' }],
      ['rtmpUrl', { rtmpStream: '{called}' }],
      ['rtmpStream', { rtmpUrl: 'rtmp://media.example.com/live' }],
      ['rtmpStream', { rtmpUrl: 'rtmp://media.example.com/live', rtmpStream: 'a b' }],
      ['toStream', { toStream: '.{nobody}' }],
      ['srtp', { srtp: 'yes' }],
      ['hasAudio', { hasAudio: 'no' }],
    ] as const
  ).map(([field, accept]): [object, string] => [
    { incoming: { rules: [{ reject: { code: 486 } }, { accept }] } },
    `incoming.rules.1.accept.${field}`,
  ]),
];

describe('validateGatewayOptions', () => {
  it('takes none, all defaults, and console', () => {
    validateGatewayOptions({});
    validateGatewayOptions({
      maxCalls: 1,
      historySize: 0,
      jitterDelayMs: { minMs: 0, maxMs: 0 },
      offer: { audioCodecs: ['pcmu'], extraVideoLines: ['b=AS:500'] },
      rtmp: { giveUp: 'never', coalesceMs: 0, streamPrefix: 'rtmp_' },
      logger: console,
    });
  });

  for (const [options, field] of bad) {
    it(`refuses ${JSON.stringify(options)}, naming ${field}`, () => {
      expect(() => validateGatewayOptions(options as CallGatewayOptions)).toThrow(
        expect.objectContaining({ name: 'GatewayError', code: 'INVALID_ARGUMENT', field }),
      );
    });
  }

  it('names the options of the SIP user agent as the gateway does', async () => {
    const error = (field: string): SipError => new SipError('INVALID_ARGUMENT', 'bad', { field });
    expect(asGatewayError(error('port'))).toMatchObject({ name: 'GatewayError', field: 'sipPort' });
    expect(asGatewayError(error('timers.t1Ms'))).toMatchObject({ field: 'sipTimers.t1Ms' });
    const other = new Error('x');
    expect(asGatewayError(other)).toBe(other);
    // The user agent's constructor opens nothing.
    await expect(
      createCallGateway(
        { transcoding: false },
        {
          createUserAgent: () => {
            throw error('bindAddress');
          },
        },
      ),
    ).rejects.toMatchObject({ name: 'GatewayError', field: 'bindAddress' });
  });
});
