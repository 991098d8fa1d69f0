// All SIP of a gateway as a pcap file. Written in order in the background; messages that the disk is too slow for are dropped
// and counted.

import { open, rename } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { maskSecrets, pcapFileHeader, pcapRecord } from '@sipcast/sip';
import type { SipTraffic } from '@sipcast/sip';

/** Octets that may be queued for the disk. */
const MAX_WAITING_BYTES = 4 << 20;

/** Options of a capture. */
export interface SipCaptureOptions {
  readonly file: string;
  /** A file that reaches this size is renamed to `<file>.1`, replacing the previous one, and a new file starts. */
  readonly maxBytes: number;
  /** Keeps passwords, digests and keys. */
  readonly secrets: boolean;
}

/** What a capture reports. */
export interface SipCaptureHandler {
  /** A message was dropped; or, once, writing has failed and stopped. */
  onFault(fault: 'capture-overflow' | 'capture-failed', reason: string): void;
}

/** Writes the capture. */
export class SipCapture {
  readonly #options: SipCaptureOptions;
  readonly #handler: SipCaptureHandler;
  #file: FileHandle | undefined;
  #fileBytes = 0;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #writing: Promise<void> | undefined;
  #failed = false;

  constructor(options: SipCaptureOptions, handler: SipCaptureHandler) {
    this.#options = options;
    this.#handler = handler;
  }

  /** Creates the file, overwriting an existing one. Rejects if it cannot be written. */
  async open(): Promise<void> {
    // Readable by its owner only: who calls whom is private.
    this.#file = await open(this.#options.file, 'w', 0o600);
    const header = pcapFileHeader();
    await this.#file.write(header);
    this.#fileBytes = header.length;
  }

  record({ direction, octets, local, remote }: SipTraffic, atMs: number): void {
    if (this.#file === undefined || this.#failed) return;
    const [from, to] = direction === 'out' ? [local, remote] : [remote, local];
    const record = pcapRecord(atMs, from, to, this.#visible(octets));
    if (this.#waitingBytes + record.length > MAX_WAITING_BYTES) {
      this.#handler.onFault('capture-overflow', this.#options.file);
      return;
    }
    this.#waiting.push(record);
    this.#waitingBytes += record.length;
    this.#writing ??= this.#write();
  }

  /** Writes what is queued and closes the file. Idempotent; never rejects. */
  async close(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
    const file = this.#file;
    this.#file = undefined;
    await file?.close().catch((error: unknown) => {
      this.#handler.onFault('capture-failed', `${this.#options.file}: ${String(error)}`);
    });
  }

  #visible(octets: Uint8Array): Uint8Array {
    if (this.#options.secrets) return octets;
    // Latin-1 preserves each octet, and masks have the length of the secret: Content-Length stays correct.
    const text = Buffer.from(octets).toString('latin1');
    const masked = maskSecrets(text, (secret) => '*'.repeat(secret.length));
    return masked === text ? octets : Buffer.from(masked, 'latin1');
  }

  async #write(): Promise<void> {
    try {
      while (this.#waiting.length > 0) {
        const records = this.#waiting;
        this.#waiting = [];
        for (const record of records) {
          if (this.#fileBytes + record.length > this.#options.maxBytes) await this.#rotate();
          await this.#file?.write(record);
          this.#fileBytes += record.length;
          this.#waitingBytes -= record.length;
        }
      }
    } catch (error) {
      this.#failed = true;
      this.#waiting = [];
      this.#handler.onFault(
        'capture-failed',
        error instanceof Error ? error.message : String(error),
      );
    }
    this.#writing = undefined;
  }

  async #rotate(): Promise<void> {
    const { file } = this.#options;
    await this.#file?.close();
    await rename(file, `${file}.1`);
    await this.open();
  }
}
