// Owns what a frozen model says about pictures and rows, its weights on the disk and read layer by
// layer; head-only training calls it.
// Axes: T tokens of a row, N rows of embeddings, M picture tokens, D hidden.
import { zeros } from '../engine/tensor.ts';
import type { Tensor } from '../engine/tensor.ts';
import type { TensorReader } from '../engine/safetensors.ts';
import type { Raster } from '../data/raster.ts';
import { patchify } from '../processor/patches.ts';
import type { ModelBundle } from './bundle.ts';
import { TABLE, decoderLayers, visionLayers } from './by-layer.ts';
import { int64Tensor, pictureLayout, visionFeeds } from './feeds.ts';
import { sweepLayers } from './layer-sweep.ts';
import type { SweepOptions, SweptBatch } from './layer-sweep.ts';
import { LayerWeights } from './layer-weights.ts';
import { modelSpecs } from './parameters.ts';

/** Pictures that go through the tower together; ours: their states stay below those of a layer. */
const PICTURES_AT_ONCE = 16;

/** Embeddings that stand in a row in place of the table's. */
export interface GivenEmbeddings {
  /** Positions in the row. */
  readonly places: ArrayLike<number>;
  /** As many rows, one after the other. */
  readonly rows_ND: Float32Array;
}

/** One row without padding, as the decoder reads it. */
export interface BackboneRow {
  readonly inputIds_T: ArrayLike<number>;
  /** Temporal, height and width positions, flat. */
  readonly positions_3T: ArrayLike<number>;
  readonly given: readonly GivenEmbeddings[];
}

/** A model whose weights stay on the disk. The reader is the caller's to close. */
export class FrozenBackbone {
  private readonly bundle: ModelBundle;
  private readonly weights: LayerWeights;
  private readonly options: SweepOptions;

  /** @throws CheckpointError when the tensors are not those of the model. */
  constructor(bundle: ModelBundle, reader: TensorReader, options: SweepOptions = {}) {
    const { config, folder } = bundle.checkpoint;
    this.bundle = bundle;
    this.weights = new LayerWeights(reader, modelSpecs(config), folder);
    this.options = options;
  }

  /** The scale [D] of the decoder's final norm. */
  async finalNorm(): Promise<Tensor> {
    const name = 'model.norm.weight';
    const dims = [this.bundle.checkpoint.config.text.hiddenSize];
    return (await this.weights.read([{ name, dims }]))[name] as Tensor;
  }

  /** Embeddings [M, D] of pictures whose sides are multiples of patch x merge, one after the other. */
  async encode(pictures: readonly Raster[]): Promise<Float32Array> {
    const { config } = this.bundle.checkpoint;
    const parts: Float32Array[] = [];
    for (let start = 0; start < pictures.length; start += PICTURES_AT_ONCE) {
      const { pixelValues_PF, grids } = patchify(
        pictures.slice(start, start + PICTURES_AT_ONCE),
        this.bundle.patches,
      );
      const layout = pictureLayout(config.vision, grids);
      const feeds = visionFeeds(config.vision, pixelValues_PF, grids, layout.kind);
      const tower = visionLayers(config, layout);
      const [merged_MD] = await sweepLayers(tower, this.weights, [{ feeds }], this.options);
      if (merged_MD) parts.push(merged_MD.data);
    }
    const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }

  /**
   * States [1, T, D] of rows after the last layer and before the final norm. The decoder is read
   * once, whatever the number of rows; a row's states do not depend on the others.
   */
  async states(rows: readonly BackboneRow[]): Promise<Tensor<'f32'>[]> {
    const { config } = this.bundle.checkpoint;
    const first = await this.embed(rows);
    const batches = rows.map(({ inputIds_T, positions_3T }, i): SweptBatch => {
      const length = inputIds_T.length;
      return {
        feeds: {
          attention_mask: int64Tensor([1, length], new Int32Array(length).fill(1)),
          position_ids: int64Tensor([3, 1, length], positions_3T),
        },
        first: first[i] as Tensor<'f32'>,
      };
    });
    return sweepLayers(decoderLayers(config), this.weights, batches, this.options);
  }

  private async embed(rows: readonly BackboneRow[]): Promise<Tensor<'f32'>[]> {
    const width = this.bundle.checkpoint.config.text.hiddenSize;
    const table = await this.weights.rows(TABLE, new Set(rows.flatMap(idsFromTable)));
    return rows.map((row) => {
      const embedded = zeros('f32', [1, row.inputIds_T.length, width]);
      Array.from(row.inputIds_T).forEach((id, at) => {
        const own = table.get(id);
        if (own) embedded.data.set(own, at * width);
      });
      for (const { places, rows_ND } of row.given) {
        Array.from(places).forEach((at, i) => {
          embedded.data.set(rows_ND.subarray(i * width, (i + 1) * width), at * width);
        });
      }
      return embedded;
    });
  }
}

function idsFromTable({ inputIds_T, given }: BackboneRow): number[] {
  const taken = new Set(given.flatMap(({ places }) => Array.from(places)));
  return Array.from(inputIds_T).filter((_, at) => !taken.has(at));
}
