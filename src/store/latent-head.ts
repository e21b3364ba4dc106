// Owns the file of the latent head beside a checkpoint: reading and writing a model that has one.
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { CheckpointError } from '../errors.ts';
import { readSafetensors, writeSafetensors } from '../engine/safetensors.ts';
import type { Tensor } from '../engine/tensor.ts';
import { decodeBasis, encodeBasis, expectBasisWidth } from '../latent/basis-file.ts';
import { AFTER_SPAN } from '../latent/after-span.ts';
import { headSpecs } from '../latent/head.ts';
import { makeHead, outputHead } from '../latent/model.ts';
import type { GapModel, LatentHead, LatentSettings } from '../latent/model.ts';
import type { PcaBasis } from '../latent/pca.ts';
import { VARIANTS } from '../latent/variants.ts';
import type { ModelBundle } from '../model/bundle.ts';
import { fillWeights } from '../model/weights.ts';
import type { WeightSource, Weights } from '../model/weights.ts';
import { expectLatentTokens } from '../processor/tokens.ts';
import { openModelBundle, readModelBundle } from './model-folder.ts';

/** File of the latent head beside a checkpoint. */
export const HEAD_FILE = 'latent_head.safetensors';

/** Most latents of a span that a file may ask for; ours: the paper studies 144 at most. */
const MAX_LATENTS = 4096;

function parseJson(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? 'null');
  } catch {
    return null;
  }
}

function parseSettings(text: string | undefined, place: string): LatentSettings {
  const parsed = parseJson(text) as Partial<LatentSettings> | null;
  const { variant, numLatents, positions, head, afterSpan } = parsed ?? {};
  const known = variant !== undefined && Object.hasOwn(VARIANTS, variant);
  const isWhole =
    known &&
    typeof numLatents === 'number' &&
    numLatents >= 1 &&
    numLatents <= MAX_LATENTS &&
    Number.isInteger(Math.sqrt(numLatents)) &&
    (positions?.kind === 'sequential' || positions?.kind === 'grid') &&
    head?.kind === VARIANTS[variant].head &&
    // Files that were written before there was a choice say nothing.
    (afterSpan === undefined || AFTER_SPAN.includes(afterSpan));
  if (isWhole) return parsed as LatentSettings;
  throw new CheckpointError({
    what: `${place} does not say how its latents are written`,
    got: text?.slice(0, 400) ?? 'no settings',
    expected: `a known variant with its head, positions, what is hidden after spans (or nothing), and K a square up to ${MAX_LATENTS}`,
    fix: 'train again, or remove the file to use the model without latents',
  });
}

/** Makes sure that head, basis and decoder are of one size and that a PCA head has its basis. */
function expectFit(
  { head }: LatentSettings,
  basis: PcaBasis | undefined,
  hiddenSize: number,
  place: string,
): void {
  if (basis) expectBasisWidth(basis, hiddenSize, place);
  const width = head.kind === 'output' ? hiddenSize : head.hiddenSize;
  const numComponents = head.kind === 'pca' ? head.numComponents : undefined;
  if (width === hiddenSize && numComponents === (head.kind === 'pca' ? basis?.k : undefined)) {
    return;
  }
  throw new CheckpointError({
    what: `${place} does not fit the model it stands beside`,
    got: `a ${head.kind} head of width ${width}, ${basis ? `a basis of ${basis.k} components` : 'no basis'}`,
    expected: `width ${hiddenSize}${numComponents === undefined ? '' : `, a basis of ${numComponents} components`}`,
    fix: 'train again, or get both files from the same run',
  });
}

/** Reads a model folder with its latent head, if it has one, to be trained. */
export async function readGapModel(folder: string): Promise<GapModel<Weights>> {
  return withHead(folder, await readModelBundle(folder));
}

/** Opens a model folder with its latent head, if it has one, to be run; weights stay in files. */
export async function openGapModel(folder: string): Promise<GapModel> {
  return withHead(folder, await openModelBundle(folder));
}

async function withHead<W extends WeightSource>(
  folder: string,
  bundle: ModelBundle<W>,
): Promise<GapModel<W>> {
  const place = join(folder, HEAD_FILE);
  const present = await access(place).then(
    () => true,
    () => false,
  );
  if (!present) return { bundle, head: outputHead() };
  expectLatentTokens(bundle.sequence, folder);
  const file = await readSafetensors(place);
  const settings = parseSettings(file.metadata.get('settings'), place);
  const specs = headSpecs(settings.head);
  const weights = fillWeights(specs, file.tensors, place);
  const { hiddenSize } = bundle.checkpoint.config.text;
  if (!file.metadata.has('basis')) {
    expectFit(settings, undefined, hiddenSize, place);
    return { bundle, head: makeHead(settings.head, weights), settings };
  }
  const { basis } = decodeBasis(
    {
      tensors: new Map([...file.tensors].filter(([name]) => name.startsWith('latent_basis.'))),
      metadata: file.metadata,
    },
    place,
  );
  expectFit(settings, basis, hiddenSize, place);
  return { bundle, head: makeHead(settings.head, weights, basis), settings };
}

/** Writes the head file beside a checkpoint. */
export async function writeLatentHead(
  folder: string,
  head: LatentHead,
  settings: LatentSettings,
  provenance: ReadonlyMap<string, string>,
): Promise<void> {
  const stored = head.basis
    ? encodeBasis(head.basis, new Map())
    : { tensors: new Map<string, Tensor>(), metadata: new Map<string, string>() };
  await writeSafetensors(
    join(folder, HEAD_FILE),
    new Map<string, Tensor>([...head.weights.byName, ...stored.tensors]),
    new Map([
      ...stored.metadata,
      ...provenance,
      ['settings', JSON.stringify(settings)],
      ...(head.basis ? [['basis', head.basis.kind] as const] : []),
    ]),
  );
}
