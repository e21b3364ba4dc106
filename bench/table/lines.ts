// Owns the lines of the one table of speed: what was measured, against whom, the goal, and whether it is met.
import type { DecodeResults } from '../decode/results.ts';
import type { StepResults } from '../step/results.ts';
import { besides } from '../sides/rounds.ts';
import type { Figure, SideResults } from '../sides/rounds.ts';

/** The kept results of every bench; what was not measured yet is not there. */
export interface Kept {
  readonly step?: StepResults;
  readonly vision?: VisionResults;
  readonly decode?: DecodeResults;
  readonly capacity?: SideResults;
  readonly pca?: PcaResults;
  readonly preprocess?: SideResults;
  readonly tokenize?: SideResults;
  readonly start?: SideResults;
  readonly whole?: SideResults;
}

/** What bench/vision.ts keeps besides figures. */
export interface VisionResults extends SideResults {
  readonly tower: { readonly depth: number };
  readonly shares: readonly {
    readonly case: string;
    readonly variant: string;
    readonly threads: number;
    readonly gflops: number;
    readonly ofCeiling: number;
  }[];
}

/** One line: `values` are held against the goal, all of them. */
export interface Line {
  readonly work: string;
  readonly shapes: string;
  readonly against: string;
  readonly goal: Goal;
  /** What ours took, for a reader. */
  readonly ours?: string;
  readonly values?: readonly number[];
}

/** A bound, and how it and the values are written. */
export interface Goal {
  readonly kind: 'at least' | 'at most';
  readonly bound: number;
  readonly unit: 'x' | '%' | 's' | 'ms';
}

/** Peak memory of the largest run over that of the smallest up to which it counts as flat; ours. */
const FLAT = 1.1;
const atLeast = (bound: number, unit: Goal['unit'] = 'x'): Goal => {
  return { kind: 'at least', bound, unit };
};
const atMost = (bound: number, unit: Goal['unit'] = 'x'): Goal => {
  return { kind: 'at most', bound, unit };
};

/** A span of numbers as text: `12 to 15 ms`, or one of them. */
function span(values: readonly number[], unit: string): string {
  const digits = (value: number): string =>
    value >= 100 ? value.toFixed(0) : value.toPrecision(value >= 10 ? 3 : 2);
  const [low, high] = [Math.min(...values), Math.max(...values)].map(digits);
  return low === high ? `${low ?? ''} ${unit}` : `${low ?? ''} to ${high ?? ''} ${unit}`;
}

/** Values and text of a line from results, or neither. */
type Found = Pick<Line, 'ours' | 'values'>;

function found(values: readonly number[], ours: string): Found {
  return values.length > 0 ? { values, ours } : {};
}

function stepLines(kept: Kept): Line[] {
  const { step } = kept;
  const of = (shape: string): Found => {
    const ratios = (step?.ratios ?? []).filter((one) => one.shape === shape);
    const ms = (step?.results ?? [])
      .filter((one) => one.shape === shape && one.variant === 'ours')
      .map((one) => one.stepMs);
    return found(
      ratios.map(({ ratio }) => ratio),
      span(ms, 'ms'),
    );
  };
  const peer = 'HF + PyTorch, faster of eager and `torch.compile`';
  const shapes = '256 to 1,024 tokens with pictures, 1 and 2 threads';
  const speed = Object.entries({ tiny: 1.5, '5m': 1.5, '50m': 1.2, '150m': 1.2 }).map(
    ([shape, goal]): Line => ({
      work: `training step, ${shape === 'tiny' ? 'tiny (shipped)' : shape.toUpperCase()}`,
      ...{ shapes, against: peer, goal: atLeast(goal), ...of(shape) },
    }),
  );
  const shares = (step?.results ?? [])
    .filter((one) => one.variant === 'ours' && one.shape !== 'tiny')
    .map((one) => 100 * one.share);
  const memory = step?.ratios ?? [];
  const peaks = (step?.results ?? [])
    .filter((one) => one.variant === 'ours')
    .map((one) => one.peakBytes / 1e6);
  return [
    ...speed,
    {
      work: 'its share of the matmul ceiling',
      shapes: '5M, 50M, 150M',
      ...{ against: 'ceiling', goal: atLeast(70, '%') },
      ...found(shares, ''),
    },
    {
      work: 'its peak memory',
      shapes: 'all of them',
      ...{ against: 'PyTorch, the smaller', goal: atMost(1) },
      ...found(
        memory.map(({ memoryRatio }) => memoryRatio),
        span(peaks, 'MB'),
      ),
    },
  ];
}

