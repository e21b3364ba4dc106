// Owns `gapvl pca fit`: fits the basis that latents are written in.
import { fitBasis } from '../context/fit-basis.ts';
import { SPLITS } from '../data/example.ts';
import { ConfigError } from '../errors.ts';
import { DEFAULT_EXPLAINED, numComponentsFor } from '../latent/pca.ts';
import type { BasisSize, PcaBasis } from '../latent/pca.ts';
import { percent, renderTextTable } from '../report/text-table.ts';
import { defineCommand } from './command.ts';
import * as option from './options.ts';
import { modelFolder, sessionOptions } from './running.ts';

const KINDS = ['pca', 'random', 'no-mean'] as const;
// Shares of variance whose number of components is shown, as the paper's Table 5 does.
const SHOWN_TARGETS = [0.85, 0.9, 0.95, 0.99] as const;
const SPECTRUM_HEAD = 12;

function sizeOf(explained: number | undefined, components: number | undefined): BasisSize {
  if (explained !== undefined && components !== undefined) {
    throw new ConfigError({
      what: 'the size of the basis is given twice',
      got: `--explained ${explained} and --components ${components}`,
      expected: 'one of the two',
      fix: 'leave one out',
    });
  }
  if (components !== undefined) return { numComponents: components };
  return { explained: explained ?? DEFAULT_EXPLAINED };
}

function describe(basis: PcaBasis) {
  return {
    kind: basis.kind,
    k: basis.k,
    dim: basis.dim,
    explained: basis.explained,
    relMse: 1 - basis.explained,
    totalVariance: basis.totalVariance,
    numEmbeddings: basis.count,
    componentsFor: Object.fromEntries(
      SHOWN_TARGETS.map((target) => [target, numComponentsFor(basis.eigenvalues, target)]),
    ),
    spectrum: Array.from(basis.eigenvalues.subarray(0, SPECTRUM_HEAD)),
  };
}

function render(basis: PcaBasis): string {
  const { k, dim, explained, relMse, componentsFor, spectrum } = describe(basis);
  let cumulated = 0;
  const table = renderTextTable({
    columns: [
      { heading: 'component', align: 'right' },
      { heading: 'variance', align: 'right' },
      { heading: 'cumulated %', align: 'right' },
    ],
    rows: spectrum.map((value, i) => {
      cumulated += value / basis.totalVariance;
      return [String(i + 1), value.toPrecision(4), percent(cumulated)];
    }),
    notes: [],
  });
  const targets = Object.entries(componentsFor).map(
    ([share, n]) => `${n} for ${percent(+share)} %`,
  );
  return [
    table,
    '',
    `${basis.kind} basis: k = ${k} of ${dim}, explains ${percent(explained)} % of the variance of ` +
      `${basis.count} embeddings, RelMSE ${relMse.toFixed(4)}`,
    `components needed: ${targets.join(', ')}`,
  ].join('\n');
}

/** The command. */
export const command = defineCommand({
  description:
    'Encodes the auxiliary pictures of the training split with the frozen vision tower, fits ' +
    'principal components on the embeddings in constant memory (GAP §4.2) and writes them with ' +
    'what they were fitted on; `gapvl train` refuses a basis of another model or K. Ctrl-C saves; ' +
    'the same command goes on.',
  options: {
    ...option.modelOptions('the base'),
    data: option.required(option.text('--data <dir>', 'dataset folder')),
    split: option.withDefault(option.choice('--split <name>', 'split to fit on', SPLITS), 'train'),
    out: option.required(option.text('-o, --out <file>', 'safetensors file to write')),
    explained: option.decimal(
      '--explained <x>',
      `share of the variance to keep (default: ${DEFAULT_EXPLAINED})`,
      { min: 0.001, max: 1 },
    ),
    components: option.positiveInteger('--components <k>', 'number of components instead'),
    kind: option.withDefault(
      option.choice('--kind <kind>', 'the basis, or a control of its size', KINDS),
      'pca',
    ),
    latents: option.withDefault(option.square('--latents <K>', 'latents in a span'), 36),
    seed: option.seedOption(),
    threads: option.threadsOption(),
    device: option.deviceOption(),
  },
  examples: [
    'gapvl pca fit --model runs/base --data runs/data --explained 0.99 --out runs/basis.safetensors',
    'gapvl pca fit --model runs/base --data runs/data --out runs/basis-11.safetensors --components 11',
  ],
  run: async (values, context) => {
    const session = await sessionOptions(values);
    const { data, split, out, kind, latents, seed } = values;
    const size = sizeOf(values.explained, values.components);
    const model = await modelFolder(values.model, values.offline, context);
    const embedding = context.progress('auxiliary pictures');
    const basis = await fitBasis({
      ...{ model, data, split, out, kind, seed, size, numLatents: latents },
      ...session,
      progress: (stage, done, total) => {
        if (stage === 'embed') embedding.update(done, total);
      },
      signal: context.signal,
    });
    embedding.finish();
    context.result(`${render(basis)}\nwrote ${out}`, { out, ...describe(basis) });
  },
});
