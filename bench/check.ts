// Owns the check of CI that nothing became slower: `npm run bench -- check`; the last line counts.
//
// The small cases of the benches are measured beside their peers in the same run, on one thread, and the ratios
// held against those of bench/results/check.json: times mean nothing on another machine. The fastest call of each
// side counts, because other work makes calls slower, never faster. A bench with a loss of
// more than a third is measured once more before it fails. --keep writes what later checks compare with.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { compareRatios, lowerRatios } from './check/compare.ts';
import type { Compared, Ratios } from './check/compare.ts';
import type { DecodeResults } from './decode/results.ts';
import { besides, machine, rounded } from './sides/rounds.ts';
import type { SideResults } from './sides/rounds.ts';
import type { StepResults } from './step/results.ts';

const { values: flags } = parseArgs({
  options: {
    keep: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
  },
});

const HERE = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const KEPT = HERE('results/check.json');

/** The fastest call of each side: what other work on the machine disturbs least. */
function sideRatios({ results }: SideResults): Ratios {
  const fastest = results.map((figure) => ({ ...figure, ms: Math.min(...figure.raw.flat()) }));
  return Object.fromEntries(besides(fastest).map(({ ours, ratio }) => [ours.case, ratio]));
}

function stepRatiosOf({ results }: StepResults): Ratios {
  const eager = results.filter(({ variant }) => variant === 'eager');
  return Object.fromEntries(
    eager.map(({ shape, leastMs }) => {
      const ours = results.find((one) => one.shape === shape && one.variant === 'ours');
      return [shape, leastMs / (ours?.leastMs ?? NaN)];
    }),
  );
}

function decodeRatios({ results }: DecodeResults): Ratios {
  const responses = (variant: string): { readonly firstMs: number; readonly stepMs: number }[] =>
    results
      .filter((one) => one.variant === variant)
      .flatMap(({ raw }) => raw.flatMap((run) => run.responses))
      .map(({ firstMs, stepMs }) => ({ firstMs, stepMs: Math.min(...stepMs) }));
  const [ours, peer] = [responses('ours'), responses('pytorch')];
  const ratio = (of: (response: { firstMs: number; stepMs: number }) => number): number =>
    Math.min(...peer.map(of)) / Math.min(...ours.map(of));
  return { prefill: ratio(({ firstMs }) => firstMs), step: ratio(({ stepMs }) => stepMs) };
}

/** Options of each bench besides --quick, and how to read its ratios. */
const BENCHES: Readonly<
  Record<string, { readonly options: readonly string[]; readonly read: (json: never) => Ratios }>
> = {
  step: { options: ['--threads', '1', '--variants', 'ours,eager'], read: stepRatiosOf },
  vision: { options: [], read: sideRatios },
  decode: { options: ['--threads', '1', '--precision', 'f32'], read: decodeRatios },
  capacity: { options: [], read: sideRatios },
  preprocess: { options: [], read: sideRatios },
  tokenize: { options: [], read: sideRatios },
};

function measure(bench: string): Ratios {
  const { options, read } = BENCHES[bench] ?? { options: [], read: sideRatios };
  const folder = mkdtempSync(join(tmpdir(), 'gapvl-check-'));
  try {
    const out = join(folder, 'result.json');
    const args = [HERE(`${bench}.ts`), '--quick', ...options, '--out', out];
    const { status, stdout, stderr } = spawnSync(process.execPath, [...process.execArgv, ...args], {
      encoding: 'utf8',
      maxBuffer: 1 << 28,
    });
    // A bench that cannot run gives no ratio, which fails.
    if (status !== 0) {
      console.log(`${bench} ended with ${String(status)}:\n${stdout}${stderr}`.slice(-4000));
      return {};
    }
    const found = read(JSON.parse(readFileSync(out, 'utf8')) as never);
    const named = Object.entries(found).map(([name, ratio]) => [
      `${bench} ${name}`,
      rounded(ratio),
    ]);
    return Object.fromEntries(named) as Ratios;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function checkBench(bench: string, kept: Ratios): Compared[] {
  const own = Object.entries(kept).filter(([name]) => name.startsWith(`${bench} `));
  const before = Object.fromEntries(own);
  const first = measure(bench);
  const once = compareRatios(before, [first]);
  if (once.length > 0 && once.every(({ passed }) => passed)) return once;
  console.log(`${bench} is measured again`);
  const twice = compareRatios(before, [first, measure(bench)]);
  // A bench that gives nothing, and of which nothing is kept, is no success either.
  return twice.length > 0 ? twice : [{ name: bench, ratio: NaN, kept: NaN, passed: false }];
}

function check(): boolean {
  if (!existsSync(KEPT)) {
    console.log('there is nothing to compare with: run `npm run bench -- check --keep`');
    console.log('0 passed, 1 failed');
    return false;
  }
  const { ratios: kept } = JSON.parse(readFileSync(KEPT, 'utf8')) as { readonly ratios: Ratios };
  const compared = Object.keys(BENCHES).flatMap((bench) => {
    const found = checkBench(bench, kept);
    for (const { name, ratio, kept: before, passed } of found) {
      const times = `${ratio.toFixed(2)} times its peer, ${before.toFixed(2)} when kept`;
      console.log(`${passed ? 'ok  ' : 'FAIL'} ${name}: ${times}`);
    }
    return found;
  });
  const numFailed = compared.filter(({ passed }) => !passed).length;
  console.log(`${compared.length - numFailed} passed, ${numFailed} failed`);
  return numFailed === 0;
}

/** Measures all twice and writes the smaller ratios. */
function keepRatios(): boolean {
  const host = machine();
  const all = Object.keys(BENCHES).map((bench) => {
    const runs = flags.quick ? [measure(bench)] : [measure(bench), measure(bench)];
    return lowerRatios(runs);
  });
  const ratios: Ratios = Object.assign({}, ...all) as Ratios;
  const line = JSON.stringify({ bench: 'check', machine: host, ratios });
  const isWhole = all.every((own) => Object.keys(own).length > 0);
  if (isWhole && !flags.quick) writeFileSync(KEPT, `${line}\n`);
  console.log(line);
  return isWhole;
}

process.exitCode = (flags.keep ? keepRatios() : check()) ? 0 : 1;
