// One call of the phone: runs its script, answers the caller, and checks the caller's behavior (RFC 3261 §12–§15).

import { randomBytes } from 'node:crypto';
import type { DtmfOptions } from '@sipcast/media/wire';
import { EMPTY_BODY, parseNameAddress, parseUri, SipHeaders } from '@sipcast/sip';
import type { SipMessage, SipRequest, SipResponse } from '@sipcast/sip';
import type { CallScript, ReinviteChange } from './call-script.ts';
import { DigestChallenger } from './peer-digest.ts';
import {
  branchOf,
  judgeAckOfFailure,
  judgeAckOfSuccess,
  judgeCancel,
  judgeInDialog,
  judgeInitial,
  judgeReanswer,
  judgeRetriedInvite,
  sequenceOf,
  tagOf,
} from './peer-judge.ts';
import type { JudgedDialog } from './peer-judge.ts';
import { PeerMedia } from './peer-media.ts';
import { phoneResponse } from './phone-response.ts';
import { parseInfoDigit } from './info-digit.ts';
import { InviteServer } from './invite-server.ts';
import type {
  LoggedMessage,
  PeerCallEnding,
  PeerCallDeps,
  PeerCallStatus,
  SentReinvite,
} from './phone-call.ts';
import { parseSdp } from './peer-sdp.ts';
import type { Sdp } from './peer-sdp.ts';
import type { ReceivedDigit, RtpPort } from '../media/rtp-port.ts';
import type { RtpSender } from '../media/rtp-sender.ts';
import type { Origin } from './sip-wire.ts';
import { TimerSet } from '../timer-set.ts';

/** How long the ports of an ended call keep listening for RTCP BYE and late packets. */
const LINGER_MS = 300;

/** One incoming call. */
export class PeerCall {
  readonly callId: string;
  readonly script: CallScript;
  /** Every message of this call, in order. */
  readonly messages: LoggedMessage[] = [];
  /** INFO requests of the caller. */
  readonly infos: SipRequest[] = [];
  /** Re-INVITEs of the phone. */
  readonly reinvites: SentReinvite[] = [];
  /** Responses to OPTIONS of the phone. */
  readonly optionsResponses: SipResponse[] = [];
  /** Resolves at the 2xx; never if there is none. */
  readonly answered: Promise<void>;
  /** Resolves at the first ACK of the 2xx; never if there is none. */
  readonly confirmed: Promise<void>;
  /** Resolves once, when the call has ended for whatever reason. */
  readonly ended: Promise<PeerCallEnding>;
  readonly #deps: PeerCallDeps;
  readonly #toTag: string;
  readonly #challenger: DigestChallenger | undefined;
  readonly #invites = new Map<string, InviteServer>();
  readonly #timers = new TimerSet();
  readonly #infoDigits: ReceivedDigit[] = [];
  #current: InviteServer;
  #offer: Sdp | undefined;
  #media: PeerMedia | undefined;
  #status: PeerCallStatus = 'proceeding';
  #acks = 0;
  #inviteRetransmissions = 0;
  #challenges = 0;
  #remoteSequence: number;
  #localSequence = 0;
  #remoteTarget: string;
  #origin: Origin;
  #ending: PeerCallEnding | undefined;
  #resolveAnswered: () => void = () => {};
  #resolveConfirmed: () => void = () => {};
  #resolveEnded: (ending: PeerCallEnding) => void = () => {};

  /** Created by the phone. */
  constructor(invite: SipRequest, origin: Origin, script: CallScript, deps: PeerCallDeps) {
    this.#deps = deps;
    this.script = script;
    this.callId = invite.headers.get('call-id') ?? '';
    this.#toTag = script.toTag ?? randomBytes(6).toString('hex');
    this.#challenger = script.auth && new DigestChallenger(script.auth);
    this.#origin = origin;
    this.#remoteSequence = sequenceOf(invite);
    this.#remoteTarget = contactOf(invite) ?? '';
    this.#current = this.#newServer(invite, origin);
    this.answered = new Promise((resolve) => {
      this.#resolveAnswered = resolve;
    });
    this.confirmed = new Promise((resolve) => {
      this.#resolveConfirmed = resolve;
    });
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
  }

  /** The caller's latest INVITE. */
  get invite(): SipRequest {
    return this.#current.request;
  }

  /** The offer in the latest INVITE; undefined if it has no readable SDP. */
  get offer(): Sdp | undefined {
    return this.#offer;
  }

  get status(): PeerCallStatus {
    return this.#status;
  }

