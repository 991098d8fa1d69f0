// A trace of each call: a span for the call with every status, and one inside it for each push. This example writes
// them to the console; an application registers its own provider.
//
//   npm run -s example examples/opentelemetry.ts sip:phone@192.0.2.5 rtmp://127.0.0.1/live camera

import { setTimeout as sleep } from 'node:timers/promises';
import { context, SpanStatusCode, trace } from '@opentelemetry/api';
import type { Span } from '@opentelemetry/api';
import {
  BasicTracerProvider,
  ConsoleSpanExporter,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { createCallGateway } from '@sipcast/core';
import type { CallGateway } from '@sipcast/core';

const [callee, rtmpUrl, rtmpStream] = process.argv.slice(2);
if (callee === undefined || rtmpUrl === undefined || rtmpStream === undefined) {
  console.error('Usage: opentelemetry <callee> <rtmpUrl> <rtmpStream>');
  process.exit(2);
}

/**
 * Spans for the calls and pushes of a gateway. They contain nothing that could be secret, in particular no RTMP URL.
 */
function traceCalls(gateway: CallGateway): void {
  const tracer = trace.getTracer('sipcast');
  const calls = new Map<string, Span>();
  const pushes = new Map<string, Span>();
  gateway.on('call', ({ callId }) => {
    calls.set(callId, tracer.startSpan('call', { attributes: { 'sip.call_id': callId } }));
  });
  gateway.on('callChange', (_call, { callId, status, sipStatus, info }, changed) => {
    const span = calls.get(callId);
    if (changed.includes('status')) span?.addEvent(status);
    if (sipStatus !== null) span?.setAttribute('sip.status_code', sipStatus);
    if (status === 'FAILED')
      span?.setStatus({ code: SpanStatusCode.ERROR, message: info ?? status });
  });
  gateway.on('callClosed', ({ callId }) => {
    calls.get(callId)?.end();
    calls.delete(callId);
  });
  gateway.on('pushChange', ({ mediaSessionId, status }, callId) => {
    let span = pushes.get(mediaSessionId);
    if (span === undefined) {
      const parent = calls.get(callId);
      const within = parent ? trace.setSpan(context.active(), parent) : context.active();
      span = tracer.startSpan('push', {}, within);
      pushes.set(mediaSessionId, span);
    }
    span.addEvent(status);
  });
  gateway.on('pushClosed', ({ mediaSessionId, bytesSent, reconnects }) => {
    const span = pushes.get(mediaSessionId);
    span?.setAttributes({ 'rtmp.bytes_sent': bytesSent, 'rtmp.reconnects': reconnects }).end();
    pushes.delete(mediaSessionId);
  });
}

const provider = new BasicTracerProvider({
  spanProcessors: [new SimpleSpanProcessor(new ConsoleSpanExporter())],
});
trace.setGlobalTracerProvider(provider);

const callGateway = await createCallGateway();
traceCalls(callGateway);
try {
  const call = await callGateway.startup({ callee, rtmpUrl, rtmpStream });
  await call.established();
  const seconds = Number(process.env['SECONDS_ON_AIR'] ?? 10);
  await Promise.race([sleep(seconds * 1000, undefined, { ref: false }), call.closed()]);
} catch {
  // The span contains the reason.
  process.exitCode = 1;
} finally {
  await callGateway.close();
  await provider.shutdown();
}
