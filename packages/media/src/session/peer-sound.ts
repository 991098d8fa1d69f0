// What the peer hears: a sound file, else an injected stream, else silence.

import type { AudioCodec } from '../codec/codec.ts';
import { MediaError } from '../errors.ts';
import type { Sink, StreamAudio } from '../codec/frame.ts';
import type { SessionTranscoders } from '../output/rendition.ts';
import { openFileSound } from '../ffmpeg/file-sound.ts';
import { LiveSound } from '../ffmpeg/live-sound.ts';
import type { SoundSource } from '../codec/sound-source.ts';

/** Starts to push frames into the sink; returns a function that stops it. */
export type ConnectAudio = (sink: Sink<StreamAudio>) => () => void;

/** The source that an `RtpSession` plays during a call. Requests before `use` take effect then. */
export class PeerSound implements SoundSource {
  /** It never ends: without sound it is silent. */
  readonly ended = false;
  readonly #tools: Pick<SessionTranscoders, 'ffmpeg' | 'takeSoundSlot'>;
  readonly #onFault: (fault: string) => void;
  /** Codec of the line; null: the peer accepts no audio; undefined: not known yet. */
  #codec: AudioCodec | null | undefined;
  #connect: ConnectAudio | undefined;
  #live: { readonly sound: LiveSound; readonly disconnect: () => void } | undefined;
  /** File to play once the codec is known. */
  #path: string | undefined;
  #file: SoundSource | undefined;
  #freeFileSlot: (() => void) | undefined;

  /**
   * @param tools - Without `ffmpeg` there are no files, and only streams that need no decoding.
   * @param onFault - A file or stream could not be decoded; silence follows.
   */
  constructor(
    tools: Pick<SessionTranscoders, 'ffmpeg' | 'takeSoundSlot'>,
    onFault: (fault: string) => void,
  ) {
    this.#tools = tools;
    this.#onFault = onFault;
  }

  /** Sets the line's codec, or null for none. A change ends a playing file. */
  use(codec: AudioCodec | null): void {
    if (codec === this.#codec) return;
    this.#codec = codec;
    this.#closeLive();
    this.#closeFile();
    if (codec === null) return;
    if (this.#connect) this.#openLive(this.#connect, codec);
    if (this.#path === undefined) return;
    try {
      this.#openFile(this.#path, codec);
    } catch {
      // The caller of `playFile` is no longer waiting.
      this.#onFault('sound-failed');
    }
  }

  /** @throws MediaError `NOT_SENDING` */
  inject(connect: ConnectAudio | undefined): void {
    if (connect) this.#requireLine();
    this.#closeLive();
    this.#connect = connect;
    if (connect && this.#codec) this.#openLive(connect, this.#codec);
  }

  /** @throws MediaError `NO_TRANSCODER`, `NOT_SENDING`; errors of `takeSoundSlot` */
  playFile(path: string): void {
    this.#requireLine();
    if (!this.#tools.ffmpeg)
      throw new MediaError('NO_TRANSCODER', 'Decoding a sound file needs ffmpeg, which is missing');
    this.#closeFile();
    if (this.#codec) this.#openFile(path, this.#codec);
    else this.#path = path;
  }

  read(): Uint8Array | undefined {
    // Read both: the stream continues during a file, and must not pile up.
    const live = this.#live?.sound.read();
    const file = this.#file;
    if (!file) return live;
    const sound = file.read();
    if (file.ended) this.#closeFile();
    return sound ?? (this.#file ? undefined : live);
  }

  close(): void {
    this.#connect = undefined;
    this.#path = undefined;
    this.#closeLive();
    this.#closeFile();
  }

  #requireLine(): void {
    if (this.#codec === null) throw new MediaError('NOT_SENDING', 'The peer accepts no audio');
  }

  #openLive(connect: ConnectAudio, codec: AudioCodec): void {
    const { ffmpeg, takeSoundSlot } = this.#tools;
    const sound = new LiveSound(
      { codec, ...(ffmpeg && { ffmpeg }), ...(takeSoundSlot && { takeSlot: takeSoundSlot }) },
      { onFailed: () => this.#onFault('inject-failed') },
    );
    this.#live = { sound, disconnect: connect((frame) => sound.push(frame)) };
  }

  #openFile(path: string, codec: AudioCodec): void {
    this.#path = undefined;
    this.#freeFileSlot = this.#tools.takeSoundSlot?.();
    this.#file = openFileSound(
      { ffmpeg: this.#tools.ffmpeg!, path, codec },
      { onFailed: () => this.#onFault('sound-failed') },
    );
  }

  #closeLive(): void {
    this.#live?.disconnect();
    this.#live?.sound.close();
    this.#live = undefined;
  }

  #closeFile(): void {
    this.#file?.close();
    this.#file = undefined;
    this.#freeFileSlot?.();
    this.#freeFileSlot = undefined;
  }
}
