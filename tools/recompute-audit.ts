// Recomputes an audit's numbers from its journals with code of its own, nothing shared with src/, and compares
// them with audit.json; `npx tsx tools/recompute-audit.ts runs/audit`, last line `N passed, N failed`.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
type Item = Record<string, Json> & { id: string };
interface Table {
  id: string;
  rows: Record<string, Json>[];
}
interface AuditFile {
  model: { numLatents: number };
  canaries: { name: string; passed: boolean }[];
  verdict: { kind: string };
  parts: { name: string; tables: Table[] }[];
}

const [folder = ''] = process.argv.slice(2);
const audit = JSON.parse(readFileSync(join(folder, 'audit.json'), 'utf8')) as AuditFile;
const journals = new Map<string, Item[]>();
for (const name of readdirSync(join(folder, 'items'))) {
  const [, ...lines] = readFileSync(join(folder, 'items', name), 'utf8')
    .trimEnd()
    .split('\n');
  journals.set(
    name.replace(/\.jsonl$/, ''),
    lines.map((line) => JSON.parse(line) as Item),
  );
}

let passed = 0;
const failures: string[] = [];
function check(what: string, told: unknown, found: unknown, tolerance = 1e-9): void {
  const number = (x: unknown): number =>
    typeof x === 'object' && x !== null && 'value' in x ? Number(x.value) : Number(x);
  const isSame =
    told === null || told === undefined || found === null || found === undefined
      ? (told ?? null) === (found ?? null)
      : Math.abs(number(told) - number(found)) <= tolerance * Math.max(1, Math.abs(number(found)));
  if (isSame) passed += 1;
  else
    failures.push(
      `${what}: the audit says ${JSON.stringify(told)}, the items ${JSON.stringify(found)}`,
    );
}
const arm = (name: string): Item[] => journals.get(`arm-${name}`) ?? [];
const table = (id: string): Table | undefined =>
  audit.parts.flatMap(({ tables }) => tables).find((one) => one.id === id);
const mean = (xs: number[]): number => xs.reduce((a, b) => a + b, 0) / xs.length;
const rate = (items: Item[], is: (item: Item) => boolean): number | null =>
  items.length === 0 ? null : items.filter(is).length / items.length;
const right = (item: Item): boolean => item['correct'] === true;
const hasSpan = (item: Item): boolean => item['triggered'] === true;

/** Exact two-sided sign test by summing big integers. */
function signTest(a: number, b: number): number {
  const n = a + b;
  let [term, tail] = [1n, 0n];
  for (let k = 0; k <= Math.min(a, b); k++) {
    tail += term;
    term = (term * BigInt(n - k)) / BigInt(k + 1);
  }
  const total = 1n << BigInt(n);
  return Math.min(1, (2 * Number((tail * 10n ** 18n) / total)) / 1e18);
}

function replacement(): void {
  const rows = table('replacement')?.rows ?? [];
  const names = [...journals.keys()].filter((n) => n.startsWith('arm-')).map((n) => n.slice(4));
  const clean = arm('clean');
  const cleanRate = rate(clean, right) ?? NaN;
  const base = rate(arm(names.includes('base') ? 'base' : 'zero-latent'), right) ?? NaN;
  const matched = new Set<string>();
  for (const row of rows) {
    const name = names.find((n) => !matched.has(n) && row['journal'] === `items/arm-${n}.jsonl`);
    if (name === undefined) {
      failures.push(`replacement: no journal for the row ${JSON.stringify(row['arm'])}`);
      continue;
    }
    matched.add(name);
    const items = arm(name);
    const spans = items.filter(hasSpan);
    check(`${name} accuracy`, row['accuracy'], rate(items, right));
    check(`${name} on spans`, row['onSpans'], rate(spans, right));
    if (name !== 'base') check(`${name} trigger`, row['trigger'], rate(items, hasSpan));
    check(
      `${name} retention`,
      row['retention'],
      cleanRate > base ? ((rate(items, right) ?? NaN) - base) / (cleanRate - base) : null,
    );
    const norms = spans.map((item) => item['latentNorm']).filter((x) => typeof x === 'number');
    check(`${name} norm`, row['norm'], norms.length === 0 ? null : mean(norms));
    if (name === 'clean') continue;
    const byId = new Map(items.map((item) => [item.id, right(item)]));
    const onlyClean = clean.filter((item) => right(item) && byId.get(item.id) === false).length;
    const onlyArm = clean.filter((item) => !right(item) && byId.get(item.id) === true).length;
    check(`${name} difference`, row['difference'], (onlyArm - onlyClean) / clean.length);
    if (row['p'] !== null && Number(row['p']) < signTest(onlyClean, onlyArm) - 1e-12)
      failures.push(`${name}: corrected p is below the plain one`);
    else passed += 1;
  }
}

