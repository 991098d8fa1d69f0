// Seeded randomness for tests: the same seed gives the same run.

/** mulberry32: uniform in [0, 1). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** `count` damaged copies of the seeds: octets changed, cut, grown. */
export function* mutations(
  seeds: readonly Uint8Array[],
  count: number,
  seed: number,
): Generator<Buffer> {
  const random = seededRandom(seed);
  const below = (limit: number): number => Math.floor(random() * limit);
  for (let run = 0; run < count; run++) {
    let bytes = Buffer.from(seeds[below(seeds.length)]!);
    for (let edits = 1 + below(4); edits > 0; edits--) {
      const choice = below(8);
      if (choice === 0) bytes = bytes.subarray(0, below(bytes.length + 1));
      else if (choice === 1) bytes = Buffer.concat([bytes, Buffer.alloc(below(16), below(256))]);
      else if (bytes.length > 0) bytes[below(Math.min(bytes.length, 24))] = below(256);
    }
    yield bytes;
  }
}
