// The single place where log lines lose their secrets; every line passes through it last. By form: SIP and HTTP
// credentials, SRTP keys, URLs with a password, a stream key or a token, and fields named like secrets. By value: the
// secrets of the configuration and of running calls.

import { maskSecrets } from '@sipcast/core';
import type { CallGateway } from '@sipcast/core';

const MASK = '***';
/** Longer texts are cut before matching. The patterns run in linear time, and log lines are short. */
const MAX_LENGTH = 8192;
/** Shorter values are often ordinary words: masking them would make the log unreadable and hide nothing. */
const MIN_SECRET_LENGTH = 6;

/** Repetitions are bounded, so that no text makes them slow. */
const FORMS: readonly (readonly [RegExp, string])[] = [
  [/\b([a-z][a-z0-9+.-]{0,16}:\/\/)[^\s/?#"'<>@]{1,512}@/gi, `$1${MASK}@`],
  // After the application, an RTMP URL has instance, key and query, in an order that depends on the platform.
  [/\b(rtmps?:\/\/[^\s/?#"'<>]{1,256}\/[^\s/?#"'<>]{1,256})[/?][^\s"'<>]{1,2048}/gi, `$1/${MASK}`],
  [/\b(srt:\/\/[^\s/?#"'<>]{1,256})\/?\?[^\s"'<>]{1,2048}/gi, `$1?${MASK}`],
  [
    /([?&;][\w-]{0,32}(?:token|key|secret|pass|pwd|sig|auth)[\w-]{0,32}=)[^&\s"'<>]{1,2048}/gi,
    `$1${MASK}`,
  ],
  [/\b(Basic|Bearer)(\s+)[\w+/=.~-]{8,2048}/gi, `$1$2${MASK}`],
  [
    /(\b\w{0,32}(?:passw(?:or)?d|passphrase|secret|api[_-]?key)["']?\s{0,8}[:=]\s{0,8})("[^"]{0,1024}"?|'[^']{0,1024}'?|[^\s,;&{}[\]]{1,1024})/gi,
    `$1${MASK}`,
  ],
  [/\b(whsec_|scrypt\$|sha256\$)[\w+/=$-]{1,512}/g, `$1${MASK}`],
];

/** Removes secrets from texts. */
export class Redaction {
  /** The number of holds on each value. */
  readonly #values = new Map<string, number>();

  /**
   * Masks these values from now on.
   * @returns an idempotent release function
   */
  hold(values: Iterable<string | undefined>): () => void {
    const held: string[] = [];
    for (const value of values) {
      if (value === undefined || value.length < MIN_SECRET_LENGTH) continue;
      this.#values.set(value, (this.#values.get(value) ?? 0) + 1);
      held.push(value);
    }
    return () => {
      for (const value of held.splice(0)) {
        const left = (this.#values.get(value) ?? 0) - 1;
        if (left > 0) this.#values.set(value, left);
        else this.#values.delete(value);
      }
    };
  }

  /** The text without secrets. */
  redact(text: string): string {
    let clean = this.redactForms(text);
    for (const value of this.#values.keys()) clean = clean.replaceAll(value, MASK);
    return clean;
  }

  /** Masks only by form. For ids, which may contain a held value. */
  redactForms(text: string): string {
    let clean = maskSecrets(text.length > MAX_LENGTH ? text.slice(0, MAX_LENGTH) : text);
    for (const [form, replacement] of FORMS) clean = clean.replace(form, replacement);
    return clean;
  }

  /** Masks the secrets of a gateway's live calls and pushes: passwords, queries and stream keys of their RTMP URLs. */
  follow(gateway: Pick<CallGateway, 'on'>): void {
    const pushes = new Map<string, () => void>();
    gateway.on('call', (call) => {
      const { callId, rtmpUrl, rtmpStream, toStream, from, target } = call.request;
      const release = this.hold(
        keysIn(rtmpUrl, rtmpStream, [callId, toStream, from.uri, target].join(' ')),
      );
      call.once('closed', release);
    });
    gateway.on('pushChange', ({ mediaSessionId, rtmpUrl, streamName }) => {
      if (!pushes.has(mediaSessionId))
        pushes.set(
          mediaSessionId,
          this.hold(keysIn(rtmpUrl, null, `${mediaSessionId} ${streamName}`)),
        );
    });
    gateway.on('pushClosed', ({ mediaSessionId }) => {
      pushes.get(mediaSessionId)?.();
      pushes.delete(mediaSessionId);
    });
  }
}

/**
 * The password, the query and, unless it is part of `ids`, the name of an RTMP target. In a whole URL, the key follows
 * the application.
 */
export function keysIn(
  url: string | null | undefined,
  name: string | null | undefined,
  ids: string,
): readonly string[] {
  const [, user = '', path = '', query = ''] =
    /^(?:rtmps?|srt):\/\/(?:([^/?]*)@)?[^/?]*([^?]*)\??(.*)$/is.exec(url ?? '') ?? [];
  const [, password = ''] = /:(.*)$/s.exec(user) ?? [];
  const values = query.split('&').map((pair) => pair.slice(pair.indexOf('=') + 1));
  const key = path.split('/').slice(2).at(-1) ?? '';
  return [password, decoded(password), query, ...values, key, name ?? ''].filter(
    (value) => value !== '' && !ids.includes(value),
  );
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
