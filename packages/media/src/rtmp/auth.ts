// The two ways in which RTMP servers authenticate a publisher, both by refusing `connect` with a description of what
// they require (Adobe Media Server's AccessManager, Limelight; as librtmp and ffmpeg answer them):
//
//  1. code=403 need auth; authmod=adobe          → connect again with ?authmod=adobe&user=…
//  2. ?reason=needauth&user=…&salt=…&challenge=…  → connect again with the digest of salt, password and challenge
//  3. ?reason=authfailed | nosuchuser             → the end
//
// Pure: the description and a random challenge in, the query of the next `connect` out.

import { createHash } from 'node:crypto';

/** Which digest the server computes. */
type RtmpAuthScheme = 'adobe' | 'llnw';

/** A server's demand, parsed. */
export type RtmpAuthDemand =
  | { readonly kind: 'name'; readonly scheme: RtmpAuthScheme }
  | {
      readonly kind: 'digest';
      readonly scheme: RtmpAuthScheme;
      readonly fields: ReadonlyMap<string, string>;
    }
  | { readonly kind: 'failed'; readonly reason: string };

/** User and password of an address. */
export interface RtmpCredentials {
  readonly username: string;
  readonly password: string;
}

/** Demands answered per publication: user name, then digest. */
export const MAX_AUTH_ATTEMPTS = 2;
const MAX_DESCRIPTION_CHARACTERS = 2048;

/** Parses the description of a refusal; `undefined` if it is not about authentication. */
export function parseRtmpAuthDemand(description: string): RtmpAuthDemand | undefined {
  const text = description.slice(0, MAX_DESCRIPTION_CHARACTERS);
  const scheme = /authmod=(adobe|llnw)\b/.exec(text)?.[1] as RtmpAuthScheme | undefined;
  const fields = new Map<string, string>();
  for (const pair of (/\?([^\s\]]*)/.exec(text)?.[1] ?? '').split('&')) {
    const equals = pair.indexOf('=');
    // Values are plain base64, so they may end in `=`.
    if (equals > 0) fields.set(pair.slice(0, equals), pair.slice(equals + 1));
  }
  const reason = fields.get('reason');
  if (reason === 'needauth' && scheme) return { kind: 'digest', scheme, fields };
  if (reason !== undefined && reason !== 'needauth') return { kind: 'failed', reason };
  if (!/code=403 need auth/.test(text)) return undefined;
  return scheme ? { kind: 'name', scheme } : { kind: 'failed', reason: 'unknown-scheme' };
}

/**
 * The query to append to `app` and `tcUrl` of the next `connect`, without its `?`.
 *
 * @param app - As in the URL, without query: the Limelight digest covers it.
 * @param clientChallenge - Eight characters, new each time.
 */
export function answerRtmpAuth(
  demand: Exclude<RtmpAuthDemand, { kind: 'failed' }>,
  credentials: RtmpCredentials,
  app: string,
  clientChallenge: string,
): string {
  const user = escapeName(credentials.username);
  const head = `authmod=${demand.scheme}&user=${user}`;
  if (demand.kind === 'name') return head;
  const { fields } = demand;
  return demand.scheme === 'adobe'
    ? `${head}&${adobeAnswer(fields, credentials, clientChallenge)}`
    : `${head}&${limelightAnswer(fields, credentials, app, clientChallenge)}`;
}

/** base64(MD5(base64(MD5(user, salt, password)), opaque or challenge, our challenge)). */
function adobeAnswer(
  fields: ReadonlyMap<string, string>,
  { username, password }: RtmpCredentials,
  clientChallenge: string,
): string {
  const secret = md5(`${username}${fields.get('salt') ?? ''}${password}`, 'base64');
  const opaque = fields.get('opaque');
  const theirs = opaque ?? fields.get('challenge') ?? '';
  const response = md5(`${secret}${theirs}${clientChallenge}`, 'base64');
  const echoed = opaque === undefined ? '' : `&opaque=${opaque}`;
  return `challenge=${clientChallenge}&response=${response}${echoed}`;
}

/** RFC 2617 §3.2.2 with realm `live`, method `publish`, qop `auth`, and the application with its instance as the URI. */
function limelightAnswer(
  fields: ReadonlyMap<string, string>,
  { username, password }: RtmpCredentials,
  app: string,
  cnonce: string,
): string {
  const nonce = fields.get('nonce') ?? '';
  const nc = '00000001';
  const uri = `/${app}${app.includes('/') ? '' : '/_definst_'}`;
  const secret = md5(`${username}:live:${password}`, 'hex');
  const request = md5(`publish:${uri}`, 'hex');
  const response = md5(`${secret}:${nonce}:${nc}:${cnonce}:auth:${request}`, 'hex');
  return `nonce=${nonce}&cnonce=${cnonce}&nc=${nc}&response=${response}`;
}

function md5(text: string, encoding: 'base64' | 'hex'): string {
  return createHash('md5').update(text, 'utf8').digest(encoding);
}

/** Names are sent as they are, including `@`, except characters that would end the field. */
function escapeName(name: string): string {
  return name.replace(/[&=#?%+\s]/g, (character) => encodeURIComponent(character));
}
