// What a call and its peer have agreed on: our description, the peer's, offers that are open, hold (RFC 3264).

import type { NegotiatedMedia } from '@sipcast/media';
import { answerReoffer, formatOffer, parseAnswer } from '@sipcast/sip';
import type {
  AnsweredMedia,
  CodecDescription,
  MediaDirection,
  OfferedMedia,
  SessionDescription,
} from '@sipcast/sip';
import { MediaHosts } from './media-hosts.ts';
import type { ResolveHost } from './media-hosts.ts';
import { describeSession, isHeld, negotiatedMedia } from './negotiation.ts';

const KINDS = ['audio', 'video'] as const;

/** The outcome of an offer and its answer. */
export interface Agreed {
  readonly media: NegotiatedMedia;
  /** Either side holds the call. */
  readonly held: boolean;
}

/**
 * The offers and answers of one call. All methods throw SipError `BAD_SDP` or `NO_COMMON_CODECS`, or an error with the code
 * `UNRESOLVED` for a host that `hosts` was not asked for before or did not find, and then change nothing.
 */
export class SessionAgreement {
  /** What the peer's descriptions name. */
  readonly hosts: MediaHosts;
  #description: SessionDescription | undefined;
  /** Our offer that waits for its answer. */
  #open: { readonly description: SessionDescription; readonly holding: boolean } | undefined;
  /** What the peer answered, or offered, at first: what hold is told by. */
  #before: readonly AnsweredMedia[] | undefined;
  /** Media that were encrypted once: they never go on in the clear. */
  readonly #secured = new Set<'audio' | 'video'>();
  #remote: string | null = null;
  #holding = false;
  /** Answers that wait for what they name, one after the other. */
  #reading: Promise<void> | undefined;

  constructor(resolveHost: ResolveHost) {
    this.hosts = new MediaHosts(resolveHost);
  }

  /** The peer's newest description; `null` before the first. */
  get remote(): string | null {
    return this.#remote;
  }

  /** We have put the call on hold. */
  get holding(): boolean {
    return this.#holding;
  }

  /** What we can do: before anything else, once. */
  describe(parts: Parameters<typeof describeSession>[0]): void {
    this.#description = describeSession(parts);
  }

  /** Our first offer. */
  firstOffer(): string {
    const description = this.#mine();
    this.#open = { description, holding: false };
    return formatOffer(description);
  }

  /** An offer of everything that we can do, where the peer asks for one; a call that we hold stays on hold. */
  freshOffer(): string {
    return this.#offer(this.#holding, everything(this.#mine()));
  }

  /** An offer that puts the call on hold, or takes it back. */
  holdOffer(holding: boolean): string {
    return this.#offer(holding);
  }

  /** The peer has refused our newest offer, or given no usable answer. */
  withdrawOffer(): void {
    this.#open = undefined;
  }

  /** Until this resolves, an answer of the peer's waits for the addresses of its hosts; it never rejects. */
  get reading(): Promise<void> | undefined {
    return this.#reading;
  }

  /**
   * Calls `use` when the hosts that an answer names are looked up, and the answers before it are in use: at once where nothing
   * is to be waited for. Rejects, or throws, what `use` throws.
   */
  read(answer: string, use: () => void): Promise<void> | undefined {
    if (this.#reading === undefined && this.hosts.knows(answer)) {
      use();
      return undefined;
    }
    const before = this.#reading ?? Promise.resolve();
    const read = before.then(() => this.hosts.lookUp(answer)).then(use);
    const settled = read
      .catch(() => {})
      .then(() => {
        if (this.#reading === settled) this.#reading = undefined;
      });
    this.#reading = settled;
    return read;
  }

  /** The peer's answer to our newest offer. `apply` runs before anything is changed here, and may refuse by throwing. */
  answered(sdp: string, apply: (agreed: Agreed) => void): Agreed {
    const open = this.#open;
    const description = open?.description ?? this.#mine();
    const peer = parseAnswer(description, this.hosts.withAddresses(sdp));
    return this.#agree(description, peer, sdp, open?.holding ?? this.#holding, apply);
  }

  /** The peer's offer, and our answer to it. `apply` as in {@link answered}. */
  offered(sdp: string, apply: (agreed: Agreed) => void): Agreed & { readonly answer: string } {
    const readable = this.hosts.withAddresses(sdp);
    const { sdp: answer, description, peer } = answerReoffer(this.#mine(), readable);
    return { ...this.#agree(description, peer, sdp, this.#holding, apply), answer };
  }

  #agree(
    description: SessionDescription,
    peer: readonly AnsweredMedia[],
    sdp: string,
    holding: boolean,
    apply: (agreed: Agreed) => void,
  ): Agreed {
    const media = negotiatedMedia(description, peer);
    this.#refuseDowngrade(media);
    const heldByPeer = this.#before !== undefined && isHeld(peer, this.#before);
    const agreed = { media, held: heldByPeer || holding };
    apply(agreed);
    this.#open = undefined;
    for (const kind of KINDS) if (media[kind]?.srtp !== undefined) this.#secured.add(kind);
    this.#description = description;
    this.#holding = holding;
    this.#remote = sdp;
    // Held by us, the peer says nothing of what it would do otherwise.
    if (!holding) this.#before ??= peer;
    return agreed;
  }

  /** Whoever spoke in secret is not made to speak in the open by a message in between: `optional` is for the beginning. */
  #refuseDowngrade(media: NegotiatedMedia): void {
    const open = KINDS.find(
      (kind) =>
        this.#secured.has(kind) && media[kind] !== undefined && media[kind].srtp === undefined,
    );
    if (open === undefined) return;
    const problem = `${open} was encrypted, and would go on in the clear`;
    throw Object.assign(new Error(problem), { code: 'BAD_SDP' });
  }

  #offer(holding: boolean, current = this.#mine()): string {
    const media = current.media.map((one): OfferedMedia => {
      const full = fullDirection(one);
      const direction = holding ? heldDirection(full) : full;
      const codecs = one.capability?.codecs ?? one.codecs;
      // What the peer offers meanwhile is answered within these bounds, too.
      return { ...one, direction, capability: { codecs, direction, full } };
    });
    const description = { ...current, media, sessionVersion: current.sessionVersion + 1 };
    this.#open = { description, holding };
    return formatOffer(description);
  }

  #mine(): SessionDescription {
    if (this.#description === undefined) throw new Error('Nothing was described yet');
    return this.#description;
  }
}

/**
 * All our media with all their codecs, in the places that they have (RFC 3264 §8): what the peer calls by a payload type
 * keeps it, and a medium that it refused, or never knew, is offered again (RFC 6337 §5.3).
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
  const absent = media.map((_, index) => index).filter((index) => !sections.includes(index));
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

/** What the medium does when nobody holds the call. */
function fullDirection({ capability, direction }: OfferedMedia): MediaDirection {
  return capability?.full ?? capability?.direction ?? direction;
}

/** RFC 3264 §8.4: the peer is told to send nothing. */
function heldDirection(direction: MediaDirection): MediaDirection {
  return direction === 'sendrecv' || direction === 'sendonly' ? 'sendonly' : 'inactive';
}
