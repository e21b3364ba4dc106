// Owns the charts of a report: data in, one SVG a chart out.
import type { TopLevelSpec } from 'vega-lite';
import { compileChart, drawChart } from './draw.ts';
import { shorten, visible } from './html.ts';
import type { Html } from './html.ts';
import type { NormGroup, NormStatistic, PcaSpectrum, TrainingCurve } from './types.ts';

// ours: more points than this cannot be told apart at the drawn width.
const MAX_CURVE_POINTS = 240;
// ours: a loss that falls further than this is read better in powers of ten.
const LOG_RATIO = 20;
const NUM_COLOURS = 6;
const MAX_NAME = 60;
const DASHES = [[1, 0] as const, [5, 3] as const, [2, 2] as const];

/** Place in the palette and dash pattern of the i-th series. */
export function seriesStyle(index: number): { readonly colour: string; readonly dash: number[] } {
  const dash = DASHES[Math.floor(index / NUM_COLOURS) % DASHES.length] ?? DASHES[0];
  return { colour: `var(--c${(index % NUM_COLOURS) + 1})`, dash: [...(dash ?? [1, 0])] };
}

async function draw(spec: TopLevelSpec, label: string): Promise<Html> {
  return drawChart(await compileChart(spec), label);
}

/** Averages neighbouring points so that at most `limit` are left; points that are no number go. */
export function thin(
  points: readonly (readonly [number, number])[],
  limit = MAX_CURVE_POINTS,
): (readonly [number, number])[] {
  const finite = points.filter(([step, value]) => Number.isFinite(step) && Number.isFinite(value));
  if (finite.length <= limit) return finite;
  const mean = (values: readonly number[]): number =>
    values.reduce((sum, value) => sum + value, 0) / values.length;
  return Array.from({ length: limit }, (_, i) => {
    const from = Math.floor((i * finite.length) / limit);
    const bucket = finite.slice(from, Math.floor(((i + 1) * finite.length) / limit));
    return [mean(bucket.map(([step]) => step)), mean(bucket.map(([, value]) => value))] as const;
  });
}

/** Ticks 1, 2, 5 times powers of ten inside a range; powers alone over more than two decades. */
export function logTicks(low: number, high: number): number[] {
  const steps = high / low > 100 ? [1] : [1, 2, 5];
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
    ticks.push(...steps.map((step) => Number(`${step}e${power}`)));
  }
  return ticks.filter((tick) => tick >= low && tick <= high);
}

/** A name as a chart shows it; the chart library escapes it. */
function chartName(name: string): string {
  return shorten(visible(name), MAX_NAME);
}

/** One loss over the steps, a line a run; `runs` fixes colours across several charts. */
export function lossChart(
  curves: readonly TrainingCurve[],
  runs: readonly string[],
): Promise<Html> {
  const values = curves.flatMap((curve) =>
    thin(curve.points).map(([step, loss]) => ({ run: curve.run, step, loss })),
  );
  const losses = values.map(({ loss }) => loss);
  const [low, high] = [Math.min(...losses), Math.max(...losses)];
  const log = low > 0 && high / low > LOG_RATIO;
  const styles = runs.map((_, i) => seriesStyle(i));
  const name = curves[0]?.name ?? 'loss';
  const spec: TopLevelSpec = {
    width: 255,
    height: 180,
    data: { values },
    mark: { type: 'line', strokeWidth: 1.6, strokeJoin: 'round' },
    encoding: {
      x: {
        field: 'step',
        type: 'quantitative',
        title: 'step',
        scale: { nice: false },
        axis: { grid: false, tickCount: 4, format: ',d' },
      },
      y: {
        field: 'loss',
        type: 'quantitative',
        title: null,
        scale: log ? { type: 'log', nice: false } : { zero: false },
        axis: {
          format: '~g',
          minExtent: 30,
          ...(log ? { values: logTicks(low, high) } : { tickCount: 5 }),
        },
      },
      color: {
        field: 'run',
        type: 'nominal',
        legend: null,
        scale: { domain: [...runs], range: styles.map(({ colour }) => colour) },
      },
      strokeDash: {
        field: 'run',
        type: 'nominal',
        legend: null,
        scale: { domain: [...runs], range: styles.map(({ dash }) => dash) },
      },
    },
  };
  const ends = curves.map((curve) => {
    const last = thin(curve.points).at(-1);
    return `${curve.run} ends at ${last ? last[1].toPrecision(3) : 'nothing'}`;
  });
  return draw(spec, `${name} over training steps${log ? ', logarithmic' : ''}: ${ends.join('; ')}`);
}

const NORM_KINDS: readonly {
  readonly key: 'textInput' | 'queryVision' | 'reconstruction' | 'finalState';
  readonly label: string;
  readonly colour: string;
}[] = [
  { key: 'textInput', label: 'text input', colour: 'var(--c6)' },
  { key: 'queryVision', label: 'query picture', colour: 'var(--c1)' },
  { key: 'reconstruction', label: 'fed-back latent', colour: 'var(--c3)' },
  { key: 'finalState', label: 'final state', colour: 'var(--c2)' },
];