/** Ours beside the fastest other side; `scale` and `unit` are for the text of ours. */
function sideFound(
  results: readonly Figure[] | undefined,
  isOf: (figure: Figure) => boolean,
  scale = 1,
  unit = 'ms',
): Found {
  const pairs = besides((results ?? []).filter(isOf));
  return found(
    pairs.map(({ ratio }) => ratio),
    span(
      pairs.map(({ ours }) => ours.ms * scale),
      unit,
    ),
  );
}

function visionLines(kept: Kept): Line[] {
  const { vision } = kept;
  const blocks = vision ? `, ${vision.tower.depth} of 32 blocks` : '';
  return ['448', '1344'].map((side) => {
    const of = vision?.results.filter((figure) => figure.case === side) ?? [];
    const threads = new Set(of.map((figure) => figure.threads));
    const said = threads.size === 1 ? `${[...threads].join()} threads` : '1 and 2 threads';
    return {
      work: 'vision encode',
      shapes: `${side}²${blocks}, ${said}`,
      ...{ against: 'PyTorch', goal: atLeast(1.3) },
      ...sideFound(of, () => true),
    };
  });
}

function decodeLines(kept: Kept): Line[] {
  const { results = [], ceiling = [] } = kept.decode ?? {};
  const pairs = (precision: string): { readonly ours: Result; readonly peer: Result }[] =>
    results
      .filter((one) => one.variant === 'ours' && one.precision === precision)
      .flatMap((ours) => {
        const peer = results.find(
          (other) =>
            other.variant !== 'ours' &&
            other.shape === ours.shape &&
            other.precision === precision &&
            other.threads === ours.threads,
        );
        return peer ? [{ ours, peer }] : [];
      });
  const rate = (precision: string, name: 'prefillRate' | 'decodeRate'): Found => {
    const all = pairs(precision);
    return found(
      all.map(({ ours, peer }) => ours[name] / peer[name]),
      span(
        all.map(({ ours }) => ours[name]),
        'tokens/s',
      ),
    );
  };
  const lengths = (precision: string, kind: 'promptTokens' | 'newTokens'): string =>
    [...new Set(pairs(precision).map(({ ours }) => ours[kind]))].join(', ');
  const [one] = pairs('f32');
  const shape = one ? `0.1B decoder, ` : '';
  const shares = pairs('int4').map(({ ours }) => 100 * ours.decodeShare);
  return [
    {
      work: 'prefill, fp32',
      shapes: `${shape}${lengths('f32', 'promptTokens') || '1,024'} tokens`,
      ...{ against: 'PyTorch', goal: atLeast(1.3), ...rate('f32', 'prefillRate') },
    },
    {
      work: 'decode, fp32',
      shapes: `${shape}${lengths('f32', 'newTokens') || '256'} tokens`,
      ...{ against: 'PyTorch', goal: atLeast(2), ...rate('f32', 'decodeRate') },
    },
    {
      work: 'decode, int4',
      shapes: '3B shapes, 1 and 2 threads',
      ...{ against: 'llama.cpp Q4_0', goal: atLeast(1), ...rate('int4', 'decodeRate') },
    },
    {
      work: 'its share of memory bandwidth',
      shapes: '3B shapes',
      ...{ against: ceiling.map(({ readGBs }) => `${readGBs.toFixed(1)} GB/s`).join(', ') },
      goal: atLeast(80, '%'),
      ...found(shares, ''),
    },
  ];
}

type Result = DecodeResults['results'][number];

