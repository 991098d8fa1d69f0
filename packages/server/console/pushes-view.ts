// The RTMP servers that a call's stream is pushed to.

import type { CallView, RtmpPushView } from '@sipcast/core';
import { api, ApiError } from './api.ts';
import { byId, el, setAttribute, setText, typedById } from './dom.ts';
import { attempt, wordsOf } from './notices.ts';
import { twoStepButton } from './two-step-button.ts';
import { bytesText, publicUrl, rtmpStatusText, toneOf } from './words.ts';

interface Item {
  readonly element: HTMLElement;
  readonly status: HTMLElement;
  readonly figures: HTMLElement;
  readonly error: HTMLElement;
  readonly retry: HTMLElement;
  readonly mute: HTMLButtonElement;
  push: RtmpPushView;
}

/** The list and the form below it. */
export class PushesView {
  readonly #list = byId('pushes');
  readonly #empty = byId('pushes-empty');
  readonly #form = typedById('push-form', HTMLFormElement);
  readonly #url = typedById('push-url', HTMLInputElement);
  readonly #problem = byId('push-problem');
  readonly #items = new Map<string, Item>();
  readonly #onChanged: () => void;
  #call: CallView | undefined;

  /** @param onChanged - An action was requested: the API has news. */
  constructor(onChanged: () => void) {
    this.#onChanged = onChanged;
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#submit();
    });
    this.#url.addEventListener('input', () => this.#showProblem(undefined));
  }

  show(call: CallView | undefined): void {
    if (call?.callId !== this.#call?.callId) this.#showProblem(undefined);
    this.#call = call;
    const pushes = call?.pushes ?? [];
    const there = new Set(pushes.map((push) => push.mediaSessionId));
    for (const [id, { element }] of this.#items) {
      if (there.has(id)) continue;
      element.remove();
      this.#items.delete(id);
    }
    for (const push of pushes) {
      const item = this.#items.get(push.mediaSessionId) ?? this.#newItem(push);
      item.push = push;
      fill(item);
    }
    const isNamed = Boolean(call?.streamName);
    this.#empty.hidden = pushes.length > 0;
    setText(this.#empty, 'This call has no pushes.');
    byId('push-fields').hidden = !isNamed;
  }

  async #submit(): Promise<void> {
    const streamName = this.#call?.streamName;
    if (!streamName) return;
    this.#showProblem(undefined);
    const full = typedById('push-full', HTMLInputElement).checked;
    const muted = typedById('push-muted', HTMLInputElement).checked;
    try {
      await api.startPush({
        streamName,
        rtmpUrl: this.#url.value.trim(),
        rtmpTransponderFullUrl: full,
        ...(muted ? { options: { action: 'mute' } } : {}),
      });
      this.#form.reset();
      this.#url.focus();
      this.#onChanged();
    } catch (error) {
      this.#showProblem(error);
    }
  }

  #showProblem(error: unknown): void {
    this.#problem.hidden = error === undefined;
    setAttribute(this.#url, 'aria-invalid', error === undefined ? undefined : 'true');
    if (error === undefined) return;
    const { message, code } = wordsOf(error);
    this.#problem.replaceChildren(message, ' ', el('code', {}, code));
    if (error instanceof ApiError && error.field === 'rtmpUrl') this.#url.focus();
  }

  #newItem(push: RtmpPushView): Item {
    const { mediaSessionId } = push;
    const status = el('span', { class: 'badge' });
    const figures = el('p', { class: 'faint' });
    const error = el('p', { class: 'push-error' });
    const mute = el('button', { type: 'button', class: 'button' });
    const retry = el('button', { type: 'button', class: 'button' }, 'Try now');
    const end = twoStepButton('End', 'Really end?', () =>
      attempt('End push', () => api.endPush(mediaSessionId).finally(this.#onChanged)),
    );
    const element = el(
      'li',
      { class: 'push', 'data-media-session-id': mediaSessionId },
      el(
        'div',
        { class: 'push-head' },
        status,
        el('span', { class: 'push-url strong' }, publicUrl(push.rtmpUrl)),
      ),
      figures,
      error,
      el('div', { class: 'row' }, retry, mute, end),
    );
    const item: Item = { element, status, figures, error, retry, mute, push };
    retry.addEventListener('click', () => {
      attempt('Try now', () => api.retryPush(mediaSessionId).finally(this.#onChanged));
    });
    mute.addEventListener('click', () => {
      attempt('Mute', () =>
        api.mutePush(mediaSessionId, !item.push.muted).finally(this.#onChanged),
      );
    });
    this.#items.set(mediaSessionId, item);
    this.#list.append(element);
    return item;
  }
}

function fill({ push, status, figures, error, retry, mute }: Item): void {
  setText(status, rtmpStatusText(push.status));
  setAttribute(status, 'data-tone', toneOf(push.status));
  const parts = [
    push.streamName,
    `${bytesText(push.bytesSent)} sent`,
    push.droppedFrames > 0 ? `${push.droppedFrames} frames dropped` : '',
    push.reconnects > 0 ? `${push.reconnects} reconnects` : '',
    push.soundEnabled ? 'plays a sound' : '',
  ];
  setText(figures, parts.filter(Boolean).join(' · '));
  error.hidden = push.lastError === null || push.status === 'RTMP_STREAM_ACTIVE';
  setText(error, push.lastError ?? '');
  retry.hidden = push.status !== 'RTMP_CONNECTION_LOST' && push.status !== 'RTMP_CONNECTION_FAILED';
  setText(mute, push.muted ? 'Unmute' : 'Mute');
  setAttribute(mute, 'aria-pressed', String(push.muted));
}
