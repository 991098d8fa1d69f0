// The floor of one call over UDP: its socket, and its section of the session description (RFC 8856).

import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import { isIP } from 'node:net';
import type { PortPool } from '@sipcast/media';
import type { RemoteMedia, ServedSection } from '@sipcast/sip';
import { decodeBfcp, encodeBfcp } from './bfcp-message.ts';
import { FloorServer } from './floor-server.ts';

/** A request fits into one datagram; longer ones are dropped. */
const MAX_DATAGRAM_BYTES = 1500;
/** Ports tried when others hold them. */
const MAX_TRIES = 8;
const CONFERENCE_ID = 1;
const USER_ID = 1;
const FLOOR_ID = 1;

/** What a floor needs. */
export interface FloorDeps {
  readonly ports: PortPool;
  readonly bindAddress: string;
  /** Whether something may be sent to an address. */
  readonly maySendTo: (address: string) => boolean;
  /** A datagram was dropped. */
  readonly onFault: (fault: string, source: string) => void;
}

/** The floor of one call. */
export interface Floor {
  /**
   * Our section for the peer's `m=application … UDP/BFCP`.
   * @param label - Of the section with the slides.
   * @returns undefined: the section is refused
   */
  answer(section: RemoteMedia, label: string): ServedSection | undefined;
  close(): Promise<void>;
}

/** Opens the socket. Rejects if there is no port. */
export async function openFloor(deps: FloorDeps): Promise<Floor> {
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const port = deps.ports.take();
    if (port === undefined) break;
    try {
      return new UdpFloor(await bind(port, deps.bindAddress), port, deps);
    } catch (error) {
      deps.ports.release(port);
      if ((error as { code?: string }).code !== 'EADDRINUSE') throw error;
    }
  }
  throw new Error('no port for BFCP');
}

function bind(port: number, address: string): Promise<Socket> {
  const socket = createSocket({ type: isIP(address) === 6 ? 'udp6' : 'udp4' });
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.bind(port, address, () => {
      socket.off('error', reject);
      resolve(socket);
    });
  });
}

class UdpFloor implements Floor {
  readonly #socket: Socket;
  readonly #port: number;
  readonly #deps: FloorDeps;
  readonly #server = new FloorServer({
    conferenceId: CONFERENCE_ID,
    userId: USER_ID,
    floorId: FLOOR_ID,
  });
  /** Address of the peer's section. Undefined: nothing is answered. */
  #peer: string | undefined;
  #closing: Promise<void> | undefined;

  constructor(socket: Socket, port: number, deps: FloorDeps) {
    this.#socket = socket;
    this.#port = port;
    this.#deps = deps;
    socket.on('message', (datagram, from) => this.#take(datagram, from));
    // Such as a port that is closed at the peer: the next request is answered again.
    socket.on('error', () => deps.onFault('bfcp-socket', String(port)));
  }

  answer(section: RemoteMedia, label: string): ServedSection | undefined {
    const { type, protocol, port, address, attributes = [] } = section;
    if (type.toLowerCase() !== 'application' || port === 0) return undefined;
    if (!/^UDP\/BFCP$/i.test(protocol) || address === undefined) return undefined;
    const roles = attributes
      .filter((line) => /^a=floorctrl:/i.test(line))
      .flatMap((line) => line.slice('a=floorctrl:'.length).trim().toLowerCase().split(/\s+/));
    // RFC 8856 §5.1: without the line a client. A peer that is only a server asks for nothing.
    if (roles.length > 0 && !roles.some((role) => role === 'c-only' || role === 'c-s'))
      return undefined;
    this.#peer = address;
    return {
      port: this.#port,
      attributes: [
        'a=floorctrl:s-only',
        `a=confid:${CONFERENCE_ID}`,
        `a=userid:${USER_ID}`,
        `a=floorid:${FLOOR_ID} mstrm:${label}`,
        'a=bfcpver:1 2',
      ],
    };
  }

  #take(datagram: Uint8Array, { address, port }: { address: string; port: number }): void {
    const source = `${address}:${port}`;
    if (address !== this.#peer || !this.#deps.maySendTo(address))
      return this.#deps.onFault('bfcp-source', source);
    const message = datagram.length > MAX_DATAGRAM_BYTES ? undefined : decodeBfcp(datagram);
    if (message === undefined) return this.#deps.onFault('bfcp-malformed', source);
    const answer = this.#server.answer(message);
    if (answer !== undefined) this.#socket.send(encodeBfcp(answer), port, address);
  }

  close(): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      this.#socket.close(() => {
        this.#deps.ports.release(this.#port);
        resolve();
      });
    });
    return this.#closing;
  }
}