function exposure(): void {
  const { numLatents } = audit.model;
  for (const row of table('exposure')?.rows ?? []) {
    const m = Number(row['m']);
    const name = m === 0 ? 'clean' : m === numLatents ? 'oracle' : `forced-${m}`;
    const spans = arm(name).filter(hasSpan);
    check(`exposure ${m} accuracy`, row['accuracy'], rate(spans, right));
    const errors = spans.map((item) => item['targetError']).filter((x) => typeof x === 'number');
    check(`exposure ${m} error`, row['error'], errors.length === 0 ? null : mean(errors));
  }
}

function canaries(): void {
  const clean = new Map(arm('clean').map((item) => [item.id, item]));
  const same = (name: string): boolean[] =>
    arm(name)
      .filter(hasSpan)
      .map((item) => item['logitsHash'] === clean.get(item.id)?.['logitsHash']);
  const holds: Record<string, boolean> = {
    trigger: arm('clean').some(hasSpan),
    identity: same('identity').length > 0 && same('identity').every(Boolean),
    destruction: ['zero-vector', 'noise-unit'].every(
      (name) => same(name).length > 0 && !same(name).some(Boolean),
    ),
  };
  for (const { name, passed: told } of audit.canaries)
    check(`canary ${name}`, Number(told), Number(holds[name]));
}

interface Sum {
  count: number;
  sum: number;
  squares: number;
}

/** Mean and deviation of sums of several items. */
function pooled(sums: (Sum | undefined)[]): [number | null, number | null] {
  let [n, total, squares] = [0, 0, 0];
  for (const one of sums) {
    n += one?.count ?? 0;
    total += one?.sum ?? 0;
    squares += one?.squares ?? 0;
  }
  if (n === 0) return [null, null];
  return [
    total / n,
    n < 2 ? null : Math.sqrt(Math.max(0, squares / n - (total / n) ** 2) * (n / (n - 1))),
  ];
}

interface NormItem {
  norms: Record<'text' | 'vision' | 'latent', { log: Sum[] }>;
  injected: { log: Sum };
}

function norms(): void {
  const items = (journals.get('part-norms') ?? []).filter((item) => item['kind'] === 'row');
  const rows = items as unknown as NormItem[];
  for (const [layer, line] of (table('norms-layers')?.rows ?? []).entries()) {
    for (const kind of ['text', 'vision', 'latent'] as const) {
      if (!(kind in line)) continue;
      const [average, deviation] = pooled(rows.map((row) => row.norms[kind].log[layer]));
      check(`norms ${kind} ${layer}`, line[kind], average);
      // Two ways to sum squares differ by what they cancel.
      check(`norms ${kind} ${layer} std`, line[`${kind}Std`], deviation, 1e-6);
    }
  }
  for (const line of table('norms-spectrum')?.rows ?? []) {
    const own = (journals.get('part-norms') ?? []).find(
      (item) =>
        item['kind'] === 'spectrum' &&
        { latents: /injected/, auxiliary: /auxiliary/, query: /query/ }[
          item['set'] as string
        ]?.test(line['set'] as string),
    );
    const variances = (own?.['variances'] ?? []) as number[];
    const total = variances.reduce((a, b) => a + b, 0);
    let [held, dims] = [0, 0];
    while (dims < variances.length && held < 0.95 * total * (1 - 1e-12)) {
      held += variances[dims] ?? 0;
      dims += 1;
    }
    check(`dimensions of ${line['set'] as string}`, line['dims95'], variances.length ? dims : null);
    const roots = variances.map(Math.sqrt);
    const sum = roots.reduce((a, b) => a + b, 0);
    const rank = Math.exp(-roots.reduce((h, x) => h + (x / sum) * Math.log(x / sum), 0));
    check(`rank of ${line['set'] as string}`, line['rank'], variances.length ? rank : null);
  }
}

interface MediationItem {
  task: string;
  directions?: Record<string, { count: number; mean: number[] }>;
  samePlace?: Record<string, { sameTask?: number }>;
}

