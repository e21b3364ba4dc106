// Owns `gapvl evaluate fetch`: downloads the file of a benchmark and prints its path.
import { fetchBenchmark } from '../benchmark/table/fetch.ts';
import { BENCHMARK_NAMES } from '../benchmark/types.ts';
import { defineCommand } from './command.ts';
import * as option from './options.ts';
import type { Progress } from './progress.ts';

/** The command. */
export const command = defineCommand({
  description:
    'Downloads the table of a benchmark as VLMEvalKit publishes it, checks its MD5, and prints its ' +
    `path: ${BENCHMARK_NAMES.join(', ')}. Ctrl-C or a broken connection lose nothing: the same ` +
    'command goes on. Files go to $LMUData, or ~/LMUData, where VLMEvalKit finds them, too.',
  options: {
    out: option.text('--out <folder>', 'folder for the file (default: $LMUData, or ~/LMUData)'),
    server: option.text('--server <url>', 'a mirror that has the same paths'),
    md5: option.text(
      '--md5 <hex>',
      'MD5 the file has to have, should the publisher have changed it',
    ),
    force: option.flag('--force', 'replace a file of the same name that is another one'),
  },
  arguments: [{ syntax: '<name>', description: 'the benchmark' }],
  examples: ['gapvl evaluate fetch HRBench4K', 'gapvl evaluate fetch POPE --out data --json'],
  run: async ({ out, server, md5, force }, context, [name = '']) => {
    let progress: Progress | undefined;
    try {
      const fetched = await fetchBenchmark(name, {
        ...(out === undefined ? {} : { folder: out }),
        ...(server === undefined ? {} : { baseUrl: server }),
        ...(md5 === undefined ? {} : { md5 }),
        ...{ force, signal: context.signal, onNote: context.note },
        onProgress: (done, total) => {
          progress ??= context.progress(`${name} (MB)`);
          progress.update(Math.round(done / 1e5) / 10, Math.round(total / 1e5) / 10);
        },
      });
      const { sizeBytes: bytes, ...rest } = fetched;
      context.result(rest.path, { ...rest, bytes });
    } finally {
      progress?.finish('');
    }
  },
});
