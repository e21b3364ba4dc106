// Tests `gapvl generate` and `gapvl forward --generate`: pictures, defaults of the model, stops, speed.
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodePng } from '../../../src/data/png.ts';
import { createRaster } from '../../../src/data/raster.ts';
import type { Raster } from '../../../src/data/raster.ts';
import { readSafetensors, writeSafetensors } from '../../../src/engine/safetensors.ts';
import { countLiveSessions } from '../../../src/engine/session.ts';
import { tensor } from '../../../src/engine/tensor.ts';
import type { Tensor } from '../../../src/engine/tensor.ts';
import { askModel } from '../../../src/generate/ask.ts';
import type { Answer } from '../../../src/generate/ask.ts';
import { int64Tensor } from '../../../src/model/feeds.ts';
import { readGapModel } from '../../../src/store/latent-head.ts';
import { writeCheckpoint } from '../../../src/store/checkpoint.ts';
import { gapvl } from '../../helpers/command-line.ts';
import type { CommandOutcome } from '../../helpers/command-line.ts';
import { miniBundle, randomRows } from '../../helpers/mini-model.ts';
import { Rng } from '../../../src/rng.ts';
import { SESSION, SETUP_LIMIT_MS, SHIPPED_BASE } from '../../helpers/small-way.ts';

const QUESTION = 'where does rope a end';

