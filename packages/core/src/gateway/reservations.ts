// Names that only one live call may have: its Call-ID, its stream's name, the RTMP stream that it publishes.

import type { GatewayCall } from '../call/gateway-call.ts';
import { GatewayError } from '../errors.ts';

/** What a call asks for. */
export interface Reserved {
  readonly callId: string;
  readonly toStream: string;
  readonly rtmpUrl: string | null;
  readonly rtmpStream: string | null;
}

/** Names of calls that are starting, checked against those of live calls. */
export class Reservations {
  readonly #calls: ReadonlyMap<string, GatewayCall>;
  readonly #hasStream: (name: string) => boolean;
  readonly #names = new Set<string>();

  /**
   * @param calls - The live ones, by Call-ID.
   * @param hasStream - Whether a live stream has this name.
   */
  constructor(calls: ReadonlyMap<string, GatewayCall>, hasStream: (name: string) => boolean) {
    this.#calls = calls;
    this.#hasStream = hasStream;
  }

  /** Whether a call that is starting will have this stream. */
  hasStream(name: string): boolean {
    return this.#names.has(`stream ${name}`);
  }

  /**
   * Reserves the name of a further stream.
   * @returns releases the name
   * @throws GatewayError `STREAM_EXISTS`
   */
  takeStream(name: string): () => void {
    if (this.#hasStream(name) || this.hasStream(name))
      throw new GatewayError('STREAM_EXISTS', `A live stream has the name ${name}`);
    this.#names.add(`stream ${name}`);
    return () => {
      this.#names.delete(`stream ${name}`);
    };
  }

  /**
   * @returns releases the names; call it when the call is live or has failed
   * @throws GatewayError `CALL_EXISTS`, `STREAM_EXISTS`, `RTMP_STREAM_EXISTS`
   */
  take({ callId, toStream, rtmpUrl, rtmpStream }: Reserved): () => void {
    const names = [`call ${callId}`, `stream ${toStream}`];
    if (this.#calls.has(callId) || this.#names.has(`call ${callId}`)) {
      throw new GatewayError('CALL_EXISTS', 'A live call has this callId', { field: 'callId' });
    }
    if (this.#hasStream(toStream) || this.hasStream(toStream)) {
      const problem = 'A live stream has this name';
      throw new GatewayError('STREAM_EXISTS', problem, { field: 'toStream' });
    }
    if (rtmpUrl !== null) {
      const target = `rtmp ${rtmpUrl} ${rtmpStream}`;
      names.push(target);
      const taken = [...this.#calls.values()].some(
        ({ request }) => request.rtmpUrl === rtmpUrl && request.rtmpStream === rtmpStream,
      );
      if (taken || this.#names.has(target)) {
        throw new GatewayError('RTMP_STREAM_EXISTS', 'A live call publishes there', {
          field: 'rtmpStream',
        });
      }
    }
    for (const name of names) this.#names.add(name);
    return () => {
      for (const name of names) this.#names.delete(name);
    };
  }
}
