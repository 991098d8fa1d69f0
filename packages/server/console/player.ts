// Plays a named stream: live FLV by mpegts.js with low latency, reconnecting when it breaks off.

import mpegts from 'mpegts.js';
import { api } from './api.ts';
import { el, icon, setText } from './dom.ts';
import { LevelMeter } from './level-meter.ts';
import { wordsOf } from './notices.ts';

mpegts.LoggingControl.applyConfig({
  enableVerbose: false,
  enableDebug: false,
  enableInfo: false,
  enableWarn: false,
});

const RETRY_MS = 1000;
/** Chromium delivers only silence if the capture starts before the audio. */
const METERED_FROM_S = 1;
/** Low latency: start with the first picture, and catch up instead of falling behind. */
const LIVE = {
  enableStashBuffer: false,
  liveSync: true,
  liveSyncMaxLatency: 1.5,
  liveSyncTargetLatency: 0.5,
} as const;

/** A player with its controls. It plays one stream at a time. */
export class Player {
  readonly element: HTMLElement;
  readonly #video: HTMLVideoElement;
  readonly #state: HTMLElement;
  readonly #playButton: HTMLButtonElement;
  readonly #soundButton: HTMLButtonElement;
  readonly #meter: LevelMeter;
  #player: mpegts.Player | undefined;
  #streamName: string | undefined;
  #timer = 0;
  /** Number of the attempt; results of earlier attempts are ignored. */
  #attempt = 0;

  constructor() {
    this.#video = el('video', { playsinline: true, 'aria-label': 'Live picture' });
    this.#state = el('p', { class: 'player-state', role: 'status' });
    this.#playButton = el('button', { type: 'button', class: 'button on-picture' });
    this.#soundButton = el('button', { type: 'button', class: 'button on-picture' });
    const full = el('button', {
      type: 'button',
      class: 'button on-picture',
      'aria-label': 'Full screen',
      title: 'Full screen (F)',
    });
    full.append(icon('full'));
    this.#meter = new LevelMeter(this.#video);
    this.element = el(
      'div',
      { class: 'player', 'data-state': 'idle' },
      this.#video,
      el('div', { class: 'player-sound', 'aria-hidden': 'true' }, icon('sound')),
      this.#state,
      el(
        'div',
        { class: 'player-controls' },
        this.#playButton,
        this.#soundButton,
        this.#meter.element,
        full,
      ),
    );
    this.#playButton.addEventListener('click', () => this.togglePlaying());
    this.#soundButton.addEventListener('click', () => this.toggleSound());
    full.addEventListener('click', () => this.toggleFullScreen());
    this.#video.addEventListener('playing', () => this.#onPlaying());
    this.#video.addEventListener('resize', () => this.#onPlaying());
    this.#video.addEventListener('timeupdate', () => {
      if (this.#video.currentTime > METERED_FROM_S) this.#meter.start();
    });
    this.#video.addEventListener('volumechange', () => this.#showButtons());
    this.#showButtons();
  }

  /** The stream that it plays or tries to play. */
  get streamName(): string | undefined {
    return this.#streamName;
  }

  /** Plays a stream. */
  play(streamName: string): void {
    this.#streamName = streamName;
    this.#video.muted = false;
    this.#open();
  }

  /** Stops, and shows why. */
  stop(words = ''): void {
    this.#attempt++;
    window.clearTimeout(this.#timer);
    this.#destroy();
    this.#streamName = undefined;
    this.#show('idle', words);
  }

  /** @param streamName - The stream to play if none is playing. */
  togglePlaying(streamName = this.#lastName): void {
    if (this.#streamName !== undefined) this.stop('Stopped');
    else if (streamName !== undefined) this.play(streamName);
  }

  toggleSound(): void {
    this.#video.muted = !this.#video.muted;
  }

  toggleFullScreen(): void {
    const done = document.fullscreenElement
      ? document.exitFullscreen()
      : this.element.requestFullscreen();
    done.catch(() => {
      // Ignored: the browser refuses full screen; the picture stays as it is.
    });
  }

  /** Sets the stream for the play button. */
  offer(streamName: string | undefined): void {
    this.#lastName = streamName;
    this.#playButton.disabled = streamName === undefined;
  }

  #lastName: string | undefined;

  #open(): void {
    this.#destroy();
    const streamName = this.#streamName;
    if (streamName === undefined) return;
    const attempt = ++this.#attempt;
    this.#show('waiting', 'Connecting …');
    api.streamUrl(streamName).then(
      (url) => {
        if (attempt === this.#attempt) this.#load(url);
      },
      (error: unknown) => {
        if (attempt === this.#attempt) this.#again(wordsOf(error).message);
      },
    );
  }

  #load(url: string): void {
    if (!mpegts.isSupported()) return this.stop('This browser cannot play live FLV');
    const player = mpegts.createPlayer({ type: 'flv', isLive: true, url }, LIVE);
    this.#player = player;
    player.on(mpegts.Events.ERROR, (_type: unknown, detail: unknown) => {
      if (player === this.#player) this.#again(`Broken off (${String(detail)})`);
    });
    player.on(mpegts.Events.LOADING_COMPLETE, () => {
      if (player === this.#player) this.#again('The stream has ended');
    });
    player.attachMediaElement(this.#video);
    player.load();
    this.#video.play().catch((error: unknown) => {
      const { name } = error as { name?: string };
      if (name !== 'NotAllowedError' || player !== this.#player) return;
      // Browsers allow sound only after a user gesture.
      this.#video.muted = true;
      this.#video.play().catch(() => {
        // Ignored: a new player has taken its place, or the user pauses.
      });
    });
  }

  #again(why: string): void {
    this.#attempt++;
    this.#destroy();
    this.#show('waiting', `${why}. Retrying …`);
    window.clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => this.#open(), RETRY_MS);
  }

  #destroy(): void {
    this.#meter.stop();
    const player = this.#player;
    this.#player = undefined;
    player?.destroy();
  }

  #onPlaying(): void {
    const { videoWidth, videoHeight, muted } = this.#video;
    const size = videoWidth > 0 ? `${videoWidth}×${videoHeight}` : 'Sound only';
    this.#show('playing', muted ? `${size} · sound is off` : size);
    this.element.toggleAttribute('data-sound-only', videoWidth === 0);
  }

  #show(state: 'idle' | 'waiting' | 'playing', words: string): void {
    this.element.setAttribute('data-state', state);
    setText(this.#state, words);
    if (state !== 'playing') this.element.removeAttribute('data-sound-only');
    this.#showButtons();
  }

  #showButtons(): void {
    const isOn = this.#streamName !== undefined;
    const { muted, videoWidth, videoHeight } = this.#video;
    const play = isOn ? 'Stop' : 'Play';
    const sound = muted ? 'Sound on' : 'Sound off';
    this.#playButton.replaceChildren(icon(isOn ? 'stop' : 'play'));
    this.#playButton.setAttribute('aria-label', play);
    this.#playButton.title = `${play} (P)`;
    this.#soundButton.replaceChildren(icon(muted ? 'muted' : 'sound'));
    this.#soundButton.setAttribute('aria-label', sound);
    this.#soundButton.title = `${sound} (M)`;
    if (this.element.getAttribute('data-state') !== 'playing') return;
    const size = videoWidth > 0 ? `${videoWidth}×${videoHeight}` : 'Sound only';
    setText(this.#state, muted ? `${size} · sound is off` : size);
  }
}
