// Holds running by layer against running whole: same numbers, few sessions, weights read when needed.
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { CheckpointError, ShapeError } from '../../../src/errors.ts';
import {
  openModelFolder,
  readSafetensors,
  writeSafetensors,
} from '../../../src/engine/safetensors.ts';
import type { TensorReader } from '../../../src/engine/safetensors.ts';
import { countLiveSessions } from '../../../src/engine/session.ts';
import type { Tensor } from '../../../src/engine/tensor.ts';
import { runByLayer } from '../../../src/model/by-layer.ts';
import type { ByLayerOptions } from '../../../src/model/by-layer.ts';
import { writeCheckpoint } from '../../../src/store/checkpoint.ts';
import { parseModelConfig } from '../../../src/model/config.ts';
import type { ModelConfig } from '../../../src/model/config.ts';
import { compileForward } from '../../../src/model/forward.ts';
import type { ForwardInputs } from '../../../src/model/forward.ts';
import { modelSpecs } from '../../../src/model/parameters.ts';
import type { Weights } from '../../../src/model/weights.ts';
import { runCli } from '../../../src/cli/run.ts';
import { Rng } from '../../../src/rng.ts';
import { makeInputs } from '../../helpers/mini-inputs.ts';
import type { MiniBatch } from '../../helpers/mini-inputs.ts';
import { inTemporaryFolder, miniConfigJson, randomWeights } from '../../helpers/mini-model.ts';
import type { MiniOptions } from '../../helpers/mini-model.ts';
import { WorstErrors, relativeError } from '../../helpers/relative-error.ts';

const SESSION = { threads: 1, spinning: false };
const TOLERANCES = { activation: 1e-6, gradient: 1e-5 };

interface Mini {
  readonly config: ModelConfig;
  readonly weights: Weights;
  readonly folder: string;
  readonly inputs: ForwardInputs;
}

async function withMini<T>(
  options: MiniOptions,
  batch: MiniBatch,
  use: (mini: Mini) => Promise<T>,
): Promise<T> {
  return inTemporaryFolder(async (folder) => {
    const json = miniConfigJson(options);
    const config = parseModelConfig(json, 'the mini model');
    const rng = new Rng(7);
    const weights = randomWeights(modelSpecs(config), rng);
    await writeCheckpoint(folder, json, weights);
    return use({ config, weights, folder, inputs: makeInputs(config, batch, rng) });
  });
}

/** A reader that tells what is asked of it before it answers. */
function watched(
  inner: TensorReader,
  tell: (name: string, call: 'read' | 'rows') => void,
): TensorReader {
  return {
    infos: inner.infos,
    paths: inner.paths,
    metadata: inner.metadata,
    read: (name) => {
      tell(name, 'read');
      return inner.read(name);
    },
    readRows: (name, first, count) => {
      tell(name, 'rows');
      return inner.readRows(name, first, count);
    },
    place: (name) => inner.place(name),
    readInto: (name, target) => inner.readInto(name, target),
    pieces: (name) => inner.pieces(name),
    readAll: () => inner.readAll(),
    close: () => inner.close(),
    [Symbol.asyncDispose]: () => inner.close(),
  };
}

async function byLayer(
  mini: Mini,
  options: Partial<ByLayerOptions> = {},
  tell: (name: string, call: 'read' | 'rows') => void = () => undefined,
): Promise<{ outputs: Record<string, Tensor>; gradients: Map<string, Tensor> }> {
  await using reader = await openModelFolder(mini.folder);
  const gradients = new Map<string, Tensor>();
  const outputs = await runByLayer(mini.config, watched(reader, tell), mini.inputs, {
    ...SESSION,
    gradients: (name, gradient) => {
      gradients.set(name, gradient);
      return Promise.resolve();
    },
    ...options,
  });
  return { outputs, gradients };
}

