// Looks names up, and hands on only addresses that may be connected to: what is checked is what is connected to.

import { lookup as systemLookup } from 'node:dns';
import { isIP } from 'node:net';
import type { LookupFunction } from 'node:net';

/** May a connection go to this address? @param host - The name that led there, or the address itself. */
export type MayConnect = (address: string, host: string) => boolean;

/** Code of the error of a name, all of whose addresses are forbidden. */
export const FORBIDDEN_ADDRESS = 'FORBIDDEN_ADDRESS';

/** For the `lookup` of `net.connect`. */
export function guardedLookup(
  mayConnect: MayConnect,
  lookup: LookupFunction = systemLookup,
): LookupFunction {
  return (host, options, callback) => {
    lookup(host, { ...options, all: true }, (error, found, family) => {
      if (error) return callback(error, '');
      // A lookup of one's own may answer with one address, whatever was asked for.
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

/** What a socket to a forbidden address fails with. */
export function forbiddenAddress(host: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${host} is an address that may not be connected to`), {
    code: FORBIDDEN_ADDRESS,
  });
}
