// Owns the list of commands; a command's file loads only when that command is called.
import type { CliCommand } from './command.ts';

/** A command in the list: the words that call it, its line in the help, its file. */
export interface CommandEntry {
  readonly words: readonly [string] | readonly [string, string];
  readonly summary: string;
  readonly load: () => Promise<CliCommand>;
}

/** Groups of commands by their first word, with their line in the help. */
export const GROUPS: ReadonlyMap<string, string> = new Map([
  ['data', 'make and look at examples'],
  ['capacity', 'find out what the base model can already answer'],
  ['pca', 'the basis latents are written in'],
]);

/** Every command, in the order of the help. To add one: a file here, a line here. */
export const COMMANDS: readonly CommandEntry[] = [
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
];
