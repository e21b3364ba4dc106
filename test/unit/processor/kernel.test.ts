// Tests that the kernels in use are those whose texts are read.
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { KERNELS, compileKernel, kernelFile } from '../../../tools/kernel.ts';

it.each(KERNELS.map((source) => [source.folder, source] as const))(
  'the module in src/%s is what its text compiles to',
  async (_folder, source) => {
    const file = kernelFile(source, source.module);
    expect(readFileSync(file, 'utf8')).toBe(await compileKernel(source));
  },
);
