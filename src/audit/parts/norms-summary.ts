// Owns the sentences on norms and subspaces and norm calibration, made of journals alone; norms.ts calls it.
import { pairedEffect } from '../../evaluate/effects.ts';
import { Rng } from '../../rng.ts';
import { armFile } from '../journals.ts';
import { measured, told, toldPoints } from '../measured.ts';
import type { ArmRecord, AuditFacts, Journals } from '../part.ts';
import { NO_SUMS, addSums, spreadOf } from '../sums.ts';
import type { Spread } from '../sums.ts';
import type { AuditPart, AuditTable } from '../types.ts';
import type { NormRecord, SpectrumRecord } from './norms-records.ts';
import {
  SET_NAMES,
  layerFigure,
  layerTable,
  normsByKind,
  spectrumNumbers,
  spectrumTable,
  vectorLines,
  vectorTable,
} from './norms-tables.ts';
import type { VectorLine } from './norms-tables.ts';

function meanNorm(arm: readonly ArmRecord[]): number | null {
  const sums = arm.reduce(
    (sum, { latentNorm: x }) =>
      x === null ? sum : addSums(sum, { count: 1, sum: x, squares: x * x }),
    NO_SUMS,
  );
  return spreadOf(sums).mean;
}

/** Clean decoding and norm calibration, item by item. */
function calibration(
  journals: Journals,
  seed: number,
): { readonly table: AuditTable; readonly finding: string } | undefined {
  const [clean, ema] = [journals.arm('clean'), journals.arm('ema')];
  if (clean.length === 0 || ema.length !== clean.length) return undefined;
  const effect = pairedEffect({
    first: ema.map(({ correct }) => Number(correct)),
    second: clean.map(({ correct }) => Number(correct)),
    clusters: clean.map(({ cluster }) => cluster),
    rng: new Rng(seed).fork('norms ema'),
  });
  const [cleanNorm, emaNorm] = [meanNorm(clean), meanNorm(ema)];
  const { n } = effect;
  const table: AuditTable = {
    id: 'norms-ema',
    title: 'Norm calibration',
    columns: [
      { key: 'arm', title: 'latents', format: 'text' },
      { key: 'n', title: 'n', format: 'count' },
      { key: 'accuracy', title: 'accuracy', format: 'percent' },
      { key: 'difference', title: 'against as they are', format: 'points' },
      { key: 'p', title: 'p', format: 'p' },
      { key: 'norm', title: 'norm read back, mean', format: 'number' },
    ],
    rows: [
      {
        ...{ arm: 'as they are', n, accuracy: effect.second },
        ...{ difference: null, p: null, norm: cleanNorm },
      },
      {
        ...{ arm: 'rescaled to a running mean norm', n, accuracy: effect.first },
        difference: measured(effect.difference),
        p: effect.mcNemar?.p ?? null,
        norm: emaNorm,
      },
    ],
    note: 'Every latent gets the running mean norm, which starts from the query picture. p: exact McNemar, one test, not corrected.',
    items: [armFile('clean'), armFile('ema')],
  };
  const finding = `Rescaled to a running mean norm (${told(cleanNorm ?? NaN)} becomes ${told(emaNorm ?? NaN)} on average), latents change accuracy by ${toldPoints(effect.difference)} over ${n} questions.`;
  return { table, finding };
}

function spread(value: Spread): string {
  return `${told(value.mean ?? NaN)} +- ${told(value.std ?? NaN)}`;
}

function vectorFindings(lines: readonly VectorLine[]): string[] {
  const [text, vision, injected, raw] = lines;
  if (!text || !vision || !injected || !raw) return [];
  if (injected.log.count === 0) {
    return [
      `No latents were written. Query picture embeddings have ln norm ${spread(vision.log)}, text embeddings ${spread(text.log)}.`,
    ];
  }
  const ratio = (a: Spread): string => told((a.mean ?? NaN) / (vision.length.mean ?? NaN));
  return [
    `Injected latents have ln norm ${spread(injected.log)}, query picture embeddings ${spread(vision.log)}, text embeddings ${spread(text.log)}: latents are ${ratio(injected.length)} times as long as picture embeddings.`,
    `The states they are made of have ln norm ${spread(raw.log)} before the final norm, ${ratio(raw.length)} times the length of picture embeddings.`,
    ...(injected.plane && raw.plane
      ? [
          `Injected latents lie ${told(injected.plane.mean ?? NaN)} from the plane of the head (0 on it, 1 at a right angle), the states before the final norm ${told(raw.plane.mean ?? NaN)}.`,
        ]
      : []),
  ];
}

function spectrumFindings(records: readonly SpectrumRecord[]): string[] {
  const parts = records.flatMap((record) => {
    const numbers = spectrumNumbers(record);
    return numbers
      ? [`${SET_NAMES[record.set]} ${numbers.dims95} (effective rank ${told(numbers.rank)})`]
      : [];
  });
  return parts.length === 0
    ? []
    : [`Directions that hold 95 % of the variance: ${parts.join(', ')}.`];
}

/** The part from its journals. */
export function summariseNorms(journals: Journals, facts: AuditFacts): AuditPart {
  const records = journals.part('norms');
  const rows = records.filter((record): record is NormRecord => record['kind'] === 'row');
  const spectra = records.filter(
    (record): record is SpectrumRecord => record['kind'] === 'spectrum',
  );
  const byKind = normsByKind(rows);
  const lines = vectorLines(rows);
  const calibrated = calibration(journals, facts.seed);
  const hasPlane = lines.some(({ plane }) => plane !== undefined);
  return {
    name: 'norms',
    title: 'Norms and subspace',
    definition:
      'L2 norms of every position of prompt and response, teacher-forced as the model wrote it: at ' +
      'the input, behind every layer, and after the final norm. What is read at latents, against ' +
      'picture and text embeddings; how far it and the states it is made of lie from the plane of ' +
      'the head; how many directions it uses (effective rank: e to the entropy of the ' +
      'singular values around the mean, as shares of their sum).',
    source: 'GAP section 3, Figure 2 and Table 1; effective rank: Roy and Vetterli 2007',
    findings: [
      ...vectorFindings(lines),
      ...spectrumFindings(spectra),
      ...(calibrated ? [calibrated.finding] : []),
    ],
    tables: [
      layerTable(byKind),
      vectorTable(lines),
      spectrumTable(spectra),
      ...(calibrated ? [calibrated.table] : []),
    ],
    figures: [layerFigure(byKind)],
    notes: [
      ...(hasPlane ? [] : ['the head has no plane, so no distances to one are given']),
      ...(calibrated ? [] : ['norm calibration was not run']),
    ],
  };
}
