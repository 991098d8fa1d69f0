// For tests: crosses every state of a machine with every event and compares the result with a hand-written table.

import { describe, expect, it } from 'vitest';
import { settle, summary } from './test-wire.ts';

/** The subject of a test, created for each pair of state and event. */
export interface Stage {
  /** Name of the machine's current state. */
  state(): string;
  /** What was sent and reported since the last call. */
  happened(): string[];
  /** Closes everything. Timers that still run afterwards are leaks. */
  close(): Promise<void>;
  /** Number of running timers. */
  readonly timers: number;
}

/** Events by name; each acts on a stage. */
export type Events<S> = Readonly<Record<string, (stage: S) => void | Promise<void>>>;

/** State names, each with the machine's own name and the events that lead there. */
export type States<E> = Readonly<Record<string, readonly [string, readonly (keyof E & string)[]]>>;

/** By state and event: `next state: what is sent and reported`. A missing pair changes nothing. */
export type StateTable<T, E> = {
  readonly [state in keyof T]: { readonly [event in keyof E]?: string };
};

/** Creates one test per pair. */
export function testTable<S extends Stage, E extends Events<S>, T extends States<E>>(
  begin: (state: keyof T) => Promise<S>,
  events: E,
  states: T,
  table: StateTable<T, E>,
): void {
  for (const state of Object.keys(states) as (keyof T & string)[]) {
    const [name, path] = states[state] ?? ['', []];
    describe(state, () => {
      for (const event of Object.keys(events)) {
        const expected = table[state]?.[event] ?? `${name}: `;
        it(`${event} → ${expected}`, async () => {
          const stage = await begin(state);
          for (const step of path) {
            await events[step]?.(stage);
            await settle();
          }
          expect(stage.state()).toBe(name);
          stage.happened();
          await events[event]?.(stage);
          await settle();
          const reached = `${stage.state()}: ${summary(stage.happened())}`;
          expect(reached).toBe(expected);
          await stage.close();
          expect(stage.timers).toBe(0);
        });
      }
    });
  }
}
