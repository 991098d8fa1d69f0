// The configuration of a command: reads the file, and tells what the gateway finds wrong in the words of the file.

import { readFile } from 'node:fs/promises';
import { silentLogger, validateGatewayOptions } from '@sipcast/core';
import type { ConfigArguments } from './arguments.ts';
import { optionsOf } from '../config/options.ts';
import { ConfigError, readConfig } from '../config/read.ts';
import type { ReadConfig } from '../config/read.ts';
import { describe, ServerError } from '../errors.ts';
import { gatewayOptionsOf } from '../serve/open-gateway.ts';
import { isPasswordHash } from '../access/password-hash.ts';
import { OutgoingPolicy, PolicyError } from '../access/outgoing-policy.ts';
import type { ServeOptions } from '../serve/serve-options.ts';

/** What a command runs with. */
export interface LoadedConfig extends ReadConfig {
  readonly options: ServeOptions;
}

/** Options of `serve` that are called otherwise in a file. */
const FIELD_OF: Readonly<Record<string, string>> = {
  port: 'http.port',
  host: 'http.host',
  sipPort: 'gateway.sipPort',
  ffmpegPath: 'gateway.transcoding.ffmpegPath',
  callAppUrl: 'events.callAppUrl',
};
const OWN_SECTIONS = /^(?:http|log|https|users|tokens|events|outgoing|stateDir|listeners)(?:\.|$)/;

/** @throws ConfigError (rejection) */
export async function loadConfig({
  configFile,
  overrides,
  basicAuth,
}: ConfigArguments): Promise<LoadedConfig> {
  const read = readConfig({
    file: configFile === undefined ? undefined : await readText(configFile),
    overrides,
  });
  const options = { ...optionsOf(read.config), ...(basicAuth && { basicAuth }) };
  await check(options, read);
  return { ...read, options };
}

/** Says a failure of `serve` with its place in the configuration. */
export function placed(error: ServerError, read: ReadConfig): ConfigError {
  return problem(read, error.field, error.message);
}

async function readText(name: string): Promise<{ readonly name: string; readonly text: string }> {
  try {
    return { name, text: await readFile(name, 'utf8') };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const message = code === 'ENOENT' ? 'There is no such file' : describe(error);
    throw new ConfigError([{ place: name, field: '', message }]);
  }
}

/** All that can be known before anything is opened. */
async function check(options: ServeOptions, read: ReadConfig): Promise<void> {
  try {
    validateGatewayOptions(await gatewayOptionsOf(options, undefined, silentLogger));
    if (options.outgoing) void new OutgoingPolicy(options.outgoing);
  } catch (error) {
    if (error instanceof PolicyError) throw problem(read, `outgoing.${error.field}`, error.message);
    const { field } = error as { field?: string };
    if (field === undefined) throw error;
    throw problem(read, field, describe(error));
  }
  for (const [index, { name, password }] of (options.users ?? []).entries()) {
    if (isPasswordHash(password)) continue;
    const field = `users.${index}.password`;
    throw problem(read, field, `${name}: must be what sipcast passwd prints`);
  }
  const urls: (readonly [string, string])[] = Object.entries(options.events?.apps ?? {}).map(
    ([appKey, { callAppUrl }]) => [`events.apps.${appKey}.callAppUrl`, callAppUrl] as const,
  );
  if (options.callAppUrl !== undefined) urls.push(['callAppUrl', options.callAppUrl]);
  for (const [field, url] of urls) {
    if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
      throw problem(read, field, 'must be an http or https URL');
  }
}

function problem(read: ReadConfig, name: string, message: string): ConfigError {
  const known = FIELD_OF[name];
  const field = known ?? (OWN_SECTIONS.test(name) ? name : `gateway.${name}`);
  const path = field
    .replace(/^listeners/, 'http.listeners')
    .split('.')
    .map((part) => (/^\d+$/.test(part) ? Number(part) : part));
  // The message names the field as the gateway calls it.
  const text = message.startsWith(name) ? message.slice(name.length).replace(/^:? /, '') : message;
  return new ConfigError([{ place: read.placeOf(path), field, message: text }]);
}
