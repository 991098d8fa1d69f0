// The two UDP sockets of one medium: RTP on an even port, RTCP on the next (RFC 3550 §11).

import type { Socket } from 'node:dgram';
import { MediaError } from '../errors.ts';
import type { PortPool } from './port-pool.ts';
import { bindSocket } from './udp-socket.ts';

/** The system has no more sockets, whatever the port: others must be closed first. */
const SHORTAGES: ReadonlySet<string | undefined> = new Set([
  'EMFILE',
  'ENFILE',
  'ENOBUFS',
  'ENOMEM',
]);

/** Two bound sockets. Return `port` to its pool after closing them. */
export interface PortPair {
  /** The RTP port; even. */
  readonly port: number;
  readonly rtp: Socket;
  readonly rtcp: Socket;
}

/**
 * Binds a free pair of the pool; skips pairs that the system reports as busy.
 * @throws MediaError (rejection) NO_PORTS (at once; also when the system has no more sockets) or SOCKET (the address cannot be bound);
 *   nothing stays bound or taken.
 */
export async function bindPortPair(ports: PortPool, bindAddress: string): Promise<PortPair> {
  for (let attempt = ports.size; attempt > 0; attempt--) {
    const port = ports.take();
    if (port === undefined) break;
    let rtp: Socket | undefined;
    try {
      rtp = await bindSocket(bindAddress, port);
      return { port, rtp, rtcp: await bindSocket(bindAddress, port + 1) };
    } catch (error) {
      rtp?.close();
      ports.release(port);
      const code = (error as NodeJS.ErrnoException).code;
      if (code === 'EADDRINUSE' || code === 'EACCES') continue;
      if (SHORTAGES.has(code))
        throw new MediaError('NO_PORTS', `No sockets for RTP: ${String(code)}`, { cause: error });
      throw new MediaError('SOCKET', `cannot bind ${bindAddress}: ${String(code)}`, {
        cause: error,
      });
    }
  }
  throw new MediaError('NO_PORTS', 'No free RTP ports');
}
