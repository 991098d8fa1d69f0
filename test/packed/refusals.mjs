// What every method of the OpenAPI document refuses, one by one: whatever is added there is asked, too.

import { Agent, request } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';

/** For a body that is well formed and means nothing that is there. */
const SAMPLES = {
  rtmpUrl: 'rtmp://127.0.0.1:9/none',
  dtmf: '1',
  callee: 'sip:nobody@127.0.0.1:9',
  target: 'sip:nobody@127.0.0.1:9',
};
const TOO_LONG = JSON.stringify({ callId: 'x'.repeat(64 * 1024) });

/** The methods of the document. */
function operationsOf(document) {
  return Object.entries(document.paths).flatMap(([template, verbs]) =>
    Object.entries(verbs).map(([verb, operation]) => {
      const schema = operation.requestBody?.content['application/json'].schema ?? {};
      return {
        method: verb.toUpperCase(),
        template,
        path: template.replace('{streamName}', 'none'),
        verbs: Object.keys(verbs).map((one) => one.toUpperCase()),
        properties: schema.properties ?? {},
        required: schema.required ?? [],
        statuses: Object.keys(operation.responses).map(Number),
        parameters: operation.parameters ?? [],
      };
    }),
  );
}

/** What each refuses whoever asks. */
export async function driveRefusals({ client }, document) {
  const foreign = {
    status: 421,
    code: 'WRONG_HOST',
    field: 'host',
    headers: ['Host: evil.example'],
  };
  const queries = operationsOf(document).flatMap((operation) => {
    const { method, path, template } = operation;
    return [
      { method, path, template, ...foreign },
      ...wrongMethods(operation),
      ...(method === 'POST' ? wrongBodies(operation) : wrongQueries(operation)),
    ];
  });
  for (const method of ['GET', 'POST'])
    queries.push({ method, path: '/no/such', status: 404, code: 'NO_SUCH_METHOD' });
  await client.refusesAll(queries);
}

/** Other methods: those that are taken are told. */
function wrongMethods({ path, template, verbs }) {
  // Those of streams and pages, which are only read, are not told apart from what is not there.
  if (template.endsWith('.flv') || /^\/(openapi\.json|docs)$/.test(path)) return [];
  const also = (answer) => {
    const allowed = (answer.headers.get('allow') ?? '').split(', ').toSorted();
    answer.check(allowed.join() === verbs.toSorted().join(), 'Allow must name the methods');
  };
  return ['PUT', 'DELETE', 'GET', 'POST']
    .filter((method) => !verbs.includes(method))
    .map((method) => ({ method, path, status: 405, code: 'METHOD_NOT_ALLOWED', also }));
}

/** Bodies that are none, or not what the method takes: the field is named. */
function wrongBodies({ path, properties, required, statuses }) {
  const method = 'POST';
  const invalid = { method, path, status: 400, code: 'INVALID_ARGUMENT' };
  const form = ['Content-Type: application/x-www-form-urlencoded'];
  const unsupported = { status: 415, code: 'UNSUPPORTED_MEDIA_TYPE', field: 'content-type' };
  const sample = Object.fromEntries(required.map((name) => [name, SAMPLES[name] ?? 'none']));
  return [
    { ...invalid, field: 'body', body: '{"callId":' },
    { ...invalid, field: 'body', body: '[]' },
    { method, path, status: 413, code: 'BODY_TOO_LARGE', field: 'body', body: TOO_LONG },
    { method, path, ...unsupported, headers: form, body: 'callId=1' },
    ...required.slice(0, 1).map((field) => ({ ...invalid, field, body: {} })),
    ...Object.keys(properties).map((field) => {
      return { ...invalid, field, body: { ...sample, [field]: [true] } };
    }),
    ...(required.length > 0 && statuses.includes(404)
      ? [{ method, path, status: 404, body: sample }]
      : []),
  ];
}

/** GET takes its fields from the query. */
function wrongQueries({ path, parameters, statuses }) {
  if (!statuses.includes(400)) return [];
  const { name, required } = parameters.find((one) => one.required || one.schema.type !== 'string');
  const query = required ? '' : `?${name}=wrong`;
  const invalid = { status: 400, code: 'INVALID_ARGUMENT', field: name };
  const sample = parameters.map((one) => `${one.name}=none`).join('&');
  return [
    { method: 'GET', path: path + query, ...invalid },
    ...(required && statuses.includes(404)
      ? [{ method: 'GET', path: `${path}?${sample}`, status: 404 }]
      : []),
  ];
}

