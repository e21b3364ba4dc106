// Owns the tests of how models of the hub are named and what the environment says about the hub.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ConfigError } from '../../../src/errors.ts';
import { formatHubId, parseHubId } from '../../../src/store/hub-id.ts';
import { readHubSettings } from '../../../src/store/hub-settings.ts';

describe('the name of a model', () => {
  it.each([
    ['Qwen/Qwen2.5-VL-3B-Instruct', 'Qwen/Qwen2.5-VL-3B-Instruct', 'main'],
    ['org/name@v1.0', 'org/name', 'v1.0'],
    ['org/name@refs/pr/1', 'org/name', 'refs/pr/1'],
    [
      'a/b@0123456789abcdef0123456789abcdef01234567',
      'a/b',
      '0123456789abcdef0123456789abcdef01234567',
    ],
  ])('%s is an id of the hub', (text, name, revision) => {
    expect(parseHubId(text)).toEqual({ name, revision });
    expect(parseHubId(formatHubId({ name, revision }))).toEqual({ name, revision });
  });

  it.each([
    ...[
      'name',
      './org/name',
      '../name',
      '/org/name',
      '~/name',
      'org/name/',
      'a/b/c',
      '',
      '@',
      'a/@b',
    ],
    ...[
      'org\\name',
      'C:\\models',
      'org/na me',
      'org/..',
      '../..',
      'org/a..b',
      'org/a--b',
      'org/-a',
    ],
    ...['org/name.git', 'org/.name', 'org/name@', 'org/name@..', 'org/name@a/../b', 'org/name@/a'],
    ...[
      'org/name@a\0b',
      'org/na\0me',
      'org/name@a b',
      'org/name@a\nb',
      'org/name\n',
      'org/name@-x',
    ],
    `org/${'a'.repeat(97)}`,
  ])('%j is a path', (text) => {
    expect(parseHubId(text)).toBeUndefined();
  });
});

describe('the environment', () => {
  it('puts the cache where huggingface_hub has it', async () => {
    const cacheOf = async (env: Record<string, string>): Promise<string> =>
      (await readHubSettings({ HF_TOKEN: 'hf_x', ...env })).cache;
    expect(await cacheOf({})).toBe(join(homedir(), '.cache', 'huggingface', 'hub'));
    expect(await cacheOf({ XDG_CACHE_HOME: '/x' })).toBe('/x/huggingface/hub');
    expect(await cacheOf({ XDG_CACHE_HOME: '/x', HF_HOME: '/home/of/hf' })).toBe('/home/of/hf/hub');
    expect(await cacheOf({ HF_HOME: '~/hf' })).toBe(join(homedir(), 'hf', 'hub'));
    expect(await cacheOf({ HF_HOME: '$DISK/hf', DISK: '/disk' })).toBe('/disk/hf/hub');
    expect(await cacheOf({ HF_HOME: '/a', HF_HUB_CACHE: '/b' })).toBe('/b');
    expect(await cacheOf({ HUGGINGFACE_HUB_CACHE: '/c', HF_HUB_CACHE: '' })).toBe('/c');
  });

  it('gives the token, else the file in HF_HOME does', async () => {
    const home = await mkdtemp(join(tmpdir(), 'gapvl-hub-'));
    try {
      expect((await readHubSettings({ HF_HOME: home })).token).toBeUndefined();
      await writeFile(join(home, 'token'), 'hf_file\n');
      const source = join(home, 'token');
      expect((await readHubSettings({ HF_HOME: home })).token).toEqual({
        value: 'hf_file',
        source,
      });
      const both = await readHubSettings({ HF_HOME: home, HF_TOKEN: ' hf_env\n' });
      expect(both.token).toEqual({ value: 'hf_env', source: 'HF_TOKEN' });
      const empty = await readHubSettings({ HF_HOME: home, HF_TOKEN: '' });
      expect(empty.token?.value).toBe('hf_file');
    } finally {
      await rm(home, { recursive: true, force: true });
    }
  });

  it('is refused without showing what is secret in it', async () => {
    for (const env of [
      { HF_TOKEN: 'hf_secret and more' },
      { HF_TOKEN: 'hf_secret\u00e9' },
      { HF_TOKEN: 'hf_x', HF_ENDPOINT: 'https://user:secret@hub' },
      { HF_TOKEN: 'hf_x', HF_ENDPOINT: 'file:///secret' },
      { HF_TOKEN: 'hf_x', HF_ENDPOINT: 'secret' },
    ]) {
      const error: unknown = await readHubSettings(env).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(ConfigError);
      expect(String(error)).not.toContain('secret');
    }
  });

  it('names the endpoint without a slash at its end, and says when to stay offline', async () => {
    const settings = await readHubSettings({ HF_TOKEN: 'x', HF_ENDPOINT: 'http://mirror:81/hf/' });
    expect(settings).toMatchObject({ endpoint: 'http://mirror:81/hf', offline: false });
    for (const word of ['1', 'true', 'ON', 'yes']) {
      expect(await readHubSettings({ HF_HUB_OFFLINE: word })).toMatchObject({ offline: true });
    }
    expect(await readHubSettings({ HF_HUB_OFFLINE: '0' })).toMatchObject({ offline: false });
  });
});
