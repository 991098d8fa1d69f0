// The audio level of a player, captured beside the output. Without browser support, there is no meter.

import { el } from './dom.ts';

type Capturing = HTMLVideoElement & { captureStream?: () => MediaStream };
/** Decibels below full scale at the left edge. */
const FLOOR_DB = -60;

/** A bar from quiet to loud. */
export class LevelMeter {
  readonly element: HTMLElement;
  readonly #video: Capturing;
  readonly #bar: HTMLElement;
  #audio: AudioContext | undefined;
  #source: MediaStreamAudioSourceNode | undefined;
  #frame = 0;

  constructor(video: HTMLVideoElement) {
    this.#video = video;
    this.#bar = el('span', {});
    this.element = el('div', { class: 'meter', 'aria-hidden': 'true' }, this.#bar);
  }

  /** Follows the current playback. Called repeatedly, because audio may start after the first picture. */
  start(): void {
    if (this.#source || this.#video.captureStream === undefined) return;
    const [track] = this.#video.captureStream().getAudioTracks();
    if (!track) return;
    this.#audio ??= new AudioContext();
    const audio = this.#audio;
    audio.resume().catch(() => {
      // Ignored: suspended until a user gesture; until then the bar stays empty.
    });
    const source = audio.createMediaStreamSource(new MediaStream([track]));
    const analyser = audio.createAnalyser();
    source.connect(analyser);
    this.#source = source;
    const samples = new Float32Array(analyser.fftSize);
    const show = (): void => {
      analyser.getFloatTimeDomainData(samples);
      let sum = 0;
      for (const sample of samples) sum += sample * sample;
      const db = 10 * Math.log10(sum / samples.length + 1e-10);
      const share = this.#video.muted ? 0 : Math.max(0, Math.min(1, 1 - db / FLOOR_DB));
      this.#bar.style.transform = `scaleX(${share.toFixed(3)})`;
      this.#frame = requestAnimationFrame(show);
    };
    show();
  }

  /** Empties the bar. */
  stop(): void {
    cancelAnimationFrame(this.#frame);
    this.#source?.disconnect();
    this.#source = undefined;
    this.#bar.style.transform = 'scaleX(0)';
  }
}
