// Owns the tests of models of the hub where nothing fails: what is downloaded, how it lies in the
// cache, and when the hub is asked again.
import {
  lstat,
  mkdir,
  readFile,
  readdir,
  readlink,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CheckpointError } from '../../../src/errors.ts';
import { resolveModel } from '../../../src/store/hub.ts';
import { HASTE, holds, failure, listTree, makeHub } from '../../helpers/hub-fixture.ts';
import { COMMIT, gitHash, sha256, someBytes } from '../../helpers/hub-server.ts';

const FILES = ['config.json', 'generation_config.json', 'model.safetensors', 'tokenizer.json'];
const OTHER_COMMIT = 'f'.repeat(40);

describe('a model of the hub', () => {
  it('is downloaded with the files a model needs and no others, in the layout of the cache', async () => {
    await using hub = await makeHub();
    const model = await hub.fetch();
    const { files } = hub.server.content;
    expect(model).toMatchObject({
      id: 'org/small',
      revision: 'main',
      commit: COMMIT,
      files: FILES,
    });
    expect(model.folder).toBe(join(hub.model, 'snapshots', COMMIT));
    for (const file of FILES) expect(await holds(model, file, files.get(file))).toBe(true);
    expect(model.sizeBytes).toBe(
      FILES.reduce((sum, file) => sum + (files.get(file)?.length ?? 0), 0),
    );
    const weights = sha256(files.get('model.safetensors') ?? Buffer.alloc(0));
    const config = gitHash(files.get('config.json') ?? Buffer.alloc(0));
    const tree = await listTree(hub.home);
    expect(tree).toHaveLength(2 * FILES.length + 1);
    expect(tree).toContain(`hub/models--org--small/blobs/${weights}`);
    expect(tree).toContain(`hub/models--org--small/blobs/${config}`);
    expect(await readlink(join(model.folder, 'model.safetensors'))).toBe(`../../blobs/${weights}`);
    expect(await readFile(join(hub.model, 'refs', 'main'), 'utf8')).toBe(COMMIT);
  });

  it('is asked for by its commit alone the second time, and by nothing offline', async () => {
    await using hub = await makeHub();
    const first = await hub.fetch();
    hub.server.forget();
    expect(await hub.fetch()).toEqual(first);
    expect(hub.server.paths().filter((path) => !path.startsWith('/api/'))).toEqual([]);
    hub.server.forget();
    expect(await hub.fetch({ offline: true })).toEqual(first);
    expect(await hub.fetch({ env: { ...hub.env, HF_HUB_OFFLINE: '1' } })).toEqual(first);
    expect(await hub.fetch({ offline: true }, COMMIT)).toEqual({ ...first, revision: COMMIT });
    expect(hub.server.requests).toEqual([]);
  });

  it('gets only the files that another commit changed', async () => {
    await using hub = await makeHub();
    await hub.fetch();
    const files = new Map(hub.server.content.files).set('tokenizer.json', Buffer.from('{"a": 1}'));
    hub.server.content = { ...hub.server.content, commit: OTHER_COMMIT, files };
    hub.server.forget();
    const model = await hub.fetch();
    expect(hub.server.paths().filter((path) => !path.startsWith('/api/'))).toEqual([
      `/org/small/resolve/${OTHER_COMMIT}/tokenizer.json`,
    ]);
    expect(model.commit).toBe(OTHER_COMMIT);
    expect(await holds(model, 'tokenizer.json', files.get('tokenizer.json'))).toBe(true);
    expect((await hub.fetch({ offline: true })).commit).toBe(OTHER_COMMIT);
  });

  it('is known by branch, tag and pull request', async () => {
    await using hub = await makeHub();
    for (const revision of ['v1', 'refs/pr/1']) {
      expect(await hub.fetch({}, revision)).toMatchObject({ revision, commit: COMMIT });
      expect(await hub.fetch({ offline: true }, revision)).toMatchObject({ commit: COMMIT });
    }
    expect(await readFile(join(hub.model, 'refs', 'refs', 'pr', '1'), 'utf8')).toBe(COMMIT);
    expect(hub.server.paths()).toContain('/api/models/org/small/revision/refs%2Fpr%2F1');
  });

  it('has its shards from the index and its latent head downloaded', async () => {
    await using hub = await makeHub();
    const { files } = hub.server.content;
    files.delete('model.safetensors');
    const weights = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];
    for (const [i, shard] of weights.entries()) files.set(shard, someBytes(1000 + i, i));
    files.set('model-of-something-else.safetensors', someBytes(5));
    files.set('latent_head.safetensors', someBytes(77));
    const map = { a: weights[0], b: weights[1], c: weights[0] };
    files.set('model.safetensors.index.json', Buffer.from(JSON.stringify({ weight_map: map })));
    const model = await hub.fetch();
    expect(model.files.filter((file) => file.includes('safetensors'))).toEqual([
      'latent_head.safetensors',
      ...weights,
      'model.safetensors.index.json',
    ]);
    expect(await holds(model, weights[1] ?? '', someBytes(1001, 1))).toBe(true);
  });

  it('shows its progress up to the size of all that was missing', async () => {
    await using hub = await makeHub(2_000_000);
    const seen: (readonly [number, number, string])[] = [];
    const model = await hub.fetch({ onProgress: (...args) => void seen.push(args) });
    expect(seen.at(-1)).toEqual([model.sizeBytes, model.sizeBytes, 'model.safetensors']);
    const done = seen.map(([bytes]) => bytes);
    expect(done).toEqual([...done].sort((a, b) => a - b));
    seen.length = 0;
    await hub.fetch({ onProgress: (...args) => void seen.push(args) });
    expect(seen).toEqual([]);
  });

  it('lies in its folder as files where there are no symlinks', async () => {
    await using hub = await makeHub();
    const env = { ...hub.env, HF_HUB_DISABLE_SYMLINKS: '1' };
    const model = await hub.fetch({ env });
    for (const file of model.files) {
      expect((await lstat(join(model.folder, file))).isSymbolicLink()).toBe(false);
      expect(await holds(model, file, hub.server.content.files.get(file))).toBe(true);
    }
    // What huggingface_hub does there: it moves the blob into the snapshot.
    await rm(join(hub.model, 'blobs'), { recursive: true });
    hub.server.forget();
    expect(await hub.fetch({ env })).toEqual(model);
    expect(hub.server.paths().filter((path) => !path.startsWith('/api/'))).toEqual([]);
  });

  it('is found where huggingface_hub downloaded it', async () => {
    await using hub = await makeHub();
    const { files } = hub.server.content;
    const snapshot = join(hub.model, 'snapshots', COMMIT);
    for (const folder of ['blobs', 'refs', 'trees'])
      await mkdir(join(hub.model, folder), { recursive: true });
    await mkdir(join(snapshot, 'original'), { recursive: true });
    await mkdir(join(hub.home, 'hub', '.locks', 'models--org--small'), { recursive: true });
    for (const [name, content] of files) {
      const hash = name.endsWith('.safetensors') ? sha256(content) : gitHash(content);
      await writeFile(join(hub.model, 'blobs', hash), content);
      const up = name.includes('/') ? '../../../blobs' : '../../blobs';
      await symlink(`${up}/${hash}`, join(snapshot, name));
      await writeFile(join(hub.home, 'hub', '.locks', 'models--org--small', `${hash}.lock`), '');
    }
    await writeFile(join(hub.model, 'refs', 'main'), COMMIT);
    const before = await listTree(hub.home);
    expect((await hub.fetch({ offline: true })).folder).toBe(snapshot);
    expect(hub.server.requests).toEqual([]);
    expect((await hub.fetch()).folder).toBe(snapshot);
    expect(hub.server.paths().filter((path) => !path.startsWith('/api/'))).toEqual([]);
    expect(await listTree(hub.home)).toEqual(before);
  });

  it('replaces a blob that was cut off', async () => {
    await using hub = await makeHub();
    const model = await hub.fetch();
    const content = hub.server.content.files.get('model.safetensors') ?? Buffer.alloc(0);
    await writeFile(join(hub.model, 'blobs', sha256(content)), content.subarray(0, 100));
    await hub.fetch();
    expect(await holds(model, 'model.safetensors', content)).toBe(true);
  });

  it('that was not downloaded is an error offline, and one that was downloaded in part', async () => {
    await using hub = await makeHub();
    const none = await failure(hub.fetch({ offline: true }));
    expect(none).toBeInstanceOf(CheckpointError);
    expect(none.message).toContain('gapvl fetch org/small');
    const model = await hub.fetch();
    await rm(join(model.folder, 'model.safetensors'));
    const part = await failure(hub.fetch({ offline: true }));
    expect(part.message).toContain('without model.safetensors');
  });

  it('is used from the cache when the hub is away, and says so', async () => {
    await using hub = await makeHub();
    const model = await hub.fetch();
    const notes: string[] = [];
    const onNote = (line: string): void => void notes.push(line);
    hub.server.intercept = (_, response) => {
      response.writeHead(503).end();
      return true;
    };
    expect(await hub.fetch({ onNote })).toEqual(model);
    expect(notes.join()).toContain(`HTTP 503); using ${model.folder}`);
    await hub.server[Symbol.asyncDispose]();
    notes.length = 0;
    expect(await hub.fetch({ onNote })).toEqual(model);
    expect(notes.join()).toContain('ECONNREFUSED');
  });

  it('is asked for only where there is no such folder', async () => {
    await using hub = await makeHub();
    const options = { env: hub.env, patience: HASTE };
    const cwd = process.cwd();
    await mkdir(join(hub.home, 'org', 'small'), { recursive: true });
    try {
      process.chdir(hub.home);
      expect(await resolveModel('org/small', options)).toBe('org/small');
    } finally {
      process.chdir(cwd);
    }
    for (const path of ['./org/small', '/no/where', 'org\\small', '~/x', 'nowhere']) {
      expect(await resolveModel(path, options)).toBe(path);
    }
    expect(hub.server.requests).toEqual([]);
    expect(await resolveModel('org/small', options)).toBe(join(hub.model, 'snapshots', COMMIT));
    expect(await readdir(join(hub.home, 'org', 'small'))).toEqual([]);
  });
});
