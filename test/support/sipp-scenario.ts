// Scenarios for sipp, step by step, as the phone that is called or that calls; each run gives its messages to look at.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freeSipPort } from './ports.ts';
import { start } from './programs.ts';
import type { Running } from './programs.ts';

type Headers = readonly string[];

/** A session description of sipp's. */
export interface SippSdp {
  readonly port: number;
  /** Of `o=`; the next number for each change. */
  readonly version?: number;
  readonly direction?: 'sendrecv' | 'sendonly' | 'recvonly' | 'inactive';
  /** Address of `c=`. Default `127.0.0.1`. */
  readonly address?: string;
  /** `payload type name/clock`. Default `8 PCMA/8000`. */
  readonly map?: string;
  /** More lines, e.g. further m-lines. */
  readonly lines?: readonly string[];
}

/** The text of it. */
function sippSdp({
  port,
  version = 1,
  direction = 'sendrecv',
  address = '127.0.0.1',
  map = '8 PCMA/8000',
  lines = [],
}: SippSdp): string {
  const type = map.split(' ', 1)[0] ?? '';
  return [
    'v=0',
    `o=sipp 1 ${version} IN IP4 127.0.0.1`,
    's=-',
    `c=IN IP4 ${address}`,
    't=0 0',
    `m=audio ${port} RTP/AVP ${type}`,
    `a=rtpmap:${map}`,
    `a=${direction}`,
    ...lines,
  ].join('\n');
}

const COPIED = ['Via', 'From', 'To', 'Call-ID', 'CSeq'];
const TAG = ';tag=sipp';

/** One scenario. `callee`: it begins with the INVITE that it gets; `caller`: it sends one. */
export class SippScenario {
  readonly #role: 'callee' | 'caller';
  readonly #steps: string[] = [];
  #saved = 0;
  #invitePlace = 0;

  constructor(role: 'callee' | 'caller') {
    this.#role = role;
  }

