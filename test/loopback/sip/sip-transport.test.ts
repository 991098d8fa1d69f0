// TCP framing, connection reuse and loss, refusal, `auto`, limits, and garbage, on real sockets.

import { createServer, connect, type Socket } from 'node:net';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import {
  formatMessage,
  type InviteOptions,
  type InviteSession,
  type SipFaultName,
  SipUserAgent,
  systemClock,
  TcpTransport,
  type TransportAddress,
  UdpTransport,
} from '@sipcast/sip';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  dialogRequest,
  openUserAgent,
  Recorder,
  response,
  say,
  ScriptedPeer,
  SHORT_TIMERS,
} from './sip-peer.ts';
import { until } from '../../support/wait.ts';

const peers: ScriptedPeer[] = [];
const userAgents: SipUserAgent[] = [];
const sockets: Socket[] = [];

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const userAgent of userAgents.splice(0)) await userAgent.close();
  for (const peer of peers.splice(0)) await peer.close();
});

async function open(...args: Parameters<typeof openUserAgent>): Promise<SipUserAgent> {
  const userAgent = await openUserAgent(...args);
  userAgents.push(userAgent);
  return userAgent;
}

async function tcpPeer(port = 0): Promise<ScriptedPeer> {
  const peer = await new ScriptedPeer().openTcp(port);
  peers.push(peer);
  return peer;
}

function call(
  userAgent: SipUserAgent,
  port: number,
  recorder: Recorder,
  options: Partial<InviteOptions> = {},
): InviteSession {
  return userAgent.invite(
    {
      callId: `tcp-${Math.random()}`,
      target: `sip:bob@127.0.0.1:${port}`,
      from: { uri: 'sip:alice@example.com' },
      transport: 'tcp',
      offer: 'v=0\r\n',
      ...options,
    },
    recorder,
  );
}

function answering(peer: ScriptedPeer, transport = ';transport=tcp'): void {
  peer.script = (message, reply) => {
    if (message.kind !== 'request' || message.method === 'ACK') return;
    const contact = `<sip:bob@127.0.0.1:${peer.port}${transport}>`;
    say(reply, response(message, 200, { tag: 'bob', headers: [['contact', contact]] }));
  };
}

