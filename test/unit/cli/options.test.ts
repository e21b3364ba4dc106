// Owns the tests of option parsing; vitest runs it.
import fc from 'fast-check';
import { describe, expect, expectTypeOf, it } from 'vitest';
import {
  attributeName,
  choice,
  choices,
  decimal,
  flag,
  integer,
  positiveInteger,
  positiveIntegers,
  readOptions,
  required,
  seedOption,
  square,
  text,
  texts,
  withDefault,
} from '../../../src/cli/options.ts';
import type { OptionSet } from '../../../src/cli/options.ts';
import { ConfigError } from '../../../src/errors.ts';

function faultOf(options: OptionSet, raw: Record<string, unknown>): ConfigError {
  try {
    readOptions(options, raw, 'gapvl try');
  } catch (thrown) {
    if (thrown instanceof ConfigError) return thrown;
    throw thrown;
  }
  throw new Error('the options were taken');
}

describe('readOptions', () => {
  const options = {
    count: withDefault(positiveInteger('--count <n>', 'examples'), 100),
    rate: decimal('--learning-rate <r>', 'step size', { min: 0, max: 1 }),
    tasks: withDefault(choices('--tasks <names>', 'tasks', ['rope', 'chart']), ['rope']),
    resume: flag('--resume', 'go on'),
    set: texts('--set <assignment>', 'a setting'),
    out: required(text('-o, --out <folder>', 'folder')),
  };

  it('reads every kind of option into its type', () => {
    const raw = {
      count: ['7'],
      learningRate: ['1e-3'],
      tasks: ['chart,rope'],
      resume: true,
      set: ['a=1', 'b=2\nc'],
      out: ['runs/a'],
    };
    const values = readOptions(options, raw, 'gapvl try');
    expect(values).toEqual({
      count: 7,
      rate: 1e-3,
      tasks: ['chart', 'rope'],
      resume: true,
      set: ['a=1', 'b=2\nc'],
      out: 'runs/a',
    });
    expectTypeOf(values.count).toEqualTypeOf<number>();
    expectTypeOf(values.rate).toEqualTypeOf<number | undefined>();
    expectTypeOf(values.tasks).toEqualTypeOf<readonly ('rope' | 'chart')[]>();
    expectTypeOf(values.out).toEqualTypeOf<string>();
  });

  it('falls back where an option was not given', () => {
    const values = readOptions(options, { out: ['x'] }, 'gapvl try');
    expect(values).toEqual({
      count: 100,
      rate: undefined,
      tasks: ['rope'],
      resume: false,
      set: [],
      out: 'x',
    });
  });

  it('names every fault at once', () => {
    const fault = faultOf(options, { count: ['0'], learningRate: ['2'], tasks: ['rope,maze'] });
    expect(fault.exitCode).toBe(2);
    expect(fault.parts.what).toBe(
      '4 options of gapvl try cannot be used: --count, --learning-rate, --tasks, --out',
    );
    expect(fault.parts.expected).toContain('--learning-rate: a number from 0 to 1');
    expect(fault.parts.got).toContain('--tasks "rope,maze"');
  });

  it('refuses an option that is given twice but holds one value', () => {
    const fault = faultOf({ out: text('--out <f>', '') }, { out: ['a', 'b'] });
    expect(fault.parts).toMatchObject({ got: '"a" and "b"', expected: 'it once' });
  });
});

describe('the kinds of options', () => {
  const taken = (option: OptionSet[string], word: string): boolean =>
    'value' in option.parse([word]);

  it('take exact whole numbers and no look-alikes', () => {
    const whole = integer('--n <n>', '');
    for (const word of ['0', '-3', '9007199254740991']) expect(taken(whole, word)).toBe(true);
    for (const word of ['', '1.5', '1e3', '0x10', '9007199254740993', ' 1', 'NaN', '1,000']) {
      expect(taken(whole, word), word).toBe(false);
    }
  });

  it('take any finite decimal that JavaScript prints', () => {
    const number = decimal('--x <x>', '');
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => {
        expect(number.parse([String(value)])).toEqual({ value: value === 0 ? 0 + value : value });
      }),
      { seed: 7 },
    );
    for (const word of ['', 'Infinity', 'nan', '1..2', '1e999', '--1']) {
      expect(taken(number, word), word).toBe(false);
    }
  });

  it('take square numbers only where a span of latents is laid out', () => {
    const latents = square('--latents <k>', '');
    expect(['1', '4', '16', '36', '144'].every((word) => taken(latents, word))).toBe(true);
    expect(['0', '2', '35', '-4', '4.0'].some((word) => taken(latents, word))).toBe(false);
  });

  it('take words from the list only, and none of them twice', () => {
    expect(taken(choice('--d <d>', '', ['cpu', 'webgpu']), 'cpu')).toBe(true);
    expect(taken(choice('--d <d>', '', ['cpu', 'webgpu']), 'gpu')).toBe(false);
    expect(taken(choices('--t <t>', '', ['a', 'b']), 'a, b')).toBe(true);
    expect(taken(choices('--t <t>', '', ['a', 'b']), 'a,a')).toBe(false);
    expect(taken(choices('--t <t>', '', ['a', 'b']), '')).toBe(false);
  });

  it('take lists of whole numbers', () => {
    const sizes = positiveIntegers('--k <k>', '');
    expect(sizes.parse(['4, 16,36'])).toEqual({ value: [4, 16, 36] });
    expect(taken(sizes, '4,,16')).toBe(false);
  });

  it('take seeds of 32 bits', () => {
    expect(taken(seedOption(), '4294967295')).toBe(true);
    expect(taken(seedOption(), '4294967296')).toBe(false);
    expect(seedOption().fallback).toBe(12345);
  });

  it('are stored under the name commander gives them', () => {
    expect(attributeName('-o, --out-dir <folder>')).toBe('outDir');
    expect(attributeName('--beta1 <b>')).toBe('beta1');
  });
});
