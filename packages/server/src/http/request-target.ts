// What a request line asks for.

/** Path and query of a request target, which may be a whole URL (RFC 9112 §3.2.2): which host it names is of no matter here. */
export function pathAndQuery(target = '/'): string {
  const rest = target.replace(/^https?:\/\/[^/?#]*/i, '');
  return rest.startsWith('/') ? rest : `/${rest}`;
}
