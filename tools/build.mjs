// Builds dist/ from src/: TypeScript through tsc, the generated ONNX bindings copied as they are.
import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';

const root = fileURLToPath(new URL('..', import.meta.url));
rmSync(join(root, 'dist'), { recursive: true, force: true });
execFileSync(
  process.execPath,
  [join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.build.json'],
  {
    cwd: root,
    stdio: 'inherit',
  },
);
cpSync(join(root, 'src/engine/onnx-pb'), join(root, 'dist/engine/onnx-pb'), { recursive: true });

// tsc leaves `import('./x.ts')` as it is in a function that also has `await using`: such a file
// would fail when it runs, so the build fails now.
const unresolved = readdirSync(join(root, 'dist'), { recursive: true })
  .filter((file) => file.endsWith('.js'))
  .filter((file) =>
    /(?:\bfrom|\bimport\()\s*['"]\.[^'"]*\.ts['"]/.test(
      readFileSync(join(root, 'dist', file), 'utf8'),
    ),
  );
if (unresolved.length > 0) {
  console.error(`imports of .ts files are left in dist: ${unresolved.join(', ')}`);
  console.error('move the import() into a function without `await using`');
  process.exit(1);
}

const cli = join(root, 'dist/cli/main.js');
if (existsSync(cli)) chmodSync(cli, 0o755);
