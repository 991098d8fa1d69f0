// The session descriptions of one call, ours and the peer's, and where its media may be sent.

import { isIP } from 'node:net';
import type { MediaSession, NegotiatedMedium } from '@sipcast/media';
import { sessionDescriptionIn, tagOf } from '@sipcast/sip';
import type { InviteSessionHandler, MessageSource, SipResponse } from '@sipcast/sip';
import { describe, warningOf } from './call-ending.ts';
import { childLogger } from '../logger.ts';
import type { Logger } from '../logger.ts';
import type { SlidesMedia } from '../slides/call-slides.ts';
import { describeSlides, SLIDES_LABEL } from '../negotiation/negotiation.ts';
import { MediaDestinations } from '../negotiation/media-destinations.ts';
import type { CallDeps, CallOptions } from './call-options.ts';
import type { ResolvedStartup } from './startup.ts';
import { SessionAgreement } from '../negotiation/session-agreement.ts';
import type { Agreed, AgreementState } from '../negotiation/session-agreement.ts';

/** Early dialogs whose description is kept: a forking proxy reaches a handful. */
const MAX_EARLY = 32;

type Refusal = Extract<
  ReturnType<InviteSessionHandler['onReoffer']>,
  { readonly statusCode: number }
>;

/** The descriptions of one call. */
export class CallDescriptions {
  readonly agreement: SessionAgreement;
  readonly #startup: ResolvedStartup;
  readonly #media: MediaSession;
  readonly #options: CallOptions;
  readonly #logger: Logger;
  readonly #destinations: MediaDestinations | undefined;
  /** Incoming call: the agreement of its offer and our answer, until the ACK. */
  #agreed: Agreed | undefined;
  /** The latest session description in the provisional responses, by the tag of their dialog. */
  readonly #early = new Map<string, string>();
  /** What UPDATEs before the final answer have come to, by the tag of their early dialog. */
  readonly #updated = new Map<
    string,
    { readonly agreed: Agreed; readonly state: AgreementState }
  >();
  /** Before the first of those. */
  #firstState: AgreementState | undefined;
  /** Where the peer's last offer, answer or provisional response came from. */
  #peerAddress: string | undefined;
  #isDescribed = false;
  #slides: NegotiatedMedium | undefined;

  constructor(
    startup: ResolvedStartup,
    media: MediaSession,
    options: CallOptions,
    { userAgent, logger }: CallDeps,
  ) {
    this.#startup = startup;
    this.#media = media;
    this.#options = options;
    this.#logger = childLogger(logger, { area: 'sip' });
    this.agreement = new SessionAgreement((...host) => userAgent.resolve(...host));
    const { mayConnect } = options;
    this.#destinations =
      mayConnect &&
      new MediaDestinations({
        mayConnect,
        isNamed: (address) => this.agreement.hosts.ledTo(address),
        calledHost: startup.incoming ? undefined : startup.calledHost,
      });
  }

  /** A provisional response described media. */
  get hasEarly(): boolean {
    return this.#early.size > 0;
  }

  /** The second video that was agreed on; undefined: there is none. */
  get slides(): NegotiatedMedium | undefined {
    return this.#slides;
  }

