// Tests that the kernel in use is the one whose text is read.
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { compileKernel } from '../../../tools/kernel.ts';

it('kernel-wasm.ts is what kernel.wat compiles to', async () => {
  const file = new URL('../../../src/processor/kernel-wasm.ts', import.meta.url);
  expect(readFileSync(file, 'utf8')).toBe(await compileKernel());
});
