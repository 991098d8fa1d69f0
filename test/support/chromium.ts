// Debian's Chromium, driven by playwright: started once a suite, and closed behind it.

import { chromium } from 'playwright-core';
import type { Browser } from 'playwright-core';
import { findProgram } from './programs.ts';

const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--autoplay-policy=no-user-gesture-required',
];

/** Starts a browser that plays sound without a gesture. @param more - More arguments. */
export function launchChromium(more: readonly string[] = []): Promise<Browser> {
  const args = [...ARGUMENTS, ...more];
  return chromium.launch({ executablePath: findProgram('chromium') ?? '', args });
}

/** What {@link LOOK} saw. */
export interface Seen {
  /** How many different pictures. */
  readonly pictures: number;
  /** Red of the brightest pixel, 0–255. */
  readonly brightest: number;
  /** Largest sample, 0–1. */
  readonly loudest: number;
}

/** Looks at the player of a page for a while: how many different pictures, and how loud. Once a page. */
export const LOOK = `(async () => {
  const video = document.querySelector('video');
  const canvas = document.createElement('canvas');
  canvas.width = 64;
  canvas.height = 36;
  const painter = canvas.getContext('2d', { willReadFrequently: true });
  video.muted = false;
  const audio = new AudioContext();
  const source = audio.createMediaElementSource(video);
  const analyser = audio.createAnalyser();
  source.connect(analyser);
  await audio.resume();
  const samples = new Float32Array(analyser.fftSize);
  const pictures = new Set();
  let brightest = 0;
  let loudest = 0;
  const endMs = performance.now() + 2500;
  while (performance.now() < endMs) {
    painter.drawImage(video, 0, 0, 64, 36);
    const { data } = painter.getImageData(0, 0, 64, 36);
    let sum = 0;
    for (let at = 0; at < data.length; at += 4) {
      sum = (sum * 31 + data[at] + data[at + 1] * 3 + data[at + 2] * 7) % 1e9;
      brightest = Math.max(brightest, data[at]);
    }
    pictures.add(sum);
    analyser.getFloatTimeDomainData(samples);
    for (const sample of samples) loudest = Math.max(loudest, Math.abs(sample));
    await new Promise((resolve) => setTimeout(resolve, 15));
  }
  return { pictures: pictures.size, brightest, loudest };
})()`;

/** Texts of the page that are hard to read: contrast below WCAG 2.2's AA, as `<ratio> <text>`. */
export const POOR_CONTRAST = `(() => {
  const painter = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = (color) => {
    painter.clearRect(0, 0, 1, 1);
    painter.fillStyle = color;
    painter.fillRect(0, 0, 1, 1);
    return [...painter.getImageData(0, 0, 1, 1).data];
  };
  const over = ([r, g, b, a], under) =>
    [r, g, b].map((value, at) => (value * a + under[at] * (255 - a)) / 255);
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const backOf = (element) => {
    if (!element) return rgba(getComputedStyle(document.documentElement).backgroundColor);
    const own = rgba(getComputedStyle(element).backgroundColor);
    return own[3] === 255 ? own : [...over(own, backOf(element.parentElement)), 255];
  };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    const text = node.textContent.trim();
    if (text === '' || !element.checkVisibility({ visibilityProperty: true }) || element.closest('.player')) continue;
    const style = getComputedStyle(element);
    const back = backOf(element);
    const front = over(rgba(style.color), back);
    const [light, dark] = [luminance(front), luminance(back)].sort((a, b) => b - a);
    const ratio = (light + 0.05) / (dark + 0.05);
    const size = parseFloat(style.fontSize);
    const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (isLarge ? 3 : 4.5)) poor.push(ratio.toFixed(2) + ' ' + text.slice(0, 40));
  }
  return poor;
})()`;
