// Models whose use of latents is known by construction, for the audit to be held against.
//
// Source: ours; issue 4, "Known right answers".
// Command: npx tsx recipes/known.ts [--out runs/known] [--seeds 3] [--only necessary] [--size full] [--threads 1]
// Result: OUT/KIND-SEED with `model` and `data`, for `gapvl audit --model OUT/KIND-SEED/model --data
// OUT/KIND-SEED/data`. Three seeds, accuracy on 200 (necessary) and 120 (redundant) test questions:
//   necessary: clean 97, 94, 99 %; another example's latents 0, 1, 0; markers only 8, 0, 0; span
//     suppressed 2, 9, 8; zero vectors 0; noise 8 to 17; own auxiliary picture 98 to 100. Verdict: used.
//   redundant: clean 100 %; another example's latents, zero and constant vectors, span suppressed 100;
//     noise 97 to 100; half the span 100, 96, 73; markers only 73, 71, 87: the copying of so small a
//     model goes by distance in part, and a span without latents moves what it copies. Verdict: not used.
// Time: about 80 CPU seconds a model on one thread. It goes on where it was interrupted; finished models
// are left as they are.
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { KNOWN_KINDS, KNOWN_SIZES, makeKnown } from './known/make.ts';
import type { KnownKind } from './known/make.ts';

const { values } = parseArgs({
  options: {
    out: { type: 'string', default: 'runs/known' },
    seeds: { type: 'string', default: '3' },
    only: { type: 'string', default: '' },
    size: { type: 'string', default: 'full' },
    threads: { type: 'string', default: '1' },
  },
});

const size = KNOWN_SIZES[values.size === 'small' ? 'small' : 'full'];

async function make(kind: KnownKind, seed: number): Promise<void> {
  const name = `${kind}-${seed}`;
  const began = process.cpuUsage();
  const folder = join(values.out, name);
  const run = makeKnown({ kind, seed, size, folder, threads: Number(values.threads) });
  for await (const { step, languageLoss = NaN, latentLoss = NaN } of run) {
    if (step % 50 !== 0) continue;
    const losses = `language ${languageLoss.toFixed(4)}, latent ${latentLoss.toFixed(3)}`;
    process.stderr.write(`${name}: step ${step}, ${losses}\n`);
  }
  const { user, system } = process.cpuUsage(began);
  process.stderr.write(`${name}: ready after ${((user + system) / 1e6).toFixed(0)} CPU s\n`);
}

for (let seed = 0; seed < Number(values.seeds); seed++) {
  for (const kind of KNOWN_KINDS) if (kind.includes(values.only)) await make(kind, seed);
}
