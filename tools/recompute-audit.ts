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

replacement();
exposure();
canaries();
for (const line of failures) console.log(line);
console.log(`${passed} passed, ${failures.length} failed`);
process.exitCode = failures.length > 0 || passed === 0 ? 1 : 0;