function mediation(): void {
  const items = (journals.get('part-mediation') ?? []) as unknown as MediationItem[];
  const kinds = ['injected', 'targets', 'query', 'latentStates', 'pictureStates', 'textStates'];
  const found = kinds.filter((kind) => items.some((item) => item.directions?.[kind]));
  const dot = (a: number[], b: number[]): number =>
    a.reduce((sum, x, i) => sum + x * (b[i] ?? 0), 0);
  for (const [at, line] of (table('mediation-similarity')?.rows ?? []).entries()) {
    const kind = found[at] ?? '';
    const own = items.flatMap((item) => {
      const vector = item.directions?.[kind];
      return vector ? [{ task: item.task, ...vector }] : [];
    });
    // Pair by pair, each example against all others.
    const between = (same: boolean): number | null => {
      const means = own.flatMap((one) => {
        const others = own.filter((two) => two !== one && (two.task === one.task) === same);
        return others.length ? [mean(others.map((two) => dot(one.mean, two.mean)))] : [];
      });
      return means.length ? mean(means) : null;
    };
    check(`similarity ${kind}, one task`, line['sameTask'], between(true), 1e-7);
    check(`similarity ${kind}, other tasks`, line['otherTask'], between(false), 1e-7);
    const several = own.filter(({ count }) => count > 1);
    const within = several.map(({ count, mean: u }) => (count * dot(u, u) - 1) / (count - 1));
    check(`similarity ${kind}, within`, line['within'], within.length ? mean(within) : null, 1e-7);
    const places = items.flatMap((item) => item.samePlace?.[kind]?.sameTask ?? []);
    check(`similarity ${kind}, places`, line['samePlace'], places.length ? mean(places) : null);
  }
  const clean = new Map(arm('clean').map((item) => [item.id, item]));
  const titles: Record<string, string> = {
    mean: 'mean latent of each place',
    'noise-spectrum': 'noise, N(0, eigenvalues)',
    'zero-vector': 'zero vectors',
    'picture-hidden': 'own latents, picture hidden',
    'picture-hidden-other': "another example's latents, picture hidden",
  };
  for (const id of ['mediation-answers', 'mediation-hidden']) {
    for (const line of table(id)?.rows ?? []) {
      const name = Object.keys(titles).find((key) => titles[key] === line['arm']) ?? 'clean';
      const spans = arm(name).filter((item) => clean.get(item.id)?.['triggered'] === true);
      check(`${id} ${name}`, line['accuracy'], rate(spans, right));
      if (name === 'clean') continue;
      const changed = rate(spans, (item) => item['answer'] !== clean.get(item.id)?.['answer']);
      check(`${id} ${name} changed`, line['changed'], changed);
    }
  }
}

interface DependenceItem {
  steps?: number[];
  own?: Record<'top' | 'random', number[]>;
  gold?: Record<'top' | 'random', number[]>;
  answer?: { latents: number[] };
  region?: { enrichment: number[] };
}

function dependence(): void {
  const items = (journals.get('part-dependence') ?? []) as unknown as DependenceItem[];
  for (const line of table('dependence-steps')?.rows ?? []) {
    for (const answer of ['own', 'gold'] as const) {
      for (const order of ['top', 'random'] as const) {
        const lost = items.flatMap((item) => {
          const at = item.steps?.indexOf(Number(line['m'])) ?? -1;
          const values = item[answer]?.[order];
          return values && at >= 0 ? [(values[0] ?? NaN) - (values[at] ?? NaN)] : [];
        });
        const key = answer + (order === 'top' ? 'Top' : 'Random');
        check(`dependence ${Number(line['m'])} ${key}`, line[key], lost.length ? mean(lost) : null);
      }
    }
  }
  for (const [layer, line] of (table('dependence-attention')?.rows ?? []).slice(0, -1).entries()) {
    const shares = items.flatMap((item) => item.answer?.latents[layer] ?? []);
    check(`attention ${layer}`, line['answerOnLatents'], shares.length ? mean(shares) : null);
  }
  const [all] = table('dependence-region')?.rows ?? [];
  const enriched = items.flatMap((item) => (item.region ? [mean(item.region.enrichment)] : []));
  if (all) check('enrichment', all['enrichment'], mean(enriched));
}

replacement();
exposure();
norms();
mediation();
dependence();
canaries();
for (const line of failures) console.log(line);
console.log(`${passed} passed, ${failures.length} failed`);
process.exitCode = failures.length > 0 || passed === 0 ? 1 : 0;
