import { expect, it, vi } from 'vitest';
import { openSrtPublisher } from './publisher.ts';

const handler = () => ({
  onMediaWanted: vi.fn(),
  onPublishing: vi.fn(),
  onKeyFrameWanted: vi.fn(),
  onEnded: vi.fn(),
});
const options = {
  url: 'srt://studio.example:9000',
  streamName: 'cam',
  ffmpegPath: '/nowhere/ffmpeg',
};
const audio = { type: 8, timestampMs: 0, body: Buffer.from([0xaf, 1, 0]), role: 'audio' } as const;
const header = {
  ...audio,
  body: Buffer.from([0xaf, 0, 0x12, 0x10]),
  role: 'sequence-header',
} as const;

it('connects to the address that was allowed, and to no other', async () => {
  const reports = handler();
  const asked: string[] = [];
  openSrtPublisher(
    {
      ...options,
      lookup: (_, __, callback) => callback(null, [{ address: '169.254.169.254', family: 4 }]),
      mayConnect: (address) => {
        asked.push(address);
        return false;
      },
    },
    reports,
  );
  await vi.waitFor(() => expect(reports.onEnded).toHaveBeenCalledTimes(1));
  expect(reports.onEnded.mock.calls[0]![0]).toMatchObject({ code: 'CONNECT_FORBIDDEN' });
  expect(asked).toEqual(['169.254.169.254']);
  expect(reports.onMediaWanted).not.toHaveBeenCalled();
});

it.each(['10.0.0.1', '::1'])('asks for the literal address %s, too', async (host) => {
  const reports = handler();
  const url = `srt://${host.includes(':') ? `[${host}]` : host}:9000`;
  openSrtPublisher({ ...options, url, mayConnect: () => false }, reports);
  await vi.waitFor(() => expect(reports.onEnded).toHaveBeenCalledTimes(1));
  expect(reports.onEnded.mock.calls[0]![0]).toMatchObject({ code: 'CONNECT_FORBIDDEN' });
});

it('ends once, with a reason, where ffmpeg does not run', async () => {
  const reports = handler();
  const publisher = openSrtPublisher({ ...options, url: 'srt://127.0.0.1:9' }, reports);
  await vi.waitFor(() => expect(reports.onMediaWanted).toHaveBeenCalled());
  publisher.push(header);
  publisher.push(audio);
  await vi.waitFor(() => expect(reports.onEnded).toHaveBeenCalledTimes(1));
  expect(reports.onEnded.mock.calls[0]![0]).toMatchObject({ code: 'CONNECT_FAILED' });
  expect(publisher.push(audio)).toBe('skipped');
  await publisher.close();
  expect(reports.onEnded).toHaveBeenCalledTimes(1);
});

it('closes before it has connected', async () => {
  const reports = handler();
  await openSrtPublisher({ ...options, url: 'srt://127.0.0.1:9' }, reports).close();
  expect(reports.onEnded.mock.calls).toEqual([[undefined]]);
});
