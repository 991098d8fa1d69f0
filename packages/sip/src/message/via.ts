// Via values (RFC 3261 §20.42, §25.1).

import { formatParameters, NO_PARAMETERS, type Parameters, scanParameters } from './parameters.ts';
import { decimal, isToken, skipSpace, skipToken, syntaxError } from './scan.ts';
import { formatHostPort, hostText, skipHost } from './uri.ts';

/** One Via value (RFC 3261 §20.42). */
export interface Via {
  /** Upper-case, e.g. `UDP`. */
  readonly transport: string;
  /** From sent-by; lower-case, an IPv6 address without brackets. */
  readonly host: string;
  /** From sent-by, if present. */
  readonly port?: number;
  readonly parameters: Parameters;
}

interface ViaLayout {
  readonly transportFrom: number;
  readonly transportTo: number;
  readonly hostFrom: number;
  readonly hostTo: number;
  readonly port: number;
  readonly parametersFrom: number;
}

function locateVia(text: string): ViaLayout {
  let at = skipSpace(text, 0);
  let from = at;
  // sent-protocol = protocol-name SLASH protocol-version SLASH transport, with LWS around each SLASH
  for (let part = 0; part < 3; part++) {
    from = at;
    at = skipToken(text, from);
    if (at === from) throw syntaxError('Via', 'Bad sent-protocol');
    if (part === 2) break;
    at = skipSpace(text, at);
    if (text.charCodeAt(at) !== 0x2f) throw syntaxError('Via', 'Bad sent-protocol');
    at = skipSpace(text, at + 1);
  }
  const transportTo = at;
  const hostFrom = skipSpace(text, at);
  if (hostFrom === at) throw syntaxError('Via', 'No space before sent-by');
  const hostTo = skipHost(text, hostFrom, text.length);
  if (hostTo < 0) throw syntaxError('Via', 'Bad host in sent-by');
  at = skipSpace(text, hostTo);
  let port = -1;
  if (text.charCodeAt(at) === 0x3a) {
    const portFrom = skipSpace(text, at + 1);
    at = skipToken(text, portFrom);
    port = decimal(text, portFrom, at, 65535);
    if (port < 0) throw syntaxError('Via', 'Bad port in sent-by');
  }
  return { transportFrom: from, transportTo, hostFrom, hostTo, port, parametersFrom: at };
}

/** Validates without allocating strings. @throws SipError `SYNTAX` where `parseVia` would */
export function checkVia(text: string): void {
  scanParameters(text, locateVia(text).parametersFrom, 'Via');
}

/**
 * Parses one Via value. Accepts any protocol name and version, as the RFC's grammar does.
 *
 * @throws SipError `SYNTAX`.
 */
export function parseVia(text: string): Via {
  const parameters = new Map<string, string>();
  const at = locateVia(text);
  scanParameters(text, at.parametersFrom, 'Via', parameters);
  return viaOf(text, at, parameters);
}

/** The part of a Via value before its malformed parameters, or `undefined` if that does not parse either. */
export function salvageVia(text: string): Via | undefined {
  try {
    return viaOf(text, locateVia(text), NO_PARAMETERS);
  } catch {
    return undefined;
  }
}

function viaOf(text: string, at: ViaLayout, parameters: Parameters): Via {
  return {
    transport: text.slice(at.transportFrom, at.transportTo).toUpperCase(),
    host: hostText(text, at.hostFrom, at.hostTo),
    ...(at.port >= 0 && { port: at.port }),
    parameters,
  };
}

/** The Via value, with protocol `SIP/2.0`. @throws SipError `SYNTAX` if a part cannot be written */
export function formatVia(via: Via): string {
  if (!isToken(via.transport)) throw syntaxError('transport', 'Transport is not a token');
  return `SIP/2.0/${via.transport.toUpperCase()} ${formatHostPort(via.host, via.port)}${formatParameters(via.parameters)}`;
}
