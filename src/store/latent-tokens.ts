// Owns giving a published checkpoint the tokens of latent spans: tokenizer, config and tables.
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { CheckpointError } from '../errors.ts';
import { LATENT_TOKENS } from '../data/format.ts';
import { writeFileAtomic } from '../engine/atomic-file.ts';
import {
  INDEX_FILE,
  SINGLE_FILE,
  openModelFolder,
  openSafetensors,
} from '../engine/safetensors.ts';
import type { TensorReader } from '../engine/safetensors.ts';
import type { TensorInfo } from '../engine/safetensors-header.ts';
import { encodeShardIndex, writeSafetensorsStream } from '../engine/safetensors-writer.ts';
import { ELEMENT_SIZES, numElements } from '../engine/tensor.ts';
import { parseModelConfig } from '../model/config.ts';
import type { JsonObject } from '../model/config.ts';
import { expectSameHead, matchParameters } from '../model/parameter-names.ts';
import { modelSpecs } from '../model/parameters.ts';
import {
  extendAddedTokens,
  extendSpecialTokensMap,
  extendTokenizer,
  extendTokenizerConfig,
} from '../processor/added-tokens.ts';
import type { NewToken } from '../processor/added-tokens.ts';
import { createTokenizer } from '../processor/tokenizer.ts';
import { expectRowsFor } from '../processor/tokens.ts';
import { readCheckpointJson } from './checkpoint.ts';
import { COMPANIONS, copyPart, expectEmpty, fillFolder, writeJson } from './new-folder.ts';
import { makeRows, tableWithRows } from './token-rows.ts';
import type { NewRows } from './token-rows.ts';

