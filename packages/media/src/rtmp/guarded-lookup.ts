// A name look-up that returns only permitted addresses, so that the address checked is the address connected to.

import { lookup as systemLookup } from 'node:dns';
import { isIP } from 'node:net';
import type { LookupFunction } from 'node:net';

/** May a connection go to this address? @param host - The name that resolved to it, or the address itself. */
export type MayConnect = (address: string, host: string) => boolean;

/** Error code for a name with only forbidden addresses. */
export const FORBIDDEN_ADDRESS = 'FORBIDDEN_ADDRESS';

/** For the `lookup` of `net.connect`. */
export function guardedLookup(
  mayConnect: MayConnect,
  lookup: LookupFunction = systemLookup,
): LookupFunction {
  return (host, options, callback) => {
    lookup(host, { ...options, all: true }, (error, found, family) => {
      if (error) return callback(error, '');
      // A custom lookup may return a single address, whatever was requested.
      const all =
        typeof found === 'string' ? [{ address: found, family: family ?? isIP(found) }] : found;
      const allowed = all.filter(({ address }) => mayConnect(address, host));
      const [first] = allowed;
      if (!first) return callback(forbiddenAddress(host), '');
      if (options.all) callback(null, allowed);
      else callback(null, first.address, first.family);
    });
  };
}

/** The error of a socket to a forbidden address. */
export function forbiddenAddress(host: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${host} is an address that may not be connected to`), {
    code: FORBIDDEN_ADDRESS,
  });
}
