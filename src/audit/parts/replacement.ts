// Owns the replacement tests of an audit: which arms, and what they cost; audit.ts lists it.
// Axes: K latents of a span, D hidden, N vectors.
import { pairedEffect, holm } from '../../evaluate/effects.ts';
import type { PairedEffect } from '../../evaluate/effects.ts';
import { wilsonInterval } from '../../evaluate/statistics.ts';
import { responseIds } from '../../model/bundle.ts';
import { textEmbeddings } from '../../model/text-embeddings.ts';
import { TAGS } from '../../data/format.ts';
import { Rng } from '../../rng.ts';
import { latentsOf } from '../arms.ts';
import { betterArm } from '../caution.ts';
import { ZERO_LATENT_ARM, oracleArm, otherArm } from '../shared-arms.ts';
import { meanOfSpans, permutedRows, pooledNoise, repeatRow } from '../replacements.ts';
import type {
  ArmRecord,
  ArmSpec,
  AuditContext,
  AuditFacts,
  CleanRow,
  Journals,
  PartDefinition,
} from '../part.ts';
import type { AuditFigure, AuditPart, AuditTable, Cell, Measured } from '../types.ts';

/** Arms by name with their titles, in the order of the table. */
const TITLES: Readonly<Record<string, string>> = {
  clean: 'Clean',
  identity: 'Identity: replaced by themselves',
  oracle: "Oracle: the auxiliary picture's embeddings",
  'repeat-first': 'First latent K times',
  permuted: 'Own latents, shuffled',
  truncated: 'First half of the span',
  mean: 'Mean latent of each place',
  other: "Another example's latents",
  'noise-unit': 'Noise, unit coefficients',
  'noise-spectrum': 'Noise, N(0, eigenvalues)',
  'noise-norm': 'Noise, norm of the prediction',
  'noise-pooled': 'Noise, mean and variance of the targets',
  'zero-vector': 'Zero vectors',
  'constant-slots': 'Slots that all read the pad embedding',
  'markers-only': 'Markers only, K = 0',
  'format-only': 'Format only: parser text without span',
  'zero-latent': 'Zero-latent: span suppressed',
  base: 'Base model',
};

/** Arms whose vectors destroy the content; the canary `destruction` looks at these. */
export const DESTRUCTIVE_ARMS = ['zero-vector', 'noise-unit'] as const;

function needed(row: CleanRow): Float32Array {
  return latentsOf(row) ?? new Float32Array(0);
}

/** The clean response up to its span, and then straight on with the parser's tag. */
function formatOnly(context: AuditContext, row: CleanRow): { ids: number[]; latents: [] } {
  const { bundle } = context.model;
  const end = row.result.ids.indexOf(bundle.sequence.latentStart);
  const tag = responseIds(bundle, [{ kind: 'marker', text: TAGS.parserOpen }]);
  return { ids: [...row.result.ids.slice(0, end), ...tag], latents: [] };
}

/** Every arm of the part that this model and these examples allow. */
export async function replacementArms(context: AuditContext): Promise<ArmSpec[]> {
  const { model, rows, seed } = context;
  const { checkpoint, sequence } = model.bundle;
  const width = checkpoint.config.text.hiddenSize;
  const numLatents = model.settings?.numLatents ?? 0;
  const withSpan = rows.filter((row) => row.result.latents.length > 0);
  const whole = withSpan.filter((row) => row.result.latents.length === numLatents);
  const mean_KD = meanOfSpans(whole.map(needed));
  const pad_D = await textEmbeddings(checkpoint, [sequence.latentPad], context.session);
  const rngOf = (name: string, row: CleanRow): Rng =>
    new Rng(seed).fork(`${name} ${row.item.example.id}`);
  const given = (name: string, vectors: NonNullable<ArmSpec['given']>): ArmSpec => ({
    name,
    title: TITLES[name] ?? name,
    intervention: { kind: 'given' },
    given: vectors,
  });
  const own = (name: string, rest: Omit<ArmSpec, 'name' | 'title'>): ArmSpec => ({
    name,
    title: TITLES[name] ?? name,
    ...rest,
  });
  const arms: ArmSpec[] = [
    given('identity', needed),
    given('repeat-first', (row) => repeatRow(needed(row).subarray(0, width), numLatents)),
    given('permuted', (row) => permutedRows(needed(row), width, rngOf('permuted', row))),
    given('zero-vector', () => new Float32Array(width)),
    given('constant-slots', () => pad_D),
    own('noise-unit', { intervention: { kind: 'noise', law: 'unit' } }),
    own('noise-norm', { intervention: { kind: 'noise', law: 'norm' } }),
    own('markers-only', { intervention: { kind: 'clean' }, numLatents: 0 }),
    own('format-only', {
      intervention: { kind: 'zero-latent' },
      beginning: (row) => formatOnly(context, row),
    }),
    ZERO_LATENT_ARM,
  ];
  if (whole.length > 0) arms.push(given('mean', () => mean_KD));
  if (numLatents > 1) {
    const half = Math.floor(numLatents / 2);
    arms.push(own('truncated', { intervention: { kind: 'clean' }, numLatents: half }));
  }
  if (model.head.basis)
    arms.push(own('noise-spectrum', { intervention: { kind: 'noise', law: 'spectrum' } }));
  const [other, oracle] = [otherArm(context), oracleArm(context)];
  if (other) arms.push(other);
  if (oracle) {
    const targets = withSpan.flatMap((row, i) => oracle.given?.(row, i) ?? []);
    const noise = pooledNoise(targets, width);
    arms.push(oracle);
    arms.push(given('noise-pooled', (row) => noise(numLatents, rngOf('noise-pooled', row))));
  }
  return arms;
}

