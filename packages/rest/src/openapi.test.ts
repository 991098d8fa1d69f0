// The document and its page: complete, consistent, and without anything from elsewhere.

import { describe, expect, it } from 'vitest';
import { OPERATIONS } from './contract.ts';
import { DOCS_PAGE_POLICY, docsPage, openApiDocument } from './openapi.ts';
import type { JsonSchema } from './openapi.ts';

const document = openApiDocument('/rest-api', '1.2.3');

function refsIn(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, one]) =>
    name === '$ref' ? [String(one)] : refsIn(one),
  );
}

describe('the document', () => {
  it('has every method, and GET where it is taken', () => {
    for (const [path, operation] of Object.entries(OPERATIONS)) {
      const methods = document.paths[path];
      expect(methods?.['post']?.summary, path).toBe(operation.summary);
      expect(methods?.['get'] !== undefined, path).toBe('allowsGet' in operation);
      expect(methods?.['post']?.responses['200'], path).toBeDefined();
    }
    expect(document.paths['/events']?.['get']).toBeDefined();
    expect(document.paths['/stream/{streamName}.flv']?.['get']).toBeDefined();
  });

  it('refers to nothing that is not there, and leaves no schema of the tool', () => {
    const text = JSON.stringify(document);
    expect(text).not.toContain('$defs');
    expect(text).not.toContain('$schema');
    for (const ref of refsIn(document)) {
      const name = ref.replace('#/components/schemas/', '');
      expect(document.components.schemas[name], ref).toBeDefined();
    }
  });

  it('says of each object what stands in it', () => {
    for (const [name, schema] of Object.entries(document.components.schemas))
      expect(Object.keys(schema.properties ?? {}), name).not.toEqual([]);
  });

  it('lists the failures that a query can have, and no others', () => {
    const of = (path: string, method: string): number[] =>
      Object.keys(document.paths[path]?.[method]?.responses ?? {}).map(Number);
    expect(of('/call/startup', 'post')).toEqual([
      200, 400, 401, 403, 409, 413, 415, 421, 429, 500, 503,
    ]);
    // Without a body there is none to be too long; what is text cannot be wrong; who may ask may read.
    expect(of('/call/find_all', 'get')).toEqual([200, 401, 404, 421, 429, 500, 503]);
    expect(of('/call/find', 'get')).toEqual([200, 400, 401, 404, 421, 429, 500, 503]);
    expect(of('/call/trace', 'get')).toEqual([200, 400, 401, 403, 404, 421, 429, 500, 503]);
    expect(of('/push/find', 'get')).toEqual([200, 401, 404, 421, 429, 500, 503]);
    expect(of('/events', 'get')).toEqual([200, 401, 421, 429, 500, 503]);
  });

  it('does not require what has a default', () => {
    const required = (path: string): unknown =>
      document.paths[path]?.['post']?.requestBody?.content['application/json']?.schema.required;
    expect(required('/call/send_dtmf')).toEqual(['callId', 'dtmf']);
    expect(required('/stream/token')).toEqual(['streamName']);
    expect(required('/call/find')).toBeUndefined();
  });

  it('gives each operation a unique id', () => {
    const ids = Object.values(document.paths).flatMap((methods) =>
      Object.values(methods).map(({ operationId }) => operationId),
    );
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids).toContain('callStartup');
    expect(ids).toContain('callFindAllByGet');
  });

  it('says what a startup needs, in words', () => {
    const body = document.paths['/call/startup']?.['post']?.requestBody;
    const schema = body?.content['application/json']?.schema as JsonSchema;
    expect(schema.required).toEqual(['callee']);
    expect(schema.properties?.['callee']).toEqual({
      type: 'string',
      description: 'User, user@host or SIP URI.',
    });
    expect(schema.properties?.['hasAudio']?.type).toBe('boolean');
    const undescribed = Object.entries(schema.properties ?? {}).filter(
      ([, one]) => one.description === undefined,
    );
    expect(undescribed).toEqual([]);
  });
});

describe('the page', () => {
  const page = docsPage(document);

  it('shows every path and object, and loads nothing', () => {
    for (const path of Object.keys(OPERATIONS)) expect(page).toContain(`/rest-api${path}`);
    for (const name of Object.keys(document.components.schemas))
      expect(page).toContain(`id="schema-${name}"`);
    expect(page).not.toMatch(/<script|<link|<img|src=|@import|https?:\/\/(?!127\.0\.0\.1)/);
    expect(DOCS_PAGE_POLICY).toMatch(/^default-src 'none'; style-src 'sha256-/);
  });

  it('escapes what it shows', () => {
    const hostile = openApiDocument('/"><script>alert(1)</script>', '<b>');
    expect(docsPage(hostile)).not.toContain('<script>');
    expect(docsPage(hostile)).not.toContain('<b>API');
  });
});
