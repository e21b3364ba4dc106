// Owns how long the demo and the tests take, once each; `npm run bench -- whole`, last line JSON.
//
// Both as a person runs them: `npm run demo` into an empty folder, `npm test`. --quick: the quick demo and one
// test file; --out FILE.
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { keep, machine, rounded, say } from './sides/rounds.ts';
import type { Figure } from './sides/rounds.ts';

const { values: flags } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, out: { type: 'string' } },
});

const ROOT = fileURLToPath(new URL('..', import.meta.url));

function timed(name: string, command: string, args: readonly string[]): Figure {
  const load = Number((loadavg()[0] ?? NaN).toFixed(2));
  const before = performance.now();
  // What they print goes to stderr, so that the last line of stdout stays ours.
  const { status } = spawnSync(command, args, { cwd: ROOT, stdio: ['ignore', 2, 2] });
  const ms = performance.now() - before;
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${String(status)}`);
  say(`${name}: ${(ms / 1000).toFixed(0)} s`);
  return { case: name, variant: 'ours', threads: 2, ms: rounded(ms), raw: [[ms]], loads: [load] };
}

const host = machine();
spawnSync(process.execPath, ['tools/build.mjs'], { cwd: ROOT, stdio: ['ignore', 2, 2] });
rmSync(`${ROOT}/runs/demo`, { recursive: true, force: true });
const results = [
  timed('demo', 'npm', ['run', 'demo', '--', ...(flags.quick ? ['--quick'] : [])]),
  timed('tests', 'npm', ['test', '--', ...(flags.quick ? ['test/unit/bench'] : [])]),
];
keep({ bench: 'whole', machine: host, results }, flags);
