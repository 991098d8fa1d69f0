// What a call and its peer have agreed on: both descriptions, the open offer, hold (RFC 3264).

import type { NegotiatedMedia, NegotiatedMedium } from '@sipcast/media';
import { answerReoffer, formatOffer, parseAnswer } from '@sipcast/sip';
import type {
  AnsweredMedia,
  CodecDescription,
  MediaDirection,
  OfferedMedia,
  RemoteMedia,
  ServedSection,
  SessionDescription,
} from '@sipcast/sip';
import { MediaHosts } from './media-hosts.ts';
import type { ResolveHost } from './media-hosts.ts';
import { describeSession, isHeld, negotiatedMedia, negotiatedSlides } from './negotiation.ts';

const KINDS = ['audio', 'video', 'slides'] as const;
type Kind = (typeof KINDS)[number];

/** The outcome of an offer and its answer. */
export interface Agreed {
  readonly media: NegotiatedMedia;
  /** The second video; undefined: there is none. */
  readonly slides: NegotiatedMedium | undefined;
  /** Either side holds the call. */
  readonly held: boolean;
}

/** An offer and its answer. */
interface Exchange {
  readonly description: SessionDescription;
  readonly peer: readonly AnsweredMedia[];
  /** The peer's description as it came. */
  readonly sdp: string;
  /** We hold the call. */
  readonly holding: boolean;
}

interface OpenOffer {
  readonly description: SessionDescription;
  readonly holding: boolean;
}

/** See {@link SessionAgreement.state}. */
export interface AgreementState {
  readonly description: SessionDescription | undefined;
  readonly open: OpenOffer | undefined;
  readonly before: readonly AnsweredMedia[] | undefined;
  readonly remote: string | null;
  readonly holding: boolean;
  readonly secured: readonly Kind[];
}

/**
 * The offers and answers of one call. Methods throw SipError `BAD_SDP` or `NO_COMMON_CODECS`, or an error with code `UNRESOLVED`
 * for a host that `hosts` has not looked up or did not find; the agreement then stays as it was.
 */
export class SessionAgreement {
  /** The hosts that the peer's descriptions name. */
  readonly hosts: MediaHosts;
  #description: SessionDescription | undefined;
  /** Our offer that has no answer yet. */
  #open: OpenOffer | undefined;
  /** The peer's first answer or offer: hold is detected by comparison with it. */
  #before: readonly AnsweredMedia[] | undefined;
  /** Media that were encrypted once must stay encrypted. */
  readonly #secured = new Set<Kind>();
  #remote: string | null = null;
  #holding = false;
  /** Answers that wait for host lookups, one after the other. */
  #reading: Promise<void> | undefined;

  constructor(resolveHost: ResolveHost) {
    this.hosts = new MediaHosts(resolveHost);
  }

