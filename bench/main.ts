// Owns the choice of a benchmark: `npm run bench -- engine | pca | preprocess | decode | step [options]`.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const BENCHES: readonly string[] = ['engine', 'pca', 'preprocess', 'decode', 'step'];

const [name = '', ...rest] = process.argv.slice(2);
if (!BENCHES.includes(name)) {
  console.error(`usage: npm run bench -- ${BENCHES.join(' | ')} [options]`);
  process.exitCode = 2;
} else {
  const file = fileURLToPath(new URL(`${name}.ts`, import.meta.url));
  const { status } = spawnSync(process.execPath, [...process.execArgv, file, ...rest], {
    stdio: 'inherit',
  });
  process.exitCode = status ?? 1;
}