describe('a call over TCP', () => {
  it('keeps to one connection and sends nothing twice', async () => {
    const userAgent = await open();
    const peer = await tcpPeer();
    answering(peer);
    const recorder = new Recorder();
    const session = call(userAgent, peer.port, recorder);
    await recorder.answered;
    await peer.request('ACK');
    expect(userAgent.stats.connections).toBe(1);
    const [invite] = peer.requests('INVITE');
    expect(invite?.headers.get('via')).toMatch(/^SIP\/2\.0\/TCP /);
    expect(invite?.headers.get('contact')).toBe(
      `<sip:alice@127.0.0.1:${userAgent.localPort};transport=tcp>`,
    );
    await session.terminate();
    expect(peer.received.map((m) => (m.kind === 'request' ? m.method : m.statusCode))).toEqual([
      'INVITE',
      'ACK',
      'BYE',
    ]);
    expect(peer.tcpSockets.size).toBe(1);
    // Over a reliable transport the BYE's transaction is gone at once, the INVITE's after timer M.
    await until(() => userAgent.stats.clientTransactions === 0);
  });

  it('survives the loss of its connection: the BYE opens another', async () => {
    const userAgent = await open();
    const peer = await tcpPeer();
    answering(peer);
    const recorder = new Recorder();
    const session = call(userAgent, peer.port, recorder);
    await recorder.answered;
    await peer.request('ACK');
    for (const socket of peer.tcpSockets) socket.destroy();
    await until(() => userAgent.stats.connections === 0);
    expect(session.state).toBe('established');
    await session.terminate();
    expect(peer.requests('BYE').length).toBe(1);
    expect(await recorder.ended).toMatchObject({ endedBy: 'local', answered: true });
  });

  it('takes a BYE that comes over a connection of the peer, and answers on it', async () => {
    const userAgent = await open();
    const peer = await tcpPeer();
    answering(peer);
    const recorder = new Recorder();
    call(userAgent, peer.port, recorder);
    await recorder.answered;
    const invite = await peer.request('INVITE');
    const socket = connect(userAgent.localPort, '127.0.0.1');
    sockets.push(socket);
    const bye = dialogRequest(invite, 'BYE', {
      tag: 'bob',
      sequence: 1,
      port: 1,
      transport: 'TCP',
    });
    socket.write(formatMessage(bye));
    const [answer] = (await once(socket, 'data')) as [Buffer];
    expect(answer.toString()).toMatch(/^SIP\/2\.0 200 OK/);
    expect(await recorder.ended).toMatchObject({ endedBy: 'remote' });
  });

  it('opens a new connection when the peer has half closed the old one', async () => {
    const userAgent = await open();
    const peer = await tcpPeer();
    answering(peer);
    const recorder = new Recorder();
    const session = call(userAgent, peer.port, recorder);
    await recorder.answered;
    await peer.request('ACK');
    for (const socket of peer.tcpSockets) socket.end();
    await session.terminate();
    expect(await recorder.ended).toMatchObject({ endedBy: 'local', answered: true });
  });

  it('answers over a new connection when that of the request is gone', async () => {
    const peer = await tcpPeer();
    // The connection is lost between the request and its answer: a transport of the user's that does just that.
    const lossy = new SipUserAgent({
      bindAddress: '127.0.0.1',
      timers: SHORT_TIMERS,
      transports: [
        (options) => {
          const tcp = new TcpTransport(options);
          const send = tcp.send.bind(tcp);
          tcp.send = (octets, to, done) => {
            if (to.connectionId === undefined) send(octets, to, done);
            else send(octets, { ...to, connectionId: 1e9 }, done);
          };
          return tcp;
        },
      ],
    });
    await lossy.open();
    userAgents.push(lossy);
    const socket = connect(lossy.localPort, '127.0.0.1');
    sockets.push(socket);
    const text =
      `OPTIONS sip:us@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:${peer.port};branch=z9hG4bKgone\r\n` +
      'From: <sip:p@p>;tag=1\r\nTo: <sip:us@p>\r\nCall-ID: gone\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n';
    socket.write(text);
    expect((await peer.response('1 OPTIONS')).statusCode).toBe(200);
    socket.destroy();
  });

  it('ends when the connection is lost before the answer', async () => {
    const userAgent = await open();
    const peer = await tcpPeer();
    peer.script = (message, reply) => {
      if (message.kind === 'request') say(reply, response(message, 180, { tag: 'bob' }));
    };
    const recorder = new Recorder();
    const session = call(userAgent, peer.port, recorder);
    await until(() => session.state === 'proceeding');
    for (const socket of peer.tcpSockets) socket.destroy();
    expect(await recorder.ended).toMatchObject({
      endedBy: 'network',
      statusCode: 503,
      error: { code: 'TRANSPORT' },
    });
  });

  it('ends when the connection is refused', async () => {
    const userAgent = await open();
    const peer = await tcpPeer();
    await peer.close();
    const recorder = new Recorder();
    call(userAgent, peer.port, recorder);
    expect(await recorder.ended).toMatchObject({
      endedBy: 'network',
      statusCode: 503,
      error: { code: 'TRANSPORT' },
    });
    expect(userAgent.stats).toMatchObject({ connections: 0, clientTransactions: 0 });
  });
});

describe('auto', () => {
  const large = `v=0\r\n${'a=x\r\n'.repeat(300)}`;

  it('stays on UDP below 1,300 bytes', async () => {
    const userAgent = await open();
    const peer = await tcpPeer();
    const overUdp = await new ScriptedPeer().openUdp(peer.port);
    peers.push(overUdp);
    answering(overUdp, '');
    const recorder = new Recorder();
    const session = call(userAgent, peer.port, recorder, { transport: 'auto' });
    await recorder.answered;
    await session.terminate();
    expect(peer.received).toEqual([]);
  });

  it('takes TCP for a large request where TCP is', async () => {
    const userAgent = await open();
    const peer = await tcpPeer();
    answering(peer);
    const recorder = new Recorder();
    const session = call(userAgent, peer.port, recorder, { transport: 'auto', offer: large });
    await recorder.answered;
    const invite = await peer.request('INVITE');
    expect(invite.headers.get('via')).toMatch(/^SIP\/2\.0\/TCP /);
    expect(invite.headers.get('contact')).toContain(';transport=tcp');
    await session.terminate();
  });

  it('falls back to UDP where TCP is refused', async () => {
    const userAgent = await open();
    const peer = await new ScriptedPeer().openUdp();
    peers.push(peer);
    answering(peer, '');
    const recorder = new Recorder();
    const session = call(userAgent, peer.port, recorder, { transport: 'auto', offer: large });
    await recorder.answered;
    const invite = await peer.request('INVITE');
    expect(invite.headers.get('via')).toMatch(/^SIP\/2\.0\/UDP /);
    expect(invite.headers.get('contact')).not.toContain('transport=tcp');
    await session.terminate();
  });

  it('udp keeps even a large request on UDP', async () => {
    const userAgent = await open();
    const peer = await tcpPeer();
    const overUdp = await new ScriptedPeer().openUdp(peer.port);
    peers.push(overUdp);
    answering(overUdp, '');
    const recorder = new Recorder();
    const session = call(userAgent, peer.port, recorder, { transport: 'udp', offer: large });
    await recorder.answered;
    await session.terminate();
    expect(peer.received).toEqual([]);
  });
});

