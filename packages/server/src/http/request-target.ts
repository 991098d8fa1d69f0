// Parses request targets.

/** Path and query of a request target, which may be a whole URL (RFC 9112 §3.2.2). The host in it is ignored here. */
export function pathAndQuery(target = '/'): string {
  const rest = target.replace(/^https?:\/\/[^/?#]*/i, '');
  return rest.startsWith('/') ? rest : `/${rest}`;
}
