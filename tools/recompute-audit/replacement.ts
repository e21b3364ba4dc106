// Owns recomputing the replacement tests and the part on exposure from the arms; recompute-audit.ts calls it.
import { average, wilsonShare } from './recomputation.ts';
import type { ArmItem, Expected, Recomputation } from './recomputation.ts';
import { detectableOf, holm, mean, signTest } from './statistics.ts';
import type { Observation } from './statistics.ts';

/** Arms in the order of their table, with their titles. */
const ARMS: Readonly<Record<string, string>> = {
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

const isRight = ({ correct }: ArmItem): boolean => correct;
const hasSpan = ({ triggered }: ArmItem): boolean => triggered;

function rate(items: readonly ArmItem[], is: (item: ArmItem) => boolean): number | null {
  return items.length === 0 ? null : items.filter(is).length / items.length;
}

/** Mean of what some items have; null where none has it. */
function meanOf(
  items: readonly ArmItem[],
  key: 'latentNorm' | 'logitsDistance' | 'targetError',
): number | null {
  const values = items.map((item) => item[key]).filter((value) => value !== null);
  return values.length === 0 ? null : mean(values);
}

/** Value in the middle; the upper one of two. */
function middle(items: readonly ArmItem[]): number | null {
  const values = items.map((item) => item.logitsDistance).filter((value) => value !== null);
  return values.sort((a, b) => a - b)[values.length >> 1] ?? null;
}

/** What an arm has over clean, item by item. */
function overClean(run: Recomputation, name: string): Observation[] {
  const byId = new Map(run.arm(name).map((item) => [item.id, item.correct]));
  return run.arm('clean').map(({ id, cluster, correct }): Observation => {
    const other = byId.get(id);
    return [cluster, other === undefined ? NaN : Number(other) - Number(correct)];
  });
}

/** Both tables of the replacement tests; a row for every arm that was run. */
export function replacement(run: Recomputation): void {
  if (!run.has('replacement')) return;
  const names = Object.keys(ARMS).filter((name) => run.arm(name).length > 0);
  const tested = names.filter((name) => name !== 'clean' && name !== 'identity');
  const ps = holm(tested.map((name) => signTest(overClean(run, name))));
  const clean = rate(run.arm('clean'), isRight) ?? NaN;
  const base = rate(run.arm(run.arms.includes('base') ? 'base' : 'zero-latent'), isRight) ?? NaN;
  run.table(
    'replacement',
    names.map((name): Record<string, Expected> => {
      const items = run.arm(name);
      const spans = items.filter(hasSpan);
      const p = ps[tested.indexOf(name)];
      const own = rate(items, isRight) ?? NaN;
      return {
        ...{ arm: ARMS[name] ?? '', journal: `items/arm-${name}.jsonl`, n: items.length },
        accuracy: wilsonShare(items.filter(isRight).length, items.length),
        onSpans: wilsonShare(spans.filter(isRight).length, spans.length),
        trigger: name === 'base' ? null : rate(items, hasSpan),
        difference: name === 'clean' ? null : average(overClean(run, name)),
        p: p === undefined ? null : { p },
        detectable: name === 'clean' ? null : detectableOf(overClean(run, name)),
        retention: clean > base ? (own - base) / (clean - base) : null,
        logits: middle(spans),
        norm: meanOf(spans, 'latentNorm'),
      };
    }),
  );
  const tasks = [...new Set(run.arm('clean').map(({ task }) => task))];
  run.table(
    'replacement-by-task',
    names.map((name) => {
      const cells: Record<string, Expected> = { arm: ARMS[name] ?? '' };
      for (const task of tasks) {
        const own = run.arm(name).filter((item) => item.task === task);
        cells[`task ${task}`] = rate(own, isRight);
      }
      return cells;
    }),
  );
}

/** Accuracy and error by how many latents were given, none to all. */
export function exposure(run: Recomputation): void {
  if (!run.has('exposure')) return;
  const { numLatents } = run.audit.model;
  const forced = run.arms.flatMap((name) => /^forced-(\d+)$/.exec(name)?.[1] ?? []).map(Number);
  const steps = [0, ...forced.sort((a, b) => a - b), numLatents].flatMap((m) => {
    const name = m === 0 ? 'clean' : m === numLatents ? 'oracle' : `forced-${m}`;
    const spans = run.arm(name).filter(hasSpan);
    return spans.length === 0 ? [] : [{ m, spans }];
  });
  run.table(
    'exposure',
    steps.map(({ m, spans }) => ({
      ...{ m, n: spans.length },
      accuracy: average(spans.map(({ cluster, correct }) => [cluster, Number(correct)] as const)),
      error: meanOf(spans, 'targetError'),
    })),
  );
}