/** What tokens are added to, and where the result goes. */
export interface AddTokensOptions {
  /** Folder of a checkpoint in Hugging Face layout; stays as it is. */
  readonly model: string;
  /** Folder to write; must not exist, or be empty. */
  readonly out: string;
  /** What the noise of new rows derives from. */
  readonly seed: number;
  /** Called with the bytes of weights written so far and in all. */
  readonly progress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** What was added. */
export interface AddedTokens {
  readonly tokens: readonly NewToken[];
  /** Rows of the tables before and after; equal when spare rows were enough. */
  readonly vocabBefore: number;
  readonly vocabAfter: number;
  /** Tables that got new rows, by the name the files use. */
  readonly tables: readonly {
    readonly name: string;
    readonly meanNorm: number;
    readonly spread: number;
  }[];
}

const TOKEN_FILES = new Map([
  ['tokenizer.json', extendTokenizer],
  ['tokenizer_config.json', extendTokenizerConfig],
  ['added_tokens.json', extendAddedTokens],
  ['special_tokens_map.json', extendSpecialTokensMap],
]);
const TABLES = ['model.embed_tokens.weight', 'lm_head.weight'] as const;

/**
 * Writes a copy of a checkpoint that knows the tokens of latent spans. Their ids follow the
 * tokenizer's largest; they take spare rows of the tables where there are some, else the tables
 * and `vocab_size` grow, and they never shrink. Rows of other tokens keep their bits. Weights pass
 * through in pieces, so that memory does not depend on their size, and keep dtype, names and shards.
 * @throws ConfigError when `out` is not empty, CheckpointError when the checkpoint is broken or has
 * the tokens, RuntimeError when the disk is full; nothing is left behind then.
 */
export async function addLatentTokens(options: AddTokensOptions): Promise<AddedTokens> {
  const { model } = options;
  await expectEmpty(options.out);
  const plan = await makePlan(options);
  await fillFolder(options.out, async (staging) => {
    await writeWeights(plan, staging, options);
    for (const file of await readdir(model)) {
      const from = join(model, file);
      if (!COMPANIONS.test(file) || file === 'config.json') continue;
      const extend = TOKEN_FILES.get(file);
      if (extend === undefined) await copyPart(from, join(staging, file));
      else
        await writeJson(join(staging, file), extend(await readCheckpointJson(from), plan.tokens));
    }
    await writeJson(join(staging, 'config.json'), plan.configJson);
  });
  const tables = [...plan.rows].map(([name, { meanNorm, spread }]) => ({ name, meanNorm, spread }));
  const { tokens, vocabBefore, vocabAfter } = plan;
  return { tokens, vocabBefore, vocabAfter, tables };
}

interface Plan {
  readonly tokens: readonly NewToken[];
  readonly vocabBefore: number;
  readonly vocabAfter: number;
  readonly configJson: JsonObject;
  /** New rows by the name of their table in the files. */
  readonly rows: ReadonlyMap<string, NewRows>;
  readonly infos: ReadonlyMap<string, TensorInfo>;
  /** Shard by tensor name. */
  readonly fileOf: ReadonlyMap<string, string>;
}

/** Reads everything but the weights, finds all faults, and makes the new rows. */
async function makePlan({ model, seed }: AddTokensOptions): Promise<Plan> {
  const configPath = join(model, 'config.json');
  const configJson = await readCheckpointJson(configPath);
  const config = parseModelConfig(configJson, configPath);
  const tokenizer = createTokenizer(
    await readCheckpointJson(join(model, 'tokenizer.json')),
    await readCheckpointJson(join(model, 'tokenizer_config.json')),
  );
  const vocabBefore = config.text.vocabSize;
  const numUsed = tokenizer.numTokens;
  expectRowsFor(tokenizer, vocabBefore, model);
  const missing = LATENT_TOKENS.filter((token) => tokenizer.find(token) === undefined);
  if (missing.length === 0) {
    throw new CheckpointError({
      what: `${model} has the tokens of latent spans already`,
      got: LATENT_TOKENS.map((token) => `${token} ${tokenizer.idOf(token)}`).join(', '),
      fix: 'use it as it is',
    });
  }
  const tokens = missing.map((content, i) => ({ id: numUsed + i, content }));
  const vocabAfter = Math.max(vocabBefore, numUsed + tokens.length);

  const specs = modelSpecs(config);
  await using reader = await openModelFolder(model);
  const names = matchParameters(specs, reader.infos, model);
  await expectSameHead(reader, names, model);
  const tables = [...TABLES.map((name) => names.fileNames.get(name)), names.doubleHead];
  const rows = new Map<string, NewRows>();
  for (const name of tables) {
    if (name === undefined) continue;
    rows.set(name, await makeRows(reader, name, { numUsed, numNew: tokens.length, seed }));
  }
  return {
    ...{ tokens, vocabBefore, vocabAfter, rows },
    configJson: vocabAfter === vocabBefore ? configJson : withVocabSize(configJson, vocabAfter),
    infos: reader.infos,
    fileOf: new Map([...reader.paths].map(([name, path]) => [name, basename(path)])),
  };
}

/** The config with another vocabulary, wherever it says its size. */
function withVocabSize(json: JsonObject, size: number): JsonObject {
  const text = json['text_config'] as JsonObject | undefined;
  return {
    ...json,
    ...('vocab_size' in json ? { vocab_size: size } : {}),
    ...(text && 'vocab_size' in text ? { text_config: { ...text, vocab_size: size } } : {}),
  };
}

async function writeWeights(plan: Plan, staging: string, options: AddTokensOptions): Promise<void> {
  const { model, signal, progress } = options;
  let totalBytes = 0;
  let totalParameters = 0;
  for (const [name, info] of plan.infos) {
    const dims = newDims(plan, name, info);
    totalParameters += numElements(dims);
    totalBytes += numElements(dims) * ELEMENT_SIZES[info.dtype];
  }
  let done = 0;
  const report = (bytes: number): void => progress?.((done += bytes), totalBytes);
  const files = new Set(plan.fileOf.values());
  for (const file of files) {
    signal?.throwIfAborted();
    const [from, to] = [join(model, file), join(staging, file)];
    await using reader = await openSafetensors(from);
    if ([...plan.rows.keys()].some((name) => reader.infos.has(name))) {
      await writeShard(plan, reader, to, report, signal);
    } else {
      await copyPart(from, to);
      report([...reader.infos.values()].reduce((sum, { begin, end }) => sum + end - begin, 0));
    }
  }
  if (files.has(SINGLE_FILE)) return;
  const index = encodeShardIndex({ weightMap: plan.fileOf, totalBytes, totalParameters });
  await writeFileAtomic(join(staging, INDEX_FILE), [index]);
}

function newDims(plan: Plan, name: string, info: TensorInfo): readonly number[] {
  return plan.rows.has(name) ? [plan.vocabAfter, ...info.dims.slice(1)] : info.dims;
}

/** Writes one shard anew, with the tables that are in it. */
async function writeShard(
  plan: Plan,
  reader: TensorReader,
  path: string,
  report: (bytes: number) => void,
  signal?: AbortSignal,
): Promise<void> {
  const first = plan.tokens[0]?.id ?? 0;
  const descriptions = new Map(
    [...reader.infos].map(([name, info]) => [
      name,
      { dtype: info.dtype, dims: newDims(plan, name, info) },
    ]),
  );
  const produce = async function* (name: string): AsyncGenerator<Uint8Array> {
    const rows = plan.rows.get(name);
    const pieces = rows ? tableWithRows(reader, name, first, rows) : reader.pieces(name);
    for await (const piece of pieces) {
      signal?.throwIfAborted();
      yield piece;
      report(piece.byteLength);
    }
  };
  await writeSafetensorsStream(path, descriptions, produce, reader.metadata);
}
