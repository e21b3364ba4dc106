// Owns `gapvl audit`: whether a model uses its latents, and for what.
import { join } from 'node:path';
import { runAudit } from '../audit/audit.ts';
import type { AuditEvent, AuditOptions } from '../audit/audit.ts';
import { summariseAudit } from '../audit/summary.ts';
import { PART_NAMES } from '../audit/types.ts';
import type { Audit } from '../audit/types.ts';
import { makeFolderOf } from '../data/journal.ts';
import { writeFileAtomic } from '../engine/atomic-file.ts';
import { auditFiles } from '../report/audit-files.ts';
import { renderCard } from '../report/audit-card.ts';
import { SPLITS } from '../data/example.ts';
import { ConfigError } from '../errors.ts';
import { defineCommand } from './command.ts';
import type { CommandContext } from './command.ts';
import * as option from './options.ts';
import { modelFolder, sessionOptions } from './running.ts';

async function watch(
  run: AsyncGenerator<AuditEvent, Audit>,
  context: CommandContext,
): Promise<Audit> {
  const progress = context.progress('auditing');
  for (;;) {
    const next = await run.next();
    if (next.done === true) {
      progress.finish();
      return next.value;
    }
    const { done, total, what } = next.value;
    progress.update(done, total, what);
  }
}

/** The command. */
export const command = defineCommand({
  description:
    'Finds out whether a model uses its latents, and for what: replaces them in many ways, measures ' +
    'norms, probes, attention and counterfactual pictures, and gives a verdict only when its own ' +
    'canaries hold. Inference only. Every item is journalled; the same command goes on where it ' +
    'was interrupted. Writes audit.html (offline), audit.json, card.txt, tables and figures.',
  options: {
    model: option.text('--model <model>', 'model folder or ORG/NAME[@REVISION]'),
    offline: option.offlineOption(),
    data: option.text('--data <dir>', 'dataset folder'),
    split: option.withDefault(option.choice('--split <name>', 'split to run', SPLITS), 'test'),
    out: option.required(option.text('-o, --out <dir>', 'folder of journals and results')),
    only: option.choices('--only <parts>', 'these parts alone', PART_NAMES),
    base: option.text('--base <model>', 'model whose accuracy retention is held against'),
    limit: option.positiveInteger('--limit <n>', 'first questions of the split only'),
    temperature: option.withDefault(
      option.decimal('--temperature <x>', '0 is greedy', { min: 0, max: 10 }),
      0,
    ),
    recompute: option.flag('--recompute', 'make the results again from the journals, no model'),
    seed: option.seedOption(),
    threads: option.threadsOption(),
    device: option.deviceOption(),
  },
  examples: [
    'gapvl audit --model runs/gap --data runs/data --limit 400 --out runs/audit',
    'gapvl audit --model runs/gap --data runs/data --only replacement,norms --out runs/look',
    'gapvl audit --recompute --out runs/audit',
  ],
  run: async (values, context) => {
    const { model, data, out, only, base, limit } = values;
    let audit: Audit;
    if (values.recompute) audit = await summariseAudit(out);
    else {
      if (model === undefined || data === undefined) {
        throw new ConfigError({
          what: 'an audit needs a model and a dataset',
          got: model === undefined ? 'no --model' : 'no --data',
          expected: '--model DIR --data DIR',
          fix: 'name both, or --recompute to use the journals of --out alone',
        });
      }
      const options: AuditOptions = {
        model: await modelFolder(model, values.offline, context),
        ...{ data, out, split: values.split, seed: values.seed },
        temperature: values.temperature,
        ...(only ? { only } : {}),
        ...(base === undefined ? {} : { base: await modelFolder(base, values.offline, context) }),
        ...(limit === undefined ? {} : { limit }),
        ...(await sessionOptions(values)),
        now: context.clock.now,
        signal: context.signal,
      };
      audit = await watch(runAudit(options), context);
    }
    for (const [path, text] of await auditFiles(audit)) {
      const file = join(out, path);
      await makeFolderOf(file);
      await writeFileAtomic(file, [text]);
    }
    context.result(renderCard(audit, { folder: out }), audit);
  },
});
