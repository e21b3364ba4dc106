// Tests that the table of variants says what the method says.
import { describe, expect, it } from 'vitest';
import {
  TEACHER_INPUTS,
  VARIANTS,
  VARIANT_NAMES,
  usesLatents,
} from '../../../src/latent/variants.ts';

describe('the table of variants', () => {
  it('has the eight of the paper and the controls it names as missing', () => {
    expect(VARIANT_NAMES).toEqual([
      ...['base', 'dense-caption', 'output-mse', 'output-cosine', 'output-mse-ema'],
      ...['output-cosine-ema', 'lh', 'lh-da', 'lh-pca', 'gap'],
      ...['gap-random-basis', 'gap-no-mean', 'gap-learned-basis'],
    ]);
    expect(TEACHER_INPUTS).toEqual(['plain', 'projected', 'scheduled']);
  });

  it('makes GAP of LH by two changes: the basis and the assignment', () => {
    const { lh, gap } = VARIANTS;
    expect(VARIANTS['lh-pca']).toEqual({ ...lh, label: 'LH+PCA', head: 'pca', basis: 'pca' });
    expect(VARIANTS['lh-da']).toEqual({ ...lh, label: 'LH+DA', assignment: 'capacity' });
    expect(gap).toEqual({ ...VARIANTS['lh-pca'], label: 'GAP', assignment: 'capacity' });
  });

  it('trains no latents for the base and the dense caption, and no weights for the base', () => {
    const without = VARIANT_NAMES.filter((name) => !usesLatents(name));
    expect(without).toEqual(['base', 'dense-caption']);
    expect(VARIANT_NAMES.filter((name) => !VARIANTS[name].trained)).toEqual(['base']);
  });

  it('calibrates norms in decoding only: such a variant has the weights of one without', () => {
    for (const name of VARIANT_NAMES) {
      const { weightsOf, calibrated, label, ...rest } = VARIANTS[name];
      expect(calibrated).toBe(weightsOf !== undefined);
      if (weightsOf === undefined) continue;
      const { label: otherLabel, calibrated: otherCalibrated, ...other } = VARIANTS[weightsOf];
      expect([rest, otherCalibrated]).toEqual([other, false]);
      expect(label).toBe(`${otherLabel} + EMA`);
    }
  });

  it('gives a basis to PCA heads and to no other', () => {
    for (const name of VARIANT_NAMES) {
      const { head, basis } = VARIANTS[name];
      expect(basis !== undefined, name).toBe(head === 'pca');
    }
  });

  it('has labels of its own for each', () => {
    expect(new Set(VARIANT_NAMES.map((name) => VARIANTS[name].label)).size).toBe(13);
  });
});
