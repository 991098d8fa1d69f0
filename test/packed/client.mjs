// Asks a server with curl, and says which command answered what when an answer is not what is documented.

import { execFile, spawn } from 'node:child_process';
import { promisify } from 'node:util';
import { isErrorBody } from './shapes.mjs';

const sh = promisify(execFile);
const LIMIT_S = 30;
/** Each look is a process. */
const POLL_MS = 150;
/** Queries of one process: a few of them are long, and a command line is not without an end. */
const AT_ONCE = 20;
const HEAD_END = Buffer.from('\r\n\r\n');

/** One answer, and the command that got it. */
class Answer {
  constructor(command, octets) {
    this.command = command;
    let rest = octets;
    let head = '';
    do {
      const end = rest.indexOf(HEAD_END);
      if (end < 0) throw new Error(`${command}\n  answered no HTTP: ${rest}`);
      head = rest.subarray(0, end).toString('latin1');
      rest = rest.subarray(end + HEAD_END.length);
    } while (/^HTTP\S* 1\d\d/.test(head));
    const [first = '', ...lines] = head.split('\r\n');
    this.status = Number(first.split(' ')[1]);
    this.headers = new Map(
      lines.map((line) => {
        const colon = line.indexOf(':');
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
      }),
    );
    this.octets = rest;
  }

  get text() {
    return this.octets.toString('utf8');
  }

  get body() {
    try {
      return JSON.parse(this.text);
    } catch {
      return this.fail('That is no JSON');
    }
  }

  fail(problem) {
    const head = [...this.headers].map(([name, value]) => `${name}: ${value}`).join('; ');
    const body = this.text.slice(0, 800).replaceAll(/[^\t\n\x20-\x7e]/g, '.');
    throw new Error(
      `${this.command}\n  answered ${this.status} (${head})\n  ${body}\n  ${problem}`,
    );
  }

  /** Fails unless it holds. */
  check(holds, problem) {
    if (!holds) this.fail(problem);
    return this;
  }
}

/** Somebody who asks one server. */
export class Client {
  #account;
  #tls;
  #driven;

  /**
   * @param account - Arguments of curl: who asks.
   * @param tls - Arguments of curl: which certificate is believed.
   * @param driven - Notes what was asked and answered.
   */
  constructor({ url, account = [], tls = [], driven }) {
    this.url = url;
    this.#account = account;
    this.#tls = tls;
    this.#driven = driven;
  }

