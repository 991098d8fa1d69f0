// The OpenAPI 3.1 document of the API, made from the schemas that validate its requests, and a page that shows it.

import { createHash } from 'node:crypto';
import { z } from 'zod';
import { OPERATIONS, scopeOf } from './contract.ts';
import type { Operation } from './contract.ts';
import { errorView } from './views.ts';

/** The parts of a JSON Schema that are used here. */
export interface JsonSchema {
  readonly type?: string | readonly string[];
  readonly $ref?: string;
  readonly description?: string;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly JsonSchema[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly items?: JsonSchema;
  readonly [key: string]: unknown;
}

/** One method of one path. */
export interface OpenApiOperation {
  readonly operationId: string;
  readonly summary: string;
  readonly tags: readonly string[];
  readonly parameters?: readonly OpenApiParameter[];
  readonly requestBody?: {
    readonly required: boolean;
    readonly content: Readonly<Record<string, { readonly schema: JsonSchema }>>;
  };
  readonly responses: Readonly<Record<string, OpenApiResponse>>;
}

/** A parameter in the query or in the path. */
export interface OpenApiParameter {
  readonly name: string;
  readonly in: 'query' | 'path';
  readonly required: boolean;
  readonly schema: JsonSchema;
  readonly description?: string;
}

/** An answer. */
export interface OpenApiResponse {
  readonly description: string;
  readonly content?: Readonly<Record<string, { readonly schema: JsonSchema }>>;
}

/** The document. */
export interface OpenApiDocument {
  readonly openapi: '3.1.0';
  readonly info: { readonly title: string; readonly version: string; readonly description: string };
  readonly servers: readonly { readonly url: string }[];
  readonly security: readonly Readonly<Record<string, readonly string[]>>[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, OpenApiOperation>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, JsonSchema>>;
    readonly securitySchemes: Readonly<Record<string, Readonly<Record<string, string>>>>;
  };
}

const WORDS: Readonly<Record<number, string>> = {
  400: 'A field is missing or wrong; `field` names it',
  401: 'User name and password, or a token, are required',
  403: 'The scope of the user or token is not sufficient',
  404: 'Not found',
  409: 'In use, or not possible in the current state',
  413: 'The body is too long',
  415: 'The body is not JSON in UTF-8',
  421: 'The server does not have this host name',
  429: 'Too many requests, or too many wrong passwords; see Retry-After',
  500: 'Internal error',
  501: 'Not possible here; `field` names what',
  503: 'No capacity, closing, or too many passwords are being checked (`BUSY`); see Retry-After',
};
/** Statuses of every request. */
const OF_ALL = [401, 421, 429, 500, 503];
/** Statuses of requests with a body. */
const OF_BODIES = [400, 413, 415];

/**
 * Makes the document.
 *
 * @param mount - Where the API is, e.g. `/rest-api`.
 */
export function openApiDocument(mount: string, version: string): OpenApiDocument {
  const schemas: Record<string, JsonSchema> = {};
  const schemaOf = (schema: z.ZodType): JsonSchema => {
    const {
      $schema: _,
      $defs,
      ...rest
    } = z.toJSONSchema(schema, {
      target: 'draft-2020-12',
      io: 'output',
      unrepresentable: 'any',
    }) as JsonSchema & { readonly $defs?: Readonly<Record<string, JsonSchema>> };
    for (const [name, definition] of Object.entries($defs ?? {}))
      schemas[name] = moved(definition) as JsonSchema;
    const inline = moved(rest) as JsonSchema;
    // A schema with a name of its own goes into the components.
    const id = schema.meta()?.id;
    if (id === undefined) return inline;
    // Zod returns the definition itself, or a reference to one among the definitions.
    if (inline.$ref === undefined) schemas[id] = inline;
    return { $ref: `#/components/schemas/${id}` };
  };
  const failure = { 'application/json': { schema: schemaOf(errorView) } };
  const failures = (statuses: readonly number[]): Record<string, OpenApiResponse> =>
    Object.fromEntries(
      [...new Set([...OF_ALL, ...statuses])]
        .toSorted((a, b) => a - b)
        .map((status) => [
          String(status),
          { description: WORDS[status] ?? 'Failure', content: failure },
        ]),
    );
  const paths: Record<string, Record<string, OpenApiOperation>> = {};
  for (const [path, operation] of Object.entries(OPERATIONS) as [string, Operation][]) {
    const body = withDefaults(schemaOf(operation.body));
    const success: OpenApiResponse =
      operation.answer === undefined
        ? { description: 'Done; the body is empty' }
        : {
            description: 'Done',
            content: { 'application/json': { schema: schemaOf(operation.answer) } },
          };
    const common = {
      summary: operation.summary,
      tags: [path.split('/')[1] ?? '', ...(operation.isOurs === true ? ['extension'] : [])],
    };
    // Every client that is let in may read.
    const own = [...(scopeOf(operation) === 'read' ? [] : [403]), ...operation.failures];
    const responses = (more: readonly number[]): OpenApiOperation['responses'] => ({
      '200': success,
      ...failures([...more, ...own]),
    });
    const id = path
      .slice(1)
      .replaceAll(/[/_](\w)/g, (_match, letter: string) => letter.toUpperCase());
    paths[path] = {
      post: {
        operationId: id,
        ...common,
        requestBody: {
          required: (body.required ?? []).length > 0,
          content: { 'application/json': { schema: body } },
        },
        responses: responses(OF_BODIES),
      },
      ...(operation.allowsGet === true && {
        get: {
          operationId: `${id}ByGet`,
          ...common,
          parameters: parametersOf(body),
          responses: responses(canBeWrong(body) ? [400] : []),
        },
      }),
    };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'sipcast',
      version,
      description:
        'Puts SIP calls on air. Numbers and booleans are taken as strings, too; empty strings and null mean absent; unknown fields are ignored.',
    },
    servers: [{ url: mount }],
    security: [{}, { basic: [] }, { bearer: [] }],
    paths: { ...paths, ...otherPaths(failures) },
    components: {
      schemas,
      securitySchemes: {
        basic: { type: 'http', scheme: 'basic' },
        bearer: { type: 'http', scheme: 'bearer' },
      },
    },
  };
}

