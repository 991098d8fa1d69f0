// The typed client of the HTTP API, shared by the examples.

import { RestClient, RestClientError } from '@sipcast/rest/client';

const { SIPCAST_URL: url = 'http://127.0.0.1:8081/rest-api', SIPCAST_BASIC_AUTH } = process.env;

function accountOf(text: string): { username: string; password: string } {
  const colon = text.indexOf(':');
  return { username: text.slice(0, colon), password: text.slice(colon + 1) };
}

/** Client for the server at `SIPCAST_URL`, with the account in `SIPCAST_BASIC_AUTH`. */
export const client = new RestClient({
  url,
  ...(SIPCAST_BASIC_AUTH && { basicAuth: accountOf(SIPCAST_BASIC_AUTH) }),
});

/** The error message, with the status and code of the server's response. */
export function problemOf(error: unknown): string {
  if (error instanceof RestClientError) return `${error.status} ${error.code}: ${error.message}`;
  return error instanceof Error ? error.message : String(error);
}
