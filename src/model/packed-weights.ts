// Owns which parameters of a stored model are packed, and what its files must hold; store/ calls it.
import { BLOCK_SIZE, numBlocks } from '../engine/ops/packed.ts';
import type { PackedBits, Packing } from '../engine/ops/packed.ts';
import type { ModelConfig, TextConfig } from './config.ts';
import { PACKED_SUFFIXES, modelSpecs, packedSpecs } from './parameters.ts';
import type { PackedUse, ParameterSpec } from './parameters.ts';

const TABLE = 'model.embed_tokens.weight';
const HEAD = 'lm_head.weight';

/** What a packed matrix is used for, by its name. */
export function useOf(name: string): PackedUse {
  return name === TABLE ? 'table' : 'product';
}

/** The language head as a matrix of its own, which a packed tied model has. */
export function headSpec({ vocabSize, hiddenSize }: TextConfig): ParameterSpec {
  return { name: HEAD, dims: [vocabSize, hiddenSize] };
}

/** Parameters a model that is run may have: also a head of its own where the head is tied. */
export function runSpecs(config: ModelConfig): readonly ParameterSpec[] {
  const specs = modelSpecs(config);
  return config.text.tieWordEmbeddings ? [...specs, headSpec(config.text)] : specs;
}

function bitsOf(info: { readonly dims: readonly number[] }, columns: number): number {
  const perRow = info.dims.slice(1).reduce((product, dim) => product * dim, 1);
  return (perRow * 8) / (numBlocks(columns) * BLOCK_SIZE);
}

/** The packings of a stored model, read off the shapes of its tensors. */
export function findPackings(
  specs: readonly ParameterSpec[],
  infos: ReadonlyMap<string, { readonly dims: readonly number[] }>,
): ReadonlyMap<string, Packing> {
  const packings = new Map<string, Packing>();
  for (const { name, dims } of specs) {
    const codes = infos.get(name + PACKED_SUFFIXES.codes);
    if (!codes || dims.length !== 2) continue;
    const bits: PackedBits = bitsOf(codes, dims[1] ?? 0) === 8 ? 8 : 4;
    packings.set(name, { bits, symmetric: !infos.has(name + PACKED_SUFFIXES.zeros) });
  }
  return packings;
}

/** Every tensor that the files of a model have to hold. */
export function storedSpecs(
  config: ModelConfig,
  packings: ReadonlyMap<string, Packing>,
): readonly ParameterSpec[] {
  const tied = config.text.tieWordEmbeddings && packings.has(HEAD) ? [headSpec(config.text)] : [];
  return [...modelSpecs(config), ...tied].flatMap((spec) => {
    const packing = packings.get(spec.name);
    return packing ? packedSpecs(spec, packing, useOf(spec.name)) : [spec];
  });
}
