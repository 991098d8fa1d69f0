// The API of a gateway on a port of 127.0.0.1.

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createRestRouter, nodeListener } from '@sipcast/rest';
import type { RestGateway, RestOptions } from '@sipcast/rest';

/** A running API. */
export interface RestServer {
  /** With the mount, e.g. `http://127.0.0.1:40000/rest-api`. */
  readonly url: string;
  close(): Promise<void>;
}

/** Serves the API; the gateway is the caller's to close. */
export async function startRestServer(
  gateway: RestGateway,
  options: RestOptions = {},
): Promise<RestServer> {
  const router = createRestRouter(gateway, options);
  const listener = nodeListener(router);
  const server = createServer((request, response) => void listener(request, response));
  server.on('upgrade', (request, socket, head) => {
    if (!router.upgrade(request, socket, head)) socket.destroy();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}${router.mount}`,
    close: async () => {
      router.close();
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}
