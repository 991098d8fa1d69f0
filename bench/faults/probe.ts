// Loaded before the program under test: says what cannot be seen from outside, and is the only DNS of the process, so that
// nothing leaves the machine and names can change their address between two questions.

import dns from 'node:dns';
import promises from 'node:dns/promises';
import { syncBuiltinESMExports } from 'node:module';
import type { LookupAddress } from 'node:dns';

const realLookup = promises.lookup;
/** Names that lead to the allowed address when they are asked for the first time, and then to the forbidden one. */
const asked = new Map<string, number>();

function nothing(name: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`getaddrinfo ENOTFOUND ${name}`), { code: 'ENOTFOUND' });
}

/** As the system's, when no DNS server answers: two attempts. */
const UNANSWERED_MS = 4000;
let isAnswering = true;

async function unanswered(name: string): Promise<never> {
  await new Promise((done) => {
    setTimeout(done, UNANSWERED_MS).unref();
  });
  throw Object.assign(new Error(`getaddrinfo EAI_AGAIN ${name}`), { code: 'EAI_AGAIN' });
}

async function resolve(name: string): Promise<LookupAddress[]> {
  // What the system takes for an address, and its own name, it may say: that asks nobody.
  if (/^(?:[\da-fx.:]+|localhost\.?)$/i.test(name)) return realLookup(name, { all: true });
  if (!isAnswering) return unanswered(name);
  const bare = name.toLowerCase().replace(/\.$/, '');
  const count = asked.get(bare) ?? 0;
  asked.set(bare, count + 1);
  const [, first = ''] = /^(rebind|bad|both|good)[\d-]*\.example$/.exec(bare) ?? [];
  const good = { address: '127.0.0.2', family: 4 };
  const bad = { address: '127.0.0.1', family: 4 };
  if (first === 'rebind') return [count === 0 ? good : bad];
  if (first === 'bad') return [bad];
  if (first === 'both') return [good, bad];
  if (first === 'good') return [good];
  throw nothing(name);
}

type Callback = (error: Error | null, found?: unknown, family?: number) => void;

function lookup(name: string, given: unknown, callback?: Callback): void {
  const answer = callback ?? (given as Callback);
  const options =
    typeof given === 'object' && given !== null
      ? (given as { all?: boolean; family?: number })
      : {};
  resolve(name).then(
    (all) => {
      const family = options.family ?? 0;
      const fitting = family === 0 ? all : all.filter((one) => one.family === family);
      const [first] = fitting;
      if (!first) answer(nothing(name));
      else if (options.all) answer(null, fitting);
      else answer(null, first.address, first.family);
    },
    (error: Error) => answer(error),
  );
}

dns.lookup = lookup as unknown as typeof dns.lookup;
promises.lookup = ((name: string, options?: object) =>
  new Promise((done, fail) => {
    lookup(name, { ...options, all: true }, (error, found) => {
      if (error) return fail(error);
      const all = found as LookupAddress[];
      const [first] = all;
      if (options !== undefined && 'all' in options && options.all) done(all);
      else if (first) done(first);
    });
  })) as typeof promises.lookup;
for (const question of ['resolveNaptr', 'resolveSrv', 'resolve4', 'resolve6'] as const)
  promises.Resolver.prototype[question] = async (name: string): Promise<never> => {
    if (!isAnswering) return unanswered(name);
    throw nothing(name);
  };
syncBuiltinESMExports();

process.on('message', (question) => {
  if (question === 'prototypes') {
    const kept = [Object.prototype, Array.prototype, Function.prototype, String.prototype];
    process.send?.(kept.map((prototype) => Object.getOwnPropertyNames(prototype).length));
  } else if (question === 'dns off' || question === 'dns on') {
    isAnswering = question === 'dns on';
    process.send?.(isAnswering);
  } else process.send?.(Object.fromEntries(asked));
});
// The program ends when it wants to, and not when nobody listens any more.
process.channel?.unref();
