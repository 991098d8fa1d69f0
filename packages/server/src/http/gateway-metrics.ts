// Prometheus metrics of a gateway. Labels never contain names, numbers, addresses or keys.

import { CALL_TRANSITIONS, isFinal, RTMP_TRANSITIONS } from '@sipcast/core';
import type { Call, CallGateway, CallStatus, RtmpPushView } from '@sipcast/core';
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { ConnectionStats } from './connections.ts';

/** Statuses of live calls. */
const LIVE = (Object.keys(CALL_TRANSITIONS) as CallStatus[]).filter((status) => !isFinal(status));
const PUSH_STATUSES = Object.keys(RTMP_TRANSITIONS);
/** The documented end reasons. All others count as `other`, so that peers cannot create labels. */
const REASONS: ReadonlyMap<string, string> = new Map([
  ['Normal call clearing', 'normal'],
  ['Failed by RTP activity', 'rtp_timeout'],
  ['Failed by request timeout', 'request_timeout'],
  ['Failed by session expiry', 'session_expired'],
  ['Transcoding required, but disabled', 'transcoding_disabled'],
]);

function reasonOf(info: string | null): string {
  if (info === null) return 'other';
  if (info.startsWith('Failed by error'))
    return info.endsWith(' may not be connected to') ? 'forbidden_destination' : 'error';
  if (info.startsWith('No common codecs')) return 'no_common_codecs';
  return REASONS.get(info) ?? (/^[3-6]\d\d /.test(info) ? 'refused' : 'other');
}

/** Counters of one call at the last reading; the difference is added to the totals. */
interface Seen {
  lost: number;
  packets: number;
  keyFrameRequests: number;
}

/** Counts kept by the server around the gateway. */
export interface ServerCounts {
  /** Dropped log lines. */
  readonly linesLost?: () => number;
  /** HTTP connections closed because of the limits. */
  readonly connections?: () => ConnectionStats;
}

/** The metrics of one gateway and its process. */
export class GatewayMetrics {
  readonly #gateway: CallGateway;
  readonly #registry = new Registry();
  readonly #seen = new Map<string, Seen>();
  readonly #pushSeen = new Map<string, { readonly reconnects: number; readonly dropped: number }>();
  readonly #ended: Counter<'status' | 'reason' | 'direction'>;
  readonly #sipRefusals: Counter<'code'>;
  readonly #setUp: Histogram;
  readonly #duration: Histogram;
  readonly #keyFrameWait: Histogram;
  readonly #packets: Counter<'medium'>;
  readonly #lost: Counter<'medium'>;
  readonly #keyFrameRequests: Counter;
  readonly #reconnects: Counter;
  readonly #dropped: Counter;
  readonly #onChange: (call: Call) => void;
  readonly #onPush: (view: RtmpPushView) => void;

