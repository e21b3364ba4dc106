// Owns the tests of commands whose model comes from the hub: `gapvl fetch`, and `--model ORG/NAME`
// of all the others.
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { encodePng } from '../../../src/data/png.ts';
import { createRaster } from '../../../src/data/raster.ts';
import { writeSafetensors } from '../../../src/engine/safetensors.ts';
import { tensor } from '../../../src/engine/tensor.ts';
import { gapvl } from '../../helpers/command-line.ts';
import { hubEnvironment } from '../../helpers/hub-fixture.ts';
import { COMMIT, HubServer, shippedModel } from '../../helpers/hub-server.ts';
import { SHIPPED_BASE } from '../../helpers/small-way.ts';

describe('a command whose model comes from the hub', () => {
  let server: HubServer;
  let folder: string;
  const at = (name: string): string => join(folder, name);
  const words = (line: string): string[] => line.replaceAll('@/', `${folder}/`).split(' ');
  const snapshot = (): string => at(join('hf', 'hub', 'models--org--base', 'snapshots', COMMIT));

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'gapvl-fetch-'));
    server = await HubServer.start(await shippedModel());
    for (const [name, value] of Object.entries(hubEnvironment(server, at('hf')))) {
      vi.stubEnv(name, value);
    }
    await mkdir(at('data'));
    await writeFile(at('grey.png'), encodePng(createRaster(96, 96, [128, 128, 128])));
    const ids = tensor('i64', [1, 2], BigInt64Array.of(1n, 2n));
    await writeSafetensors(at('inputs'), new Map([['input_ids', ids]]));
  });
  afterAll(async () => {
    vi.unstubAllEnvs();
    await server[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  const ASK = 'generate --threads 1 --json --image @/grey.png --max-new-tokens 12 --model';

  it('answers as with the folder it was made from, and shows the download', async () => {
    const question = 'where';
    const line = ASK.replace(' --json', '');
    const shown = await gapvl([...words(`${line} org/base`), question]);
    expect(shown.code).toBe(0);
    expect(shown.err).toMatch(/org\/base \(MB\) .*3\.5\/3\.5/);
    expect(server.paths('storage')).toEqual(['/model.safetensors?signature=good']);
    const fromFolder = await gapvl([...words(`${line} ${SHIPPED_BASE}`), question]);
    expect(shown.out).toBe(fromFolder.out);
    expect(fromFolder.out.length).toBeGreaterThan(2);

    server.forget();
    const offline = await gapvl([...words(`${ASK} org/base@main --offline`), question]);
    expect(offline).toMatchObject({ code: 0, err: '' });
    expect(server.requests).toEqual([]);
    const record = JSON.parse(offline.out) as { model: string; hash: string };
    const whole = JSON.parse(
      (await gapvl([...words(`${ASK} ${SHIPPED_BASE}`), question])).out,
    ) as typeof record;
    expect(record).toEqual({ ...whole, model: snapshot() });
  });

  it('is gapvl fetch, which prints the folder', async () => {
    const { code, out } = await gapvl(['fetch', 'org/base@v1', '--quiet']);
    expect([code, out]).toEqual([0, `${snapshot()}\n`]);
    const json = await gapvl(['fetch', 'org/base', '--offline', '--json']);
    const files = (await readdir(SHIPPED_BASE)).filter((file) => file !== 'training.jsonl').sort();
    expect(JSON.parse(json.out)).toEqual({
      ...{ id: 'org/base', revision: 'main', commit: COMMIT, folder: snapshot(), files },
      bytes: expect.any(Number) as number,
    });
    expect(await readdir(snapshot())).toEqual(files);
  });

  it('runs tensors through it', async () => {
    const line = 'forward --model org/base --inputs @/inputs --outputs @/outputs --quiet';
    expect(await gapvl(words(line))).toMatchObject({ code: 0, err: '' });
  });

  it.each([
    `${ASK} org/none where`,
    'capacity score --model org/none --data @/data --out @/never',
    'pca fit --model org/none --data @/data --out @/never',
    'train --variant dense-caption --model org/none --data @/data --out @/never',
    'forward --model org/none --inputs @/inputs --outputs @/never',
    'compare --model a=org/none --data @/data --out @/never',
    'fetch org/none',
  ])('says that there is no such model: %s', async (line) => {
    const { code, out, err } = await gapvl(words(line));
    expect(code).toBe(3);
    expect(out + err).toContain('The hub has no model org/none');
    const offline = await gapvl(words(`${line} --offline`));
    expect(offline.code).toBe(3);
    expect(offline.out + offline.err).toContain('org/none is not on this machine');
    expect(await readdir(folder)).not.toContain('never');
  });

  it('does not ask the hub about a path', async () => {
    server.forget();
    const { code, err } = await gapvl(words(`${ASK.replace(' --json', '')} ./org/none where`));
    expect(code).toBe(3);
    expect(err).toContain('org/none/config.json cannot be read');
    expect(server.requests).toEqual([]);
  });
});