const CASES: Readonly<Record<string, readonly [MiniOptions, MiniBatch]>> = {
  'tied, ragged pictures, left padding': [
    { tied: true, layers: 3, depth: 4, kvHeads: 1 },
    { rows: [{ text: 5, picture: [3, 1] }, { text: 9 }, { text: 3, picture: [2, 5] }] },
  ],
  'untied, equal pictures of full windows': [
    { tied: false, layers: 2, depth: 3, kvHeads: 2 },
    {
      rows: [
        { text: 4, picture: [2, 2] },
        { text: 6, picture: [2, 2] },
      ],
    },
  ],
  'text alone': [{ tied: false, layers: 1 }, { rows: [{ text: 6 }, { text: 2 }] }],
};

const worst = new WorstErrors();

describe('running by layer', () => {
  afterAll(() => {
    console.info(`largest differences from running whole: ${worst.summary()}`);
  });

  it.each(Object.entries(CASES))(
    'gives what running whole gives: %s',
    async (_name, [options, batch]) => {
      await withMini(options, batch, async (mini) => {
        await using pass = await compileForward(mini.config, mini.weights, mini.inputs, {
          ...SESSION,
          gradients: true,
        });
        const whole = await pass.run();
        const { outputs, gradients } = await byLayer(mini);
        const found = new Map(Object.entries(outputs));
        for (const [name, gradient] of gradients) found.set(`gradient.${name}`, gradient);
        expect([...found.keys()].sort()).toEqual([...Object.keys(whole), 'position_ids'].sort());
        expect(found.get('position_ids')).toEqual(pass.positionIds_3BT);
        for (const [name, value] of Object.entries(whole)) {
          const own = found.get(name);
          expect(own?.dims, name).toEqual(value.dims);
          const error = relativeError(own?.data as Float32Array, value.data as Float32Array);
          const kind = name.startsWith('gradient.') ? 'gradient' : 'activation';
          expect(worst.note(kind, name, error), name).toBeLessThan(TOLERANCES[kind]);
          expect(
            (value.data as Float32Array).some((x) => x !== 0),
            name,
          ).toBe(true);
        }
      });
    },
  );

  it('runs forward without labels, and asks for labels when gradients are wanted', async () => {
    await withMini({}, { rows: [{ text: 4 }], labels: false }, async (mini) => {
      await expect(byLayer(mini)).rejects.toThrow(ShapeError);
      await using reader = await openModelFolder(mini.folder);
      const outputs = await runByLayer(mini.config, reader, mini.inputs, SESSION);
      expect(Object.keys(outputs).sort()).toEqual([
        ...['hidden_states.0', 'hidden_states.1', 'hidden_states.2', 'logits', 'position_ids'],
      ]);
    });
  });

  it.each([2, 6])(
    'keeps at most four sessions alive at depth %i, and none at the end',
    async (depth) => {
      const batch = { rows: [{ text: 3, picture: [3, 3] as const }] };
      const before = countLiveSessions();
      await withMini({ layers: depth, depth }, batch, async (mini) => {
        let most = 0;
        const look = async (): Promise<void> => {
          most = Math.max(most, countLiveSessions() - before);
          return Promise.resolve();
        };
        await byLayer(mini, { gradients: look }, () => void look());
        expect(most).toBeGreaterThan(0);
        expect(most).toBeLessThanOrEqual(4);
        expect(countLiveSessions()).toBe(before);
      });
    },
  );

  it('reads a layer just before it runs, forward and back, and of the table only the rows in use', async () => {
    const batch = { rows: [{ text: 3, picture: [2, 2] as const }] };
    await withMini({ layers: 2, depth: 2, tied: false }, batch, async (mini) => {
      const log: string[] = [];
      const note = (entry: string): void => {
        if (log.at(-1) !== entry) log.push(entry);
      };
      const layerOf = (name: string): string =>
        /(?:layers|blocks)\.\d+|\w+\.weight$|merger|patch_embed/.exec(name)?.[0] ?? name;
      await byLayer(
        mini,
        {
          gradients: (name) => {
            note(`gradient ${layerOf(name)}`);
            return Promise.resolve();
          },
        },
        (name, call) => {
          note(`${call} ${layerOf(name)}`);
        },
      );
      expect(log).toEqual([
        ...['read patch_embed', 'read blocks.0', 'read blocks.1', 'read merger'],
        ...['rows embed_tokens.weight', 'read layers.0', 'read layers.1'],
        ...['read norm.weight', 'read lm_head.weight'],
        ...['gradient norm.weight', 'gradient lm_head.weight'],
        ...['read layers.1', 'gradient layers.1', 'read layers.0', 'gradient layers.0'],
        'gradient embed_tokens.weight',
        ...['read merger', 'gradient merger', 'read blocks.1', 'gradient blocks.1'],
        ...['read blocks.0', 'gradient blocks.0', 'read patch_embed', 'gradient patch_embed'],
      ]);
    });
  });

  it('frees its sessions when a callee fails and when it is told to stop', async () => {
    const before = countLiveSessions();
    await withMini({}, { rows: [{ text: 3, picture: [2, 2] }] }, async (mini) => {
      const full = new Error('no place for gradients');
      await expect(byLayer(mini, { gradients: () => Promise.reject(full) })).rejects.toBe(full);
      const stop = new AbortController();
      const reason = new Error('stopped');
      let reads = 0;
      const stopLater = (): void => {
        reads += 1;
        if (reads === 20) stop.abort(reason);
      };
      await expect(byLayer(mini, { signal: stop.signal }, stopLater)).rejects.toBe(reason);
      expect(countLiveSessions()).toBe(before);
    });
  });

  it('names the parameters that a checkpoint lacks before it reads any', async () => {
    await withMini({ layers: 1 }, { rows: [{ text: 3 }] }, async (mini) => {
      const deeper = parseModelConfig(miniConfigJson({ layers: 2 }), 'another model');
      let reads = 0;
      await expect(
        byLayer({ ...mini, config: deeper }, { place: 'the folder' }, () => void (reads += 1)),
      ).rejects.toThrow(/the folder[^]*model\.layers\.1\.input_layernorm\.weight is missing/);
      await expect(byLayer({ ...mini, config: deeper })).rejects.toThrow(CheckpointError);
      expect(reads).toBe(0);
    });
  });
});

