// Tests `gapvl train --head-only`: the folder it writes, links, going on after Ctrl-C, refusals.
import { lstat, readFile, readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SINGLE_FILE, readSafetensors } from '../../../src/engine/safetensors.ts';
import { countLiveSessions } from '../../../src/engine/session.ts';
import { HEAD_FILE, openGapModel } from '../../../src/store/latent-head.ts';
import { gapvl } from '../../helpers/command-line.ts';
import type { CommandOutcome, CommandRun } from '../../helpers/command-line.ts';
import { LATENTS, SETUP_LIMIT_MS, makeSmallBase } from '../../helpers/small-way.ts';
import type { SmallWay } from '../../helpers/small-way.ts';

describe('gapvl train --head-only', () => {
  let way: SmallWay;
  const at = (name: string): string => join(way.folder, name);
  const train = (out: string, more: string[] = [], run: CommandRun = {}): Promise<CommandOutcome> =>
    gapvl(
      [
        ...['train', '--head-only', '--model', way.base, '--data', way.data],
        ...['--basis', way.basis, '--latents', String(LATENTS), '--steps', '300'],
        ...['--batch-size', '6', '--set', 'adapterSize=8', '--threads', '1', '--out', at(out)],
        ...(more.includes('--variant') ? [] : ['--variant', 'lh-pca']),
        ...(more.includes('--teacher-inputs') ? [] : ['--teacher-inputs', 'plain']),
        ...more,
      ],
      run,
    );
  const done = async (outcome: Promise<CommandOutcome>): Promise<string> => {
    const { code, out, err } = await outcome;
    expect(code, err).toBe(0);
    return out;
  };
  const bytes = (...path: string[]): Promise<Buffer> => readFile(join(way.folder, ...path));

  beforeAll(async () => {
    way = await makeSmallBase();
    await done(train('whole'));
  }, SETUP_LIMIT_MS);
  afterAll(async () => {
    await way[Symbol.asyncDispose]();
    expect(countLiveSessions()).toBe(0);
  });

  it('writes the files of the base and a head that opens, and nothing is left of the run', async () => {
    expect((await readdir(at('whole'))).sort()).toEqual([
      ...['chat_template.jinja', 'config.json', HEAD_FILE, SINGLE_FILE],
      ...['preprocessor_config.json', 'run.json', 'tokenizer.json', 'tokenizer_config.json'],
      'training.jsonl',
    ]);
    const base = await readFile(join(way.base, SINGLE_FILE));
    expect(base.equals(await bytes('whole', SINGLE_FILE))).toBe(true);
    expect((await lstat(join(at('whole'), SINGLE_FILE))).isSymbolicLink()).toBe(false);
    const { head, settings } = await openGapModel(at('whole'));
    const stored = await readSafetensors(join(at('whole'), HEAD_FILE));
    expect(head.spec).toMatchObject({ kind: 'pca', adapterSize: 8 });
    for (const [name, { data }] of head.weights.byName) {
      expect(data, name).toEqual(stored.tensors.get(name)?.data);
    }
    expect(head.weights.get('latent_head.adapter.down_proj.weight').data.some((x) => x !== 0)).toBe(
      true,
    );
    expect(settings).toMatchObject({ variant: 'lh-pca', teacherInputs: 'plain' });
    const records = (await bytes('whole', 'training.jsonl')).toString().trim().split('\n');
    const losses = records.map((line) => (JSON.parse(line) as { latentLoss: number }).latentLoss);
    expect(losses).toHaveLength(300);
    expect(losses.at(-1)).toBeLessThan(0.5 * (losses[0] ?? NaN));
  });

  it('can be asked as a model trained whole', async () => {
    const picture = join(way.data, 'images', (await readdir(join(way.data, 'images')))[0] ?? '');
    const out = await done(
      gapvl([
        ...['generate', '--model', at('whole'), '--image', picture, '--max-new-tokens', '4'],
        ...['--threads', '1', '--json', 'where does rope a end'],
      ]),
    );
    expect(JSON.parse(out)).toMatchObject({ variant: 'lh-pca' });
  });

  it('links to the weights if told to, with the same head', async () => {
    await done(train('linked', ['--link']));
    expect(await readlink(join(at('linked'), SINGLE_FILE))).toBe(join(way.base, SINGLE_FILE));
    expect((await bytes('linked', HEAD_FILE)).equals(await bytes('whole', HEAD_FILE))).toBe(true);
    expect((await openGapModel(at('linked'))).settings?.variant).toBe('lh-pca');
  });

  it('goes on after Ctrl-C, in the states and in the steps, to the same bytes', async () => {
    for (const when of ['states  16/40', 'the head of lh-pca  120/300']) {
      const { code, err } = await train('again', [], { interruptWhen: (e) => e.includes(when) });
      expect(err).toContain(when);
      expect(code, err).toBe(1);
    }
    expect(await readdir(at('again'))).toContain('state.safetensors');
    await done(train('again'));
    for (const file of [HEAD_FILE, 'training.jsonl', 'run.json']) {
      expect((await bytes('again', file)).equals(await bytes('whole', file)), file).toBe(true);
    }
    expect(await done(train('again'))).toContain('holds this model already');
  });

  it('refuses what would need the whole model, before anything is written', async () => {
    const refused = async (more: string[], says: string): Promise<void> => {
      const { code, err } = await train('refused', more);
      expect(code, err).toBe(2);
      expect(err).toContain(says);
    };
    await refused(['--teacher-inputs', 'scheduled'], 'set teacherInputs=plain or projected');
    await refused(['--variant', 'output-mse'], 'no head with parameters');
    expect(await readdir(way.folder)).not.toContain('refused');
    const linked = await gapvl([
      ...['train', '--link', '--variant', 'gap', '--model', way.base, '--data', way.data],
      ...['--out', at('refused')],
    ]);
    expect(linked.code).toBe(2);
    expect(linked.err).toContain('--link is given without --head-only');
    expect((await train('whole', ['--seed', '2'])).code).toBe(2);
  });
});
