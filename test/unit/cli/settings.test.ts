// Owns the tests of settings on top of a recipe; commands pass what the user typed.
import { describe, expect, it } from 'vitest';
import { asSettings } from '../../../src/cli/running.ts';
import {
  PRETRAIN_DEFAULTS,
  TRAIN_DEFAULTS,
  TRAIN_RECIPES,
  applySettings,
} from '../../../src/config.ts';
import { ConfigError } from '../../../src/errors.ts';

function faultsOf(recipe: object, ...settings: readonly string[]): string {
  try {
    applySettings(recipe, settings);
  } catch (error) {
    if (error instanceof ConfigError) return error.parts.got ?? '';
    throw error;
  }
  return '';
}

describe('applySettings', () => {
  it('changes what is named, keeps the rest, and leaves the recipe as it was', () => {
    const before = JSON.stringify(TRAIN_DEFAULTS);
    const recipe = applySettings(TRAIN_DEFAULTS, [
      'steps=7',
      ' optimizer.learningRate = 1e-5 ',
      'teacherInputs=plain',
    ]);
    expect(recipe).toEqual({
      ...TRAIN_DEFAULTS,
      steps: 7,
      teacherInputs: 'plain',
      optimizer: { ...TRAIN_DEFAULTS.optimizer, learningRate: 1e-5 },
    });
    expect(JSON.stringify(TRAIN_DEFAULTS)).toBe(before);
    expect(applySettings(TRAIN_DEFAULTS, [])).toEqual(TRAIN_DEFAULTS);
  });

  it('names near settings for one that does not exist', () => {
    expect(faultsOf(TRAIN_DEFAULTS, 'optimizer.learningrat=1')).toContain(
      'near: optimizer.learningRate',
    );
    expect(faultsOf(TRAIN_DEFAULTS, 'learningRate=1')).toContain('optimizer.learningRate');
    expect(faultsOf(TRAIN_DEFAULTS, 'batchsize=1')).toContain('near: batchSize');
    expect(faultsOf(TRAIN_DEFAULTS, 'optimizer=1')).toContain('optimizer.beta1');
    expect(faultsOf(TRAIN_DEFAULTS, 'xyzzyplugh=1')).toContain('known: seed, steps');
  });

  it('checks type and range of every value', () => {
    const wrong: readonly (readonly [string, string])[] = [
      ['steps=0', 'whole number of at least 1'],
      ['steps=1.5', 'whole number of at least 1'],
      ['steps=', 'whole number of at least 1'],
      ['steps=0x10', 'whole number of at least 1'],
      ['seed=4294967296', 'from 0 to 4294967295'],
      ['numLatents=35', 'square number'],
      ['teacherInputs=none', 'one of plain, projected, scheduled'],
      ['latentPositions=', 'one of sequential, grid'],
      ['latentLossScale=sum', 'one of none, width, variance'],
      ['latentWeight=-1', 'at least 0'],
      ['optimizer.learningRate=NaN', 'above 0'],
      ['optimizer.learningRate=Infinity', 'above 0'],
      ['optimizer.beta1=1', 'below 1'],
      ['optimizer.warmupRatio=2', 'from 0 to 1'],
      ['steps', 'not of the form path=value'],
      ['=5', 'not of the form path=value'],
    ];
    for (const [setting, expected] of wrong) {
      expect(faultsOf(TRAIN_DEFAULTS, setting)).toContain(expected);
    }
  });

  it('reports all faults at once, one given twice among them', () => {
    const faults = faultsOf(
      TRAIN_DEFAULTS,
      'steps=x',
      'foo=1',
      'seed=1',
      'seed=2',
      'numLatents=36',
    );
    expect(faults.split('; ').length).toBeGreaterThanOrEqual(3);
    for (const part of ['steps', 'foo', 'seed is set more than once'])
      expect(faults).toContain(part);
  });

  it('holds the shares of a mixture to one', () => {
    expect(faultsOf(PRETRAIN_DEFAULTS, 'mixture.easy=0.9')).toContain('add up to');
    const settings = ['mixture.easy=1', 'mixture.hard=0', 'mixture.auxiliary=0'];
    expect(applySettings(PRETRAIN_DEFAULTS, settings).mixture).toEqual({
      easy: 1,
      hard: 0,
      auxiliary: 0,
    });
  });

  it('has a recipe with what the paper gives', () => {
    expect(TRAIN_RECIPES.paper).toMatchObject({
      ...{ batchSize: 128, numLatents: 36, latentWeight: 1, teacherInputs: 'plain' },
      optimizer: { learningRate: 1e-5, weightDecay: 0.01, warmupRatio: 0.03 },
    });
    expect(applySettings(TRAIN_RECIPES.paper, [])).toEqual(TRAIN_RECIPES.paper);
  });

  it('takes options that were given as settings', () => {
    expect(asSettings({ steps: 5, seed: undefined, teacherInputs: 'plain' })).toEqual([
      'steps=5',
      'teacherInputs=plain',
    ]);
  });
});
