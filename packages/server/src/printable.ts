// Makes external text safe for one line of a log or terminal.

/** Longest value in a log line, in characters. */
const MAX_VALUE_LENGTH = 256;
// C0, DEL, C1, line and paragraph separators, and characters that change the text direction.
// oxlint-disable-next-line no-control-regex -- finding control characters is the point
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g;

/** Escapes control characters and limits the length. */
export function printable(value: string, maxLength = MAX_VALUE_LENGTH): string {
  const cut = value.length > maxLength ? `${value.slice(0, maxLength)}…` : value;
  return cut.replace(UNPRINTABLE, (character) => {
    const code = character.charCodeAt(0);
    return code < 0x100
      ? `\\x${code.toString(16).padStart(2, '0')}`
      : `\\u${code.toString(16).padStart(4, '0')}`;
  });
}
