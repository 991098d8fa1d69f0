// The folder of sounds: turns a client's file name into a path, never outside the folder.

import { realpath, stat } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { GatewayError } from '../errors.ts';

/** Letters, digits and some marks; folders inside the folder by `/`; no step upwards, no hidden file. */
const FILE_NAME = /^(?!.*(?:^|\/)\.)[\p{L}\p{N}_.+@() -]+(?:\/[\p{L}\p{N}_.+@() -]+)*$/u;
const ENDINGS = /\.(?:wav|mp3|flv)$/i;

/**
 * The path of a sound.
 *
 * @param folder - The gateway's `mediaFolder`; undefined: no sounds.
 * @param field - Field that held the name, for errors.
 * @throws GatewayError (rejection) `INVALID_ARGUMENT` for a malformed name; `FILE_NOT_FOUND`, also for links that lead out of
 * the folder.
 */
export async function findSound(
  folder: string | undefined,
  fileName: string,
  field = 'fileName',
): Promise<string> {
  if (
    typeof fileName !== 'string' ||
    fileName.length > 255 ||
    !FILE_NAME.test(fileName) ||
    !ENDINGS.test(fileName)
  ) {
    const problem = `${field} must name a .wav, .mp3 or .flv file within the media folder`;
    throw new GatewayError('INVALID_ARGUMENT', problem, { field });
  }
  if (folder === undefined)
    throw new GatewayError('FILE_NOT_FOUND', 'There is no media folder', { field });
  try {
    const root = await realpath(folder);
    const path = await realpath(join(root, fileName));
    if (path.startsWith(root + sep) && (await stat(path)).isFile()) return path;
  } catch {
    // Ignored: a file that does not exist or is not readable is not found, see below.
  }
  throw new GatewayError('FILE_NOT_FOUND', 'No such file in the media folder', { field });
}
