// Looks names up and passes on only addresses that may be connected to, so that the address checked is the address used.

import { lookup as systemLookup } from 'node:dns';
import { isIP } from 'node:net';
import type { LookupFunction } from 'node:net';

/** Whether a connection may go to this address. `host`: the name that resolved to it, or the address itself. */
export type MayConnect = (address: string, host: string) => boolean;

/** For the `lookup` of a request. */
export function guardedLookup(
  mayConnect: MayConnect,
  lookup: LookupFunction = systemLookup,
): LookupFunction {
  return (host, options, callback) => {
    lookup(host, { ...options, all: true }, (error, found, family) => {
      if (error) return callback(error, '');
      // A custom lookup may return a single address even if all were requested.
      const all =
        typeof found === 'string' ? [{ address: found, family: family ?? isIP(found) }] : found;
      const allowed = all.filter(({ address }) => mayConnect(address, host));
      const [first] = allowed;
      if (!first)
        return callback(new Error(`${host} is an address that may not be connected to`), '');
      if (options.all) callback(null, allowed);
      else callback(null, first.address, first.family);
    });
  };
}
