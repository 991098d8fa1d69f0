// Which calls of a gateway are recorded, and where.

import type { OutputForm } from '@sipcast/media';
import type { GatewayCall } from '../call/gateway-call.ts';
import { invalidArgument } from '../errors.ts';
import { childLogger } from '../logger.ts';
import { keyFrameIntervalOf } from '../stream/output-form.ts';
import { Recording } from '../stream/recording.ts';
import type { RecordingDeps, RecordingOptions } from '../stream/recording.ts';

/** Begins recordings of calls. */
export class Recordings {
  readonly #options: RecordingOptions | undefined;
  readonly #keyFrameIntervalMs: number | undefined;
  readonly #deps: RecordingDeps;

  /**
   * @param options - Undefined: only calls that name a folder can be recorded.
   * @param keyFrameIntervalMs - The gateway's.
   */
  constructor(
    options: RecordingOptions | undefined,
    keyFrameIntervalMs: number | undefined,
    deps: RecordingDeps,
  ) {
    this.#options = options;
    this.#keyFrameIntervalMs = keyFrameIntervalMs;
    this.#deps = deps;
  }

  /** Where a call shall be recorded; undefined: not at all. @throws GatewayError `INVALID_ARGUMENT` naming `record`. */
  dirOf(record: boolean | { readonly dir: string }): string | undefined {
    if (record === false) return undefined;
    const dir = record === true ? this.#options?.dir : record.dir;
    if (dir === undefined)
      throw invalidArgument('record', 'needs a folder: the gateway has no recording.dir');
    return dir;
  }

  /** Records a call from now on, until it ends. @param intervalMs - The call's `keyFrameIntervalMs`. */
  start(call: GatewayCall, dir: string, form: OutputForm, intervalMs: number | undefined): void {
    const recording = new Recording(
      call.stream.name,
      { ...this.#options, dir },
      (file) => call.emit('recorded', file),
      {
        ...this.#deps,
        logger: childLogger(this.#deps.logger, { area: 'media', callId: call.callId }),
      },
    );
    const keyFrameIntervalMs = keyFrameIntervalOf(intervalMs ?? this.#keyFrameIntervalMs);
    call.stream.addOutput(recording, form, {
      ...(keyFrameIntervalMs !== undefined && { keyFrameIntervalMs }),
    });
  }
}
