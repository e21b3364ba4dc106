// Checks which tensors of a checkpoint are taken for which parameters, and what each misfit says.
import { describe, expect, it } from 'vitest';
import type { DType } from '../../../src/engine/tensor.ts';
import { CheckpointError } from '../../../src/errors.ts';
import { canonicalName } from '../../../src/model/checkpoint.ts';
import { parseModelConfig } from '../../../src/model/config.ts';
import { matchParameters } from '../../../src/model/parameter-names.ts';
import type { ParameterNames, TensorShape } from '../../../src/model/parameter-names.ts';
import { modelSpecs } from '../../../src/model/parameters.ts';
import { miniConfigJson } from '../../helpers/mini-model.ts';

const LAYER = 'model.layers.0.self_attn.q_proj.weight';

function specsOf(tied: boolean): ReturnType<typeof modelSpecs> {
  return modelSpecs(parseModelConfig(miniConfigJson({ layers: 1, tied }), 'mini'));
}

/** All tensors of the mini model with `change` applied: undefined takes one away. */
function stored(
  change: Readonly<Record<string, TensorShape | undefined>> = {},
  tied = false,
): Map<string, TensorShape> {
  const bf16 = (dims: readonly number[]): TensorShape => ({ dtype: 'bf16', dims });
  const all = new Map(specsOf(tied).map(({ name, dims }) => [name, bf16(dims)]));
  for (const [name, info] of Object.entries(change)) {
    if (info === undefined) all.delete(name);
    else all.set(name, info);
  }
  return all;
}

function match(change: Readonly<Record<string, TensorShape | undefined>>, tied = false) {
  return matchParameters(specsOf(tied), stored(change, tied), 'here');
}

function messageOf(run: () => ParameterNames): string {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(CheckpointError);
    return String(error);
  }
  return 'no fault';
}

const tensorOf = (dims: readonly number[], dtype: DType = 'f32'): TensorShape => ({ dtype, dims });
const table = stored().get('model.embed_tokens.weight') as TensorShape;

describe('names of a checkpoint', () => {
  it.each([
    ['visual.blocks.0.norm1.weight', 'visual.blocks.0.norm1.weight'],
    ['model.visual.blocks.0.norm1.weight', 'visual.blocks.0.norm1.weight'],
    ['model.layers.0.mlp.up_proj.weight', 'model.layers.0.mlp.up_proj.weight'],
    ['model.language_model.layers.0.mlp.up_proj.weight', 'model.layers.0.mlp.up_proj.weight'],
    ['language_model.model.norm.weight', 'model.norm.weight'],
    ['language_model.lm_head.weight', 'lm_head.weight'],
    ['base_model.model.lm_head.weight', 'lm_head.weight'],
    ['module.base_model.model.model.visual.merger.ln_q.weight', 'visual.merger.ln_q.weight'],
  ])('take %s for %s', (fileName, name) => {
    expect(canonicalName(fileName)).toBe(name);
  });

  it('lead to every parameter, rotary buffers aside', () => {
    const inverse = tensorOf([4]);
    const { fileNames, doubleHead } = match({
      'model.layers.0.self_attn.rotary_emb.inv_freq': inverse,
      'model.rotary_emb.original_inv_freq': inverse,
      'visual.rotary_pos_emb.inv_freq': inverse,
      'model.visual.rotary_pos_emb.inv_freq': inverse,
    });
    expect([...fileNames.keys()]).toEqual(specsOf(false).map(({ name }) => name));
    expect(doubleHead).toBeUndefined();
  });

  it('find the table of a tied model under either of its names, or both', () => {
    expect(match({}, true).doubleHead).toBeUndefined();
    expect(match({ 'lm_head.weight': table }, true).doubleHead).toBe('lm_head.weight');
    const swapped = { 'lm_head.weight': table, 'model.embed_tokens.weight': undefined };
    const { fileNames, doubleHead } = match(swapped, true);
    expect(fileNames.get('model.embed_tokens.weight')).toBe('lm_head.weight');
    expect(doubleHead).toBeUndefined();
    const misfit = messageOf(() => match({ 'lm_head.weight': tensorOf([7, 16]) }, true));
    expect(misfit).toMatch(/lm_head\.weight is not model\.embed_tokens\.weight, though config/);
  });

  it('that are missing, misshapen, doubled, unknown or integers stand in one message', () => {
    const message = messageOf(() =>
      match({
        'model.norm.weight': undefined,
        'visual.merger.ln_q.weight': tensorOf([3]),
        [`model.language_model.${LAYER.slice('model.'.length)}`]: tensorOf([16, 16]),
        'model.layers.0.input_layernorm.weight': tensorOf([16], 'i32'),
        'model.layers.1.input_layernorm.weight': tensorOf([16]),
      }),
    );
    for (const part of [
      'the weights in here do not fit its config.json',
      'model.norm.weight is missing',
      'visual.merger.ln_q.weight is [3], expected [16]',
      `${LAYER} and model.language_model.layers.0.self_attn.q_proj.weight are the same parameter`,
      'model.layers.0.input_layernorm.weight is stored as i32, expected bf16, f16, f32, f64',
      'model.layers.1.input_layernorm.weight is no parameter of the model',
    ]) {
      expect(message).toContain(part);
    }
  });

  it.each([
    ['an adapter', 'base_model.model.model.layers.0.mlp.up_proj.lora_A.weight', 'merge it into'],
    ['an adapter around it', 'model.layers.0.mlp.up_proj.base_layer.weight', 'merge it into'],
    ['packed integers', 'model.layers.0.mlp.up_proj.qweight', 'checkpoint is quantized'],
    ['scales', 'model.layers.0.mlp.up_proj.weight_scale_inv', 'checkpoint is quantized'],
    ['something else', 'v_head.summary.weight', 'remove tensors that another program left'],
  ])('that betray %s come with what to do', (_name, name, fix) => {
    const message = messageOf(() => match({ [name]: tensorOf([1]) }));
    expect(message).toContain(`${name} is no parameter of the model`);
    expect(message).toContain(fix);
  });
});
