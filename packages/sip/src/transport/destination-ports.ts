// Ports that requests may go to when a client, a peer or DNS names them. SIP servers use few ports; other ports belong
// to other services.

import { checkInteger, invalidArgument } from '../message/arguments.ts';
import { SipError } from '../errors.ts';

/** Ports from `min` to `max`, inclusive; 1–65535. */
export interface PortRange {
  readonly min: number;
  readonly max: number;
}

/** A host and port that the operator configured. */
export interface NamedServer {
  /** Host name or IP literal, IPv6 without brackets. */
  readonly host: string;
  readonly port: number | undefined;
}

/** Decides which ports requests may go to. */
export class DestinationPorts {
  readonly #ranges: readonly PortRange[] | undefined;
  readonly #servers = new Set<string>();

  /**
   * @param ranges - Absent: all ports.
   * @param servers - Allowed on their configured port, regardless of `ranges`.
   * @throws SipError `INVALID_ARGUMENT`
   */
  constructor(ranges: readonly PortRange[] | undefined, servers: readonly NamedServer[]) {
    if (ranges !== undefined && !Array.isArray(ranges))
      throw invalidArgument('destinationPorts', 'must be a list of { min, max }');
    for (const range of ranges ?? []) {
      const { min, max } = (range ?? {}) as Partial<PortRange>;
      checkInteger('destinationPorts', min, 1, 65_535);
      checkInteger('destinationPorts', max, Number(min), 65_535);
    }
    this.#ranges = ranges;
    for (const { host, port } of servers)
      if (port !== undefined) this.#servers.add(keyOf(host, port));
  }

  /** Whether a request may go to this port. `host`: the requested host. */
  allows(host: string, port: number): boolean {
    if (this.#ranges === undefined) return true;
    return (
      this.#ranges.some(({ min, max }) => min <= port && port <= max) ||
      this.#servers.has(keyOf(host, port))
    );
  }
}

/** The error for a destination that requests must not go to. */
export function forbiddenDestination(problem: string): SipError {
  return new SipError('CONNECT_FORBIDDEN', problem, { statusCode: 503 });
}

/** {@link forbiddenDestination}, for a port. */
export function forbiddenPort(host: string, port: number): SipError {
  return forbiddenDestination(`${host}: ${port} is a port that may not be connected to`);
}

function keyOf(host: string, port: number): string {
  return `${host.toLowerCase().replace(/\.$/, '')} ${port}`;
}
