// The ends of a call under test, each closed when the test ends: a gateway, a phone, and an RTMP server.

import { createCallGateway } from '@sipcast/core';
import type { CallGateway, CallGatewayOptions } from '@sipcast/core';
import { RtmpSink, SipPeer } from '@sipcast/testkit';
import type { RtmpSinkOptions, SipPeerOptions } from '@sipcast/testkit';
import { afterTest } from './cleanup.ts';

/** Opens a gateway on 127.0.0.1. It needs no ffmpeg; `transcoding: {}` turns encoding on. */
export async function openGateway(options: CallGatewayOptions = {}): Promise<CallGateway> {
  const gateway = await createCallGateway({
    bindAddress: '127.0.0.1',
    transcoding: false,
    ...options,
  });
  afterTest(() => gateway.close());
  return gateway;
}

/** Opens a phone on 127.0.0.1. Without a script it answers at once, with sound and pictures. */
export async function openPhone(options: SipPeerOptions = {}): Promise<SipPeer> {
  const phone = await SipPeer.open(options);
  afterTest(() => phone.close());
  return phone;
}

/** Opens an RTMP server on 127.0.0.1 that keeps what is published to it. */
export async function openSink(options: RtmpSinkOptions = {}): Promise<RtmpSink> {
  const sink = await RtmpSink.open(options);
  afterTest(() => sink.close());
  return sink;
}
