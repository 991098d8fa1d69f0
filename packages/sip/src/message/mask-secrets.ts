// Masks what must not appear in a log, trace or capture: digest responses (open to offline guessing, RFC 7616 §5.1),
// SRTP keys (RFC 4568 §9.2, RFC 4567), and passwords in URIs.

/** A credentials header with its folded lines: name, colon, value. */
const CREDENTIALS =
  /^((?:Proxy-)?Authorization|(?:Proxy-)?Authentication-Info)([ \t]*:)([^\r\n]*(?:\r?\n[ \t][^\r\n]*)*)/gim;
/** Digest parameters that allow offline guessing of the password. The bounded lengths keep matching linear. */
const DIGEST_PROOF =
  /\b(response|cnonce|rspauth|nextnonce|opaque)([ \t]*=[ \t]*)("[^"]{0,2048}"?|[^\s,]{1,2048})/gi;
const SDES_KEY = /(inline:)([^\s|;]+)/gi;
const SDP_KEY = /^(k=\w{1,16}:|a=key-mgmt:\w{1,16}[ \t]+)([^\r\n]+)/gim;
const URI_PASSWORD = /(\bsips?:[^:@\s<>"]{1,256}:)([^:@\s<>"]{1,256})(?=@)/gi;

/**
 * Returns the text of a SIP message, or of a part of one, with its secrets masked. Runs in time linear in the length.
 *
 * @param mask - Returns the replacement for a secret. Default `***`. Return the same length where lengths matter.
 */
export function maskSecrets(text: string, mask: (secret: string) => string = () => '***'): string {
  let masked = text;
  if (/Auth(?:orization|entication-Info)/i.test(masked)) {
    masked = masked.replace(
      CREDENTIALS,
      (_, name: string, colon: string, value: string) =>
        name + colon + maskCredentials(value, mask),
    );
  }
  const keep = (_: string, before: string, secret: string): string => before + mask(secret);
  return masked.replace(SDES_KEY, keep).replace(SDP_KEY, keep).replace(URI_PASSWORD, keep);
}

function maskCredentials(value: string, mask: (secret: string) => string): string {
  const scheme = /^\s*([A-Za-z][A-Za-z0-9-]{0,63})[ \t]+/.exec(value);
  // Authentication-Info has no scheme; its first token is followed by `=`.
  const isDigest = scheme === null || /^digest$/i.test(scheme[1] ?? '');
  if (!isDigest) return (scheme?.[0] ?? '') + mask(value.slice(scheme?.[0].length ?? 0));
  return value.replace(DIGEST_PROOF, (_, name: string, equals: string, proof: string) => {
    const quoted = proof.length >= 2 && proof.startsWith('"') && proof.endsWith('"');
    return name + equals + (quoted ? `"${mask(proof.slice(1, -1))}"` : mask(proof));
  });
}