  /** ACKs of 2xx responses. */
  get acks(): number {
    return this.#acks;
  }

  /** Retransmitted INVITEs. */
  get inviteRetransmissions(): number {
    return this.#inviteRetransmissions;
  }

  /** Number of challenges sent. */
  get challenges(): number {
    return this.#challenges;
  }

  /** The sender of the clip, once started. */
  get sender(): RtpSender | undefined {
    return this.#media?.sender;
  }

  /** The phone's audio ports and what has arrived there. */
  get audio(): RtpPort | undefined {
    return this.#media?.audio;
  }

  /** The phone's video ports and what has arrived there. */
  get video(): RtpPort | undefined {
    return this.#media?.video;
  }

  /** Key presses: by INFO, then by RFC 4733. */
  get digits(): readonly ReceivedDigit[] {
    return [...this.#infoDigits, ...(this.audio?.received.digits ?? [])];
  }

  /** Sends keys by RFC 4733. @throws RangeError (rejection) while the phone sends no audio or events */
  async sendDigits(digits: string, options: DtmfOptions = {}): Promise<void> {
    if (this.sender === undefined) throw new RangeError('The phone is not sending');
    await this.sender.sendDigits(digits, options);
  }

  /** The phone's current description. */
  get localSdp(): string | undefined {
    return this.#media?.describe();
  }

  /** The caller's requests with this method, in order, including retransmissions. */
  requests(method: string): SipRequest[] {
    const found: SipRequest[] = [];
    for (const { direction, message } of this.messages) {
      if (direction === 'in' && message.kind === 'request' && message.method === method) {
        found.push(message);
      }
    }
    return found;
  }

  /** Sends BYE. Resolves with the response; undefined if there is none, or the call is not answered. */
  async hangUp(): Promise<SipResponse | undefined> {
    if (this.#status !== 'answered' && this.#status !== 'confirmed') return undefined;
    const bye = this.#newRequest('BYE');
    this.#end('phone', 'bye');
    return this.#deps.request(bye, this.#origin, this);
  }

  /** Sends a re-INVITE. Resolves when it is answered and acknowledged. The clip pauses during a hold. */
  async reinvite(change: ReinviteChange = 'unchanged'): Promise<SentReinvite> {
    const media = this.#media;
    if (media === undefined) throw new Error('The call has no media');
    if (change === 'move') await media.move();
    const offer = media.reoffer(change);
    const invite = this.#newRequest('INVITE', offer);
    const response = await this.#deps.request(invite, this.#origin, this);
    let answer: string | undefined;
    if (response !== undefined && response.statusCode < 300) {
      const ack = this.#newRequest('ACK', undefined, sequenceOf(invite));
      this.#deps.send(ack, this.#origin, this);
      answer = Buffer.from(response.body).toString();
      this.#remoteTarget = contactOf(response) ?? this.#remoteTarget;
      for (const rule of judgeReanswer(answer, parseSdp(offer), this.#offer)) this.#violation(rule);
      media.start();
    }
    const sent = { change, offer, response, answer };
    this.reinvites.push(sent);
    return sent;
  }

  /** Sends INFO in the dialog. Resolves with the response; undefined if there is none. */
  async sendInfo(contentType: string, body: string): Promise<SipResponse | undefined> {
    const request = this.#newRequest('INFO', undefined);
    request.headers.append('content-type', contentType);
    return this.#deps.request({ ...request, body: Buffer.from(body) }, this.#origin, this);
  }

  /** Sends OPTIONS in the dialog. */
  async sendOptions(): Promise<SipResponse | undefined> {
    const response = await this.#deps.request(this.#newRequest('OPTIONS'), this.#origin, this);
    if (response !== undefined) this.optionsResponses.push(response);
    return response;
  }

  /** For the phone: starts the script. */
  begin(): void {
    for (const rule of judgeInitial(this.invite)) this.#violation(rule);
    this.#proceed();
  }

  /** For the phone: handles a request of this call. INVITE and ACK with their retransmissions, others once. */
  take(request: SipRequest, origin: Origin): void {
    switch (request.method) {
      case 'INVITE':
        this.#takeInvite(request, origin);
        return;
      case 'ACK':
        this.#takeAck(request);
        return;
      case 'CANCEL':
        this.#takeCancel(request, origin);
        return;
      default:
        this.#takeInDialog(request, origin);
    }
  }

  /** For the phone: closes ports and timers without notifying the caller. */
  async close(): Promise<void> {
    if (this.#ending === undefined) this.#end('nobody', 'closed');
    this.#timers.clear();
    await this.#media?.close();
  }

  #newServer(request: SipRequest, origin: Origin): InviteServer {
    const server = new InviteServer(
      request,
      origin,
      { ...this.#deps, timers: this.#timers },
      {
        isOver: () => this.#ending !== undefined,
        onUnacknowledged: (statusCode) => {
          this.#violation(`${statusCode < 300 ? '2xx' : statusCode} was never acknowledged`);
          if (statusCode < 300) void this.hangUp();
        },
      },
    );
    this.#invites.set(branchOf(request), server);
    return server;
  }

  #proceed(): void {
    const { script } = this;
    const { request } = this.#current;
    const auth = this.#challenger?.check(
      'INVITE',
      request.uri,
      request.headers.get(this.#challenger.credentialsHeader),
    );
    if (auth?.passed === false) {
      if (auth.fault !== undefined) this.#violation(`INVITE credentials: ${auth.fault}`);
      this.#challenges++;
      this.#status = 'challenged';
      this.#respond(script.auth?.status ?? 401, { headers: [auth.challenge] });
      return;
    }
    this.#status = 'proceeding';
    if (script.trying !== false) this.#respond(100);
    if (request.body.length === 0) this.#violation('INVITE without an offer');
    else {
      try {
        this.#offer = parseSdp(Buffer.from(request.body).toString());
      } catch (error) {
        this.#violation(`INVITE offer: ${String(error)}`);
      }
    }
    void this.#play();
  }

  async #play(): Promise<void> {
    const { script } = this;
    const { ring = 0, answer = 200, answerAfterMs = 0, earlyMedia = false } = script;
    const accepts = typeof answer === 'number' && answer < 300;
    const startMs = performance.now();
    if (this.#offer !== undefined && (accepts || earlyMedia)) {
      this.#media = await PeerMedia.open(this.#offer, script, this.#deps.host);
      if (this.#ending !== undefined) {
        await this.#media.close();
        return;
      }
    }
    const open = (): boolean =>
      this.#ending === undefined && (this.#status === 'proceeding' || this.#status === 'ringing');
    const spentMs = performance.now() - startMs;
    if (earlyMedia) {
      this.#status = 'ringing';
      this.#respond(183, { sdp: this.#media?.describe() });
      this.#media?.start();
    }
    if (ring !== false) {
      this.#timers.after(ring - spentMs, () => {
        if (!open()) return;
        this.#status = 'ringing';
        this.#respond(180);
      });
    }
    if (answer !== 'none') {
      this.#timers.after(answerAfterMs - spentMs, () => {
        if (!open()) return;
        if (accepts) this.#accept(answer);
        else this.#reject(answer);
      });
    }
  }

  #accept(statusCode: number): void {
    const { script } = this;
    this.#status = 'answered';
    const headers = script.headers ?? [];
    this.#respond(statusCode, { reason: script.reason, headers, sdp: this.#media?.describe() });
    this.#media?.start();
    this.#resolveAnswered();
    for (let time = 1; time <= (script.retransmit200 ?? 0); time++) {
      const server = this.#current;
      this.#timers.after(time * 20, () => server.sendAgain());
    }
    if (script.hangUpAfterMs !== undefined) {
      this.#timers.after(script.hangUpAfterMs, () => void this.hangUp());
    }
    if (script.reinviteAfterMs !== undefined) {
      this.#timers.after(script.reinviteAfterMs, () => {
        if (this.#ending === undefined) void this.reinvite(script.reinvite);
      });
    }
    if (script.sendOptionsAfterMs !== undefined) {
      this.#timers.after(script.sendOptionsAfterMs, () => {
        if (this.#ending === undefined) void this.sendOptions();
      });
    }
  }

  #reject(statusCode: number): void {
    const { script } = this;
    const redirects = (script.redirectTo ?? []).map((value) => ['contact', value] as const);
    const headers = [...redirects, ...(script.headers ?? [])];
    this.#respond(statusCode, { reason: script.reason, headers });
    this.#end('phone', 'rejected');
  }

  #respond(
    statusCode: number,
    parts: {
      readonly reason?: string | undefined;
      readonly headers?: readonly (readonly [string, string])[];
      readonly sdp?: string | undefined;
    } = {},
  ): void {
    const server = this.#current;
    const dialogHeaders: [string, string][] = [];
    if (statusCode > 100 && statusCode < 300) {
      for (const value of this.script.recordRoute ?? [])
        dialogHeaders.push(['record-route', value]);
      for (const value of server.request.headers.getAll('record-route')) {
        dialogHeaders.push(['record-route', value]);
      }
      dialogHeaders.push(['contact', `<${this.#deps.contactFor(server.origin.protocol)}>`]);
      dialogHeaders.push(['allow', 'INVITE, ACK, CANCEL, BYE, OPTIONS, INFO']);
    }
    const response = phoneResponse(server.request, statusCode, {
      ...parts,
      headers: [...dialogHeaders, ...(parts.headers ?? [])],
      toTag: statusCode === 100 ? undefined : this.#toTag,
    });
    server.respond(response);
  }

  #takeInvite(request: SipRequest, origin: Origin): void {
    const known = this.#invites.get(branchOf(request));
    if (known !== undefined) {
      this.#inviteRetransmissions++;
      if (origin.protocol === 'tcp') this.#violation('INVITE was repeated over TCP');
      // RFC 3261 §17.1.1.2: a provisional response stops the retransmissions. One may have crossed it.
      else if (known.last !== undefined && !known.hasJustSpoken) {
        this.#violation('INVITE was repeated after a response');
      }
      known.sendAgain();
      return;
    }
    const before = this.#current;
    if (tagOf(request.headers.get('to')) === undefined) {
      for (const rule of judgeRetriedInvite(request, before.request)) this.#violation(rule);
      if (this.#status !== 'challenged') this.#violation('INVITE without need');
      else if (before.acks === 0) this.#violation('INVITE after a challenge before its ACK');
    } else {
      for (const rule of judgeInDialog(request, this.#dialog(origin))) this.#violation(rule);
      this.#judgeSequence(request);
    }
    this.#remoteSequence = sequenceOf(request);
    this.#remoteTarget = contactOf(request) ?? this.#remoteTarget;
    this.#origin = origin;
    this.#current = this.#newServer(request, origin);
    if (this.#status === 'challenged') {
      this.#proceed();
      return;
    }
    this.#answerReinvite(request);
  }

  #answerReinvite(request: SipRequest): void {
    if (this.#media === undefined || this.#ending !== undefined) {
      this.#respond(this.#ending === undefined ? 488 : 481);
      return;
    }
    try {
      this.#offer = parseSdp(Buffer.from(request.body).toString());
    } catch (error) {
      this.#violation(`re-INVITE offer: ${String(error)}`);
      this.#respond(488);
      return;
    }
    this.#respond(200, { sdp: this.#media.answerReoffer(this.#offer) });
    this.sender?.requestKeyFrame('reinvite');
  }

  #takeAck(ack: SipRequest): void {
    const failed = this.#invites.get(branchOf(ack));
    const isFailure = failed?.last !== undefined && failed.last.statusCode >= 300;
    const server = isFailure
      ? failed
      : [...this.#invites.values()].find(
          (one) => sequenceOf(one.request) === sequenceOf(ack) && one.sent2xx > 0,
        );
    if (server?.last === undefined) {
      this.#violation('ACK of nothing');
      return;
    }
    const rules = isFailure
      ? judgeAckOfFailure(ack, server.request, server.last)
      : judgeAckOfSuccess(ack, server.request, this.#dialog(server.origin));
    for (const rule of rules) this.#violation(rule);
    server.acknowledge();
    if (isFailure) return;
    this.#acks++;
    if (this.#status !== 'answered') return;
    this.#status = 'confirmed';
    this.#resolveConfirmed();
  }

  #takeCancel(cancel: SipRequest, origin: Origin): void {
    const server = this.#invites.get(branchOf(cancel)) ?? this.#current;
    for (const rule of judgeCancel(cancel, server.request, server.hasProvisional)) {
      this.#violation(rule);
    }
    const toTag = this.#toTag;
    this.#deps.respond(cancel, phoneResponse(cancel, 200, { toTag }), origin);
    // RFC 3261 §9.2: after a final response, CANCEL changes nothing.
    if (this.#status !== 'proceeding' && this.#status !== 'ringing') return;
    this.#respond(487);
    this.#end('caller', 'cancel');
  }

  #takeInDialog(request: SipRequest, origin: Origin): void {
    const { method } = request;
    for (const rule of judgeInDialog(request, this.#dialog(origin))) this.#violation(rule);
    this.#judgeSequence(request);
    this.#remoteSequence = Math.max(this.#remoteSequence, sequenceOf(request));
    this.#origin = origin;
    let statusCode = 200;
    if (this.#status === 'ended') statusCode = 481;
    else if (!['BYE', 'INFO', 'OPTIONS'].includes(method)) statusCode = 405;
    if (method === 'INFO' && statusCode === 200) this.#takeInfo(request);
    this.#deps.respond(request, phoneResponse(request, statusCode, { toTag: this.#toTag }), origin);
    if (method !== 'BYE') return;
    if (this.#status === 'answered') this.#violation('BYE before the ACK');
    if (this.#status !== 'ended') this.#end('caller', 'bye');
    else if (this.#ending?.how !== 'bye') this.#violation('BYE after the end');
  }

  #takeInfo(info: SipRequest): void {
    this.infos.push(info);
    const type = info.headers.get('content-type')?.toLowerCase() ?? '';
    const text = Buffer.from(info.body).toString();
    if (type.startsWith('application/media_control+xml')) {
      if (text.includes('picture_fast_update')) this.sender?.requestKeyFrame('info');
    } else if (type.startsWith('application/dtmf')) {
      const digit = parseInfoDigit(type, text);
      if (digit === undefined) this.#violation('INFO without a digit');
      else this.#infoDigits.push(digit);
    }
  }

  #dialog(origin: Origin): JudgedDialog {
    return {
      callId: this.callId,
      callerTag: tagOf(this.#current.request.headers.get('from')),
      phoneTag: this.#toTag,
      contact: this.#deps.contactFor(origin.protocol),
      recordRoute: [
        ...(this.script.recordRoute ?? []),
        ...this.#current.request.headers.getAll('record-route'),
      ],
    };
  }

  #judgeSequence(request: SipRequest): void {
    const sequence = sequenceOf(request);
    if (sequence !== this.#remoteSequence + 1) {
      this.#violation(`${request.method} CSeq ${sequence} after ${this.#remoteSequence}`);
    }
  }

  #newRequest(method: string, sdp?: string, sequence = ++this.#localSequence): SipRequest {
    const { protocol } = this.#origin;
    const { headers: invite } = this.#current.request;
    const headers = new SipHeaders()
      .append('via', this.#deps.via(protocol))
      .append('max-forwards', '70')
      .append('from', `${(invite.get('to') ?? '').replace(/;tag=[^;]*/, '')};tag=${this.#toTag}`)
      .append('to', invite.get('from') ?? '')
      .append('call-id', this.callId)
      .append('cseq', `${sequence} ${method}`);
    for (const route of invite.getAll('record-route')) headers.append('route', route);
    if (method === 'INVITE') headers.append('contact', `<${this.#deps.contactFor(protocol)}>`);
    if (sdp !== undefined) headers.append('content-type', 'application/sdp');
    this.#origin = this.#towards(invite.getAll('record-route')[0]);
    return {
      kind: 'request',
      method,
      uri: this.#remoteTarget,
      headers,
      body: sdp === undefined ? EMPTY_BODY : Buffer.from(sdp),
    };
  }

  /** The destination of the phone's requests: the first route or the Contact; over TCP on the existing connection. */
  #towards(route: string | undefined): Origin {
    if (this.#origin.protocol === 'tcp') return this.#origin;
    try {
      const uri = parseUri(route === undefined ? this.#remoteTarget : parseNameAddress(route).uri);
      return { protocol: 'udp', address: uri.host, port: uri.port ?? 5060 };
    } catch {
      this.#violation(`Contact ${this.#remoteTarget} leads nowhere`);
      return this.#origin;
    }
  }

  #end(by: PeerCallEnding['by'], how: PeerCallEnding['how']): void {
    if (this.#ending !== undefined) return;
    this.#ending = { by, how, atMs: performance.now() };
    this.#status = 'ended';
    // RFC 3261 §13.2.2.4: one ACK per 2xx. The ACK for the latest 2xx may still be on its way.
    for (const { acks, sent2xx, hasJustSpoken } of this.#invites.values()) {
      const onTheWay = hasJustSpoken ? 1 : 0;
      if (sent2xx > 0 && acks < sent2xx - onTheWay && how !== 'closed') {
        this.#violation(`${acks} ACKs for ${sent2xx} times 2xx`);
      }
    }
    this.#media?.stop();
    if (how !== 'closed') this.#timers.after(LINGER_MS, () => void this.#media?.close());
    this.#resolveEnded(this.#ending);
  }

  #violation(rule: string): void {
    this.#deps.violation(rule, this.callId);
  }
}

function contactOf(message: SipMessage): string | undefined {
  const contact = message.headers.get('contact');
  return contact === undefined ? undefined : parseNameAddress(contact).uri;
}
