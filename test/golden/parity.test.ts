// Runs the stored cases of the original (Hugging Face transformers) without Python and compares all tensors.
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { openModelFolder, readSafetensors } from '../../src/engine/safetensors.ts';
import type { TensorFile } from '../../src/engine/safetensors.ts';
import { countLiveSessions } from '../../src/engine/session.ts';
import type { Tensor } from '../../src/engine/tensor.ts';
import { runByLayer } from '../../src/model/by-layer.ts';
import { canonicalName } from '../../src/model/checkpoint.ts';
import { readCheckpoint, readCheckpointJson } from '../../src/store/checkpoint.ts';
import { parseModelConfig } from '../../src/model/config.ts';
import { compileForward } from '../../src/model/forward.ts';
import type { ForwardInputs } from '../../src/model/forward.ts';
import { trainOnBatch } from '../../src/train/fixed-batch.ts';
import { WorstErrors, relativeError } from '../helpers/relative-error.ts';

const DATA = fileURLToPath(new URL('data/', import.meta.url));
/** What tools/reference/goldens.py writes. */
const CASES = ['flat-sharded', 'pictures-untied', 'windows-tied'];

/** Largest relative errors in f32 that count as the same computation. */
const TOLERANCES = { activation: 1e-4, gradient: 1e-3, loss: 1e-3 } as const;
/** Settings of the ten steps. Source: tools/reference/original.py. */
const ADAMW = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01, clipNorm: Infinity };
const LEARNING_RATE = 1e-3;
const SESSION = { threads: 1, spinning: false };

interface GoldenCase {
  readonly folder: string;
  readonly inputs: ForwardInputs;
  readonly expected: TensorFile['tensors'];
}

async function readCase(name: string): Promise<GoldenCase> {
  const folder = join(DATA, name);
  const inputs = await readSafetensors(join(folder, 'inputs.safetensors'));
  const expected = await readSafetensors(join(folder, 'expected.safetensors'));
  return {
    folder,
    inputs: Object.fromEntries(inputs.tensors) as unknown as ForwardInputs,
    expected: expected.tensors,
  };
}

function numbers(t: Tensor | undefined): number[] {
  return Array.from(t?.data ?? [], Number);
}

/** The values at tokens, from a tensor [B, T, ...]; nothing is promised at padding. */
function atTokens(t: Tensor | undefined, mask: Tensor): number[] {
  const values = numbers(t);
  const width = values.length / mask.data.length;
  return numbers(mask).flatMap((one, i) =>
    one === 1 ? values.slice(i * width, (i + 1) * width) : [],
  );
}

const worst = new WorstErrors();

/** The three planes of position_ids [3, B, T] at tokens. */
function positionsAtTokens(t: Tensor | undefined, mask: Tensor): number[] {
  const tokens = numbers(mask);
  return numbers(t).filter((_, i) => tokens[i % tokens.length] === 1);
}

/** Compares every tensor of a case; gradients are under our names in `results`. */
function compareAll(
  label: string,
  { inputs, expected }: GoldenCase,
  results: Readonly<Record<string, Tensor>>,
): void {
  const mask = inputs.attention_mask;
  if (!mask) throw new Error('a golden case has an attention mask');
  const ownName = (key: string): string =>
    key.startsWith('gradient.') ? `gradient.${canonicalName(key.slice('gradient.'.length))}` : key;
  const names = [...expected.keys()].filter((key) => key !== 'adamw_losses');
  expect(Object.keys(results).sort()).toEqual(names.map(ownName).sort());
  for (const key of names) {
    const [theirs, ours] = [expected.get(key), results[ownName(key)]];
    if (key === 'position_ids') {
      expect(positionsAtTokens(ours, mask)).toEqual(positionsAtTokens(theirs, mask));
      continue;
    }
    if (key !== 'loss') expect(ours?.dims, key).toEqual(theirs?.dims);
    const perToken = key === 'logits' || key.startsWith('hidden_states.');
    const read = (t: Tensor | undefined): number[] => (perToken ? atTokens(t, mask) : numbers(t));
    const kind = key.startsWith('gradient.') ? 'gradient' : 'activation';
    const error = worst.note(kind, `${label}: ${key}`, relativeError(read(ours), read(theirs)));
    expect(error, key).toBeLessThan(TOLERANCES[kind]);
  }
}

describe.each(CASES)('golden case %s', (name) => {
  afterAll(() => {
    expect(countLiveSessions()).toBe(0);
  });

  it('gives the positions, states, logits, loss and every gradient of the original', async () => {
    const golden = await readCase(name);
    const { config, weights } = await readCheckpoint(golden.folder);
    const settings = { ...SESSION, gradients: true };
    await using pass = await compileForward(config, weights, golden.inputs, settings);
    compareAll(name, golden, { ...(await pass.run()), position_ids: pass.positionIds_3BT });
  });

  it('gives the same run by layer', async () => {
    const golden = await readCase(name);
    const path = join(golden.folder, 'config.json');
    const config = parseModelConfig(await readCheckpointJson(path), path);
    await using reader = await openModelFolder(golden.folder);
    const found: Record<string, Tensor> = {};
    const outputs = await runByLayer(config, reader, golden.inputs, {
      ...SESSION,
      gradients: (parameter, gradient) => {
        found[`gradient.${parameter}`] = gradient;
        return Promise.resolve();
      },
    });
    compareAll(`${name} by layer`, golden, { ...found, ...outputs });
  });

  it('loses as much as the original in each of ten AdamW steps', async () => {
    const { folder, inputs, expected } = await readCase(name);
    const { config, weights } = await readCheckpoint(folder);
    await using pass = await compileForward(config, weights, inputs, {
      ...SESSION,
      gradients: true,
    });
    const settings = { ...SESSION, steps: 10, learningRate: LEARNING_RATE, adamw: ADAMW };
    const losses = await trainOnBatch(weights, pass, settings);
    const theirs = numbers(expected.get('adamw_losses'));
    expect(theirs).toHaveLength(10);
    losses.forEach((loss, step) => {
      const error = worst.note(
        'AdamW',
        `${name}: step ${step}`,
        relativeError([loss], [theirs[step] ?? NaN]),
      );
      expect(error, `step ${step}`).toBeLessThan(TOLERANCES.loss);
    });
    expect(losses.at(-1)).toBeLessThan(losses[0] ?? 0);
  });
});

afterAll(() => {
  console.info(`largest relative errors against the original: ${worst.summary()}`);
});
