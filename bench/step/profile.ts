// Owns where the time of a training step goes: ONNX Runtime's profiles of one process, by kind of kernel.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { KernelTime } from '../decode/profile.ts';
import type { Measured } from './shapes.ts';

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

/** Where the time of a step goes: the quickest of all, by kernels of its sessions. */
export interface StepProfile {
  readonly title: string;
  readonly wallMs: number;
  /** Inside of ONNX Runtime, by session: the objective, AdamW, and whatever else runs. */
  readonly sessionMs: readonly number[];
  readonly kernels: readonly KernelTime[];
}

/** Products with a weight or of activations for one have two axes, those of attention more. */
function kindOf({ args }: ProfileEvent): string {
  const operator = args?.op_name ?? '';
  if (!['MatMul', 'FusedMatMul', 'Gemm'].includes(operator)) return operator;
  const dims = Object.values(args?.input_type_shape?.[1] ?? {})[0] ?? [];
  return dims.length === 2 ? operator : `${operator} of attention`;
}

interface SessionProfile {
  readonly ms: number;
  readonly kernels: ReadonlyMap<string, number>;
}

/** Means over the last runs of one session, a step's runs together. */
function sessionProfile(path: string, numSteps: number, numWarm: number): SessionProfile {
  const events = JSON.parse(readFileSync(path, 'utf8')) as ProfileEvent[];
  const runs = events.filter(({ cat, name }) => cat === 'Session' && name === 'model_run');
  const perStep = runs.length / (numSteps + numWarm);
  const counted = runs.slice(Math.round(numWarm * perStep));
  const from = counted[0]?.ts ?? Infinity;
  const kernels = new Map<string, number>();
  for (const event of events) {
    if (event.cat !== 'Node' || event.name?.endsWith('_kernel_time') !== true) continue;
    if ((event.ts ?? 0) < from) continue;
    const kind = kindOf(event);
    kernels.set(kind, (kernels.get(kind) ?? 0) + (event.dur ?? 0) / 1000 / numSteps);
  }
  const total = counted.reduce((sum, { dur = 0 }) => sum + dur, 0);
  return { ms: total / 1000 / numSteps, kernels };
}

/** Reads the profiles that a process wrote into a folder of its own. */
export function readProfile(title: string, folder: string, measured: Measured): StepProfile {
  const numSteps = measured.stepMs.length;
  const numWarm = measured.losses.length - numSteps;
  const sessions = readdirSync(folder).map((file) =>
    sessionProfile(join(folder, file), numSteps, numWarm),
  );
  const kernels = new Map<string, number>();
  for (const session of sessions)
    for (const [kind, ms] of session.kernels) kernels.set(kind, (kernels.get(kind) ?? 0) + ms);
  return {
    title,
    wallMs: measured.stepMs.reduce((sum, ms) => sum + ms, 0) / numSteps,
    sessionMs: sessions.map(({ ms }) => ms).toSorted((a, b) => b - a),
    kernels: [...kernels].map(([kernel, ms]) => ({ kernel, ms })).toSorted((a, b) => b.ms - a.ms),
  };
}

/** Kernels below this share of the time are told together. */
const LEAST_SHARE = 0.01;

/** The table of profiles, kernels that take a hundredth of any each in a row of its own. */
export function profileTable(found: readonly StepProfile[]): string {
  const percent = (ms: number, { wallMs }: StepProfile): string =>
    `${((100 * ms) / wallMs).toFixed(1)} %`;
  const msOf = ({ kernels }: StepProfile, kernel: string): number =>
    kernels.find((one) => one.kernel === kernel)?.ms ?? 0;
  const names = [...new Set(found.flatMap(({ kernels }) => kernels.map((one) => one.kernel)))];
  const isShown = (name: string): boolean =>
    found.some((one) => msOf(one, name) >= LEAST_SHARE * one.wallMs);
  const sum = (values: readonly number[]): number => values.reduce((total, v) => total + v, 0);
  const kernelMs = (one: StepProfile): number => sum(one.kernels.map(({ ms }) => ms));
  const row = (head: string, cell: (one: StepProfile) => string): string =>
    `| ${[head, ...found.map(cell)].join(' | ')} |`;
  return [
    row('share of the time', ({ title }) => title),
    `| --- | ${found.map(() => '---:').join(' | ')} |`,
    row('milliseconds', ({ wallMs }) => wallMs.toFixed(1)),
    ...names.filter(isShown).map((name) => row(name, (one) => percent(msOf(one, name), one))),
    row('other kernels', (one) =>
      percent(sum(names.filter((n) => !isShown(n)).map((n) => msOf(one, n))), one),
    ),
    row('between kernels', (one) => percent(sum(one.sessionMs) - kernelMs(one), one)),
    row('outside of ONNX Runtime', (one) => percent(one.wallMs - sum(one.sessionMs), one)),
    '',
  ].join('\n');
}