/** Each side at the batch that suits it best, by thread count. */
function capacityFound(results: readonly Figure[] | undefined): Found {
  const best = (results ?? []).reduce((map, figure) => {
    const key = `${figure.variant === 'ours' ? 'ours' : 'peer'} ${figure.threads}`;
    return map.set(key, Math.min(figure.ms, map.get(key) ?? Infinity));
  }, new Map<string, number>());
  const threads = [...new Set((results ?? []).map((figure) => figure.threads))];
  const of = (side: string): number[] =>
    threads.map((count) => best.get(`${side} ${count}`) ?? NaN);
  const ours = of('ours');
  return found(
    of('peer').map((ms, i) => ms / (ours[i] ?? NaN)),
    span(ours, 'ms a question'),
  );
}

/** What bench/pca.ts keeps besides figures. */
export interface PcaResults extends SideResults {
  readonly dim: number;
  readonly rows: number;
  readonly totals: readonly { variant: string; ms: number; peakBytes: number }[];
  readonly growth: readonly { rows: number; dim: number; peakBytes: number }[];
}

function pcaLines(kept: Kept): Line[] {
  const { totals = [], growth = [] } = kept.pca ?? {};
  const ms = (variant: string): number => totals.find((one) => one.variant === variant)?.ms ?? NaN;
  const ours = ms('ours');
  const peers = { sklearn: 'scikit-learn IncrementalPCA', torch: 'PyTorch, X^T X and eigh in f64' };
  const lines = Object.entries(peers).map(([variant, against]): Line => ({
    work: 'PCA fit',
    shapes: '200k x 3584 to 95 %',
    ...{ against, goal: atLeast(2) },
    ...found(totals.length > 0 ? [ms(variant) / ours] : [], span([ours / 1000], 's')),
  }));
  const peaks = growth.map(({ peakBytes }) => peakBytes);
  const rows = growth.map((one) => one.rows.toLocaleString('en'));
  return [
    ...lines,
    {
      work: 'its memory against N',
      shapes:
        growth.length > 0 ? `${rows[0] ?? ''} to ${rows.at(-1) ?? ''} rows of 1024` : 'N x 1024',
      ...{ against: 'the smallest N', goal: atMost(FLAT) },
      ...found(
        growth.length > 0 ? [Math.max(...peaks) / Math.min(...peaks)] : [],
        span(
          peaks.map((bytes) => bytes / 1e6),
          'MB',
        ),
      ),
    },
  ];
}

function preprocessLines(kept: Kept): Line[] {
  const peers = { slow: 'HF slow (Pillow)', fast: 'HF fast (torchvision)' };
  return Object.entries(peers).map(([variant, against]) => ({
    work: 'picture preprocessing',
    shapes: '512² and 2048², PNG and JPEG',
    ...{ against, goal: atLeast(1.5) },
    ...sideFound(
      kept.preprocess?.results,
      (one) => one.variant === 'ours' || one.variant === variant,
    ),
  }));
}

function startLines(kept: Kept): Line[] {
  const start = kept.start?.results ?? [];
  const whole = kept.whole?.results ?? [];
  const line = (name: string, work: string, goal: Goal, divisor: number): Line => {
    const ms = [...start, ...whole].find((figure) => figure.case === name)?.ms;
    const values = ms === undefined ? [] : [ms / divisor];
    return { work, shapes: '', against: 'the clock', goal, ...found(values, '') };
  };
  return [
    line('demo', 'demo', atMost(360, 's'), 1000),
    line('tests', 'tests', atMost(600, 's'), 1000),
    line('help', '`gapvl --help`', atMost(150, 'ms'), 1),
    line('import', '`import` of the library', atMost(100, 'ms'), 1),
  ];
}

/** All lines, in the order of the way of the data. */
export function tableLines(kept: Kept): Line[] {
  const tokenize = kept.tokenize?.results;
  return [
    ...stepLines(kept),
    ...visionLines(kept),
    ...decodeLines(kept),
    {
      work: 'capacity scoring',
      shapes: 'tiny, 8 samples a question, best batch of each',
      ...{ against: 'HF generate, batched', goal: atLeast(3) },
      ...capacityFound(kept.capacity?.results),
    },
    ...pcaLines(kept),
    ...preprocessLines(kept),
    {
      work: 'tokenizing',
      shapes: '1k rows of 60 words, new to the process',
      ...{ against: 'Rust tokenizers, the faster of loop and batch', goal: atLeast(1) },
      ...sideFound(tokenize, (figure) => figure.case === 'new'),
    },
    ...startLines(kept),
  ];
}
