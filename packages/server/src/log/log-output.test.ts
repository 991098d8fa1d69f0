import type { write } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { LogOutput } from './log-output.ts';

/** A file that accepts octets when the test says so. */
function file() {
  const pending: {
    text: string;
    done: (error: NodeJS.ErrnoException | null, n: number) => void;
  }[] = [];
  const taken: string[] = [];
  const fake = (
    _fd: number,
    octets: Buffer,
    _offset: number,
    _length: number,
    _position: null,
    done: (error: NodeJS.ErrnoException | null, written: number) => void,
  ): void => void pending.push({ text: octets.toString(), done });
  const answer = (count?: number, error: NodeJS.ErrnoException | null = null): void => {
    const one = pending.shift();
    if (!one) throw new Error('Nothing is being written');
    const part = error ? '' : one.text.slice(0, count);
    taken.push(part);
    one.done(error, part.length);
  };
  return { write: fake as unknown as typeof write, answer, pending, taken };
}

const error = (code: string): NodeJS.ErrnoException => Object.assign(new Error(code), { code });

describe('LogOutput', () => {
  it('writes one batch at a time, the rest of a line before the next', async () => {
    const { write: fake, answer, pending, taken } = file();
    const output = new LogOutput(1, () => {}, fake);
    for (const line of ['one\n', 'two\n', 'three\n']) output.write(line);
    expect(pending).toHaveLength(1);
    answer();
    expect(pending.map(({ text }) => text)).toEqual(['two\nthree\n']);
    answer(6);
    expect(pending.map(({ text }) => text)).toEqual(['ree\n']);
    const flushed = output.flush(10_000);
    answer();
    await flushed;
    expect(taken.join('')).toBe('one\ntwo\nthree\n');
    expect(output.lost).toBe(0);
  });

  it('drops lines without a reader, counts them, and reports them once a reader returns', () => {
    const { write: fake, answer, pending } = file();
    const told: number[] = [];
    const output = new LogOutput(1, (lost) => told.push(lost), fake);
    const line = `${'x'.repeat(1023)}\n`;
    for (let n = 0; n < 1030; n++) output.write(line);
    expect(output.lost).toBe(1030 - 1024);
    expect(pending).toHaveLength(1);
    answer();
    expect(told).toEqual([]);
    while (pending.length > 0) answer();
    expect(told).toEqual([6]);
  });

  it('continues after a full disk and a lost reader', () => {
    const { write: fake, answer, pending, taken } = file();
    const told: number[] = [];
    const output = new LogOutput(1, (lost) => told.push(lost), fake);
    output.write('lost\n');
    answer(0, error('ENOSPC'));
    output.write('kept\n');
    answer();
    expect(taken.join('')).toBe('kept\n');
    expect([output.lost, told]).toEqual([1, [1]]);
    expect(pending).toEqual([]);
  });

  it('retries what the other end does not accept yet', async () => {
    const { write: fake, answer, pending, taken } = file();
    const output = new LogOutput(1, () => {}, fake);
    output.write('one\n');
    answer(0, error('EAGAIN'));
    expect(pending).toEqual([]);
    await expect.poll(() => pending.length).toBe(1);
    answer();
    expect(taken.join('')).toBe('one\n');
    expect(output.lost).toBe(0);
    await output.flush(10_000);
  });

  it('waits for a stalled reader no longer than the limit', async () => {
    const { write: fake } = file();
    const output = new LogOutput(1, () => {}, fake);
    output.write('one\n');
    await output.flush(10);
    // A write in progress must not be repeated.
    output.flushNow();
  });
});
