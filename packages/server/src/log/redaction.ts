// The one place where a log line loses its secrets: whatever is logged goes through here last. By form: credentials of SIP and
// HTTP, keys of SRTP, URLs with a password, a stream key or a token, fields that are called so. By value: what the
// configuration and the running calls keep secret.

import { maskSecrets } from '@sipcast/core';
import type { CallGateway } from '@sipcast/core';

const MASK = '***';
/** Longer texts are cut before they are looked through: the patterns take time linear to the length, and lines are no novels. */
const MAX_LENGTH = 8192;
/** Shorter ones are words: to mask them would spoil the log, and hides nothing. */
const MIN_SECRET_LENGTH = 6;

/** Repetitions are bounded, so that no text makes them slow. */
const FORMS: readonly (readonly [RegExp, string])[] = [
  [/\b([a-z][a-z0-9+.-]{0,16}:\/\/)[^\s/?#"'<>@]{1,512}@/gi, `$1${MASK}@`],
  // Behind the application of an RTMP URL come instance, key and query, in any order that a platform likes.
  [/\b(rtmps?:\/\/[^\s/?#"'<>]{1,256}\/[^\s/?#"'<>]{1,256})[/?][^\s"'<>]{1,2048}/gi, `$1/${MASK}`],
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

/** Takes secrets out of texts. */
export class Redaction {
  /** How often each is held. */
  readonly #values = new Map<string, number>();

  /**
   * Masks these values from now on.
   * @returns Ends that, once.
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

  /** Only what looks like a secret: for ids, which a held value may be a part of. */
  redactForms(text: string): string {
    let clean = maskSecrets(text.length > MAX_LENGTH ? text.slice(0, MAX_LENGTH) : text);
    for (const [form, replacement] of FORMS) clean = clean.replace(form, replacement);
    return clean;
  }

  /** Masks what the live calls and pushes of a gateway were given: passwords, queries and stream keys of their RTMP URLs. */
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
 * Password, query and, where it is no part of `ids`, name of an RTMP target; behind the application of a whole URL comes its
 * key.
 */
export function keysIn(
  url: string | null | undefined,
  name: string | null | undefined,
  ids: string,
): readonly string[] {
  const [, user = '', path = '', query = ''] =
    /^rtmps?:\/\/(?:([^/?]*)@)?[^/?]*([^?]*)\??(.*)$/is.exec(url ?? '') ?? [];
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
