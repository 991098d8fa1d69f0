// Every audio codec with every video codec and none, in every output at once: RTMP, HTTP-FLV, WebSocket, FLV and MP4 files,
// HLS; from the start and joined after twelve seconds. Sound and picture within two seconds, and files that decode.

import { once } from 'node:events';
import { get } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readFlvTags } from '@sipcast/media';
import type { CallScript } from '@sipcast/testkit';
import { expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { openGateway, openPhone, openSink } from '../../support/call-ends.ts';
import { afterTest } from '../../support/cleanup.ts';
import { makeFolder } from '../../support/folder.ts';
import { describeWith, run } from '../../support/programs.ts';
import { startRestServer } from '../../support/rest-server.ts';

const AUDIO = ['PCMA', 'PCMU', 'G722', 'opus', 'speex/16000', 'speex/8000'] as const;
const VIDEO = ['H264', 'VP8', undefined] as const;
/** A machine with neighbours starts encoders late: the rule is two seconds. */
const WITHIN_MS = 2000;
const JOINED_AFTER_MS = 12_000;

type Script = CallScript & { readonly audioCodec: (typeof AUDIO)[number] };
type Times = { readonly sound: number; readonly picture: number };

/** When the first sound and picture of a live FLV have come, in milliseconds. */
async function firstsOf(
  hasVideo: boolean,
  begin: (take: (part: Buffer) => void) => () => void,
): Promise<Times> {
  const startMs = performance.now();
  let octets = Buffer.alloc(0);
  let [sound, picture] = [Number.NaN, hasVideo ? Number.NaN : 0];
  let stop = (): void => {};
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, 10_000);
    stop = begin((part) => {
      octets = Buffer.concat([octets, part]);
      for (const { type, body } of readFlvTags(octets)) {
        const nowMs = performance.now() - startMs;
        if (type === 8 && body[1] === 1 && Number.isNaN(sound)) sound = nowMs;
        if (type === 9 && body[1] === 1 && Number.isNaN(picture)) picture = nowMs;
      }
      if (Number.isNaN(sound + picture)) return;
      clearTimeout(timer);
      resolve();
    });
  });
  stop();
  return { sound, picture };
}

const overHttp = (url: string, hasVideo: boolean) =>
  firstsOf(hasVideo, (take) => {
    const request = get(url);
    void once(request, 'response').then(([response]) =>
      (response as IncomingMessage).on('data', take).on('error', () => {}),
    );
    return () => request.destroy();
  });

const overWebSocket = (url: string, hasVideo: boolean) =>
  firstsOf(hasVideo, (take) => {
    const socket = new WebSocket(url.replace('http:', 'ws:'));
    socket.on('message', (data) => take(data as Buffer));
    return () => socket.close();
  });

/** What a decoder finds in a file or an address. */
async function probe(source: string) {
  const words = `-v error -of json -show_entries stream=codec_name,nb_read_packets -count_packets`;
  const { stdout } = await run('ffprobe', [...words.split(' '), source]);
  const { streams } = JSON.parse(stdout.toString()) as {
    streams: { codec_name: string; nb_read_packets: string }[];
  };
  return streams.filter((one) => Number(one.nb_read_packets) > 10).map((one) => one.codec_name);
}

async function tryAll(script: Script, name: string) {
  const hasVideo = script.video !== false;
  const dir = await makeFolder();
  const sink = await openSink();
  const phone = await openPhone({ script });
  const gateway = await openGateway({ transcoding: {}, recording: { dir, mp4: true } });
  const server = await startRestServer(gateway, {});
  afterTest(() => server.close());
  const target = { rtmpUrl: sink.url, rtmpStream: 'cam', record: true };
  const call = await gateway.startup({ callee: phone.uri, toStream: 'cam', ...target });
  await call.established();
  const establishedMs = performance.now();
  const url = `${server.url}/stream/cam`;
  const watch = async (when: string) => {
    const [http, socket] = await Promise.all([
      overHttp(`${url}.flv`, hasVideo),
      overWebSocket(`${url}.flv`, hasVideo),
    ]);
    return { [`${when} HTTP-FLV`]: http, [`${when} WebSocket`]: socket };
  };
  const early = await watch('early');
  await new Promise((resolve) => {
    setTimeout(resolve, JOINED_AFTER_MS - (performance.now() - establishedMs));
  });
  const late = await watch('late');
  const wanted = hasVideo ? ['aac', 'h264'] : ['aac'];
  // One segment, by a reader that is not ours.
  const hls = await run('ffmpeg', `-v error -i ${url}/index.m3u8 -t 2 -f null -`.split(' '));
  expect([name, hls.stderr]).toEqual([name, '']);
  await call.terminate();
  const files = (await readdir(dir)).map((file) => join(dir, file));
  for (const file of files) {
    expect([name, file.slice(-3), (await probe(file)).toSorted()]).toEqual([
      name,
      file.slice(-3),
      wanted,
    ]);
    const { stderr } = await run('ffmpeg', `-v error -i ${file} -f null -`.split(' '));
    // What the decoder says; the null muxer has no room for two key frames within one step of its rate.
    const complaints = stderr
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('[null @'));
    expect([name, file.slice(-3), complaints]).toEqual([name, file.slice(-3), []]);
  }
  expect([name, files.map((file) => file.slice(-3)).toSorted()]).toEqual([name, ['flv', 'mp4']]);
  const { tags } = sink.publications[0]!;
  const count = (type: number) =>
    tags.filter((tag) => tag.type === type && tag.body[1] === 1).length;
  expect([name, count(8) > 300, hasVideo ? count(9) > 150 : count(9) === 0]).toEqual([
    name,
    true,
    true,
  ]);
  expect([name, gateway.faults['output-failed']]).toEqual([name, undefined]);
  return Object.entries({ ...early, ...late });
}

describeWith(['ffmpeg'], 'every codec in every output', () => {
  it.each(VIDEO)('with video %s', { timeout: 120_000 }, async (videoCodec) => {
    const video = videoCodec === undefined ? { video: false } : { videoCodec };
    const rows: string[] = [];
    const slow: string[] = [];
    // Three at once: six encoders of pictures and their neighbours would measure the machine.
    for (let at = 0; at < AUDIO.length; at += 3) {
      const some = AUDIO.slice(at, at + 3).map(async (audioCodec) => {
        const name = `${audioCodec} with ${videoCodec ?? 'no video'}`;
        for (const [output, { sound, picture }] of await tryAll({ audioCodec, ...video }, name)) {
          rows.push(
            `${name}, ${output}: sound ${sound.toFixed(0)}, picture ${picture.toFixed(0)} ms`,
          );
          if (!(Math.max(sound, picture) <= WITHIN_MS)) slow.push(rows.at(-1)!);
        }
      });
      await Promise.all(some);
    }
    console.log(rows.join('\n'));
    expect(slow).toEqual([]);
  });
});