  /** All that was agreed on so far, to {@link restore} later: each early dialog of a forked call has a state of its own. */
  get state(): AgreementState {
    return {
      description: this.#description,
      open: this.#open,
      before: this.#before,
      remote: this.#remote,
      holding: this.#holding,
      secured: [...this.#secured],
    };
  }

  /** Goes back to a state of this agreement. */
  restore(state: AgreementState): void {
    this.#description = state.description;
    this.#open = state.open;
    this.#before = state.before;
    this.#remote = state.remote;
    this.#holding = state.holding;
    this.#secured.clear();
    for (const kind of state.secured) this.#secured.add(kind);
  }

  /** The peer's latest description; `null` before the first. */
  get remote(): string | null {
    return this.#remote;
  }

  /** We have put the call on hold. */
  get holding(): boolean {
    return this.#holding;
  }

  /** Describes what we can send and receive. Called once, before anything else. */
  describe(parts: Parameters<typeof describeSession>[0]): void {
    this.#description = describeSession(parts);
  }

  /**
   * Sets the m-line for slides, before an offer of the peer that has them is answered. With port 0 they are refused. Not in our
   * own offers until the peer has offered them.
   */
  setSlides(slides: OfferedMedia): void {
    this.#description = withSlides(this.#mine(), slides);
    if (this.#open)
      this.#open = { ...this.#open, description: withSlides(this.#open.description, slides) };
  }

  /** The ports of the slides are closed: they are refused until {@link setSlides}. */
  removeSlides(): void {
    const slides = this.#mine().media.find(({ content }) => content === 'slides');
    if (slides) this.setSlides({ ...slides, port: 0, rtcpPort: 0 });
    // Keys are made again with the next slides.
    this.#secured.delete('slides');
  }

  /** Answers the peer's sections that are neither audio nor video. Default: they are refused. */
  serve: (section: RemoteMedia) => ServedSection | undefined = () => undefined;

  /** Our first offer. */
  firstOffer(): string {
    const description = this.#mine();
    this.#open = { description, holding: false };
    return formatOffer(description);
  }

  /** A full offer, when the peer asks for one. A call that we hold stays on hold. */
  freshOffer(): string {
    const { description } = this.#offer(this.#holding, everything(this.#mine()));
    return formatOffer(description);
  }

  /** An offer that puts the call on hold, or resumes it. */
  holdOffer(holding: boolean): string {
    const { description } = this.#offer(holding);
    return formatOffer({
      ...description,
      media: description.media.map((one) => this.#asAgreed(one)),
    });
  }

  /**
   * Without keys where the medium goes on in the clear. Seen in: Janus, which answers such keys with none, and then discards
   * everything that is not encrypted with them.
   */
  #asAgreed(medium: OfferedMedia): OfferedMedia {
    if (medium.requiresCrypto === true || this.#secured.has(medium.content ?? medium.kind))
      return medium;
    const { crypto: _, ...inTheClear } = medium;
    return inTheClear;
  }

  /** The peer refused our latest offer, or gave no usable answer. */
  withdrawOffer(): void {
    this.#open = undefined;
  }

  /** Pending while an answer of the peer waits for host lookups. Never rejects. */
  get reading(): Promise<void> | undefined {
    return this.#reading;
  }

  /**
   * Calls `use` when the hosts that an answer names are looked up and earlier answers are in use; at once if there is nothing to
   * wait for. Throws or rejects with what `use` throws.
   */
  read(answer: string, use: () => void): Promise<void> | undefined {
    if (this.#reading === undefined && this.hosts.knows(answer)) {
      use();
      return undefined;
    }
    const before = this.#reading ?? Promise.resolve();
    const read = before.then(() => this.hosts.lookUp(answer)).then(use);
    const settled = read
      .catch(() => {
        // Ignored: `read` rejects with it.
      })
      .then(() => {
        if (this.#reading === settled) this.#reading = undefined;
      });
    this.#reading = settled;
    return read;
  }

  /** Takes the peer's answer to our latest offer. `apply` runs before the agreement changes, and may refuse by throwing. */
  answered(sdp: string, apply: (agreed: Agreed) => void): Agreed {
    const open = this.#open;
    const description = open?.description ?? this.#mine();
    const peer = parseAnswer(description, this.hosts.withAddresses(sdp));
    return this.#agree({ description, peer, sdp, holding: open?.holding ?? this.#holding }, apply);
  }

  /** Answers the peer's offer. `apply` as in {@link answered}. */
  offered(sdp: string, apply: (agreed: Agreed) => void): Agreed & { readonly answer: string } {
    const readable = this.hosts.withAddresses(sdp);
    const {
      sdp: answer,
      description,
      peer,
    } = answerReoffer(this.#mine(), readable, (section) => this.serve(section));
    return { ...this.#agree({ description, peer, sdp, holding: this.#holding }, apply), answer };
  }

  #agree({ description, peer, sdp, holding }: Exchange, apply: (agreed: Agreed) => void): Agreed {
    const media = negotiatedMedia(description, peer);
    const slides = negotiatedSlides(description, peer);
    const byKind = { ...media, slides };
    this.#refuseDowngrade(byKind);
    const heldByPeer = this.#before !== undefined && isHeld(peer, this.#before);
    const agreed = { media, slides, held: heldByPeer || holding };
    apply(agreed);
    this.#open = undefined;
    for (const kind of KINDS) if (byKind[kind]?.srtp !== undefined) this.#secured.add(kind);
    this.#description = description;
    this.#holding = holding;
    this.#remote = sdp;
    // While we hold the call, the peer's answer does not show what it would do otherwise.
    if (!holding) this.#before ??= peer;
    return agreed;
  }

  /** An encrypted medium cannot be downgraded: `optional` applies to the first agreement only. */
  #refuseDowngrade(media: Readonly<Partial<Record<Kind, NegotiatedMedium | undefined>>>): void {
    const open = KINDS.find(
      (kind) =>
        this.#secured.has(kind) && media[kind] !== undefined && media[kind].srtp === undefined,
    );
    if (open === undefined) return;
    const problem = `${open} was encrypted, and would go on in the clear`;
    throw Object.assign(new Error(problem), { code: 'BAD_SDP' });
  }

  #offer(holding: boolean, current = this.#mine()): OpenOffer {
    const media = current.media.map((one): OfferedMedia => {
      const full = fullDirection(one);
      const direction = holding ? heldDirection(full) : full;
      const codecs = one.capability?.codecs ?? one.codecs;
      // An offer from the peer in the meantime is answered within the same limits.
      return { ...one, direction, capability: { codecs, direction, full } };
    });
    const description = { ...current, media, sessionVersion: current.sessionVersion + 1 };
    this.#open = { description, holding };
    return this.#open;
  }

  #mine(): SessionDescription {
    if (this.#description === undefined) throw new Error('Nothing was described yet');
    return this.#description;
  }
}

/** In place of the m-line for slides that is there, or behind the others and in no offer yet. */
function withSlides(current: SessionDescription, slides: OfferedMedia): SessionDescription {
  const { media, sections = media.map((_, index) => index) } = current;
  const at = media.findIndex(({ content }) => content === 'slides');
  return {
    ...current,
    media: at < 0 ? [...media, slides] : media.with(at, slides),
    sections,
  };
}

/**
 * All our media with all their codecs, in the same m-line positions (RFC 3264 §8): payload types in use stay, and a medium that
 * the peer refused or did not know is offered again (RFC 6337 §5.3).
 */
function everything(current: SessionDescription): SessionDescription {
  const media = current.media.map((one): OfferedMedia => {
    const taken = new Set(one.codecs.flatMap((codec) => [codecKey(codec), codec.payloadType]));
    const others = (one.capability?.codecs ?? []).filter(
      (codec) => !taken.has(codecKey(codec)) && !taken.has(codec.payloadType),
    );
    return { ...one, codecs: [...one.codecs, ...others] };
  });
  const { sections } = current;
  if (sections === undefined) return { ...current, media };
  const absent = media
    .map((_, index) => index)
    .filter((index) => media[index]?.content === undefined && !sections.includes(index));
  const order = sections.map((section) => {
    if (typeof section === 'number') return section;
    const at = absent.findIndex((index) => media[index]?.kind === section.type.toLowerCase());
    return at < 0 ? section : (absent.splice(at, 1)[0] ?? section);
  });
  return { ...current, media, sections: [...order, ...absent] };
}

function codecKey({ encodingName, clockRateHz, channels = 1, fmtp }: CodecDescription): string {
  const mode = /packetization-mode=(\d)/.exec(fmtp ?? '')?.[1] ?? '0';
  return `${encodingName.toLowerCase()}/${clockRateHz}/${channels}/${mode}`;
}

/** The direction of the medium when neither side holds the call. */
function fullDirection({ capability, direction }: OfferedMedia): MediaDirection {
  return capability?.full ?? capability?.direction ?? direction;
}

/** RFC 3264 §8.4: asks the peer to stop sending. */
function heldDirection(direction: MediaDirection): MediaDirection {
  return direction === 'sendrecv' || direction === 'sendonly' ? 'sendonly' : 'inactive';
}
