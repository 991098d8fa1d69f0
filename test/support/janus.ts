// Janus with its SIP plugin (sofia-sip, the stack of FreeSWITCH) and Chromium behind it: together a phone. The test speaks
// Janus's HTTP API; the page has the peer connection, with a picture that flashes and a sound that beeps once a second.

import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { freeTcpPort, waitForTcp } from './ports.ts';
import { start } from './programs.ts';
import type { Running } from './programs.ts';

/** A running Janus. */
export interface Janus {
  readonly url: string;
  readonly running: Running;
  /** UDP ports on 127.0.0.1 that it has open. */
  udpPorts(): number[];
  stop(): Promise<void>;
}

/** Starts Janus on 127.0.0.1; its files are in `dir`. */
export async function startJanus(dir: string): Promise<Janus> {
  const port = await freeTcpPort();
  const folders = '/usr/lib/x86_64-linux-gnu/janus';
  const others = ['echotest', 'streaming', 'videocall', 'videoroom', 'audiobridge', 'recordplay'];
  const unused = [...others, 'voicemail', 'textroom', 'nosip', 'lua', 'duktape'];
  writeFileSync(
    join(dir, 'janus.jcfg'),
    `general: {
      configs_folder = "${dir}"
      plugins_folder = "${folders}/plugins"
      transports_folder = "${folders}/transports"
      events_folder = "${folders}/events"
      loggers_folder = "${folders}/loggers"
      debug_level = 4
    }
    certificates: { }
    media: { rtp_port_range = "41000-41999" }
    nat: { ice_enforce_list = "127.0.0.1" ignore_mdns = true }
    plugins: { disable = "${unused.map((name) => `libjanus_${name}.so`).join(',')}" }
    transports: { disable = "libjanus_websockets.so,libjanus_mqtt.so,libjanus_nanomsg.so,libjanus_pfunix.so,libjanus_rabbitmq.so" }`,
  );
  writeFileSync(
    join(dir, 'janus.transport.http.jcfg'),
    `general: { json = "compact" base_path = "/janus" http = true ip = "127.0.0.1" port = ${port} https = false }
    admin: { admin_http = false admin_https = false }`,
  );
  writeFileSync(
    join(dir, 'janus.plugin.sip.jcfg'),
    'general: { local_ip = "127.0.0.1" keepalive_interval = 0 behind_nat = false rtp_port_range = "42000-42999" }',
  );
  const running = start('janus', ['-F', dir, '-C', join(dir, 'janus.jcfg'), '--disable-colors'], {
    cwd: dir,
  });
  try {
    await waitForTcp(port);
  } catch (error) {
    await running.stop();
    throw new Error(`Janus did not start: ${running.output()}`, { cause: error });
  }
  return {
    url: `http://127.0.0.1:${port}/janus`,
    running,
    udpPorts: () => udpPortsOf(running.child.pid ?? 0),
    stop: () => running.stop(),
  };
}

function udpPortsOf(pid: number): number[] {
  const inodes = new Set(
    readdirSync(`/proc/${pid}/fd`).map((fd) => {
      try {
        return /socket:\[(\d+)\]/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1];
      } catch {
        // Closed since.
        return undefined;
      }
    }),
  );
  return readFileSync('/proc/net/udp', 'utf8')
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => inodes.has(fields[9]))
    .map(([, local = '']) => Number.parseInt(local.split(':')[1] ?? '', 16));
}

/** What a Janus phone sends. */
export interface JanusMedia {
  readonly audio: 'opus' | 'PCMA' | 'PCMU';
  readonly video: 'H264' | 'VP8';
}

type Message = Readonly<Record<string, unknown>>;
interface PhoneEvent {
  readonly name: string;
  readonly result: Message;
  readonly sdp: string | undefined;
}

/** One SIP account of Janus with one page. Calls to it are answered at once; so are changes by the other side. */
export class JanusPhone {
  readonly events: PhoneEvent[] = [];
  readonly page: Page;
  readonly #janus: Janus;
  readonly #close: () => void;
  #handle = '';
  #waiting: (() => void)[] = [];
  #closed = false;
  #sipPort = 0;

