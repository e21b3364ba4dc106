// Owns the part of the audit on fixed-context dependence: what it replaces, what it looks at, its records.
// Axes: K latents, D hidden, L layers, M picture tokens.
import { Rng } from '../../rng.ts';
import { latentsOf } from '../arms.ts';
import { meanOfSpans } from '../replacements.ts';
import { answerIds, answerQuestions } from '../answer-labels.ts';
import type { AnswerLogProbs, AnswerQuestions } from '../answer-labels.ts';
import { decidingRegion } from '../deciding-region.ts';
import { LabelObserver } from '../observe.ts';
import type { AuditContext, PartDefinition, PartRecord } from '../part.ts';
import { cleanSequence } from '../places.ts';
import { RowObserver } from '../row-observation.ts';
import type { RowObservation } from '../row-observation.ts';
import type { DependenceRecord, RegionAttention, StepLogProbs } from './dependence-records.ts';
import { summariseDependence } from './dependence-summary.ts';

/** Numbers of latents to be replaced: 0, powers of two up to K / 2, K. Worked example: K = 9 gives 0, 1, 2, 4, 9. */
export function replacedSteps(numLatents: number): number[] {
  const steps = [0];
  for (let m = 1; m <= numLatents / 2; m *= 2) steps.push(m);
  return [...steps, numLatents];
}

/** Mean latent of each place over rows with a whole span: what all examples have in common. */
function meanLatents({ rows, generation }: AuditContext): Float32Array[] {
  const whole = rows.filter(({ result }) => result.latents.length === generation.numLatents);
  const mean_KD = meanOfSpans(whole.flatMap((row) => latentsOf(row) ?? []));
  const width = mean_KD.length / generation.numLatents;
  return Array.from({ length: generation.numLatents }, (_, k) =>
    mean_KD.subarray(k * width, (k + 1) * width),
  );
}

/** Why a row has no log-probabilities to compare. */
function missing(
  { row, places }: RowObservation,
  numLatents: number,
): DependenceRecord['without'] | undefined {
  if (row.result.latents.length === 0) return 'no span';
  const isWhole = row.result.numSpans === 1 && row.result.latents.length === numLatents;
  if (!isWhole) return 'not one whole span';
  return places.answer.length === 0 ? 'no answer' : undefined;
}

/** Places of latents, the most attended by the positions that predict the answer first. */
function byAttention(attention_K: Float32Array): number[] {
  return Array.from(attention_K.keys()).sort(
    (a, b) => (attention_K[b] ?? 0) - (attention_K[a] ?? 0) || a - b,
  );
}

/** One row's latents with the first of an order replaced, for every step; the same step once. */
function variants(
  context: AuditContext,
  { row, attention, places }: RowObservation,
  means: readonly Float32Array[],
): {
  readonly steps: readonly number[];
  readonly top: AnswerQuestions[];
  readonly random: AnswerQuestions[];
} {
  const { latents } = row.result;
  const steps = replacedSteps(latents.length);
  const gold = answerIds(context.model.bundle, row.prediction.expected);
  const sequence = cleanSequence(row);
  const withReplaced = (order: readonly number[], count: number): AnswerQuestions => {
    const chosen = new Set(order.slice(0, count));
    const changed = latents.map((latent, k) => (chosen.has(k) ? (means[k] ?? latent) : latent));
    return answerQuestions({ ...sequence, latents: changed }, places, gold);
  };
  const attended = byAttention(attention?.latents.ofAnswer_K ?? new Float32Array(latents.length));
  const rng = new Rng(context.seed).fork(`dependence ${row.prediction.id}`);
  const shuffled = rng.shuffle(Array.from(latents.keys()));
  const top = steps.map((m) => withReplaced(attended, m));
  const random = steps.map((m, i) => {
    const isShared = m === 0 || m === latents.length;
    return isShared ? (top[i] as AnswerQuestions) : withReplaced(shuffled, m);
  });
  return { steps, top, random };
}

