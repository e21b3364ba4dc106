// Owns `gapvl fetch`: downloads a model of the hub and prints its folder.
import { ConfigError } from '../errors.ts';
import { parseHubId } from '../store/hub-id.ts';
import { fetchModel } from '../store/hub.ts';
import { defineCommand } from './command.ts';
import * as option from './options.ts';
import { showFetch } from './running.ts';

/** The command. */
export const command = defineCommand({
  description:
    'Downloads what gapvl needs of a Qwen2.5-VL model of the Hugging Face hub into the cache that ' +
    'other programs share, checks sizes and hashes, and prints the folder. Ctrl-C or a broken ' +
    'connection lose nothing: the same command goes on. Honours HF_HOME, HF_HUB_CACHE, HF_TOKEN, ' +
    'HF_ENDPOINT and HF_HUB_OFFLINE; every --model takes the same ids.',
  options: { offline: option.offlineOption() },
  arguments: [{ syntax: '<model>', description: 'ORG/NAME, or ORG/NAME@REVISION' }],
  examples: [
    'gapvl fetch Qwen/Qwen2.5-VL-3B-Instruct',
    'gapvl fetch Qwen/Qwen2.5-VL-3B-Instruct@main --json',
  ],
  run: async ({ offline }, context, [ref = '']) => {
    const id = parseHubId(ref);
    if (id === undefined) {
      throw new ConfigError({
        what: 'the model of gapvl fetch cannot be used',
        got: JSON.stringify(ref),
        expected: 'ORG/NAME, or ORG/NAME@REVISION with a branch, tag or commit',
        fix: 'for example gapvl fetch Qwen/Qwen2.5-VL-3B-Instruct',
      });
    }
    const display = showFetch(ref, offline, context);
    try {
      const { sizeBytes, ...model } = await fetchModel(id, display.options);
      context.result(model.folder, { ...model, bytes: sizeBytes });
    } finally {
      display.finish();
    }
  },
});