  private constructor(janus: Janus, page: Page, close: () => void) {
    this.#janus = janus;
    this.page = page;
    this.#close = close;
  }

  static async open(janus: Janus, browser: Browser, media: JanusMedia): Promise<JanusPhone> {
    const server = createServer((_, response) => {
      response.setHeader('content-type', 'text/html').end('<!doctype html><title>phone</title>');
    });
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    await page.evaluate(PAGE);
    await page.evaluate(`phone.open(${JSON.stringify(media)})`);
    const phone = new JanusPhone(janus, page, () => server.close());
    const session = await phone.#post('', { janus: 'create' });
    const sessionPath = `/${idOf(session)}`;
    const handle = await phone.#post(sessionPath, { janus: 'attach', plugin: 'janus.plugin.sip' });
    phone.#handle = `${sessionPath}/${idOf(handle)}`;
    void phone.#poll(sessionPath);
    const before = new Set(janus.udpPorts());
    await phone.#request({ request: 'register', type: 'guest', username: 'sip:chrome@127.0.0.1' });
    await phone.event('registered');
    phone.#sipPort = janus.udpPorts().find((port) => !before.has(port)) ?? 0;
    return phone;
  }

  /** `sip:chrome@127.0.0.1:port`. */
  get uri(): string {
    return `sip:chrome@127.0.0.1:${this.#sipPort}`;
  }

  async #post(path: string, message: Message): Promise<Message> {
    const body = JSON.stringify({ transaction: Math.random().toString(36).slice(2), ...message });
    const response = await fetch(`${this.#janus.url}${path}`, { method: 'POST', body });
    const answer = (await response.json()) as Message;
    if (answer['janus'] === 'error') throw new Error(`Janus: ${JSON.stringify(answer)}`);
    return answer;
  }

  #request(
    body: Message,
    jsep?: { readonly type: string; readonly sdp: string },
  ): Promise<Message> {
    return this.#post(this.#handle, { janus: 'message', body, ...(jsep && { jsep }) });
  }

  async #poll(path: string): Promise<void> {
    while (!this.#closed) {
      try {
        const response = await fetch(`${this.#janus.url}${path}?maxev=1`);
        await this.#take((await response.json()) as Message);
      } catch (error) {
        if (!this.#closed)
          this.#note({ name: 'failed', result: { reason: String(error) }, sdp: undefined });
        return;
      }
    }
  }

  async #take(message: Message): Promise<void> {
    const { plugindata, jsep, janus } = message as {
      plugindata?: { data?: { result?: Message; error?: string } };
      jsep?: { sdp: string };
      janus: string;
    };
    const result = plugindata?.data?.result ?? { event: plugindata?.data?.error ?? janus };
    const name = String(result['event']);
    if (name === 'incomingcall' || name === 'updatingcall') {
      const sdp = await this.#evaluate(`phone.answer(${JSON.stringify(jsep?.sdp)})`);
      const request = name === 'incomingcall' ? 'accept' : 'update';
      await this.#request({ request }, { type: 'answer', sdp });
    } else if (jsep !== undefined) {
      await this.#evaluate(`phone.accept(${JSON.stringify(jsep.sdp)})`);
    }
    this.#note({ name, result, sdp: jsep?.sdp });
  }

  #note(event: PhoneEvent): void {
    this.events.push(event);
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }

  #evaluate(expression: string): Promise<string> {
    return this.page.evaluate(expression);
  }

  /** The `nth` event of this name, now or later. */
  async event(name: string, nth = 1): Promise<PhoneEvent> {
    for (;;) {
      const found = this.events.filter((one) => one.name === name)[nth - 1];
      if (found !== undefined) return found;
      const failed = this.events.find((one) => one.name === 'failed');
      if (failed) throw new Error(`Janus phone: ${JSON.stringify(failed)}`);
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
    }
  }

  /** Calls a SIP URI. @param srtp - Keys in the description. Default: RTP in the clear. */
  async call(uri: string, srtp?: 'sdes_optional' | 'sdes_mandatory'): Promise<void> {
    const sdp = await this.#evaluate('phone.offer()');
    await this.#request({ request: 'call', uri, ...(srtp && { srtp }) }, { type: 'offer', sdp });
  }

  /** A re-INVITE with a new offer of the page. */
  async update(): Promise<void> {
    const sdp = await this.#evaluate('phone.offer()');
    await this.#request({ request: 'update' }, { type: 'offer', sdp });
  }

  async hold(on: boolean): Promise<void> {
    await this.#request({ request: on ? 'hold' : 'unhold' });
  }

  async hangUp(): Promise<void> {
    await this.#request({ request: 'hangup' });
  }

  /** What arrived at the page. */
  async received(): Promise<{ readonly audioPackets: number; readonly videoPackets: number }> {
    return this.page.evaluate('phone.received()');
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#close();
    await this.page.close();
  }
}