const scores = (records: readonly ArmRecord[]): number[] =>
  records.map(({ correct }) => (correct ? 1 : 0));

function share(records: readonly ArmRecord[], is: (record: ArmRecord) => boolean): Measured | null {
  if (records.length === 0) return null;
  const count = records.filter(is).length;
  return { value: count / records.length, ...wilsonInterval(count, records.length) };
}

/** Clean against another arm on the same items; positive where clean is better. */
export function cleanAgainst(
  journals: Journals,
  name: string,
  seed: number,
): PairedEffect | undefined {
  const [clean, other] = [journals.arm('clean'), journals.arm(name)];
  if (clean.length === 0 || other.length !== clean.length) return undefined;
  return pairedEffect({
    first: scores(clean),
    second: scores(other),
    clusters: clean.map(({ cluster }) => cluster),
    rng: new Rng(seed).fork(`clean against ${name}`),
  });
}

function median(values: readonly number[]): number | null {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? null;
}

function accuracyOf(records: readonly ArmRecord[]): number {
  return records.length === 0 ? NaN : scores(records).reduce((a, b) => a + b, 0) / records.length;
}

/** What is left of the gain of clean over base; null where clean is not above it. */
function retention(accuracy: number, clean: number, base: number): number | null {
  return clean > base ? (accuracy - base) / (clean - base) : null;
}

function summarise(journals: Journals, facts: AuditFacts): AuditPart {
  const names = Object.keys(TITLES).filter((name) => journals.arm(name).length > 0);
  const others = names.filter((name) => name !== 'clean');
  const effects = new Map(
    others.flatMap((name) => {
      const effect = cleanAgainst(journals, name, facts.seed);
      return effect ? [[name, effect] as const] : [];
    }),
  );
  const tested = others.filter((name) => effects.get(name)?.mcNemar && name !== 'identity');
  const corrected = holm(tested.map((name) => effects.get(name)?.mcNemar?.p ?? 1));
  const baseName = names.includes('base') ? 'base' : 'zero-latent';
  const [clean, base] = [accuracyOf(journals.arm('clean')), accuracyOf(journals.arm(baseName))];
  const rows = names.map((name): Record<string, Cell> => {
    const records = journals.arm(name);
    const effect = effects.get(name);
    const spans = records.filter(({ triggered }) => triggered);
    const distances = spans.flatMap(({ logitsDistance }) => logitsDistance ?? []);
    const norms = spans.flatMap(({ latentNorm }) => latentNorm ?? []);
    return {
      arm: TITLES[name] ?? name,
      // Not shown: where the numbers of this row come from.
      journal: `items/arm-${name}.jsonl`,
      n: records.length,
      accuracy: share(records, ({ correct }) => correct),
      onSpans: share(spans, ({ correct }) => correct),
      trigger: name === 'base' ? null : spans.length / Math.max(1, records.length),
      difference: effect
        ? {
            value: -effect.difference.mean,
            low: -effect.difference.high,
            high: -effect.difference.low,
          }
        : null,
      p: corrected[tested.indexOf(name)] ?? null,
      detectable: effect?.minimumDetectable ?? null,
      retention: retention(accuracyOf(records), clean, base),
      logits: median(distances),
      norm: norms.length === 0 ? null : norms.reduce((a, b) => a + b, 0) / norms.length,
    };
  });
  const items = names.map((name) => `items/arm-${name}.jsonl`);
  const table: AuditTable = {
    id: 'replacement',
    title: 'What each replacement costs',
    columns: [
      { key: 'arm', title: 'Latents', format: 'text' },
      { key: 'n', title: 'n', format: 'count' },
      { key: 'accuracy', title: 'accuracy %', format: 'percent' },
      { key: 'onSpans', title: 'on rows changed %', format: 'percent' },
      { key: 'trigger', title: 'rows changed %', format: 'percent' },
      { key: 'difference', title: 'against clean, points', format: 'points' },
      { key: 'p', title: 'p, Holm', format: 'p' },
      { key: 'detectable', title: 'found with power 0.8 from', format: 'percent' },
      { key: 'retention', title: 'retention R %', format: 'percent' },
      { key: 'logits', title: 'logits moved (median)', format: 'number' },
      { key: 'norm', title: 'norm read back', format: 'number' },
    ],
    rows,
    note:
      'Rows changed: those that open a span by themselves (the trigger rate); only they are decoded ' +
      'again, all others keep their clean answer. ' +
      `R = (accuracy - base) / (clean - base), base: ${TITLES[baseName] ?? baseName}; left empty ` +
      'where clean is not above the base. ' +
      'Logits moved: largest change of a logit at the first position after the span. ' +
      'p: exact McNemar against clean, corrected for all rows of the table.',
    items,
  };
  return {
    name: 'replacement',
    title: 'Replacement tests',
    definition:
      'The decoder goes on from the start of the span with other vectors in the place of its own ' +
      'latents, or without a span. Prompt, picture, budget, markers and seed stay the same; rows ' +
      'that wrote no span keep their answer. What the answers lose is what the latents carried.',
    source:
      'GAP Table 6; arms without content: ours, so that a span, its slots and its content can be told apart',
    findings: findingsOf(effects, clean),
    tables: [table, byTask(journals, names)],
    figures: [figureOf(rows, items)],
    notes: [
      ...missingNotes(names),
      ...baseNotes(TITLES[baseName] ?? baseName, effects.get(baseName)),
    ],
  };
}