describe('the TCP server', () => {
  const options = Buffer.from(
    'OPTIONS sip:us@127.0.0.1 SIP/2.0\r\n' +
      'Via: SIP/2.0/TCP 127.0.0.1:7;branch=z9hG4bKsplit\r\n' +
      'From: <sip:p@127.0.0.1>;tag=1\r\nTo: <sip:us@127.0.0.1>\r\nCall-ID: split\r\n' +
      'CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 4\r\n\r\nbody',
  );

  it('answers a request that is split at any octet', { timeout: 30_000 }, async () => {
    const userAgent = await open();
    for (let at = 1; at < options.length; at += 1) {
      const text = options.toString().replaceAll('split', `split${at}`);
      const octets = Buffer.from(text);
      const socket = connect(userAgent.localPort, '127.0.0.1').setNoDelay(true);
      socket.write(octets.subarray(0, at));
      // A turn of the event loop later: a segment of its own.
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
      socket.write(octets.subarray(at));
      const [answer] = (await once(socket, 'data')) as [Buffer];
      expect(answer.toString()).toMatch(/^SIP\/2\.0 200 OK\r\n/);
      expect(answer.toString()).toContain(`branch=z9hG4bKsplit${at}`);
      socket.destroy();
    }
    await until(() => userAgent.stats.connections === 0);
    expect(userAgent.stats.serverTransactions).toBe(0);
  });

  it('answers keep-alives, and 400 then close where framing is lost', async () => {
    const faults: SipFaultName[] = [];
    const userAgent = new SipUserAgent(
      { bindAddress: '127.0.0.1', timers: SHORT_TIMERS },
      { onFault: (fault) => void faults.push(fault) },
    );
    await userAgent.open();
    userAgents.push(userAgent);
    const socket = connect(userAgent.localPort, '127.0.0.1');
    sockets.push(socket);
    socket.write('\r\n\r\n');
    expect(((await once(socket, 'data')) as [Buffer])[0].toString()).toBe('\r\n');
    socket.write(options.toString().replace('Content-Length: 4', 'Content-Length: -1'));
    expect(((await once(socket, 'data')) as [Buffer])[0].toString()).toMatch(/^SIP\/2\.0 400 /);
    await once(socket, 'close');
    expect(faults).toEqual(['malformed-message']);
    expect(userAgent.stats.connections).toBe(0);
  });
});

