// For tests: every state of a machine crossed with every event, against a table written by hand.

import { describe, expect, it } from 'vitest';
import { settle, summary } from './test-wire.ts';

/** What a test has in hand, made anew for each pair of state and event. */
export interface Stage {
  /** Name of the state that the machine is in. */
  state(): string;
  /** What was sent and told since the last call. */
  happened(): string[];
  /** Ends everything; what then still runs is left over. */
  close(): Promise<void>;
  /** Timers that run. */
  readonly timers: number;
}

/** Events by name: each does something to a stage. */
export type Events<S> = Readonly<Record<string, (stage: S) => void | Promise<void>>>;

/** Names of states: what the machine calls it, and the events that lead there. */
export type States<E> = Readonly<Record<string, readonly [string, readonly (keyof E & string)[]]>>;

/** By state and event: `next state: what is sent, what is told`. A pair that is missing changes nothing. */
export type StateTable<T, E> = {
  readonly [state in keyof T]: { readonly [event in keyof E]?: string };
};

/** Makes one test of each pair. */
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
