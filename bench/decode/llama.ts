// Owns llama.cpp's side of bench/decode.ts, through node-llama-cpp's evaluation of single ids; last line JSON.
import { peakBytes } from './peak.ts';
import type { Measured, Response, Work } from './shapes.ts';

interface Sequence {
  evaluate(
    tokens: readonly number[],
    options: { readonly temperature: number; readonly yieldEogToken: boolean },
  ): AsyncGenerator<number, void>;
  clearHistory(): Promise<void>;
}
interface Context {
  getSequence(): Sequence;
  readonly currentThreads: number;
  readonly batchSize: number;
  readonly flashAttention: unknown;
  dispose(): Promise<void>;
}
interface Model {
  createContext(options: Readonly<Record<string, unknown>>): Promise<Context>;
  dispose(): Promise<void>;
}
interface Llama {
  readonly systemInfo: string;
  readonly llamaCppRelease: { readonly release: string };
  loadModel(options: Readonly<Record<string, unknown>>): Promise<Model>;
  dispose(): Promise<void>;
}
/** What is used of node-llama-cpp, which is installed in bench/peers only. */
interface Peer {
  readonly getLlama: (options: Readonly<Record<string, unknown>>) => Promise<Llama>;
}

const BATCH_SIZE = 512;
const PEER = new URL('../peers/node_modules/node-llama-cpp/dist/index.js', import.meta.url).href;

async function respond(sequence: Sequence, work: Work, newTokens: number): Promise<Response> {
  await sequence.clearHistory();
  const ids: number[] = [];
  const ms: number[] = [];
  let before = performance.now();
  const options = { temperature: 0, yieldEogToken: true };
  for await (const id of sequence.evaluate(work.promptIds, options)) {
    const now = performance.now();
    ms.push(now - before);
    before = now;
    ids.push(id);
    if (ids.length === newTokens) break;
  }
  const [firstMs = NaN, ...stepMs] = ms;
  return { firstMs, stepMs, ids };
}

/** What llama.cpp logs about where weights lie and how it attends. */
const TELLING = /model buffer size =|KV buffer size =|Flash Attention (?:enabled|disabled)/;

async function measure(modelPath: string, work: Work): Promise<Measured> {
  const { getLlama } = (await import(PEER)) as Peer;
  const logged: string[] = [];
  const llama = await getLlama({
    gpu: false,
    build: 'never',
    skipDownload: true,
    progressLogs: false,
    maxThreads: work.threads,
    logLevel: 'debug',
    logger: (_level: string, message: string) => {
      if (TELLING.test(message)) logged.push(message.trim());
    },
  });
  const before = performance.now();
  const model = await llama.loadModel({ modelPath, gpuLayers: 0, ignoreMemorySafetyChecks: true });
  const context = await model.createContext({
    contextSize: Math.ceil((work.promptIds.length + work.newTokens + 1) / 64) * 64,
    batchSize: BATCH_SIZE,
    threads: work.threads,
    ignoreMemorySafetyChecks: true,
  });
  const loadMs = performance.now() - before;
  const sequence = context.getSequence();
  const warmIds = work.promptIds.slice(0, work.warmPrompt);
  await respond(sequence, { ...work, promptIds: warmIds }, work.warmTokens);
  const responses: Response[] = [];
  for (let i = 0; i < work.repeats; i++)
    responses.push(await respond(sequence, work, work.newTokens));
  const about = {
    threads: context.currentThreads || work.threads,
    batchSize: context.batchSize,
    flashAttention: context.flashAttention,
    release: llama.llamaCppRelease.release,
    systemInfo: llama.systemInfo,
    logged,
  };
  const measured = { loadMs, peakBytes: peakBytes(), responses, about };
  await context.dispose();
  await model.dispose();
  await llama.dispose();
  return measured;
}

const [modelPath = '', work = ''] = process.argv.slice(2);
const measured = await measure(modelPath, JSON.parse(work) as Work);
console.log(`\n${JSON.stringify(measured)}`);
process.exit(0);
