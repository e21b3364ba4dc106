// Owns the benchmark of packed models: memory, time and closeness to the model they were made from.
// Command: npx tsx bench/packed.ts ORIGINAL PACKED... (model folders; each runs in a process of its own).
// Source: style of the other benchmarks here; hardware and results in bench/results/packed.json.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Decoder } from '../src/generate/decoder.ts';
import { openGapModel } from '../src/store/latent-head.ts';
import { Rng } from '../src/rng.ts';

const PROMPT_TOKENS = Number(process.env['PROMPT_TOKENS'] ?? 128);
const STEPS = 32;
const THREADS = 2;

interface Run {
  readonly folder: string;
  readonly compileMs: number;
  readonly prefillMs: number;
  readonly stepMs: readonly number[];
  /** Largest resident memory, and what of it at the end is not backed by files. */
  readonly peakMB: number;
  readonly anonMB: number;
  readonly fileMB: number;
}

function memory(): Pick<Run, 'peakMB' | 'anonMB' | 'fileMB'> {
  const status = readFileSync('/proc/self/status', 'utf8');
  const field = (name: string): number =>
    Math.round(Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? 0) / 1024);
  return { peakMB: field('VmHWM'), anonMB: field('RssAnon'), fileMB: field('RssFile') };
}

/** Reads a fixed prompt and goes on with fixed tokens; writes the logits of every step. */
async function runOne(folder: string, logitsPath: string): Promise<Run> {
  const model = await openGapModel(folder);
  const { vocabSize } = model.bundle.checkpoint.config.text;
  const rng = new Rng(7);
  const draw = (): number =>
    Math.floor(rng.uniform() * Math.min(vocabSize, model.bundle.tokenizer.numTokens));
  const started = performance.now();
  await using decoder = await Decoder.create(model, { threads: THREADS });
  const compileMs = performance.now() - started;
  const ids = Array.from({ length: PROMPT_TOKENS }, draw);
  const positions_3T = Int32Array.from({ length: 3 * PROMPT_TOKENS }, (_, i) => i % PROMPT_TOKENS);
  const row = { ids, positions_3T, given_ND: new Float32Array(0), givenPlaces: [] };
  const before = performance.now();
  const batch = await decoder.start([row], STEPS);
  const prefillMs = performance.now() - before;
  const logits = new Float32Array((STEPS + 1) * vocabSize);
  logits.set(batch.output.logits_BV);
  const stepMs: number[] = [];
  for (let i = 0; i < STEPS; i++) {
    const at = PROMPT_TOKENS + i;
    const step = performance.now();
    const output = await batch.step([{ id: draw(), position: [at, at, at], active: true }]);
    stepMs.push(performance.now() - step);
    logits.set(output.logits_BV, (i + 1) * vocabSize);
  }
  const used = memory();
  writeFileSync(logitsPath, logits);
  return { folder: basename(folder), compileMs, prefillMs, stepMs, ...used };
}

/** Mean KL divergence in nats of the second from the first, and how often both rank the same first. */
function compare(
  first: Float32Array,
  second: Float32Array,
  rows: number,
): { klNats: number; sameTop: number } {
  const width = first.length / rows;
  let kl = 0;
  let same = 0;
  for (let r = 0; r < rows; r++) {
    const [p, q] = [first, second].map((all) => {
      const logits = all.subarray(r * width, (r + 1) * width);
      const top = logits.reduce((most, x) => Math.max(most, x), -Infinity);
      const sum = logits.reduce((total, x) => total + Math.exp(x - top), 0);
      return { logits, argmax: logits.indexOf(top), logSum: top + Math.log(sum) };
    }) as [
      { logits: Float32Array; argmax: number; logSum: number },
      { logits: Float32Array; argmax: number; logSum: number },
    ];
    for (let i = 0; i < width; i++) {
      const [a, b] = [(p.logits[i] ?? 0) - p.logSum, (q.logits[i] ?? 0) - q.logSum];
      kl += Math.exp(a) * (a - b);
    }
    if (p.argmax === q.argmax) same += 1;
  }
  return { klNats: kl / rows, sameTop: same / rows };
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

const RESULTS = join(import.meta.dirname, 'results', 'packed.json');

function main(): void {
  const folders = process.argv.slice(2);
  const scratch = mkdtempSync(join(tmpdir(), 'gapvl-packed-'));
  const rows = STEPS + 1;
  let reference: Float32Array | undefined;
  const results = folders.map((folder, i) => {
    const path = join(scratch, `${i}.bin`);
    const self = pathToFileURL(import.meta.filename).pathname;
    const out = execFileSync('npx', ['tsx', self, '--one', folder, path], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const run = JSON.parse(out.trim().split('\n').at(-1) ?? '') as Run;
    const bytes = readFileSync(path);
    const logits = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
    reference ??= logits;
    const closeness = compare(reference, logits, rows);
    const { stepMs, ...rest } = run;
    console.log(
      `${run.folder}: compile ${(run.compileMs / 1000).toFixed(1)} s, prefill ${PROMPT_TOKENS} tokens ` +
        `${run.prefillMs.toFixed(0)} ms, step ${median(stepMs).toFixed(1)} ms, peak ${run.peakMB} MB, ` +
        `anonymous ${run.anonMB} MB, KL ${closeness.klNats.toExponential(2)} nats, same first ${(100 * closeness.sameTop).toFixed(0)} %`,
    );
    return { ...rest, medianStepMs: median(stepMs), stepMs, ...closeness };
  });
  rmSync(scratch, { recursive: true });
  const known = ((): object => {
    try {
      return (JSON.parse(readFileSync(RESULTS, 'utf8')) as { runs: object }).runs;
    } catch {
      return {};
    }
  })();
  const runs = { ...known, ...Object.fromEntries(results.map((run) => [run.folder, run])) };
  const setting = {
    promptTokens: PROMPT_TOKENS,
    steps: STEPS,
    threads: THREADS,
    cpu: cpus()[0]?.model ?? '',
    node: process.version,
  };
  writeFileSync(RESULTS, `${JSON.stringify({ setting, runs })}\n`);
  console.log(JSON.stringify(results.map(({ stepMs: _, ...rest }) => rest)));
}

const [mode, folder, path] = process.argv.slice(2);
if (mode === '--one' && folder !== undefined && path !== undefined)
  console.log(JSON.stringify(await runOne(folder, path)));
else main();