  #add(step: string): this {
    this.#steps.push(step);
    return this;
  }

  /** As a callee: waits for the INVITE, and remembers whom requests in the dialog go to. */
  invited(): this {
    return this.#add(`<recv request="INVITE" crlf="true"><action>
  <ereg regexp="sip:[^&gt;;]*" search_in="hdr" header="Contact:" assign_to="contact"/>
  <ereg regexp="&lt;.*" search_in="hdr" header="From:" assign_to="from"/>
  <ereg regexp="&lt;.*" search_in="hdr" header="To:" assign_to="to"/>
</action></recv>
<Reference variables="contact,from,to"/>`);
  }

  /** Waits for a request; each expression must match its text. `keep`: its headers are for an answer by `answerKept`. */
  request(method: string, matches: readonly string[] = [], keep = false): this {
    const checks = matches.map((regexp) => {
      const name = `ok${++this.#saved}`;
      return `<ereg regexp="${regexp}" search_in="msg" check_it="true" assign_to="${name}"/>`;
    });
    const used = matches.map((_, index) => `ok${this.#saved - index}`);
    const kept = keep
      ? COPIED.map((name) => {
          const variable = `kept${name.replace('-', '')}`;
          used.push(variable);
          return `<ereg regexp=".*" search_in="hdr" header="${name}:" assign_to="${variable}"/>`;
        })
      : [];
    const actions = [...checks, ...kept].join('\n');
    return this.#add(
      `<recv request="${method}"${actions === '' ? '/>' : `><action>${actions}</action></recv>`}` +
        (used.length > 0 ? `<Reference variables="${used.join(',')}"/>` : ''),
    );
  }

  /** Waits for a final response; each expression must match its text. */
  response(statusCode: number, matches: readonly string[] = [], auth = false): this {
    const used: string[] = [];
    const checks = matches.map((regexp) => {
      const name = `ok${++this.#saved}`;
      used.push(name);
      return `<ereg regexp="${regexp}" search_in="msg" check_it="true" assign_to="${name}"/>`;
    });
    return this.#add(
      `<recv response="100" optional="true"/><recv response="180" optional="true"/>
<recv response="${statusCode}"${auth ? ' auth="true"' : ''}>${checks.length > 0 ? `<action>${checks.join('\n')}</action>` : ''}</recv>` +
        (used.length > 0 ? `<Reference variables="${used.join(',')}"/>` : ''),
    );
  }

  /** Waits for this provisional response. */
  provisional(statusCode: number, matches: readonly string[] = []): this {
    const name = `ok${++this.#saved}`;
    const [regexp = '.*'] = matches;
    return this.#add(`<recv response="100" optional="true"/><recv response="${statusCode}"><action>
  <ereg regexp="${regexp}" search_in="msg" check_it="true" assign_to="${name}"/></action></recv><Reference variables="${name}"/>`);
  }

  /** Behind `invited`: remembers the INVITE for `answerInvite`, whatever comes meanwhile. */
  keepInvite(): this {
    const names = COPIED.map((name) => `invite${name.replace('-', '')}`);
    const actions = COPIED.map(
      (name, index) =>
        `<ereg regexp=".*" search_in="hdr" header="${name}:" assign_to="${names[index] ?? ''}"/>`,
    );
    const received = this.#steps.at(-1) ?? '';
    this.#steps[this.#steps.length - 1] =
      `${received.replace('</action>', `${actions.join('\n')}</action>`)}<Reference variables="${names.join(',')}"/>`;
    return this;
  }

  /** Answers the INVITE that was kept. */
  answerInvite(
    statusCode: number,
    parts: { readonly headers?: Headers; readonly sdp?: SippSdp; readonly tag?: string } = {},
  ): this {
    const copied = COPIED.map(
      (name) =>
        `${name}: [$invite${name.replace('-', '')}]${name === 'To' ? (parts.tag ?? '') : ''}`,
    );
    return this.#respond(statusCode, copied, parts);
  }

  pause(ms: number): this {
    return this.#add(`<pause milliseconds="${ms}"/>`);
  }

  /** Answers the request that came last. `tag`: of a fork of its own. */
  answer(
    statusCode: number,
    parts: { readonly headers?: Headers; readonly sdp?: SippSdp; readonly tag?: string } = {},
  ): this {
    const copied = COPIED.map((name) =>
      name === 'To' ? `[last_To:]${parts.tag ?? ''}` : `[last_${name}:]`,
    );
    return this.#respond(statusCode, copied, parts);
  }

  /** Answers the request that was kept. */
  answerKept(
    statusCode: number,
    parts: { readonly headers?: Headers; readonly sdp?: SippSdp; readonly tag?: string } = {},
  ): this {
    const copied = COPIED.map(
      (name) => `${name}: [$kept${name.replace('-', '')}]${name === 'To' ? (parts.tag ?? '') : ''}`,
    );
    return this.#respond(statusCode, copied, parts);
  }

  #respond(
    statusCode: number,
    copied: readonly string[],
    { headers = [], sdp }: { readonly headers?: Headers; readonly sdp?: SippSdp },
  ): this {
    // A redirection's Contact is where to go.
    const contact = headers.some((line) => line.startsWith('Contact:')) ? [] : this.#contact();
    const lines = [`SIP/2.0 ${statusCode} Scripted`, ...copied, ...contact, ...headers];
    // Repeated by sipp until the ACK where it is a final response to INVITE and UDP.
    return this.#add(`<send><![CDATA[\n${this.#body(lines, sdp)}]]></send>`);
  }

  #contact(): string[] {
    return ['Contact: <sip:sipp@[local_ip]:[local_port];transport=[transport]>'];
  }

  #body(lines: readonly string[], sdp: SippSdp | undefined): string {
    const head = sdp === undefined ? lines : [...lines, 'Content-Type: application/sdp'];
    const text = sdp === undefined ? '' : sippSdp(sdp);
    return `${head.join('\n')}\nContent-Length: [len]\n\n${text}\n`;
  }

  /** Sends a request in the dialog, or, as a caller with `initial`, one that begins it. */
  send(
    method: string,
    sequence: number,
    parts: {
      readonly headers?: Headers;
      readonly sdp?: SippSdp;
      readonly body?: string;
      readonly initial?: boolean;
      /** `invite`: that of the INVITE before, for its CANCEL and the ACK of its refusal. */
      readonly branch?: 'invite';
    } = {},
  ): this {
    // sipp counts its branches by their distance in the scenario.
    const place = this.#steps.join('').match(/<(?:send|recv|pause|nop)\b/g)?.length ?? 0;
    const branch = parts.branch === 'invite' ? `[branch-${place - this.#invitePlace}]` : '[branch]';
    if (method === 'INVITE') this.#invitePlace = place;
    const via = `Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=${branch}`;
    const ends =
      this.#role === 'callee'
        ? [`From: [$to]${TAG}`, 'To: [$from]']
        : [
            'From: "Carol" <sip:carol@[local_ip]>;tag=carol[call_number]',
            `To: <sip:studio@[remote_ip]>${parts.initial === true ? '' : '[peer_tag_param]'}`,
          ];
    const target = this.#role === 'callee' ? '[$contact]' : 'sip:studio@[remote_ip]:[remote_port]';
    const lines = [
      `${method} ${target} SIP/2.0`,
      via,
      ...ends,
      'Call-ID: [call_id]',
      `CSeq: ${sequence} ${method}`,
      'Max-Forwards: 70',
      ...(method === 'ACK' ? [] : this.#contact()),
      ...(parts.headers ?? []),
    ];
    const text =
      parts.body === undefined
        ? this.#body(lines, parts.sdp)
        : `${lines.join('\n')}\nContent-Length: [len]\n\n${parts.body}\n`;
    const retrans = method === 'ACK' || method === 'CANCEL' ? '' : ' retrans="500"';
    return this.#add(`<send${retrans}><![CDATA[\n${text}]]></send>`);
  }

  /** A re-INVITE or UPDATE of sipp's that is accepted; the 2xx must match. */
  change(
    method: 'INVITE' | 'UPDATE',
    sequence: number,
    sdp: SippSdp,
    matches: readonly string[] = [],
  ): this {
    this.send(method, sequence, { sdp }).response(200, matches);
    return method === 'INVITE' ? this.send('ACK', sequence) : this;
  }

  /** As a caller, behind a reliable provisional response to the first INVITE: acknowledges it. */
  rack(): this {
    this.#steps[this.#steps.length - 1] = (this.#steps.at(-1) ?? '').replace(
      '</action>',
      '<ereg regexp="[0-9]+" search_in="hdr" header="RSeq:" assign_to="rseq"/></action>',
    );
    return this.send('PRACK', 2, { headers: ['RAck: [$rseq] 1 INVITE'] });
  }

  /** As a callee: rings, answers and is acknowledged. */
  accept(sdp: SippSdp, headers: Headers = []): this {
    return this.invited()
      .answer(180, { tag: TAG })
      .answer(200, { tag: TAG, sdp, headers })
      .request('ACK');
  }

  /** Waits for BYE and accepts it. */
  ended(): this {
    return this.request('BYE').answer(200);
  }

  /** Hangs up. */
  bye(sequence: number): this {
    return this.send('BYE', sequence).response(200);
  }

  toString(): string {
    return `<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="${this.#role}">\n${this.#steps.join('\n')}\n</scenario>\n`;
  }
}