  /** The same server, asked by somebody else. */
  as(...account) {
    return new Client({ url: this.url, account, tls: this.#tls, driven: this.#driven });
  }

  /**
   * @param path - Below the mount; with `isPage`, below the server.
   * @param body - Text as it is, anything else as JSON; undefined: none.
   * @param template - The path as the OpenAPI document has it, where that is another.
   */
  async ask(method, path, { body, headers, isPage = false, template } = {}) {
    const args = this.#arguments(method, path, body, headers, isPage);
    const answer = new Answer(shown(args), await run(args));
    return this.#noted(answer, method, path, isPage, template);
  }

  /** An answer without an end: reads until `isEnough` says so. */
  async read(path, isEnough, { headers, template } = {}) {
    const args = this.#arguments('GET', path, undefined, headers);
    const command = shown(args);
    const curl = spawn('curl', ['-N', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    const parts = [];
    const answer = await new Promise((resolve, reject) => {
      const done = () => {
        try {
          resolve(new Answer(command, Buffer.concat(parts)));
        } catch (error) {
          reject(error);
        }
      };
      curl.on('error', reject);
      curl.on('close', done);
      curl.stdout.on('data', (part) => {
        parts.push(part);
        const octets = Buffer.concat(parts);
        if (octets.includes(HEAD_END) && isEnough(new Answer(command, octets))) curl.kill();
      });
    });
    return this.#noted(answer, 'GET', path, false, template);
  }

  /** Asks the same many times over one connection, as fast as curl can. */
  async flood(path, body, times) {
    const args = this.#arguments('POST', `${path}?n=[1-${times}]`, body);
    return apart(await run(args))
      .map((text) => new Answer(shown(args), Buffer.from(text, 'latin1')))
      .map((answer) => this.#noted(answer, 'POST', path, false));
  }

  /** Holds so many answers without an end, each of which has begun. @returns what ends them */
  async occupy(path, times) {
    const args = this.#arguments('GET', `${path}?n=[1-${times}]`, undefined);
    const parallel = ['-N', '-Z', '--parallel-immediate', '--parallel-max', String(times)];
    const curl = spawn('curl', [...parallel, ...args], { stdio: ['ignore', 'pipe', 'ignore'] });
    const exited = new Promise((resolve) => curl.on('close', resolve));
    let [text, isOver] = ['', false];
    void exited.then(() => (isOver = true));
    curl.stdout.setEncoding('latin1').on('data', (part) => (text += part));
    const deadline = performance.now() + LIMIT_S * 1000;
    while (text.split('HTTP/1.1 200').length <= times) {
      if (isOver || performance.now() > deadline)
        throw new Error(`${shown(args)}\n  did not get ${times} answers: ${text.slice(-800)}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return async () => {
      curl.kill();
      await exited;
    };
  }

  /** Asks with POST. */
  async post(path, body, status = 200) {
    return expectStatus(await this.ask('POST', path, { body }), status);
  }

  /** Asks with GET, fields in the query. */
  async get(path, fields = {}, status = 200) {
    const query = String(new URLSearchParams(fields));
    const asked = query === '' ? path : `${path}?${query}`;
    return expectStatus(await this.ask('GET', asked), status);
  }

  /** A page of the server beside the API. */
  async page(path, status = 200) {
    return expectStatus(await this.ask('GET', path, { isPage: true }), status);
  }

  /** A void method: 200, and nothing. */
  async does(path, body) {
    const answer = await this.post(path, body);
    return answer.check(answer.octets.length === 0, 'The body must be empty');
  }

  /** A finder: 200, and never an empty list. */
  async finds(path, fields, method = 'POST') {
    const answer = method === 'POST' ? await this.post(path, fields) : await this.get(path, fields);
    const { body: found } = answer;
    answer.check(Array.isArray(found) && found.length > 0, 'A finder must not answer this');
    return found.map((one) => Object.assign(Object.create({ answer }), one));
  }

  /** A failure: its status, and its object with all keys. */
  async refuses(method, path, { status, code, field, ...query }) {
    const answer = await this.ask(method, path, query);
    return this.isRefusal(answer, path, { status, code, field });
  }

  /**
   * Failures one after the other, by few processes.
   * @param queries - What `refuses` takes, in one object each; `also` sees the answer.
   */
  async refusesAll(queries) {
    for (let at = 0; at < queries.length; at += AT_ONCE) {
      const some = queries.slice(at, at + AT_ONCE);
      const commands = some.map(({ method, path, body, headers }) =>
        this.#arguments(method, path, body, headers, false),
      );
      const args = commands.flatMap((one, n) => (n === 0 ? one : ['--next', ...one]));
      const texts = apart(await run(args));
      if (texts.length !== some.length)
        throw new Error(`${shown(args)}\n  got ${texts.length} answers for ${some.length} queries`);
      for (const [n, { method, path, template, also, ...expected }] of some.entries()) {
        const answer = new Answer(shown(commands[n]), Buffer.from(texts[n], 'latin1'));
        this.#noted(answer, method, path, false, template);
        this.isRefusal(answer, path, expected);
        also?.(answer);
      }
    }
  }

  /** Fails unless an answer is such a failure. */
  isRefusal(answer, path, { status, code, field }) {
    answer.check(answer.status === status, `The status must be ${status}`);
    isErrorBody(answer, new URL(this.url).pathname + path.split('?', 1)[0]);
    const { body } = answer;
    if (code !== undefined) answer.check(body.code === code, `The code must be ${code}`);
    if (field !== undefined) answer.check(body.field === field, `The field must be ${field}`);
    return answer;
  }

  /** Asks until `holds` of what is found. */
  async until(what, path, fields, holds, limitMs = LIMIT_S * 1000) {
    const deadline = performance.now() + limitMs;
    for (;;) {
      const answer = await this.ask('POST', path, { body: fields });
      if (answer.status === 200 && holds(answer.body)) return answer.body;
      if (performance.now() > deadline) answer.fail(`Not ${what} within ${limitMs} ms`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  /** Asks until there is nothing any more. */
  async untilGone(path, fields, limitMs = LIMIT_S * 1000) {
    const deadline = performance.now() + limitMs;
    for (;;) {
      const answer = await this.ask('POST', path, { body: fields });
      if (answer.status === 404) return;
      if (performance.now() > deadline) answer.fail(`Still there after ${limitMs} ms`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  #arguments(method, path, body, headers = [], isPage = false) {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    const hasType = headers.some((header) => /^content-type:/i.test(header));
    return [
      '-sS',
      '-i',
      '--max-time',
      String(LIMIT_S),
      ...this.#tls,
      ...this.#account,
      '-X',
      method,
      ...headers.flatMap((header) => ['-H', header]),
      ...(body === undefined || hasType ? [] : ['-H', 'content-type: application/json']),
      ...(body === undefined ? [] : ['--data-binary', text]),
      isPage ? new URL(path, this.url).href : this.url + path,
    ];
  }

  #noted(answer, method, path, isPage, template) {
    const [bare = ''] = path.split('?', 1);
    this.#driven.note(method, isPage ? `/..${bare}` : (template ?? bare), answer.status);
    return answer;
  }
}

async function run(args) {
  try {
    const options = { encoding: 'buffer', maxBuffer: 1 << 24 };
    return (await sh('curl', args, options)).stdout;
  } catch (error) {
    const words = String(error.stderr ?? error);
    throw new Error(`${shown(args)}\n  failed: ${words}`, { cause: error });
  }
}

/** Answers of one process: no body of a failure has a status line in it. */
function apart(octets) {
  return octets.toString('latin1').split(/(?=HTTP\/1\.1 \d{3} )/);
}

function expectStatus(answer, status) {
  return answer.check(answer.status === status, `The status must be ${status}`);
}

/** A command as it can be typed again, but for what is very long. */
function shown(args) {
  const quoted = args.map((one) => {
    const short = one.length > 300 ? `${one.slice(0, 300)}… (${one.length})` : one;
    return /^[\w@%+=:,./-]+$/.test(short) ? short : `'${short.replaceAll("'", "'\\''")}'`;
  });
  return `curl ${quoted.join(' ')}`;
}
