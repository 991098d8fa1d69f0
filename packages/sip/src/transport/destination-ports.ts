// Ports that requests may go to where a client, a peer or DNS names them: a server for SIP is on few of them, and what
// listens on the others is somebody else's.

import { checkInteger, invalidArgument } from '../message/arguments.ts';
import { SipError } from '../errors.ts';

/** Ports from `min` to `max`, both among them; 1–65535. */
export interface PortRange {
  readonly min: number;
  readonly max: number;
}

/** A host and port that the operator has named himself. */
export interface NamedServer {
  /** Host name or IP literal, IPv6 without brackets. */
  readonly host: string;
  readonly port: number | undefined;
}

/** Decides about ports. */
export class DestinationPorts {
  readonly #ranges: readonly PortRange[] | undefined;
  readonly #servers = new Set<string>();

  /**
   * @param ranges - Absent: all ports.
   * @param servers - May be asked on the port that they are named with, whatever `ranges` says.
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

  /** Whether a request may go to this port. `host`: by which it was asked for. */
  allows(host: string, port: number): boolean {
    if (this.#ranges === undefined) return true;
    return (
      this.#ranges.some(({ min, max }) => min <= port && port <= max) ||
      this.#servers.has(keyOf(host, port))
    );
  }
}

/** What is said where nothing may be sent. */
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
