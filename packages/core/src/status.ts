// The statuses of calls and RTMP streams as transition tables. docs/states.md is generated from them.

/** Each status of a call and the statuses that may follow it. A status without followers is final. */
export const CALL_TRANSITIONS = {
  /** The object exists. */
  NEW: ['PENDING', 'FINISH', 'FAILED'],
  /** INVITE (or REGISTER before it) sent, nothing back. */
  PENDING: [
    'TRYING',
    'RING',
    'SESSION_PROGRESS',
    'RING_MEDIA',
    'ESTABLISHED',
    'BUSY',
    'FINISH',
    'FAILED',
  ],
  /** 100. */
  TRYING: ['RING', 'SESSION_PROGRESS', 'RING_MEDIA', 'ESTABLISHED', 'BUSY', 'FINISH', 'FAILED'],
  /** 180. */
  RING: ['SESSION_PROGRESS', 'RING_MEDIA', 'ESTABLISHED', 'BUSY', 'FINISH', 'FAILED'],
  /** 183 and other 18x. */
  SESSION_PROGRESS: ['RING', 'RING_MEDIA', 'ESTABLISHED', 'BUSY', 'FINISH', 'FAILED'],
  /** Early media flows. */
  RING_MEDIA: ['ESTABLISHED', 'BUSY', 'FINISH', 'FAILED'],
  /** 2xx acknowledged. */
  ESTABLISHED: ['HOLD', 'FINISH', 'FAILED'],
  /** Held by either side. */
  HOLD: ['ESTABLISHED', 'FINISH', 'FAILED'],
  /** 486 or 600. */
  BUSY: [],
  /** Ended by either side after ESTABLISHED, or cancelled by us. */
  FINISH: [],
  /** Any other end. */
  FAILED: [],
} as const satisfies Record<string, readonly string[]>;

/** Each status of an RTMP stream and the statuses that may follow it. */
export const RTMP_TRANSITIONS = {
  /** Not published yet: the call is not answered, or the connection is being made. */
  RTMP_STREAM_WAIT: ['RTMP_STREAM_ACTIVE', 'RTMP_CONNECTION_FAILED'],
  /** The server has accepted the publication. */
  RTMP_STREAM_ACTIVE: ['RTMP_CONNECTION_LOST'],
  /** Was active; being connected again. */
  RTMP_CONNECTION_LOST: ['RTMP_STREAM_ACTIVE', 'RTMP_CONNECTION_FAILED'],
  /** Did not come up in time, was refused, or given up. It goes on trying, unless it has given up. */
  RTMP_CONNECTION_FAILED: ['RTMP_STREAM_ACTIVE'],
} as const satisfies Record<string, readonly string[]>;

/** The final statuses of a table. */
export type FinalOf<Table extends Record<string, readonly string[]>> = {
  [Status in keyof Table]: Table[Status] extends readonly [] ? Status : never;
}[keyof Table];

/** Status of a call. */
export type CallStatus = keyof typeof CALL_TRANSITIONS;
/** A final status of a call. */
export type FinalCallStatus = FinalOf<typeof CALL_TRANSITIONS>;
/** Status of an RTMP stream. */
export type RtmpStreamStatus = keyof typeof RTMP_TRANSITIONS;

/** Whether a call with this status has ended. */
export function isFinal(status: CallStatus): status is FinalCallStatus {
  return CALL_TRANSITIONS[status].length === 0;
}

/** Whether the table allows `to` after `from`. */
export function mayFollow<Status extends string>(
  table: Readonly<Record<Status, readonly string[]>>,
  from: Status,
  to: Status,
): boolean {
  return table[from].includes(to);
}

/** The call status that a provisional response stands for (RFC 3261 §21.1). */
export function statusOfProvisional(statusCode: number): CallStatus {
  if (statusCode === 100) return 'TRYING';
  if (statusCode === 180) return 'RING';
  return 'SESSION_PROGRESS';
}
