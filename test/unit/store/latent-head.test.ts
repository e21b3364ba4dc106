// Holds the reading of a latent head to refusing files that do not fit the model they stand beside.
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readSafetensors, writeSafetensors } from '../../../src/engine/safetensors.ts';
import { CheckpointError } from '../../../src/errors.ts';
import { headSpecs } from '../../../src/latent/head.ts';
import type { HeadSpec } from '../../../src/latent/head.ts';
import { HEAD_FILE, readGapModel, writeLatentHead } from '../../../src/store/latent-head.ts';
import { makeHead } from '../../../src/latent/model.ts';
import type { LatentSettings } from '../../../src/latent/model.ts';
import type { PcaBasis } from '../../../src/latent/pca.ts';
import { Weights } from '../../../src/model/weights.ts';
import { SHIPPED_BASE } from '../../helpers/small-way.ts';

const HIDDEN = 128;
const K = 2;

const BASIS: PcaBasis = {
  kind: 'pca',
  dim: HIDDEN,
  k: K,
  mean_D: new Float32Array(HIDDEN),
  basis_DK: Float32Array.from({ length: HIDDEN * K }, (_, i) => (i === 0 || i === K + 1 ? 1 : 0)),
  eigenvalues: new Float64Array(HIDDEN).fill(1),
  totalVariance: HIDDEN,
  explained: K / HIDDEN,
  count: 1000,
};

const HEAD: HeadSpec = { kind: 'pca', hiddenSize: HIDDEN, numComponents: K, adapterSize: 4 };
const SETTINGS: LatentSettings = {
  variant: 'gap',
  numLatents: 4,
  teacherInputs: 'plain',
  positions: { kind: 'sequential' },
  head: HEAD,
};

let folder = '';

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gapvl-head-'));
  await cp(SHIPPED_BASE, folder, { recursive: true });
  await writeLatentHead(
    folder,
    makeHead(HEAD, new Weights(headSpecs(HEAD)), BASIS),
    SETTINGS,
    new Map(),
  );
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function change(edit: (metadata: Map<string, string>) => void): Promise<void> {
  const path = join(folder, HEAD_FILE);
  const { tensors, metadata } = await readSafetensors(path);
  const changed = new Map(metadata);
  edit(changed);
  await writeSafetensors(path, tensors, changed);
}

describe('the latent head beside a checkpoint', () => {
  it('is read with its basis and settings', async () => {
    const model = await readGapModel(folder);
    expect(model.settings).toEqual(SETTINGS);
    expect(model.head.basis?.k).toBe(K);
  });

  it('says what is hidden after spans only if something is', async () => {
    await change((metadata) => {
      expect(metadata.get('settings')).not.toContain('afterSpan');
      metadata.set('settings', JSON.stringify({ ...SETTINGS, afterSpan: 'picture-hidden' }));
    });
    expect((await readGapModel(folder)).settings?.afterSpan).toBe('picture-hidden');
  });

  it.each<readonly [string, string]>([
    ['is no JSON', '{"variant":"gap"'],
    ['lacks the head', JSON.stringify({ ...SETTINGS, head: undefined })],
    ['names a head of another kind', JSON.stringify({ ...SETTINGS, head: { kind: 'weird' } })],
    ['names a variant of the prototype', JSON.stringify({ ...SETTINGS, variant: 'toString' })],
    ['asks for seven latents', JSON.stringify({ ...SETTINGS, numLatents: 7 })],
    ['asks for latents beyond memory', JSON.stringify({ ...SETTINGS, numLatents: 1e8 })],
    ['hides what is not known', JSON.stringify({ ...SETTINGS, afterSpan: 'everything' })],
    ['lacks the positions', JSON.stringify({ ...SETTINGS, positions: null })],
  ])('is refused when its description %s', async (_, text) => {
    await change((metadata) => metadata.set('settings', text));
    await expect(readGapModel(folder)).rejects.toThrow('does not say how its latents are written');
    await expect(readGapModel(folder)).rejects.toBeInstanceOf(CheckpointError);
  });

  it('is refused without the basis that its head writes in', async () => {
    await change((metadata) => metadata.delete('basis'));
    await expect(readGapModel(folder)).rejects.toThrow('a pca head of width 128, no basis');
  });

  it('is refused when its basis has another size than its head', async () => {
    const wide: HeadSpec = { ...HEAD, numComponents: K + 1 };
    const head = makeHead(wide, new Weights(headSpecs(wide)), BASIS);
    await writeLatentHead(folder, head, { ...SETTINGS, head: wide }, new Map());
    await expect(readGapModel(folder)).rejects.toThrow('a basis of 3 components');
  });

  it('is refused beside a model of another width', async () => {
    const narrow: HeadSpec = { kind: 'full', hiddenSize: 64, adapterSize: 4 };
    const head = makeHead(narrow, new Weights(headSpecs(narrow)));
    await writeLatentHead(folder, head, { ...SETTINGS, variant: 'lh', head: narrow }, new Map());
    await expect(readGapModel(folder)).rejects.toThrow('a full head of width 64');
  });
});
