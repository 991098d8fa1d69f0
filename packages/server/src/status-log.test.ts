import { EventEmitter } from 'node:events';
import type { Call, CallGateway, CallView } from '@sipcast/core';
import { describe, expect, it } from 'vitest';
import { logStatuses, printable } from './status-log.ts';

type Source = Pick<CallGateway, 'on' | 'off' | 'emit' | 'listenerCount'>;

describe('status log', () => {
  it('writes a line for each change of a status', () => {
    const gateway = new EventEmitter() as unknown as Source;
    const lines: string[] = [];
    const stop = logStatuses(gateway, (line) => lines.push(line));
    const call = {} as Call;
    const pushes = [
      { rtmpUrl: 'rtmp://other/a', streamName: 's', lastError: 'not this one' },
      { rtmpUrl: 'rtmp://h/a', streamName: 's', lastError: 'CONNECTION_LOST: gone' },
    ];
    const change = (parts: Partial<CallView>): void => {
      const { rtmpStreamStatus = null, info = null, status = 'NEW' } = parts;
      const rtmp = { rtmpUrl: 'rtmp://h/a', rtmpStream: 's', pushes };
      const view = { callId: 'c\r\n1', ...rtmp, status, rtmpStreamStatus, info };
      gateway.emit('callChange', call, view as unknown as CallView, ['status']);
    };
    const wait = { rtmpStreamStatus: 'RTMP_STREAM_WAIT' } as const;
    const active = { rtmpStreamStatus: 'RTMP_STREAM_ACTIVE' } as const;
    change({ status: 'PENDING', ...wait });
    change({ status: 'RING', ...wait, sipStatus: 180 });
    change({ status: 'RING', ...wait, sipStatus: 183 });
    change({ status: 'ESTABLISHED', ...wait });
    change({ status: 'ESTABLISHED', ...active });
    change({ status: 'ESTABLISHED', rtmpStreamStatus: 'RTMP_CONNECTION_LOST' });
    change({
      status: 'FAILED',
      rtmpStreamStatus: 'RTMP_CONNECTION_LOST',
      info: 'No\u001b[2J common',
    });
    expect(lines).toEqual([
      String.raw`c\x0d\x0a1 NEW -> PENDING RTMP_STREAM_WAIT`,
      String.raw`c\x0d\x0a1 PENDING -> RING RTMP_STREAM_WAIT`,
      String.raw`c\x0d\x0a1 RING -> ESTABLISHED RTMP_STREAM_WAIT`,
      String.raw`c\x0d\x0a1 ESTABLISHED RTMP_STREAM_WAIT -> RTMP_STREAM_ACTIVE`,
      String.raw`c\x0d\x0a1 ESTABLISHED RTMP_STREAM_ACTIVE -> RTMP_CONNECTION_LOST (CONNECTION_LOST: gone)`,
      String.raw`c\x0d\x0a1 ESTABLISHED -> FAILED RTMP_CONNECTION_LOST (No\x1b[2J common)`,
    ]);
    stop();
    expect(gateway.listenerCount('callChange')).toBe(0);
  });

  it('leaves the RTMP status out where there is none', () => {
    const gateway = new EventEmitter() as unknown as Source;
    const lines: string[] = [];
    logStatuses(gateway, (line) => lines.push(line));
    const view = { callId: 'c', status: 'BUSY', rtmpStreamStatus: null, info: 'Busy Here' };
    gateway.emit('callChange', {} as Call, view as CallView, ['status']);
    expect(lines).toEqual(['c NEW -> BUSY (Busy Here)']);
  });

  it('escapes and shortens what comes from outside', () => {
    expect(printable('a\u0000\u007f\u0085\u2028\u202eb')).toBe(
      String.raw`a\x00\x7f\x85\u2028\u202eb`,
    );
    expect(printable('Jürgen ☎')).toBe('Jürgen ☎');
    expect(printable('x'.repeat(1000))).toBe(`${'x'.repeat(256)}…`);
  });
});
