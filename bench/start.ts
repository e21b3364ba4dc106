// Owns how soon the package answers: --help, import; `npm run bench -- start`, last line JSON.
//
// `--help` is a whole process of the built command line, from start to end; `import` is loading the built
// library in a process that runs already. Node alone, doing nothing, stands beside. --rounds N; --out FILE.
import { execFileSync } from 'node:child_process';
import { loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { keep, machine, median, rounded, say } from './sides/rounds.ts';
import type { Figure } from './sides/rounds.ts';

const { values: flags } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    out: { type: 'string' },
  },
});

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const IMPORT = `
  const before = performance.now();
  await import('./dist/index.js');
  console.log(performance.now() - before);
`;

function node(...args: string[]): { readonly ms: number; readonly told: string } {
  const before = performance.now();
  const told = execFileSync(process.execPath, args, { cwd: ROOT, encoding: 'utf8' });
  return { ms: performance.now() - before, told };
}

/** One measurement, in a process of its own. */
const KINDS: Readonly<Record<string, () => number>> = {
  node: () => node('-e', '0').ms,
  help: () => node('dist/cli/main.js', '--help').ms,
  import: () => Number(node('--input-type=module', '-e', IMPORT).told),
};

const host = machine();
execFileSync(process.execPath, ['tools/build.mjs'], { cwd: ROOT, stdio: 'inherit' });
say('the package is built');
const times: Record<string, number[]> = {};
const loads: number[] = [];
const rounds = Number(flags.rounds ?? (flags.quick ? 1 : 15));
// The first round warms the disk's cache and does not count.
for (let round = 0; round <= rounds; round++) {
  const kinds = Object.keys(KINDS);
  for (const kind of round % 2 === 1 ? kinds.reverse() : kinds) {
    const ms = (KINDS[kind] as () => number)();
    if (round > 0) (times[kind] ??= []).push(rounded(ms));
  }
  loads.push(Number((loadavg()[0] ?? NaN).toFixed(2)));
}
const results = Object.entries(times).map(([kind, raw]): Figure => {
  return { case: kind, variant: 'ours', threads: 1, ms: rounded(median(raw)), raw: [raw], loads };
});
for (const { case: kind, ms } of results) console.log(`${kind}: ${ms.toFixed(0)} ms`);
keep({ bench: 'start', machine: host, node: process.version, results }, flags);