/** Answers the questions of several variants, each once however often it occurs. */
async function ask(
  observer: LabelObserver,
  asked: readonly AnswerQuestions[],
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<AnswerQuestions, AnswerLogProbs>> {
  const once = [...new Set(asked)];
  const found = await observer.logProbs(
    once.flatMap(({ questions }) => questions),
    signal,
  );
  let at = 0;
  return new Map(
    once.map((one) => {
      const own = found.slice(at, at + one.questions.length);
      at += own.length;
      return [one, one.read(own)];
    }),
  );
}

function stepLogProbs(
  { top, random }: ReturnType<typeof variants>,
  found: ReadonlyMap<AnswerQuestions, AnswerLogProbs>,
  which: keyof AnswerLogProbs,
): StepLogProbs | undefined {
  const read = (list: readonly AnswerQuestions[]): number[] =>
    list.flatMap((one) => found.get(one)?.[which] ?? []);
  const values = { top: read(top), random: read(random) };
  return values.top.length === top.length ? values : undefined;
}

function enrichment(map_LM: readonly Float32Array[], tokens: readonly number[]): number[] {
  return map_LM.map((map_M) => {
    const mass = tokens.reduce((sum, token) => sum + (map_M[token] ?? 0), 0);
    return (mass * map_M.length) / tokens.length;
  });
}

/** The next row of the task whose picture has as many tokens and that wrote latents. */
function comparable({ rows }: AuditContext, index: number): number | undefined {
  const own = rows[index];
  for (let offset = 1; offset < rows.length; offset++) {
    const at = (index + offset) % rows.length;
    const other = rows[at];
    const fits =
      other !== undefined &&
      other.result.numSpans > 0 &&
      other.prediction.task === own?.prediction.task &&
      other.item.grid.join() === own.item.grid.join();
    if (fits) return at;
  }
  return undefined;
}

async function regionOf(
  context: AuditContext,
  observer: RowObserver,
  seen: RowObservation,
  index: number,
): Promise<Pick<DependenceRecord, 'region' | 'noRegion'>> {
  const maps = seen.attention?.latents.map_LM;
  if (!maps) return {};
  const pictures = await context.loadPictures(seen.row.item.example);
  const found = decidingRegion(context.model.bundle, pictures);
  if ('obstacle' in found) return { noRegion: found.obstacle };
  const at = comparable(context, index);
  const other = at === undefined ? undefined : await observer.row(at);
  const otherMaps = other?.attention?.latents.map_LM;
  const region: RegionAttention = {
    share: found.tokens.length / found.numTokens,
    enrichment: enrichment(maps, found.tokens),
    ...(otherMaps ? { ofOther: enrichment(otherMaps, found.tokens) } : {}),
  };
  return { region };
}

async function* collectDependence(
  context: AuditContext,
  done: number,
): AsyncGenerator<readonly PartRecord[], void> {
  const { rows, model, session, signal, generation } = context;
  if (done >= rows.length) return;
  const means = meanLatents(context);
  await using observer = new RowObserver(context);
  await using labels = await LabelObserver.create(model, session);
  for await (const { first, seen, numDone } of observer.chunks(done)) {
    const changed = seen.map((one) =>
      missing(one, generation.numLatents) ? undefined : variants(context, one, means),
    );
    const found = await ask(
      labels,
      changed.flatMap((one) => (one ? [...one.top, ...one.random] : [])),
      signal,
    );
    const records: DependenceRecord[] = [];
    for (const [i, one] of seen.entries()) {
      const { row, attention } = one;
      const own = changed[i];
      const without = missing(one, generation.numLatents);
      const [written, gold] = own
        ? [stepLogProbs(own, found, 'own'), stepLogProbs(own, found, 'gold')]
        : [];
      records.push({
        id: row.prediction.id,
        task: row.prediction.task,
        triggered: row.result.latents.length > 0,
        ...(without ? { without } : {}),
        ...(own ? { steps: own.steps } : {}),
        ...(written ? { own: written } : {}),
        ...(gold ? { gold } : {}),
        ...(attention
          ? {
              later: attention.later,
              ...(attention.answer ? { answer: attention.answer } : {}),
              onPicture: attention.latents.onPicture,
              entropy: attention.latents.entropy.map((x) => (Number.isFinite(x) ? x : null)),
            }
          : {}),
        ...(await regionOf(context, observer, one, first + i)),
      });
    }
    yield records.slice(numDone);
  }
}

/** How much a fixed continuation depends on the latents, and what attends to what. */
export const DEPENDENCE_PART: PartDefinition = {
  name: 'dependence',
  obstacle: ({ rows }) =>
    rows.some(({ result }) => result.latents.length > 0)
      ? undefined
      : 'the model wrote no latents, so nothing can depend on them',
  collect: collectDependence,
  summarise: summariseDependence,
};
