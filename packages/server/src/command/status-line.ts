// The single status line of a command.

/** Overwritten in place on a terminal. Elsewhere, a new line whenever something other than the time changes. */
export class StatusLine {
  readonly #output: NodeJS.WriteStream;
  #last = '';

  constructor(output: NodeJS.WriteStream) {
    this.#output = output;
  }

  show(text: string): void {
    if (this.#output.isTTY) {
      this.#output.write(`\r\x1b[K${text.slice(0, Math.max(20, this.#output.columns - 1))}`);
      this.#last = text;
      return;
    }
    const [status = '', rtmp = ''] = [text.split('  ', 1)[0], /RTMP_\w+/.exec(text)?.[0]];
    const state = `${status} ${rtmp}`.trimEnd();
    if (state === this.#last) return;
    this.#last = state;
    this.#output.write(`${text}\n`);
  }

  say(text: string): void {
    if (this.#output.isTTY && this.#last !== '') this.#output.write('\n');
    this.#output.write(`${text}\n`);
  }
}