/** Paths that are not methods: streams, events, this document. */
function otherPaths(
  failures: (statuses: readonly number[]) => Record<string, OpenApiResponse>,
): Record<string, Record<string, OpenApiOperation>> {
  const bytes = { schema: { type: 'string', format: 'binary' } };
  const text = { schema: { type: 'string' } };
  const ofStream: readonly OpenApiParameter[] = [
    { name: 'streamName', in: 'path', required: true, schema: { type: 'string' } },
    {
      name: 'token',
      in: 'query',
      required: false,
      schema: { type: 'string' },
      description: 'Of /stream/token, where the API is protected',
    },
  ];
  const picture = (format: 'jpeg' | 'png'): Record<string, OpenApiOperation> => ({
    get: {
      operationId: `stream${format === 'png' ? 'Png' : 'Jpeg'}`,
      summary: `The newest key frame as ${format.toUpperCase()}, made at most once a second`,
      tags: ['stream', 'extension'],
      parameters: ofStream,
      responses: {
        '200': { description: 'The picture', content: { [`image/${format}`]: bytes } },
        ...failures([404, 409, 501, 503]),
      },
    },
  });
  return {
    '/stream/{streamName}.jpg': picture('jpeg'),
    '/stream/{streamName}.png': picture('png'),
    '/stream/{streamName}/index.m3u8': {
      get: {
        operationId: 'streamHls',
        summary: 'The stream as HLS with segments of fragmented MP4, packaged while somebody asks',
        tags: ['stream', 'extension'],
        parameters: ofStream,
        responses: {
          '200': {
            description: 'The playlist; it names the segments',
            content: { 'application/vnd.apple.mpegurl': text },
          },
          ...failures([404, 409, 503]),
        },
      },
    },
    '/stream/{streamName}.flv': {
      get: {
        operationId: 'streamWatch',
        summary: 'The stream as live FLV; over WebSocket, too',
        tags: ['stream', 'extension'],
        parameters: ofStream,
        responses: {
          '200': { description: 'Until the stream ends', content: { 'video/x-flv': bytes } },
          ...failures([404, 503]),
        },
      },
    },
    '/events': {
      get: {
        operationId: 'events',
        summary: 'Events as they happen, as server-sent events; the header Last-Event-ID resumes',
        tags: ['events', 'extension'],
        parameters: [
          {
            name: 'lastEventId',
            in: 'query',
            required: false,
            schema: { type: 'string' },
            description: 'Where the header Last-Event-ID cannot be set',
          },
        ],
        responses: {
          '200': { description: 'Until one side ends it', content: { 'text/event-stream': text } },
          ...failures([503]),
        },
      },
    },
    '/openapi.json': {
      get: {
        operationId: 'openapi',
        summary: 'This document',
        tags: ['extension'],
        responses: {
          '200': {
            description: 'OpenAPI 3.1',
            content: { 'application/json': { schema: { type: 'object' } } },
          },
          ...failures([]),
        },
      },
    },
    '/docs': {
      get: {
        operationId: 'docs',
        summary: 'This document as a page',
        tags: ['extension'],
        responses: {
          '200': { description: 'A page', content: { 'text/html': text } },
          ...failures([]),
        },
      },
    },
  };
}

