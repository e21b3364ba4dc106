// Owns the tests of a disk that is full, on a small file system of its own; mounting one needs root.
import { execFileSync } from 'node:child_process';
import { lstat, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RuntimeError } from '../../../src/errors.ts';
import { failure, halfFiles, holds, listTree, makeHub } from '../../helpers/hub-fixture.ts';

const WEIGHTS = 'model.safetensors';
const SIZE = 2_000_000;
const HALF = 1_200_000;

async function mountSmallDisk(): Promise<string | undefined> {
  const folder = await mkdtemp(join(tmpdir(), 'gapvl-disk-'));
  try {
    const mount = ['-t', 'tmpfs', '-o', 'size=4m,mode=700', 'tmpfs', folder];
    execFileSync('mount', mount, { stdio: 'ignore' });
    return folder;
  } catch {
    await rm(folder, { recursive: true });
    return undefined;
  }
}

const disk = await mountSmallDisk();
const title =
  disk === undefined
    ? 'a disk that is full (skipped: nothing can be mounted here)'
    : 'a disk that is full';

describe.skipIf(disk === undefined)(title, () => {
  let [home, filler] = ['', ''];
  beforeAll(() => {
    home = join(disk ?? '', 'hf');
    filler = join(disk ?? '', 'filler');
  });
  afterAll(async () => {
    if (disk === undefined) return;
    execFileSync('umount', [disk]);
    await rm(disk, { recursive: true });
  });

  it('is left for another one by copies where neither kind of link works', async () => {
    await using hub = await makeHub();
    const blobs = join(disk ?? '', 'blobs');
    await mkdir(blobs);
    await mkdir(hub.model, { recursive: true });
    await symlink(blobs, join(hub.model, 'blobs'));
    const model = await hub.fetch({ env: { ...hub.env, HF_HUB_DISABLE_SYMLINKS: '1' } });
    for (const file of model.files) {
      const found = await lstat(join(model.folder, file));
      expect([found.isSymbolicLink(), found.nlink]).toEqual([false, 1]);
      expect(await holds(model, file, hub.server.content.files.get(file))).toBe(true);
    }
    await rm(blobs, { recursive: true });
  });

  it('is noticed before anything large comes', async () => {
    await using hub = await makeHub(SIZE, home);
    await writeFile(filler, Buffer.alloc(3_000_000));
    const error = await failure(hub.fetch());
    expect(error).toBeInstanceOf(RuntimeError);
    expect(error.message).toContain('Not enough disk space for org/small');
    expect(error.message).toContain('2,000,000 bytes for what is not downloaded yet');
    expect(hub.server.paths('storage')).toEqual([]);
    await rm(filler);
    await rm(home, { recursive: true });
  });

  it('keeps what came when it fills up, and a later run goes on', async () => {
    await using hub = await makeHub(SIZE, home);
    const content = hub.server.content.files.get(WEIGHTS) ?? Buffer.alloc(0);
    hub.server.intercept = (seen, response) => {
      if (seen.host !== 'storage') return false;
      response.writeHead(200, { 'content-length': SIZE }).write(content.subarray(0, HALF));
      const fillUp = async (): Promise<void> => {
        while ((await halfFiles(hub.model))[0]?.size !== HALF) continue;
        // As large as it can be: this fails, too, when the disk is full.
        await writeFile(filler, Buffer.alloc(4_000_000)).catch(() => undefined);
        response.end(content.subarray(HALF));
      };
      void fillUp();
      return true;
    };
    const error = await failure(hub.fetch());
    expect(error).toBeInstanceOf(RuntimeError);
    expect(error.message).toContain(`Disk full while downloading ${WEIGHTS}`);
    expect(error.message).toContain('goes on where it stopped');
    const [half] = await halfFiles(hub.model);
    expect(half?.size).toBeGreaterThanOrEqual(HALF);
    expect((await failure(hub.fetch({ offline: true }))).message).toContain('not on this machine');

    await rm(filler);
    hub.server.intercept = () => false;
    const model = await hub.fetch();
    const { headers } = hub.server.requests.filter(({ host }) => host === 'storage').at(-1) ?? {};
    expect(headers?.range).toBe(`bytes=${half?.size ?? 0}-`);
    expect(await holds(model, WEIGHTS, content)).toBe(true);
    expect((await listTree(home)).filter((path) => path.includes('incomplete'))).toEqual([]);
  });
});
