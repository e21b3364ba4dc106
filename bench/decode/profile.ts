// Owns where the time of decoding goes: ONNX Runtime's profile of one process, by kind of kernel, as tables.
import { readFileSync, readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Precision, Response, ShapeName } from './shapes.ts';

interface ProfileEvent {
  readonly cat?: string;
  readonly name?: string;
  /** Microseconds. */
  readonly ts?: number;
  readonly dur?: number;
  readonly args?: {
    readonly op_name?: string;
    readonly input_type_shape?: readonly Readonly<Record<string, readonly number[]>>[];
  };
}

/** Milliseconds of one kind of kernel. */
export interface KernelTime {
  readonly kernel: string;
  readonly ms: number;
}

/** Where the time of a prompt or of a step goes; a step's are means over all of them. */
export interface PhaseProfile {
  /** As the caller sees it. */
  readonly wallMs: number;
  /** Inside of ONNX Runtime. */
  readonly sessionMs: number;
  readonly kernels: readonly KernelTime[];
}

/** One process. */
export interface DecodeProfile {
  readonly shape: ShapeName;
  readonly precision: Precision;
  readonly threads: number;
  readonly load: number;
  readonly prompt: PhaseProfile;
  readonly step: PhaseProfile;
}

/** Products with a weight have a second operand of two axes, those of attention of more. */
function kindOf({ args }: ProfileEvent): string {
  const operator = args?.op_name ?? '';
  if (operator !== 'MatMul' && operator !== 'FusedMatMul') return operator;
  const dims = Object.values(args?.input_type_shape?.[1] ?? {})[0] ?? [];
  return dims.length === 2 ? 'MatMul with a weight' : 'MatMul of attention';
}

function phase(
  runs: readonly ProfileEvent[],
  nodes: readonly ProfileEvent[],
  wallMs: number,
): PhaseProfile {
  const sums = new Map<string, number>();
  let sessionUs = 0;
  for (const { ts = 0, dur = 0 } of runs) {
    sessionUs += dur;
    for (const node of nodes) {
      const at = node.ts ?? 0;
      if (at < ts || at > ts + dur) continue;
      sums.set(kindOf(node), (sums.get(kindOf(node)) ?? 0) + (node.dur ?? 0));
    }
  }
  const scale = 1 / 1000 / runs.length;
  return {
    wallMs,
    sessionMs: sessionUs * scale,
    kernels: [...sums]
      .map(([kernel, us]) => ({ kernel, ms: us * scale }))
      .sort((a, b) => b.ms - a.ms),
  };
}

/** Reads the profile that a process wrote under a prefix; its last response is looked at. */
export function readProfile(
  prefix: string,
  response: Response,
): { readonly prompt: PhaseProfile; readonly step: PhaseProfile } {
  const folder = dirname(prefix);
  const [name] = readdirSync(folder).filter((file) => file.startsWith(basename(prefix)));
  if (name === undefined) throw new Error(`no profile was written at ${prefix}`);
  const events = JSON.parse(readFileSync(join(folder, name), 'utf8')) as ProfileEvent[];
  const runs = events.filter(({ cat, name: what }) => cat === 'Session' && what === 'model_run');
  const nodes = events.filter(
    ({ cat, name: what }) => cat === 'Node' && what?.endsWith('_kernel_time') === true,
  );
  const steps = runs.slice(-response.stepMs.length);
  const prompt = runs.slice(-response.stepMs.length - 1, -response.stepMs.length);
  const mean = response.stepMs.reduce((sum, ms) => sum + ms, 0) / response.stepMs.length;
  return {
    prompt: phase(prompt, nodes, response.firstMs),
    step: phase(steps, nodes, mean),
  };
}

/** Kernels below this share of the time are told together. */
const LEAST_SHARE = 0.01;

/** The table of profiles, kernels that take a hundredth of any phase each in a row of its own. */
export function profileTable(profiles: readonly DecodeProfile[]): string {
  const phases = profiles.flatMap((one) => [
    { title: `${one.shape} ${one.precision}, ${one.threads} thr., prompt`, ...one.prompt },
    { title: `${one.shape} ${one.precision}, ${one.threads} thr., step`, ...one.step },
  ]);
  const shareOf = (found: PhaseProfile, kernel: string): number =>
    (found.kernels.find((one) => one.kernel === kernel)?.ms ?? 0) / found.wallMs;
  const names = [...new Set(phases.flatMap(({ kernels }) => kernels.map((one) => one.kernel)))];
  const shown = names.filter((name) => phases.some((one) => shareOf(one, name) >= LEAST_SHARE));
  const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
  const kernelMs = ({ kernels }: PhaseProfile): number =>
    kernels.reduce((sum, { ms }) => sum + ms, 0);
  const rest = (found: PhaseProfile): number =>
    names.filter((name) => !shown.includes(name)).reduce((sum, n) => sum + shareOf(found, n), 0);
  const row = (head: string, cell: (found: (typeof phases)[number]) => string): string =>
    `| ${[head, ...phases.map(cell)].join(' | ')} |`;
  return [
    row('share of the time', ({ title }) => title),
    `| --- | ${phases.map(() => '---:').join(' | ')} |`,
    row('milliseconds', ({ wallMs }) => wallMs.toFixed(1)),
    ...shown.map((name) => row(name, (found) => percent(shareOf(found, name)))),
    row('other kernels', (found) => percent(rest(found))),
    row('between kernels', (found) => percent((found.sessionMs - kernelMs(found)) / found.wallMs)),
    row('outside of ONNX Runtime', (found) =>
      percent((found.wallMs - found.sessionMs) / found.wallMs),
    ),
    '',
  ].join('\n');
}
