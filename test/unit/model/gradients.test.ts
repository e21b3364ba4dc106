// Checks the gradient of the whole model, pictures to loss, by central differences in f64.
import { afterAll, describe, expect, it } from 'vitest';
import { encodeGraph } from '../../../src/engine/encode.ts';
import { gradients } from '../../../src/engine/gradient.ts';
import { Graph } from '../../../src/engine/graph.ts';
import { Session } from '../../../src/engine/session.ts';
import { cast } from '../../../src/engine/tensor.ts';
import type { Tensor } from '../../../src/engine/tensor.ts';
import { parseModelConfig } from '../../../src/model/config.ts';
import { pictureLayout } from '../../../src/model/feeds.ts';
import { forwardFeeds, pictureGrids } from '../../../src/model/forward.ts';
import { declareParameters, modelSpecs } from '../../../src/model/parameters.ts';
import { fullGraph } from '../../../src/model/qwen.ts';
import { Rng } from '../../../src/rng.ts';
import { TOLERANCE } from '../../helpers/gradient-check.ts';
import { makeInputs } from '../../helpers/mini-inputs.ts';
import type { MiniBatch } from '../../helpers/mini-inputs.ts';
import { miniConfigJson, randomWeights } from '../../helpers/mini-model.ts';
import type { MiniOptions } from '../../helpers/mini-model.ts';
import { WorstErrors } from '../../helpers/relative-error.ts';

const COORDINATES = 2;
/** Fourth-order stencil: wrong by h^4 f'''''/30, and by rounding 1e-16 / h. */
const STEP = 2 ** -9;
const STENCIL = [
  [-2, 1 / 12],
  [-1, -8 / 12],
  [1, 8 / 12],
  [2, -1 / 12],
] as const;

const CASES: Readonly<Record<string, readonly [MiniOptions, MiniBatch]>> = {
  'tied, two pictures of different size, left padding': [
    { tied: true, layers: 2, depth: 2, kvHeads: 1 },
    { rows: [{ text: 3, picture: [3, 1] }, { text: 4 }, { text: 2, picture: [1, 3] }] },
  ],
  'untied, equal pictures of full windows': [
    { tied: false, layers: 1, depth: 2, kvHeads: 2 },
    { rows: [{ text: 3, picture: [2, 2] }] },
  ],
};

const worst = new WorstErrors();

describe('the gradient of the whole model in f64', () => {
  afterAll(() => {
    console.info(`largest error of a gradient in f64: ${worst.summary()}`);
  });

  it.each(Object.entries(CASES))('agrees with differences: %s', async (_name, [options, batch]) => {
    const config = parseModelConfig(miniConfigJson(options), 'the mini model');
    const rng = new Rng(3);
    const specs = modelSpecs(config);
    const weights = new Map<string, Tensor<'f64'>>();
    for (const [name, value] of randomWeights(specs, rng).byName) {
      weights.set(name, cast(value, 'f64'));
    }
    const inputs = makeInputs(config, batch, rng);
    const feeds: Record<string, Tensor> = { ...forwardFeeds(config, inputs) };
    for (const [name, value] of Object.entries(feeds)) {
      if (value.dtype === 'f32') feeds[name] = cast(value, 'f64');
    }
    const graph = new Graph('f64');
    const parameters = declareParameters(graph, specs);
    const { loss } = fullGraph(config, graph, parameters, {
      labels: true,
      pictures: pictureLayout(config.vision, pictureGrids(inputs)),
    });
    if (!loss) throw new Error('labels give a loss');
    graph.output('loss', loss);
    await using forward = await Session.create(encodeGraph(graph), { threads: 1, spinning: false });
    const targets = specs.map(({ name }) => parameters(name));
    gradients(loss, targets).forEach((grad, i) => {
      graph.output(`gradient.${specs[i]?.name ?? ''}`, grad);
    });
    await using backward = await Session.create(encodeGraph(graph), {
      threads: 1,
      spinning: false,
    });
    const all = { ...feeds, ...Object.fromEntries(weights) };
    const analytic = await backward.run(all);
    const lossNow = async (): Promise<number> => Number((await forward.run(all))['loss']?.data[0]);
    for (const { name } of specs) {
      const data = weights.get(name)?.data ?? new Float64Array(0);
      const grad = analytic[`gradient.${name}`]?.data as Float64Array;
      const size = grad.reduce((most, g) => Math.max(most, Math.abs(g)), 0);
      expect(size, name).toBeGreaterThan(1e-6);
      for (let i = 0; i < COORDINATES; i++) {
        const at = rng.int(data.length);
        const value = data[at] ?? NaN;
        let slope = 0;
        for (const [steps, weight] of STENCIL) {
          data[at] = value + steps * STEP;
          slope += (weight / STEP) * (await lossNow());
        }
        data[at] = value;
        const error = Math.abs(slope - (grad[at] ?? NaN)) / size;
        expect(worst.note('relative', name, error), `${name} ${at}`).toBeLessThan(TOLERANCE);
      }
    }
  });
});
