// Which queries were asked and what they answered, held against the OpenAPI document: none may be left out.

/** Counts the answers of one server. */
export class Driven {
  /** Statuses by method and path. */
  #statuses = new Map();
  queries = 0;

  note(method, path, status) {
    this.queries++;
    const key = `${method} ${path}`;
    const statuses = this.#statuses.get(key) ?? new Set();
    this.#statuses.set(key, statuses.add(status));
  }

  /** Takes over what another has noted. */
  add(other) {
    this.queries += other.queries;
    for (const [key, statuses] of other.#statuses)
      this.#statuses.set(key, new Set([...statuses, ...(this.#statuses.get(key) ?? [])]));
  }

  /** All statuses that came. */
  get statuses() {
    return [...new Set([...this.#statuses.values()].flatMap((one) => [...one]))].toSorted(
      (a, b) => a - b,
    );
  }

  /**
   * Fails unless every method of the document gave every status that the document has for it, and none that it has not.
   * @param excused - Statuses that cannot be had here.
   * @returns How many of each.
   */
  compare(document, where, excused) {
    const wrong = [];
    let [methods, answers] = [0, 0];
    for (const [path, operations] of Object.entries(document.paths)) {
      for (const [verb, { responses }] of Object.entries(operations)) {
        methods++;
        const key = `${verb.toUpperCase()} ${path}`;
        const seen = this.#statuses.get(key) ?? new Set();
        const documented = new Set(Object.keys(responses).map(Number));
        const missing = [...documented].filter((one) => !seen.has(one) && !excused.includes(one));
        const extra = [...seen].filter((one) => !documented.has(one));
        answers += documented.size - missing.length;
        if (missing.length > 0) wrong.push(`${key} was not driven to ${missing.join(', ')}`);
        if (extra.length > 0) wrong.push(`${key} answered ${extra.join(', ')}, undocumented`);
      }
    }
    if (wrong.length > 0) throw new Error(`${where}:\n  ${wrong.join('\n  ')}`);
    return { methods, answers };
  }
}
