// The configuration of a command: reads the file, and reports problems found by the gateway with their place in the
// file.

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
import type { ServeOptions } from '../config/serve-options.ts';

/** A command's configuration. */
export interface LoadedConfig extends ReadConfig {
  readonly options: ServeOptions;
}

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

/** Adds the place in the configuration to an error of `serve`. */
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

/** Checks everything that can be checked before anything is opened. */
async function check(options: ServeOptions, read: ReadConfig): Promise<void> {
  try {
    validateGatewayOptions(await gatewayOptionsOf(options, undefined, silentLogger));
    if (options.outgoing) void new OutgoingPolicy(options.outgoing);
  } catch (error) {
    if (error instanceof PolicyError) throw problem(read, `outgoing.${error.field}`, error.message);
    const { field } = error as { field?: string };
    if (field === undefined) throw error;
    const isServers = error instanceof ServerError;
    throw problem(read, isServers ? field : `gateway.${field}`, describe(error));
  }
  for (const [index, { name, password }] of (options.users ?? []).entries()) {
    if (isPasswordHash(password)) continue;
    const field = `users.${index}.password`;
    throw problem(read, field, `${name}: must be what sipcast passwd prints`);
  }
  const { callAppUrl: common, apps = {} } = options.events ?? {};
  const urls: (readonly [string, string])[] = Object.entries(apps).map(
    ([appKey, { callAppUrl }]) => [`events.apps.${appKey}.callAppUrl`, callAppUrl] as const,
  );
  if (common !== undefined) urls.push(['events.callAppUrl', common]);
  for (const [field, url] of urls) {
    if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
      throw problem(read, field, 'must be an http or https URL');
  }
}

function problem(read: ReadConfig, field: string, message: string): ConfigError {
  const path = field.split('.').map((part) => (/^\d+$/.test(part) ? Number(part) : part));
  // The message may begin with the field name, in the configuration's or the gateway's form.
  const name = [field, field.replace(/^gateway\./, '')].find((one) => message.startsWith(one));
  const text = name === undefined ? message : message.slice(name.length).replace(/^:? /, '');
  return new ConfigError([{ place: read.placeOf(path), field, message: text }]);
}
