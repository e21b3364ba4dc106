// Owns `gapvl report`: one self-contained HTML page from a comparison, with the stored study beside it.
import { collectReport } from '../report/collect.ts';
import { renderReport } from '../report/report.ts';
import { readStudy } from '../report/study.ts';
import { writeFileAtomic } from '../engine/atomic-file.ts';
import { defineCommand } from './command.ts';
import * as option from './options.ts';
import { sessionOptions } from './running.ts';

/** The command. */
export const command = defineCommand({
  description:
    'Writes one self-contained HTML page about a comparison of `gapvl compare`: what the latents ' +
    'did, accuracy and intervention tables with intervals, example questions with the generated ' +
    'latents as pictures, training curves, norms, the PCA spectrum. Works offline.',
  options: {
    compare: option.required(option.text('--compare <dir>', 'folder of a comparison')),
    out: option.required(option.text('-o, --out <file>', 'HTML file to write')),
    title: option.withDefault(option.text('--title <text>', 'title of the page'), 'GAP report'),
    study: option.flag('--study', 'add the rows of the study shipped with gapvl, marked as such'),
    cards: option.withDefault(option.positiveInteger('--cards <n>', 'examples shown in full'), 8),
    threads: option.threadsOption(),
    device: option.deviceOption(),
  },
  examples: ['gapvl report --compare runs/compare --out runs/report.html --study'],
  run: async (values, context) => {
    const session = await sessionOptions(values);
    const data = await collectReport({
      title: values.title,
      comparison: values.compare,
      ...(values.study ? { study: await readStudy() } : {}),
      provenance: {
        recipe: 'gapvl compare',
        date: context.clock.date(),
        command: context.commandLine,
      },
      numCards: values.cards,
      signal: context.signal,
      ...session,
    });
    await writeFileAtomic(values.out, [await renderReport(data)]);
    context.result([...data.verdict, `wrote ${values.out}`].join('\n'), {
      out: values.out,
      verdict: data.verdict,
      accuracy: data.accuracyTable,
      interventions: data.interventionTable,
    });
  },
});
