// Owns the making of src/processor/kernel-wasm.ts from kernel.wat; a test holds the two against each other.
// Usage: npx tsx tools/kernel.ts, after a change of kernel.wat.
import { readFileSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import wabt from 'wabt';

const folder = new URL('../src/processor/', import.meta.url);

/** The text of kernel-wasm.ts that kernel.wat makes. */
export async function compileKernel(): Promise<string> {
  const compiler = await wabt();
  const text = readFileSync(new URL('kernel.wat', folder), 'utf8');
  const parsed = compiler.parseWat('kernel.wat', text);
  const base64 = Buffer.from(parsed.toBinary({}).buffer).toString('base64');
  parsed.destroy();
  return `// Owns the module that tools/kernel.ts made of kernel.wat; called by kernel.ts.

/** A WebAssembly module, in base64. */
export const KERNEL_WASM =
  '${base64}';
`;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  writeFileSync(new URL('kernel-wasm.ts', folder), await compileKernel());
}
