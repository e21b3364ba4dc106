// Owns where ONNX Runtime ran the nodes of a graph: read from a profile, judged by one rule; sessions ask.
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A tensor as a profile describes it: its element type and its dims. */
type ProfiledTensor = Readonly<Record<string, readonly number[]>>;

/** A node that ran, as far as its place is concerned. */
export interface PlacedNode {
  readonly operator: string;
  readonly provider: string;
  /** Element type and dims of each operand. */
  readonly operands: readonly ProfiledTensor[];
}

interface ProfileEvent {
  readonly cat?: string;
  readonly name?: string;
  readonly args?: {
    readonly op_name?: string;
    readonly provider?: string;
    readonly input_type_shape?: readonly ProfiledTensor[];
  };
}

const CPU_PROVIDER = 'CPUExecutionProvider';
const FLOATS = ['float', 'double', 'float16'];

/** The nodes in the text of a profile, each as often as it ran. */
export function placedNodes(profile: string): PlacedNode[] {
  const events = JSON.parse(profile) as readonly ProfileEvent[];
  return events.flatMap(({ cat, name, args }) => {
    if (cat !== 'Node' || name?.endsWith('_kernel_time') !== true || !args) return [];
    return [
      {
        operator: args.op_name ?? '',
        provider: args.provider ?? '',
        operands: args.input_type_shape ?? [],
      },
    ];
  });
}

/** True of arithmetic: it reads a tensor of more than one floating-point number. */
function isArithmetic({ operands }: PlacedNode): boolean {
  return operands.some((tensor) =>
    Object.entries(tensor).some(
      ([type, dims]) => FLOATS.includes(type) && dims.reduce((size, d) => size * d, 1) > 1,
    ),
  );
}

/** Operators that ran on the CPU, each once: `arithmetic` should not have, `indexes` may. */
export interface CpuOperators {
  readonly arithmetic: readonly string[];
  /**
   * Work on shapes, indexes and masks: it reads integers, booleans and single numbers. ONNX Runtime
   * keeps shapes off a device on purpose, since they are needed to start its kernels, and WebGPU
   * has no 64-bit integers.
   */
  readonly indexes: readonly string[];
}

/** Which operators ran on the CPU of a session that was meant for another device. */
export function cpuOperators(nodes: readonly PlacedNode[]): CpuOperators {
  const onCpu = nodes.filter(({ provider }) => provider === CPU_PROVIDER);
  const names = (list: readonly PlacedNode[]): string[] =>
    [...new Set(list.map(({ operator }) => operator))].sort();
  return {
    arithmetic: names(onCpu.filter((node) => isArithmetic(node))),
    indexes: names(onCpu.filter((node) => !isArithmetic(node))),
  };
}

/** A folder for one profile, which lives until it is read or dropped. */
export class ProfileFolder {
  readonly prefix: string;
  private readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
    this.prefix = join(folder, 'profile');
  }

  /** Makes the folder among the temporary files. */
  static async create(): Promise<ProfileFolder> {
    return new ProfileFolder(await mkdtemp(join(tmpdir(), 'gapvl-profile-')));
  }

  /** The nodes of the profile that was written here; the folder is gone afterwards. */
  async take(): Promise<PlacedNode[]> {
    const [name] = await readdir(this.folder);
    const text = name === undefined ? '[]' : await readFile(join(this.folder, name), 'utf8');
    await this.drop();
    return placedNodes(text);
  }

  /** Removes the folder; a second call does nothing. */
  async drop(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}
