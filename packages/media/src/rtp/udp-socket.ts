// UDP sockets for media, and checks of the peer's address.

import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { isIP, isIPv6, SocketAddress } from 'node:net';
import { MediaError } from '../errors.ts';

/** Room for a key frame that arrives while the process is busy; the system may grant less. */
const RECEIVE_BUFFER_BYTES = 1024 * 1024;

/** Binds one socket; rejects with the system's error. */
export function bindSocket(address: string, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createSocket({
      type: isIPv6(address) ? 'udp6' : 'udp4',
      // Only IP addresses are used: avoids a name look-up per packet. A dual-stack socket reaches IPv4 through mapped
      // addresses (RFC 4291 §2.5.5.2).
      lookup: (host, _options, callback) => {
        if (isIPv6(host)) callback(null, host, 6);
        else if (address === '::') callback(null, `::ffff:${host}`, 6);
        else callback(null, host, 4);
      },
    });
    const onError = (error: Error): void => {
      socket.close();
      reject(error);
    };
    socket.once('error', onError);
    socket.bind({ address, port, exclusive: true }, () => {
      socket.off('error', onError);
      try {
        socket.setRecvBufferSize(RECEIVE_BUFFER_BYTES);
      } catch {
        // Ignored: the system's default has to do.
      }
      resolve(socket);
    });
  });
}

/** Source address of a datagram; plain IPv4 also on a dual-stack socket. */
export function sourceAddress(from: RemoteInfo): string {
  const { address } = from;
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
}

/** Resolves when it is closed. */
export function closeSocket(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.close(() => resolve());
  });
}

/** The error for a wrong argument, naming its field. */
export function invalid(field: string, rule: string): MediaError {
  return new MediaError('INVALID_ARGUMENT', `${field} ${rule}`, { field });
}

/** @throws MediaError INVALID_ARGUMENT unless 1–65535. */
export function requirePort(field: string, port: number): void {
  if (!Number.isInteger(port) || port < 1 || port > 65_535) throw invalid(field, 'must be 1–65535');
}

/** True for `0.0.0.0` and `::`, to which nothing is sent. */
export function isUnspecified(address: string): boolean {
  return address === '0.0.0.0' || address === '::';
}

/**
 * Normalizes an address to the spelling that the socket reports.
 * @throws MediaError INVALID_ARGUMENT for targets that must never be sent media: names, multicast, broadcast.
 */
export function normalAddress(field: string, address: string): string {
  const family = isIP(address);
  if (family === 0) throw invalid(field, 'must be an IP address');
  if (family === 6) {
    if (/^ff/i.test(address)) throw invalid(field, 'must not be multicast');
    return new SocketAddress({ address, family: 'ipv6' }).address;
  }
  const first = Number(address.split('.', 1)[0]);
  if (first >= 224) throw invalid(field, 'must not be multicast or broadcast');
  return address;
}
