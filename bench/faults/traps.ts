// Listeners that nobody may reach, on every loopback address, and those that may be reached.

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';

/** Where nothing may arrive: one port, TCP and UDP, IPv4 and IPv6. */
export interface Trap {
  readonly port: number;
  /** Connections and datagrams until now. */
  arrivals(): number;
  close(): Promise<void>;
}

/** The address that servers of the attacker may be reached at. */
export const ALLOWED = '127.0.0.2';

/** Opens a trap on 127.0.0.1 and ::1, on ports that are free at the allowed address, too. */
export async function openTrap(port = 0): Promise<Trap> {
  let arrivals = 0;
  const servers: Server[] = [];
  const listen = async (host: string, at: number): Promise<number> => {
    const server = createServer((socket) => {
      arrivals++;
      socket.destroy();
    });
    server.listen(at, host);
    await once(server, 'listening');
    servers.push(server);
    return (server.address() as AddressInfo).port;
  };
  const chosen = await listen('127.0.0.1', port);
  await listen('::1', chosen);
  const sockets = await Promise.all(
    (['udp4', 'udp6'] as const).map(async (type) => {
      const socket = createSocket(type);
      socket.on('message', () => arrivals++);
      socket.bind(chosen, type === 'udp4' ? '127.0.0.1' : '::1');
      await once(socket, 'listening');
      return socket;
    }),
  );
  return {
    port: chosen,
    arrivals: () => arrivals,
    close: async () => {
      for (const socket of sockets) socket.close();
      await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
    },
  };
}
