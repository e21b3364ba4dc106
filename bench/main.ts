// Owns the choice of a benchmark: `npm run bench [-- --skip a,b]` runs all that the table shows, `npm run bench -- NAME [options]` one.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { TABLE_BENCHES } from './table/render.ts';

/** What can be named: the benches of the table, two more, the table itself, and the check of CI. */
const NAMES: readonly string[] = [...TABLE_BENCHES, 'engine', 'table', 'check'];

function runFile(name: string, options: readonly string[]): number {
  const file = fileURLToPath(new URL(`${name}.ts`, import.meta.url));
  const { status } = spawnSync(process.execPath, [...process.execArgv, file, ...options], {
    stdio: 'inherit',
  });
  return status ?? 1;
}

/** README.md and docs/SPEED.md from the kept results. */
function writeTables(): number {
  const script = fileURLToPath(new URL('../tools/speed-tables.sh', import.meta.url));
  return spawnSync('bash', [script], { stdio: ['ignore', 2, 2] }).status ?? 1;
}

/** All benches of the table, then the table; one that fails does not keep the others from running. */
function runAll(options: readonly string[], skip: readonly string[]): number {
  const minutes = (): string => (performance.now() / 60_000).toFixed(1);
  const failed: string[] = TABLE_BENCHES.filter((name) => {
    if (skip.includes(name)) return false;
    console.error(`=== ${name} (${minutes()} min)`);
    return runFile(name, options) !== 0;
  });
  if (!skip.includes('check')) {
    console.error(`=== check --keep (${minutes()} min)`);
    if (runFile('check', ['--keep', ...options]) !== 0) failed.push('check');
  }
  console.error(`=== done in ${minutes()} min; failed: ${failed.join(', ') || 'none'}`);
  const isTest = options.includes('--quick');
  const told = isTest ? 0 : writeTables();
  console.log(JSON.stringify({ bench: 'all', minutes: Number(minutes()), failed }));
  return failed.length > 0 ? 1 : told;
}

const [name = '', ...rest] = process.argv.slice(2);
if (name === '' || name.startsWith('--')) {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      /** Names with commas between them, whose kept results stay as they are. */
      skip: { type: 'string', default: '' },
    },
  });
  process.exitCode = runAll(values.quick ? ['--quick'] : [], values.skip.split(','));
} else if (NAMES.includes(name)) process.exitCode = runFile(name, rest);
else {
  console.error(`usage: npm run bench [-- ${NAMES.join(' | ')} [options]]`);
  process.exitCode = 2;
}
