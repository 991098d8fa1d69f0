// Lays out the SIP messages of a call as rows between lifelines. No DOM.

/** One message, as returned by `/call/trace`. */
export interface TracedMessage {
  /** ISO 8601. */
  readonly at: string;
  readonly direction: 'in' | 'out';
  readonly transport: string;
  /** `address:port`. */
  readonly local: string;
  readonly remote: string;
  readonly startLine: string;
  /** The complete message, with secrets masked. */
  readonly message: string;
  readonly retransmission: boolean;
}

/** The kind of message, which determines its color. */
type LadderKind = 'request' | 'provisional' | 'success' | 'failure';

/** One arrow. */
export interface LadderRow {
  readonly traced: TracedMessage;
  /** Columns, from 0. */
  readonly from: number;
  readonly to: number;
  /** `INVITE`, `200 OK`. */
  readonly label: string;
  /** What the message contains, or for responses other than to INVITE, the method: `SDP`, `BYE`. */
  readonly note: string;
  /** Milliseconds since the first message. */
  readonly offsetMs: number;
  readonly kind: LadderKind;
}

/** The complete diagram. */
export interface Ladder {
  /** Titles of the lifelines: ours first, then every peer. */
  readonly columns: readonly string[];
  readonly rows: readonly LadderRow[];
}

/** Lays out messages in order of time. */
export function layoutLadder(messages: readonly TracedMessage[]): Ladder {
  const ordered = messages
    .map((traced, index) => ({ traced, index, atMs: Date.parse(traced.at) }))
    // Messages in the same millisecond keep their recorded order.
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
  // Most responses answer an INVITE; only the others show their method.
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