function idOf(message: Message): number {
  return (message['data'] as { id: number }).id;
}

/** Runs in the page: a peer connection with a canvas and an oscillator, which are white and loud at the same time. */
const PAGE = `globalThis.phone = (() => {
  let connection;
  const complete = async () => {
    if (connection.iceGatheringState !== 'complete')
      await new Promise((resolve) => {
        connection.addEventListener('icegatheringstatechange', () => {
          if (connection.iceGatheringState === 'complete') resolve();
        });
      });
    return connection.localDescription.sdp;
  };
  const prefer = (kind, name) => {
    const codecs = RTCRtpSender.getCapabilities(kind).codecs;
    const wanted = codecs.filter(({ mimeType }) => mimeType.toLowerCase() === (kind + '/' + name).toLowerCase());
    if (wanted.length === 0) throw new Error('This browser has no ' + name);
    const helpers = codecs.filter(({ mimeType }) => /telephone-event/.test(mimeType));
    for (const transceiver of connection.getTransceivers())
      if (transceiver.sender.track?.kind === kind) transceiver.setCodecPreferences([...wanted, ...helpers]);
  };
  return {
    async open({ audio, video }) {
      const canvas = document.createElement('canvas');
      canvas.width = 640;
      canvas.height = 360;
      document.body.append(canvas);
      const painter = canvas.getContext('2d');
      const context = new AudioContext();
      await context.resume();
      const oscillator = context.createOscillator();
      oscillator.frequency.value = 1000;
      const gain = context.createGain();
      gain.gain.value = 0;
      const out = context.createMediaStreamDestination();
      oscillator.connect(gain).connect(out);
      oscillator.start();
      let second = -1;
      const draw = () => {
        const at = performance.now();
        const isFlash = at % 1000 < 80;
        if (isFlash && Math.floor(at / 1000) !== second) {
          second = Math.floor(at / 1000);
          gain.gain.setValueAtTime(0.6, context.currentTime);
          gain.gain.setValueAtTime(0, context.currentTime + 0.08);
        }
        painter.fillStyle = 'hsl(' + ((at / 20) % 360) + ' 60% 30%)';
        painter.fillRect(0, 0, 640, 360);
        painter.fillStyle = '#888';
        painter.fillRect((at / 10) % 640, 200, 80, 80);
        painter.fillStyle = isFlash ? '#fff' : '#000';
        painter.fillRect(0, 0, 160, 160);
      };
      setInterval(draw, 20);
      const stream = canvas.captureStream(25);
      connection = new RTCPeerConnection({ iceServers: [], bundlePolicy: 'max-bundle' });
      connection.addTrack(out.stream.getAudioTracks()[0], stream);
      connection.addTrack(stream.getVideoTracks()[0], stream);
      prefer('audio', audio);
      prefer('video', video);
      this.audio = audio;
      this.video = video;
    },
    async offer() {
      await connection.setLocalDescription(await connection.createOffer());
      return complete();
    },
    async answer(sdp) {
      await connection.setRemoteDescription({ type: 'offer', sdp });
      prefer('audio', this.audio);
      prefer('video', this.video);
      await connection.setLocalDescription(await connection.createAnswer());
      return complete();
    },
    async accept(sdp) {
      await connection.setRemoteDescription({ type: 'answer', sdp });
    },
    async received() {
      const found = { audioPackets: 0, videoPackets: 0 };
      for (const one of (await connection.getStats()).values())
        if (one.type === 'inbound-rtp') found[one.kind + 'Packets'] += one.packetsReceived;
      return found;
    },
  };
})(); undefined`;
