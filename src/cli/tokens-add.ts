// Owns `gapvl tokens add`: a copy of a published model that knows the tokens of latent spans.
import { NOISE_SHARE } from '../store/token-rows.ts';
import { addLatentTokens } from '../store/latent-tokens.ts';
import type { AddedTokens } from '../store/latent-tokens.ts';
import { defineCommand } from './command.ts';
import * as option from './options.ts';

function render({ tokens, vocabBefore, vocabAfter, tables }: AddedTokens, out: string): string {
  const grown =
    vocabAfter === vocabBefore
      ? `in spare rows of ${vocabBefore}`
      : `tables grew from ${vocabBefore} to ${vocabAfter} rows`;
  return [
    ...tokens.map(({ id, content }) => `${content} is ${id}`),
    grown,
    ...tables.map(
      ({ name, meanNorm, spread }) =>
        `${name}: new rows are the mean (norm ${meanNorm.toPrecision(4)}) plus noise of norm ` +
        (NOISE_SHARE * spread).toPrecision(4),
    ),
    `wrote ${out}`,
  ].join('\n');
}

/** The command. */
export const command = defineCommand({
  description:
    'Copies a model folder in Hugging Face layout and adds <|latent_start|>, <|latent_pad|> and ' +
    '<|latent_end|> to its tokenizer, which published models lack. Their embeddings take spare ' +
    'rows where the tables have some, else the tables grow; they start as the mean of the rows in ' +
    `use plus noise of ${NOISE_SHARE} times their spread. All other rows keep their bits. Weights ` +
    'pass through in pieces, whatever their size.',
  options: {
    model: option.required(option.text('--model <dir>', 'model folder to copy')),
    out: option.required(option.text('-o, --out <dir>', 'folder to write; empty or new')),
    seed: option.seedOption(),
  },
  examples: ['gapvl tokens add --model Qwen2.5-VL-3B-Instruct --out runs/3b-latent'],
  run: async (values, context) => {
    const progress = context.progress('weights');
    const added = await addLatentTokens({
      ...values,
      progress: (done, total) => {
        progress.update(done, total);
      },
      signal: context.signal,
    });
    progress.finish();
    context.result(render(added, values.out), { out: values.out, ...added });
  },
});