/** A run of sipp for one call. */
export interface SippRun {
  readonly uri: string;
  readonly running: Running;
  /** Waits for its end. @throws with what it says when the call did not go as the scenario has it */
  done(): Promise<void>;
  /** What went over the wire, as far as sipp has written it. */
  messages(): string;
}

/** Runs a scenario. `calls`: the port that a caller calls. */
export async function runSipp(
  dir: string,
  scenario: SippScenario,
  options: {
    readonly transport?: 'udp' | 'tcp';
    readonly calls?: number;
    readonly args?: readonly string[];
  } = {},
): Promise<SippRun> {
  const port = await freeSipPort();
  const name = `s${port}`;
  writeFileSync(join(dir, `${name}.xml`), scenario.toString());
  const running = start(
    'sipp',
    ['-sf', `${name}.xml`, '-i', '127.0.0.1', '-p', String(port), '-m', '1']
      .concat('-t', options.transport === 'tcp' ? 't1' : 'u1', '-nostdin', '-timeout', '50s')
      .concat('-timeout_error', '-trace_msg', '-message_file', `${name}.log`, '-trace_err')
      .concat('-error_file', `${name}.err`, options.args ?? [])
      .concat(options.calls === undefined ? [] : `127.0.0.1:${options.calls}`),
    { cwd: dir },
  );
  const textOf = (file: string): string => {
    try {
      return readFileSync(join(dir, file), 'utf8');
    } catch {
      return '';
    }
  };
  // sipp says nothing when it is ready.
  if (options.calls === undefined)
    await new Promise((resolve) => {
      setTimeout(resolve, 500);
    });
  return {
    uri: `sip:bob@127.0.0.1:${port}`,
    running,
    messages: () => textOf(`${name}.log`),
    done: async () => {
      const code = await running.exited;
      if (code === 0) return;
      throw new Error(`sipp ended ${code}: ${textOf(`${name}.err`).slice(0, 3000)}`);
    },
  };
}
