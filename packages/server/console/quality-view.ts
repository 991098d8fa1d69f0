// Loss, jitter and bitrate of the selected call over the last minutes, and its counters.

import type { CallView } from '@sipcast/core';
import { byId, el, setAttribute, setText, svg } from './dom.ts';
import { scalePlot, shortNumber } from './plot-scale.ts';
import { statsPoint, withPoint } from './stats-series.ts';
import type { MediumPoint, StatsPoint } from './stats-series.ts';
import { bitrateText, codecText, percentText, problemText } from './words.ts';

const WINDOW_MS = 120_000;
const WIDTH = 480;
const HEIGHT = 88;
const MEDIA = ['video', 'audio'] as const;

interface PlotKind {
  readonly title: string;
  readonly unit: string;
  readonly leastTop: number;
  readonly value: (point: MediumPoint) => number | null;
}

const PLOTS: readonly PlotKind[] = [
  { title: 'Loss', unit: '%', leastTop: 1, value: (point) => point.lossPercent },
  { title: 'Jitter', unit: 'ms', leastTop: 10, value: (point) => point.jitterMs },
  { title: 'Bitrate', unit: 'kbit/s', leastTop: 100, value: (point) => point.bitrateKbps },
];

/** A plot with its title and latest values. */
class PlotView {
  readonly element: HTMLElement;
  readonly #kind: PlotKind;
  readonly #drawing: SVGElement;
  readonly #paths = MEDIA.map((medium) => svg('path', { class: `line-${medium}` }));
  readonly #values = MEDIA.map((medium) => el('span', { class: `value-${medium}` }));
  readonly #top = el('span', { class: 'plot-top' });
  readonly #cursor = svg('line', {
    class: 'cursor',
    y1: '0',
    y2: String(HEIGHT),
    x1: '-9',
    x2: '-9',
  });
  #points: readonly StatsPoint[] = [];
  #nowMs = 0;
  /** Pointer position, 0 to 1. */
  #pointed: number | undefined;

  constructor(kind: PlotKind) {
    this.#kind = kind;
    const grid = [0.25, 0.5, 0.75].map((share) =>
      svg('line', {
        class: 'grid',
        x1: '0',
        x2: String(WIDTH),
        y1: String(HEIGHT * share),
        y2: String(HEIGHT * share),
      }),
    );
    this.#drawing = svg(
      'svg',
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img' },
      ...grid,
      ...this.#paths,
      this.#cursor,
    );
    this.element = el(
      'figure',
      { class: 'plot' },
      el('figcaption', {}, el('b', {}, kind.title), ...this.#values),
      el(
        'div',
        { class: 'plot-box' },
        this.#drawing,
        this.#top,
        el('span', { class: 'plot-span', 'aria-hidden': 'true' }, '2 min'),
      ),
    );
    this.#drawing.addEventListener('pointermove', (event) => {
      const { left, width } = this.#drawing.getBoundingClientRect();
      this.#pointed = (event.clientX - left) / width;
      this.#showValues();
    });
    this.#drawing.addEventListener('pointerleave', () => {
      this.#pointed = undefined;
      this.#showValues();
    });
  }

  show(points: readonly StatsPoint[], nowMs: number): void {
    this.#points = points;
    this.#nowMs = nowMs;
    const { title, unit, leastTop, value } = this.#kind;
    const lines = MEDIA.map((medium) =>
      points.map((point) => ({ atMs: point.atMs, value: value(point[medium]) })),
    );
    const box = { width: WIDTH, height: HEIGHT, windowMs: WINDOW_MS, nowMs };
    const { top, paths } = scalePlot(lines, box, leastTop);
    this.#paths.forEach((path, index) => setAttribute(path, 'd', paths[index] || undefined));
    setText(this.#top, `${shortNumber(top)} ${unit}`);
    this.#showValues();
    const words = MEDIA.map((medium, index) => {
      const values = (lines[index] ?? []).flatMap((one) => (one.value === null ? [] : [one.value]));
      const last = values.at(-1);
      if (last === undefined) return `${medium}: none`;
      return `${medium}: ${shortNumber(last)} ${unit}, highest ${shortNumber(Math.max(...values))}`;
    });
    setAttribute(this.#drawing, 'aria-label', `${title} over two minutes. ${words.join('; ')}`);
  }

  #showValues(): void {
    const { unit, value } = this.#kind;
    const wantedMs = this.#nowMs - WINDOW_MS * (1 - (this.#pointed ?? 1));
    let nearest: StatsPoint | undefined;
    for (const point of this.#points) {
      const isNearer =
        !nearest || Math.abs(point.atMs - wantedMs) <= Math.abs(nearest.atMs - wantedMs);
      if (isNearer) nearest = point;
    }
    MEDIA.forEach((medium, index) => {
      const one = nearest ? value(nearest[medium]) : null;
      const element = this.#values[index];
      if (element)
        setText(element, `${medium} ${one === null ? '–' : `${shortNumber(one)} ${unit}`}`);
    });
    const x = this.#pointed === undefined ? -9 : this.#pointed * WIDTH;
    setAttribute(this.#cursor, 'x1', x.toFixed(1));
    setAttribute(this.#cursor, 'x2', x.toFixed(1));
  }
}

/** The plots and counters of the selected call. */
export class QualityView {
  readonly #plots = PLOTS.map((kind) => new PlotView(kind));
  readonly #figures = byId('figures');
  #callId: string | undefined;
  #points: readonly StatsPoint[] = [];
  #before: CallView['media'] = null;

  constructor() {
    byId('plots').append(...this.#plots.map(({ element }) => element));
  }

  /** A fresh API response about the selected call. */
  take(call: CallView): void {
    if (call.callId !== this.#callId) this.reset(call.callId);
    const atMs = Date.now();
    this.#points = withPoint(this.#points, statsPoint(this.#before, call.media, atMs), WINDOW_MS);
    this.#before = call.media;
    for (const plot of this.#plots) plot.show(this.#points, atMs);
    this.#showFigures(call.media);
  }

  /** Shows another call, or none. */
  reset(callId?: string): void {
    this.#callId = callId;
    this.#points = [];
    this.#before = null;
    for (const plot of this.#plots) plot.show([], Date.now());
    this.#figures.replaceChildren();
  }

  #showFigures(media: CallView['media']): void {
    const rows = media ? figuresOf(media) : [];
    this.#figures.replaceChildren(
      ...rows.flatMap(([name, value]) => [el('dt', {}, name), el('dd', {}, value)]),
    );
  }
}

function figuresOf(media: NonNullable<CallView['media']>): (readonly [string, string])[] {
  const { audio, video, avSkewMs, audioTranscoder, videoTranscoder, silenceInsertedMs } = media;
  const rows: (readonly [string, string])[] = [];
  for (const [name, medium] of [
    ['Video problem', video],
    ['Audio problem', audio],
  ] as const)
    if (medium?.problem) rows.push([name, problemText(medium.problem, medium.problemSinceMs)]);
  if (video) {
    const size = video.width === null ? '' : ` ${video.width}×${video.height}`;
    const fps = video.fps === null ? '' : ` at ${shortNumber(video.fps)} fps`;
    rows.push(
      ['Video', `${codecText(video.codec)}${size}${fps}, ${bitrateText(video.bitrateBps)}`],
      [
        'Video lost',
        `${video.lost} of ${video.packets + video.lost} (${percentText(video.lossRatio)})`,
      ],
      ['Pictures', `${video.frames}, ${video.keyFrames} key, ${video.droppedFrames} dropped`],
      ['Key frames requested', String(video.keyFrameRequests)],
    );
  }
  if (audio) {
    rows.push(
      ['Audio', `${codecText(audio.codec)}, ${bitrateText(audio.bitrateBps)}`],
      [
        'Audio lost',
        `${audio.lost} of ${audio.packets + audio.lost} (${percentText(audio.lossRatio)})`,
      ],
      [
        'Silence inserted',
        silenceInsertedMs === null ? '–' : `${Math.round(silenceInsertedMs)} ms`,
      ],
    );
  }
  rows.push(
    ['Video behind audio', avSkewMs === null ? '–' : `${Math.round(avSkewMs)} ms`],
    [
      'Encoded',
      [audioTranscoder && 'audio', videoTranscoder && 'video'].filter(Boolean).join(', ') ||
        'nothing',
    ],
  );
  return rows;
}
