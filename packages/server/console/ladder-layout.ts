// From the SIP messages of a call to rows between lifelines: no DOM.

/** One message, as `/call/trace` answers it. */
export interface TracedMessage {
  /** ISO 8601. */
  readonly at: string;
  readonly direction: 'in' | 'out';
  readonly transport: string;
  /** `address:port`. */
  readonly local: string;
  readonly remote: string;
  readonly startLine: string;
  /** The whole message, secrets masked. */
  readonly message: string;
  readonly retransmission: boolean;
}

/** What kind of message: its colour. */
type LadderKind = 'request' | 'provisional' | 'success' | 'failure';

/** One arrow. */
export interface LadderRow {
  readonly traced: TracedMessage;
  /** Columns, from 0. */
  readonly from: number;
  readonly to: number;
  /** `INVITE`, `200 OK`. */
  readonly label: string;
  /** What the message carries, or answers where that is no INVITE: `SDP`, `BYE`. */
  readonly note: string;
  /** Milliseconds since the first message. */
  readonly offsetMs: number;
  readonly kind: LadderKind;
}

/** The whole drawing. */
export interface Ladder {
  /** Titles of the lifelines: ours first, then everyone that we spoke with. */
  readonly columns: readonly string[];
  readonly rows: readonly LadderRow[];
}

/** Lays out messages, in order of their time. */
export function layoutLadder(messages: readonly TracedMessage[]): Ladder {
  const ordered = messages
    .map((traced, index) => ({ traced, index, atMs: Date.parse(traced.at) }))
    // In the same millisecond they stay as they were noted.
    .toSorted((a, b) => a.atMs - b.atMs || a.index - b.index);
  const remotes: string[] = [];
  const firstMs = ordered[0]?.atMs ?? 0;
  const rows = ordered.map(({ traced, atMs }): LadderRow => {
    if (!remotes.includes(traced.remote)) remotes.push(traced.remote);
    const far = remotes.indexOf(traced.remote) + 1;
    const isOut = traced.direction === 'out';
    return {
      traced,
      from: isOut ? 0 : far,
      to: isOut ? far : 0,
      ...labelOf(traced),
      offsetMs: atMs - firstMs,
    };
  });
  return { columns: ['sipcast', ...remotes], rows };
}

function labelOf(traced: TracedMessage): Pick<LadderRow, 'label' | 'note' | 'kind'> {
  const body = /\r?\n\r?\n\s*v=0/.test(traced.message) ? 'SDP' : '';
  const response = /^SIP\/2\.0 (\d{3}) ?(.*)$/i.exec(traced.startLine);
  if (!response) {
    const [label = ''] = traced.startLine.split(' ', 1);
    return { label, note: body, kind: 'request' };
  }
  const [, code = '', reason = ''] = response;
  const method = /^CSeq\s*:\s*\d+\s+(\S+)/im.exec(traced.message)?.[1] ?? '';
  // Most answers are those to INVITE: only the others say what they answer.
  const answered = method === 'INVITE' ? '' : method;
  const status = Number(code);
  const kind = status < 200 ? 'provisional' : status < 300 ? 'success' : 'failure';
  return {
    label: `${code} ${reason}`.trim(),
    note: [answered, body].filter(Boolean).join(' · '),
    kind,
  };
}

/** `+0.000` seconds. */
export function offsetText(offsetMs: number): string {
  return `+${(offsetMs / 1000).toFixed(3)}`;
}