describe('limits of the TCP transport', () => {
  let faults: string[];
  let transport: TcpTransport;

  beforeEach(async () => {
    faults = [];
    transport = new TcpTransport(
      { bindAddress: '127.0.0.1', port: 0, clock: systemClock, connectTimeoutMs: 100 },
      {
        maxConnectionsPerAddress: 1,
        messageTimeoutMs: 60,
        firstMessageTimeoutMs: 150,
        maxUnsentBytes: 1 << 20,
      },
    );
    await transport.open({
      onOutcome: () => {},
      onDisconnected: () => {},
      onFault: (fault) => void faults.push(fault),
    });
  });

  afterEach(async () => {
    await transport.close();
    await transport.close();
    expect(transport.connections).toBe(0);
  });

  const dial = (): Socket => {
    const socket = connect(transport.localPort, '127.0.0.1');
    socket.on('error', () => {});
    socket.resume();
    sockets.push(socket);
    return socket;
  };

  it('closes a connection whose message never ends', async () => {
    const socket = dial();
    socket.write('OPTIONS sip:x SIP/2.0\r\n');
    await once(socket, 'close');
    expect(faults).toEqual(['message-time-limit']);
  });

  it('closes a connection that only keeps itself alive', async () => {
    const socket = dial();
    const timer = setInterval(() => socket.write('\r\n\r\n'), 20);
    await once(socket, 'close');
    clearInterval(timer);
    expect(faults).toEqual(['idle-time-limit']);
  });

  it('refuses one connection too many from an address', async () => {
    dial();
    await until(() => transport.connections === 1);
    await once(dial(), 'close');
    expect(faults).toEqual(['connection-limit']);
    expect(transport.connections).toBe(1);
  });

  it('drops a peer that does not read', async () => {
    const server = createServer((socket) => void sockets.push(socket.pause()));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    const port = address !== null && typeof address === 'object' ? address.port : 0;
    const to: TransportAddress = { protocol: 'TCP', address: '127.0.0.1', port };
    const block = Buffer.alloc(256 * 1024);
    const failures: unknown[] = [];
    for (let i = 0; i < 200; i++) {
      await new Promise<void>((resolve) => {
        transport.send(block, to, (error) => {
          if (error !== undefined) failures.push(error);
          setImmediate(resolve);
        });
      });
      if (failures.length > 0) break;
    }
    expect(failures.length).toBe(1);
    expect(faults).toEqual(['write-limit']);
    server.close();
  });

  it('reports sends and connects after close, and wrong ports, as errors', async () => {
    const errors: (string | undefined)[] = [];
    const done = (error: { code: string } | undefined): void => void errors.push(error?.code);
    transport.send(Buffer.from('x'), { protocol: 'TCP', address: '127.0.0.1', port: 70_000 }, done);
    await transport.close();
    transport.send(Buffer.from('x'), { protocol: 'TCP', address: '127.0.0.1', port: 1 }, done);
    transport.send(
      Buffer.from('x'),
      { protocol: 'TCP', address: '127.0.0.1', port: 1, connectionId: 1 },
      done,
    );
    const udp = new UdpTransport({
      bindAddress: '127.0.0.1',
      port: 0,
      clock: systemClock,
      connectTimeoutMs: 1,
    });
    await udp.open({ onOutcome: () => {}, onDisconnected: () => {}, onFault: () => {} });
    udp.send(Buffer.from('x'), { protocol: 'UDP', address: '127.0.0.1', port: 0 }, done);
    await udp.close();
    udp.send(Buffer.from('x'), { protocol: 'UDP', address: '127.0.0.1', port: 1 }, done);
    expect(errors).toEqual(Array.from({ length: 5 }, () => 'TRANSPORT'));
  });
});

describe('the user agent', () => {
  it('counts garbage and goes on', async () => {
    const faults: string[] = [];
    const userAgent = new SipUserAgent(
      { bindAddress: '127.0.0.1', timers: SHORT_TIMERS },
      { onFault: (fault) => void faults.push(fault) },
    );
    await userAgent.open();
    userAgents.push(userAgent);
    const peer = await new ScriptedPeer().openUdp();
    peers.push(peer);
    const octets = Buffer.from(Array.from({ length: 400 }, (_, i) => (i * 37) & 0xff));
    for (let i = 0; i < 50; i++) peer.send(octets.subarray(i, 400 - i), userAgent.localPort);
    peer.send(Buffer.from('\r\n\r\n'), userAgent.localPort);
    peer.send(Buffer.alloc(0), userAgent.localPort);
    await until(() => faults.length === 50);
    expect(new Set(faults)).toEqual(new Set(['malformed-message']));
    expect(userAgent.stats.serverTransactions).toBe(0);
  });

  it('fails to open on a port that is taken, and leaves nothing open', async () => {
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    const { port } = socket.address();
    const userAgent = new SipUserAgent({ bindAddress: '127.0.0.1', port });
    await expect(userAgent.open()).rejects.toMatchObject({ code: 'TRANSPORT' });
    socket.close();
    await userAgent.close();
  });

  it('finds the local address of a destination', async () => {
    const userAgent = await open({ bindAddress: '0.0.0.0' });
    expect(await userAgent.localAddressFor('127.0.0.1', 5060)).toBe('127.0.0.1');
    const behindNat = await open({ publicAddress: '192.0.2.7' });
    expect(await behindNat.localAddressFor('127.0.0.1', 5060)).toBe('192.0.2.7');
  });
});
