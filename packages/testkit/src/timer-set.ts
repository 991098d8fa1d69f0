// Timers with a common owner.

/** One-shot timers that can all be cleared. */
export class TimerSet {
  readonly #timers = new Set<NodeJS.Timeout>();

  /** Runs `action` once after `delayMs`; less than 0 counts as 0. */
  after(delayMs: number, action: () => void): NodeJS.Timeout {
    const timer = setTimeout(
      () => {
        this.#timers.delete(timer);
        action();
      },
      Math.max(0, delayMs),
    );
    this.#timers.add(timer);
    return timer;
  }

  /** Cancels all waiting timers. */
  clear(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }
}