describe('the command line of decoding', () => {
  let folder: string;
  const at = (name: string): string => join(folder, name);
  const [dark, light]: Raster[] = [
    createRaster(112, 84, [30, 60, 90]),
    createRaster(56, 140, [250, 240, 0]),
  ];
  const run = (line: string, ...more: readonly string[]): Promise<CommandOutcome> =>
    gapvl([
      ...line.split(' ').map((word) => word.replace(/@(\w)/, `${folder}/$1`)),
      ...['--threads', '1', ...more],
    ]);
  const ask = async (
    line: string,
    ...more: readonly string[]
  ): Promise<Answer & { decoding: unknown; images: string[]; system: string | null }> => {
    const { code, out, err } = await run(`generate ${line}`, ...more, '--json', QUESTION);
    expect(code, err + out).toBe(0);
    expect(err).toBe('');
    return JSON.parse(out) as Answer & { decoding: unknown; images: string[]; system: null };
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'gapvl-generate-'));
    await cp(SHIPPED_BASE, at('base'), { recursive: true });
    await cp(SHIPPED_BASE, at('published'), { recursive: true });
    const generation = { do_sample: true, temperature: 1e-6, top_p: 0.9, repetition_penalty: 1.05 };
    await writeFile(
      at('published/generation_config.json'),
      JSON.stringify({ ...generation, max_new_tokens: 9 }),
    );
    await cp(SHIPPED_BASE, at('broken'), { recursive: true });
    await writeFile(at('broken/generation_config.json'), '{"top_k": "many"}');
    if (dark) await writeFile(at('dark.png'), encodePng(dark));
    if (light) await writeFile(at('light.png'), encodePng(light));
  }, SETUP_LIMIT_MS);
  afterAll(async () => {
    await rm(folder, { recursive: true, force: true });
    expect(countLiveSessions()).toBe(0);
  });

  it('takes several pictures in their order and a system prompt', async () => {
    if (!dark || !light) throw new Error('there are two pictures');
    const line = '--model @base --image @light.png --image @dark.png --max-new-tokens 12';
    const system = 'count the bricks';
    const record = await ask(line, '--system', system);
    expect(record.images).toEqual([at('light.png'), at('dark.png')]);
    expect(record.system).toBe(system);
    const model = await readGapModel(at('base'));
    const asked = { ...SESSION, question: QUESTION, seed: 12345, maxNewTokens: 12, system };
    const stream = askModel(model, { ...asked, pictures: [light, dark] });
    let next = await stream.next();
    while (next.done !== true) next = await stream.next();
    expect(record.tokens).toEqual(next.value.tokens);
    expect(record.queryNorm).toBeCloseTo(next.value.queryNorm, 3);
    const turned = await ask('--model @base --image @dark.png --image @light.png');
    expect(turned.system).toBeNull();
    expect((await ask('--model @base --max-new-tokens 2')).images).toEqual([]);
  });

  it('decodes as generation_config.json says, and as told where it is told', async () => {
    const line = '--model @published --image @dark.png';
    const record = await ask(line);
    const own = { temperature: 1e-6, topK: 50, topP: 0.9, repetitionPenalty: 1.05, stop: [] };
    expect(record.decoding).toEqual({ ...own, maxNewTokens: 9 });
    expect(record.tokens.length).toBeLessThanOrEqual(9);
    const told = await ask(
      `${line} --temperature 0.5 --top-k 3 --top-p 0.8 --repetition-penalty 1.2 --max-new-tokens 4`,
      ...['--stop', 'one two', '--stop', 'three'],
    );
    expect(told.decoding).toEqual({
      ...{ temperature: 0.5, topK: 3, topP: 0.8, repetitionPenalty: 1.2 },
      ...{ stop: ['one two', 'three'], maxNewTokens: 4 },
    });
    const plain = await ask('--model @base --image @dark.png');
    const greedy = { temperature: 0, topK: 0, topP: 1, repetitionPenalty: 1, stop: [] };
    expect(plain.decoding).toEqual({ ...greedy, maxNewTokens: 64 });
  });

  it('prints nothing of a stop string, and says on stderr how fast it was', async () => {
    const whole = await ask('--model @base --image @dark.png');
    const words = whole.response.split(' ');
    expect(words.length).toBeGreaterThan(4);
    const stop = `${words[2] ?? ''} ${words[3] ?? ''}`;
    const line = 'generate --model @base --image @dark.png';
    const { code, out, err } = await run(line, '--stop', stop, QUESTION);
    expect(code).toBe(0);
    expect(out.trim()).toBe(whole.response.slice(0, whole.response.indexOf(stop)).trim());
    expect(err).toMatch(/first token after [\d.]+ s, then [\d.]+ tokens\/s \(\d+ tokens\)\n$/);
    const quiet = await run(line, '--quiet', QUESTION);
    expect(quiet.err).toBe('');
    expect(quiet.out).not.toContain('tokens/s');
    const one = await run(line, '--max-new-tokens', '1', QUESTION);
    expect(one.err).toMatch(/first token after [\d.]+ s\n$/);
    expect(one.out).toContain('[cut off at the limit of tokens]');
  });

  it.each([
    ['--model @base --top-p 1.1', 2, 'a number from 0 to 1'],
    ['--model @base --top-k -1', 2, 'a whole number of at least 0'],
    ['--model @base --repetition-penalty 0', 2, 'a number from 0.01 to 100'],
    ['--model @base --image @dark.png --image @nowhere.png', 3, '@nowhere.png'],
    ['--model @broken --image @dark.png', 3, 'top_k of @broken/generation_config.json'],
  ])('refuses generate %s with code %d', async (line, code, says) => {
    const outcome = await run(`generate ${line}`, QUESTION);
    expect(outcome.err).toContain(says.replace('@', `${folder}/`));
    expect(outcome.code).toBe(code);
  });

  it('continues rows of ids by their greedy ids without a tokenizer', async () => {
    const { checkpoint } = miniBundle({ heads: 2, kvHeads: 1, tied: false, seed: 5 });
    await writeCheckpoint(at('bare'), checkpoint.configJson, checkpoint.weights);
    const { image, visionStart } = checkpoint.config.tokens;
    const picture = [visionStart, image, image, 3];
    // Two rows padded on different sides; the second has no picture.
    const [rows, mask] = [
      [0, 0, ...picture, 7, 8, 4, 5, 6, 9, 0, 0, 0, 0],
      [0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0],
    ];
    const inputs = new Map<string, Tensor>([
      ['input_ids', int64Tensor([2, 8], rows)],
      ['attention_mask', int64Tensor([2, 8], mask)],
      ['pixel_values', tensor('f32', [8, 96], randomRows(new Rng(1), 8 * 96))],
      ['image_grid_thw', int64Tensor([1, 3], [1, 2, 4])],
    ]);
    await writeSafetensors(at('in.safetensors'), inputs);
    const line = 'forward --model @bare --inputs @in.safetensors --outputs @out.safetensors';
    const made = await run(`${line} --generate 6`);
    expect(made.code, made.err).toBe(0);
    const ids = (await readSafetensors(at('out.safetensors'))).tensors.get('generated_ids');
    expect(ids?.dims).toEqual([2, 6]);
    const found = Array.from(ids?.data as BigInt64Array, Number);
    // The plain twin: a whole forward pass for every token, the picture token never taken.
    for (const row of [0, 1]) {
      const own = rows.slice(8 * row, 8 * row + 8).filter((_, i) => mask[8 * row + i] === 1);
      for (let step = 0; step < 6; step++) {
        const whole = [...own, ...found.slice(6 * row, 6 * row + step)];
        const alone = new Map<string, Tensor>([
          ['input_ids', int64Tensor([1, whole.length], whole)],
        ]);
        for (const name of row === 0 ? ['pixel_values', 'image_grid_thw'] : []) {
          alone.set(name, inputs.get(name) as Tensor);
        }
        await writeSafetensors(at('in.safetensors'), alone);
        expect((await run(line)).code).toBe(0);
        const logits = (await readSafetensors(at('out.safetensors'))).tensors.get('logits');
        const size = logits?.dims[2] ?? 0;
        const last = (logits?.data as Float32Array).slice(-size);
        last[image] = -Infinity;
        expect(last.indexOf(Math.max(...last)), `row ${row} step ${step}`).toBe(
          found[6 * row + step],
        );
      }
    }
    const slow = await run(`${line} --generate 3 --by-layer`);
    expect([slow.code, slow.err]).toEqual([2, expect.stringContaining('--generate')]);
  });
});
