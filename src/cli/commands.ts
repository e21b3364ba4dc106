// Owns the list of commands; a command's file loads only when that command is called.
import type { CliCommand } from './command.ts';

/** A command in the list: the words that call it, its line in the help, its file. */
export interface CommandEntry {
  readonly words: readonly [string] | readonly [string, string];
  readonly summary: string;
  /** Whether it is what its group does without a second word. */
  readonly isDefault?: boolean;
  readonly load: () => Promise<CliCommand>;
}

/** Groups of commands by their first word, with their line in the help. */
export const GROUPS: ReadonlyMap<string, string> = new Map([
  ['data', 'make and look at examples'],
  ['capacity', 'find out what the base model can already answer'],
  ['pca', 'the basis latents are written in'],
  ['tokens', 'the tokens of latent spans'],
  ['evaluate', "run and score the paper's benchmarks"],
]);

/** Every command, in the order of the help. To add one: a file here, a line here. */
export const COMMANDS: readonly CommandEntry[] = [
  {
    words: ['data', 'generate'],
    summary: 'draw a dataset of visual questions',
    load: async () => (await import('./data-generate.ts')).command,
  },
  {
    words: ['fetch'],
    summary: 'download a model of the Hugging Face hub',
    load: async () => (await import('./fetch.ts')).command,
  },
  {
    words: ['pretrain'],
    summary: 'train the tiny base from nothing',
    load: async () => (await import('./pretrain.ts')).command,
  },
  {
    words: ['tokens', 'add'],
    summary: 'give a published model the tokens of latent spans',
    load: async () => (await import('./tokens-add.ts')).command,
  },
  {
    words: ['capacity', 'score'],
    summary: 'sample the base and assign examples to latent or text-only',
    load: async () => (await import('./capacity-score.ts')).command,
  },
  {
    words: ['pca', 'fit'],
    summary: 'fit the basis on auxiliary pictures',
    load: async () => (await import('./pca-fit.ts')).command,
  },
  {
    words: ['train'],
    summary: 'train a variant on top of a base',
    load: async () => (await import('./train.ts')).command,
  },
  {
    words: ['generate'],
    summary: 'answer a question about a picture',
    load: async () => (await import('./generate.ts')).command,
  },
  {
    words: ['quantize'],
    summary: 'pack a model to 4 or 8 bits, to run it in less memory',
    load: async () => (await import('./quantize.ts')).command,
  },
  {
    words: ['compare'],
    summary: 'run models on the same questions, latents clean and changed',
    load: async () => (await import('./compare.ts')).command,
  },
  {
    words: ['doctor'],
    summary: 'check this machine and say what to mend',
    load: async () => (await import('./doctor.ts')).command,
  },
  {
    words: ['forward'],
    summary: 'run named tensors through a model, with gradients',
    load: async () => (await import('./forward.ts')).command,
  },
  {
    words: ['explain'],
    summary: 'say what size and how many tokens pictures get, and why',
    load: async () => (await import('./explain.ts')).command,
  },
  {
    words: ['audit'],
    summary: 'find out whether a model uses its latents, and for what',
    load: async () => (await import('./audit.ts')).command,
  },
  {
    words: ['evaluate', 'fetch'],
    summary: 'download the table of a benchmark',
    load: async () => (await import('./evaluate-fetch.ts')).command,
  },
  {
    words: ['evaluate', 'run'],
    summary: 'answer a benchmark with a model or an endpoint',
    isDefault: true,
    load: async () => (await import('./evaluate-run.ts')).command,
  },
  {
    words: ['evaluate', 'sweep'],
    summary: 'the same over budgets, interventions, seeds and models',
    load: async () => (await import('./evaluate-sweep.ts')).command,
  },
  {
    words: ['evaluate', 'score'],
    summary: 'turn predictions into figures, without a model',
    load: async () => (await import('./evaluate-score.ts')).command,
  },
  {
    words: ['evaluate', 'compare'],
    summary: 'hold two scored runs against each other, paired by item',
    load: async () => (await import('./evaluate-compare.ts')).command,
  },
  {
    words: ['evaluate', 'table'],
    summary: "the paper's tables with your rows beside the published ones",
    load: async () => (await import('./evaluate-table.ts')).command,
  },
  {
    words: ['report'],
    summary: 'one HTML page about a comparison',
    load: async () => (await import('./report.ts')).command,
  },
  {
    words: ['demo'],
    summary: 'the main job on the embedded model, ends with a report',
    load: async () => (await import('./demo.ts')).command,
  },
];
