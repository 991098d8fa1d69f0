// Loaded before the program under test: says what its heap holds when everything that nobody needs is collected.

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc');

process.on('message', () => {
  // What the first lets go, the second collects.
  collect();
  setImmediate(() => {
    collect();
    const { heapUsed, external } = process.memoryUsage();
    process.send?.(heapUsed + external);
  });
});
// The program ends when it wants to, and not when nobody listens any more.
process.channel?.unref();
