// Holds the preparation of examples to naming the picture that the model cannot take.
import { describe, expect, it } from 'vitest';
import { fitPicture, prepareExamples } from '../../../src/context/prepared.ts';
import { DataError } from '../../../src/errors.ts';
import { readModelBundle } from '../../../src/store/model-folder.ts';
import { PictureEncoder } from '../../../src/model/picture-encoder.ts';
import { SESSION, SHIPPED_BASE } from '../../helpers/small-way.ts';

describe('examples made ready for a model', () => {
  it('names example and picture of one that is too long and narrow', async () => {
    const bundle = await readModelBundle(SHIPPED_BASE);
    await using encoder = new PictureEncoder(bundle, SESSION);
    const picture = { width: 201, height: 1, data: new Uint8Array(201 * 3) };
    const examples = [{ id: 'seven', question: 'why', answer: '1', image: 'images/7.png' }];
    const run = prepareExamples(bundle, encoder, examples, {
      load: () => Promise.resolve({ picture }),
    });
    await expect(run).rejects.toThrow(/^picture images\/7\.png of example seven: /);
    await expect(run).rejects.toBeInstanceOf(DataError);
  });

  it('resizes a picture within limits of its own', async () => {
    const bundle = await readModelBundle(SHIPPED_BASE);
    const picture = { width: 64, height: 64, data: new Uint8Array(64 * 64 * 3) };
    expect(fitPicture(bundle, picture)).toMatchObject({ width: 64, height: 64 });
    const small = fitPicture(bundle, picture, { maxPixels: 32 * 32 });
    expect(small).toMatchObject({ width: 32, height: 32 });
    await using encoder = new PictureEncoder(bundle, SESSION);
    const question = 'where does rope c end';
    const example = { id: 'a', question, answer: '1', image: 'a.png', maxPixels: 32 * 32 };
    const [prepared] = await prepareExamples(bundle, encoder, [example], {
      load: () => Promise.resolve({ picture }),
    });
    expect(prepared?.grid).toEqual([1, 4, 4]);
  });
});