  constructor(gateway: CallGateway, { linesLost, connections }: ServerCounts = {}) {
    this.#gateway = gateway;
    const registers = [this.#registry];
    collectDefaultMetrics({ register: this.#registry });
    this.#gauges(registers);
    if (linesLost) {
      const lost: Counter = new Counter({
        name: 'sipcast_log_lines_lost_total',
        help: 'Log lines that were dropped',
        registers,
        collect: (): void => {
          lost.reset();
          lost.inc(linesLost());
        },
      });
    }
    if (connections) {
      const closed: Counter<'reason'> = new Counter({
        name: 'sipcast_http_connections_closed_total',
        help: 'HTTP connections closed by the limits: idle ones replaced by new ones, new ones refused, or too many pipelined requests',
        labelNames: ['reason'],
        registers,
        collect: (): void => {
          const { replaced, refused, flooded } = connections();
          closed.reset();
          closed.inc({ reason: 'replaced' }, replaced);
          closed.inc({ reason: 'refused' }, refused);
          closed.inc({ reason: 'flooded' }, flooded);
        },
      });
    }
    this.#ended = new Counter({
      name: 'sipcast_calls_ended_total',
      help: 'Calls that have ended, by final status, reason and direction',
      labelNames: ['status', 'reason', 'direction'],
      registers,
    });
    this.#sipRefusals = new Counter({
      name: 'sipcast_sip_final_responses_total',
      help: 'Last SIP status code of calls that have ended',
      labelNames: ['code'],
      registers,
    });
    this.#setUp = new Histogram({
      name: 'sipcast_call_setup_seconds',
      help: 'From the start of a call to its answer',
      buckets: [0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 60],
      registers,
    });
    this.#duration = new Histogram({
      name: 'sipcast_call_duration_seconds',
      help: 'From the answer of a call to its end',
      buckets: [10, 60, 300, 900, 1800, 3600, 7200, 14_400],
      registers,
    });
    this.#keyFrameWait = new Histogram({
      name: 'sipcast_key_frame_wait_seconds',
      help: 'How long the last requested key frame of a call took',
      buckets: [0.1, 0.25, 0.5, 1, 2, 5],
      registers,
    });
    this.#packets = this.#perMedium('sipcast_rtp_packets_total', 'RTP packets received');
    this.#lost = this.#perMedium(
      'sipcast_rtp_lost_packets_total',
      'RTP packets that never arrived',
    );
    this.#keyFrameRequests = new Counter({
      name: 'sipcast_key_frame_requests_total',
      help: 'Key frames requested from peers',
      registers,
    });
    this.#reconnects = new Counter({
      name: 'sipcast_rtmp_reconnects_total',
      help: 'Times that publishing restarted after a connection loss',
      registers,
    });
    this.#dropped = new Counter({
      name: 'sipcast_rtmp_dropped_frames_total',
      help: 'Frames skipped because an RTMP server was too slow',
      registers,
    });
    this.#onChange = (call) => this.#note(call);
    this.#onPush = (view) => this.#notePush(view);
    gateway.on('callChange', this.#onChange);
    gateway.on('pushChange', this.#onPush);
    gateway.on('pushClosed', this.#onPush);
  }

  /** The `content-type` of the response. */
  get contentType(): string {
    return this.#registry.contentType;
  }

  /** All metrics in the text format of Prometheus. */
  text(): Promise<string> {
    for (const call of this.#gateway.calls.live) this.#read(call);
    return this.#registry.metrics();
  }

  /** Stops listening to the gateway. */
  close(): void {
    this.#gateway.off('callChange', this.#onChange);
    this.#gateway.off('pushChange', this.#onPush);
    this.#gateway.off('pushClosed', this.#onPush);
    this.#registry.clear();
  }

  #perMedium(name: string, help: string): Counter<'medium'> {
    return new Counter({ name, help, labelNames: ['medium'], registers: [this.#registry] });
  }

  /** Gauges that are read on each scrape. */
  #gauges(registers: Registry[]): void {
    const gateway = this.#gateway;
    const gauge = <Label extends string>(
      name: string,
      help: string,
      labelNames: readonly Label[],
      collect: (gauge: Gauge<Label>) => void,
    ): void => {
      const made: Gauge<Label> = new Gauge<Label>({
        name,
        help,
        labelNames: [...labelNames],
        registers,
        collect: (): void => collect(made),
      });
    };
    gauge('sipcast_calls', 'Live calls by status', ['status'], (made) => {
      for (const status of LIVE) made.set({ status }, 0);
      for (const { status } of gateway.calls.live) made.inc({ status });
    });
    gauge('sipcast_pushes', 'RTMP pushes by status', ['status'], (made) => {
      for (const status of PUSH_STATUSES) made.set({ status }, 0);
      for (const { status } of gateway.pushes.find()) made.inc({ status });
    });
    gauge('sipcast_viewers', 'Viewers of all streams', [], (made) => {
      made.set(gateway.streams.find().reduce((sum, { viewers }) => sum + viewers, 0));
    });
    gauge('sipcast_encoders', 'Encoders that are running or reserved', ['medium'], (made) => {
      const { audio, video } = gateway.encoders;
      made.set({ medium: 'audio' }, audio);
      made.set({ medium: 'video' }, video);
    });
    gauge(
      'sipcast_faults',
      'Bad input from the wire, by name, since the start',
      ['fault'],
      (made) => {
        for (const [fault, count] of Object.entries(gateway.faults)) made.set({ fault }, count);
      },
    );
    gauge(
      'sipcast_media_problems',
      'Live calls with a medium that is kept off the air, by problem',
      ['medium', 'problem'],
      (made) => {
        made.reset();
        for (const call of gateway.calls.live)
          for (const medium of ['audio', 'video'] as const) {
            const problem = call.stats()?.[medium]?.problem;
            // Without the number: peers must not create labels.
            if (problem) made.inc({ medium, problem: problem.split(' ', 1)[0] ?? '' });
          }
      },
    );
    gauge('sipcast_worst_jitter_seconds', 'Largest jitter of a live call', ['medium'], (made) => {
      for (const medium of ['audio', 'video'] as const) {
        const all = gateway.calls.live.map((call) => call.stats()?.[medium]?.jitterMs ?? 0);
        made.set({ medium }, Math.max(0, ...all) / 1000);
      }
    });
    gauge(
      'sipcast_worst_av_skew_seconds',
      'Largest skew of a live call, either way',
      [],
      (made) => {
        const all = gateway.calls.live.map((call) => Math.abs(call.stats()?.avSkewMs ?? 0));
        made.set(Math.max(0, ...all) / 1000);
      },
    );
  }

  #note(call: Call): void {
    if (!call.ended) return;
    this.#read(call);
    const view = call.view();
    this.#ended.inc({
      status: view.status,
      reason: reasonOf(view.info),
      direction: view.incoming ? 'in' : 'out',
    });
    const code = view.sipStatus ?? 0;
    if (code >= 200 && code <= 699) this.#sipRefusals.inc({ code: String(code) });
    const at = (time: string | null): number => (time === null ? Number.NaN : Date.parse(time));
    const established = at(view.establishedAt);
    if (Number.isNaN(established)) return;
    this.#setUp.observe((established - at(view.createdAt)) / 1000);
    this.#duration.observe((at(view.endedAt) - established) / 1000);
    const waitMs = view.media?.video?.keyFrameAnswers.lastWaitMs ?? null;
    if (waitMs !== null) this.#keyFrameWait.observe(waitMs / 1000);
  }

  /** Adds a call's progress since the last reading to the totals. */
  #read(call: Call): void {
    const stats = call.stats();
    if (stats === null) return;
    for (const medium of ['audio', 'video'] as const) {
      const received = stats[medium];
      if (received === null) continue;
      const key = `${medium} ${call.callId}`;
      const before = this.#seen.get(key) ?? { lost: 0, packets: 0, keyFrameRequests: 0 };
      const requests = medium === 'video' ? (stats.video?.keyFrameRequests ?? 0) : 0;
      this.#packets.inc({ medium }, Math.max(0, received.packets - before.packets));
      // A late packet reduces the loss, but a counter cannot decrease.
      this.#lost.inc({ medium }, Math.max(0, received.lost - before.lost));
      this.#keyFrameRequests.inc(Math.max(0, requests - before.keyFrameRequests));
      if (call.ended) this.#seen.delete(key);
      else
        this.#seen.set(key, {
          lost: Math.max(received.lost, before.lost),
          packets: received.packets,
          keyFrameRequests: requests,
        });
    }
  }

  #notePush(view: RtmpPushView): void {
    const { mediaSessionId, reconnects, droppedFrames: dropped } = view;
    const before = this.#pushSeen.get(mediaSessionId) ?? { reconnects: 0, dropped: 0 };
    this.#reconnects.inc(Math.max(0, reconnects - before.reconnects));
    this.#dropped.inc(Math.max(0, dropped - before.dropped));
    const isLive = this.#gateway.pushes.find().some((one) => one.mediaSessionId === mediaSessionId);
    if (isLive) this.#pushSeen.set(mediaSessionId, { reconnects, dropped });
    else this.#pushSeen.delete(mediaSessionId);
  }
}
