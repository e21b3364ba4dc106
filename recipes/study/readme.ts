// Owns the study's tables as README.md shows them; everything comes from the stored study.
import type { Study, StudyRow } from '../../src/report/study.ts';

function percent(share: number): string {
  return (100 * share).toFixed(1);
}

function interval({ low, high }: { readonly low: number; readonly high: number }): string {
  return `${percent(low)} to ${percent(high)}`;
}

function seeds(row: StudyRow): string {
  return row.bySeed.map(percent).join(', ');
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

function variants(study: Study): string {
  return table(
    ['variant', 'accuracy %', '95 % interval', 'by seed', 'wrote latents %'],
    study.variants.map((row) => [
      row.label,
      percent(row.accuracy.mean),
      interval(row.accuracy),
      seeds(row),
      row.triggerRate === undefined ? '-' : percent(row.triggerRate),
    ]),
  );
}

function byTask(study: Study): string {
  const tasks = [...new Set(study.variants.flatMap((row) => Object.keys(row.byTask ?? {})))];
  const cell = (row: StudyRow, task: string): string => {
    const { easy = null, hard = null } = row.byTask?.[task] ?? {};
    const show = (share: number | null): string =>
      share === null ? '-' : (100 * share).toFixed(0);
    return `${show(easy)} / ${show(hard)}`;
  };
  return table(
    ['variant, easy / hard %', ...tasks],
    study.variants.map((row) => [row.label, ...tasks.map((task) => cell(row, task))]),
  );
}

function interventions(study: Study): string {
  return table(
    ['intervention on GAP', 'accuracy %', '95 % interval', 'against clean, points'],
    study.interventions.map((row) => [
      row.label,
      percent(row.accuracy.mean),
      interval(row.accuracy),
      row.difference ? `${percent(row.difference.mean)} (${interval(row.difference)})` : '-',
    ]),
  );
}

function contrasts(study: Study): string {
  const verdict = ({ low, high }: { readonly low: number; readonly high: number }): string =>
    low > 0 ? 'shown' : high < 0 ? 'refuted' : 'open';
  return table(
    ['expected', 'difference, points', '95 % interval', 'seeds', 'verdict'],
    study.contrasts.map(({ claim, difference, numSeeds }) => [
      claim,
      percent(difference.mean),
      interval(difference),
      String(numSeeds),
      verdict(difference),
    ]),
  );
}

function sweeps(study: Study): string {
  const share = (value: number | undefined): string => (value === undefined ? '-' : percent(value));
  return table(
    [
      'setting (validation draw)',
      'seeds',
      'accuracy %',
      '95 % interval',
      'against the reference, points',
      'oracle %',
      'supervised %',
    ],
    study.sweeps.map((row) => [
      row.difference ? row.label : `**${row.label}**`,
      String(row.numSeeds),
      percent(row.accuracy.mean),
      interval(row.accuracy),
      row.difference
        ? `${percent(row.difference.mean)} (${interval(row.difference)})`
        : 'reference',
      share(row.oracle),
      share(row.latentShare),
    ]),
  );
}

/** What the study says, in two sentences. */
function verdict(study: Study): string {
  const of = (rows: readonly StudyRow[], name: string): string => {
    const row = rows.find((r) => r.name === name);
    return row ? `${percent(row.accuracy.mean)} %` : 'not measured';
  };
  const [gap, variants] = [study.interventions, study.variants];
  return [
    `GAP answers ${of(gap, 'clean')} of the test questions with its own latents, ${of(gap, 'zero-latent')} with`,
    `the span suppressed, ${of(gap, 'other')} with another example's latents and ${of(gap, 'oracle')} with the`,
    "auxiliary picture's own embeddings in their place. Text alone (dense caption SFT on the same data)",
    `answers ${of(variants, 'dense-caption')}, latents on every example (LH+PCA) ${of(variants, 'lh-pca')}, the base`,
    `${of(variants, 'base')}.`,
  ].join('\n');
}

/** The generated part of README.md. */
export function readmeTables(study: Study): string {
  const numBases = Math.max(0, ...study.variants.map((row) => row.numSeeds));
  return [
    verdict(study),
    `${study.numJobs} of ${study.numPlanned} trainings done, on up to ${numBases} base checkpoints; 1,000 test questions a base, never used for a choice.`,
    variants(study),
    byTask(study),
    interventions(study),
    contrasts(study),
    ...(study.sweeps.length > 0 ? [sweeps(study)] : []),
  ].join('\n\n');
}
