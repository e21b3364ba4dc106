// Owns `gapvl quantize`: a packed copy of a model that decodes in a fraction of the memory.
import { quantizeCheckpoint } from '../store/quantize.ts';
import type { PartBits } from '../store/quantize.ts';
import { defineCommand } from './command.ts';
import * as option from './options.ts';
import { modelFolder } from './running.ts';

const PARTS = ['4', '8', 'none'] as const;

function partBits(value: (typeof PARTS)[number] | undefined): PartBits | undefined {
  return value === undefined || value === 'none' ? value : value === '8' ? 8 : 4;
}

const megabytes = (bytes: number): string => `${(bytes / 1e6).toPrecision(4)} MB`;

/** The command. */
export const command = defineCommand({
  description:
    'Copies a model folder with its matrices packed to 4 or 8 bits, in blocks of 32 columns with ' +
    'a scale each. The copy can be run by every command that runs a model, and not trained. ' +
    'Weights pass through in pieces: a 7B checkpoint needs about 1.5 GB of memory. The embedding ' +
    'table stays as it is unless told otherwise; its rows are read from the file one by one.',
  options: {
    ...option.modelOptions('model to pack'),
    out: option.required(option.text('-o, --out <dir>', 'folder to write; empty or new')),
    bits: option.withDefault(option.choice('--bits <n>', "the decoder's layers", ['4', '8']), '4'),
    asymmetric: option.flag('--asymmetric', 'with zero points: closer, a little larger'),
    head: option.choice('--head <n>', 'the language head (default: as --bits)', PARTS),
    embeddings: option.choice('--embeddings <n>', 'the embedding table (default none)', PARTS),
    vision: option.choice('--vision <n>', 'the vision tower (default 8)', PARTS),
  },
  examples: [
    'gapvl quantize --model Qwen/Qwen2.5-VL-3B-Instruct --out runs/3b-int4',
    'gapvl quantize --model runs/3b --out runs/3b-int8 --bits 8 --asymmetric',
  ],
  run: async (values, context) => {
    const model = await modelFolder(values.model, values.offline, context);
    const progress = context.progress('parameters');
    const [head, embeddings, vision] = [values.head, values.embeddings, values.vision].map(
      partBits,
    );
    const result = await quantizeCheckpoint({
      model,
      out: values.out,
      bits: values.bits === '8' ? 8 : 4,
      symmetric: !values.asymmetric,
      ...(head === undefined ? {} : { head }),
      ...(embeddings === undefined ? {} : { embeddings }),
      ...(vision === undefined ? {} : { vision }),
      progress: (done, total) => {
        progress.update(done, total);
      },
      signal: context.signal,
    });
    progress.finish();
    const { numPacked, bytesBefore, bytesAfter } = result;
    context.result(
      `packed ${numPacked} matrices: ${megabytes(bytesBefore)} are ${megabytes(bytesAfter)} now\nwrote ${values.out}`,
      { out: values.out, ...result },
    );
  },
});