function missingNotes(names: readonly string[]): string[] {
  const notes: string[] = [];
  if (!names.includes('oracle'))
    notes.push('oracle and pooled noise are left out: some examples have no auxiliary picture');
  if (!names.includes('other'))
    notes.push("another example's latents are left out: too few examples wrote a span");
  if (!names.includes('mean'))
    notes.push('the mean latent is left out: every span was cut off by the limit of tokens');
  if (!names.includes('noise-spectrum'))
    notes.push('noise by eigenvalues is left out: the model has no PCA basis');
  return notes;
}

/** Where retention means less than it looks. */
function baseNotes(title: string, gain: PairedEffect | undefined): string[] {
  if (!gain) return [];
  return [
    ...(gain.second === 0
      ? [
          `the base answers nothing right (${title}), so retention is a share of the clean accuracy, not of a gain`,
        ]
      : []),
    ...(betterArm(gain) === 'first'
      ? []
      : [
          `clean is not above the base (${title}) beyond chance, so retention divides by what may be nothing`,
        ]),
  ];
}

const points = (value: number): string => (100 * value).toFixed(1);

function findingsOf(effects: ReadonlyMap<string, PairedEffect>, clean: number): string[] {
  const told = ['other', 'markers-only', 'zero-latent', 'oracle'].flatMap((name) => {
    const effect = effects.get(name);
    if (!effect) return [];
    const { mean, low, high } = effect.difference;
    return [
      `${TITLES[name] ?? name}: ${points(effect.second)} %, clean minus this is ${points(mean)} points (${points(low)} to ${points(high)}).`,
    ];
  });
  return [`Clean: ${points(clean)} %.`, ...told];
}

function byTask(journals: Journals, names: readonly string[]): AuditTable {
  const clean = journals.arm('clean');
  const tasks = [...new Set(clean.map(({ task }) => task))].sort();
  return {
    id: 'replacement-by-task',
    title: 'Accuracy by task, %',
    columns: [
      { key: 'arm', title: 'Latents', format: 'text' },
      ...tasks.map((task) => ({
        key: `task ${task}`,
        title: task === '' ? 'all' : task,
        format: 'percent' as const,
      })),
    ],
    rows: names.map((name) => ({
      arm: TITLES[name] ?? name,
      ...Object.fromEntries(
        tasks.map((task) => {
          const own = journals.arm(name).filter((record) => record.task === task);
          return [`task ${task}`, own.length === 0 ? null : accuracyOf(own)];
        }),
      ),
    })),
    items: names.map((name) => `items/arm-${name}.jsonl`),
  };
}

function figureOf(rows: readonly Record<string, Cell>[], items: readonly string[]): AuditFigure {
  const values = rows.flatMap((row) => {
    const { arm, accuracy } = row;
    if (typeof accuracy !== 'object' || accuracy === null || typeof arm !== 'string') return [];
    const { value, low, high } = accuracy;
    return [{ arm, accuracy: 100 * value, low: 100 * low, high: 100 * high }];
  });
  const y = { field: 'arm', type: 'nominal' as const, title: null, sort: null };
  return {
    id: 'replacement',
    title: 'Accuracy by what is read in the place of the latents',
    alt: values.map(({ arm, accuracy }) => `${arm}: ${accuracy.toFixed(1)} %`).join('; '),
    spec: {
      data: { values },
      width: 420,
      height: { step: 22 },
      layer: [
        {
          mark: { type: 'rule' },
          encoding: {
            y,
            x: { field: 'low', type: 'quantitative', title: 'accuracy, %' },
            x2: { field: 'high' },
          },
        },
        {
          mark: { type: 'point', filled: true, size: 60, tooltip: true },
          encoding: { y, x: { field: 'accuracy', type: 'quantitative' } },
        },
      ],
    },
    items,
  };
}

/** The part. */
export const REPLACEMENT_PART: PartDefinition = {
  name: 'replacement',
  obstacle: ({ rows }) =>
    rows.some((row) => row.result.latents.length > 0)
      ? undefined
      : 'the model wrote no latents, so there is nothing to replace',
  arms: replacementArms,
  summarise,
};
