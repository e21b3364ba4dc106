// Owns training a head alone from files to a model folder whose weights are those of the base;
// `gapvl train --head-only` calls it.
import type { Example } from '../data/example.ts';
import { openModelFolder } from '../engine/safetensors.ts';
import type { GapModel } from '../latent/model.ts';
import { FrozenBackbone } from '../model/frozen-backbone.ts';
import { beginRun, expectFinished, finishRun } from '../context/run-folder.ts';
import { openGapModel, writeLatentHead } from '../store/latent-head.ts';
import { copyModel } from '../store/model-copy.ts';
import type { CopyMode } from '../store/model-copy.ts';
import { openModelBundle } from '../store/model-folder.ts';
import { headOnlyFaults, trainHead } from './head-only.ts';
import { forgetStates } from './head-states.ts';
import { forgetState } from './loop.ts';
import type { StepRecord } from './loop.ts';
import { RecordFile } from './record-file.ts';
import { checkRequest, prepare, readInputs } from './train-folder.ts';
import type { TrainFolderOptions, TrainedRun } from './train-folder.ts';

/** What to train a head from and where to; progress is in examples whose states are known. */
export interface HeadFolderOptions extends TrainFolderOptions {
  /** How the weights of the base get into the new folder. */
  readonly weights: CopyMode;
}

/**
 * Trains the latent head of a variant on a base that stays as it is, of which one layer is in memory
 * at a time, and writes a model folder: the base's files, the head beside them, `training.jsonl` and
 * `run.json`. Resumes as trainFolder does.
 * @throws ConfigError for what cannot be trained so; the rest as trainFolder.
 */
export async function* trainHeadFolder(
  options: HeadFolderOptions,
): AsyncGenerator<StepRecord, Omit<TrainedRun, 'model'> & { readonly model: GapModel }> {
  const { variant, recipe, model, out } = options;
  checkRequest(options, headOnlyFaults(variant, recipe));
  await expectFinished(model);
  const bundle = await openModelBundle(model);
  const { examples, basis, latentIds, numLatentRows, description } = await readInputs(
    options,
    bundle,
    { trained: 'head' },
  );
  const result = { folder: out, numLatentRows, numRows: examples.length };
  if ((await beginRun(out, description)) === 'finished') {
    return { ...result, model: await openGapModel(out), wasTrained: false };
  }
  const { inputs: source, split, versions } = description;
  let trained: GapModel | undefined;
  {
    await using reader = await openModelFolder(model);
    const backbone = new FrozenBackbone(bundle, reader, options);
    const { progress, ...rest } = options;
    const inputs = {
      ...{ bundle, backbone, basis, examples },
      source: JSON.stringify({ source, split, versions }),
      prepare: (chunk: readonly Example[]) => prepare(bundle, backbone, chunk, rest),
      ...(latentIds ? { latentIds } : {}),
    };
    const run = async function* (): AsyncGenerator<StepRecord, void> {
      trained = yield* trainHead(variant, recipe, inputs, {
        ...rest,
        folder: out,
        ...(progress ? { progress } : {}),
      });
    };
    await using file = await RecordFile.create(out);
    for await (const record of run()) {
      await file.append(record);
      yield record;
    }
  }
  const { head, settings } = trained as unknown as GapModel;
  await copyModel(model, out, options.weights);
  const provenance = new Map([['run', JSON.stringify(description)]]);
  if (settings) await writeLatentHead(out, head, settings, provenance);
  await finishRun(out, description);
  await forgetState(out);
  await forgetStates(out);
  return { ...result, model: await openGapModel(out), wasTrained: true };
}
