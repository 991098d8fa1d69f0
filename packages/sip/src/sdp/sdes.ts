// SRTP keys in session descriptions: the `a=crypto` lines of RFC 4568, and which of them is used.

/** One `a=crypto` line of ours. */
export interface CryptoAttribute {
  /** 1–999,999,999, unique in its m-section. */
  readonly tag: number;
  /** A name from RFC 4568 §6.2, e.g. `AES_CM_128_HMAC_SHA1_80`. */
  readonly suite: string;
  /** Master key and salt, in base64. */
  readonly key: string;
}

/** A usable `a=crypto` line of the peer: a single key, without an MKI or other requirements. */
export type RemoteCrypto = CryptoAttribute;

/** The keys that offer and answer have agreed on. */
export interface AgreedCrypto {
  readonly suite: string;
  /** Master key and salt in base64, for what we send. */
  readonly local: string;
  /** The same, for what the peer sends. */
  readonly remote: string;
}

/** Lines that are read in one m-section. */
const MAX_CRYPTO_LINES = 16;

/** The line without its line end. */
export function formatCrypto({ tag, suite, key }: CryptoAttribute): string {
  return `a=crypto:${tag} ${suite} inline:${key}`;
}

/**
 * Reads `crypto` attributes that sdp-transform has split. Skips what cannot be used here: several keys, an MKI, and
 * session parameters that would change anything for us (RFC 4568 §6.3: an unknown one must not be ignored).
 */
export function readCrypto(
  lines: readonly {
    readonly id: unknown;
    readonly suite: unknown;
    readonly config: unknown;
    readonly sessionConfig?: unknown;
  }[],
): RemoteCrypto[] {
  const found: RemoteCrypto[] = [];
  for (const { id, suite, config, sessionConfig } of lines.slice(0, MAX_CRYPTO_LINES)) {
    if (typeof suite !== 'string' || typeof config !== 'string') continue;
    const tag = Number(id);
    if (!Number.isInteger(tag) || tag < 0 || tag > 999_999_999) continue;
    // inline:<key||salt>["|" lifetime]["|" MKI ":" length]
    const match = /^inline:([A-Za-z0-9+/]{1,128}={0,2})(?:\|([^|\s;]+))?$/i.exec(config);
    if (match?.[1] === undefined) continue;
    // If the lifetime is omitted, an MKI can take its place; its colon gives it away.
    if (match[2]?.includes(':')) continue;
    const asked = typeof sessionConfig === 'string' ? sessionConfig.trim().split(/\s+/) : [];
    // Our replay window satisfies a hint about its size (§6.3.6).
    if (asked.some((one) => one !== '' && !/^WSH=\d+$/i.test(one))) continue;
    found.push({ tag, suite: suite.toUpperCase(), key: match[1] });
  }
  return found;
}

/** The answer to our lines: the peer's line must match one of ours by tag and suite (RFC 4568 §5.1.2). */
export function answeredCrypto(
  ours: readonly CryptoAttribute[],
  theirs: readonly RemoteCrypto[],
): AgreedCrypto | undefined {
  const [chosen] = theirs;
  const own = ours.find((one) => one.tag === chosen?.tag && one.suite === chosen.suite);
  if (chosen === undefined || own === undefined || !sameLength(own, chosen)) return undefined;
  return { suite: own.suite, local: own.key, remote: chosen.key };
}

/** The first line of the peer's offer that we support, and our answer to it. */
export function chooseCrypto(
  ours: readonly CryptoAttribute[],
  theirs: readonly RemoteCrypto[],
): { readonly agreed: AgreedCrypto; readonly answer: CryptoAttribute } | undefined {
  for (const chosen of theirs) {
    const own = ours.find((one) => one.suite === chosen.suite && sameLength(one, chosen));
    if (own === undefined) continue;
    return {
      agreed: { suite: own.suite, local: own.key, remote: chosen.key },
      answer: { ...own, tag: chosen.tag },
    };
  }
  return undefined;
}

function sameLength(a: CryptoAttribute, b: CryptoAttribute): boolean {
  return Buffer.from(a.key, 'base64').length === Buffer.from(b.key, 'base64').length;
}
