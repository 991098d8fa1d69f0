// Pushes over RTMP and RTMPS.

import { adviseRtmpTarget, parseRtmpUrl } from '@sipcast/media';
import type { RtmpUrl } from '@sipcast/media/wire';
import { invalidArgument, invalidUrl } from '../errors.ts';
import type { PushProtocol } from './push-protocol.ts';

// What RTMP servers take as a key, query included, and no path step upwards.
const RTMP_STREAM =
  /^(?!(?:.*(?:\/|%2[fF]))?(?:\.|%2[eE]){2}(?:\/|%2[fF]|$))[A-Za-z0-9!$&'()*+,;=:@._~%?/-]{1,512}$/;

/** RTMP and RTMPS. */
export const RTMP_PROTOCOL: PushProtocol = {
  schemes: ['rtmp:', 'rtmps:'],

  check(url, name, nameField) {
    try {
      parseRtmpUrl(url);
    } catch (cause) {
      throw invalidUrl('rtmpUrl', cause);
    }
    if (!RTMP_STREAM.test(name))
      throw invalidArgument(nameField, 'has a character that no RTMP server takes, or is too long');
  },

  split(fullUrl) {
    const query = fullUrl.indexOf('?');
    const path = query < 0 ? fullUrl : fullUrl.slice(0, query);
    const slash = path.lastIndexOf('/');
    const publishName = path.slice(slash + 1) + (query < 0 ? '' : fullUrl.slice(query));
    if (!/^rtmps?:\/\/[^/]+\/.+\/[^/]+$/i.test(path)) {
      const problem = 'must end in /app/name when rtmpTransponderFullUrl is true';
      throw invalidArgument('rtmpUrl', problem);
    }
    return { connectUrl: path.slice(0, slash), publishName };
  },

  advise: adviseRtmpTarget,
  formFor: (form) => form,

  secretsIn(url, name) {
    const { app, password = '' } = parseRtmpUrl(url);
    const [, query = ''] = /\?(.*)$/s.exec(app) ?? [];
    const secrets = [name, ...valuesIn(name), query, ...valuesIn(query), password];
    return secrets.filter((secret) => secret !== '');
  },

  // Never from TLS to no TLS.
  redirect(from, to, mayRedirect) {
    const before = parseRtmpUrl(from);
    const after = parseRtmpUrl(to);
    if (before.secure && !after.secure) return undefined;
    const { tcUrl } = after;
    if (authorityOf(before) !== authorityOf(after)) return mayRedirect(tcUrl) ? tcUrl : undefined;
    const [, user = ''] = /^rtmps?:\/\/([^/?]*@)/i.exec(from) ?? [];
    return tcUrl.replace('://', () => `://${user}`);
  },

  requireUsable: () => {},
  open: (options, handler, deps) => deps.openRtmpPublisher(options, handler),
};

/** Host and port as they are written. */
function authorityOf({ tcUrl }: RtmpUrl): string {
  return tcUrl.split('/')[2]?.toLowerCase() ?? '';
}

/** The values in the query of a name or an address. Short values are words, not keys. */
function valuesIn(text: string): readonly string[] {
  return [...text.matchAll(/[?&=]([^?&=]{4,})/g)].map(([, value = '']) => value);
}
