// The names of our own streams.

import { invalidArgument } from '../errors.ts';

const STREAM_NAME = /^[A-Za-z0-9_~@+:-][A-Za-z0-9._~@+:-]{0,127}$/;

/** @throws GatewayError `INVALID_ARGUMENT` when this cannot be the name of a stream. */
export function checkStreamName(field: string, name: unknown): void {
  if (typeof name === 'string' && STREAM_NAME.test(name)) return;
  const problem = 'may hold letters, digits and . _ ~ @ + : - and must not begin with a dot';
  throw invalidArgument(field, problem);
}