/** Without an account, and with tokens whose scope does not suffice. */
export async function driveScopes({ client, tokens }, document) {
  const as = (token) => client.as('-H', `Authorization: Bearer ${token}`);
  const [reader, caller, admin] = [as(tokens.read), as(tokens.calls), as(tokens.admin)];
  const field = 'authorization';
  const forbidden = { status: 403, code: 'FORBIDDEN', field };
  const operations = operationsOf(document);
  const also = (answer) => {
    const challenge = answer.headers.get('www-authenticate') ?? '';
    answer.check(challenge.startsWith('Basic '), 'It must ask for HTTP Basic');
  };
  await client.as().refusesAll(
    operations.map(({ method, path, template }) => {
      return { method, path, template, status: 401, code: 'UNAUTHORIZED', field, also };
    }),
  );
  const scoped = operations.filter(({ statuses }) => statuses.includes(403));
  await reader.refusesAll(scoped.map(({ method, path }) => ({ method, path, ...forbidden })));
  await caller.refusesAll(
    scoped.map(({ method, path }) => {
      if (path === '/call/trace') return { method, path, ...forbidden };
      // It may, and says nothing.
      return { method, path, status: 400, code: 'INVALID_ARGUMENT', body: {} };
    }),
  );
  await reader.get('/call/history');
  await admin.get('/call/history');
}

/** After five wrong passwords of one address each of its queries is refused, also with the right one. */
export async function driveBruteForce({ client }, document) {
  const statuses = [];
  for (let guess = 0; guess < 5; guess++) {
    const account = ['-u', `admin:wrong-${guess}`];
    statuses.push((await client.as(...account).ask('GET', '/call/history')).status);
  }
  const also = (answer) => {
    answer.check(Number(answer.headers.get('retry-after')) > 0, 'Retry-After is missing');
  };
  const locked = { status: 429, code: 'TOO_MANY_FAILURES', field: 'authorization', also };
  await client.refusesAll(
    operationsOf(document).map(({ method, path, template }) => {
      return { method, path, template, ...locked };
    }),
  );
  return statuses;
}

/**
 * While others guess so many passwords from so many addresses that none more can be looked at, whoever gives one that is not
 * known yet is told to come again.
 * @param plainUrl - Of the same server, without TLS: there the others are.
 */
export async function driveStorm({ client, name }, document, plainUrl) {
  const also = (answer) =>
    answer.check(Number(answer.headers.get('retry-after')) > 0, 'Retry-After is missing');
  const expected = { status: 503, code: 'BUSY' };
  const addresses = addressesOf(name === 'https' ? 1 : 2);
  const stop = startGuessing(`${plainUrl}/call/history`, addressesOf(name === 'https' ? 3 : 4));
  try {
    for (const { method, path, template } of operationsOf(document)) {
      let answer;
      // One is let in now and then, when another's turn is over.
      for (let attempt = 0; attempt < 10 && (answer?.status ?? 401) === 401; attempt++) {
        const guess = ['-u', `admin:guess-${attempt}`, '--interface', addresses.next().value];
        answer = await client.as(...guess).ask(method, path, { template });
      }
      also(client.isRefusal(answer, path, expected));
    }
  } finally {
    await stop();
  }
}

/** Loopback addresses of one of 255 groups, each once. */
function* addressesOf(group) {
  for (let n = 256; n < 65_536; n++) yield `127.${group}.${n >> 8}.${n & 255}`;
}

/** Keeps twice as many guesses going as are let wait. @returns what ends them */
function startGuessing(url, addresses) {
  const agent = new Agent({ maxSockets: Infinity });
  const over = new AbortController();
  const guess = async (localAddress, password) => {
    const authorization = `Basic ${Buffer.from(`admin:${password}`).toString('base64')}`;
    const options = { agent, localAddress, headers: { authorization } };
    return new Promise((resolve) => {
      const asked = request(url, options, (response) =>
        response.resume().on('close', () => resolve(response.statusCode)),
      );
      asked.on('error', resolve).end();
    });
  };
  const guesser = async (number) => {
    for (let at = 0; !over.signal.aborted; at++) {
      const address = addresses.next().value;
      while (!over.signal.aborted && (await guess(address, `storm-${number}-${at}`)) === 503)
        await pause(5);
    }
  };
  const all = Promise.all(Array.from({ length: 68 }, (_, number) => guesser(number)));
  return async () => {
    over.abort();
    await all;
    agent.destroy();
  };
}