/** Fields with a default are optional in a request: the schema describes the parsed body, where they are present. */
function withDefaults(schema: JsonSchema): JsonSchema {
  if (schema.required === undefined) return schema;
  const { required: read, ...rest } = schema;
  const required = read.filter((name) => schema.properties?.[name]?.['default'] === undefined);
  return required.length > 0 ? { ...rest, required } : rest;
}

/** Whether a query can be wrong: it is text, so only if a field is required or is not a plain text. */
function canBeWrong({ required = [], properties = {} }: JsonSchema): boolean {
  const isText = (one: JsonSchema): boolean => one.type === 'string' && one.enum === undefined;
  return required.length > 0 || !Object.values(properties).every(isText);
}

function parametersOf(body: JsonSchema): OpenApiParameter[] {
  return Object.entries(body.properties ?? {}).map(([name, schema]) => ({
    name,
    in: 'query',
    required: body.required?.includes(name) === true,
    schema,
  }));
}

/** Rewrites references to the form of OpenAPI. */
function moved(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(moved);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name, one]) => name !== 'id' && !isNoise(name, one))
      .map(([name, one]) =>
        name === '$ref' && typeof one === 'string'
          ? [name, one.replace('#/$defs/', '#/components/schemas/')]
          : [name, moved(one)],
      ),
  );
}

/** Drops what holds for all schemas: unknown fields are ignored, and integers are safe integers. */
function isNoise(name: string, value: unknown): boolean {
  return (
    (name === 'additionalProperties' && value === false) ||
    ((name === 'minimum' || name === 'maximum') &&
      Math.abs(Number(value)) === Number.MAX_SAFE_INTEGER)
  );
}

const STYLE = `
:root { color-scheme: light dark; --line: light-dark(#d5dae1, #333a44); --soft: light-dark(#5a6472, #9aa5b4); --code: light-dark(#f4f6f9, #1b2027); }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.6rem; } h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
details { border: 1px solid var(--line); border-radius: 6px; margin: .5rem 0; }
summary { cursor: pointer; padding: .5rem .75rem; display: flex; gap: .75rem; flex-wrap: wrap; }
summary code { font-weight: 600; } summary span { color: var(--soft); }
details > div { padding: 0 .75rem .75rem; }
table { border-collapse: collapse; width: 100%; font-size: .93em; }
td, th { text-align: left; vertical-align: top; border-top: 1px solid var(--line); padding: .25rem .75rem .25rem 0; }
code, pre { font-family: ui-monospace, monospace; font-size: .92em; }
pre { background: var(--code); padding: .6rem .75rem; border-radius: 6px; overflow-x: auto; }
@media (max-width: 40rem) { td:nth-child(2) { display: none; } th:nth-child(2) { display: none; } }
`;

