// Tests what positions after a latent span may see, against the picture of it that the docs draw.
import { describe, expect, it } from 'vitest';
import { hiddenAfterSpan, isDenied } from '../../../src/latent/after-span.ts';

const TOKENS = { imagePad: 1, latentStart: 2, latentPad: 3, latentEnd: 4 };
const IDS: Readonly<Record<string, number>> = { P: 1, '[': 2, '.': 3, ']': 4 };

function idsOf(row: string): number[] {
  return row.split('').map((token) => IDS[token] ?? token.charCodeAt(0));
}

/** What each position sees: x, or - where something before it is hidden; the rest is after it. */
function drawn(row: string): string[] {
  const ids = idsOf(row);
  const places = hiddenAfterSpan(ids, TOKENS);
  return ids.map((id, query) =>
    ids
      .slice(0, query + 1)
      .map((_, key) => {
        const denied = places !== undefined && isDenied(places, id, query, TOKENS);
        return denied && key >= places.from && key < places.to ? '-' : 'x';
      })
      .join(''),
  );
}

describe('what positions after a span see', () => {
  it('is the worked example: what stands before the picture, latents, what stands after them', () => {
    expect(hiddenAfterSpan(idsOf('sPPq[..]y$'), TOKENS)).toEqual({ from: 1, to: 5, since: 7 });
    expect(drawn('sPPq[..]y$')).toEqual([
      'x',
      'xx',
      'xxx',
      'xxxx',
      'xxxxx',
      'xxxxxx',
      'xxxxxxx',
      'x----xxx',
      'x----xxxx',
      'x----xxxxx',
    ]);
  });

  it('is the same for every span after the first, whose latents still see everything', () => {
    expect(drawn('sPq[.]y[.]z').slice(4)).toEqual([
      'xxxxx',
      'x---xx',
      'x---xxx',
      'x---xxxx',
      'xxxxxxxxx',
      'x---xxxxxx',
      'x---xxxxxxx',
    ]);
  });

  it('hides what lies between two pictures, and leaves nothing of a span without latents', () => {
    expect(drawn('sPqPq[]y').slice(5)).toEqual(['xxxxxx', 'x-----x', 'x-----xx']);
  });

  it.each(['sPPq[..', 'sPPqy', 'sq[.]y', 'q[.]Py', 'sPP', ''])(
    'is everything while there is nothing to hide or nobody to hide it from: %j',
    (row) => {
      expect(hiddenAfterSpan(idsOf(row), TOKENS)).toBeUndefined();
    },
  );

  it('is everything in a vocabulary without latents', () => {
    const none = { ...TOKENS, latentStart: -1, latentPad: -1, latentEnd: -1 };
    expect(hiddenAfterSpan(idsOf('sPPq[..]y'), none)).toBeUndefined();
  });
});