  /** The ports for slides are open, or closed (undefined). */
  onSlidesMedia(media: SlidesMedia | undefined): void {
    const floor = media?.floor;
    this.agreement.serve = (section) => floor?.answer(section, SLIDES_LABEL);
    if (media === undefined) return this.agreement.removeSlides();
    const { callId, srtp } = this.#startup;
    const options = { ...this.#options.offer, ...(srtp && { srtp }) };
    this.agreement.setSlides(describeSlides(media.session.video, { callId, options }));
  }

  /** {@link describe} was called: the way to the peer is known. */
  get isDescribed(): boolean {
    return this.#isDescribed;
  }

  /**
   * An offer, an answer or a provisional response of the peer's came from there. A transport of the application's own may have
   * addresses that are not IP: those change nothing.
   */
  cameFrom(source: MessageSource | undefined): void {
    if (source !== undefined && isIP(source.address) !== 0) this.#peerAddress = source.address;
  }

  /** Whether media may be sent to an address. */
  maySendTo(address: string): boolean {
    return this.#destinations?.maySendTo(address, this.#peerAddress) ?? true;
  }

  /**
   * Describes what we can send and receive. Called once, before anything else.
   *
   * @param address - Ours, as the peer reaches it.
   * @param sessionId - Of the `o=` line.
   */
  describe(address: string, sessionId: number): void {
    const { callId, hasAudio, hasVideo, srtp } = this.#startup;
    this.#isDescribed = true;
    this.agreement.describe({
      address,
      callId,
      sessionId,
      audio: this.#media.audio,
      video: this.#media.video,
      hasAudio,
      hasVideo,
      options: { ...this.#options.offer, ...(srtp && { srtp }) },
    });
  }

  /** Our answer to the offer of an incoming call. The hosts in the offer must be looked up. Throws if there is nothing to agree on. */
  answerFirst(offer: string): string {
    const agreed = this.agreement.offered(offer, (found) => this.#requireMedia(found));
    this.#agreed = agreed;
    return agreed.answer;
  }

  /** Takes a provisional response. */
  onProvisional(response: SipResponse): void {
    this.cameFrom(response.source);
    const sdp = sessionDescriptionIn(response);
    const tag = tagOf(response.headers.get('to')) ?? '';
    if (sdp !== undefined && (this.#early.has(tag) || this.#early.size < MAX_EARLY))
      this.#early.set(tag, sdp);
  }

  /**
   * The peer's first answer; empty when ours was the answer.
   *
   * RFC 3261 §13.2.1 repeats an answer from an unreliable provisional response in the 2xx; some PSTN gateways leave it out.
   */
  firstAnswerIn(accepted: SipResponse, acknowledged: string | undefined): string {
    if (this.#agreed) return '';
    // An incoming call without an offer: our 2xx was the offer.
    if (this.#startup.incoming) return acknowledged ?? '';
    const answer = sessionDescriptionIn(accepted);
    if (answer !== undefined) return answer;
    // The tag tells the dialog, whatever else To says (RFC 3261 §12.1.2).
    return this.#early.get(tagOf(accepted.headers.get('to')) ?? '') ?? '';
  }

  /**
   * What the media session starts with, from {@link firstAnswerIn}. Throws if there is no common codec, or if RTP must not be
   * sent to the described address.
   */
  begin(answer: string, accepted: SipResponse): Parameters<MediaSession['start']>[0] {
    const updated = this.#updated.get(tagOf(accepted.headers.get('to')) ?? '');
    const state = updated?.state ?? this.#firstState;
    if (state !== undefined) this.agreement.restore(state);
    const { media, slides } =
      this.#agreed ??
      // RFC 6337 §3.1.1: what the 200 describes after that changes nothing.
      updated?.agreed ??
      this.agreement.answered(answer, (agreed) => this.#requireMedia(agreed));
    this.#slides = slides;
    // Behind a proxy the peer's own address is unknown.
    const isDirect = !this.#startup.outboundProxy && !accepted.headers.get('record-route');
    const signallingAddress = isDirect ? this.#peerAddress : undefined;
    return { ...media, ...(signallingAddress && { signallingAddress }) };
  }

  /** Answers an offer inside the call. `held`: either side now holds the call. */
  onReoffer(
    sdp: string,
    earlyTag?: string,
  ): { readonly answer: string; readonly held: boolean } | Refusal {
    const { hosts } = this.agreement;
    if (!hosts.knows(sdp)) {
      // The answer cannot wait for DNS. The peer retries (RFC 3261 §21.5.1).
      void hosts.lookUp(sdp);
      const headers = [['retry-after', '2']] as const;
      return { statusCode: 500, reasonPhrase: 'Host Name Not Looked Up Yet', headers };
    }
    try {
      if (earlyTag !== undefined) return this.#onEarlyOffer(sdp, earlyTag);
      return this.agreement.offered(sdp, (agreed) => this.#apply(agreed));
    } catch (error) {
      this.warn(`unusable offer: ${describe(error)}`);
      const headers = [warningOf(error)];
      return { statusCode: 488, reasonPhrase: 'Not Acceptable Here', headers };
    }
  }

  /** An UPDATE in an early dialog whose provisional response has answered our offer (RFC 3311 §5.2). Nothing is sent yet. */
  #onEarlyOffer(sdp: string, tag: string): { readonly answer: string; readonly held: boolean } {
    const { agreement } = this;
    this.#firstState ??= agreement.state;
    const before = this.#updated.get(tag);
    agreement.restore(before?.state ?? this.#firstState);
    const require = (agreed: Agreed): void => this.#requireMedia(agreed);
    if (before === undefined) agreement.answered(this.#early.get(tag) ?? '', require);
    const agreed = agreement.offered(sdp, require);
    this.#updated.set(tag, { agreed, state: agreement.state });
    return agreed;
  }

  /**
   * Takes the answer to our offer inside the call.
   * @returns whether either side now holds the call
   * @throws SipError; the session then continues unchanged
   */
  onReanswer(sdp: string): boolean {
    try {
      return this.agreement.answered(sdp, (agreed) => this.#apply(agreed)).held;
    } catch (error) {
      this.warn(`unusable answer: ${describe(error)}`);
      throw error;
    }
  }

  /** Logs what is wrong with a description. */
  warn(problem: string): void {
    this.#logger.warn(problem);
  }

  #requireMedia(agreed: Agreed): void {
    const { media } = agreed;
    if (media.audio || media.video) return this.#requireDestinations(agreed);
    throw Object.assign(new Error('No medium with a codec in common'), {
      code: 'NO_COMMON_CODECS',
    });
  }

  #requireDestinations({ media, slides }: Agreed): void {
    const all = [media, ...(slides ? [{ video: slides }] : [])];
    const silent = all.flatMap((one) => [
      ...(this.#destinations?.check(one, this.#peerAddress) ?? []),
    ]);
    if (silent.length === 0) return;
    this.warn(
      `no RTP to ${silent.join(', ')}, which may not be connected to: waiting for the peer's media`,
    );
  }

  #apply(agreed: Agreed): void {
    this.#requireDestinations(agreed);
    this.#media.update({ ...agreed.media, held: agreed.held });
    this.#slides = agreed.slides;
  }
}
