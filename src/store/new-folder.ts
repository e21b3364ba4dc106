// Owns folders that appear whole or not at all: copies of checkpoints are written through here.
import { constants } from 'node:fs';
import { copyFile, mkdir, readdir, rename, rm, rmdir } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { ConfigError, RuntimeError } from '../errors.ts';
import { systemCode, writeFileAtomic } from '../engine/atomic-file.ts';
import type { JsonObject } from '../model/config.ts';

/** Files besides the weights that come along: settings, vocabularies, templates, licenses. */
export const COMPANIONS = /(?<!\.index)\.(?:json|jinja|txt|md)$|^LICENSE/;

/** Makes sure that a folder is empty or new. @throws ConfigError when it is not, or cannot be one. */
export async function expectEmpty(out: string): Promise<void> {
  let files: string[] = [];
  try {
    files = await readdir(out);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return;
    throw new ConfigError({ what: `${out} cannot be a folder`, got: String(error) }, error);
  }
  if (files.length === 0) return;
  throw new ConfigError({
    what: `${out} is not empty`,
    got: `${files.length} files`,
    expected: 'an empty folder, or none',
    fix: 'name another output folder; this one was not touched',
  });
}

/**
 * Fills a folder beside `out` and renames it at the end.
 * @throws what `fill` throws; nothing is left behind then.
 */
export async function fillFolder(
  out: string,
  fill: (staging: string) => Promise<void>,
): Promise<void> {
  const target = resolve(out);
  const parent = dirname(target);
  await mkdir(parent, { recursive: true });
  const staging = join(parent, `${basename(target)}.partial-${String(process.pid)}`);
  await mkdir(staging);
  try {
    await fill(staging);
    await rmdir(target).catch((error: unknown) => {
      if (systemCode(error) !== 'ENOENT') throw error;
    });
    await rename(staging, target);
  } catch (error) {
    await rm(staging, { recursive: true, force: true });
    throw error;
  }
}

/** Writes JSON as checkpoints have it. */
export async function writeJson(path: string, json: JsonObject): Promise<void> {
  await writeFileAtomic(path, [`${JSON.stringify(json, null, 2)}\n`]);
}

/**
 * Copies a file, where the file system can without using space. Never a hard link: a program that
 * writes the copy in place would change the original.
 */
export async function copyPart(from: string, to: string): Promise<void> {
  try {
    await copyFile(from, to, constants.COPYFILE_FICLONE);
  } catch (error) {
    const fix =
      systemCode(error) === 'ENOSPC'
        ? 'free disk space or choose another folder, then run the command again'
        : 'check the disk and the folders, then run the command again';
    throw new RuntimeError(
      { what: `Cannot copy ${from} to ${to}`, got: String(error), fix },
      error,
    );
  }
}
