// The secret options of a server.

import type { ServeOptions } from '../config/serve-options.ts';
import { keysIn } from '../log/redaction.ts';

/** Secret values in the options of a server. */
export function secretsOf(options: ServeOptions): readonly (string | undefined)[] {
  const { basicAuth, events, users = [], tokens = [], gateway = {} } = options;
  const rules = gateway.incoming?.rules ?? [];
  return [
    basicAuth?.password,
    basicAuth && Buffer.from(`${basicAuth.username}:${basicAuth.password}`).toString('base64'),
    events?.secret,
    ...Object.values(events?.apps ?? {}).map(({ secret }) => secret),
    ...users.map(({ password }) => password),
    ...tokens.map(({ hash }) => hash),
    gateway.sipTls?.passphrase,
    ...rules.flatMap(({ auth, accept }) => [
      ...Object.values(auth?.users ?? {}),
      ...keysIn(accept?.rtmpUrl, accept?.rtmpStream, accept?.toStream ?? ''),
    ]),
  ];
}
