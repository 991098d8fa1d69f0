import { describe, expect, it } from 'vitest';
import { SafeEmitter } from './emitter.ts';
import { silentLogger } from './logger.ts';

describe('SafeEmitter', () => {
  it('logs what a listener throws and goes on', () => {
    const errors: string[] = [];
    const emitter = new SafeEmitter<{ ping: (n: number) => void }>({
      ...silentLogger,
      error: (line) => errors.push(line),
    });
    const heard: number[] = [];
    emitter.on('ping', (n) => heard.push(n));
    emitter.on('ping', () => {
      throw new Error('mine');
    });
    expect(emitter.emit('ping', 1)).toBe(true);
    expect(emitter.emit('ping', 2)).toBe(true);
    expect(heard).toEqual([1, 2]);
    expect(errors[0]).toMatch(/^a listener for 'ping' threw: Error: mine/);
  });
});
