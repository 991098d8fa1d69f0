// Publishes one stream to one RTMP server (Adobe RTMP 1.0 §7.2). Authentication or a redirect may take several
// connections; once publishing, the publication ends with its connection. Reconnecting is up to the caller.

import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { amf0Object } from '../flv/amf0.ts';
import type { Amf0Value } from '../flv/amf0.ts';
import { CongestionGate } from './congestion-gate.ts';
import { RtmpError } from '../errors.ts';
import type { FlvTag } from '../codec/frame.ts';
import { answerRtmpAuth, MAX_AUTH_ATTEMPTS, parseRtmpAuthDemand } from './auth.ts';
import type { RtmpAuthDemand } from './auth.ts';
import { capabilitiesOf, enhancedConnectEntries, PLAIN_RTMP } from './capabilities.ts';
import type { RtmpCapabilities } from './capabilities.ts';
import type {
  RtmpPublisher,
  RtmpPublisherHandler,
  RtmpPublisherOptions,
  RtmpPublisherStats,
} from './publisher.ts';
import { RtmpDelivery } from './delivery.ts';
import { RtmpLink } from './link.ts';
import type { RtmpCommand, RtmpMessage } from './message.ts';
import { redirectOf, refusal, textOf } from './information.ts';
import { parseRtmpUrl, resolveRtmpUrl } from './url.ts';
import type { RtmpUrl } from './url.ts';

/**
 * Connects and publishes. Returns at once; the outcome reaches the handler.
 *
 * @throws RtmpError `INVALID_URL` for a malformed URL, stream name or fingerprint.
 */
export function openRtmpPublisher(
  options: RtmpPublisherOptions,
  handler: RtmpPublisherHandler,
): RtmpPublisher {
  return publishOver(undefined, options, handler);
}

/** The same, over sockets of a test. Not exported from the package. */
export function publishOver(
  openSocket: (() => Socket) | undefined,
  options: RtmpPublisherOptions,
  handler: RtmpPublisherHandler,
): RtmpPublisher {
  const url = parseRtmpUrl(options.url);
  // oxlint-disable-next-line no-control-regex -- finding control characters is the point
  if (options.streamName === '' || /[\u0000-\u001f\u007f]/.test(options.streamName)) {
    throw new RtmpError('INVALID_URL', 'Empty stream name, or a control character in it', {
      field: 'streamName',
    });
  }
  const pin = options.tls?.fingerprint256;
  if (pin !== undefined && !/^[0-9a-f]{64}$/i.test(pin.replaceAll(':', ''))) {
    throw new RtmpError('INVALID_URL', 'A SHA-256 fingerprint has 64 hexadecimal digits', {
      field: 'tls.fingerprint256',
    });
  }
  return new Publication(url, options, handler, openSocket);
}

const TRANSACTION = {
  connect: 1,
  releaseStream: 2,
  fcPublish: 3,
  createStream: 4,
  publish: 5,
  fcUnpublish: 6,
  deleteStream: 7,
} as const;
/** Probes by createStream use the transactions above this one. */
const PROBE_TRANSACTIONS = 1000;
/** Type of video tags (FLV 10.1 §E.4.1). */
const VIDEO = 9;
const WATCH_PERIOD_MS = 250;
/** A server that keeps calling and reads nothing gets no more answers. */
const MAX_QUEUE_FOR_ANSWERS_BYTES = 16 * 1024;
const MAX_REDIRECTS = 2;
/** Shorter secrets occur in too many words to be removed. */
const MIN_SECRET_CHARACTERS = 3;

type Phase = 'connecting' | 'publishing' | 'closing' | 'closed';

class Publication implements RtmpPublisher {
  #url: RtmpUrl;
  readonly #options: RtmpPublisherOptions;
  readonly #handler: RtmpPublisherHandler;
  readonly #openSocket: (() => Socket) | undefined;
  readonly #gate: CongestionGate;
  readonly #delivery: RtmpDelivery;
  readonly #windowBytes: number;
  #link: RtmpLink;
  #phase: Phase = 'connecting';
  #phaseTimer: NodeJS.Timeout | undefined;
  #watch: NodeJS.Timeout | undefined;
  #closed: Promise<void> | undefined;
  #resolveClosed: (() => void) | undefined;

