// Keeps heads of a 7B model's width beside a checkpoint and gets them back bit for bit.
// Axes: D hidden, K components.
import { describe, expect, it } from 'vitest';
import { bytesOf } from '../../../src/engine/tensor.ts';
import { TRAIN_RECIPES } from '../../../src/config.ts';
import { randomBasis } from '../../../src/latent/basis-controls.ts';
import { headSpecs, initialiseHead } from '../../../src/latent/head.ts';
import { makeHead } from '../../../src/latent/model.ts';
import type { LatentSettings } from '../../../src/latent/model.ts';
import { VARIANTS } from '../../../src/latent/variants.ts';
import type { PcaBasis } from '../../../src/latent/pca.ts';
import { parseModelConfig } from '../../../src/model/config.ts';
import { modelSpecs } from '../../../src/model/parameters.ts';
import { Weights } from '../../../src/model/weights.ts';
import { Rng } from '../../../src/rng.ts';
import { writeCheckpoint } from '../../../src/store/checkpoint.ts';
import { openGapModel, writeLatentHead } from '../../../src/store/latent-head.ts';
import { writeCompanions } from '../../../src/store/model-folder.ts';
import { variantHead } from '../../../src/train/gap.ts';
import { MINI_WORDS, inTemporaryFolder, miniConfigJson } from '../../helpers/mini-model.ts';
import { buildTinyTokenizer } from '../../../src/processor/tiny-tokenizer.ts';

/** Width of Qwen2.5-VL-7B; Source: its config.json. */
const HIDDEN = 3584;
const COMPONENTS = 256;
const RECIPE = TRAIN_RECIPES.paper;

function wideBasis(rng: Rng): PcaBasis {
  const plain: PcaBasis = {
    ...{ kind: 'pca', dim: HIDDEN, k: COMPONENTS, count: 10_000 },
    mean_D: Float32Array.from({ length: HIDDEN }, () => rng.normal()),
    basis_DK: new Float32Array(HIDDEN * COMPONENTS),
    eigenvalues: Float64Array.from({ length: HIDDEN }, (_, i) => 1 / (1 + i)),
    ...{ totalVariance: 8.76, explained: 0.7 },
  };
  return { ...plain, basis_DK: randomBasis(plain, rng).basis_DK };
}

describe('a head at the width of a 7B model', () => {
  it.each(['gap', 'lh', 'gap-learned-basis'] as const)(
    'comes back bit for bit from beside a checkpoint: %s',
    async (variant) => {
      await inTemporaryFolder(async (folder) => {
        const rng = new Rng('wide head');
        const basis = wideBasis(rng);
        const narrow = miniConfigJson({ layers: 1 });
        const vision = { ...(narrow['vision_config'] as object), out_hidden_size: HIDDEN };
        const configJson = { ...narrow, hidden_size: HIDDEN, head_dim: 8, vision_config: vision };
        const config = parseModelConfig(configJson, 'the wide model');
        await writeCheckpoint(folder, configJson, new Weights(modelSpecs(config)));
        const preprocessor = {};
        await writeCompanions(folder, { tokenizer: buildTinyTokenizer(MINI_WORDS), preprocessor });

        const spec = variantHead(variant, RECIPE, basis);
        const weights = new Weights(headSpecs(spec));
        initialiseHead(spec, weights, rng, basis);
        const isPca = VARIANTS[variant].head === 'pca';
        const settings: LatentSettings = {
          ...{ variant, numLatents: 36, teacherInputs: 'plain', head: spec },
          positions: { kind: 'sequential' },
        };
        const head = makeHead(spec, weights, isPca ? basis : undefined);
        await writeLatentHead(folder, head, settings, new Map());

        const opened = await openGapModel(folder);
        expect(opened.settings).toEqual(settings);
        expect(opened.head.weights.byName.get('latent_head.projection.weight')?.dims).toEqual([
          ...[isPca || variant !== 'lh' ? COMPONENTS : HIDDEN, HIDDEN],
        ]);
        const own = [...head.weights.byName, ...head.fixed];
        const found = new Map([...opened.head.weights.byName, ...opened.head.fixed]);
        expect([...found.keys()]).toEqual(own.map(([name]) => name));
        expect(found.size).toBe({ gap: 7, lh: 5, 'gap-learned-basis': 7 }[variant]);
        for (const [name, tensor] of own) {
          const back = found.get(name);
          expect(back?.dims, name).toEqual(tensor.dims);
          const same = back && Buffer.compare(bytesOf(back), bytesOf(tensor)) === 0;
          expect(same, name).toBe(true);
        }
        const written = own.filter(([name]) => !/bias|down_proj/.test(name));
        for (const [name, { data }] of written) {
          expect(
            Array.prototype.some.call(data, (x) => x !== 0),
            name,
          ).toBe(true);
        }
      });
    },
  );
});