describe('gapvl forward --by-layer', () => {
  const terminal = {
    out: () => undefined,
    err: () => undefined,
    interactive: false,
    columns: 80,
    clock: { now: () => 0, date: () => '2026-01-01T00:00:00Z' },
    onInterrupt: () => () => undefined,
    kill: () => undefined,
    showStack: false,
  };

  it('writes the tensors that gapvl forward writes, and refuses AdamW steps', async () => {
    const batch = { rows: [{ text: 5, picture: [3, 2] as const }, { text: 4 }] };
    await withMini({ tied: true }, batch, async ({ folder, inputs }) => {
      const given = join(folder, 'in.safetensors');
      await writeSafetensors(given, new Map(Object.entries(inputs) as [string, Tensor][]));
      const run = async (
        name: string,
        ...flags: string[]
      ): Promise<ReadonlyMap<string, Tensor>> => {
        const outputs = join(folder, name);
        const files = ['--model', folder, '--inputs', given, '--outputs', outputs];
        const code = await runCli(['forward', ...files, '--threads', '1', ...flags], terminal);
        expect(code).toBe(0);
        return (await readSafetensors(outputs)).tensors;
      };
      const whole = await run('whole.safetensors', '--gradients');
      const found = await run('layers.safetensors', '--gradients', '--by-layer');
      expect([...found.keys()].sort()).toEqual([...whole.keys()].sort());
      for (const [name, { data }] of whole) {
        const own = Array.from(found.get(name)?.data ?? [], Number);
        expect(relativeError(own, Array.from(data, Number)), name).toBeLessThan(
          TOLERANCES.gradient,
        );
      }
      const both = ['--by-layer', '--adamw-steps', '1'];
      const files = ['--model', folder, '--inputs', given, '--outputs', join(folder, 'no')];
      expect(await runCli(['forward', ...files, ...both], terminal)).toBe(2);
    });
  });
});
