// Owns tensors that stay in their files: named in a graph by place, mapped by ONNX Runtime.
import { basename, dirname } from 'node:path';
import { ConfigError } from '../errors.ts';
import type { DType, Tensor } from './tensor.ts';

/** Bytes of a file that are a tensor, little-endian and row-major; nothing is read for it. */
export interface StoredTensor {
  readonly dtype: DType;
  readonly dims: readonly number[];
  /** Absolute path of the file, symbolic links resolved. */
  readonly path: string;
  /** Offsets in bytes from the start of the file. */
  readonly begin: number;
  readonly end: number;
}

/** A constant of a graph: in memory, or where it lies on the disk. */
export type Constant = Tensor | StoredTensor;

/** Whether a constant stays in its file. */
export function isStored(constant: Constant): constant is StoredTensor {
  return 'path' in constant;
}

/**
 * The one folder that all stored constants lie in: ONNX Runtime opens files of one folder only.
 * @throws ConfigError when there are several.
 */
export function folderOf(constants: Iterable<Constant>): string | undefined {
  const folders = new Set<string>();
  for (const constant of constants) if (isStored(constant)) folders.add(dirname(constant.path));
  const [folder, ...others] = folders;
  if (others.length === 0) return folder;
  throw new ConfigError({
    what: 'The weights of a model lie in several folders',
    got: [...folders].slice(0, 4).join(', '),
    expected: 'all .safetensors files in one folder',
    fix: 'copy the files into one folder, or link to one folder only',
  });
}

/** The name of a stored constant's file within its folder. */
export function fileOf(stored: StoredTensor): string {
  return basename(stored.path);
}