  /** Appended to `app` and `tcUrl` once the server has asked for credentials. */
  #authQuery = '';
  #authAttempts = 0;
  #redirects = 0;
  #capabilities = PLAIN_RTMP;
  #reconnectRequested = false;
  #messageStreamId = 0;
  /** The transaction whose answer the next step waits for. */
  #awaited: number | undefined;
  #baseMs = Number.NaN;
  readonly #lastMs = { 8: 0, 9: 0, 18: 0 };
  readonly #hasSent = { 'key-frame': false, audio: false };
  #keyFrameAskedMs = Number.NEGATIVE_INFINITY;

  constructor(
    url: RtmpUrl,
    options: RtmpPublisherOptions,
    handler: RtmpPublisherHandler,
    openSocket: (() => Socket) | undefined,
  ) {
    this.#url = url;
    this.#openSocket = openSocket;
    this.#options = options;
    this.#handler = handler;
    this.#windowBytes = options.windowBytes ?? 62_500;
    this.#delivery = new RtmpDelivery({
      windowBytes: this.#windowBytes,
      stallTimeoutMs: options.stallTimeoutMs ?? 8000,
      probe: options.probe ?? true,
    });
    this.#gate = new CongestionGate({
      windowBytes: this.#windowBytes,
      ...(options.highWaterMs === undefined ? {} : { highWaterMs: options.highWaterMs }),
    });
    this.#link = this.#openLink();
  }

  get stats(): RtmpPublisherStats {
    return {
      bytesSent: this.#link.bytesSent,
      bytesAcknowledged: this.#delivery.bytesAcknowledged,
      outstandingBytes: this.#outstandingBytes(),
      droppedFrames: this.#gate.skipped,
    };
  }

  push(tag: FlvTag): 'sent' | 'skipped' {
    if (this.#phase !== 'publishing') return 'skipped';
    if (!this.#gate.admit(tag, this.#outstandingBytes())) {
      if (this.#gate.wantsKeyFrame) this.#askForKeyFrame(tag.timestampMs);
      return 'skipped';
    }
    // The first frame is time 0 of the connection; its headers precede it, at the same time.
    const describes = tag.role === 'metadata' || tag.role === 'sequence-header';
    if (Number.isNaN(this.#baseMs) && !describes) this.#baseMs = tag.timestampMs;
    this.#link.writeTag(tag, this.#messageStreamId, this.#relativeMs(tag));
    this.#link.flushSoon(tag.type === VIDEO);
    if (tag.role === 'key-frame' || tag.role === 'audio') this.#noteSent(tag.role);
    return 'sent';
  }

  #noteSent(role: 'key-frame' | 'audio'): void {
    if (this.#hasSent[role]) return;
    this.#hasSent[role] = true;
    this.#handler.onFirstSent?.(role);
  }

  /** Time on the connection's time base; never decreases within a medium. */
  #relativeMs(tag: FlvTag): number {
    const sinceBaseMs = Number.isNaN(this.#baseMs) ? 0 : Math.round(tag.timestampMs - this.#baseMs);
    const relativeMs = Math.max(this.#lastMs[tag.type], sinceBaseMs);
    this.#lastMs[tag.type] = relativeMs;
    return relativeMs;
  }

  close(): Promise<void> {
    if (this.#phase === 'closed') return this.#closed ?? Promise.resolve();
    this.#closed ??= new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    if (this.#phase === 'closing') return this.#closed;
    if (this.#phase !== 'publishing') {
      this.#end(undefined);
      return this.#closed;
    }
    this.#phase = 'closing';
    this.#stopTimers();
    this.#command('FCUnpublish', TRANSACTION.fcUnpublish, null, this.#options.streamName);
    this.#command('deleteStream', TRANSACTION.deleteStream, null, this.#messageStreamId);
    // Queued data is sent, then FIN; the time-out covers a server that does not close in turn.
    this.#phaseTimer = setTimeout(() => this.#end(undefined), this.#options.flushTimeoutMs ?? 1000);
    this.#link.end();
    return this.#closed;
  }

  #outstandingBytes(): number {
    const { bytesSent, queuedBytes } = this.#link;
    return Math.max(queuedBytes, this.#delivery.outstanding(bytesSent));
  }

  #openLink(): RtmpLink {
    const { tls, mayConnect, lookup, connectTimeoutMs, handshakeTimeoutMs, coalesceMs } =
      this.#options;
    return new RtmpLink(
      {
        host: this.#url.host,
        port: this.#url.port,
        tls: this.#url.secure ? (tls ?? {}) : undefined,
        mayConnect,
        lookup,
        connectTimeoutMs: connectTimeoutMs ?? 5000,
        handshakeTimeoutMs: handshakeTimeoutMs ?? 5000,
        coalesceMs: coalesceMs ?? 40,
      },
      {
        onOpen: () => this.#requestConnect(),
        onMessage: (message) => this.#onMessage(message),
        onClosed: (error) => this.#onLinkClosed(error),
      },
      this.#openSocket,
    );
  }

  /** Connects again, to the same server or another one: nothing has been published yet. */
  #connectAgain(): void {
    clearTimeout(this.#phaseTimer);
    this.#link.destroy();
    this.#link = this.#openLink();
  }

  #requestConnect(): void {
    const timeoutMs = this.#options.publishTimeoutMs ?? 10_000;
    this.#phaseTimer = setTimeout(() => {
      this.#end(new RtmpError('TIMEOUT', `The publish phase did not end within ${timeoutMs} ms`));
    }, timeoutMs);
    const { app, tcUrl } = this.#url;
    this.#awaited = TRANSACTION.connect;
    this.#command(
      'connect',
      TRANSACTION.connect,
      amf0Object({
        app: this.#withAuthQuery(app),
        type: 'nonprivate',
        flashVer: this.#options.flashVersion ?? 'FMLE/3.0 (compatible; sipcast)',
        tcUrl: this.#withAuthQuery(tcUrl),
        ...enhancedConnectEntries(this.#options.enhanced ?? 'off'),
      }),
    );
    this.#link.flush();
  }

  #withAuthQuery(text: string): string {
    if (this.#authQuery === '') return text;
    return `${text}${text.includes('?') ? '&' : '?'}${this.#authQuery}`;
  }

  #requestPublish(): void {
    const { streamName } = this.#options;
    // Requested again after every connect: acknowledgements reveal a stall that the kernel's buffers hide.
    this.#link.write({ kind: 'window-acknowledgement-size', bytes: this.#windowBytes });
    this.#command('releaseStream', TRANSACTION.releaseStream, null, streamName);
    this.#command('FCPublish', TRANSACTION.fcPublish, null, streamName);
    this.#command('createStream', TRANSACTION.createStream, null);
    this.#awaited = TRANSACTION.createStream;
    this.#link.flush();
  }

  #onMessage(message: RtmpMessage): void {
    if (this.#phase === 'closed') return;
    switch (message.kind) {
      case 'acknowledgement':
        this.#delivery.acknowledge(message.sequence, this.#link.bytesSent, performance.now());
        break;
      case 'ping-response':
        this.#delivery.answered('ping', message.id, performance.now());
        break;
      case 'command':
        this.#onCommand(message);
        break;
      case 'set-chunk-size':
      case 'window-acknowledgement-size':
      case 'ping-request':
        break; // The link has handled these.
    }
  }

  #onCommand({ name, transaction, values }: RtmpCommand): void {
    const [properties, detail] = values;
    if (name === '_result') return this.#onResult(transaction, properties, detail);
    if (name === '_error') return this.#onErrorAnswer(transaction, detail);
    if (name === 'onStatus') return this.#onStatus(detail);
    if (name === 'close')
      return this.#end(new RtmpError('CONNECTION_LOST', 'The server closed the connection'));
    // onBWDone, onFCPublish and others carry nothing of interest. A call that expects an answer, such as _onbwcheck, gets
    // one.
    if (transaction === undefined || transaction <= 0 || name === 'onFCPublish') return;
    if (this.#link.queuedBytes > MAX_QUEUE_FOR_ANSWERS_BYTES) return;
    this.#command('_result', transaction, null, undefined);
    this.#link.flush();
  }

  #onResult(transaction: number | undefined, properties: Amf0Value, detail: Amf0Value): void {
    if (transaction === undefined) return;
    if (transaction > PROBE_TRANSACTIONS)
      return this.#delivery.answered(
        'create-stream',
        transaction - PROBE_TRANSACTIONS,
        performance.now(),
      );
    if (textOf(detail, 'code') === 'NetStream.Publish.Start') return this.#onStatus(detail);
    // Each answer counts once: a repeated one triggers nothing.
    if (transaction !== this.#awaited) return;
    this.#awaited = undefined;
    if (transaction === TRANSACTION.connect) {
      this.#capabilities = this.#negotiated(properties, detail);
      return this.#requestPublish();
    }
    if (typeof detail !== 'number' || !(detail >= 0 && detail <= 0xffffffff))
      return this.#end(new RtmpError('PROTOCOL', 'createStream gave no stream id'));
    this.#messageStreamId = Math.floor(detail);
    this.#command('publish', TRANSACTION.publish, null, this.#options.streamName, 'live');
    this.#link.flush();
  }

  #negotiated(...objects: readonly Amf0Value[]): RtmpCapabilities {
    return capabilitiesOf(this.#options.enhanced ?? 'off', objects);
  }

  #onErrorAnswer(transaction: number | undefined, detail: Amf0Value): void {
    // A server that refuses our probe has read everything before it.
    if (transaction !== undefined && transaction > PROBE_TRANSACTIONS)
      return this.#onResult(transaction, null, null);
    if (this.#phase !== 'connecting') return;
    // releaseStream and FCPublish are optional: many servers answer them with an error.
    if (transaction === TRANSACTION.connect) this.#onRefused(detail);
    else if (transaction === TRANSACTION.createStream || transaction === TRANSACTION.publish)
      this.#end(refusal('PUBLISH_REJECTED', detail, this.#redact));
  }

  #onStatus(detail: Amf0Value): void {
    const code = textOf(detail, 'code') ?? '';
    if (code === 'NetStream.Publish.Start') {
      if (this.#phase === 'connecting' && this.#awaited === undefined) this.#onPublishing();
      return;
    }
    if (code === 'NetConnection.Connect.ReconnectRequest') return this.#onReconnectRequest(detail);
    // Recording on the server does not concern the publication.
    if (code.startsWith('NetStream.Record.')) return;
    const ends =
      textOf(detail, 'level') === 'error' ||
      code === 'NetConnection.Connect.Closed' ||
      (code === 'NetStream.Unpublish.Success' && this.#phase === 'publishing');
    if (!ends) return;
    if (this.#phase === 'connecting' && this.#awaited === TRANSACTION.connect)
      return this.#onRefused(detail);
    const kind = this.#phase === 'publishing' ? 'CONNECTION_LOST' : 'PUBLISH_REJECTED';
    this.#end(refusal(kind, detail, this.#redact));
  }

  /** `connect` was refused: for good, for lack of a password, or with another address. */
  #onRefused(detail: Amf0Value): void {
    const redirect = redirectOf(detail);
    if (redirect !== undefined) return this.#followRedirect(redirect);
    const demand = parseRtmpAuthDemand(textOf(detail, 'description') ?? '');
    if (demand) return this.#answerDemand(demand);
    this.#end(refusal('CONNECT_REJECTED', detail, this.#redact));
  }

  #answerDemand(demand: RtmpAuthDemand): void {
    const { username, password = '', app } = this.#url;
    const refuse = (reason: string, words: string): void =>
      this.#end(new RtmpError('AUTH_FAILED', words, { reason }));
    if (username === undefined)
      return refuse('no-credentials', 'The server requires a user and password');
    if (demand.kind === 'failed')
      return refuse(
        this.#redact(demand.reason).slice(0, 32),
        'The server refuses the user or password',
      );
    if (this.#authAttempts++ >= MAX_AUTH_ATTEMPTS)
      return refuse('authfailed', 'The server refuses the user or password');
    const credentials = { username, password };
    const path = app.replace(/\?.*$/, '');
    const challenge = randomBytes(4).toString('hex');
    this.#authQuery = answerRtmpAuth(demand, credentials, path, challenge);
    this.#connectAgain();
  }

  #followRedirect(reference: string): void {
    const refuse = (words: string): void => this.#end(new RtmpError('REDIRECT_REFUSED', words));
    if (this.#redirects++ >= MAX_REDIRECTS) return refuse('The server keeps redirecting');
    let url: RtmpUrl;
    try {
      const withName = resolveRtmpUrl(reference, this.#url);
      // SRS before 4 puts the stream's name behind the application.
      const name = `/${this.#options.streamName.replace(/\?.*$/, '')}`;
      url = parseRtmpUrl(withName.endsWith(name) ? withName.slice(0, -name.length) : withName);
    } catch {
      return refuse('The server redirects to a malformed address');
    }
    const where = `${url.secure ? 'rtmps' : 'rtmp'}://${url.host}:${url.port}`;
    if (this.#url.secure && !url.secure)
      return refuse(`The server redirects to ${where}, without TLS`);
    if (this.#options.mayRedirect?.(url.tcUrl) !== true)
      return refuse(`The server redirects to ${where}, which is not allowed`);
    // A password is for the host that it was given for.
    const { username, password, host } = this.#url;
    this.#url =
      url.host === host && url.username === undefined ? { ...url, username, password } : url;
    this.#authQuery = '';
    this.#connectAgain();
  }

  #onReconnectRequest(detail: Amf0Value): void {
    if (this.#phase !== 'publishing' || this.#reconnectRequested) return;
    const reference = textOf(detail, 'tcUrl');
    let url: string | undefined;
    try {
      url = reference === undefined ? undefined : resolveRtmpUrl(reference, this.#url);
    } catch {
      return; // An unusable address: the server will close the connection, and the caller reconnects as usual.
    }
    this.#reconnectRequested = true;
    this.#handler.onReconnectRequested?.(url);
  }

  #onPublishing(): void {
    clearTimeout(this.#phaseTimer);
    this.#phase = 'publishing';
    this.#watch = setInterval(() => this.#watchDelivery(), WATCH_PERIOD_MS);
    this.#handler.onPublishing(this.#capabilities);
  }

  #watchDelivery(): void {
    const { bytesSent, queuedBytes } = this.#link;
    const step = this.#delivery.tick(bytesSent, queuedBytes, performance.now());
    if (step.stalled) return this.#end(new RtmpError('STALLED', 'The server has stopped reading'));
    if (step.windowBytes !== undefined) {
      this.#link.write({ kind: 'window-acknowledgement-size', bytes: step.windowBytes });
      this.#gate.setWindow(step.windowBytes);
    }
    if (step.probe?.kind === 'ping') {
      this.#link.write({ kind: 'ping-request', id: step.probe.id });
    } else if (step.probe) {
      this.#command('createStream', PROBE_TRANSACTIONS + step.probe.id, null);
    }
    if (step.windowBytes !== undefined || step.probe) this.#link.flushSoon(true);
  }

  #askForKeyFrame(timestampMs: number): void {
    if (timestampMs - this.#keyFrameAskedMs < 500) return;
    this.#keyFrameAskedMs = timestampMs;
    this.#handler.onKeyFrameWanted();
  }

  #command(name: string, transaction: number, ...values: Amf0Value[]): void {
    const streamId = name === 'publish' ? this.#messageStreamId : 0;
    this.#link.write({ kind: 'command', streamId, name, transaction, values });
  }

  /** Servers repeat what they were sent, and much of it is secret. */
  readonly #redact = (text: string): string => {
    const { app, username, password } = this.#url;
    const query = /\?(.*)$/.exec(app)?.[1];
    const key = this.#options.streamName;
    const secrets = [key, key.replace(/\?.*$/, ''), query, password, username, this.#authQuery];
    let plain = text;
    for (const secret of secrets)
      if (secret !== undefined && secret.length >= MIN_SECRET_CHARACTERS)
        plain = plain.replaceAll(secret, '***');
    return plain;
  };

  #onLinkClosed(error: RtmpError | undefined): void {
    if (error) return this.#end(error);
    const code = this.#phase === 'publishing' ? 'CONNECTION_LOST' : 'PUBLISH_REJECTED';
    this.#end(new RtmpError(code, 'The server closed the connection'));
  }

  #stopTimers(): void {
    clearTimeout(this.#phaseTimer);
    clearInterval(this.#watch);
  }

  #end(error: RtmpError | undefined): void {
    if (this.#phase === 'closed') return;
    const failed = this.#phase === 'closing' ? undefined : error;
    this.#phase = 'closed';
    this.#stopTimers();
    this.#link.destroy();
    this.#handler.onEnded(failed);
    this.#resolveClosed?.();
  }
}