/** The Content-Security-Policy of the page: allows its one `style`. */
export const DOCS_PAGE_POLICY: string = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'; base-uri 'none'; form-action 'none'`;

/** The document as a page without scripts or external resources. */
export function docsPage(document: OpenApiDocument): string {
  const { info, paths, components, servers } = document;
  const mount = servers[0]?.url ?? '';
  const groups = new Map<string, string[]>();
  for (const [path, methods] of Object.entries(paths)) {
    const verbs = Object.keys(methods).map((verb) => verb.toUpperCase());
    const operation = methods['post'] ?? methods['get'];
    if (operation === undefined) continue;
    const group = operation.tags[0] ?? '';
    groups.set(group, [...(groups.get(group) ?? []), section(mount + path, verbs, operation)]);
  }
  const schemas = Object.entries(components.schemas).map(
    ([name, schema]) =>
      `<details id="schema-${escape(name)}"><summary><code>${escape(name)}</code><span>${escape(schema.description ?? '')}</span></summary><div>${fields(schema)}</div></details>`,
  );
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${escape(info.title)} API</title><style>${STYLE}</style></head><body>
<h1>${escape(info.title)} API ${escape(info.version)}</h1><p>${escape(info.description)}</p><p><a href="${escape(mount)}/openapi.json">openapi.json</a></p>
${[...groups].map(([group, parts]) => `<h2>${escape(group)}</h2>${parts.join('\n')}`).join('\n')}
<h2>Objects</h2>${schemas.join('\n')}</body></html>`;
}

function section(path: string, verbs: readonly string[], operation: OpenApiOperation): string {
  const body = operation.requestBody?.content['application/json']?.schema;
  const required = body?.required ?? [];
  const sample = Object.fromEntries(required.map((name) => [name, '…']));
  const curl = verbs.includes('POST')
    ? `curl -X POST http://127.0.0.1:8081${path} -H 'content-type: application/json' -d '${JSON.stringify(sample)}'`
    : `curl http://127.0.0.1:8081${path}`;
  const answers = Object.entries(operation.responses).map(([status, response]) => {
    const [type, content] = Object.entries(response.content ?? {})[0] ?? [];
    const what = content === undefined ? '' : typeOf(content.schema);
    return `<tr><td><code>${status}</code></td><td>${type === undefined ? '' : what}</td><td>${escape(response.description)}</td></tr>`;
  });
  return `<details><summary><code>${verbs.join(' ')} ${escape(path)}</code><span>${escape(operation.summary)}</span></summary><div>
${body === undefined ? '' : fields(body)}<pre>${escape(curl)}</pre><table><tr><th>answer</th><th>body</th><th></th></tr>${answers.join('')}</table></div></details>`;
}

function fields(schema: JsonSchema): string {
  const rows = Object.entries(schema.properties ?? {}).map(([name, one]) => {
    const mark = schema.required?.includes(name) === true ? ' <b title="required">*</b>' : '';
    return `<tr><td><code>${escape(name)}</code>${mark}</td><td>${typeOf(one)}</td><td>${escape(one.description ?? '')}</td></tr>`;
  });
  if (rows.length === 0) return '';
  return `<table><tr><th>field</th><th>type</th><th></th></tr>${rows.join('')}</table>`;
}

/** A short description of a type, as HTML. */
function typeOf(schema: JsonSchema): string {
  if (schema.$ref !== undefined) {
    const name = schema.$ref.split('/').at(-1) ?? '';
    return `<a href="#schema-${escape(name)}">${escape(name)}</a>`;
  }
  if (schema.enum !== undefined) return escape(schema.enum.join(' · '));
  if (schema.const !== undefined) return escape(JSON.stringify(schema.const));
  if (schema.anyOf !== undefined) return schema.anyOf.map(typeOf).join(' or ');
  if (schema.type === 'array') return `list of ${typeOf(schema.items ?? {})}`;
  return escape(String(schema.type ?? 'any'));
}

function escape(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
