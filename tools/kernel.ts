// Owns the making of the modules in src that are WebAssembly in base64; tests hold them against their texts.
// Usage: npx tsx tools/kernel.ts, after a change of a .wat file.
import { readFileSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import wabt from 'wabt';

/** A text and the module that is made of it. */
export interface KernelSource {
  /** Folder in src. */
  readonly folder: string;
  readonly text: string;
  readonly module: string;
  readonly constant: string;
  readonly caller: string;
}

/** All that there are. */
export const KERNELS: readonly KernelSource[] = [
  {
    folder: 'processor',
    text: 'kernel.wat',
    module: 'kernel-wasm.ts',
    constant: 'KERNEL_WASM',
    caller: 'kernel.ts',
  },
  {
    folder: 'train',
    text: 'adamw.wat',
    module: 'adamw-wasm.ts',
    constant: 'ADAMW_WASM',
    caller: 'adamw-kernel.ts',
  },
];

/** Where a file of a kernel lies. */
export function kernelFile(source: KernelSource, file: string): URL {
  return new URL(`../src/${source.folder}/${file}`, import.meta.url);
}

/** The text of the module that a .wat file makes. */
export async function compileKernel(source: KernelSource): Promise<string> {
  const compiler = await wabt();
  const text = readFileSync(kernelFile(source, source.text), 'utf8');
  const parsed = compiler.parseWat(source.text, text);
  const base64 = Buffer.from(parsed.toBinary({}).buffer).toString('base64');
  parsed.destroy();
  return `// Owns the module that tools/kernel.ts made of ${source.text}; called by ${source.caller}.

/** A WebAssembly module, in base64. */
export const ${source.constant} =
  '${base64}';
`;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  for (const source of KERNELS)
    writeFileSync(kernelFile(source, source.module), await compileKernel(source));
}