/** Bars of L2 norms with one standard deviation, grouped by variant, each with its ratio. */
export function normChart(groups: readonly NormGroup[]): Promise<Html> {
  const values = groups.flatMap((group) =>
    NORM_KINDS.flatMap(({ key, label }) => {
      const norm: NormStatistic | undefined = group[key];
      if (norm === undefined || !Number.isFinite(norm.mean)) return [];
      const ratio = norm.mean / group.queryVision.mean;
      return [
        {
          variant: chartName(group.variant),
          kind: label,
          norm: norm.mean,
          low: Math.max(0, norm.mean - norm.std),
          high: norm.mean + norm.std,
          told: `${norm.mean.toPrecision(3)}${key === 'queryVision' ? '' : `  (${ratio.toPrecision(2)} ×)`}`,
        },
      ];
    }),
  );
  const used = NORM_KINDS.filter(({ label }) => values.some(({ kind }) => kind === label));
  const y = {
    field: 'kind',
    type: 'nominal',
    title: null,
    sort: used.map((k) => k.label),
  } as const;
  const furthest = Math.max(...values.map(({ high }) => high));
  const x = { type: 'quantitative' as const, scale: { domain: [0, 1.2 * furthest] } };
  const spec: TopLevelSpec = {
    data: { values },
    facet: {
      row: {
        field: 'variant',
        type: 'nominal',
        sort: groups.map(({ variant }) => chartName(variant)),
        header: { labelAngle: 0, labelAlign: 'left', labelOrient: 'top', labelAnchor: 'start' },
      },
    },
    spacing: 14,
    spec: {
      width: 520,
      height: { step: 22 },
      layer: [
        {
          mark: { type: 'bar', height: 12 },
          encoding: {
            y: { ...y, axis: { domain: false } },
            x: { field: 'norm', ...x, title: 'L2 norm', axis: { tickCount: 6 } },
            color: {
              field: 'kind',
              type: 'nominal',
              legend: null,
              scale: { domain: used.map((k) => k.label), range: used.map((k) => k.colour) },
            },
          },
        },
        {
          mark: { type: 'rule', color: 'var(--ink)', strokeWidth: 1.2 },
          encoding: { y, x: { field: 'low', ...x }, x2: { field: 'high' } },
        },
        {
          mark: { type: 'text', align: 'left', dx: 8 },
          encoding: { y, x: { field: 'high', ...x }, text: { field: 'told' } },
        },
      ],
    },
  };
  const told = values.map((v) => `${v.variant}, ${v.kind}: ${v.told}`);
  return draw(spec, `L2 norms. ${told.join('; ')}`);
}

/** Explained variance over the number of components, with the target and the chosen k. */
export function spectrumChart(spectrum: PcaSpectrum): Promise<Html> {
  const { k, target, cumulativeExplained } = spectrum;
  // Beyond four times k the curve is flat and would only push the bend to the side.
  const shown = cumulativeExplained.slice(0, Math.max(12, 4 * k));
  const values = shown.map((explained, i) => ({ components: i + 1, explained }));
  const thinned = thin(values.map((v) => [v.components, v.explained] as const)).map(
    ([components, explained]) => ({ components, explained }),
  );
  const atK = cumulativeExplained[k - 1] ?? target;
  const x = {
    field: 'components',
    type: 'quantitative' as const,
    title: 'components',
    scale: { domain: [0, values.length], nice: false, padding: 0 },
    axis: { grid: false, tickCount: 8, format: 'd' },
  };
  const y = {
    field: 'explained',
    type: 'quantitative' as const,
    title: 'explained variance',
    scale: { domain: [0, 1] },
    axis: { format: '.0%', tickCount: 5 },
  };
  const spec: TopLevelSpec = {
    width: 520,
    height: 220,
    layer: [
      {
        data: { values: [{ explained: target }] },
        mark: { type: 'rule', color: 'var(--c2)', strokeDash: [4, 4] },
        encoding: { y },
      },
      {
        data: { values: thinned },
        mark: {
          type: 'line',
          color: 'var(--c1)',
          strokeWidth: 1.8,
          point: values.length <= 60 ? { color: 'var(--c1)', size: 16 } : false,
        },
        encoding: { x, y },
      },
      {
        data: {
          values: [
            { components: k, explained: atK, told: `k = ${k}, ${(100 * atK).toFixed(1)} %` },
          ],
        },
        layer: [
          {
            mark: { type: 'point', filled: true, size: 70, color: 'var(--c2)', opacity: 1 },
            encoding: { x, y },
          },
          {
            mark: { type: 'text', align: 'left', dx: 8, dy: 16, color: 'var(--ink)', fontSize: 13 },
            encoding: { x, y, text: { field: 'told' } },
          },
        ],
      },
    ],
  };
  const label =
    `Explained variance by number of components: ${k} components reach ` +
    `${(100 * atK).toFixed(1)} % of the variance, the target was ${(100 * target).toFixed(0)} %`;
  return draw(spec, label);
}
