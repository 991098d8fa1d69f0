// SIP over TCP: a stream transport on plain sockets.

import { connect, createServer } from 'node:net';
import { type StreamLimits, StreamTransport, type StreamWire } from './stream-transport.ts';
import type { TransportOptions } from './transport.ts';

const WIRE: StreamWire = {
  protocol: 'TCP',
  readyEvent: 'connect',
  handshakeTimeoutMs: 0,
  connect: (to) => connect({ host: to.address, port: to.port, noDelay: true }),
  createServer: (admit, accept) =>
    createServer({ noDelay: true }, (socket) => {
      socket.on('error', () => {});
      if (admit(socket)) accept(socket);
      else socket.destroy();
    }),
};

/** The TCP transport: listens and connects. */
export class TcpTransport extends StreamTransport {
  constructor(options: TransportOptions, limits: StreamLimits = {}) {
    super(WIRE, options, limits);
  }
}
