import { describe, expect, it } from 'vitest';
import { adviseRtmpTarget, rtmpTargetOf } from './rtmp-targets.ts';

describe('known RTMP targets', () => {
  const hosts: [url: string, name: string | undefined][] = [
    ['rtmp://a.rtmp.youtube.com/live2', 'YouTube Live'],
    ['rtmps://b.rtmps.youtube.com:443/live2?backup=1', 'YouTube Live'],
    ['rtmps://live-api-s.facebook.com:443/rtmp/', 'Facebook Live'],
    ['rtmp://live-fra.twitch.tv/app', 'Twitch'],
    ['rtmps://ingest.global-contribute.live-video.net/app', 'Twitch'],
    ['rtmps://fra02.contribute.live-video.net/app', 'Twitch'],
    ['rtmps://a1b2c3d4e5f6.global-contribute.live-video.net:443/app/', 'Amazon IVS'],
    ['rtmp://global-live.mux.com:5222/app', 'Mux'],
    ['rtmp://1a2b3c.entrypoint.cloud.wowza.com/app-1', 'Wowza'],
    ['rtmp://nginx-rtmp/live', 'nginx-rtmp'],
    ['rtmp://srs:1935/live', 'SRS'],
    ['rtmp://MediaMTX./live', 'MediaMTX'],
    ['rtmp://127.0.0.1/live', undefined],
    ['rtmp://youtube.com.example/live', undefined],
    ['rtmp://evil-rtmp.youtube.com.example/live', undefined],
    ['rtmp://xrtmp.youtube.com/live2', undefined],
  ];
  for (const [url, name] of hosts) {
    it(`${url}: ${name ?? 'not known'}`, () => expect(rtmpTargetOf(url)?.name).toBe(name));
  }

  const aac = { audio: 'aac', video: 'passthrough' } as const;
  const passthrough = { ...aac, audio: 'passthrough' } as const;

  it('warns of G.711 for platforms, and names the option', () => {
    const { warnings } = adviseRtmpTarget('rtmp://a.rtmp.youtube.com/live2', passthrough, true);
    expect(warnings).toEqual([
      expect.stringMatching(/^YouTube Live takes no audio but AAC.*audio: 'aac'$/),
    ]);
    expect(adviseRtmpTarget('rtmp://nginx/live', passthrough, false).warnings).toEqual([]);
    expect(adviseRtmpTarget('rtmp://10.0.0.1/live', passthrough, false).warnings).toEqual([]);
  });

  it('warns of a missing audio track and of missing TLS', () => {
    const { warnings } = adviseRtmpTarget('rtmp://live-api-s.facebook.com/rtmp', aac, false);
    expect(warnings).toHaveLength(2);
    expect(warnings.join()).toMatch(/silentAudio: true.*rtmps: addresses only/);
    expect(adviseRtmpTarget('rtmps://live-api-s.facebook.com/rtmp', aac, true).warnings).toEqual(
      [],
    );
  });

  it('offers Enhanced RTMP to a server that has it', () => {
    expect(adviseRtmpTarget('rtmp://mediamtx/live', aac, true).enhanced).toBe('auto');
    expect(adviseRtmpTarget('rtmp://a.rtmp.youtube.com/live2', aac, true).enhanced).toBe('off');
  });
});
