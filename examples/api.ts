// A client of the HTTP API, as small as it can be.

const { SIPCAST_URL = 'http://127.0.0.1:8081/rest-api', SIPCAST_BASIC_AUTH } = process.env;

/**
 * Calls one method. An empty answer is `undefined`.
 * @throws Error with the words of the answer, and the field at fault where there is one.
 */
export async function post(path: string, body: Record<string, unknown> = {}): Promise<unknown> {
  const headers: Record<string, string> = { 'content-type': 'application/json' };
  if (SIPCAST_BASIC_AUTH !== undefined)
    headers['authorization'] = `Basic ${btoa(SIPCAST_BASIC_AUTH)}`;
  const response = await fetch(SIPCAST_URL + path, {
    method: 'POST',
    headers,
    body: JSON.stringify(body),
  });
  const text = await response.text();
  const answer = text === '' ? undefined : (JSON.parse(text) as unknown);
  if (response.status === 200) return answer;
  const { code, message } = answer as { code: string; message: string };
  throw new Error(`${response.status} ${code}: ${message}`);
}
