import { expect, it } from 'vitest';
import { Connections } from './connections.ts';

function open(most: number, mostPerNetwork = most) {
  const connections = new Connections({ most, mostPerNetwork });
  const closed: string[] = [];
  let nowMs = 0;
  const connect = (key: string, network = 'a'): boolean =>
    connections.open({ key, network, close: () => void closed.push(key) }, nowMs++);
  const serve = (key: string, isComplete = true): (() => void) => {
    const end = connections.serve(key, () => isComplete);
    return () => end(nowMs++);
  };
  return { connections, closed, connect, serve };
}

it('replaces the connection that has been idle longest', () => {
  const { connections, closed, connect, serve } = open(3);
  for (const key of ['1', '2', '3']) expect(connect(key)).toBe(true);
  const end = serve('1');
  expect(connect('4')).toBe(true);
  expect(closed).toEqual(['2']);
  // Answered and idle from now on. The others have been idle for longer.
  end();
  for (const key of ['5', '6', '7']) expect(connect(key)).toBe(true);
  expect(closed).toEqual(['2', '3', '4', '1']);
  expect([connections.size, connections.stats]).toEqual([
    3,
    { replaced: 4, refused: 0, flooded: 0 },
  ]);
});

it('does not count an incomplete request', () => {
  const { closed, connect, serve } = open(2);
  connect('1');
  connect('2');
  serve('1', false);
  expect(connect('3')).toBe(true);
  expect(closed).toEqual(['1']);
});

it('closes neither a connection that is being answered nor a WebSocket', () => {
  const { connections, closed, connect, serve } = open(2);
  connect('1');
  connect('2');
  const ends = [serve('1'), serve('1')];
  connections.upgrade('2');
  expect(connect('3')).toBe(false);
  // One of two answers; the other is still in progress.
  ends[0]?.();
  expect(connect('4')).toBe(false);
  ends[1]?.();
  expect(connect('5')).toBe(true);
  expect(closed).toEqual(['3', '4', '1']);
  expect(connections.stats).toEqual({ replaced: 1, refused: 2, flooded: 0 });
});

it('replaces one from the network with the most idle connections, however long another has been idle', () => {
  const { closed, connect, serve } = open(6);
  connect('single', 'b');
  for (const key of ['1', '2', '3', '4', '5']) connect(key);
  serve('1');
  expect(connect('guest', 'c')).toBe(true);
  expect(connect('guest 2', 'd')).toBe(true);
  expect(closed).toEqual(['2', '3']);
});

it('limits a network to its share, keeping its newest connections', () => {
  const { closed, connect, serve } = open(8, 2);
  connect('other', 'b');
  for (const key of ['1', '2', '3']) connect(key);
  expect(closed).toEqual(['1']);
  serve('2');
  serve('3');
  expect(connect('4')).toBe(false);
  expect(closed).toEqual(['1', '4']);
});

it('forgets closed connections, and does not confuse them with later ones', () => {
  const { connections, closed, connect } = open(1);
  const first = { key: 'port 1', network: 'a', close: () => {} };
  connections.open(first, 0);
  connections.open({ ...first }, 1);
  connections.closed(first);
  expect(connections.size).toBe(1);
  connect('2');
  expect([connections.size, closed]).toEqual([1, []]);
  // For a connection that no longer exists.
  connections.serve('port 1', () => true)(2);
  connections.upgrade('port 1');
});

it('treats a connection that does not read its answer as idle', () => {
  const { connections, closed, connect } = open(2);
  connect('1');
  connect('2');
  let isMade = false;
  connections.serve('1', () => !isMade);
  connections.serve('2', () => true);
  expect(connect('3')).toBe(false);
  isMade = true;
  expect(connect('4')).toBe(true);
  expect(closed).toEqual(['3', '1']);
});

it('closes a connection that pipelines too many requests', () => {
  const { connections, closed, connect, serve } = open(2);
  connect('1');
  for (let n = 0; n < 100; n++) {
    expect(connections.admits('1')).toBe(true);
    serve('1')();
  }
  for (let n = 0; n < 32; n++) {
    expect(connections.admits('1')).toBe(true);
    serve('1');
  }
  expect(connections.admits('1')).toBe(false);
  expect([closed, connections.size]).toEqual([['1'], 0]);
  expect(connections.stats).toEqual({ replaced: 0, refused: 0, flooded: 1 });
});
